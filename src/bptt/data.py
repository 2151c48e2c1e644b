"""Makers of batches, under the name users call them by."""

from bptt.train.data import TextStream, Vocabulary, Windows

__all__ = ["TextStream", "Vocabulary", "Windows"]
