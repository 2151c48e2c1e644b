"""Layers side by side: several inputs, one flat vector."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_checkpoint import described, same

import bptt
from bptt.files import CheckpointError

T, B = 6, 4
RNG = np.random.default_rng(0)
X = {
    "sequence": RNG.standard_normal((T, B, 3)),
    "static": RNG.standard_normal((B, 2)),
}
IDS = RNG.integers(0, 5, (T, B))
SWAPPED = {"sequence": X["sequence"].swapaxes(0, 1), "static": X["static"]}
LENGTHS = np.array([6, 0, 2, 4])


def sequence(**options: Any) -> bptt.Sequential:
    return bptt.Sequential(
        bptt.LSTM(3, 4, **options), bptt.Last(batch_first=options.get("batch_first", False))
    )


def one_row(**options: Any) -> bptt.Sequential:
    """A model with one output per sequence."""
    return bptt.Sequential(
        bptt.Parallel(sequence=sequence(**options), static=bptt.Linear(2, 3)), bptt.Linear(7, 2), seed=0
    )


def per_step(**options: Any) -> bptt.Sequential:
    """A model with one output per step, whose static part is repeated at every step."""
    return bptt.Sequential(
        bptt.Parallel(sequence=bptt.LSTM(3, 4, **options), static=bptt.Linear(2, 3)),
        bptt.GRU(7, 3, **options),
        bptt.Linear(3, 2),
        seed=0,
    )


def text() -> bptt.Sequential:
    tokens = bptt.Sequential(bptt.Embedding(5, 3), bptt.GRU(3, 4), bptt.Last())
    return bptt.Sequential(
        bptt.Parallel(sequence=tokens, static=bptt.Linear(2, 3)), bptt.Linear(7, 2), seed=0
    )


def two_times() -> bptt.Sequential:
    """Two layers that read the same array."""
    both = bptt.Parallel(fast=bptt.GRU(3, 2), slow=bptt.Sequential(bptt.Linear(3, 2), bptt.Dropout(0.3)))
    return bptt.Sequential(both, bptt.Linear(4, 2), seed=0)


def nested() -> bptt.Parallel:
    return bptt.Parallel(
        both=bptt.Parallel(a=bptt.GRU(3, 2), b=bptt.Linear(2, 2)), c=bptt.Linear(2, 1), seed=0
    )


CASES: dict[str, tuple[Callable[[], bptt.Module], Any, dict[str, Any]]] = {
    "one row": (one_row, X, {}),
    "lengths": (one_row, X, {"lengths": LENGTHS}),
    "lengths of one part": (one_row, X, {"lengths": {"sequence": LENGTHS}}),
    "repeated": (per_step, X, {}),
    "batch first": (lambda: per_step(batch_first=True), SWAPPED, {"lengths": LENGTHS}),
    "unbatched": (per_step, {"sequence": X["sequence"][:, 0], "static": X["static"][0]}, {}),
    "ids": (text, {"sequence": IDS, "static": X["static"]}, {"lengths": LENGTHS}),
    "one array": (two_times, X["sequence"], {}),
    "nested": (nested, {"both": {"a": X["sequence"], "b": X["static"]}, "c": X["static"]}, {}),
}


def test_gradients(subtests: pytest.Subtests) -> None:
    for name, (make, x, options) in CASES.items():
        with subtests.test(name):
            bptt.gradcheck(make(), x, entries=8, **options)
            bptt.crosscheck(make(), x, **options)


def test_it_computes_what_its_layers_do() -> None:
    lstm, linear = bptt.LSTM(3, 4, seed=0), bptt.Linear(2, 3, seed=1)
    alone, other = bptt.LSTM(3, 4, seed=0), bptt.Linear(2, 3, seed=1)
    model = bptt.Parallel(sequence=lstm, static=linear)
    assert model["static"] is linear
    assert list(model) == ["sequence", "static"]
    assert list(model.parameters)[-2:] == ["static.weight", "static.bias"]
    y, state, tape = model.forward(X)
    left, left_state, left_tape = alone.forward(X["sequence"])
    right, _, right_tape = other.forward(X["static"])
    assert np.array_equal(y, np.concatenate([left, np.broadcast_to(right, (T, B, 3))], axis=-1))
    assert np.array_equal(state[0][1], left_state[1])
    assert state[1] is None
    assert np.array_equal(model(X)[0], y)
    dy = RNG.standard_normal(y.shape).astype(np.float32)
    dx, dstate = model.backward(tape, dy)
    left_dx, left_dstate = alone.backward(left_tape, dy[..., :4])
    right_dx, _ = other.backward(right_tape, dy[..., 4:].sum(axis=0))
    assert np.array_equal(dx["sequence"], left_dx)
    assert np.array_equal(dx["static"], right_dx)
    assert np.array_equal(dstate[0][0], left_dstate[0])
    assert np.array_equal(model.flat_gradients, np.concatenate([alone.flat_gradients, other.flat_gradients]))
    assert model.backward(tape, dy, need_dx=False)[0] is None


def test_one_array_for_all_layers_adds_their_errors() -> None:
    layers = {"a": bptt.Linear(3, 2, seed=0), "b": bptt.Linear(3, 1, seed=1), "ids": bptt.Dropout(0.0)}
    model = bptt.Parallel(**layers)
    y, _, tape = model.forward(X["sequence"])
    dx, _ = model.backward(tape, np.ones_like(y))
    weights = [model.parameters[name].sum(axis=0) for name in ("a.weight", "b.weight")]
    np.testing.assert_allclose(dx, np.broadcast_to(weights[0] + weights[1] + 1, dx.shape), rtol=1e-5)


def batches(*, swap: bool = False) -> list[dict[str, Any]]:
    rng = np.random.default_rng(1)
    made = []
    for _ in range(3):
        x = {name: rng.standard_normal(array.shape).astype(np.float32) for name, array in X.items()}
        target = x["static"][:, :1] + x["sequence"].cumsum(axis=0)
        if swap:
            x, target = x | {"sequence": x["sequence"].swapaxes(0, 1)}, target.swapaxes(0, 1)
        made.append({"x": x, "target": target[..., :2], "lengths": LENGTHS})
    return made


@pytest.mark.parametrize("batch_first", [False, True])
def test_training_and_resuming(batch_first: bool, tmp_path: Path) -> None:
    """Truncation cuts what has a time axis; every tool that reads the flat vector works."""
    data = batches(swap=batch_first)
    loss, path = bptt.MeanSquaredError(), tmp_path / "run"

    def trainer(model: bptt.Module, **options: Any) -> bptt.Trainer:
        optimizer = bptt.Adam(0.01, lr_factors={"0.static.*": 0.0, "*bias*": 2.0})
        return bptt.Trainer(
            model, loss, optimizer, clip=bptt.ClipNorm(1.0), truncate=(2, 4), progress=False, **options
        )

    model = per_step(batch_first=batch_first)
    fixed = model[0]["static"].flat_parameters.copy()
    whole = trainer(model)
    history = whole.fit(data, 6)
    assert np.mean(history["loss"][-9:]) < 0.9 * np.mean(history["loss"][:9])
    assert np.array_equal(model[0]["static"].flat_parameters, fixed)

    class Stop(bptt.Callback):
        def update(self, trainer: Any, update: Any) -> None:
            if len(trainer.history["loss"]) == 31:  # inside a batch
                trainer.save(path)
                trainer.stop()

    trainer(per_step(batch_first=batch_first), callbacks=[Stop()]).fit(data, 6)
    resumed = bptt.Trainer.resume(
        path,
        loss,
        bptt.Adam(0.01, lr_factors={"0.static.*": 0.0, "*bias*": 2.0}),
        clip=bptt.ClipNorm(1.0),
        truncate=(2, 4),
        progress=False,
    )
    changed = [batch | {"x": batch["x"] | {"static": batch["x"]["static"] + 1}} for batch in data]
    with pytest.raises(ValueError, match="data must give the same batches"):
        resumed.fit(changed, 6)
    resumed.fit(data, 6)
    assert np.array_equal(resumed.model.flat_parameters, model.flat_parameters)


def test_windows_have_the_bits_of_windows_cut_by_hand() -> None:
    """Truncation passes the static input to each window whole."""
    model, by_hand = per_step(), per_step()
    (batch, *_) = batches()
    options: dict[str, Any] = {"progress": False}
    trained = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), truncate=2, **options)
    trained.fit([batch])
    state = None
    for start in range(0, T, 2):
        steps = slice(start, start + 2)
        lengths = np.clip(LENGTHS - start, 0, 2)
        x = batch["x"] | {"sequence": batch["x"]["sequence"][steps]}
        y, state, tape = by_hand.forward(x, state, lengths=lengths)
        mask = np.arange(2)[:, None] < lengths
        _, dy = bptt.MeanSquaredError()(y, batch["target"][steps], mask)
        by_hand.zero_grad()
        by_hand.backward(tape, dy, need_dx=False)
        bptt.SGD(0.1).step(by_hand)
    assert np.array_equal(model.flat_parameters, by_hand.flat_parameters)


def test_data_of_the_package_for_layers_that_read_one_array() -> None:
    series = np.sin(np.arange(80) / 5)[:, None] + np.zeros((80, 3))
    data = bptt.data.Windows(series, steps=8, batch_size=4)
    for batch_first in (False, True):
        both = bptt.Parallel(
            fast=bptt.GRU(3, 2, batch_first=batch_first), slow=bptt.LSTM(3, 2, batch_first=batch_first)
        )
        model = bptt.Sequential(both, bptt.Linear(4, 3), seed=0)
        trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.Adam(0.01), progress=False)
        history = trainer.fit(data, 3)
        assert history["loss"][-1] < history["loss"][0]


def test_prediction_and_diagnosis() -> None:
    model = one_row()
    trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    (y,) = trainer.predict([{"x": X}])
    assert np.array_equal(y, model(X)[0])
    flow = bptt.gradient_flow(model, X, lengths=LENGTHS)
    assert flow.names == ("layer 0 of model[0]['sequence'][0]",)
    assert flow.dh_norm.shape == (1, T)
    assert bptt.first_nonfinite(model, X, lengths=LENGTHS) is None
    bad = X["static"].copy()
    bad[1, 0] = np.nan
    found = bptt.first_nonfinite(model, X | {"static": bad})
    assert str(found) == "x['static'] is not finite (nan at (1, 0))"
    model.parameters["0.sequence.0.weight_hh_l0"][0, 0] = np.inf
    found = bptt.first_nonfinite(model, X)
    assert found is not None
    assert found.where == "layer 0 of model[0]['sequence'][0]"


def test_files(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for make in (one_row, text, two_times, nested):
        model = make()
        bptt.save(tmp_path / "m", model)
        assert same(bptt.load(tmp_path / "m"), model)
    entry = {"kind": "Linear", "config": {"in_features": 1, "out_features": 1}}
    inner: Any = entry
    for _ in range(40):
        inner = {"kind": "Parallel", "config": {"parts": {"a": inner}}}
    hostile = {
        "no mapping": [entry],
        "an unknown kind": {"a": {"kind": "os.system", "config": {}}},
        "no identifier": {"a.b": entry},
        "the seed": {"seed": entry},
        "no layers": {},
        "too deep": {"a": inner},
        "too many": {f"a{n}": entry for n in range(1001)},
    }
    for name, parts in hostile.items():
        with subtests.test(name):
            (tmp_path / "m").write_bytes(described({"kind": "Parallel", "config": {"parts": parts}}))
            with pytest.raises(CheckpointError):
                bptt.load(tmp_path / "m")


def mistakes() -> dict[str, tuple[Callable[[], Any], type[Exception], str]]:
    model, lstm, linear = one_row(), bptt.LSTM(3, 4), bptt.Linear(2, 3)
    trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    target = np.zeros((B, 2))
    return {
        "no layers": (lambda: bptt.Parallel(), ValueError, r"Fix: pass layers, for example Parallel\(seq"),
        "no layer": (lambda: bptt.Parallel(a=3), TypeError, "got int at 'a'"),
        "twice": (lambda: bptt.Parallel(a=lstm, b=lstm), ValueError, "the same LSTM again at 'b'"),
        "dtypes": (
            lambda: bptt.Parallel(a=lstm, b=bptt.Linear(2, 2, dtype="float64")),
            ValueError,
            "float32 from layer 'a' on, float64 from layer 'b' on",
        ),
        "axes": (
            lambda: bptt.Parallel(a=bptt.LSTM(3, 4), b=bptt.LSTM(3, 4, batch_first=True)),
            ValueError,
            "layers must agree on batch_first",
        ),
        "no identifier": (lambda: bptt.Parallel(**{"a.b": linear}), ValueError, "got 'a.b'"),
        "a tuple": (lambda: model(tuple(X.values())), TypeError, r"got a tuple of arrays. Fix: pass {'seq"),
        "a name missing": (
            lambda: model({"sequence": X["sequence"]}),
            ValueError,
            "x must be a mapping with the names sequence, static, or one array; got the names sequence. Fix",
        ),
        "rows": (
            lambda: model({"sequence": X["sequence"], "static": X["static"][:1]}),
            ValueError,
            r"got outputs sequence \(4, 4\), static \(1, 3\). Fix: end layers",
        ),
        "steps": (
            lambda: bptt.Parallel(a=bptt.GRU(3, 2), b=bptt.GRU(3, 2))(
                {"a": X["sequence"], "b": X["sequence"][:2]}
            ),
            ValueError,
            r"got outputs a \(6, 4, 2\), b \(2, 4, 2\)",
        ),
        "a mapping for one input": (
            lambda: bptt.Trainer(bptt.GRU(3, 2), bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False).fit(
                [(X, target)]
            ),
            ValueError,
            "x must be one array; got a mapping.*or begin the model with Parallel",
        ),
        "a batch that lacks a name": (
            lambda: trainer.fit([({"static": X["static"]}, target)]),
            ValueError,
            "x must have an entry for each layer with an input; got static without sequence",
        ),
        "inputs in the place of a batch": (
            lambda: trainer.fit([X | {"target": target}]),
            ValueError,
            r'got \'sequence\'. Fix: pass {"x": {\'sequence\': ...}} if',
        ),
        "the wrong name": (
            lambda: model[0]["statics"],
            KeyError,
            "no layer 'statics'; the names are sequence",
        ),
        "recurrent after rows": (
            lambda: bptt.Sequential(bptt.Parallel(a=sequence(), b=bptt.Linear(2, 3)), bptt.GRU(7, 2)),
            ValueError,
            "must not have GRU after Last",
        ),
        "Parallel after rows": (
            lambda: bptt.Sequential(bptt.LSTM(3, 4), bptt.Last(), bptt.Parallel(a=bptt.GRU(4, 2))),
            ValueError,
            "must not have Parallel after Last",
        ),
        "truncated rows": (
            lambda: bptt.Trainer(
                model, bptt.MeanSquaredError(), bptt.SGD(0.1), truncate=2, progress=False
            ).fit([(X, target)]),
            ValueError,
            "target must have 6 steps on axis 0",
        ),
        "seed": (lambda: bptt.Parallel(a=model[0]["static"], seed=0), ValueError, "belong to no other model"),
    }


def test_mistakes(subtests: pytest.Subtests) -> None:
    for name, (call, error, text) in mistakes().items():
        with subtests.test(name), pytest.raises(error, match=text):
            call()


def test_orders_that_work() -> None:
    def rows() -> bptt.Parallel:
        return bptt.Parallel(a=sequence(), b=bptt.LSTM(3, 4))

    x = {"a": X["sequence"], "b": X["sequence"]}
    assert bptt.Sequential(rows(), bptt.GRU(8, 2))(x)[0].shape == (T, B, 2)
    after = bptt.Parallel(a=bptt.Linear(4, 2), b=bptt.Dropout(0.5))
    assert bptt.Sequential(bptt.LSTM(3, 4), bptt.Last(), after)(X["sequence"])[0].shape == (B, 6)


def test_a_seed_gives_independent_streams() -> None:
    def model(seed: Any) -> bptt.Parallel:
        return bptt.Parallel(a=bptt.Linear(3, 4, seed=1), b=bptt.Linear(3, 4, seed=1), seed=seed)

    first, again = model(0), model(0)
    assert np.array_equal(first.flat_parameters, again.flat_parameters)
    assert not np.array_equal(first.parameters["a.weight"], first.parameters["b.weight"])
    unseeded = model(None)
    assert np.array_equal(unseeded.parameters["a.weight"], unseeded.parameters["b.weight"])
