"""Learning-rate schedules against closed forms, and the one that watches the validation loss."""

from __future__ import annotations

import copy
import json
import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.schedules import (
    Constant,
    Cosine,
    Exponential,
    MultiStep,
    OneCycle,
    Plateau,
    Schedule,
    Step,
    WarmUp,
)
from bptt.train import Trainer

EPS = float(np.finfo(np.float64).eps)
STEPS = np.arange(60)
CASES: dict[str, tuple[Schedule, np.ndarray]] = {
    "constant": (Constant(0.3), np.full(60, 0.3)),
    "step": (Step(0.3, 7), 0.3 * 0.1 ** (STEPS // 7)),
    "step factor": (Step(2, every_updates=1, factor=0.9), 2 * 0.9**STEPS),
    "cosine": (Cosine(0.3, 20), 0.15 * (1 + np.cos(np.pi * np.minimum(STEPS, 20) / 20))),
    "cosine final": (
        Cosine(0.3, 20, final=0.25),
        0.3 * (0.25 + 0.75 * np.cos(np.pi / 40 * np.minimum(STEPS, 20)) ** 2),
    ),
    "cosine restart": (Cosine(0.3, 20, restart=True), 0.15 * (1 + np.cos(np.pi * (STEPS % 20) / 20))),
    "warm-up": (WarmUp(9, 0.5), np.minimum(0.5, 0.05 * (STEPS + 1))),
    "warm-up, then": (
        WarmUp(9, Step(0.5, 10)),
        np.minimum(0.05 * (STEPS + 1), 0.5 * 0.1 ** (np.maximum(0, STEPS - 9) // 10)),
    ),
    "warm-up, then a function": (
        WarmUp(1, abs),
        np.maximum(0, STEPS - 1),
    ),
    "exponential": (Exponential(0.3, 0.9), 0.3 * 0.9**STEPS),
    "milestones": (MultiStep(0.3, [5, 5, 20], 0.5), 0.3 * 0.5 ** (2.0 * (STEPS >= 5) + (STEPS >= 20))),
    "no milestone": (MultiStep(0.3, ()), np.full(60, 0.3)),
    "one cycle of a line": (
        OneCycle(0.4, 41, pct_start=21 / 41, anneal_strategy="linear", div_factor=4, final_div_factor=2),
        np.interp(STEPS, [0, 20, 40], [0.1, 0.4, 0.05]),
    ),
    "plateau": (Plateau(0.3), np.full(60, 0.3)),
}


def test_closed_form(subtests: pytest.Subtests) -> None:
    for name in CASES:
        with subtests.test(name):
            schedule, expected = CASES[name]
            rates = [schedule(step) for step in range(60)]
            assert {type(rate) for rate in rates} == {float}
            # An argument of the cosine of up to pi, rounded, and four more operations.
            np.testing.assert_allclose(rates, expected, rtol=60 * EPS, atol=16 * EPS)
            assert schedule(0) >= 0
            assert schedule(np.int64(7)) == rates[7]


def test_ends_are_exact() -> None:
    assert Cosine(0.3, 20)(0) == 0.3
    assert Cosine(0.3, 20, final=0.25)(20) == Cosine(0.3, 20, final=0.25)(10**12) == 0.3 * 0.25
    assert Cosine(0.3, 20)(20) == 0
    assert Cosine(0.3, 20, restart=True)(40) == 0.3
    assert WarmUp(3, 0.3)(3) == 0.3
    assert Step(0.3, 1)(10**9) == 0  # underflows, and is still a rate


PEERS: dict[str, tuple[Schedule, str, dict[str, Any]]] = {
    "exponential": (Exponential(0.3, 0.97), "ExponentialLR", {"gamma": 0.97}),
    "milestones": (
        MultiStep(0.3, [3, 20, 21], 0.3),
        "MultiStepLR",
        {"milestones": [3, 20, 21], "gamma": 0.3},
    ),
    "step": (Step(0.3, 7, 0.4), "StepLR", {"step_size": 7, "gamma": 0.4}),
} | {
    f"one cycle {options}": (OneCycle(0.3, 50, **options), "OneCycleLR", {"max_lr": 0.3, **options})
    for options in (
        {},
        {"pct_start": 0.01},
        {"pct_start": 0.75, "anneal_strategy": "linear", "div_factor": 3.0},
        {"three_phase": True, "final_div_factor": 10.0},
        {"three_phase": True, "pct_start": 0.5, "anneal_strategy": "linear"},
    )
}


def test_pytorch(subtests: pytest.Subtests) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    for name, (schedule, kind, options) in PEERS.items():
        with subtests.test(name):
            peer_optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=0.3)
            cycle = {"total_steps": 50, "cycle_momentum": False} if kind == "OneCycleLR" else {}
            peer = getattr(torch.optim.lr_scheduler, kind)(peer_optimizer, **options, **cycle)
            expected = []
            for _ in range(50):
                expected.append(peer.get_last_lr()[0])
                peer_optimizer.step()
                peer.step() if len(expected) < 50 else None
            np.testing.assert_allclose([schedule(n) for n in range(50)], expected, rtol=1e-12)


@pytest.mark.parametrize("pct_start", [0.0, 0.3, 0.5])
def test_short_cycles_stay_between_their_rates(pct_start: float) -> None:
    for steps in range(1, 8):
        for three_phase in (False, True):
            cycle = OneCycle(1.0, steps, pct_start, three_phase=three_phase)
            rates = [cycle(step) for step in range(steps + 3)]
            assert all(0 <= rate <= 1 for rate in rates)
            assert rates[steps - 1 :] == [pytest.approx(1 / 25 / 1e4)] * 4


def test_in_an_optimizer(subtests: pytest.Subtests) -> None:
    for name in CASES:
        with subtests.test(name):
            schedule, expected = CASES[name]
            net, optimizer = model(), bptt.SGD(schedule)
            data = [batch(steps=2)]
            history = Trainer(net, bptt.CrossEntropy(), optimizer, progress=False).fit(
                data * 5, validation=data
            )
            np.testing.assert_allclose(history["lr"], expected[:5], rtol=60 * EPS, atol=16 * EPS)


def test_repr_and_pickle(subtests: pytest.Subtests) -> None:
    for name in [name for name in CASES if "function" not in name]:
        with subtests.test(name):
            schedule, _ = CASES[name]
            for other in (
                eval(repr(schedule)),
                pickle.loads(pickle.dumps(schedule)),
                copy.deepcopy(schedule),
            ):
                assert repr(other) == repr(schedule)
                assert [other(step) for step in range(60)] == [schedule(step) for step in range(60)]


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "rate of text": (lambda: Constant("fast"), TypeError, "lr must be a number >= 0"),  # type: ignore[arg-type]
    "negative rate": (lambda: Step(-1, 3), ValueError, "lr must"),
    "NaN": (lambda: Cosine(math.nan, 3), ValueError, "lr must"),
    "infinite": (lambda: Plateau(math.inf), ValueError, "lr must"),
    "no updates": (lambda: Step(1, 0), ValueError, "every_updates must"),
    "half an update": (lambda: Step(1, 2.5), TypeError, "every_updates must"),  # type: ignore[arg-type]
    "factor 1": (lambda: Step(1, 2, 1.0), ValueError, "factor must be a number > 0 and < 1"),
    "factor 0": (lambda: Plateau(1, factor=0.0), ValueError, "factor must"),
    "no steps": (lambda: Cosine(1, 0), ValueError, "steps must"),
    "final 1": (lambda: Cosine(1, 3, final=1.0), ValueError, "final must"),
    "restart 1": (lambda: Cosine(1, 3, restart=1), TypeError, "restart must be True or False"),  # type: ignore[arg-type]
    "exponential factor 1": (lambda: Exponential(1, 1.0), ValueError, "factor must"),
    "milestone 0": (lambda: MultiStep(1, [0]), ValueError, r"milestones\[0\] must be an int >= 1"),
    "milestones in disorder": (lambda: MultiStep(1, [3, 2]), ValueError, "milestones must be in increasing"),
    "an array without axes": (lambda: MultiStep(1, np.array(3)), TypeError, "milestones must be a list"),  # type: ignore[arg-type]
    "one milestone": (lambda: MultiStep(1, 3), TypeError, "milestones must be a list"),  # type: ignore[arg-type]
    "no cycle": (lambda: OneCycle(1, 0), ValueError, "steps must"),
    "all of it": (lambda: OneCycle(1, 9, 1.0), ValueError, "pct_start must"),
    "two rises": (lambda: OneCycle(1, 9, 0.6, three_phase=True), ValueError, "pct_start must be at most 0.5"),
    "a parabola": (lambda: OneCycle(1, 9, anneal_strategy="square"), ValueError, "anneal_strategy must"),
    "div_factor 0": (lambda: OneCycle(1, 9, div_factor=0), ValueError, "div_factor must"),
    "no warm-up": (lambda: WarmUp(0, 1.0), ValueError, "steps must"),
    "then text": (lambda: WarmUp(3, "cosine"), TypeError, "then must"),  # type: ignore[arg-type]
    "then negative": (lambda: WarmUp(3, -1.0), ValueError, "then must"),
    "then without a step": (lambda: WarmUp(3, lambda: 1.0), TypeError, "then must be a number or a schedule"),  # type: ignore[arg-type,misc]
    "then returns text": (lambda: WarmUp(3, lambda n: "fast")(9), TypeError, r"then\(6\) must be a number"),  # type: ignore[arg-type,return-value]
    "steps beyond float": (lambda: Cosine(1, 10**400), ValueError, "steps must be an int <="),
    "patience": (lambda: Plateau(1, patience=-1), ValueError, "patience must"),
    "min_delta": (lambda: Plateau(1, min_delta=-1.0), ValueError, "min_delta must"),
    "min_lr": (lambda: Plateau(1, min_lr=-1.0), ValueError, "min_lr must"),
    "min_lr above lr": (lambda: Plateau(1, min_lr=2.0), ValueError, "min_lr must be at most lr, 1; got 2"),
    "step -1": (lambda: Constant(1)(-1), ValueError, "step must be an int >= 0; got -1"),
    "step 0.5": (lambda: Constant(1)(0.5), TypeError, "step must"),  # type: ignore[arg-type]
}


def test_bad_arguments(subtests: pytest.Subtests) -> None:
    for name in BAD:
        with subtests.test(name):
            call, error, message = BAD[name]
            with pytest.raises(error, match=message) as caught:
                call()
            assert "\n" not in str(caught.value)
            assert "Fix: " in str(caught.value)


def hear(schedule: Plateau, losses: list[float]) -> list[float]:
    """The rate after each validation."""
    rates = []
    for epoch, loss in enumerate(losses):
        schedule.validation(None, epoch, loss)  # type: ignore[arg-type]
        rates.append(schedule(epoch))
    return rates


PLATEAUS: dict[str, tuple[dict[str, Any], list[float], list[int]]] = {
    "default": ({}, [1, 1, 1, 1, 1, 1, 1], [0, 0, 0, 1, 1, 1, 2]),
    "default, tiny improvements": ({}, [1, 1 - 1e-9, 1 - 2e-9, 1 - 3e-9, 1 - 4e-9], [0, 0, 0, 0, 0]),
    "falling": ({}, [3, 2, 1, 0.5], [0, 0, 0, 0]),
    "flat": ({"patience": 1}, [1, 1, 1, 1, 1, 1], [0, 0, 1, 1, 2, 2]),
    "one is enough": ({"patience": 0}, [1, 2, 0.5, 0.6], [0, 1, 1, 2]),
    "an improvement begins anew": ({"patience": 1}, [3, 4, 2, 3, 3, 1], [0, 0, 0, 0, 1, 1]),
    "worse than the best": ({"patience": 2}, [1, 9, 8, 7, 6], [0, 0, 0, 1, 1]),
    "too small": ({"patience": 1, "min_delta": 0.5}, [3, 2.75, 2.25, 2], [0, 0, 0, 0]),
    "too small for long": ({"patience": 1, "min_delta": 0.5}, [3, 2.75, 2.5, 2.4], [0, 0, 1, 1]),
    "NaN": ({"patience": 1}, [math.nan, math.nan, 1, math.nan, math.nan], [0, 1, 1, 1, 2]),
    "infinite": ({"patience": 0}, [math.inf, 1], [1, 1]),
}


def test_plateau(subtests: pytest.Subtests) -> None:
    for name in PLATEAUS:
        with subtests.test(name):
            options, losses, cuts = PLATEAUS[name]
            schedule = Plateau(0.5, factor=0.25, **options)
            assert hear(schedule, losses) == [0.5 * 0.25**count for count in cuts]
            assert schedule.cuts == cuts[-1]


def test_plateau_has_no_lower_bound_by_default() -> None:
    assert hear(Plateau(1.0, patience=0), [1.0] * 21)[-1] == pytest.approx(1e-20, rel=1e-12, abs=0)


def test_plateau_stays_above_min_lr() -> None:
    schedule = Plateau(1.0, factor=0.1, patience=0, min_lr=0.05)
    assert hear(schedule, [1.0] * 5) == [1.0, 0.1, 0.05, 0.05, 0.05]


class Scripted(Trainer):
    """Its validation losses are given."""

    losses: tuple[float, ...] = ()

    def measure(self, data: Any) -> dict[str, float]:
        return {"loss": self.losses[len(self.history["validation_loss"])]}


@pytest.mark.parametrize("among_callbacks", [False, True])
@pytest.mark.parametrize("warm", [False, True])
def test_plateau_in_the_trainer(warm: bool, among_callbacks: bool) -> None:
    plateau = Plateau(0.5, factor=0.5, patience=0)
    rate = WarmUp(1, plateau) if warm else plateau
    callbacks = [plateau] if among_callbacks else []
    fit = Scripted(model(), bptt.CrossEntropy(), bptt.SGD(rate), callbacks=callbacks, progress=False)
    fit.losses = (3.0, 3.0, 2.0, 2.5, 1.0)
    data = [batch(steps=2)] * 2
    history = fit.fit(data, epochs=5, validation=data)
    expected = [0.5, 0.5, 0.5, 0.5, 0.25, 0.25, 0.25, 0.25, 0.125, 0.125]
    assert history["lr"].tolist() == ([0.25, *expected[1:]] if warm else expected)
    fit.losses = (1.0,)
    # What it has seen stays: no better than before.
    fit.fit(data, validation=data)
    assert plateau(0) == 0.0625


def test_plateau_needs_validation() -> None:
    rate = Plateau(0.1)
    fit = Trainer(model(), bptt.CrossEntropy(), bptt.SGD(rate), callbacks=[rate], progress=False)
    fit.fit([batch()], validation=[batch()])
    with pytest.raises(ValueError, match=r"Plateau watches the validation; got None. Fix: call fit\("):
        fit.fit([batch()])


@pytest.mark.parametrize("heard", range(6))
def test_plateau_goes_on_from_its_state(heard: int) -> None:
    for warm in [False, True]:
        losses = [3.0, 2.0, 2.5, 2.0, 1.0, 1.5]
        whole = Plateau(0.5)
        expected = hear(whole, losses)
        first, second = Plateau(0.5), Plateau(0.5)
        rates = hear(first, losses[:heard])
        state = json.loads(json.dumps((WarmUp(3, first) if warm else first).state_dict(), allow_nan=False))
        (WarmUp(3, second) if warm else second).load_state_dict(state)
        assert rates + hear(second, losses[heard:]) == expected
        assert second.state_dict() == whole.state_dict()


def test_plateau_of_a_resumed_run(tmp_path: Path) -> None:
    class Save(Callback):
        def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
            if epoch == 2:
                trainer.save(tmp_path / "run")

    data = [batch(4, steps=2), batch(5, steps=2)]

    def parts() -> tuple[Plateau, bptt.SGD]:
        plateau = Plateau(0.5, factor=0.5, patience=0, min_delta=0.05)
        return plateau, bptt.SGD(WarmUp(2, plateau))

    plateau, optimizer = parts()
    callbacks = [plateau, Save()]
    whole = Trainer(model(), bptt.CrossEntropy(), optimizer, callbacks=callbacks, progress=False)
    expected = whole.fit(data, epochs=6, validation=data)
    resumed, optimizer = parts()
    fit = Trainer.resume(
        tmp_path / "run", bptt.CrossEntropy(), optimizer, callbacks=[resumed, Callback()], progress=False
    )
    assert 0 < resumed.cuts < plateau.cuts
    np.testing.assert_array_equal(fit.fit(data, epochs=6, validation=data)["lr"], expected["lr"])
    np.testing.assert_array_equal(fit.model.flat_parameters, whole.model.flat_parameters)
    assert resumed.state_dict() == plateau.state_dict()


STATE = {"cuts": 1, "best": 2.0, "waited": 1}
BAD_STATES: dict[str, tuple[Schedule, Any, type[Exception], str]] = {
    "no mapping": (Constant(1), 3, TypeError, "state must be a mapping"),
    "of another": (Cosine(1, 3), STATE, ValueError, r"Cosine\(.* must hold \[\]; got \['best', 'cuts'"),
    "of none": (Plateau(1), {}, ValueError, "got \\[\\]"),
    "one missing": (Plateau(1), {"cuts": 1, "best": 2.0}, ValueError, "must hold"),
    "one unknown": (Plateau(1), STATE | {"lr": 1}, ValueError, "must hold"),
    "cuts -1": (Plateau(1), STATE | {"cuts": -1}, ValueError, r"state\['cuts'\] must"),
    "best of text": (Plateau(1), STATE | {"best": "2"}, TypeError, r"state\['best'\] must"),
    "best NaN": (Plateau(1), STATE | {"best": math.nan}, ValueError, r"state\['best'\] must"),
    "waited True": (Plateau(1), STATE | {"waited": True}, TypeError, r"state\['waited'\] must"),
    "of a warm-up to a number": (WarmUp(2, 1.0), STATE, ValueError, r"must hold \[\]; got"),
    "within a warm-up": (WarmUp(2, Plateau(1)), STATE | {"cuts": 0.5}, TypeError, r"state\['cuts'\] must"),
}


def test_bad_state_changes_nothing(subtests: pytest.Subtests) -> None:
    for name in BAD_STATES:
        with subtests.test(name):
            schedule, state, error, message = BAD_STATES[name]
            before = schedule.state_dict()
            with pytest.raises(error, match=message) as caught:
                schedule.load_state_dict(state)
            assert "\n" not in str(caught.value)
            assert schedule.state_dict() == before


def test_schedules_without_state() -> None:
    for schedule in (Constant(1), Step(1, 2), Cosine(1, 2), WarmUp(2, 1.0), WarmUp(2, Cosine(1, 2))):
        assert schedule.state_dict() == {}
        schedule.load_state_dict({})
