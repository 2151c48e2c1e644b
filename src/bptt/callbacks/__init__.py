"""Callbacks of a training run: save, stop, log, measure."""

from bptt.callbacks.best import KeepBest
from bptt.callbacks.callback import Callback, TrainerView
from bptt.callbacks.checkpoint import Checkpoint
from bptt.callbacks.csv_log import CSVLog
from bptt.callbacks.early_stopping import EarlyStopping
from bptt.callbacks.monitor import GradientMonitor, GradientWarning
from bptt.callbacks.plateau import Plateau
from bptt.callbacks.progress import ProgressBar
from bptt.callbacks.tensorboard import TensorBoard
from bptt.callbacks.until import Until

__all__ = [
    "CSVLog",
    "Callback",
    "Checkpoint",
    "EarlyStopping",
    "GradientMonitor",
    "GradientWarning",
    "KeepBest",
    "Plateau",
    "ProgressBar",
    "TensorBoard",
    "TrainerView",
    "Until",
]
