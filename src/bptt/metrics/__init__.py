"""Metrics that measure a model, summed over batches: for example `bptt.metrics.Accuracy()`."""

from bptt.metrics.means import MAE, RMSE, Accuracy, BinaryAccuracy, BitsPerCharacter, Perplexity
from bptt.metrics.metric import Metric
from bptt.metrics.scores import AUC, F1, Precision, Recall

__all__ = [
    "AUC",
    "F1",
    "MAE",
    "RMSE",
    "Accuracy",
    "BinaryAccuracy",
    "BitsPerCharacter",
    "Metric",
    "Perplexity",
    "Precision",
    "Recall",
]
