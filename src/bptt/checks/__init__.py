"""What `bptt.testing` offers: gradients against differences, native layers against the reference."""
