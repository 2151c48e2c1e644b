"""Kind '"off" is not removal': a part that is switched off leaves the bits of a run without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.grids import pairwise
from tests.training import SYMBOLS, B, T, batch, model

import bptt
from bptt import schedules
from bptt.callbacks import Callback
from bptt.optim import SGD, Adam, AdamW, Clip, ClipGroups, ClipNorm, ClipValue, NoClip, Optimizer, RMSProp
from bptt.train import Trainer

LARGE = 1e30
"""Larger than every norm, entry, step or count here."""
DATA = [batch(), batch(5, rows=2)]
COLUMNS = ("loss", "grad_norm", "clipped", "lr")


def fitted(net: bptt.Module, optimizer: Optimizer, data: list[Any], **options: Any) -> dict[str, np.ndarray]:
    """History and last weights of a short run."""
    fit = Trainer(net, **{"loss": bptt.CrossEntropy()} | options, optimizer=optimizer, progress=False)
    history = fit.fit(data, epochs=2)
    return {name: history[name].copy() for name in COLUMNS} | {"weights": net.flat_parameters.copy()}


def assert_same(one: dict[str, np.ndarray], other: dict[str, np.ndarray]) -> None:
    for name, values in one.items():
        np.testing.assert_array_equal(values, other[name], err_msg=name)


def with_layer(position: int, layer: bptt.Module) -> bptt.Sequential:
    layers = list(model())
    return bptt.Sequential(*layers[:position], layer, *layers[position:])


OFF_IN_LAYERS: dict[str, tuple[Callable[[], bptt.Module], Callable[[], bptt.Module]]] = {
    name: (lambda cell=cell, options=options: model(cell, **options), lambda cell=cell: model(cell))
    for name, cell, options in (
        ("recurrent dropout", "lstm", {"recurrent_dropout": 0.0}),
        ("zoneout", "gru", {"zoneout": 0.0}),
        ("zoneout of h and c", "lstm", {"zoneout": (0.0, 0.0)}),
        ("projection", "lstm", {"proj_size": 0}),
        ("cell clip", "lstm", {"cell_clip": LARGE}),
        ("gate clip", "lstm", {"gate_clip": LARGE}),
    )
} | {
    "dropout between layers": (
        lambda: model("gru", num_layers=2, dropout=0.0),
        lambda: model("gru", num_layers=2),
    ),
    "dropout layer": (lambda: with_layer(2, bptt.Dropout(0.0, seed=9)), model),
}


@pytest.mark.parametrize("name", OFF_IN_LAYERS)
def test_layers(name: str) -> None:
    off, without = OFF_IN_LAYERS[name]
    assert_same(fitted(off(), SGD(0.5), DATA), fitted(without(), SGD(0.5), DATA))


OFF_IN_TRAINER: dict[str, dict[str, Any]] = {
    "no clip": {"clip": NoClip()},
    "clip by norm": {"clip": ClipNorm(LARGE)},
    "clip by value": {"clip": ClipValue(LARGE)},
    "no group clipped": {"clip": ClipGroups({"*weight_hh*": None, "*": None})},
    "groups": {"clip": ClipGroups({"*weight_hh*": ClipNorm(LARGE), "*": ClipValue(LARGE)})},
    "state clip by value": {"clip_state": LARGE},
    "state clip by norm": {"clip_state": ClipNorm(LARGE)},
    "truncate at T": {"truncate": T},
    "truncate beyond T": {"truncate": 10 * T},
    "truncate as a pair": {"truncate": (T, 2 * T)},
    "accumulate": {"accumulate": 1},
    "checkpoint": {"checkpoint": 2 * T},
    "metrics": {"metrics": ()},
    "callback": {"callbacks": [Callback()]},
}


@pytest.mark.parametrize("name", OFF_IN_TRAINER)
def test_options_of_the_trainer(name: str) -> None:
    assert_same(fitted(model(), SGD(0.5), DATA, **OFF_IN_TRAINER[name]), fitted(model(), SGD(0.5), DATA))


OFF_IN_BATCHES: dict[str, dict[str, Any]] = {
    "mask": {"mask": np.ones((T, B), bool)},
    "weight": {"weight": np.ones((T, B))},
    "lengths": {"lengths": np.full(B, T)},
    "reset": {"reset": np.zeros((T, B), bool)},
}


@pytest.mark.parametrize("name", OFF_IN_BATCHES)
def test_entries_of_batches(name: str) -> None:
    x, target = batch()
    off = [{"x": x, "target": target, **OFF_IN_BATCHES[name]}]
    assert_same(fitted(model(), SGD(0.5), off), fitted(model(), SGD(0.5), [(x, target)]))


OFF_IN_LOSSES: dict[str, dict[str, Any]] = {
    "class_weight": {"class_weight": np.ones(SYMBOLS)},
    "label_smoothing": {"label_smoothing": 0.0},
    "ignore_index": {"ignore_index": -100},
    "reduction": {"reduction": "mean"},
}


@pytest.mark.parametrize("name", OFF_IN_LOSSES)
def test_options_of_losses(name: str) -> None:
    loss = bptt.CrossEntropy(**OFF_IN_LOSSES[name])
    assert_same(fitted(model(), SGD(0.5), DATA, loss=loss), fitted(model(), SGD(0.5), DATA))


OFF_IN_OPTIMIZERS: dict[str, tuple[Callable[[], Optimizer], Callable[[], Optimizer]]] = {
    "momentum": (lambda: SGD(0.5, momentum=0.0), lambda: SGD(0.5)),
    "nesterov": (lambda: SGD(0.5, momentum=0.5, nesterov=False), lambda: SGD(0.5, momentum=0.5)),
    "momentum of RMSProp": (lambda: RMSProp(momentum=0.0), RMSProp),
    "weight decay of SGD": (lambda: SGD(0.5, weight_decay=0.0), lambda: SGD(0.5)),
    "weight decay of Adam": (lambda: Adam(weight_decay=0.0), Adam),
    "weight decay of AdamW": (lambda: AdamW(weight_decay=0.0), Adam),
    "centered": (lambda: RMSProp(centered=False), RMSProp),
    "initial accumulator": (lambda: RMSProp(initial_accumulator=0.0), RMSProp),
    "amsgrad": (lambda: Adam(amsgrad=False), Adam),
    "decay of no parameter": (lambda: Adam(weight_decay={}), Adam),
    "decay 0 by pattern": (lambda: AdamW(weight_decay={"*bias*": 0.0}), lambda: AdamW(weight_decay=0.0)),
    "one decay by pattern": (lambda: SGD(0.5, weight_decay={"*": 0.1}), lambda: SGD(0.5, weight_decay=0.1)),
    "factors of 1": (lambda: Adam(lr_factors={"0.*": 1.0, "*": 1.0}), Adam),
    "no factors": (lambda: Adam(lr_factors={}), Adam),
    "constant schedule": (lambda: SGD(schedules.Constant(0.5)), lambda: SGD(0.5)),
    "step that never comes": (lambda: SGD(schedules.Step(0.5, 10**9)), lambda: SGD(0.5)),
}


@pytest.mark.parametrize("name", OFF_IN_OPTIMIZERS)
def test_options_of_optimizers(name: str) -> None:
    off, without = OFF_IN_OPTIMIZERS[name]
    assert_same(fitted(model(), off(), DATA), fitted(model(), without(), DATA))


# Frozen parameters


CLIPS: dict[str, Callable[[], Clip]] = {
    "no limit": NoClip,
    "norm": lambda: ClipNorm(0.05),
    "auto": lambda: ClipNorm("auto"),
    "value": lambda: ClipValue(0.01),
    "groups": lambda: ClipGroups({"*bias*": ClipNorm("auto"), "*": ClipNorm(0.05)}),
}
OPTIMIZERS: dict[str, Callable[..., Optimizer]] = {
    "momentum": lambda **options: SGD(0.5, momentum=0.9, weight_decay=0.1, **options),
    "rmsprop": lambda **options: RMSProp(0.01, momentum=0.9, weight_decay=0.1, **options),
    "adamw": lambda **options: AdamW(0.01, weight_decay=0.1, **options),
}


@pairwise(("kind", OPTIMIZERS.keys()), ("clip", CLIPS.keys()), ("dtype", ["float32", "float64"]))
def test_a_frozen_first_layer(kind: str, clip: str, dtype: str) -> None:
    """An embedding with learning-rate factor 0 is the same as inputs that were embedded before."""

    def layers() -> list[bptt.Module]:
        return [
            bptt.Embedding(SYMBOLS, 4, seed=1, dtype=dtype),
            bptt.LSTM(4, 8, seed=2, dtype=dtype),
            bptt.Linear(8, SYMBOLS, seed=3, dtype=dtype),
        ]

    whole = bptt.Sequential(*layers())
    with_frozen = fitted(whole, OPTIMIZERS[kind](lr_factors={"0.*": 0}), DATA, clip=CLIPS[clip]())
    embedding, *rest = layers()
    embedded = [(embedding(x)[0], target) for x, target in DATA]
    without = fitted(bptt.Sequential(*rest), OPTIMIZERS[kind](), embedded, clip=CLIPS[clip]())
    count = embedding.parameter_count
    np.testing.assert_array_equal(with_frozen["weights"][:count], embedding.flat_parameters)
    assert_same(with_frozen | {"weights": with_frozen["weights"][count:]}, without)


@pytest.mark.parametrize("patterns", [{"1.*": 0.0}, {"*bias*": 0.0}, {"2.weight": 0, "0.*": 0.5}, {"*": 0.0}])
def test_frozen_parameters_count_in_no_norm(patterns: dict[str, float]) -> None:
    net = model()
    optimizer = Adam(0.1, lr_factors=patterns)
    fixed = optimizer.fixed(net)
    expected = {name for name in net.parameters if patterns == {"*": 0.0} or matches(name, patterns)}
    assert fixed == expected
    net.flat_gradients[...] = np.random.default_rng(0).standard_normal(net.flat_gradients.size)
    before = {name: array.copy() for name, array in net.gradients.items()}
    weights = {name: array.copy() for name, array in net.parameters.items()}
    trained = [before[name].astype(np.float64) for name in net.parameters if name not in fixed]
    norm = float(np.sqrt(sum(np.square(array).sum() for array in trained)))
    done = ClipNorm(0.5)(net, fixed)
    assert done.norm == pytest.approx(norm, rel=1e-12)
    assert done.clipped == (norm > 0.5)
    for name, array in net.gradients.items():
        factor = 1.0 if name in fixed else 0.5 / norm
        np.testing.assert_allclose(array, factor * before[name], rtol=1e-6)
    optimizer.step(net)
    for name, array in net.parameters.items():
        assert np.array_equal(array, weights[name]) == (name in fixed), name
    state = net_views(net, optimizer.state_dict()["v"])
    assert all(state[name].any() != (name in fixed) for name in net.parameters)


def matches(name: str, patterns: dict[str, float]) -> bool:
    kinds = {"1.*": name.startswith("1."), "*bias*": "bias" in name, "2.weight": name == "2.weight"}
    return any(kinds[pattern] for pattern, factor in patterns.items() if factor == 0)


def net_views(net: bptt.Module, flat: np.ndarray) -> dict[str, np.ndarray]:
    """A flat vector by parameter names."""
    bounds = np.cumsum([0, *(array.size for array in net.parameters.values())])
    return {name: flat[bounds[i] : bounds[i + 1]] for i, name in enumerate(net.parameters)}


@pairwise(
    (
        "clip",
        {
            "NoClip": NoClip,
            "ClipNorm": lambda **o: ClipNorm(1e9, **o),
            "ClipGroups": lambda **o: ClipGroups({"*": None}, **o),
        },
    ),
    ("policy", ["raise", "skip", "zero", "shrink"]),
    ("bad", [np.nan, np.inf]),
)
def test_frozen_gradients_need_not_be_finite(clip: Callable[..., Clip], policy: str, bad: float) -> None:
    net = model()
    optimizer = AdamW(0.1, lr_factors={"1.*": 0})
    net.flat_gradients[...] = 1.0
    net.gradients["1.weight_hh_l0"][0, 0] = bad
    checked = clip(nonfinite=policy)
    done = checked(net, optimizer.fixed(net))
    assert (np.isfinite(done.norm), done.update, checked.nonfinite_steps) == (True, True, 0)
    optimizer.step(net)
    assert np.isfinite(net.flat_parameters).all()
    net.gradients["2.weight"][0, 0] = bad
    if policy == "raise":
        with pytest.raises(bptt.NonFiniteError, match=r"gradient of 2\.weight"):
            checked(net, optimizer.fixed(net))
    else:
        assert not np.isfinite(checked(net, optimizer.fixed(net)).norm)
        np.testing.assert_array_equal(net.gradients["1.weight_hh_l0"][0, 0], bad)
