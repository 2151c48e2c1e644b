"""Weights as arrays, from PyTorch, Keras, Flax and Equinox to bptt and back."""
