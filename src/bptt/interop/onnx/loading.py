"""Load ONNX models."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import onnx

from bptt.arguments import choice, flag, short
from bptt.files.atomic import reading
from bptt.interop.onnx.errors import OnnxError, UnsupportedOnnxError
from bptt.interop.onnx.own_files import saved_model
from bptt.interop.onnx.reading.build import build
from bptt.interop.onnx.reading.chain import find_chain
from bptt.interop.onnx.reading.content import Content, FileBytes
from bptt.interop.onnx.reading.graph import Graph
from bptt.interop.onnx.reading.interpreter import Interpreter
from bptt.interop.onnx.reading.wire import SIZE_LIMIT
from bptt.layers import Module
from bptt.layers.passes.frozen import Frozen

_SHOWN = 20
"""Number of unsupported nodes that a message lists."""
_PRODUCTS = 6
"""Products with matrices from which a model without recurrent nodes may be written step by step."""
_SMALL = 2**20
"""Bytes of a file that is read at once. The weights of larger files are read into their place."""
_COPIES = 8
"""How many times as large as the file the constants that are computed from it may be."""


def load(
    model: str | os.PathLike[str] | bytes | Any,
    *,
    clip_mode: str = "onnxruntime",
    output: str | None = None,
    frozen: bool = False,
) -> Any:
    """Load an ONNX model as a bptt model, which can be trained further.

    The model must be a chain of layers: `RNN`, `LSTM` and `GRU` nodes, embeddings, products with matrices,
    activations, layer norms, and the last step, the mean or the maximum over time. Operators that only move
    axes, compute shapes or make initial states of zeros may stand between them. Nodes of equal options that
    follow each other become one stack.

    The loaded model reads x with the axes of the graph's input, and any number of rows and steps. It returns
    `(y, state)`. y has the axes time, batch and features in the order of x, whatever the graph does with them
    at its end. Inputs of the graph with initial states become the argument `state`, with the shapes of
    bptt, and `sequence_lens` becomes the argument `lengths`.

    The file may come from an untrusted source. Sizes are checked against its bytes before memory is
    allocated, and files with weights are read only from the folder of the model.

    Parameters
    ----------
    model : str, os.PathLike, bytes or onnx.ModelProto
        The file, its content, or the model. Files with weights next to the model are read only with a path.
    clip_mode : {"onnxruntime", "spec"}
        Effect of the attribute `clip` of an LSTM on the cell state. "onnxruntime": nothing, as in ONNX
        Runtime. "spec": it clips the cell state before the output's activation, as the specification says.
    output : str, optional
        Name of an output, or of a value inside the graph, that the model shall return. Only the nodes that it
        needs are read. Default: all outputs of the graph, one output of layers and any number of states.
    frozen : bool
        True: return `load(model).freeze()`, in less time and memory, for inference only.

    Returns
    -------
    Module or Frozen
        A recurrent layer, if the graph is one layer or stack. Otherwise, a `Sequential`.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    OnnxError
        A ValueError: the file is damaged or contradicts itself.
    UnsupportedOnnxError
        An OnnxError: bptt has no layers for the model. The message lists all such nodes.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt.interop.onnx
    >>> model, x = bptt.GRU(3, 8), np.ones((20, 4, 3))
    >>> bptt.interop.onnx.save(model, "model.onnx")
    >>> np.array_equal(bptt.interop.onnx.load("model.onnx")(x)[0], model(x)[0])
    True
    """
    choice(clip_mode, "clip_mode", ("onnxruntime", "spec"))
    frozen = flag(frozen, "frozen")
    if not (output is None or isinstance(output, str)):
        raise TypeError(
            f"output must be a str or None; got {short(output)}. Fix: pass the name of an output."
        )
    loaded = _loaded(model, clip_mode, output, frozen)
    return Frozen.taking(loaded) if frozen else loaded


def _loaded(model: Any, clip_mode: str, output: str | None, frozen: bool) -> Module:
    """Load a model. The bytes of the file are free again when it returns, before weights are packed."""
    with _opened(model) as (content, folder):
        graph, budget = Graph(content, folder), len(content) * _COPIES + 2**20
        if clip_mode != "onnxruntime" or output is not None:
            return _load(graph, clip_mode, output, budget, frozen)
        return saved_model(graph, lambda: _load(graph, clip_mode, output, budget, frozen))


def read_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Return the entries of `metadata_props` of a file.

    Raises
    ------
    OnnxError
        If the file is damaged.
    OSError
        The file cannot be read.
    """
    with _opened(path) as (content, folder):
        return {entry.key: entry.value for entry in Graph(content, folder).proto.metadata_props}


