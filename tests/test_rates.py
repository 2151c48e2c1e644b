"""Learning rates of groups of parameters."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model

import bptt
from bptt.optim import SGD, Adam, AdamW, Optimizer, RMSProp
from bptt.train import Trainer

OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "sgd": SGD,
    "momentum": lambda lr, **options: SGD(lr, momentum=0.9, nesterov=True, weight_decay=0.01, **options),
    "rmsprop": lambda lr, **options: RMSProp(lr, momentum=0.5, **options),
    "adam": Adam,
    "adamw": AdamW,
}
ROUNDS = 4


def trained(optimizer: Optimizer, parts: Callable[[str], bool] = lambda name: True) -> dict[str, np.ndarray]:
    """Parameters after some updates, from gradients that do not depend on them."""
    net, rng = model(), np.random.default_rng(0)
    for _ in range(ROUNDS):
        net.flat_gradients[...] = rng.standard_normal(net.flat_gradients.size)
        optimizer.step(net)
    return {name: array.copy() for name, array in net.parameters.items() if parts(name)}


@pytest.mark.parametrize("kind", OPTIMIZERS)
def test_each_group_goes_at_its_own_rate(kind: str) -> None:
    make = OPTIMIZERS[kind]
    groups = {"0.*": 0.5, "*bias*": 2.0, "*weight_hh*": 0.0}

    def factor(name: str) -> float:
        if name.startswith("0."):
            return 0.5
        return 2.0 if "bias" in name else 0.0 if "weight_hh" in name else 1.0

    found = trained(make(0.25, lr_factors=groups))
    for rate in (0.0, 0.5, 1.0, 2.0):
        alone = trained(make(0.25 * rate), lambda name, rate=rate: factor(name) == rate)  # type: ignore[misc]
        assert alone
        for name, array in alone.items():
            assert np.array_equal(found[name], array), name


def test_a_factor_of_zero_keeps_the_parameters() -> None:
    before = {name: array.copy() for name, array in model().parameters.items()}
    after = trained(Adam(0.1, lr_factors={"1.*": 0}))
    for name, array in after.items():
        assert np.array_equal(array, before[name]) == name.startswith("1.")


def test_the_first_pattern_that_fits_takes_a_name() -> None:
    one, two = (trained(SGD(0.5, lr_factors=groups)) for groups in ({"0.*": 0.5}, {"0.*": 0.5, "*": 1.0}))
    assert all(np.array_equal(one[name], two[name]) for name in one)
    other = trained(SGD(1.5))
    all_of_them = trained(SGD(0.5, lr_factors={"*": 3.0}))
    assert all(np.array_equal(other[name], all_of_them[name]) for name in other)


def test_schedules_move_all_groups() -> None:
    schedule = bptt.schedules.Step(0.5, every_updates=2, factor=0.5)
    found = trained(SGD(schedule, lr_factors={"2.*": 0.5}))
    plain = trained(SGD(schedule))
    half = trained(SGD(bptt.schedules.Step(0.25, every_updates=2, factor=0.5)))
    for name, array in found.items():
        assert np.array_equal(array, (half if name.startswith("2.") else plain)[name])


def test_a_resumed_run_has_the_same_bits(tmp_path: Path) -> None:
    def parts(factor: float = 0.1) -> Any:
        return bptt.CrossEntropy(), Adam(0.01, lr_factors={"0.*": factor})

    data = [batch(1), batch(2)]
    whole = Trainer(model(), *parts(), progress=False)
    whole.fit(data, epochs=3)
    first = Trainer(model(), *parts(), progress=False)
    first.fit(data, epochs=1)
    first.save(tmp_path / "run")
    again = Trainer.resume(tmp_path / "run", *parts(), progress=False)
    again.fit(data, epochs=3)
    assert np.array_equal(again.model.flat_parameters, whole.model.flat_parameters)
    with pytest.raises(ValueError, match=r"optimizer.lr_factors.0\.\* was 0.1, now 0.2"):
        Trainer.resume(tmp_path / "run", *parts(0.2), progress=False)


BAD: dict[str, tuple[Any, type[Exception], str]] = {
    "no mapping": ([("0.*", 1.0)], TypeError, "lr_factors must be a mapping"),
    "no pattern": ({0: 1.0}, TypeError, "lr_factors must be a mapping"),
    "negative": ({"0.*": -1.0}, ValueError, r"lr_factors\['0.\*'\] must"),
    "text": ({"0.*": "1"}, TypeError, r"lr_factors\['0.\*'\] must"),
    "fits none": ({"7.*": 1.0}, ValueError, r"lr_factors\['7.\*'\] must match a parameter"),
    "all taken": (
        {"*": 1.0, "0.*": 1.0},
        ValueError,
        "must match a parameter that no earlier pattern matches",
    ),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input(name: str) -> None:
    value, error, message = BAD[name]
    net = model()
    before = net.flat_parameters.copy()
    net.flat_gradients[...] = 1
    with pytest.raises(error, match=message) as caught:
        SGD(0.5, lr_factors=value).step(net)
    assert "Fix: " in str(caught.value)
    assert np.array_equal(net.flat_parameters, before)
