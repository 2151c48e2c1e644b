"""What the messages of the training loop say to somebody who made a common mistake."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.training import batch, model, trainer

import bptt
from bptt.train import Trainer

X, TARGET = batch()


def test_fit_with_two_arrays() -> None:
    with pytest.raises(
        TypeError,
        match=r"perhaps the target. Fix: pass batches, bptt.data.Arrays\(x, y, .* \[\(x, target\)\]",
    ) as error:
        trainer(model()).fit(X, TARGET)  # type: ignore[arg-type]
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 250
    assert "(T, B, features)" in str(error.value)
    assert "(B, T, features)" in str(error.value)


def test_fit_with_one_array() -> None:
    with pytest.raises(
        TypeError, match=r"got one ndarray. Fix: pass bptt.data.Arrays\(x, y, .* \[\(x, target\)\]"
    ):
        trainer(model()).fit(X)


@pytest.mark.parametrize("data", [3, X, "text", b"text", {"x": X}, None])
def test_data_that_are_no_iterable_of_batches(data: Any) -> None:
    for call in ["evaluate", "predict"]:
        name = type(data).__name__
        words = rf"^data must be an iterable of batches; got one {name}. Fix: pass a list, data=\[batch\].$"
        with pytest.raises(TypeError, match=words):
            getattr(trainer(model()), call)(data)


def test_data_for_one_pass_may_be_used_up_by_it() -> None:
    fit = trainer(model())
    assert fit.evaluate(iter([(X, TARGET)])) == fit.evaluate([(X, TARGET)])
    assert len(fit.fit(iter([(X, TARGET)]))["loss"]) == 1
    with pytest.raises(TypeError, match="once per epoch; got list_iterator, used up after one"):
        fit.fit(iter([(X, TARGET)]), epochs=2)


@pytest.mark.parametrize(
    ("name", "value", "fix"),
    [
        ("loss", "mse", "bptt.MeanSquaredError()"),
        ("loss", "MSE", "bptt.MeanSquaredError()"),
        ("loss", "sparse_categorical_crossentropy", "bptt.CrossEntropy()"),
        ("loss", "binary_crossentropy", "bptt.BinaryCrossEntropy()"),
        ("loss", bptt.CrossEntropy, "an object, CrossEntropy(...)"),
        ("optimizer", "adam", "bptt.Adam(1e-3)"),
        ("optimizer", bptt.Adam, "an object, Adam(...)"),
        ("clip", 1.0, "bptt.ClipNorm(1.0)"),
    ],
)
def test_names_of_other_libraries(name: str, value: Any, fix: str) -> None:
    arguments: dict[str, Any] = {"loss": bptt.CrossEntropy(), "optimizer": bptt.SGD(0.1), name: value}
    with pytest.raises(TypeError) as error:
        Trainer(model(), **arguments)
    assert str(error.value).startswith(f"{name} must be a bptt.")
    assert str(error.value).endswith(f"Fix: pass {fix}.")


@pytest.mark.parametrize(
    ("name", "value", "not_said"),
    [
        ("loss", "adam", "Adam"),
        ("optimizer", "mse", "MeanSquaredError"),
        ("clip", True, "True)."),
        ("clip", 0, "ClipNorm(0)"),
        ("clip", -1.0, "ClipNorm(-1.0)"),
    ],
)
def test_no_hint_names_what_would_be_refused(name: str, value: Any, not_said: str) -> None:
    arguments: dict[str, Any] = {"loss": bptt.CrossEntropy(), "optimizer": bptt.SGD(0.1), name: value}
    with pytest.raises(TypeError, match=f"^{name} must be a bptt") as caught:
        bptt.Trainer(model(), **arguments)
    assert not_said not in str(caught.value).partition("Fix:")[2]


def test_epochs_may_be_an_integer_of_numpy() -> None:
    fit = trainer(model())
    fit.fit([batch()], np.int64(2))  # type: ignore[arg-type]
    assert fit.epochs_done == 2


def test_data_that_say_time_first_say_per_step_too() -> None:
    class Data(list[Any]):
        time_first = True

    with pytest.raises(TypeError, match="data with time_first must have an attribute per_step"):
        trainer(model(batch_first=True)).fit(Data([batch()]))


def test_an_unbatched_sequence_for_a_classifier() -> None:
    net = bptt.Sequential(bptt.LSTM(2, 4, seed=1), bptt.Last(), bptt.Linear(4, 3, seed=2))
    fit = Trainer(net, bptt.CrossEntropy(), bptt.SGD(0.1), progress=False)
    with pytest.raises(ValueError, match=r"x must have a batch axis.*got shape \(7, 2\).*x\[:, None\]"):
        fit.fit([(np.zeros((7, 2)), np.array(1))])


def test_metrics_without_validation() -> None:
    fit = trainer(model(), metrics=[bptt.metrics.Accuracy()])
    before = fit.model.flat_parameters.copy()
    with pytest.raises(ValueError, match=r"validation must be given .*accuracy.*fit\(data, validation="):
        fit.fit([(X, TARGET)])
    assert np.array_equal(fit.model.flat_parameters, before)


@pytest.mark.parametrize("value", [np.zeros((40, 40)), [[0] * 9] * 40, "a\nb" * 50])
def test_no_message_shows_more_than_a_line_of_a_value(value: Any) -> None:
    with pytest.raises(TypeError) as error:
        bptt.LSTM(3, value)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200


def test_validation_that_is_used_up_after_one_epoch() -> None:
    fit = trainer(model())
    before = fit.model.flat_parameters.copy()
    with pytest.raises(TypeError, match=r"validation must be .* once per epoch; got .*Fix: pass a list"):
        fit.fit([(X, TARGET)], epochs=2, validation=iter([(X, TARGET)]))
    np.testing.assert_array_equal(fit.model.flat_parameters, before)


def test_fixed_parameters_of_something_else_than_a_model() -> None:
    with pytest.raises(TypeError, match=r"model must be a layer or a Sequential; got 3"):
        bptt.SGD(0.1).fixed(3)  # type: ignore[arg-type]