@contextmanager
def _opened(model: Any) -> Iterator[tuple[Content, Path | None]]:
    """Open a model: its bytes, and the folder of its other files. Errors in it get its name."""
    subject = "model"
    try:
        if isinstance(model, onnx.ModelProto):
            yield model.SerializeToString(), None
        elif isinstance(model, bytes):
            yield model, None
        elif isinstance(model, (str, os.PathLike)):
            path = Path(model)
            subject = str(path)
            with _opened_file(path) as content:
                yield content, path.parent
        else:
            raise TypeError(
                f"model must be a path, bytes or an onnx.ModelProto; got {short(model)}. "
                "Fix: pass the file's name."
            )
    except OnnxError as error:
        raise type(error)(f"{subject} {error}.") from None


@contextmanager
def _opened_file(path: Path) -> Iterator[Content]:
    status = os.stat(path)
    if not (stat.S_ISREG(status.st_mode) or stat.S_ISDIR(status.st_mode)):
        raise OnnxError("is not a regular file. Fix: pass the name of an ONNX file")
    if status.st_size > SIZE_LIMIT:
        raise OnnxError(f"has more than {SIZE_LIMIT} bytes, the limit of ONNX files")
    with reading(path) as file:
        yield file.read() if status.st_size <= _SMALL else FileBytes(file, status.st_size)


def _load(graph: Graph, clip_mode: str, output: str | None, budget: int, frozen: bool) -> Module:
    outputs = graph.outputs if output is None else [output]
    if not outputs:
        raise OnnxError("has no output")
    if output is not None and output not in (*graph.outputs, *graph.names):
        raise OnnxError(
            f"has no value {output!r:.60}. Fix: pass output= one of its outputs, "
            f"{', '.join(map(repr, graph.outputs)):.200}"
        )
    interpreter = Interpreter(graph, clip_mode, budget)
    values = interpreter.run(outputs)
    if interpreter.problems:
        problems = interpreter.problems[:_SHOWN]
        more = len(interpreter.problems) - len(problems)
        if more:
            problems.append(f"and {more} more")
        count = f"{len(interpreter.problems)} nodes" if len(interpreter.problems) > 1 else "a node"
        lines = "\n  ".join(problems)
        raise UnsupportedOnnxError(
            f"has {count} that bptt cannot represent:\n  {lines}{_hint(graph, interpreter)}"
        )
    chain = find_chain(list(zip(outputs, values, strict=True)), interpreter.roles)
    return build(chain, for_training=not frozen)


def _hint(graph: Graph, interpreter: Interpreter) -> str:
    """Return the likely cause, if recurrent layers seem to be written step by step, or how to go on."""
    operators = graph.operators
    if any(operators[name] for name in ("RNN", "LSTM", "GRU")) or operators["MatMul"] < _PRODUCTS:
        if not interpreter.before or len(interpreter.problems) > 1 or "Fix: " in interpreter.problems[0]:
            return ""
        return f". Fix: pass output={interpreter.before!r:.60} for the model without this node"
    return (
        ".\nNo node is an RNN, LSTM or GRU. Keras exports such layers step by step, and so does PyTorch for "
        "layers in a loop. Fix: take the weights with bptt.interop.from_keras or from_torch"
    )
