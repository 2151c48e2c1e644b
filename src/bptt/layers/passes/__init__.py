"""Passes of a recurrent layer: what they take, keep and return, and the code that computes them."""
