"""Losses of users: functions, and subclasses of `bptt.Loss`."""

from __future__ import annotations

import pickle
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model, numbers

import bptt
from bptt.losses import FunctionLoss, Loss
from bptt.train import Trainer


def squared(y: Any, target: Any, mask: Any) -> tuple[float, Any]:
    """The mean squared error, as a user would write it."""
    keep = np.ones(y.shape[:-1], bool) if mask is None else mask
    difference = np.where(keep[..., None], y - target, 0)
    count = keep.sum() * y.shape[-1]
    return float((difference**2).sum() / count), 2 * difference / count


class Squared(Loss):
    """The mean squared error, row by row."""

    def per_row(self, y: Any, target: Any) -> tuple[Any, Any]:
        return ((y - target) ** 2).mean(axis=-1), 2 * (y - target) / y.shape[-1]


def trained(loss: Any, **options: Any) -> tuple[np.ndarray, np.ndarray]:
    net = bptt.Sequential(
        bptt.LSTM(2, 4, seed=1, dtype="float64"), bptt.Linear(4, 2, seed=2, dtype="float64")
    )
    fit = Trainer(net, loss, bptt.SGD(0.5), progress=False, **options)
    x, target = numbers()
    mask = np.random.default_rng(0).random(x.shape[:-1]) < 0.7
    data = [(x, target), {"x": x, "target": target, "mask": mask}, (x[:5], target[:5], [5, 2, 1])]
    history = fit.fit(data, epochs=2, validation=data)
    return net.flat_parameters, np.append(history["loss"], history["validation_loss"])


@pytest.mark.parametrize("loss", [squared, Squared(), FunctionLoss(squared)], ids=["f", "Loss", "both"])
def test_training_with_a_users_loss_is_training_with_the_same_loss_of_the_package(loss: Any) -> None:
    for options in ({}, {"accumulate": 2}, {"truncate": (4, 8), "accumulate": 2}):
        found, expected = trained(loss, **options), trained(bptt.MeanSquaredError(), **options)
        np.testing.assert_allclose(found[0], expected[0], rtol=0, atol=1e-13)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-13)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_base_class_applies_mask_weights_and_reduction(reduction: str) -> None:
    rng = np.random.default_rng(1)
    y, target = rng.standard_normal((6, 3, 2)), rng.standard_normal((6, 3, 2))
    mask, weight = rng.random((6, 3)) < 0.6, rng.integers(0, 3, (6, 3)) * 0.5
    y[~mask] = np.nan
    value, dy = Squared(reduction=reduction)(y, target, mask, weight)
    terms = y.shape[-1] if reduction == "sum" else 1
    expected, dexpected = bptt.MeanSquaredError(reduction=reduction)(y, target, mask, weight)
    assert value * terms == pytest.approx(expected, rel=1e-13)
    np.testing.assert_allclose(dy * terms, dexpected, rtol=1e-13, atol=1e-15)
    assert Squared()(y, target, np.zeros((6, 3), bool))[0] == 0.0
    assert Squared()(y[:0], target[:0])[1].shape == (0, 3, 2)


def test_a_function_is_named_in_the_settings_of_a_run(tmp_path: Any) -> None:
    def other(y: Any, target: Any, mask: Any) -> Any:
        return squared(y, target, mask)

    net, data = bptt.GRU(2, 2, seed=1), [numbers()]
    fit = Trainer(net, squared, bptt.SGD(0.1), progress=False)
    assert repr(fit.loss) == "FunctionLoss(squared)"
    fit.fit(data)
    fit.save(tmp_path / "run")
    again = Trainer.resume(tmp_path / "run", squared, bptt.SGD(0.1), progress=False)
    again.fit(data, epochs=2)
    fit.fit(data)
    np.testing.assert_array_equal(again.model.flat_parameters, net.flat_parameters)
    with pytest.raises(ValueError, match=r"loss\.function was squared, now other"):
        Trainer.resume(tmp_path / "run", other, bptt.SGD(0.1), progress=False)


class Wrong(Loss):
    """Returns what it is given."""

    def __init__(self, result: Any) -> None:
        self.result = result

    def per_row(self, y: Any, target: Any) -> Any:
        return self.result(y)


RESULTS: dict[str, tuple[Any, Any, type[Exception], str]] = {
    "one number": (lambda y: 1.0, lambda y: y, TypeError, "must return a pair"),
    "three": (lambda y: (1.0, y, y), lambda y: (y, y, y), TypeError, "must return a pair"),
    "an array as value": (lambda y: (y, y), lambda y: (y, y), Exception, "must return"),
    "infinite": (
        lambda y: (np.inf, y),
        lambda y: (np.full(len(y), np.inf), y),
        ValueError,
        "must return a finite value for finite outputs; got inf",
    ),
    "gradient of another shape": (
        lambda y: (1.0, y[..., 0]),
        lambda y: (y[:, 0], y[:, 0]),
        ValueError,
        "must return dL/dy in y's shape",
    ),
    "gradient of text": (
        lambda y: (1.0, "gradient"),
        lambda y: (y[:, 0], "gradient"),
        TypeError,
        "must return dL/dy as an array of real numbers",
    ),
}


def test_wrong_results(subtests: pytest.Subtests) -> None:
    y = np.ones((4, 3, 5))
    for name, (whole, rows, error, message) in RESULTS.items():
        for loss in (FunctionLoss(lambda y, target, mask, whole=whole: whole(y)), Wrong(rows)):
            with subtests.test(name, loss=type(loss).__name__):
                with pytest.raises(error, match=message) as caught:
                    loss(y, y)
                assert "Fix: " in str(caught.value)


