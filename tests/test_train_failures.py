"""Training that is interrupted, diverges, or is given something it cannot use."""

from __future__ import annotations

import math
import os
import signal
import threading
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise
from tests.training import B, T, Watch, batch, by_hand, model, numbers, trainer
from tests.waiting import wait_until

import bptt
from bptt.optim import NoClip, NonFiniteError
from bptt.train import Trainer


def interrupt(trainer: Trainer) -> None:
    if len(trainer.history["loss"]) == 3:
        raise KeyboardInterrupt


class InterruptedLoss(bptt.CrossEntropy):
    """Ctrl-C in the middle of a step, when gradients are there in part."""

    calls = 0

    def __call__(self, *arguments: Any) -> Any:
        self.calls += 1
        if self.calls == 4:
            raise KeyboardInterrupt
        return super().__call__(*arguments)


@pytest.mark.parametrize("where", ["callback", "step"])
@pytest.mark.parametrize("progress", [False, True])
def test_interrupt_leaves_the_model_usable(progress: bool, where: str) -> None:
    net, hand, data = model(), model(), [batch(seed) for seed in range(5)]
    watch = Watch(interrupt if where == "callback" else lambda trainer: None)
    loss = bptt.CrossEntropy() if where == "callback" else InterruptedLoss()
    fit = Trainer(net, loss, bptt.SGD(0.5), callbacks=[watch], progress=progress)
    with pytest.raises(KeyboardInterrupt):
        fit.fit(data)
    assert len(fit.history["loss"]) == 3
    assert watch.seen[-1] == "fit end"
    assert not net.flat_gradients.any()
    by_hand(hand, [(x, target, None) for x, target in data[:3]], [True] * 3)
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)
    assert math.isfinite(fit.evaluate(data))
    assert len(trainer(net).fit(data)["loss"]) == 5


def test_ctrl_c_gets_through_while_the_core_computes() -> None:
    """The signal comes from outside, at any moment of a run that would go on for ever."""
    net = bptt.Sequential(bptt.LSTM(2, 96, 2, seed=1), bptt.Linear(96, 2, seed=2))
    data = [(np.zeros((200, 8, 2)), np.ones((200, 8, 2)))]
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(1e-3), progress=False)
    updates: list[int] = []

    def send() -> None:
        wait_until(lambda: len(fit.history["loss"]) > 2)
        os.kill(os.getpid(), signal.SIGINT)
        updates.append(len(fit.history["loss"]))

    sender = threading.Thread(target=send)
    sender.start()
    with pytest.raises(KeyboardInterrupt):
        fit.fit(data, epochs=10**9)
    sender.join()
    assert len(fit.history["loss"]) <= updates[0] + 1  # the update that was under way, at most
    assert not net.flat_gradients.any()
    assert np.isfinite(net.flat_parameters).all()
    assert len(fit.fit(data)["loss"]) == 1


def real_model(**options: Any) -> bptt.Sequential:
    """Reads numbers, so that one of them can be infinite."""
    return bptt.Sequential(
        bptt.Linear(2, 4, seed=1), bptt.LSTM(4, 5, 2, seed=2, **options), bptt.Linear(5, 2, seed=3)
    )


@pairwise(("bad", [np.nan, np.inf]), ("truncate", [None, 5]))
def test_nonfinite_input_is_traced_to_its_step(bad: float, truncate: int | None) -> None:
    for step in [0, 4, 7, 11]:
        net, (x, target) = real_model(), numbers()
        x[step, 1, 0] = bad
        fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.0), truncate=truncate, progress=False)
        before = net.flat_parameters.copy()
        update = 0 if truncate is None else step // truncate
        words = (
            f"update {update} of epoch 0, loss nan; "
            f"gate i of layer 0 of model.1. is not finite at step {step} "
        )
        with pytest.raises(NonFiniteError, match=words):
            fit.fit([(x, target)])
        np.testing.assert_array_equal(net.flat_parameters, before)
        assert len(fit.history["loss"]) == update


