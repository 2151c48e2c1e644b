"""Metrics that measure a model, summed over batches: for example `bptt.metrics.Accuracy()`."""

from bptt.metrics.means import MAE, RMSE, Accuracy, BinaryAccuracy, BitsPerCharacter, Perplexity
from bptt.metrics.metric import Metric

__all__ = ["MAE", "RMSE", "Accuracy", "BinaryAccuracy", "BitsPerCharacter", "Metric", "Perplexity"]
