"""Makers of batches, under the name users call them by."""

from bptt.train.data import Ragged, TextStream, Vocabulary, Windows

__all__ = ["Ragged", "TextStream", "Vocabulary", "Windows"]
