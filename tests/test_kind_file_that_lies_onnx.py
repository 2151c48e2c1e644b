"""A file that lies, for ONNX: forged sizes, graphs and places of weights raise OnnxError first.

tests/fuzz/test_onnx_files.py changes every field of small models. Here are large files, where time or memory
would run out, and files with weights elsewhere.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs pip install onnx")

from tests.onnx_graphs import recurrent_model, tensor  # noqa: E402

from bptt.interop.onnx import OnnxError, UnsupportedOnnxError, load  # noqa: E402

MEMORY = 100e6
"""Bytes that a refusal may take, besides those of the file."""


def good() -> Any:
    return recurrent_model("LSTM", np.random.default_rng(0))


def field(number: int, content: bytes) -> bytes:
    """A field of a protobuf message that holds bytes."""
    head = bytearray()
    for value in (number << 3 | 2, len(content)):
        while value > 127:
            head.append(value & 127 | 128)
            value >>= 7
        head.append(value)
    return bytes(head) + content


def with_fields(fields: bytes) -> bytes:
    """The good model with more fields in its graph."""
    model = good()
    graph = model.graph.SerializeToString() + fields
    model.ClearField("graph")
    return model.SerializeToString() + field(7, graph)  # type: ignore[no-any-return]


def nodes(count: int) -> bytes:
    return field(1, onnx.helper.make_node("Relu", ["y"], ["z"], name="a node").SerializeToString()) * count


def nested(depth: int) -> bytes:
    content = b""
    for _ in range(depth):
        content = field(1, field(5, field(6, content)))
    return with_fields(content)


def doubling() -> bytes:
    """Sixty nodes that each double a constant."""
    model = good()
    graph = model.graph
    del graph.node[:]
    del graph.output[1:]
    graph.initializer.append(tensor("c0", np.ones((100, 100))))
    graph.node.extend(
        onnx.helper.make_node("Concat", [f"c{k}"] * 2, [f"c{k + 1}"], axis=0) for k in range(60)
    )
    graph.node.append(onnx.helper.make_node("MatMul", ["x", "c60"], ["y"]))
    return model.SerializeToString()  # type: ignore[no-any-return]


def expanded() -> bytes:
    """A bias of 2^60 equal numbers."""
    model = good()
    model.graph.initializer.append(tensor("shape", [1, 2**40, 2**20]))
    model.graph.initializer.append(tensor("one", [1.0]))
    model.graph.node.insert(0, onnx.helper.make_node("Expand", ["one", "shape"], ["large"]))
    model.graph.node[1].input[3] = "large"
    return model.SerializeToString()  # type: ignore[no-any-return]


LARGE: dict[str, tuple[Callable[[], bytes], str]] = {
    "a million nodes": (lambda: with_fields(nodes(1_000_000)), "more than 100000 fields"),
    "a million empty nodes": (lambda: with_fields(field(1, b"") * 10**6), "more than 100000 fields"),
    "many small nodes": (lambda: with_fields(field(1, b"") * 30_000), "has 30001 nodes; the limit is 20000"),
    "a million initializers": (lambda: with_fields(field(5, b"") * 10**6), "more than 100000 fields"),
    "a million inputs of a node": (lambda: with_fields(field(1, field(1, b"") * 10**6)), "100000 fields"),
    "ten million dimensions": (lambda: with_fields(field(5, field(1, b"\1" * 10**7))), "100000 fields"),
    "ten million whole numbers": (lambda: with_fields(field(5, field(7, b"\1" * 10**7))), "100000 fields"),
    "an attribute of ten million": (
        lambda: with_fields(field(1, field(5, field(8, b"\1" * 10**7)))),
        "more than 100000 fields",
    ),
    "a million functions": (lambda: good().SerializeToString() + field(25, b"") * 10**6, "100000 fields"),
    "graphs in graphs": (lambda: nested(5000), "is not an ONNX model, or is damaged"),
    "doubled constants": (doubling, "constants that are much larger than the file"),
    "an expanded constant": (expanded, "its input B must be an initializer or a constant"),
}


def memory_of_refusals() -> None:
    """Load the large files, and check how much the process has grown."""
    import resource  # not on Windows

    with pytest.raises(OnnxError):
        load(b"first use")
    for name, (make, message) in LARGE.items():
        content = make()
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        with pytest.raises(OnnxError, match=message):
            load(content)
        grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * (
            1 if sys.platform == "darwin" else 1024
        )
        assert grown < MEMORY, f"{name}: {grown} bytes"


@pytest.mark.skipif(sys.platform == "win32", reason="Windows does not tell the peak of the memory")
def test_large_files_are_refused_in_little_memory() -> None:
    root = Path(__file__).parents[1]
    path = os.pathsep.join(entry for entry in (os.environ.get("PYTHONPATH"), str(root)) if entry)
    done = subprocess.run(
        [sys.executable, __file__],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]


# Small files


def changed(change: Callable[[Any], object]) -> Any:
    model = good()
    change(model.graph)
    return model


def shaped(*dims: int) -> Any:
    def change(graph: Any) -> None:
        del graph.initializer[0].dims[:]
        graph.initializer[0].dims.extend(dims)

    return changed(change)


def cycle(graph: Any) -> None:
    graph.node.append(onnx.helper.make_node("Identity", ["y"], ["z"]))
    graph.node[0].input[0] = "z"


def loop(graph: Any) -> None:
    body = onnx.helper.make_graph([], "body", [], [])
    graph.node.append(onnx.helper.make_node("Loop", ["", "", "y"], ["z"], body=body))
    graph.output[0].name = "z"


SMALL: dict[str, tuple[Callable[[], Any], str]] = {
    "no model": (lambda: b"an ONNX file", "is not an ONNX model"),
    "empty": (lambda: b"", "is not an ONNX model: it holds no graph"),
    "cut short": (
        lambda: good().SerializeToString()[:-100],
        r"is not an ONNX model, or is damaged\. Fix: .*\.onnx file\.$",
    ),
    "large, and cut short": (
        lambda: with_fields(field(5, b""))[:-100] + b"\x0a" * 2**16,
        "is not an ONNX model, or is",
    ),
    "huge dimensions": (lambda: shaped(1, 2**62, 4), "with 240 bytes; expected 73786976294838206464 bytes"),
    "negative dimensions": (lambda: shaped(1, -20, 3), "the impossible shape"),
    "an empty axis": (lambda: shaped(1, 2**40, 0), "with 240 bytes; expected 0 bytes"),
    "another type": (
        lambda: changed(lambda graph: setattr(graph.initializer[0], "data_type", 11)),
        "with 240 bytes; expected 480 bytes",
    ),
    "float16": (
        lambda: changed(lambda graph: setattr(graph.initializer[0], "data_type", 10)),
        "of type FLOAT16; bptt reads FLOAT, DOUBLE",
    ),
    "a cycle": (lambda: changed(cycle), "has nodes that form a cycle through node 'cell'"),
    "two values of one name": (
        lambda: changed(lambda graph: graph.node.append(onnx.helper.make_node("Identity", ["x"], ["y"]))),
        "holds two values with the name 'y'",
    ),
    "a missing initializer": (
        lambda: changed(lambda graph: graph.initializer.pop()),
        "lacks the value 'B', which node 'cell'",
    ),
    "the same initializer twice": (
        lambda: changed(lambda graph: graph.initializer.append(graph.initializer[0])),
        "holds two initializers with the name 'W'",
    ),
    "a body": (lambda: changed(loop), "Loop, output 'z'\\): no layer of bptt does this"),
}


def test_small_files_name_what_is_wrong(subtests: pytest.Subtests) -> None:
    for name, (make, message) in SMALL.items():
        with subtests.test(name), pytest.raises(OnnxError, match=message):
            load(make())


def test_graphs_that_contradict_themselves_are_unsupported(subtests: pytest.Subtests) -> None:
    def attribute(name: str, value: Any) -> Callable[[Any], object]:
        return lambda graph: graph.node[0].attribute.append(onnx.helper.make_attribute(name, value))

    cases = {
        "direction": (attribute("direction", "sideways"), 'its direction must be "forward"'),
        "a number as activations": (attribute("activations", 3), "its attributes do not fit the operator"),
        "clip": (attribute("clip", float("nan")), "its clip must be above 0; got nan"),
        "unknown": (attribute("speed", 3), "bptt does not know its attribute 'speed'"),
        "R of W's shape": (
            lambda graph: graph.node[0].input.__setitem__(2, "W"),
            r"its input W must have shape \(1, 12, 3\); got \(1, 20, 3\)",
        ),
    }
    for name, (change, message) in cases.items():
        with subtests.test(name), pytest.raises(UnsupportedOnnxError, match=message):
            load(changed(change))


# Weights in other files


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no pipes with names in folders")
def test_weights_elsewhere(tmp_path: Path, subtests: pytest.Subtests) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    model = good()
    W = model.graph.initializer[0]
    (folder / "weights").write_bytes(W.raw_data)
    (tmp_path / "secret").write_bytes(W.raw_data)
    (folder / "link").symlink_to(tmp_path / "secret")
    (folder / "up").symlink_to(tmp_path)
    os.mkfifo(folder / "pipe")
    size = len(W.raw_data)
    W.ClearField("raw_data")
    W.data_location = onnx.TensorProto.EXTERNAL
    cases: dict[str, tuple[dict[str, str], str]] = {
        "..": ({"location": "../secret"}, "outside of the model's folder"),
        "absolute": ({"location": str(tmp_path / "secret")}, "outside of the model's folder"),
        "of Windows": ({"location": r"..\secret"}, "outside of the model's folder"),
        "a drive": ({"location": r"C:secret"}, "outside of the model's folder"),
        "no location": ({}, "outside of the model's folder"),
        "NUL": ({"location": "weights\0"}, "outside of the model's folder"),
        "a link": ({"location": "link"}, "is a symbolic link"),
        "a linked folder": ({"location": "up/secret"}, "is a symbolic link"),
        "a pipe": ({"location": "pipe"}, "is not a regular file"),
        "a folder": ({"location": "."}, "outside of the model's folder"),
        "missing": ({"location": "nothing"}, "there is no such file"),
        "too long": ({"location": "weights", "length": str(size + 1)}, f"the tensor needs {size + 1}"),
        "too far": ({"location": "weights", "offset": "4"}, f"with {size - 4} bytes; expected {size} bytes"),
        "beyond": ({"location": "weights", "offset": str(10**12)}, "the file has 240 bytes"),
        "negative": ({"location": "weights", "offset": "-4"}, "offset must be a whole number"),
        "too short": ({"location": "weights", "length": "8"}, f"with 8 bytes; expected {size} bytes"),
    }
    path = folder / "model.onnx"

    def write(entries: dict[str, str]) -> None:
        del W.external_data[:]
        for key, value in entries.items():
            W.external_data.add(key=key, value=value)
        path.write_bytes(model.SerializeToString())

    for name, (entries, message) in cases.items():
        write(entries)
        with subtests.test(name), pytest.raises(OnnxError, match=message):
            load(path)
    write({"location": "weights"})
    np.testing.assert_array_equal(load(path).flat_parameters, load(good()).flat_parameters)
    with pytest.raises(OnnxError, match="is not a regular file"):
        load(folder / "pipe")


if __name__ == "__main__":
    memory_of_refusals()
