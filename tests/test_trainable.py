"""`layer.trainable = False`: no gradient of the parameters, the same dx, and no update."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors
from tests.cells import CELLS, build
from tests.test_checkpoint import ABOUT, whole

import bptt
from bptt.files import CheckpointError
from bptt.reference.copies import rebuild

T, B = 9, 4
RNG = np.random.default_rng(0)
X = RNG.standard_normal((T, B, 3))
LENGTHS = np.array([9, 0, 4, 7])
SENTINEL = 7.0


def backward(layer: bptt.Module, x: Any, options: dict[str, Any], **backward_options: Any) -> list[Any]:
    """All results of a training step but the gradients of parameters."""
    y, _, tape = layer.forward(x, **options)
    dy = np.random.default_rng(1).standard_normal(y.shape).astype(layer.dtype)
    dx, dstate = layer.backward(tape, dy, **backward_options)
    norms = [getattr(tape, name, None) for name in ("dh_norm", "dc_norm")]
    return [y, dx, *(dstate if isinstance(dstate, tuple) else [dstate]), *norms]


def identical(left: list[Any], right: list[Any]) -> bool:
    pairs = zip(left, right, strict=True)
    return all(a is b is None or np.array_equal(a, b) for a, b in pairs)


def layers() -> dict[str, tuple[Callable[[], bptt.Module], Any, dict[str, Any]]]:
    cases: dict[str, Any] = {
        name: (lambda name=name: build(name, 3, 5, num_layers=2, seed=0), X, {}) for name in CELLS
    }
    return cases | {
        "both directions, lengths": (
            lambda: bptt.LSTM(3, 5, 2, bidirectional=True, peephole=True, seed=0),
            X,
            {"lengths": LENGTHS},
        ),
        "layer norm, projection": (
            lambda: bptt.LSTM(3, 5, layer_norm=True, proj_size=2, zoneout=0.2, seed=0),
            X,
            {},
        ),
        "recomputed": (lambda: bptt.GRU(3, 5, recurrent_dropout=0.3, seed=0), X, {"checkpoint": 2}),
        "rows in two halves": (
            lambda: bptt.LSTM(40, 96, 2, seed=0),
            np.random.default_rng(2).standard_normal((12, 64, 40)),
            {},
        ),
        "reference": (lambda: bptt.reference.GRU(3, 5, seed=0), X, {}),
        "LayerNorm": (lambda: bptt.LayerNorm(3), X, {}),
        "Linear": (lambda: bptt.Linear(3, 5, seed=0), X, {}),
        "wide Linear": (lambda: bptt.Linear(256, 256, seed=0), RNG.standard_normal((600, 256)), {}),
        "Embedding": (lambda: bptt.Embedding(5, 3, seed=0), RNG.integers(0, 5, (T, B)), {}),
    }


def test_gradients_of_parameters_are_not_computed(subtests: pytest.Subtests) -> None:
    threads = bptt.get_num_threads()
    for name, (make, x, options) in layers().items():
        with subtests.test(name):
            results = []
            for count in (1, 2):
                bptt.set_num_threads(count)
                for trainable in (True, False):
                    layer = make()
                    assert layer.trainable
                    layer.trainable = trainable
                    layer.flat_gradients[...] = SENTINEL
                    results.append(backward(layer, x, options))
                    assert (layer.flat_gradients == SENTINEL).all() != trainable
            bptt.set_num_threads(threads)
            assert all(identical(results[0], other) for other in results[1:])


def chain(**options: Any) -> bptt.Sequential:
    body = bptt.Parallel(a=bptt.GRU(3, 4, **options), b=bptt.Linear(3, 2, **options))
    return bptt.Sequential(
        bptt.Linear(3, 3, **options), bptt.Dropout(0.0), body, bptt.Linear(6, 2, **options), seed=0
    )


def test_of_models() -> None:
    model = chain()
    assert model.fixed_parameters == frozenset()
    model[2]["a"].trainable = False
    assert model.trainable
    assert model[2].fixed_parameters == {f"a.{name}" for name in model[2]["a"].parameters}
    assert model.fixed_parameters == {f"2.a.{name}" for name in model[2]["a"].parameters}
    model[2].trainable = False
    assert not model[2].trainable
    assert not model[2]["b"].trainable
    model.trainable = False
    assert model.fixed_parameters == frozenset(model.parameters)
    model.trainable = True
    assert not model.fixed_parameters
    for wrong in (1, None, "no"):
        with pytest.raises(TypeError, match="trainable must be"):
            model.trainable = wrong  # type: ignore[assignment]
    assert model.trainable


def test_a_run_that_changes_nothing_warns() -> None:
    model = bptt.GRU(3, 4, seed=0)
    data = [(np.ones((5, 2, 3)), np.zeros((5, 2, 4)))]
    for optimizer, trainable in ((bptt.SGD(0.1), False), (bptt.SGD(0.1, lr_factors={"*": 0.0}), True)):
        model.trainable = trainable
        before = model.flat_parameters.copy()
        with pytest.warns(UserWarning, match="got fixed parameters only. Fix: "):
            bptt.Trainer(model, bptt.MeanSquaredError(), optimizer, progress=False).fit(data)
        assert np.array_equal(model.flat_parameters, before)
    bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False).fit(data)
    assert not np.array_equal(model.flat_parameters, before)


def test_errors_stop_at_the_first_layer_that_needs_them() -> None:
    """The gradients are those of a pass that goes on to the start."""
    model, twin = chain(), chain()
    for part in (model[0], twin[0]):
        part.trainable = False
    y, _, tape = model.forward(X)
    assert model.backward(tape, y, need_dx=False)[0] is None
    _, _, tape = twin.forward(X)
    dx, _ = twin.backward(tape, y)
    assert dx.shape == X.shape
    assert np.array_equal(model.flat_gradients, twin.flat_gradients)
    calls: list[str] = []
    original = bptt.Linear.backward
    try:
        bptt.Linear.backward = lambda self, *args, **options: (  # type: ignore[method-assign]
            calls.append(repr(self)) or original(self, *args, **options)
        )
        model.backward(model.forward(X)[2], y, need_dx=False)
        assert "Linear(in_features=3, out_features=3)" not in calls
        model.backward(model.forward(X)[2], y)
        assert "Linear(in_features=3, out_features=3)" in calls
    finally:
        bptt.Linear.backward = original  # type: ignore[method-assign]


def test_checks() -> None:
    model = chain(dtype="float64")
    model[2]["a"].trainable = False
    report = bptt.gradcheck(model, X, entries=8)
    names = [row.name for row in report.rows]
    assert "gradients[2.b.weight]" in names
    assert "gradients[2.a.weight_hh_l0]" not in names
    assert bptt.crosscheck(model, X)
    assert bptt.reference.like(model).fixed_parameters == model.fixed_parameters
    assert rebuild(model, np.dtype(np.float32)).fixed_parameters == model.fixed_parameters
    assert bptt.first_nonfinite(model, X) is None
    assert bptt.gradient_flow(model, X).dh_norm.any()


OPTIMIZERS: dict[str, Callable[..., Any]] = {
    "SGD": lambda **options: bptt.SGD(0.1, momentum=0.9, weight_decay=0.1, **options),
    "AdamW": lambda **options: bptt.AdamW(0.01, weight_decay=0.1, **options),
    "RMSProp": lambda **options: bptt.RMSProp(0.01, weight_decay=0.1, **options),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_training_equals_that_with_factor_zero(name: str, tmp_path: Path) -> None:
    """Bit for bit: parameters, optimizer state, norms and limits, also after a resume."""
    target = RNG.standard_normal((T, B, 2))
    data = [(X, target), (X[::-1], target)]

    def run(clip: Any, *, by_factor: bool, **options: Any) -> bptt.Trainer:
        model = chain()
        model[2]["a"].trainable = by_factor
        factors = {"lr_factors": {"2.a.*": 0.0}} if by_factor else {}
        optimizer = OPTIMIZERS[name](**factors)
        trainer = bptt.Trainer(
            model, bptt.MeanSquaredError(), optimizer, clip=clip(), progress=False, **options
        )
        trainer.fit(data, 3)
        return trainer

    for clip in (
        lambda: bptt.ClipNorm(0.01),
        lambda: bptt.ClipNorm("auto"),
        lambda: bptt.ClipValue(0.001),
        lambda: bptt.ClipGroups({"2.*": bptt.ClipNorm(0.01), "*": bptt.ClipNorm(0.1)}),
    ):
        expected, actual = run(clip, by_factor=True), run(clip, by_factor=False)
        assert np.array_equal(actual.model.flat_parameters, expected.model.flat_parameters)
        assert np.array_equal(actual.history["grad_norm"], expected.history["grad_norm"])
        states = [trainer.optimizer.state_dict() for trainer in (actual, expected)]
        assert all(np.array_equal(states[0][key], states[1][key]) for key in states[0])
    start = chain()
    assert np.array_equal(actual.model[2]["a"].flat_parameters, start[2]["a"].flat_parameters)
    assert not np.array_equal(actual.model[2]["b"].flat_parameters, start[2]["b"].flat_parameters)
    actual.save(tmp_path / "run")
    resumed = bptt.Trainer.resume(
        tmp_path / "run", bptt.MeanSquaredError(), OPTIMIZERS[name](), clip=clip(), progress=False
    )
    assert resumed.model.fixed_parameters == actual.model.fixed_parameters
    resumed.fit(data, 4)
    again = run(clip, by_factor=True)
    again.fit(data, 1)
    assert np.array_equal(resumed.model.flat_parameters, again.model.flat_parameters)


def test_stale_gradients_count_nowhere() -> None:
    """Gradients from before the assignment do not count in a norm and are not clipped."""
    model = chain()
    model.flat_gradients[...] = 1
    model[0].trainable = False
    count = model.parameter_count - model[0].parameter_count
    assert bptt.clip_by_norm(model, 1e-3) == pytest.approx(np.sqrt(count))
    bptt.clip_by_value(model, 1e-6)
    assert (model[0].flat_gradients == 1).all()
    assert (model[3].flat_gradients < 1e-3).all()
    before = model.flat_parameters.copy()
    bptt.AdamW(0.1).step(model)
    assert np.array_equal(model[0].flat_parameters, before[: model[0].parameter_count])
    model.trainable = False
    assert bptt.clip_by_norm(model, 1.0) == 0.0


def test_the_regularizer_leaves_fixed_layers_out() -> None:
    model = bptt.Sequential(bptt.RNN(3, 4, seed=0), bptt.RNN(4, 4, seed=1))
    model[0].trainable = False
    y, _, tape = model.forward(X)
    model.backward(tape, np.ones_like(y), keep_errors=True)
    before = model[1].flat_gradients.copy()
    bptt.PascanuRegularizer(4.0)(tape)
    assert not model[0].flat_gradients.any()
    assert not np.array_equal(model[1].flat_gradients, before)


def test_copies_and_files_keep_it(tmp_path: Path, subtests: pytest.Subtests) -> None:
    model = chain()
    model[2]["a"].trainable = model[0].trainable = False
    bptt.save(tmp_path / "m", model)
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model)), bptt.load(tmp_path / "m")):
        assert twin.fixed_parameters == model.fixed_parameters
        assert isinstance(twin, bptt.Sequential)
        assert twin[3].trainable
    with safetensors.safe_open(tmp_path / "m", "numpy") as file:
        about = json.loads(file.metadata()["bptt"])
    assert about["trainable"] == [False, True, False, True, True]
    for flags in ([], [True, True], [1], ["no"], {}, "x", [[True]]):
        with subtests.test(flags=flags):
            (tmp_path / "m").write_bytes(whole(ABOUT | {"trainable": flags}))
            with pytest.raises(CheckpointError, match="trainable must hold true or false for each layer"):
                bptt.load(tmp_path / "m")
