"""Write models to ONNX files."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from onnx import ModelProto, checker

from bptt._version import __version__
from bptt.arguments import check_path, choice, flag, float_dtype, short
from bptt.files import atomic
from bptt.interop.onnx.own_files import KEY, description
from bptt.interop.onnx.writing.graph import Graph
from bptt.interop.onnx.writing.whole import Options, write_model
from bptt.layers import Module
from bptt.layers.model_argument import parse_model
from bptt.layers.passes.frozen import Frozen

LIMIT = 2**31 - 2**20
"""Bytes of weights in one file. Its format ends at 2 GiB."""


def save(
    model: Module | Frozen[Any],
    path: str | os.PathLike[str],
    *,
    lengths: bool = False,
    states: str = "none",
    shared_input: bool = False,
    scan: str = "auto",
    dtype: Any = None,
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write the inference pass of a model to an ONNX file.

    The file is complete or not written at all. Numbers of steps and rows are free in every call.
    docs/howto/onnx.md lists the operators, and what differs between runtimes.

    Parameters
    ----------
    model : Module or Frozen
        A layer, a model of layers of bptt, or a snapshot of one.
    path : str or os.PathLike
        The file.
    lengths : bool
        True: the graph has an input `lengths`, (B,) of type int64, with the number of valid steps of each
        row. If a model has named inputs, each input that may have its own lengths has its own
        `NAME.lengths`.
    states : {"none", "required", "optional"}
        "none": initial states are zeros, and final states are not returned. "required": each recurrent layer
        has inputs `h_0` and, for an LSTM, `c_0`, and outputs `h_n` and `c_n`. Their shapes are those of
        bptt's states. In a model, the names begin with the place of the layer, such as `0.h_0`. "optional":
        the inputs may be left out for zeros. ONNX Runtime logs a warning for each of them.
    shared_input : bool
        True: all layers of a `Parallel` at the beginning of the model read one input, `x`.
    scan : {"auto", "always", "never"}
        Whether recurrent layers become a `Scan` of elementary operators. "auto": only layers for which ONNX
        has no operator with the same results in ONNX Runtime. "never": refuse such a model.
    dtype : {"float32", "float64"}, optional
        Type of weights, inputs and outputs. Default: the type of the model.
    metadata : mapping from str to str, optional
        Entries of `metadata_props`, which runtimes show to their users.

    Raises
    ------
    TypeError
        If an argument has the wrong type, or the model has a layer that is not one of bptt.
    ValueError
        If no layer accepts `lengths`, or they would reach layers after `Repeat`. If `metadata` has the key
        "bptt.model", which describes the model, or text that is no UTF-8. If `scan` is "never" and a layer
        needs a `Scan`. If the weights do not fit in one file.
    OSError
        If the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import onnxruntime
    >>> import bptt.interop.onnx
    >>> model = bptt.Sequential(bptt.LSTM(3, 8), bptt.Last(), bptt.Linear(8, 2))
    >>> bptt.interop.onnx.save(model, "model.onnx")
    >>> session = onnxruntime.InferenceSession("model.onnx")
    >>> session.run(None, {"x": np.ones((20, 4, 3), np.float32)})[0].shape
    (4, 2)
    """
    check_path(path, "path", "model.onnx")
    target = Path(path)
    proto = to_proto(
        model,
        lengths=lengths,
        states=states,
        shared_input=shared_input,
        scan=scan,
        dtype=dtype,
        metadata=metadata,
    )
    content = proto.SerializeToString()
    checker.check_model(content)
    atomic.replace(target, content, lambda _: None)


def to_proto(
    model: Module | Frozen[Any],
    *,
    lengths: bool = False,
    states: str = "none",
    shared_input: bool = False,
    scan: str = "auto",
    dtype: Any = None,
    metadata: Mapping[str, str] | None = None,
) -> ModelProto:
    """Return the model that `save` writes, as an `onnx.ModelProto`.

    Parameters
    ----------
    model, lengths, states, shared_input, scan, dtype, metadata
        As for `save`. Errors are those of `save`, too.

    Returns
    -------
    onnx.ModelProto

    Examples
    --------
    >>> import bptt.interop.onnx
    >>> proto = bptt.interop.onnx.to_proto(bptt.GRU(3, 8))
    >>> [node.op_type for node in proto.graph.node]
    ['GRU', 'Squeeze']
    """
    module = parse_model(model, "model")
    options = Options(
        flag(lengths, "lengths"),
        choice(states, "states", ("none", "required", "optional")),
        flag(shared_input, "shared_input"),
        choice(scan, "scan", ("auto", "always", "never")),
    )
    graph = Graph(module.dtype if dtype is None else float_dtype(dtype))
    properties = description(module, graph.dtype, options) | _metadata(metadata)
    write_model(graph, module, options)
    if graph.bytes > LIMIT:
        raise ValueError(
            f"model must have less than 2 GiB of weights, the limit of a file; got {graph.bytes} bytes. "
            'Fix: pass dtype="float32", or write parts of the model to several files.'
        )
    proto = graph.model(module.kind, repr(module)[:10_000], __version__)
    for key, text in properties.items():
        proto.metadata_props.add(key=key, value=text)
    return proto


def _metadata(value: object) -> dict[str, str]:
    if value is None:
        return {}
    if not isinstance(value, Mapping) or not all(
        isinstance(text, str) for entry in value.items() for text in entry
    ):
        raise TypeError(
            f"metadata must be a mapping from str to str; got {short(value)}. "
            "Fix: convert other values to text, for example with json.dumps."
        )
    if KEY in value:
        raise ValueError(
            f"metadata must not have the key {KEY!r}, which describes the model; got {short(value[KEY])}. "
            "Fix: use another key."
        )
    try:
        "".join(text for entry in value.items() for text in entry).encode()
    except UnicodeEncodeError as error:
        raise ValueError(
            f"metadata must have text that UTF-8 can express; got a character that it cannot "
            f"({error.reason}). Fix: remove it."
        ) from None
    return dict(value)
