"""The training loop, and functions that train several times."""

from bptt.train.history import History
from bptt.train.rate_range import RateCurve, learning_rate_range
from bptt.train.sweeps import Sweep, Trial, sweep
from bptt.train.trainer import Trainer

__all__ = ["History", "RateCurve", "Sweep", "Trainer", "Trial", "learning_rate_range", "sweep"]
