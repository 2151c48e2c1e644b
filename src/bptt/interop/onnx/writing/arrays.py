"""Inputs and outputs of a graph, in the layouts of the model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.interop.onnx.writing.graph import Dimension, Graph, Value
from bptt.interop.onnx.writing.lengths import Lengths
from bptt.layers import EncoderDecoder, Module, Sequential
from bptt.layers.containers.inputs import arrays_of
from bptt.layers.containers.named import Named


def write_inputs(graph: Graph, model: Module, *, shared: bool) -> Any:
    """Make the inputs of the graph, and return them as a model reads them, with time as the first axis.

    Raises
    ------
    ValueError
        If `shared` is true, but the model has only one input, or inputs of different forms.
    """
    sample = model.sample(1 if model.reads_time else None, 1)
    named = isinstance(sample, Mapping)
    batch_first = bool(getattr(model, "batch_first", False))
    if not shared:
        return _each(graph, sample, "", batch_first)
    forms = {(array.shape, array.dtype.kind) for array in arrays_of(sample).values()}
    if not named or len(forms) != 1:
        actual = "inputs of different forms" if named else f"{model.kind}, which has one input"
        raise ValueError(
            "shared_input needs a model that begins with Parallel, whose layers read arrays of the same "
            f"form; got {actual}. Fix: leave shared_input out."
        )
    return _input(graph, next(iter(arrays_of(sample).values())), "", batch_first)


def _each(graph: Graph, sample: Any, name: str, batch_first: bool) -> Any:
    if not isinstance(sample, Mapping):
        return _input(graph, sample, name, batch_first)
    dot = "." if name else ""
    return {key: _each(graph, part, f"{name}{dot}{key}", batch_first) for key, part in sample.items()}


def _input(graph: Graph, array: npt.NDArray[Any], name: str, batch_first: bool) -> Value:
    """Make an input for arrays like this one. `name` is "" if it is the only input."""
    ids = array.dtype.kind == "i"
    width = None if ids else array.shape[-1]
    time = f"{name.replace('.', '_')}_time" if name else "time"
    has_time = array.ndim > (1 if ids else 2)
    lead: tuple[Dimension, ...] = (time, "batch") if has_time else ("batch",)
    shape = lead[::-1] if batch_first else lead
    if width is not None:
        shape = *shape, width
    x = graph.input(name or "x", shape, np.int64 if ids else None)
    if batch_first and has_time:
        x = graph.add("Transpose", x, perm=[1, 0] if ids else [1, 0, 2])
    return Value(x, width, time if has_time else None)


def write_output(graph: Graph, model: Module, y: Value) -> None:
    """Make a value the output `y`, in the layout of the model."""
    shape: tuple[Dimension, ...] = ("batch",) if y.time is None else (y.time, "batch")
    name = y.name
    if y.time is not None and getattr(model, "batch_first", False):
        shape, name = shape[::-1], graph.add("Transpose", name, perm=[1, 0, 2])
    graph.output("y", name, shape if y.width is None else (*shape, y.width))


def write_lengths(graph: Graph, model: Module, x: Any) -> Any:
    """Make the inputs for lengths, and return them as a model reads them.

    Raises
    ------
    ValueError
        If no layer accepts lengths, or they would reach layers after `Repeat`.
    """
    if "lengths" not in model.call_options:
        raise ValueError(
            f"lengths needs a recurrent layer, Last, Ends or a pool; got {model.kind} without one. "
            "Fix: pass lengths=False."
        )
    return _lengths(graph, model, x, "")


def _lengths(graph: Graph, model: Module, x: Any, name: str) -> Any:
    """Make one input, or one for each part of a model whose parts read sequences of different lengths."""
    first, later = model, False
    while isinstance(first, Sequential):
        later = later or any("lengths" in part.call_options for part in tuple(first)[1:])
        first = first[0]
    dot = "." if name else ""
    if not isinstance(first, Named) or not isinstance(x, Mapping):
        return Lengths(graph, f"{name}{dot}lengths")
    readers = {key: part for key, part in first.parts.items() if "lengths" in part.call_options}
    if isinstance(first, EncoderDecoder) and later:
        raise ValueError(
            "lengths must not reach layers after EncoderDecoder, whose sequences have lengths of their own. "
            "Fix: pass lengths=False."
        )
    if later or (len(readers) == 1 and not isinstance(first, EncoderDecoder)):
        return Lengths(graph, f"{name}{dot}lengths")
    return {key: _lengths(graph, part, x[key], f"{name}{dot}{key}") for key, part in readers.items()}
