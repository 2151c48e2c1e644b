"""The training loop."""

from bptt.train.history import History
from bptt.train.trainer import Trainer

__all__ = ["History", "Trainer"]
