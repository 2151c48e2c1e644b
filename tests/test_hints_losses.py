"""Messages about targets and gradients name the likely mistake and its fix."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.metrics import RMSE, Accuracy, BinaryAccuracy
from bptt.optim import Clip, ClipGroups, ClipNorm, ClipValue, NoClip, NonFiniteError

T, B, C = 7, 5, 4
Y = np.random.default_rng(0).standard_normal((T, B, C)).astype(np.float32)
CLASSES = np.random.default_rng(1).integers(0, C, (T, B))
ONE_HOT = np.eye(C, dtype=int)[CLASSES]
NAMES = np.array(["a", "b", "c", "d"])[CLASSES]
LAST = "outputs have one row for each time step, targets one for each sequence"
ADD_LAST = "Fix: add bptt.Last() before the Linear layer (bptt.Ends() after a bidirectional layer)."
ARGMAX = "Fix: target.argmax(-1)"
UNIQUE = "Fix: names, target = numpy.unique(target, return_inverse=True)."


CLASS_HINTS: dict[str, tuple[Any, type[Exception], list[str]]] = {
    "forgot Last": (CLASSES[0], ValueError, [LAST, ADD_LAST]),
    "forgot Last, one-hot": (ONE_HOT[0], ValueError, [ARGMAX, "add bptt.Last()", "for each time step"]),
    "one-hot integers": (ONE_HOT, ValueError, ["one class for each row", "(7, 5, 4)", f"{ARGMAX}."]),
    "one-hot floats": (ONE_HOT.astype(np.float32), TypeError, ["float32", f"{ARGMAX}."]),
    "one-hot bools": (ONE_HOT == 1, TypeError, ["bool", f"{ARGMAX}."]),
    "one-hot list": (ONE_HOT.tolist(), ValueError, [f"{ARGMAX}."]),
    "one-hot, batch first": (ONE_HOT.swapaxes(0, 1), ValueError, [f"{ARGMAX}.T", "swapped"]),
    "probabilities": (np.full((T, B, C), 1 / C), TypeError, [f"{ARGMAX}."]),
    "names": (NAMES, TypeError, ["integers from 0 to 3", f"got '{NAMES[0, 0]}'", UNIQUE]),
    "names in a list": (NAMES.tolist(), TypeError, [UNIQUE]),
    "names as objects": (NAMES.astype(object), TypeError, [UNIQUE]),
    "names as bytes": (NAMES.astype("S"), TypeError, [UNIQUE]),
    "ignore index": (np.where(CLASSES == 1, -100, CLASSES), ValueError, ["got -100", "mask=target != -100"]),
    "counted from 1": (CLASSES + 1, ValueError, ["got 4", "number the classes from 0", "as many outputs"]),
    "batch first": (CLASSES.T, ValueError, ["got (5, 7)", "Fix: target.transpose(1, 0)."]),
    "axis of length 1": (CLASSES[..., None], ValueError, ["Fix: drop the last axis, target[..., 0]."]),
    "floats": (CLASSES.astype(float), TypeError, ["Fix: pass target.astype(numpy.int64)."]),
    "anything else": (CLASSES[:3], ValueError, ["must have shape (7, 5); got (3, 5). Fix: reshape or slice"]),
}


def check(call: Callable[[], object], error: type[Exception], words: list[str]) -> None:
    with pytest.raises(error) as caught:
        call()
    message = str(caught.value)
    assert re.match(r"target must .*; got .* Fix: .*\.$", message), message
    for part in words:
        assert part in message, message
    if not any("add bptt.Last()" in part for part in words):
        assert "bptt.Last()" not in message, message


def test_targets_of_classes(subtests: pytest.Subtests) -> None:
    for name in CLASS_HINTS:
        with subtests.test(name):
            target, error, words = CLASS_HINTS[name]
            for call in (bptt.CrossEntropy(), bptt.CrossEntropy().value, Accuracy().add):
                check(partial(call, Y, target), error, words)


def test_targets_of_classes_in_pandas() -> None:
    pandas = pytest.importorskip("pandas")
    y = Y[0]
    for names in (pandas.Series(list("abcda")), pandas.Series(list("abcda"), dtype="category")):
        check(lambda names=names: bptt.CrossEntropy()(y, names), TypeError, [UNIQUE])  # type: ignore[misc]
    check(lambda: bptt.CrossEntropy()(y, pandas.DataFrame(np.eye(5)[:, :4])), TypeError, [ARGMAX])


def test_masked_classes_are_not_blamed() -> None:
    target, mask = CLASSES.copy(), np.ones((T, B), bool)
    target[0, 0], mask[0, 0], target[2, 2] = -100, False, 9
    with pytest.raises(ValueError, match="classes from 0 to 3; got 9"):
        bptt.CrossEntropy()(Y, target, mask)


def test_foreign_errors_keep_their_message() -> None:
    class Elsewhere:
        def __array__(self, *arguments: object, **options: object) -> np.ndarray:
            raise RuntimeError("on another device")

    with pytest.raises(TypeError, match=r"target must be readable .* on another device"):
        bptt.CrossEntropy()(Y, Elsewhere())


def test_batch_first_outputs() -> None:
    y = np.ascontiguousarray(Y.swapaxes(0, 1))
    check(lambda: bptt.CrossEntropy()(y, CLASSES[0]), ValueError, [LAST, ADD_LAST])
    check(lambda: bptt.CrossEntropy()(y, CLASSES), ValueError, ["Fix: target.transpose(1, 0)."])
    check(lambda: bptt.CrossEntropy()(y, ONE_HOT), ValueError, [f"{ARGMAX}.T"])
    check(lambda: bptt.MeanSquaredError()(y, Y), ValueError, ["Fix: target.transpose(1, 0, 2)."])


NUMBER_HINTS: dict[str, tuple[Any, list[str]]] = {
    "forgot Last": (Y[0], [LAST, ADD_LAST]),
    "batch first": (Y.swapaxes(0, 1), ["got (5, 7, 4)", "another order", "Fix: target.transpose(1, 0, 2)."]),
    "channels before time": (Y.transpose(1, 2, 0), ["got (5, 4, 7)", "Fix: target.transpose(2, 0, 1)."]),
    "one axis more": (Y[..., None], ["Fix: drop the last axis, target[..., 0]."]),
    "anything else": (Y[:3], ["must have shape (7, 5, 4); got (3, 5, 4). Fix: reshape or slice"]),
}


@pytest.mark.parametrize("name", NUMBER_HINTS)
def test_targets_of_numbers(name: str) -> None:
    target, words = NUMBER_HINTS[name]
    check(lambda: bptt.MeanSquaredError()(Y, target), ValueError, words)
    check(lambda: RMSE().add(Y, target), ValueError, words)
    check(lambda: bptt.BinaryCrossEntropy()(Y, target), ValueError, words)
    check(lambda: BinaryAccuracy().add(Y, target), ValueError, words)


def test_as_many_steps_as_sequences() -> None:
    y = np.zeros((B, B, C), np.float32)
    check(lambda: bptt.MeanSquaredError()(y, np.zeros((B, C, B))), ValueError, ["target.transpose(2, 0, 1)"])


def test_one_output() -> None:
    y, target = Y[..., :1], Y[..., 0]
    check(
        lambda: bptt.MeanSquaredError()(y, target),
        ValueError,
        ["Fix: add the axis of features, target[..., N"],
    )
    check(lambda: bptt.MeanSquaredError()(y[0], target[0]), ValueError, ["target[..., None]"])


def test_the_fixes_work(subtests: pytest.Subtests) -> None:
    for name in CLASS_HINTS:
        with subtests.test(name):
            target, _, words = CLASS_HINTS[name]
            loss, target = bptt.CrossEntropy(), np.asarray(target)
            expected = loss.value(Y, CLASSES)
            if f"{ARGMAX}." in words:
                fixed: Any = target.argmax(-1)
                assert fixed.shape == CLASSES.shape
            elif f"{ARGMAX}.T" in words:
                assert loss.value(Y, target.argmax(-1).T) == expected
            elif UNIQUE in words:
                assert loss.value(Y, np.unique(target, return_inverse=True)[1].reshape(T, B)) == expected
            elif "mask=target != -100" in words:
                assert loss.value(Y, target, mask=target != -100) == loss.value(Y, CLASSES, CLASSES != 1)
            elif name == "batch first":
                assert loss.value(Y, target.transpose(1, 0)) == expected


def test_a_classifier_without_last() -> None:
    net = bptt.Sequential(bptt.LSTM(3, 6, seed=0), bptt.Linear(6, C, seed=1))
    x, target = np.zeros((T, B, 3), np.float32), CLASSES[0]
    fit = bptt.Trainer(net, bptt.CrossEntropy(), bptt.Adam(), progress=False)
    check(lambda: fit.fit([(x, target)]), ValueError, [LAST, ADD_LAST])
    fixed = bptt.Sequential(bptt.LSTM(3, 6, seed=0), bptt.Last(), bptt.Linear(6, C, seed=1))
    bptt.Trainer(fixed, bptt.CrossEntropy(), bptt.Adam(), progress=False).fit([(x, target)])


# A gradient that is not finite


ADVICE: dict[str, tuple[Callable[[], Clip], str]] = {
    "no clip": (NoClip, "lower the learning rate, or pass clip=ClipNorm(1.0)"),
    "by norm": (lambda: ClipNorm(1.0), "lower the learning rate or the limit of the clip"),
    "by value": (lambda: ClipValue(1.0), "lower the learning rate or the limit of the clip"),
    "groups": (lambda: ClipGroups({"*": ClipNorm(1.0)}), "lower the learning rate or the limit of the clip"),
}


@pytest.mark.parametrize("name", ADVICE)
def test_a_nonfinite_gradient(name: str) -> None:
    clip, advice = ADVICE[name]
    net = bptt.Linear(2, 1, seed=0)
    net.flat_gradients[0] = np.nan
    with pytest.raises(NonFiniteError) as caught:
        clip()(net)
    message = str(caught.value)
    assert "look for NaN or infinite values in the data" in message
    assert f'{advice}; nonfinite="skip" skips such updates.' in message


def test_a_nonfinite_gradient_in_a_trainer() -> None:
    net = bptt.Sequential(bptt.LSTM(3, 6, seed=0), bptt.Linear(6, C, seed=1))
    x = np.full((T, B, 3), np.nan, np.float32)
    fit = bptt.Trainer(net, bptt.CrossEntropy(), bptt.Adam(), progress=False)
    with pytest.raises(NonFiniteError, match=r"lower the learning rate, or pass clip=ClipNorm\(1\.0\)"):
        fit.fit([(x, CLASSES)])
