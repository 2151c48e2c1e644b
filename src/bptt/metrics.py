"""Metrics that measure a model, summed over batches: for example `bptt.metrics.Accuracy()`."""

from bptt.losses.metrics import MAE, RMSE, Accuracy, BinaryAccuracy, BitsPerCharacter, Metric, Perplexity

__all__ = ["MAE", "RMSE", "Accuracy", "BinaryAccuracy", "BitsPerCharacter", "Metric", "Perplexity"]
