"""Files that `save` has written: they load as the model that was saved, not as layers that compute the same.

The metadata describe the model. Its parameters are found without a second description of the writer: the
writer writes the described model with the numbers 1, 2, 3, ... as parameters. The numbers then say which
parameter each weight of the file is, and a minus sign says that it is its negative. A file whose nodes or
weights differ from what the writer writes has been changed, and is read as any other file.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
import numpy.typing as npt
from onnx import NodeProto

from bptt.arrays import aligned_zeros
from bptt.files.checkpoint_header import build_model
from bptt.interop.onnx.errors import UnsupportedOnnxError
from bptt.interop.onnx.reading.graph import Graph
from bptt.interop.onnx.reading.tensors import Tensor
from bptt.interop.onnx.writing import graph as writing
from bptt.interop.onnx.writing.whole import Options, write_model
from bptt.layers import Module
from bptt.layers.undrawn import undrawn

KEY = "bptt.model"
"""The entry of `metadata_props` with the description."""

_OF_FLOAT64 = {"precision": "highest", "tape_dtype": None}
"""Settings of a layer that have one value in float64."""

_TYPES = {"float32": "float32", "float64": "float64"}
Arrays = dict[str, npt.NDArray[Any]]


def description(model: Module, dtype: np.dtype[Any], options: Options) -> dict[str, str]:
    """Return the entry that describes a model and how it is written.

    Empty if the model has a layer of the user's own that cannot be described.
    """
    about = {"kind": model.kind, "parameters": model.parameter_count, "dtype": dtype.name}
    try:
        return {KEY: json.dumps(about | {"config": model.config(), "options": options._asdict()})}
    except (TypeError, ValueError, AttributeError):
        return {}


def saved_model(graph: Graph, read: Callable[[], Module]) -> Module:
    """Return the model that `save` has written, or the result of `read` if the file is another one.

    `read` reads the graph alone, which is faster. Its result is returned if it is the described model.
    """
    texts = [entry.value for entry in graph.proto.metadata_props if entry.key == KEY]
    if not texts:
        return read()
    try:
        about = json.loads(texts[0])
    except (ValueError, RecursionError):
        return read()
    try:
        model = read()
    except UnsupportedOnnxError:
        own = _restored(graph, about)
        if own is None:
            raise
        return own
    if isinstance(about, dict) and (model.kind, _as_json(model)) == (about.get("kind"), about.get("config")):
        return model
    own = _restored(graph, about)
    return model if own is None else own


def _as_json(model: Module) -> Any:
    return json.loads(json.dumps(model.config()))


_OF_LIES = (ValueError, TypeError, KeyError, AssertionError, RecursionError)
"""Errors of a description that is wrong."""


def _restored(graph: Graph, about: Any) -> Module | None:
    """Return the described model. None if the file does not hold it."""
    try:
        values, dtype = _arrays(graph), np.dtype(_TYPES[about["dtype"]])
        # Weights that no output needs are not in the file. A layer norm without weights allocates its size.
        limit = 2 * sum(value.size for value in values.values()) + 2**20
        model = _described(about, dtype, limit)
    except _OF_LIES:
        return None
    # Outside of `try`: a layer of ours that cannot be bound is a fault, not a description that lies.
    count = model.parameter_count
    model.bind(np.arange(1.0, count + 1.0), np.zeros(count))
    written = writing.Graph(dtype, exact=True)
    try:
        write_model(written, model, Options(**about["options"]))
    except _OF_LIES:
        return None
    return model if _fill(model, graph, values, written) else None


def _described(about: Any, dtype: np.dtype[Any], limit: int) -> Module:
    """Build the described model with any parameters. Raise ValueError if it is too large for the file."""
    count = about["parameters"]
    if type(count) is not int or count > limit or _total(about["config"]) > limit:
        raise ValueError("the file does not hold this model")
    description = {"kind": about["kind"], "config": about["config"]}
    if dtype == np.float64:
        description = _in_highest_precision(description)
    with undrawn():
        return build_model(description, {"weights": {"shape": [count]}})


def _fill(model: Module, graph: Graph, values: Arrays, written: writing.Graph) -> bool:
    """Give the model the parameters of a file. Return False if the writer would not write this file.

    `written` is the graph that the writer writes for the numbers 1, 2, 3, ... as parameters.
    """
    count, dtype, parts = model.parameter_count, written.dtype, written.parts()
    own = graph.proto.graph
    if (
        _forms(own.node) != _forms(parts.nodes)
        or _forms([*own.input, *own.output]) != _forms([*written.inputs, *written.outputs])
        or values.keys() != parts.constants.keys()
        or any(value.shape != parts.constants[name].shape for name, value in values.items())
    ):
        return False
    parameters = aligned_zeros(count, dtype)
    known = np.zeros(count, np.bool_)
    for name, value in values.items():
        part = parts.constants[name]
        if name in parts.weights:
            if value.dtype != dtype or not _take(
                value.ravel(), part.ravel().astype(np.int64), parameters, known
            ):
                return False
        elif value.dtype != part.dtype or not np.array_equal(value, part):
            return False
    model.bind(parameters, aligned_zeros(count, dtype))
    return True


def _in_highest_precision(config: Any) -> Any:
    """Return a configuration whose layers have the only precision and tape of float64."""
    if isinstance(config, list):
        return [_in_highest_precision(entry) for entry in config]
    if not isinstance(config, dict):
        return config
    changed = {name: _in_highest_precision(value) for name, value in config.items()}
    return changed | {name: value for name, value in _OF_FLOAT64.items() if name in config}


def _total(config: Any) -> int:
    """Return the sum of all integers in a configuration."""
    if isinstance(config, (dict, list)):
        return sum(map(_total, config.values() if isinstance(config, dict) else config))
    return abs(config) if isinstance(config, int) else 0


def _take(
    values: npt.NDArray[Any],
    codes: npt.NDArray[np.int64],
    parameters: npt.NDArray[Any],
    known: npt.NDArray[np.bool_],
) -> bool:
    """Write weights to the parameters that their codes stand for.

    Return False if weights of the same parameter differ, or a weight that must be 0 is not 0.
    """
    if codes.size and codes.min() <= 0:
        if values[codes == 0].any():
            return False
        values, codes = values[codes != 0], codes[codes != 0]
        values = np.where(codes < 0, -values, values)
    places = np.abs(codes) - 1
    twice = known[places]
    old = parameters[places[twice]]
    parameters[places], known[places] = values, True
    # A weight that is there twice in one file, as a gate and its complement, must be the same in both places.
    return np.array_equal(old, values[twice], equal_nan=True) and np.array_equal(
        parameters[places], values, equal_nan=True
    )


def _arrays(graph: Graph) -> Arrays:
    """Return all constants of a file by name."""
    arrays = {name: tensor.array for name, tensor in graph.constants.items()}
    for node in graph.proto.graph.node:
        for attribute in node.attribute:
            arrays |= {tensor.name: Tensor(tensor).array for tensor in attribute.g.initializer}
    return arrays


def _forms(messages: Iterable[Any]) -> list[bytes]:
    """Return the bytes of messages without the constants of bodies."""
    forms = []
    for message in messages:
        if isinstance(message, NodeProto):
            copy = NodeProto()
            copy.CopyFrom(message)
            for attribute in copy.attribute:
                if attribute.HasField("g"):
                    del attribute.g.initializer[:]
            message = copy
        forms.append(message.SerializeToString(deterministic=True))
    return forms
