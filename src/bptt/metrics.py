"""Figures that say how good a model is, summed up over batches: `bptt.metrics.Accuracy()` and others."""

from bptt.losses.metrics import MAE, RMSE, Accuracy, BinaryAccuracy, BitsPerCharacter, Metric, Perplexity

__all__ = ["MAE", "RMSE", "Accuracy", "BinaryAccuracy", "BitsPerCharacter", "Metric", "Perplexity"]
