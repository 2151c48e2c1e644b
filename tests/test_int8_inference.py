"""Snapshots and streams in int8: errors against float64, bits, files and reports."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import safetensors.numpy
from tests.cells import CELLS, COMBINED
from tests.product_forms import forms
from tests.test_checkpoint import whole
from tests.test_deployed_models import MODELS

import bptt
from bptt.files import CheckpointError

STEP = 0.02
"""Root-mean-square error that a step adds, as a fraction of the outputs: the bound of `freeze`."""
T, I, H = 1000, 7, 20
LAYERS = CELLS | COMBINED
FORGETFUL = {
    name: (kind, options)
    for name, (kind, options) in LAYERS.items()
    if "layer_norm" not in options and options.get("forget_gate", True)
}


def pair(kind: str, options: dict[str, Any], **sizes: int) -> tuple[bptt.Module, bptt.Module]:
    """Return a layer, and the same layer in float64."""
    layer = getattr(bptt, kind)(sizes.get("I", I), sizes.get("H", H), seed=1, **options)
    exact = getattr(bptt, kind)(sizes.get("I", I), sizes.get("H", H), seed=1, dtype="float64", **options)
    exact.load_state_dict(layer.state_dict())
    return layer, exact


def error(y: npt.ArrayLike, exact: npt.ArrayLike) -> float:
    """Return the root-mean-square error as a fraction of the root mean square."""
    y, exact = np.asarray(y), np.asarray(exact)
    return float(np.sqrt(np.mean((y - exact) ** 2) / np.mean(exact**2)))


def visited_states(layer: bptt.Module, x: npt.NDArray[Any]) -> Any:
    """Return the states before each step of x, as rows of a batch, in numbers of float32."""
    stream, states = layer.stream(), []
    for step in x:
        states.append(stream.state)
        stream.step(step)
    if isinstance(states[0], tuple):
        return tuple(np.concatenate(part, axis=1).astype("f") for part in zip(*states, strict=True))
    return np.concatenate(states, axis=1).astype("f")


def equal(left: Any, right: Any) -> bool:
    if isinstance(left, tuple):
        return all(equal(*parts) for parts in zip(left, right, strict=True))
    return left is right is None or np.array_equal(left, right)


def test_the_error_of_a_step_is_bounded(subtests: pytest.Subtests) -> None:
    x = np.random.default_rng(0).standard_normal((T, 1, I)).astype("f")
    for name, (kind, options) in LAYERS.items():
        with subtests.test(name):
            layer, exact = pair(kind, options)
            states = visited_states(exact, x)
            rows = x.reshape(1, T, I)
            y, _ = layer.freeze("int8")(rows, states)
            assert 0 < error(y, exact(rows, states)[0]) < STEP


def test_errors_fade_in_layers_that_forget(subtests: pytest.Subtests) -> None:
    x = np.random.default_rng(1).standard_normal((T, 2, I)).astype("f")
    for name, (kind, options) in FORGETFUL.items():
        with subtests.test(name):
            layer, exact = pair(kind, {"num_layers": 2} | options)
            assert error(layer.freeze("int8")(x)[0], exact(x)[0]) < STEP


def test_a_trained_model_stays_within_the_bound() -> None:
    rng = np.random.default_rng(2)
    x = rng.standard_normal((60, 32, 1)).astype("f")
    target = np.roll(x, 2, axis=0) + 0.5 * np.roll(x, 1, axis=0)
    model = bptt.Sequential(bptt.GRU(1, 24), bptt.Linear(24, 1), seed=0)
    trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.Adam(0.01), progress=False)
    trainer.fit([(x, target)], epochs=150)
    assert trainer.evaluate([(x, target)]) < 0.1
    exact = bptt.Sequential(bptt.GRU(1, 24, dtype="float64"), bptt.Linear(24, 1, dtype="float64"))
    exact.load_state_dict(model.state_dict())
    long = rng.standard_normal((T, 4, 1)).astype("f")
    frozen = model.freeze("int8")
    assert error(frozen(long)[0], exact(long)[0]) < 2 * STEP
    assert frozen.error(long).root_mean_square == pytest.approx(
        error(frozen(long)[0], exact(long)[0]), rel=1e-2
    )


def test_bits_depend_on_neither_batch_nor_pieces_nor_threads(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(3)
    x = rng.standard_normal((12, 9, I)).astype("f")
    for name, (kind, options) in LAYERS.items():
        with subtests.test(name):
            layer, _ = pair(kind, options, H=70)
            for _ in forms():
                y, state = layer.freeze("int8")(x)
                alone = np.concatenate([layer.freeze("int8")(x[:, [b]])[0] for b in (0, 8)], axis=1)
                stream = layer.stream(9, "int8")
                steps = np.concatenate([stream.run(x[:5]), stream.step(x[5])[None], stream.run(x[6:])])
                assert np.array_equal(alone, y[:, [0, 8]])
                assert np.array_equal(steps, y)
                assert equal(stream.state, state)
    large = bptt.LSTM(100, 160, bidirectional=True, seed=0).freeze("int8")
    rows = rng.standard_normal((20, 40, 100))
    threads = bptt.get_num_threads()
    try:
        outputs = []
        for number in (1, 2, 3):
            bptt.set_num_threads(number)
            outputs.append(large(rows))
    finally:
        bptt.set_num_threads(threads)
    assert equal(outputs[0], outputs[1])
    assert equal(outputs[0], outputs[2])


def test_emulation_has_the_bits_of_the_instruction(subtests: pytest.Subtests) -> None:
    x = np.random.default_rng(4).standard_normal((8, 5, 1030)).astype("f")
    for name, (kind, options) in LAYERS.items():
        with subtests.test(name):
            layer, _ = pair(kind, options, I=1030, H=33)
            outputs = {(form["isa"], form["emulate"]): layer.freeze("int8")(x) for form in forms()}
            for isa in bptt.available_isas():
                assert equal(outputs[isa, True], outputs[isa, False])


def test_models_in_int8(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in MODELS.keys() - {"shared"}:  # a layer of the test's own, which no file holds
        with subtests.test(name):
            build, x = MODELS[name]
            model = build()
            frozen = model.freeze(precision="int8")
            expected = frozen(x)
            assert not equal(expected[0], model(x)[0])
            assert error(expected[0], model(x)[0]) < 4 * STEP
            for number, snapshot in enumerate((frozen, pickle.loads(pickle.dumps(frozen)))):
                bptt.save(tmp_path / f"{number}", snapshot)
                loaded = bptt.load(tmp_path / f"{number}")
                assert loaded.precision == "int8"
                assert equal(loaded(x), expected)
                bptt.save(tmp_path / "again", loaded)
                first, second = (
                    safetensors.numpy.load_file(tmp_path / file) for file in (f"{number}", "again")
                )
                assert first.keys() == second.keys()
                assert all(np.array_equal(first[key], second[key]) for key in first)
            if not isinstance(x, dict):
                stream = model.stream(3, precision="int8")
                assert np.array_equal(stream.run(x), expected[0])
                assert repr(stream).endswith(", batch_size=3, precision='int8')")
                assert np.array_equal(frozen.stream(3).run(x), expected[0])
                assert np.array_equal(loaded.stream(batch_size=3).run(x), expected[0])


def test_an_int8_file_has_rounded_weights_in_a_quarter_of_the_bytes(tmp_path: Path) -> None:
    words = bptt.Embedding(300, 64, seed=0)
    model = bptt.Sequential(words, bptt.LSTM(64, 64, 2), bptt.TiedLinear(words))
    bptt.save(tmp_path / "plain", model.freeze())
    bptt.save(tmp_path / "int8", model.freeze("int8"))
    assert (tmp_path / "int8").stat().st_size < 0.3 * (tmp_path / "plain").stat().st_size
    layer = bptt.GRU(3, 5, seed=0)
    bptt.save(tmp_path / "m", layer.freeze("int8"))
    loaded = bptt.load(tmp_path / "m")
    weight, rounded = layer.parameters["weight_hh_l0"], loaded.layer.parameters["weight_hh_l0"]
    largest = np.abs(weight).max(axis=1, keepdims=True)
    assert np.any(rounded != weight)
    assert np.all(np.abs(rounded - weight) <= largest / 253)
    np.testing.assert_array_equal(loaded.layer.parameters["bias_hh_l0"], layer.parameters["bias_hh_l0"])
    for snapshot in (loaded, pickle.loads(pickle.dumps(loaded))):
        with pytest.raises(ValueError, match=r"error needs the float32 weights.*Fix: call error before"):
            snapshot.error(np.ones((4, 2, 3)))
    tensors, before = safetensors.numpy.load_file(tmp_path / "m"), layer.flat_parameters.copy()
    for read in (
        layer.load_state_dict,
        lambda state: layer.load_state_dict(state, strict=False),
        bptt.interop.from_state_dict,
        lambda state: bptt.interop.from_state_dict(tmp_path / "m"),
    ):
        with pytest.raises(ValueError, match=r"state must .*; got int8 weights, .* bptt.load\(path\).layer"):
            read(tensors)
    np.testing.assert_array_equal(layer.flat_parameters, before)
    layer.load_state_dict(bptt.load(tmp_path / "m").layer.state_dict())
    assert np.any(layer.flat_parameters != before)


def test_int8_files_that_lie(tmp_path: Path, subtests: pytest.Subtests) -> None:
    bptt.save(tmp_path / "m", bptt.Linear(3, 2, seed=0).freeze("int8"))
    content = (tmp_path / "m").read_bytes()
    header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
    about = header["__metadata__"]["bptt"]
    tensors = safetensors.numpy.load(content)
    scales = tensors["int8_scales.weight"]
    lies: dict[str, dict[str, Any]] = {
        "no scales": {"int8_scales.weight": None},
        "too few scales": {"int8_scales.weight": scales[:1]},
        "scales of float64": {"int8_scales.weight": scales.astype(float)},
        "other scales": {"int8_scales.bias": scales},
        "plain weights": {"weight": tensors["weight"].astype("f")},
        "an int8 bias": {"bias": tensors["bias"].astype(np.int8)},
    }
    for name, changes in lies.items():
        with subtests.test(name):
            changed = {key: array for key, array in (tensors | changes).items() if array is not None}
            (tmp_path / "lie").write_bytes(whole(about, changed))
            with pytest.raises(CheckpointError, match="does not fit its own configuration"):
                bptt.load(tmp_path / "lie")


def test_error_reports_say_how_far_outputs_are_from_float32() -> None:
    x = np.random.default_rng(5).standard_normal((30, 4, 6))
    layer = bptt.LSTM(6, 16, seed=0)
    for precision in ("int8", "bfloat16"):
        frozen = layer.freeze(precision)
        report = frozen.error(x)
        y, (h, c) = frozen(x)
        expected, (h32, c32) = layer(x)
        assert [part.name for part in report.outputs] == ["y", "state[0]", "state[1]"]
        for part, got, right in zip(report.outputs, (y, h, c), (expected, h32, c32), strict=True):
            scale = np.sqrt(np.mean(right.astype(float) ** 2))
            assert part.scale == pytest.approx(scale)
            assert part.largest == pytest.approx(np.abs(got - right.astype(float)).max() / scale)
            assert part.root_mean_square == pytest.approx(error(got, right.astype(float)))
        assert report.largest == report.outputs[0].largest > report.root_mean_square > 0
        lines = str(report).splitlines()
        assert len(lines) == 6
        assert lines[0].startswith("largest error of y: ")
        assert lines[4].startswith("largest error of c, state[1]: ")
        assert lines[1] == f"root-mean-square error of y: {report.root_mean_square:.2%}"
    exact = layer.freeze().error(x, lengths=[30, 2, 0, 7])
    assert exact.largest == exact.root_mean_square == 0
    encoder = bptt.Sequential(bptt.GRU(6, 8), bptt.Dropout(0.1), bptt.MemoryBlocks(8, 2))
    report = bptt.Parallel(a=layer, b=encoder).freeze("int8").error(x)
    assert [part.part for part in report.outputs] == ["", "h", "c", "h", "h", "c"]


def test_int8_is_for_inference_of_compiled_float32_layers() -> None:
    with pytest.raises(ValueError, match=r"precision must be 'highest' with dtype='float64'; got 'int8'"):
        bptt.GRU(3, 4, dtype="float64").freeze("int8")
    for build in (bptt.RNN, bptt.LSTM, bptt.GRU, bptt.MGU, bptt.Linear):
        with pytest.raises(ValueError, match=r"precision must be .*got 'int8'.*Fix: "):
            build(3, 4, precision="int8")
    for layer in (bptt.reference.GRU(3, 4), bptt.reference.like(bptt.Linear(3, 4, precision="bfloat16"))):
        with pytest.raises(ValueError, match=r"got 'int8', which is for inference of compiled layers only"):
            layer.freeze("int8")
