"""precision="bfloat16": which numbers are rounded, how far results are off, and what decides their bits."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS, COMBINED, ISAS, PAIRS, SINGLE
from tests.grids import in_turn, together
from tests.test_options import MORE, WAYS, B, H, I, T, leaves, mapped, setting, start_of

import bptt
from bptt import _core
from bptt.reference.rounding import to_bfloat16

STATES, GRADIENTS = 2.0**-7, 2.0**-6
"""The documented bounds: of outputs and states, and of gradients, relative to the norm of the array."""

EPS = float(np.finfo(np.float32).eps)

KINKS = ("relu", "clip", "scaled_tanh", "spec")
"""Names of variants whose activations or clips have kinks: a rounding decides the side."""

GROWING = ("layer_norm", "no_forget_gate")
"""Names of variants in which an early error does not fade. All differences grow with the errors."""

SMOOTH = {name: case for name, case in SINGLE.items() if not any(part in name for part in KINKS + GROWING)}
OTHERS = {name: case for name, case in SINGLE.items() if name not in SMOOTH}

LAYERS: dict[str, Any] = {
    "RNN": lambda **options: bptt.RNN(I, H, seed=0, **options),
    "LSTM": lambda **options: bptt.LSTM(I, H, seed=0, **options),
    "GRU": lambda **options: bptt.GRU(I, H, seed=0, **options),
    "MGU": lambda **options: bptt.MGU(I, H, seed=0, **options),
    "Linear": lambda **options: bptt.Linear(I, H, seed=0, **options),
}


@contextmanager
def emulated() -> Iterator[None]:
    """Compute without the instruction of the CPU."""
    _core.emulate_reduced_precision(True)
    try:
        yield
    finally:
        _core.emulate_reduced_precision(False)


def numbers(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


def build(kind: str, options: dict[str, Any], *sizes: int, **more: Any) -> Any:
    own = {"dtype": "float32", "precision": "bfloat16", "seed": 0}
    return getattr(bptt, kind)(*(sizes or (I, H)), **own | options | more)


def exact(layer: Any) -> Any:
    """The same layer in float64, with the same random masks."""
    twin = type(layer).from_config(layer.config() | {"dtype": "float64", "precision": "highest"})
    twin.load_state_dict(layer.state_dict())
    twin.rng = copy.deepcopy(layer.rng)
    return twin


def results(layer: Any, x: Any, start: Any = None, **call: Any) -> dict[str, Any]:
    """Return the results of a training step by name, with errors that do not depend on y."""
    layer.zero_grad()
    y, last, tape = layer.forward(x, start, **call)
    dx, dstart = layer.backward(tape, numbers(*y.shape, seed=4))
    found = {"y": y} | {f"state {i}": part for i, part in enumerate(leaves(last)) if part is not None}
    found |= {"dx": dx} | {f"dstate {i}": part for i, part in enumerate(leaves(dstart)) if part is not None}
    return found | {name: value.copy() for name, value in layer.gradients.items()}


def assert_within(found: dict[str, Any], expected: dict[str, Any], factor: float = 1.0) -> None:
    """The results of two training steps agree within the documented bounds times a factor."""
    for name, value in expected.items():
        error = np.linalg.norm(found[name].astype(np.float64) - value)
        bound = STATES if name == "y" or name.startswith("state") else GRADIENTS
        assert error <= factor * bound * np.linalg.norm(value), name


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def test_the_argument(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for kind, make in LAYERS.items():
        with subtests.test(kind):
            layer, x = make(precision="bfloat16"), numbers(T, B, I)
            assert layer.precision == layer.config()["precision"] == "bfloat16"
            assert repr(layer).endswith(", precision='bfloat16')")
            assert make().precision == "highest"
            y, _ = layer(x)
            assert not np.array_equal(y, make()(x)[0])
            bptt.save(tmp_path / "m", layer)
            copies = (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer)), bptt.load(tmp_path / "m"))
            for twin in copies:
                assert twin.precision == "bfloat16"
                np.testing.assert_array_equal(twin(x)[0], y)
            for wrong, kinds in {"bf16": ValueError, "int8": ValueError, None: TypeError}.items():
                with pytest.raises(kinds, match="precision must be 'highest' or 'bfloat16'; got"):
                    make(precision=wrong)
            with pytest.raises(ValueError, match=r"with dtype='float64'; got 'bfloat16'. Fix: pass dtype"):
                make(precision="bfloat16", dtype="float64")
            with pytest.raises(ValueError, match="with dtype='float64'; got 'bfloat16'"):
                make(dtype="float64").freeze("bfloat16")
            with pytest.raises(ValueError, match="got 'half'"):
                make().stream(1, "half")


def test_numbers_are_rounded_as_documented() -> None:
    """To the nearest number, ties to even; tiny numbers are zero; NaN and infinities stay."""
    rng = np.random.default_rng(0)
    upper = np.arange(2**16, dtype=np.uint32) << 16
    bits = np.concatenate([upper, upper | 0x7FFF, upper | 0x8000, upper | 0x8001])
    bits = np.concatenate([bits, rng.integers(0, 2**32, 10_000, np.uint32)])
    values = bits.view(np.float32)
    expected = to_bfloat16(values)
    known = {
        1 + 2**-8: 1,
        1 + 2**-8 + 2**-20: 1 + 2**-7,
        1 + 3 * 2**-8: 1 + 2**-6,
        2e-39: 0,
        -3.4e38: -np.inf,
    }
    assert to_bfloat16(np.array(list(known))).tolist() == list(known.values())
    one = np.ones((1, 1), np.float32)
    for context in (contextmanager(lambda: iter([None])), emulated):
        with context():
            y = _core.linear_forward(values[:, np.newaxis], one, None, "bfloat16")[:, 0]
            np.testing.assert_array_equal(y, expected)


@together(in_turn(("kind, options", SINGLE | COMBINED), ("isa", ISAS), extra=PAIRS), size=200)
def test_one_step_is_exact_but_for_the_operands(kind: str, options: dict[str, Any], isa: str) -> None:
    """Both sides read the same numbers in the first step, so the difference is that of float32."""
    bptt.use_isa(isa)
    layer = build(kind, options)
    found, twin = None, bptt.reference.like(layer)
    x, start = numbers(1, B, I), mapped(np.float32, start_of(layer))
    expected = results(twin, x, start)
    found = results(layer, x, start)
    for name, value in expected.items():
        error, largest = np.abs(found[name] - value), np.abs(value).max()
        if name == "y" or name.startswith("state"):
            assert error.max() <= 256 * EPS * largest, name
        else:  # few gate errors are rounded to the other neighbour
            assert np.median(error) <= 256 * EPS * largest, name
            assert error.max() <= 4 * 2.0**-8 * largest, name


@together(
    in_turn(("kind, options", COMBINED), ("where", MORE.keys()), ("isa", ISAS), extra=SINGLE | PAIRS),
    size=200,
)
def test_agreement_with_the_reference(kind: str, options: dict[str, Any], where: str, isa: str) -> None:
    bptt.use_isa(isa)
    layer = build(kind, options, num_layers=2, **WAYS[where])
    x, start = numbers(T, B, I), mapped(np.float32, start_of(layer))
    twin = bptt.reference.like(layer)
    assert_within(results(layer, x, start, **setting(where)), results(twin, x, start, **setting(where)))


@together(
    in_turn(
        ("kind, options", SMOOTH),
        ("steps, scale", {"vanishing": (1000, 0.5), "usual": (1000, 1.0), "large": (20, 2.0)}),
        ("isa", ISAS),
    ),
    size=200,
)
def test_the_documented_bound(kind: str, options: dict[str, Any], steps: int, scale: float, isa: str) -> None:
    bptt.use_isa(isa)
    layer = build(kind, options, 8, 24)
    layer.flat_parameters[...] *= scale
    x, twin = numbers(steps, 3, 8), exact(layer)
    assert_within(results(layer, x), results(twin, x))


@together(in_turn(("kind, options", OTHERS), ("where", MORE.keys())), size=200)
def test_near_kinks_and_where_errors_grow(kind: str, options: dict[str, Any], where: str) -> None:
    """Results change as they do if all data change relatively by 2^-8."""
    layer = build(kind, options, **WAYS[where])
    bptt.crosscheck(layer, numbers(T, B, I), start_of(layer), against=exact(layer), **setting(where))


def test_layers_that_keep_errors_exceed_the_bounds(subtests: pytest.Subtests) -> None:
    """As the page says: outputs by several percent, and gradients of biases, whose terms cancel, by more."""
    for init, largest in {"identity": "y", "glorot": "bias_hh_l0"}.items():
        with subtests.test(init):
            layer = build("RNN", {}, 1, 32, init=init)
            x = np.random.default_rng(0).standard_normal((200, 1, 1)).astype(np.float32)
            assert bptt.gradient_flow(exact(layer), x).verdict == ("healthy",)
            found, expected = results(layer, x), results(exact(layer), x)
            norms = {name: np.linalg.norm(value) for name, value in expected.items()}
            errors = {name: np.linalg.norm(found[name] - expected[name]) / norms[name] for name in norms}
            assert STATES < errors["y"] < 0.05
            assert errors[largest] > {"y": 0.01, "bias_hh_l0": 0.1}[largest]


@pytest.mark.parametrize("kind", ["RNN", "LSTM", "GRU", "MGU"])
def test_trained_weights(kind: str) -> None:
    """A model learns the next value of waves in bfloat16, and agrees with its float64 twin afterwards."""
    layer = build(kind, {}, 2, 32)
    model = bptt.Sequential(layer, bptt.Linear(32, 2, precision="bfloat16", seed=1))
    time = np.arange(1041)[:, np.newaxis, np.newaxis] + np.array([0, 17, 31, 53])[:, np.newaxis]
    waves = np.concatenate([np.sin(time / 3), np.sin(time / 7) * np.cos(time / 2)], axis=2)
    optimizer, loss = bptt.Adam(1e-2), bptt.MeanSquaredError()
    values = []
    for start in range(0, 1000, 20):
        model.zero_grad()
        y, _, tape = model.forward(waves[start : start + 40])
        value, dy = loss(y, waves[start + 1 : start + 41])
        model.backward(tape, dy)
        optimizer.step(model)
        values.append(value)
    assert np.mean(values[-5:]) < 0.1 * np.mean(values[:5])
    assert_within(results(layer, waves[:1000]), results(exact(layer), waves[:1000]))


@together(in_turn(("cell", CELLS.keys()), ("isa", ISAS), ("width", (9, 33, 130))), size=200)
def test_only_inputs_and_weights_decide_the_bits(cell: str, isa: str, width: int) -> None:
    """Not the threads, the other rows of a batch, or the way to run the layer."""
    bptt.use_isa(isa)
    kind, options = CELLS[cell]
    layer = build(kind, options, I, width, num_layers=2)
    x = numbers(12, 21, I)
    expected = results(layer, x)
    for threads in (2, 3):
        bptt.set_num_threads(threads)
        assert_same(results(layer, x), expected)
    y = expected["y"]
    for row in (0, 20):
        np.testing.assert_array_equal(layer(x[:, row : row + 1])[0], y[:, row : row + 1])
    plain = getattr(bptt, kind).from_config(layer.config() | {"precision": "highest"})
    plain.load_state_dict(layer.state_dict())
    assert not np.array_equal(plain(x)[0], y)
    for twin in (layer.freeze(), plain.freeze("bfloat16")):
        np.testing.assert_array_equal(twin(x)[0], y)
    for stream in (layer.stream(21), plain.stream(21, "bfloat16")):
        parts = [stream.run(x[:5]), stream.step(x[5])[np.newaxis], stream.run(x[6:])]
        np.testing.assert_array_equal(np.concatenate(parts), y)
    np.testing.assert_array_equal(layer.freeze("highest")(x)[0], plain(x)[0])
    np.testing.assert_array_equal(layer.stream(21, "highest").run(x), plain(x)[0])
    for checkpoint in (1, 5):
        assert_same(results(layer, x, checkpoint=checkpoint), expected)


@together(in_turn(("cell", CELLS.keys()), ("width", (9, 33, 130)), ("rows", (1, 2, 33))), size=200)
def test_emulation_has_the_bits_of_the_instruction(cell: str, width: int, rows: int) -> None:
    if _core.instruction_of("bfloat16") == "emulated":
        pytest.skip("this CPU has no instruction for bfloat16")
    kind, options = CELLS[cell]
    model = bptt.Sequential(
        build(kind, options, I, width, num_layers=2, layer_norm=width == 33),
        bptt.Linear(width, 19, precision="bfloat16", seed=0),
    )
    x = numbers(12, rows, I)
    expected, streamed = results(model, x), model.stream(rows).run(x)
    with emulated():
        assert _core.instruction_of("bfloat16") == "emulated"
        assert_same(results(model, x), expected)
        np.testing.assert_array_equal(model.stream(rows).run(x), streamed)
    np.testing.assert_array_equal(streamed, expected["y"])


def test_nan_and_infinity_pass(subtests: pytest.Subtests) -> None:
    for cell, (kind, options) in CELLS.items():
        for value in (np.nan, np.inf):
            with subtests.test(cell, value=value):
                x = numbers(4, 3, I)
                clean = build(kind, options)(x)[0]
                x[2, 1, 0] = value
                layer = build(kind, options)
                y, expected = layer(x)[0], exact(layer)(x)[0]
                np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
                np.testing.assert_array_equal(y[:2], clean[:2])
                np.testing.assert_array_equal(y[:, [0, 2]], clean[:, [0, 2]])


def test_checks_of_layers_and_models(subtests: pytest.Subtests) -> None:
    """Truncation and clipping inside the recursion agree with the reference, and so do models."""
    words = bptt.Embedding(7, I, seed=0)
    tied = bptt.TiedLinear(words, precision="bfloat16", seed=1)
    models: dict[str, tuple[Any, Any]] = {
        "GRU": (build("GRU", {}), numbers(T, B, I)),
        "LSTM": (build("LSTM", {"proj_size": 5}), numbers(T, B, I)),
        "Linear": (bptt.Linear(I, 33, precision="bfloat16", seed=0), numbers(T, B, I)),
        "tied": (bptt.Sequential(words, build("MGU", {}, I, I), tied), np.arange(T * B).reshape(T, B) % 7),
    }
    for name, (model, x) in models.items():
        with subtests.test(name):
            calls: tuple[dict[str, Any], ...] = ({},)
            if name in ("GRU", "LSTM"):
                calls += ({"clip_state": 0.1}, {"steps": 3})
            for call in calls:
                report = bptt.crosscheck(model, x, **call)
                assert report.rows[0].error < 1e-5  # no number of this pass is close to a tie
            wrong = copy.deepcopy(model)
            wrong.flat_parameters[...] *= -1
            assert not bptt.crosscheck(wrong, x, against=model, raises=False).passed
            with pytest.raises(ValueError, match=r"^layer must have precision='highest', because .* Fix: "):
                bptt.gradcheck(model, x)
            twin = bptt.reference.like(model)
            frozen = model.freeze("highest")(x)[0]
            assert np.abs(twin.freeze("highest")(x)[0] - frozen).max() < 1e-5
            assert np.abs(twin.freeze()(x)[0] - frozen).max() > 1e-5
            np.testing.assert_array_equal(model.stream(B).run(x), model(x)[0])
    layer, x = models["GRU"]
    flow, plain = bptt.gradient_flow(layer, x), bptt.gradient_flow(exact(layer), x)
    np.testing.assert_allclose(flow.dh_norm, plain.dh_norm, rtol=GRADIENTS)


def test_a_resumed_run_has_the_bits_of_an_unbroken_one(tmp_path: Path) -> None:
    def model() -> bptt.Sequential:
        layer = build("LSTM", {"recurrent_dropout": 0.2}, 3, 8)
        return bptt.Sequential(layer, bptt.Linear(8, 3, precision="bfloat16", seed=1))

    settings: dict[str, Any] = {"clip_state": 1.0, "truncate": (6, 9), "progress": False}
    x = numbers(40, 4, 3)
    data = [(x[:-1], x[1:])]
    runs = [bptt.Trainer(model(), bptt.MeanSquaredError(), bptt.Adam(1e-2), **settings) for _ in range(2)]
    runs[0].fit(data, epochs=4)
    runs[1].fit(data, epochs=2)
    runs[1].save(tmp_path / "run")
    again = bptt.Trainer.resume(tmp_path / "run", bptt.MeanSquaredError(), bptt.Adam(1e-2), **settings)
    again.fit(data, epochs=4)
    assert [layer.precision for layer in again.model] == ["bfloat16", "bfloat16"]
    np.testing.assert_array_equal(again.model.flat_parameters, runs[0].model.flat_parameters)
