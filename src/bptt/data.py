"""Makers of batches, under the name users call them by."""

from bptt.train.data import Batches, Ragged, Shard, Stream, TextStream, Vocabulary, Windows

__all__ = ["Batches", "Ragged", "Shard", "Stream", "TextStream", "Vocabulary", "Windows"]
