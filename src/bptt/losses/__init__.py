"""Losses that training minimizes, and metrics that measure a model."""

from bptt.losses.classes import BinaryCrossEntropy, CrossEntropy
from bptt.losses.function import FunctionLoss
from bptt.losses.loss import Loss
from bptt.losses.numbers import Huber, MeanAbsoluteError, MeanSquaredError, Quantile

__all__ = [
    "BinaryCrossEntropy",
    "CrossEntropy",
    "FunctionLoss",
    "Huber",
    "Loss",
    "MeanAbsoluteError",
    "MeanSquaredError",
    "Quantile",
]
