"""Whole models as snapshots and streams: the bits of a call, in calls, files, copies and steps."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_checkpoint import ABOUT, same, whole
from tests.test_own_layers import Offset

import bptt
from bptt.files import CheckpointError, read_checkpoint
from bptt.layers.passes.frozen import Frozen

T, B = 6, 3
RNG = np.random.default_rng(0)
X = RNG.standard_normal((T, B, 4))
IDS = RNG.integers(0, 7, (T, B))
BOTH = {"a": X, "b": RNG.standard_normal((B, 2))}


def tagger(**options: Any) -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(7, 4, **options),
        bptt.Dropout(0.5),
        bptt.LSTM(4, 5, 2, dropout=0.2, **options),
        bptt.Linear(5, 3, **options),
        bptt.Sequential(bptt.GRU(3, 4, zoneout=0.1, **options), bptt.Linear(4, 2, bias=False, **options)),
        seed=0,
    )


def numbers(**options: Any) -> bptt.Sequential:
    return bptt.Sequential(bptt.Linear(4, 6, **options), bptt.RNN(6, 5, **options), seed=0)


def side_by_side(**options: Any) -> bptt.Sequential:
    both = bptt.Parallel(a=bptt.GRU(4, 3, **options), b=bptt.Linear(2, 2, **options))
    return bptt.Sequential(both, bptt.Linear(5, 3, **options), seed=0)


def shared(**options: Any) -> bptt.Sequential:
    both = bptt.Parallel(a=bptt.GRU(4, 3, **options), b=bptt.Linear(4, 2, **options))
    return bptt.Sequential(bptt.Linear(4, 4, **options), both, Offset(5, **options), seed=0)


def stateless(**options: Any) -> bptt.Sequential:
    return bptt.Sequential(
        bptt.LayerNorm(4, **options),
        bptt.GRU(4, 3, **options),
        bptt.Tanh(),
        bptt.GELU(),
        bptt.Linear(3, 4, **options),
        bptt.Softmax(),
        seed=0,
    )


MODELS: dict[str, tuple[Callable[..., bptt.Module], Any]] = {
    "tagger": (tagger, IDS),
    "numbers": (numbers, X),
    "side by side": (side_by_side, BOTH),
    "shared": (shared, X),
    "stateless": (stateless, X),
    "Linear": (lambda **options: bptt.Linear(4, 300, seed=0, **options), X),
    "Embedding": (lambda **options: bptt.Embedding(7, 3, seed=0, **options), IDS),
}


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, tuple):
        return len(left) == len(right) and all(map(equal, left, right))
    return left is right is None or np.array_equal(left, right)


def at(x: Any, step: int) -> Any:
    """The input of one step. A static input has no time axis."""
    if isinstance(x, dict):
        return {name: part[step] if part.ndim == 3 else part for name, part in x.items()}
    return x[step]


def begin(x: Any, steps: int) -> Any:
    """The input of the first steps."""
    if isinstance(x, dict):
        return {name: part[:steps] if part.ndim == 3 else part for name, part in x.items()}
    return x[:steps]


def test_a_stream_has_the_bits_of_the_call(subtests: pytest.Subtests) -> None:
    for name, (make, x) in MODELS.items():
        for dtype in ("float32", "float64"):
            with subtests.test(name, dtype=dtype):
                model = make(dtype=dtype)
                y, state = model(x)
                stream = model.stream(B)
                steps = [stream.step(at(x, step)) for step in range(T)]
                assert np.array_equal(np.stack(steps), y)
                assert equal(stream.state, state)
                stream.reset()
                first = stream.run(begin(x, 2))
                saved = stream.state
                second = stream.step(at(x, 2))
                assert np.array_equal(first, y[:2])
                assert np.array_equal(second, y[2])
                stream.state = saved
                assert np.array_equal(stream.step(at(x, 2)), second)
                out = np.empty_like(second)
                assert stream.step(at(x, 3), out) is out
                assert np.array_equal(out, y[3])


def test_steps_that_rows_do_not_have(subtests: pytest.Subtests) -> None:
    skip = RNG.random((T, B)) < 0.4
    for name, (make, x) in MODELS.items():
        model = make()
        if "skip" not in model.call_options:
            continue
        with subtests.test(name):
            y, state = model(x, skip=skip)
            assert equal(model.freeze()(x, skip=skip), (y, state))
            stream = model.stream(B)
            steps = [stream.step(at(x, step), skip=skip[step]) for step in range(T)]
            assert np.array_equal(np.stack(steps), y)
            assert equal(stream.state, state)
            stream.reset()
            assert np.array_equal(stream.run(x, skip=skip), y)


def test_bound_buffers_and_single_rows() -> None:
    model = tagger()
    y, _ = model(IDS[:, :1])
    stream = model.stream()
    for step in range(T):
        stream.input[...] = IDS[step, :1]
        assert stream.step() is stream.output
        assert np.array_equal(stream.output, y[step])
    stream.reset()
    assert np.array_equal(stream.step(IDS[0, 0]), y[0, 0])
    assert np.array_equal(stream.run(IDS[1:, 0]), y[1:, 0])
    several = side_by_side().stream(B)
    for name, array in at(BOTH, 0).items():
        several.input[name][...] = array
    assert np.array_equal(several.step(), side_by_side()(BOTH)[0][0])


def test_later_weights_do_not_show(subtests: pytest.Subtests) -> None:
    for name, (make, x) in MODELS.items():
        with subtests.test(name):
            model = make()
            y, _ = model(x)
            frozen, stream = model.freeze(), model.stream(B)
            model.flat_parameters[...] = 0
            assert np.array_equal(frozen(x)[0], y)
            assert np.array_equal(stream.step(at(x, 0)), y[0])


def test_steps_of_linear_and_recurrent_layers_allocate_nothing() -> None:
    stream = numbers().stream(B)
    stream.step()
    gc.collect()
    tracemalloc.start()
    try:
        for _ in range(3):
            stream.step()
        before = tracemalloc.get_traced_memory()[0]
        tracemalloc.reset_peak()
        for _ in range(100):
            stream.step()
        peak = tracemalloc.get_traced_memory()[1] - before
    finally:
        tracemalloc.stop()
    assert peak < stream.output.nbytes + 1024  # no array of a step, only Python's own small objects


def test_a_snapshot_in_calls_copies_and_files(tmp_path: Path, subtests: pytest.Subtests) -> None:
    models = {name: case for name, case in MODELS.items() if name != "shared"} | {
        "lengths": (lambda: bptt.Sequential(bptt.LSTM(4, 5, bidirectional=True), bptt.Ends(), seed=0), X),
        "LSTM": (lambda: bptt.LSTM(4, 5, seed=0), X),
    }
    for name, (make, x) in models.items():
        with subtests.test(name):
            model = make()
            frozen = model.freeze()
            options = {"lengths": [6, 0, 2]} if "lengths" in model.call_options else {}
            expected = model(x, **options)
            path = tmp_path / "m"
            bptt.save(path, frozen)
            saved = read_checkpoint(path)
            assert saved.frozen
            assert same(saved.model, model)
            copies = (copy.copy(frozen), copy.deepcopy(frozen), pickle.loads(pickle.dumps(frozen)))
            for twin in (frozen, *copies, bptt.load(path)):
                assert isinstance(twin, Frozen)
                assert equal(twin(x, **options), expected)
                assert repr(twin) == f"Frozen({model!r})"
            if model.dtype == "float32":
                rounded = model.freeze("bfloat16")
                bptt.save(path, rounded)
                for twin in (copy.deepcopy(rounded), bptt.load(path)):
                    assert equal(twin(x, **options), rounded(x, **options))
                    assert repr(twin) == f"Frozen({model!r}, precision='bfloat16')"
            thawed = frozen.layer
            assert same(thawed, model)
            assert thawed is not model
            thawed.flat_parameters[...] = 0
            assert equal(frozen(x, **options), expected)
            bptt.save(path, model)
            assert isinstance(bptt.load(path), bptt.Module)


def test_files_that_lie_about_a_snapshot(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(whole(ABOUT | {"frozen": True}))
    assert isinstance(bptt.load(tmp_path / "m"), Frozen)
    for value in (1, "yes", None, [True]):
        (tmp_path / "m").write_bytes(whole(ABOUT | {"frozen": value}))
        with pytest.raises(CheckpointError, match="frozen must be true or false"):
            bptt.load(tmp_path / "m")
    names = "precision must be 'highest' or 'bfloat16' or 'int8'; got"
    lies = {
        f"{names} 'half'": {"frozen": True, "precision": "half"},
        f"{names} None": {"frozen": True, "precision": None},
        "precision must belong to a frozen model": {"precision": "bfloat16"},
    }
    for message, entries in lies.items():
        (tmp_path / "m").write_bytes(whole(ABOUT | entries))
        with pytest.raises(CheckpointError, match=message):
            bptt.load(tmp_path / "m")
    with pytest.raises(ValueError, match="optimizer must be None for a frozen model"):
        bptt.save(tmp_path / "m", numbers().freeze(), optimizer=bptt.SGD(0.1))


def test_models_that_cannot_stream(subtests: pytest.Subtests) -> None:
    def model(*layers: bptt.Module) -> bptt.Sequential:
        return bptt.Sequential(*layers)

    cases: dict[str, tuple[bptt.Module, str]] = {
        "Last": (model(bptt.GRU(4, 5), bptt.Last()), "in layer 1, Last: stream needs layers with one output"),
        "a pool": (
            model(bptt.GRU(4, 5), bptt.MeanPool()),
            "in layer 1, MeanPool: stream needs layers",
        ),
        "directions": (
            model(bptt.GRU(4, 5, bidirectional=True)),
            "in layer 0, GRU: stream needs",
        ),
        "no size": (
            model(bptt.Dropout(0.1), bptt.Tanh()),
            "begin with a layer that has an input size.*got Dropout",
        ),
        "sizes": (model(bptt.GRU(4, 5), bptt.GRU(4, 5)), r"in layer 1, GRU: x must have shape \(1, 4\)"),
        "encoder": (bptt.EncoderDecoder(bptt.GRU(4, 5), bptt.GRU(4, 5)), "Fix: stream the decoder"),
    }
    for name, (layer, message) in cases.items():
        with subtests.test(name), pytest.raises(ValueError, match=message):
            layer.stream()


def test_wrong_input_changes_nothing(subtests: pytest.Subtests) -> None:
    stream, several = tagger().stream(B), side_by_side().stream(B)
    stream.step(IDS[0])
    several.step(at(BOTH, 0))
    before, before_several = stream.state, several.state
    bad_state = (None, None, (np.ones((2, B, 5)), np.ones((2, B, 5))), None, (np.ones((9, 9)), None))
    cases: dict[str, Callable[[], Any]] = {
        "ids": lambda: stream.step(IDS[0] + 7),
        "ids of run": lambda: stream.run(IDS + 7),
        "floats": lambda: stream.step(X[0, :, 0]),
        "rows": lambda: stream.step(IDS[0, :2]),
        "a state": lambda: setattr(stream, "state", bad_state),
        "a state of one layer": lambda: setattr(stream, "state", np.ones((2, B, 5))),
        "names": lambda: several.step({"a": X[0]}),
        "rows of one input": lambda: several.step({"a": X[0], "b": BOTH["b"][:1]}),
        "no time axis": lambda: several.run(X[0]),
        "batch": lambda: tagger().stream(0),
    }
    for name, call in cases.items():
        with subtests.test(name):
            with pytest.raises((ValueError, TypeError), match="Fix: "):
                call()
            assert equal(stream.state, before)
            assert equal(several.state, before_several)


def test_one_call_at_a_time() -> None:
    entered, leave = threading.Event(), threading.Event()

    class Slow(Offset):
        def forward(self, x: Any, state: Any = None) -> Any:
            if waits:
                entered.set()
                leave.wait(60)
            return super().forward(x, state)

    waits = False
    stream = bptt.Sequential(bptt.GRU(4, 3), Slow(3)).stream(B)
    waits = True
    thread = threading.Thread(target=stream.step)
    thread.start()
    try:
        assert entered.wait(60)
        with pytest.raises(RuntimeError, match="one call at a time"):
            stream.step()
    finally:
        leave.set()
        thread.join()


def test_an_interrupt_puts_the_states_back() -> None:
    class Interrupted(Offset):
        def forward(self, x: Any, state: Any = None) -> Any:
            if stops:
                raise KeyboardInterrupt
            return super().forward(x, state)

    stops = False
    stream = bptt.Sequential(bptt.GRU(4, 3), Interrupted(3)).stream(B)
    stream.run(X[:2])
    before = stream.state
    stops = True
    with pytest.raises(KeyboardInterrupt):
        stream.run(X[2:])
    assert equal(stream.state, before)
