"""Layers of Keras as arrays and configurations. Reading them does not need Keras."""
