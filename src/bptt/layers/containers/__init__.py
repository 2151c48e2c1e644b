"""Models: layers that are joined, with all parameters in one flat vector."""
