"""What is in an ONNX file, and models and arguments that are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.commandline import CommandLine, fails
from tests.onnx_files import agree, inputs_of, models, onnx, randomized, session

import bptt
from bptt.files import read_checkpoint
from bptt.interop.onnx import save, to_proto


def test_the_file(tmp_path: Path) -> None:
    model = randomized(bptt.Sequential(bptt.LSTM(3, 5), bptt.Last(), bptt.Linear(5, 2)))
    path = tmp_path / "model.onnx"
    save(model, path, metadata={"classes": "a, b"})
    proto = onnx.load(path)
    onnx.checker.check_model(str(path), full_check=True)
    assert (proto.producer_name, proto.producer_version) == ("bptt", bptt.__version__)
    assert {entry.key for entry in proto.metadata_props} == {"bptt.model", "classes"}
    assert proto.metadata_props[1].value == "a, b"
    assert proto.doc_string == repr(model)
    assert [(each.domain, each.version) for each in proto.opset_import] == [("", 17)]
    assert proto.ir_version == 8
    save(model.freeze(), str(path), metadata={"classes": "a, b"})
    assert onnx.load(path) == proto
    model.flat_parameters[...] = 0.0
    assert onnx.load(path) == proto


def test_shapes_name_the_axes() -> None:
    layer = bptt.LSTM(3, 5, batch_first=True, bidirectional=True)
    graph = to_proto(layer, lengths=True, states="required").graph
    shapes = {
        info.name: [size.dim_param or size.dim_value for size in info.type.tensor_type.shape.dim]
        for info in (*graph.input, *graph.output)
    }
    states = {name: [2, "batch", 5] for name in ("h_0", "c_0", "h_n", "c_n")}
    x, y = ["batch", "time", 3], ["batch", "time", 10]
    assert shapes == {"x": x, "y": y, "lengths": ["batch"]} | states


def test_nothing_in_the_file_is_left_over(subtests: pytest.Subtests) -> None:
    """ONNX Runtime would warn of a constant that no node reads."""
    for name, model, options in models():
        with subtests.test(name):
            graph = to_proto(model, **options).graph
            read = {name for node in graph.node for name in node.input} | {info.name for info in graph.output}
            assert {constant.name for constant in graph.initializer} <= read
            assert all(read.intersection(node.output) for node in graph.node)
            made = [name for node in graph.node for name in node.output]
            assert all(re.fullmatch(r"[\w.]+", name) for name in (*read, *made) if name)


class Doubled(bptt.Linear):
    """A layer with a pass of its own."""

    def forward(self, x: Any, state: Any = None, **options: Any) -> Any:
        y, state, tape = super().forward(x, state, **options)
        return 2 * y, state, tape


class Named(bptt.LSTM):
    """A layer with the equations of its base class."""


ERRORS: dict[str, tuple[type[Exception], str, Any, dict[str, Any]]] = {
    "path first": (
        TypeError,
        r"model must be a layer.*got 'model\.onnx'.*Fix: pass the model first",
        "model.onnx",
        {},
    ),
    "estimator": (TypeError, r"Fix: pass the network.*model_", SimpleNamespace(model_=bptt.LSTM(3, 5)), {}),
    "module": (TypeError, r"Fix: convert it.*from_torch", SimpleNamespace(named_parameters=list), {}),
    "own layer": (
        TypeError,
        r"model\[1\] must be a layer that has a form in ONNX.*got Doubled.*Fix:",
        bptt.Sequential(bptt.LSTM(3, 5), Doubled(5, 2)),
        {},
    ),
    "no size": (
        ValueError,
        r"begin.*with.*got Last.*Fix:",
        bptt.Sequential(bptt.Last(), bptt.Tanh()),
        {},
    ),
    "no lengths": (
        ValueError,
        r"lengths needs.*got Linear.*Fix: pass lengths=False",
        bptt.Linear(3, 2),
        {"lengths": True},
    ),
    "repeat": (
        ValueError,
        r"lengths must not reach.*got LSTM at model\[4\].*Fix:",
        bptt.Sequential(bptt.LSTM(3, 5), bptt.Last(), bptt.Repeat(7), bptt.Tanh(), bptt.LSTM(5, 3)),
        {"lengths": True},
    ),
    "after a decoder": (
        ValueError,
        r"lengths must not reach.*EncoderDecoder.*Fix:",
        bptt.Sequential(bptt.EncoderDecoder(bptt.GRU(3, 5), bptt.GRU(3, 5)), bptt.Last()),
        {"lengths": True},
    ),
    "one input": (ValueError, r"shared_input needs.*got LSTM.*Fix:", bptt.LSTM(3, 5), {"shared_input": True}),
    "other inputs": (
        ValueError,
        r"shared_input needs.*different forms.*Fix:",
        bptt.Parallel(a=bptt.LSTM(3, 5), b=bptt.LSTM(2, 5)),
        {"shared_input": True},
    ),
    "a name twice": (
        ValueError,
        r"names of layers must differ.*got 'y' twice.*Fix:",
        bptt.Parallel(x=bptt.LSTM(3, 5), y=bptt.LSTM(2, 5)),
        {},
    ),
    "gelu": (
        ValueError,
        r'gelu must.*got dtype="float64".*Fix: pass dtype="float32"',
        bptt.Sequential(bptt.Linear(3, 2, dtype="float64"), bptt.GELU()),
        {},
    ),
    "scan": (ValueError, r"scan must be.*got 'no'", bptt.LSTM(3, 5), {"scan": "no"}),
    "states": (ValueError, r"states must be.*got 'all'", bptt.LSTM(3, 5), {"states": "all"}),
    "a flag": (TypeError, r"lengths must be.*got \[3\]", bptt.LSTM(3, 5), {"lengths": [3]}),
    "dtype": (ValueError, r"dtype must be.*float16", bptt.LSTM(3, 5), {"dtype": "float16"}),
    "a reserved key": (
        ValueError,
        "the key 'bptt.model'",
        bptt.LSTM(3, 5),
        {"metadata": {"bptt.model": "a"}},
    ),
    "half a character": (ValueError, "that UTF-8 can", bptt.LSTM(3, 5), {"metadata": {"a": "\ud800"}}),
    "metadata": (TypeError, r"metadata must be.*got.*1.*Fix:", bptt.LSTM(3, 5), {"metadata": {"a": 1}}),
}


def test_errors(tmp_path: Path, subtests: pytest.Subtests) -> None:
    path = tmp_path / "model.onnx"
    path.write_bytes(b"before")
    for name, (kind, message, model, options) in ERRORS.items():
        with subtests.test(name), pytest.raises(kind, match=message):
            save(model, path, **options)
    with pytest.raises(TypeError, match="path must be a str"):
        save(bptt.LSTM(3, 5), 3)  # type: ignore[arg-type]
    assert path.read_bytes() == b"before"
    assert list(tmp_path.iterdir()) == [path]


def test_a_subclass_without_a_pass_of_its_own_is_written() -> None:
    layer: Any = randomized(Named(3, 5))
    x = inputs_of(layer, 6, 4)
    agree(session(to_proto(layer)).run(None, {"x": x})[0], layer(x)[0])


def test_weights_that_do_not_fit_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    layer = bptt.LSTM(3, 5, dtype="float64")
    layer.flat_parameters[0] = 1e300
    with pytest.raises(ValueError, match="float32 can hold"):
        to_proto(layer, dtype="float32")
    monkeypatch.setattr("bptt.interop.onnx.saving.LIMIT", 100)
    with pytest.raises(ValueError, match="less than 2 GiB"):
        to_proto(layer)


def test_export_command(bptt_command: CommandLine, tmp_path: Path) -> None:
    scaling = bptt.data.Standardize.fit(np.random.default_rng(0).normal(size=(9, 3)))
    model = randomized(bptt.Sequential(bptt.LSTM(3, 5, zoneout=0.1), bptt.Last()))
    source, out = tmp_path / "model.safetensors", tmp_path / "model.onnx"
    bptt.save(source, model, preprocessing={"x": scaling}, extra={"window": 9})
    command = ("export", source, "--onnx", out)
    figures = bptt_command(*command, "--lengths", "--states", "required", "--json").figures
    assert figures["bytes"] == out.stat().st_size
    assert onnx.load(out).graph == to_proto(model, lengths=True, states="required").graph
    assert "has the scales" in bptt_command(*command).err
    about = session(onnx.load(out)).get_modelmeta().custom_metadata_map
    assert json.loads(about["bptt.preprocessing"])["x"]["mean"] == scaling.to_dict()["mean"]
    assert json.loads(about["bptt.extra"]) == {"window": 9}
    before = out.read_bytes()
    fails(bptt_command(*command, "--scan", "never"), "zoneout=0.1 must be written as a Scan")
    fails(bptt_command(*command[:2], "--c", tmp_path / "model.h", "--lengths"), "--lengths is for --onnx")
    assert out.read_bytes() == before


def test_import_gives_back_what_export_has_written(bptt_command: CommandLine, tmp_path: Path) -> None:
    scaling = bptt.data.Standardize.fit(np.random.default_rng(0).normal(size=(9, 3)))
    model = randomized(bptt.Sequential(bptt.LSTM(3, 5, zoneout=0.1), bptt.Last()))
    source, middle, back = (tmp_path / name for name in ("a.safetensors", "b.onnx", "c.safetensors"))
    bptt.save(source, model, preprocessing={"x": scaling}, extra={"window": 9})
    assert bptt_command("export", source, "--onnx", middle).code == 0
    assert bptt_command("import", middle, "-o", back).code == 0
    before, after = read_checkpoint(source), read_checkpoint(back)
    assert after.model.config() == before.model.config()
    np.testing.assert_array_equal(after.model.flat_parameters, before.model.flat_parameters)
    assert (after.extra, after.preprocessing) == (before.extra, before.preprocessing)
    written, proto = back.read_bytes(), onnx.load(middle)
    for text in ("{", '{"x": {"kind": "Standardize", "mean": []}}', "[" * 100_000):
        (entry,) = [each for each in proto.metadata_props if each.key == "bptt.preprocessing"]
        entry.value = text
        onnx.save(proto, middle)
        fails(bptt_command("import", middle, "-o", back), "damaged metadata", "Fix:")
    assert back.read_bytes() == written
