"""Makers of batches, parts of a series and its scaling, under the names users call them by."""

from bptt.train.data import Batches, Prefetch, Ragged, Shard, Stream, TextStream, Vocabulary, Windows
from bptt.train.horizons import Horizons
from bptt.train.scaling import Standardize
from bptt.train.splits import Split, split

__all__ = [
    "Batches",
    "Horizons",
    "Prefetch",
    "Ragged",
    "Shard",
    "Split",
    "Standardize",
    "Stream",
    "TextStream",
    "Vocabulary",
    "Windows",
    "split",
]
