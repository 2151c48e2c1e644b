"""From a gradient to new weights: clipping, optimizers, learning rates, regularizers."""

from bptt.optim.clip import ClipNorm, Clipped, ClipValue, Guard, clip_by_norm, clip_by_value
from bptt.optim.clip_groups import ClipGroups
from bptt.optim.gradients import NonFiniteError
from bptt.optim.optimizers import SGD, Adam, AdamW, Optimizer, RMSProp
from bptt.optim.regularizers import PascanuRegularizer
from bptt.optim.update import Update

__all__ = [
    "SGD",
    "Adam",
    "AdamW",
    "ClipGroups",
    "ClipNorm",
    "ClipValue",
    "Clipped",
    "Guard",
    "NonFiniteError",
    "Optimizer",
    "PascanuRegularizer",
    "RMSProp",
    "Update",
    "clip_by_norm",
    "clip_by_value",
]
