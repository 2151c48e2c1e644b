"""Training: losses, optimisers, clipping, data, the loop, checkpoints."""

from bptt.train import data, metrics, schedules
from bptt.train.best import KeepBest
from bptt.train.callbacks import Callback, Checkpoint, CSVLog, EarlyStopping, Update
from bptt.train.checkpoint import CheckpointError, Saved, load, read_checkpoint, save
from bptt.train.clip import ClipNorm, Clipped, ClipValue, Guard, clip_by_norm, clip_by_value
from bptt.train.clip_groups import ClipGroups
from bptt.train.distributed import RankError
from bptt.train.gradients import NonFiniteError
from bptt.train.history import History
from bptt.train.losses import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError
from bptt.train.optim import SGD, Adam, AdamW, Optimizer, RMSProp
from bptt.train.progress import ProgressBar
from bptt.train.regularizers import PascanuRegularizer
from bptt.train.tensorboard import TensorBoard
from bptt.train.trainer import Trainer

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "ClipGroups",
    "ClipNorm",
    "ClipValue",
    "Clipped",
    "CrossEntropy",
    "EarlyStopping",
    "Guard",
    "History",
    "KeepBest",
    "Loss",
    "MeanSquaredError",
    "NonFiniteError",
    "Optimizer",
    "PascanuRegularizer",
    "ProgressBar",
    "RMSProp",
    "RankError",
    "Saved",
    "TensorBoard",
    "Trainer",
    "Update",
    "clip_by_norm",
    "clip_by_value",
    "data",
    "load",
    "metrics",
    "read_checkpoint",
    "save",
    "schedules",
]
