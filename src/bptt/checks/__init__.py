"""The checks of `bptt.testing`: gradients against finite differences, native layers against the reference."""
