"""Batches, splits of a series, and scaling.

Every class that makes batches can be iterated once per epoch and yields `(x, target)`, `(x, target, lengths)`
or a dict of them. Time is the first axis. The attribute `time_first = True` says so. The attribute
`per_step` says whether the target has a time axis, too. The Trainer swaps the axes for models with
`batch_first=True`. The attribute `carries_state = True` says that batch n + 1 continues the rows of batch n.
Then the Trainer carries the state over.
"""

from bptt.data.arrays import Arrays
from bptt.data.horizons import Horizons
from bptt.data.padding import pad, unpad
from bptt.data.prefetch import Prefetch
from bptt.data.preprocessing import load_preprocessing
from bptt.data.ragged import Ragged
from bptt.data.scaling import Standardize
from bptt.data.shard import Shard
from bptt.data.splits import Split, split
from bptt.data.streams import Batches, Stream
from bptt.data.text import TextStream, Vocabulary
from bptt.data.windows import Windows

__all__ = [
    "Arrays",
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
    "load_preprocessing",
    "pad",
    "split",
    "unpad",
]
