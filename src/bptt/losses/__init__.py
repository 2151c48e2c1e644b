"""Losses that training minimizes, and metrics that measure a model."""

from bptt.losses.loss import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Loss", "MeanSquaredError"]
