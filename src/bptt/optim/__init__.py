"""Turn a gradient into new weights: clipping, optimizers, learning rates, regularizers."""

from bptt.optim.clip import Clip, ClipNorm, Clipped, ClipValue, NoClip
from bptt.optim.clip_functions import clip_by_norm, clip_by_value
from bptt.optim.clip_groups import ClipGroups
from bptt.optim.gradients import NonFiniteError
from bptt.optim.optimizer import Optimizer
from bptt.optim.optimizers import SGD, Adam, AdamW, RMSProp
from bptt.optim.regularizers import PascanuRegularizer
from bptt.optim.update import Update

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "Clip",
    "ClipGroups",
    "ClipNorm",
    "ClipValue",
    "Clipped",
    "NoClip",
    "NonFiniteError",
    "Optimizer",
    "PascanuRegularizer",
    "RMSProp",
    "Update",
    "clip_by_norm",
    "clip_by_value",
]
