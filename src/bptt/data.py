"""Makers of batches, under the name users call them by."""

from bptt.train.data import Batches, Prefetch, Ragged, Shard, Stream, TextStream, Vocabulary, Windows

__all__ = ["Batches", "Prefetch", "Ragged", "Shard", "Stream", "TextStream", "Vocabulary", "Windows"]
