"""Layers without a state that one step hands to the next."""
