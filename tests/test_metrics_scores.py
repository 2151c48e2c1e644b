"""Precision, recall, F1 and AUC against scikit-learn on all rows together."""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise, together
from tests.ranks import returned, run

import bptt
from bptt.metrics import AUC, F1, Metric, Precision, Recall

sklearn_metrics = pytest.importorskip("sklearn.metrics", reason="scikit-learn computes these metrics")

N = 211


def softmax(y: np.ndarray) -> np.ndarray:
    e = np.exp(y - y.max(axis=-1, keepdims=True))
    return e / e.sum(axis=-1, keepdims=True)


def area(y: np.ndarray, target: np.ndarray, average: str, weight: Any) -> float:
    if y.shape[1] == 1:
        return sklearn_metrics.roc_auc_score(target, y[:, 0], sample_weight=weight)
    if y.shape[1] == 2:
        return sklearn_metrics.roc_auc_score(target, softmax(y)[:, 1], sample_weight=weight)
    options = {"multi_class": "ovr", "average": average, "sample_weight": weight}
    return sklearn_metrics.roc_auc_score(target, softmax(y), **options)


def counted(function: Any) -> Callable[..., float]:
    def score(y: np.ndarray, target: np.ndarray, average: str, weight: Any) -> float:
        predicted = (y[:, 0] > 0).astype(int) if y.shape[1] == 1 else y.argmax(axis=1)
        return function(target, predicted, average=average, sample_weight=weight, zero_division=0)

    return score


KINDS: dict[str, tuple[type[Any], Callable[..., float]]] = {
    "precision": (Precision, counted(sklearn_metrics.precision_score)),
    "recall": (Recall, counted(sklearn_metrics.recall_score)),
    "f1": (F1, counted(sklearn_metrics.f1_score)),
    "auc": (AUC, area),
}


def rows(outputs: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(outputs)
    y = rng.standard_normal((N, outputs))
    target = rng.integers(0, max(2, outputs), N)
    return y, target


@together(
    pairwise(
        ("kind", KINDS.keys()),
        ("outputs", [1, 2, 4]),
        ("average", ["binary", "macro", "weighted", "micro"]),
        ("weighted", [False, True]),
    )
)
def test_any_division_into_batches_and_ranks(kind: str, outputs: int, average: str, weighted: bool) -> None:
    make, expected = KINDS[kind]
    if average == "binary" and outputs > 2:
        average = "macro"
    if kind == "auc" and average in ("binary", "micro"):
        average = "macro"
    y, target = rows(outputs)
    rng = np.random.default_rng(0)
    mask, weight = rng.random(N) < 0.8, rng.integers(0, 4, N) * 0.5
    used = mask & (weight > 0) if weighted else mask
    wanted = expected(y[used], target[used], average, weight[used] if weighted else None)
    given = target[:, None] if outputs == 1 else target

    def add(metric: Metric, begin: int, end: int) -> Metric:
        part = slice(begin, end)
        metric.add(y[part], given[part], mask[part], weight[part] if weighted else None)
        return metric

    metric = make(average)
    for begin, end in ((0, 1), (1, 60), (60, 60), (60, 67), (67, N)):
        add(metric, begin, end)
    assert type(metric.value) is float
    assert metric.value == pytest.approx(wanted, rel=1e-12)
    assert pickle.loads(pickle.dumps(metric)).value == metric.value
    merged = make(average)
    merged.merge(
        [add(make(average), 0, 90).state(), add(make(average), 90, N).state(), make(average).state()]
    )
    assert merged.value == pytest.approx(wanted, rel=1e-12)
    assert merged.count == pytest.approx(weight[used].sum() if weighted else used.sum())


def test_in_a_trainer_on_two_ranks() -> None:
    rng = np.random.default_rng(1)
    x, target = rng.standard_normal((4, 9, 2)), rng.integers(0, 2, 9)
    data = [(x, target)]

    def measure(comm: Any) -> dict[str, float]:
        net = bptt.Sequential(bptt.GRU(2, 3, seed=1), bptt.Last(), bptt.Linear(3, 2, seed=2))
        metrics = [F1(), Precision(), Recall(), AUC()]
        options = {"metrics": metrics, "progress": False, "comm": comm}
        trainer = bptt.Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.1), **options)
        return trainer.measure(bptt.data.Shard(data, comm) if comm else data)

    alone = measure(None)
    assert set(alone) == {"loss", "f1", "precision", "recall", "auc"}
    for found in returned(run(2, measure)):
        assert found == pytest.approx(alone, rel=1e-6)


def test_rows_without_an_answer(subtests: pytest.Subtests) -> None:
    y, target = np.array([[0.0, 1.0], [np.nan, 1.0], [1.0, 0.0]]), np.array([1, 1, 0])
    for kind, expected in ((Precision, 1.0), (Recall, 0.5), (F1, 2 / 3), (AUC, np.nan)):
        with subtests.test(kind.__name__):
            metric = kind()
            with pytest.raises(ValueError, match=f"{metric.name} needs a row that is not masked"):
                _ = metric.value
            metric.add(y, target)
            np.testing.assert_allclose(metric.value, expected, rtol=1e-15)
            metric.reset()
            metric.add(y[:1], target[:1])
            np.testing.assert_equal(metric.value, np.nan if kind is AUC else 1.0)
            metric.reset()
            metric.add(y[2:], target[2:])  # no row of class 1 occurs or is predicted: 0 / 0
            np.testing.assert_equal(metric.value, np.nan if kind is AUC else 0.0)


BAD: dict[str, tuple[Callable[[], Any], str]] = {
    "average of three": (
        lambda: F1().add(np.zeros((2, 3)), [0, 1]),
        'average must be "macro".*F1\\("macro"\\)',
    ),
    "unknown average": (lambda: F1("median"), "average must be 'binary' or 'macro'"),
    "average of AUC": (lambda: AUC("micro"), "average must be 'macro' or 'weighted'"),
    "fraction": (lambda: F1().add(np.zeros((2, 1)), [[0.5], [1]]), "target must hold 0 or 1 .*; got 0.5"),
    "class 2": (lambda: AUC().add(np.zeros((2, 2)), [0, 2]), "target must hold classes from 0 to 1; got 2"),
}


def test_bad_input(subtests: pytest.Subtests) -> None:
    for name, (call, message) in BAD.items():
        with subtests.test(name), pytest.raises(ValueError, match=message):
            call()
    for kind in (F1, AUC):
        metric = kind("macro")
        metric.add(np.zeros((2, 3)), [0, 1])
        with subtests.test(kind.__name__), pytest.raises(ValueError, match="as in earlier batches, 3; got 2"):
            metric.add(np.zeros((2, 2)), [0, 1])


def test_without_scikit_learn() -> None:
    code = (
        "import sys; sys.modules['sklearn'] = None\n"
        "import bptt\n"
        "bptt.metrics.Accuracy()\n"
        "bptt.metrics.AUC()\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "ImportError: AUC needs scikit-learn: pip install 'bptt[sklearn]'" in done.stderr
