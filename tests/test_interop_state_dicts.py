"""Recurrent layers from state dicts of PyTorch, in memory and in files, and back."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tests.commandline import CommandLine, fails

import bptt
from bptt.interop import from_state_dict, from_torch, to_keras, to_state_dict, to_torch

SMALL: dict[str, Callable[[], bptt.Module]] = {
    "lstm": lambda: bptt.LSTM(3, 5, 2, bidirectional=True, dtype="float64", seed=1),
    "projection": lambda: bptt.LSTM(3, 5, 2, proj_size=2, bias=False, bidirectional=True, seed=2),
    "gru": lambda: bptt.GRU(4, 3, 3, seed=3),
    "wide input": lambda: bptt.GRU(12, 3, bias=False, seed=4),
    "rnn": lambda: bptt.RNN(3, 4, 2, nonlinearity="relu", seed=5),
}
STATE = bptt.LSTM(3, 5, seed=1).state_dict()


def arguments(layer: bptt.Module) -> dict[str, str]:
    return {"cell": "rnn", "nonlinearity": "relu"} if isinstance(layer, bptt.RNN) else {}


def equal(layer: bptt.Module, other: bptt.Module) -> None:
    """Both have the same configuration and weights."""
    assert layer.config() == other.config()
    np.testing.assert_array_equal(layer.flat_parameters, other.flat_parameters)


def test_shapes_tell_the_layer(subtests: pytest.Subtests, tmp_path: Path) -> None:
    for label, make in SMALL.items():
        layer = make()
        options = arguments(layer)
        bare, named = to_state_dict(layer), to_state_dict(layer, "model.rnn")
        path = tmp_path / "weights.safetensors"
        safetensors.numpy.save_file(named, path)
        others = {"head.weight": np.ones((2, 5)), "model.rnn2.weight_ih_l0": np.ones(3)}
        wrapped = {f"module._orig_mod.{name}": value for name, value in (named | others).items()}
        with subtests.test(label):
            equal(from_state_dict(bare, **options), layer)
            equal(from_state_dict(named, **options), layer)  # the only layer, under any name
            equal(from_state_dict(str(path), **options), layer)
            equal(from_state_dict(path, "model.rnn.", **options), layer)
            equal(from_state_dict(named | others, "model.rnn", **options), layer)
            equal(from_state_dict(wrapped, "model.rnn", **options), layer)
            equal(from_state_dict(wrapped, "module._orig_mod.model.rnn", **options), layer)
            assert bare["weight_ih_l0"].base is None  # a copy, which training does not change


def test_names_of_pytorch_cells_and_options() -> None:
    cell = {name.removesuffix("_l0"): value for name, value in STATE.items()}
    layer = from_state_dict(cell, batch_first=True, dtype="float64")
    assert isinstance(layer, bptt.LSTM)
    assert layer.batch_first
    assert layer.dtype == np.float64
    np.testing.assert_array_equal(layer.parameters["bias_hh_l0"], STATE["bias_hh_l0"])


def test_half_precision_in_files(tmp_path: Path) -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes", reason="bfloat16 in NumPy needs ml_dtypes")
    for dtype in (np.float16, ml_dtypes.bfloat16):
        state = {name: value.astype(dtype) for name, value in STATE.items()}
        path = tmp_path / "half.safetensors"
        safetensors.numpy.save_file(state, path)
        layer = from_state_dict(path)
        assert layer.dtype == np.float32
        for name, value in state.items():
            np.testing.assert_array_equal(layer.parameters[name], value.astype(np.float32))


def _without(name: str) -> dict[str, Any]:
    return {other: value for other, value in STATE.items() if other != name}


MANY = np.zeros((20, 3))
WRONG: dict[str, tuple[Any, dict[str, Any], tuple[str, ...]]] = {
    "missing": (_without("bias_hh_l0"), {}, ("missing 'bias_hh_l0' (20,)",)),
    "unused": (STATE | {"weight_norm": MANY}, {}, ("unused 'weight_norm' (20, 3)",)),
    "other layer": (
        {f"rnn.{name}": value for name, value in STATE.items()} | {"fc.weight": MANY},
        {},
        ("unused 'fc.weight' (20, 3)", "prefix='rnn.'"),
    ),
    "wrong shape": (STATE | {"bias_ih_l0": np.zeros(19)}, {}, ("'bias_ih_l0' (19,) in place of (20,)",)),
    "second layer of another width": (
        STATE | {name.replace("l0", "l1"): value for name, value in STATE.items()},
        {},
        ("'weight_ih_l1' (20, 3) in place of (20, 5)",),
    ),
    "far layer": (STATE | {"weight_ih_l99999": MANY}, {}, ("unused 'weight_ih_l99999'",)),
    "two layers": (
        {"a.weight_ih_l0": MANY, "b.weight_ih_l0": MANY},
        {},
        ("'a.weight_ih_l0' (20, 3), 'b.weight_ih_l0' (20, 3)", "name of a layer as prefix"),
    ),
    "no layer": ({"fc.weight": MANY}, {}, ("'fc.weight' (20, 3)", "LSTM, GRU or RNN")),
    "nothing": ({}, {}, ("no weights",)),
    "wrong prefix": (STATE, {"prefix": "rnn"}, ("under the prefix 'rnn'", "no weights")),
    "rows": (STATE | {"weight_ih_l0": np.zeros((19, 3))}, {}, ("4H rows (LSTM)", "(19, 3)")),
    "no units": ({"weight_ih_l0": np.zeros((0, 3)), "weight_hh_l0": np.zeros((0, 0))}, {}, ("(0, 0)",)),
    "Keras kernels": (
        {name: value.T for name, value in STATE.items()},
        {},
        ("transpose kernels of Keras", "from_keras"),
    ),
    "plain RNN": (bptt.RNN(3, 5, seed=0).state_dict(), {}, ("cell must be given", "cell='rnn'")),
    "another cell": (STATE, {"cell": "gru"}, ("cell must be 'lstm'", "4H rows, H = 5", "'gru'")),
    "unknown cell": (STATE, {"cell": "mgu"}, ("cell must be", "'mgu'")),
}


def test_errors_list_names_and_shapes(subtests: pytest.Subtests) -> None:
    for label, (state, options, words) in WRONG.items():
        with subtests.test(label), pytest.raises(ValueError, match=r"Fix: ") as caught:
            from_state_dict(state, **options)
        assert all(word in str(caught.value) for word in words), (label, str(caught.value))
    for state in (None, [1], {1: MANY}, STATE | {"bias_ih_l0": np.array(["a"] * 20)}):
        with pytest.raises(TypeError, match=r"Fix: "):
            from_state_dict(state)
    for prefixed in (lambda: from_state_dict(STATE, 3), lambda: to_state_dict(bptt.GRU(3, 4), 3)):  # type: ignore
        with pytest.raises(TypeError, match="prefix must be a str; got 3"):
            prefixed()
    with pytest.raises(TypeError, match=r"layer must be a layer or a model of bptt; got .* type dict"):
        to_state_dict(STATE)  # type: ignore[arg-type]


def test_a_whole_model(subtests: pytest.Subtests) -> None:
    pools = {"Last": bptt.Last, "MeanPool": bptt.MeanPool}
    for (pool, kind), dtype in itertools.product(pools.items(), ("float32", "float64")):
        options: dict[str, Any] = {"batch_first": True, "dtype": dtype}
        model = bptt.Sequential(
            bptt.Embedding(7, 4, dtype=dtype, seed=1),
            bptt.LSTM(4, 5, 2, bidirectional=True, seed=2, **options),
            bptt.LayerNorm(10, dtype=dtype),
            bptt.Linear(10, 5, bias=False, dtype=dtype, seed=3),
            bptt.GRU(5, 3, seed=4, **options),
            kind(**options),
            bptt.Tanh(dtype=dtype),
            bptt.Linear(3, 2, dtype=dtype, seed=5),
        )
        model[2].flat_parameters += 0.5
        names = ["net.embed", "rnn", "norm", "mix", "second", None, None, "head"]
        state = {
            f"{names[int(name.split('.')[0])]}.{name.partition('.')[2]}": value
            for name, value in model.state_dict().items()
        }
        middle: list[Any] = [kind(batch_first=True), bptt.Tanh()]
        layers = [name or middle.pop(0) for name in names]
        with subtests.test(pool, dtype=dtype):
            equal(from_state_dict(state, layers=layers, batch_first=True), model)
    wrapped = {f"module.model.{name}": value for name, value in state.items()}
    layers = [layer if isinstance(layer, str) else bptt.Tanh() for layer in layers]
    ours = from_state_dict(wrapped | {"module.other": MANY}, "model", layers=layers, batch_first=True)
    np.testing.assert_array_equal(ours.flat_parameters, model.flat_parameters)
    wrong: list[tuple[Any, type[Exception], str]] = [
        (layers[1:], ValueError, r"unused 'net.embed.weight' \(7, 4\)"),
        ([*layers, "tail"], ValueError, "'tail' has no weights. Fix: pass names such as 'net.embed', 'rnn',"),
        (["net", *layers[1:]], ValueError, r"'net' has 'embed.weight' \(7, 4\)"),
        ("rnn", TypeError, "must be a list of names"),
        ([1], TypeError, "must be a list of names"),
    ]
    for given, error, words in wrong:
        with subtests.test(words), pytest.raises(error, match=words):
            from_state_dict(state, layers=given)


def test_import_of_a_file(bptt_command: CommandLine, folder: Path) -> None:
    layer = bptt.RNN(3, 4, nonlinearity="relu", batch_first=True, seed=0)
    head = {"head.weight": np.zeros((2, 4), np.float32)}
    safetensors.numpy.save_file(to_state_dict(layer, "net.rnn") | head, "weights.safetensors")
    command = ("import", "weights.safetensors", "-o", "model.safetensors", "--prefix", "net.rnn")
    options = ("--cell", "rnn-relu", "--batch-first")
    figures = bptt_command(*command, *options, "--json").figures
    assert figures["parameters"] == layer.parameter_count
    equal(bptt.load("model.safetensors"), layer)
    assert repr(layer) in bptt_command(*command, *options).out
    written = Path("model.safetensors").read_bytes()
    model = (*command[:-2], "--layers", "net.rnn,MeanPool,head,Tanh", *options, "-o", "whole.safetensors")
    assert bptt_command(*model).code == 0
    whole = bptt.load("whole.safetensors")
    assert [part.kind for part in whole] == ["RNN", "MeanPool", "Linear", "Tanh"]
    assert whole.batch_first
    fails(bptt_command(*command), "cell must be given", "rnn-relu")
    fails(bptt_command(*command[:-2]), "unused 'head.weight' (2, 4)", "--prefix")
    fails(bptt_command(*command[:-2], "--cell", "gru", "--prefix", "net.rnn"), "cell must be 'rnn'")
    fails(bptt_command("import", "none.safetensors", "-o", "m"), "cannot read none.safetensors")
    if find_spec("onnx"):
        fails(bptt_command("import", "none.onnx", "-o", "m"), "cannot read none.onnx", "Fix: ")
    fails(bptt_command("import", "net.pt", "-o", "m"), "pickle", "save_file")
    fails(bptt_command("import", "net.h5", "-o", "m"), ".onnx or .safetensors", "net.h5")
    fails(bptt_command("import", "net.onnx", "-o", "m", "--prefix", "a"), "--prefix")
    fails(bptt_command("import", "weights.safetensors", "-o", "weights.safetensors"), "is an input")
    fails(bptt_command("import", "model.safetensors", "-o", "m"), "already a model of bptt")
    Path("bad.safetensors").write_bytes(written[: len(written) // 2])
    fails(bptt_command("import", "bad.safetensors", "-o", "m"), "not a whole safetensors file")
    fails(bptt_command("export", "model.safetensors"), "one of the arguments --onnx --c", code=2)
    fails(bptt_command("export", "model.safetensors", "--onnx", "model.safetensors"), "is an input")
    assert Path("model.safetensors").read_bytes() == written
    assert not Path("m").exists()


def test_other_libraries_are_loaded_only_where_they_are_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    code = """
import sys
import numpy as np
import bptt
from bptt import interop
gru = bptt.GRU(3, 4)
for there, back in (
    (interop.to_state_dict, interop.from_state_dict),
    (interop.keras_arrays, interop.from_keras),
    (interop.to_flax, interop.from_flax),
    (interop.to_equinox, interop.from_equinox),
):
    assert back(there(gru)).parameter_count == gru.parameter_count
print(sorted({"torch", "keras", "tensorflow", "jax", "flax", "equinox", "onnx"} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("[]\n", "")
    for name in ("torch", "keras"):
        monkeypatch.setitem(sys.modules, name, None)  # as if it were not installed
    for convert, words in (
        (from_torch, r"bptt.interop.from_torch needs PyTorch: pip install torch"),
        (to_torch, r"bptt.interop.to_torch needs PyTorch: pip install torch"),
        (to_keras, r"bptt.interop.to_keras needs Keras: pip install keras"),
    ):
        with pytest.raises(ImportError, match=words):
            convert(bptt.GRU(3, 4))