def test_nonfinite_target_is_traced_on_the_way_back() -> None:
    net, (x, target) = real_model(), numbers()
    target[7, 2, 1] = np.inf
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    with pytest.raises(
        NonFiniteError, match=r"loss inf; dL/dh of layer 1 of model\[1\] is not finite at step 7"
    ):
        fit.fit([(x, target)])


def test_nonfinite_in_the_reverse_direction_starts_from_the_end() -> None:
    # Only the reverse direction overflows, at step 8, and relu hands it on to step 0.
    net = bptt.RNN(2, 2, nonlinearity="relu", bidirectional=True, seed=1)
    net.parameters["weight_ih_l0_reverse"][...] = 1e20
    net.parameters["weight_hh_l0_reverse"][...] = 1
    x = np.zeros((T, B, 2))
    x[8] = 1e20
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    with pytest.raises(NonFiniteError, match="h of layer 0, reverse direction, is not finite at step 8"):
        fit.fit([(x, np.zeros((T, B, 4)))])


@pytest.mark.parametrize("planted", range(len(real_model().parameters)))
def test_nonfinite_parameter_stops_before_the_update(planted: int) -> None:
    net = real_model()
    name = list(net.parameters)[planted]
    net.parameters[name].flat[0] = np.nan
    before = net.flat_parameters.copy()
    with pytest.raises(NonFiniteError, match="nothing was changed"):
        Trainer(net, bptt.MeanSquaredError(), bptt.Adam(), progress=False).fit([numbers()])
    np.testing.assert_array_equal(net.flat_parameters, before)


def test_a_state_that_is_not_finite_is_not_carried_on() -> None:
    net, hand = real_model(), real_model()
    x, target = numbers()
    x[3] = np.nan
    options = {"clip": NoClip("skip"), "truncate": 5, "progress": False}
    history = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), **options).fit([(x, target)])
    np.testing.assert_array_equal(np.isfinite(history["grad_norm"]), [False, True, True])
    Trainer(hand, bptt.MeanSquaredError(), bptt.SGD(0.1), **options).fit([(x[5:], target[5:])])
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)


def test_skip_goes_on_with_the_next_batch() -> None:
    net, hand = real_model(), real_model()
    good, bad = numbers(), numbers()
    bad[0][3] = np.nan
    clip = NoClip("skip")
    fit = Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), clip=clip, progress=False)
    history = fit.fit([good, bad, good])
    Trainer(hand, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False).fit([good, good])
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)
    np.testing.assert_array_equal(np.isfinite(history["grad_norm"]), [True, False, True])
    assert clip.nonfinite_steps == 1


class Once:
    """Iterable a single time, unlike what its length promises."""

    def __init__(self) -> None:
        self._rest = iter([batch()])

    def __iter__(self) -> Iterator[Any]:
        return (item for item in self._rest)


