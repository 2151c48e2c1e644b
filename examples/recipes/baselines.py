"""Simple models of the same data: for each recipe, a function of its variables that returns scores."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

sys.path.append(str(Path(__file__).parent.parent))  # for ngrams, which the example source_code.py uses, too

Recipe = Mapping[str, Any]
Scores = dict[str, float]


def forecast_frame(recipe: Recipe) -> Scores:
    """Repeat the values of 52 weeks before; the same plus the increase of the last 52 weeks."""
    level = recipe["frame"]["co2"]
    values = level.to_numpy()
    last = level.index.get_indexer(recipe["frame"]["1992":].index[:-26:13])[:, None]
    weeks = last + np.arange(1, 27)
    naive = values[weeks - 52]
    drift = naive + values[last] - values[last - 52]
    return {
        "seasonal-naive": _rmse(naive - values[weeks]),
        "seasonal-naive with drift": _rmse(drift - values[weeks]),
    }


def imbalanced(recipe: Recipe) -> Scores:
    """Predict the more frequent class; logistic regression of all pixels, settings by cross-validation."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import f1_score
    from sklearn.model_selection import GridSearchCV

    x, x_test = (recipe[name].reshape(-1, 64) / 16 for name in ("X", "X_test"))
    settings = {"C": (0.1, 1.0, 10.0), "class_weight": (None, "balanced")}
    search = GridSearchCV(LogisticRegression(max_iter=2000), settings, scoring="f1").fit(x, recipe["y"])
    y_test = recipe["y_test"]
    return {
        "majority": float(f1_score(y_test, np.zeros_like(y_test))),
        "logistic regression": float(f1_score(y_test, search.predict(x_test))),
    }


def labelling(recipe: Recipe) -> Scores:
    """Give each character the label that it has most often in the training files."""
    (x, labels), (x_test, labels_test) = (_valid_steps(recipe[part]) for part in ("train", "test"))
    counts = np.zeros((128, 80), int)
    np.add.at(counts, (x, labels), 1)
    return {"most frequent label": float((counts.argmax(axis=1)[x_test] == labels_test).mean())}


def anomalies(recipe: Recipe) -> Scores:
    """Distance from the mean window; error of principal components that keep a part of the variance."""
    from sklearn.decomposition import PCA
    from sklearn.metrics import roc_auc_score

    train, test = recipe["train"][:, :, 0], recipe["test"][:, :, 0]
    errors = {"distance from the mean": test - train.mean(axis=0)}
    for part in (95, 99.9):
        pca = PCA(part / 100).fit(train)
        errors[f"PCA, {part}% of the variance"] = pca.inverse_transform(pca.transform(test)) - test
    anomalous = recipe["anomalous"][600:]
    return {name: float(roc_auc_score(anomalous, (error**2).mean(axis=1))) for name, error in errors.items()}


def dates(recipe: Recipe) -> Scores:
    """Write the most frequent character of each position."""
    y = recipe["y"][1:]
    likely = np.array([np.bincount(row).argmax() for row in y[:, :8000]])
    exact = (likely[:, None] == y[:, 8000:]).all(axis=0).mean()
    return {"most frequent characters": float(exact)}


def tied_words(recipe: Recipe) -> Scores:
    """Count words, and pairs of words."""
    from ngrams import KneserNey

    ids, cut, symbols = recipe["ids"], recipe["cut"], len(recipe["vocabulary"])
    names = {1: "unigram", 2: "bigram, Kneser-Ney"}
    models = {name: KneserNey(ids[:cut], order, symbols) for order, name in names.items()}
    return {name: float(np.exp(model.losses(ids[cut:]).mean())) for name, model in models.items()}


def static_inputs(recipe: Recipe) -> Scores:
    """Mean of the month; the value of the month before; linear regression of the 24 months and the month."""
    scale, month = recipe["scale"], recipe["month"]
    target, sequence = recipe["target"][:, 0], recipe["sequence"][:, :, 0].T
    inputs = {
        "climatology": month,
        "linear regression": np.concatenate([month, sequence], axis=1),
    }
    errors = {"persistence": sequence[480:, -1] - target[480:]}
    for name, x in inputs.items():
        weights, *_ = np.linalg.lstsq(x[:480], target[:480], rcond=None)
        errors[name] = x[480:] @ weights - target[480:]
    return {name: _rmse(scale * errors[name]) for name in ("climatology", "persistence", "linear regression")}


def streaming(recipe: Recipe) -> Scores:
    """Call the model with one character at a time, and pass the state on."""
    model, ids, state = recipe["model"], recipe["ids"], None
    begin = time.perf_counter()
    for character in ids[:, None, None]:
        _, state = model(character, state)
    return {"one call for each step": 1e6 * (time.perf_counter() - begin) / len(ids)}


def from_pytorch(recipe: Recipe) -> Scores:
    """Train the same output layer on an LSTM with random parameters."""
    import bptt

    layers = bptt.LSTM(8, 64, batch_first=True), bptt.Last(batch_first=True), bptt.Linear(64, 5)
    model = bptt.Sequential(*layers, seed=recipe["SEED"] + 1000)
    model[0].trainable = False
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(1e-2), progress=False)
    data = bptt.data.Arrays(recipe["x_train"], recipe["y_train"], shuffle=True, seed=recipe["SEED"])
    trainer.fit(data, recipe["EPOCHS"])
    right = model(recipe["x_test"])[0].argmax(axis=-1) == recipe["y_test"]
    return {"random LSTM": float(right.mean())}


def _rmse(errors: Any) -> float:
    return float(np.sqrt(np.mean(np.square(errors))))


def _valid_steps(data: Any) -> tuple[Any, Any]:
    """Return the characters and labels of all lines, without padding."""
    x, labels, lengths = (data.arrays[name] for name in ("x", "target", "lengths"))
    valid = np.arange(x.shape[1]) < lengths[:, None]
    return x[valid], labels[valid]