ARGUMENTS: dict[str, tuple[Any, str]] = {
    "two arguments": (lambda y, target: (0.0, y), r"callable as f\(y, target, mask\)"),
    "a class": (
        bptt.CrossEntropy,
        r"loss must be a bptt.Loss, or a function .* pass an object, CrossEntropy\(...\)",
    ),
    "a name": ("mse", r"loss must be a bptt.Loss, .*MeanSquaredError\(\)"),
    "None": (None, r"loss must be a bptt\.Loss"),
}


def test_wrong_arguments(subtests: pytest.Subtests) -> None:
    for name, (loss, message) in ARGUMENTS.items():
        with subtests.test(name), pytest.raises(TypeError, match=message):
            Trainer(model(), loss, bptt.SGD(), progress=False)
    with subtests.test("no per_row"), pytest.raises(NotImplementedError, match="Loss must define per_row"):
        Loss()(np.ones((2, 1)), np.ones((2, 1)))
    x, target = numbers()
    data = [{"x": x, "target": target, "weight": np.ones(x.shape[:-1])}]
    fit = Trainer(bptt.GRU(2, 2), squared, bptt.SGD(), progress=False)
    with subtests.test("weights"), pytest.raises(TypeError, match="must have an argument named weight"):
        fit.fit(data)
    with subtests.test("target"), pytest.raises(ValueError, match="target must have one entry for each row"):
        Squared()(np.ones((4, 3, 2)), np.ones((3, 4, 2)))


def test_nan_outputs_are_left_to_the_policy_of_the_clip() -> None:
    x, target = batch()
    net = model()
    loss = bptt.CrossEntropy()
    fit = Trainer(
        net,
        lambda y, target, mask: loss(y * np.nan, target, mask),
        bptt.SGD(0.1),
        clip=bptt.ClipNorm(1.0, nonfinite="skip"),
        progress=False,
    )
    net.parameters["2.bias"][0] = np.nan
    fit.fit([(x, target)])
    assert fit.clip.nonfinite_steps == 1


LOSSES = {
    "CrossEntropy()": bptt.CrossEntropy(),
    "CrossEntropy(class_weight=(1.0, 2.0), label_smoothing=0.1, ignore_index=-1)": bptt.CrossEntropy(
        class_weight=np.array([1, 2]), label_smoothing=0.1, ignore_index=-1
    ),
    "BinaryCrossEntropy(pos_weight=(3.0,))": bptt.BinaryCrossEntropy(pos_weight=3),
    "MeanSquaredError(reduction='sum')": bptt.MeanSquaredError(reduction="sum"),
    "MeanAbsoluteError()": bptt.MeanAbsoluteError(),
    "Huber()": bptt.Huber(1.0),
    "Huber(delta=0.5)": bptt.Huber(0.5),
    "Quantile((0.1, 0.9))": bptt.Quantile([0.1, 0.9]),
    "Squared()": Squared(),
}


def test_a_loss_reads_like_its_constructor(subtests: pytest.Subtests) -> None:
    for text, loss in LOSSES.items():
        with subtests.test(text):
            assert repr(loss) == text
            assert repr(eval(text, vars(bptt) | {"Squared": Squared})) == text
            assert repr(pickle.loads(pickle.dumps(loss))) == text


OPTIONS: dict[str, tuple[str, dict[str, Any], type[Exception], str]] = {
    "class weights of text": ("CrossEntropy", {"class_weight": ["a"]}, TypeError, "class_weight must"),
    "class weights of two axes": ("CrossEntropy", {"class_weight": [[1]]}, ValueError, "class_weight must"),
    "no class weights": ("CrossEntropy", {"class_weight": []}, ValueError, "class_weight must"),
    "a negative class weight": (
        "CrossEntropy",
        {"class_weight": [1, -1]},
        ValueError,
        r"class_weight\[1\] must",
    ),
    "a class weight NaN": ("CrossEntropy", {"class_weight": [np.nan]}, ValueError, r"class_weight\[0\] must"),
    "smoothing 1": ("CrossEntropy", {"label_smoothing": 1.0}, ValueError, "label_smoothing must"),
    "a float to ignore": ("CrossEntropy", {"ignore_index": 1.5}, TypeError, "ignore_index must"),
    "a negative weight": ("BinaryCrossEntropy", {"pos_weight": -1}, ValueError, r"pos_weight\[0\] must"),
    "delta 0": ("Huber", {"delta": 0.0}, ValueError, "delta must"),
    "no levels": ("Quantile", {"levels": []}, ValueError, "levels must hold"),
    "a level of 2": ("Quantile", {"levels": [0.1, 2]}, ValueError, r"levels\[1\] must be .*Fix: "),
    "level 1": ("Quantile", {"levels": 1.0}, ValueError, "levels must be"),
    "reduction": ("MeanSquaredError", {"reduction": "none"}, ValueError, "reduction must be 'mean' or 'sum'"),
}


def test_bad_options(subtests: pytest.Subtests) -> None:
    for name, (kind, options, error, message) in OPTIONS.items():
        with subtests.test(name), pytest.raises(error, match=message):
            getattr(bptt, kind)(**options)
    y = np.ones((2, 3))
    with subtests.test("length"), pytest.raises(ValueError, match="one weight for each of 3 classes; got 2"):
        bptt.CrossEntropy(class_weight=[1, 2])(y, [0, 1])
    with subtests.test("features"), pytest.raises(ValueError, match="each of the 3 features of y; got 2"):
        bptt.BinaryCrossEntropy(pos_weight=[1, 2])(y, y)
