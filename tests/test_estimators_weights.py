"""Weights of sequences and classes in the estimators."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

from sklearn.metrics import recall_score
from sklearn.utils.class_weight import compute_class_weight

from bptt.estimators import SequenceClassifier, SequenceRegressor

RNG = np.random.default_rng(0)
X, Y = RNG.standard_normal((12, 5)), np.array(["a", "b", "a"] * 4)
TIMES = np.array([1, 2, 0, 3] * 3)
SMALL: dict[str, Any] = {"hidden_size": 4, "batch_size": 99, "lr": 0.02, "epochs": 4, "random_state": 0}
AGAIN = np.repeat(np.arange(12), TIMES)
FORMS = {"table": lambda rows: X[rows], "list": lambda rows: [X[i][: 3 + i % 3] for i in rows]}


@pytest.mark.parametrize("form", FORMS)
def test_a_weight_counts_as_a_sequence_that_occurs_so_often(form: str) -> None:
    """In batches of all sequences, up to the rounding of float32: sums of at most 18 rows, in 4 updates."""
    everything = np.arange(12)
    for kind, y in ((SequenceClassifier, Y), (SequenceRegressor, X[:, :2])):
        make = FORMS[form]
        models = (
            kind(standardize=False, **SMALL).fit(make(everything), y, sample_weight=TIMES),
            kind(standardize=False, **SMALL).fit(make(AGAIN), y[AGAIN]),
        )
        one, other = (model.model_.flat_parameters for model in models)
        np.testing.assert_allclose(one, other, rtol=0, atol=4 * 0.02 * 1e-3)


def test_sequences_of_weight_0_are_left_out() -> None:
    """With the bits of a fit without them, also of the scales."""
    kept = np.flatnonzero(TIMES)
    for kind, y in ((SequenceClassifier, Y), (SequenceRegressor, X[:, 0])):
        one = kind(**SMALL).fit(X, y, sample_weight=TIMES)
        other = kind(**SMALL).fit(X[kept], y[kept], sample_weight=TIMES[kept])
        np.testing.assert_array_equal(one.predict(X), other.predict(X))


def test_class_weight_multiplies_sample_weight() -> None:
    balanced = SequenceClassifier(class_weight="balanced", **SMALL).fit(X, Y)
    weights = dict(
        zip("ab", compute_class_weight("balanced", classes=np.array(["a", "b"]), y=Y), strict=True)
    )
    by_class = SequenceClassifier(class_weight=weights, **SMALL).fit(X, Y)
    by_row = SequenceClassifier(**SMALL).fit(X, Y, sample_weight=[weights[y] for y in Y])
    both = SequenceClassifier(class_weight={"b": 2.0}, **SMALL).fit(X, Y, sample_weight=np.full(12, 3.0))
    product = SequenceClassifier(**SMALL).fit(X, Y, sample_weight=np.where(Y == "b", 6.0, 3.0))
    for one, other in ((balanced, by_class), (balanced, by_row), (both, product)):
        np.testing.assert_array_equal(one.predict_proba(X), other.predict_proba(X))
    plain = SequenceClassifier(**SMALL).fit(X, Y)
    assert not np.array_equal(plain.predict_proba(X), balanced.predict_proba(X))
    parts = SequenceClassifier(class_weight=weights, **SMALL)
    for _ in range(4):
        parts.partial_fit(X, Y, classes=["a", "b"])
    assert parts.n_iter_ == 4


def test_parts_need_not_hold_every_class() -> None:
    """The second part lacks a class with a weight, and has one without a weight."""
    model = SequenceClassifier(class_weight={"a": 2.0, "b": 3.0}, **SMALL)
    model.partial_fit(X, Y, classes=["a", "b", "c"])
    model.partial_fit(X, np.where(Y == "b", "c", Y))
    assert model.n_iter_ == 2


def test_balanced_weights_find_a_rare_class() -> None:
    """One in 20 sequences belongs to it, and its mean is only a little higher."""
    rng = np.random.default_rng(1)
    y = (np.arange(600) % 20 == 0).astype(int)
    x = rng.standard_normal((600, 8)) + 0.6 * y[:, None]
    options = SMALL | {"epochs": 15, "batch_size": 32}
    train, test = slice(0, 400), slice(400, None)
    plain, balanced = (
        recall_score(
            y[test], SequenceClassifier(class_weight=w, **options).fit(x[train], y[train]).predict(x[test])
        )
        for w in (None, "balanced")
    )
    assert balanced > plain + 0.3


def test_early_stopping_weighs_the_validation_part() -> None:
    """Equal weights change nothing; other weights change the loss of the validation part."""
    options = SMALL | {"early_stopping": True, "validation_fraction": 0.3}
    plain, equal, other = (
        SequenceRegressor(**options).fit(X, X[:, 0], sample_weight=weight).validation_loss_curve_
        for weight in (None, np.full(12, 2.0), np.arange(1, 13))
    )
    np.testing.assert_allclose(plain, equal, rtol=1e-5)
    assert not np.allclose(plain, other, rtol=1e-3)


WRONG: dict[str, tuple[Any, dict[str, Any], str]] = {
    "zeros": (SequenceRegressor(), {"sample_weight": np.zeros(12)}, "(?i)sample.weight"),
    "below 0": (SequenceRegressor(), {"sample_weight": np.arange(-1, 11)}, "(?i)negative values"),
    "too few": (SequenceClassifier(), {"sample_weight": np.ones(5)}, "sample_weight"),
    "masked": (SequenceClassifier(), {"sample_weight": np.ma.ones(12)}, "sample_weight"),
    "a class of weight 0": (
        SequenceClassifier(class_weight={"a": 0, "b": 0}),
        {},
        "sample_weight must be above 0",
    ),
    "a word": (SequenceClassifier(class_weight="even"), {}, "class_weight must be 'balanced'; .*Fix: "),
    "a list": (SequenceClassifier(class_weight=[1, 2]), {}, "class_weight must be a dict.*Fix: "),
    "no class": (SequenceClassifier(class_weight={"a": 1, "c": 2}), {}, "got 'c'. Fix: correct this key"),
    "a negative class": (SequenceClassifier(class_weight={"a": -1}), {}, r"class_weight\['a'\] must be"),
}


def test_wrong_weights(subtests: pytest.Subtests) -> None:
    for name, (model, options, message) in WRONG.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=message):
            model.fit(X, Y if isinstance(model, SequenceClassifier) else X[:, 0], **options)
    with pytest.raises(ValueError, match="class_weight must be a dict or None for partial_fit"):
        SequenceClassifier(class_weight="balanced").partial_fit(X, Y, classes=["a", "b"])