X, TARGET = batch()
ERRORS: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no model": (lambda: Trainer("lstm", bptt.CrossEntropy(), bptt.SGD()), TypeError, "model must"),
    "a class as loss": (lambda: Trainer(model(), bptt.CrossEntropy, bptt.SGD()), TypeError, "loss must"),
    "a rate as optimizer": (lambda: Trainer(model(), bptt.CrossEntropy(), 0.1), TypeError, "optimizer must"),
    "a number as clip": (lambda: trainer(model(), clip=5.0), TypeError, r"clip must .*ClipNorm\(5.0\)"),
    "truncate 0": (lambda: trainer(model(), truncate=0), ValueError, "truncate must"),
    "truncate a float": (lambda: trainer(model(), truncate=2.0), TypeError, "truncate must"),
    "a function as callback": (lambda: trainer(model(), callbacks=[print]), TypeError, "callbacks must"),
    "progress a number": (lambda: trainer(model(), progress=1), TypeError, "progress must"),
    "seed a text": (lambda: trainer(model(), seed="7"), TypeError, "seed must"),
    "truncate reads backward": (
        lambda: trainer(bptt.GRU(2, 3, bidirectional=True), truncate=4),
        ValueError,
        "truncate needs .*bidirectional",
    ),
    "a stream reads backward": (
        lambda: trainer(bptt.GRU(2, 3, bidirectional=True)).fit(
            bptt.data.TextStream("abc", batch_size=1, steps=1)
        ),
        ValueError,
        "carries state .*bidirectional",
    ),
    "epochs 0": (lambda: trainer(model()).fit([batch()], epochs=0), ValueError, "epochs must"),
    "no data": (lambda: trainer(model()).fit([]), ValueError, "got none in epoch 0"),
    "a generator twice": (
        lambda: trainer(model()).fit(iter([batch()]), epochs=2),
        TypeError,
        "once per epoch",
    ),
    "data used up": (lambda: trainer(model()).fit(Once(), epochs=2), ValueError, "got none in epoch 1"),
    "arrays instead of batches": (
        lambda: trainer(model()).fit([X, TARGET]),
        TypeError,
        "data must give batches",
    ),
    "lengths out of range": (
        lambda: trainer(model()).fit([(X, TARGET, [T + 1] * B)]),
        ValueError,
        f"lengths must lie between 0 and T = {T}",
    ),
    "lengths out of range, truncated": (
        lambda: trainer(model(), truncate=2).fit([(X, TARGET, [-1] * B)]),
        ValueError,
        "lengths must lie between 0 and T",
    ),
    "resets that are numbers": (
        lambda: trainer(model()).fit([{"x": X, "target": TARGET, "reset": X * 0}]),
        TypeError,
        "reset must be an array of booleans",
    ),
    "resets of another shape": (
        lambda: trainer(model()).fit([{"x": X, "target": TARGET, "reset": X[:-1] == 0}]),
        ValueError,
        "reset must have shape",
    ),
    "unknown key": (lambda: trainer(model()).fit([{"x": X, "y": TARGET}]), ValueError, "got 'y'"),
    "no target": (lambda: trainer(model()).fit([{"x": X}]), ValueError, "must hold 'target'"),
    "no x": (lambda: trainer(model()).predict([{"target": TARGET}]), ValueError, "must hold 'x'"),
    "neither x nor target": (
        lambda: trainer(model()).fit([{"mask": TARGET > 0}]),
        ValueError,
        r"must hold 'x'; got \['mask'\]",
    ),
    "x a number": (lambda: trainer(model()).fit([(3, TARGET)]), ValueError, "x must have shape"),
    "x a number, truncated": (
        lambda: trainer(model(), truncate=1).fit([(3, TARGET)]),
        ValueError,
        "x must have shape",
    ),
    "batches of four": (
        lambda: trainer(model()).predict([(X, TARGET, [T] * B, None)]),
        TypeError,
        r"data must give batches .*got a tuple of 4",
    ),
    "arrays that look like pairs": (
        lambda: trainer(model()).fit([np.stack([X, TARGET])]),
        TypeError,
        "data must give batches .*got a ndarray",
    ),
    "targets too few": (lambda: trainer(model()).fit([(X, TARGET[:-1])]), ValueError, "target must"),
    "mask too short to cut": (
        lambda: trainer(model(), truncate=5).fit([{"x": X, "target": TARGET, "mask": TARGET[:5] > 0}]),
        ValueError,
        "mask must have 12 steps",
    ),
    "one target per sequence, cut": (
        lambda: trainer(model(batch_first=True), truncate=5).fit([(X.T, TARGET[-1])]),
        ValueError,
        rf"target must have {T} steps on axis 1.*got shape \({B},\)",
    ),
    "nothing to evaluate": (
        lambda: trainer(model()).evaluate([{"x": X, "target": TARGET, "mask": X < 0}]),
        ValueError,
        "row that counts",
    ),
}


def test_bad_input(subtests: pytest.Subtests) -> None:
    for name in ERRORS:
        with subtests.test(name):
            call, error, message = ERRORS[name]
            with pytest.raises(error, match=message):
                call()
