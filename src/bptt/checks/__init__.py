"""The checks of `bptt.testing`: `gradcheck` and `crosscheck`."""
