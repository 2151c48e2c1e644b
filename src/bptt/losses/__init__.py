"""What training minimizes, and figures that say how good a model is."""

from bptt.losses.loss import BinaryCrossEntropy, CrossEntropy, Loss, MeanSquaredError

__all__ = ["BinaryCrossEntropy", "CrossEntropy", "Loss", "MeanSquaredError"]
