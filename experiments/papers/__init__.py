"""The experiments: one file per paper or claim."""
