"""Cells of Flax: their parameter trees in bptt, and back. Neither JAX nor Flax is needed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.interop.gate_order import BPTT, FLAX, reorder
from bptt.interop.weights.names import Shapes, below, check_shapes, listing, parse_prefix, shapes_of
from bptt.interop.weights.one_layer import Cell, build, cell_of
from bptt.interop.weights.values import Arrays, to_array
from bptt.layers import GRU, LSTM, RNN
from bptt.layers.passes.frozen import Frozen

_BIASES = {"rnn": ("i",), "lstm": ("hi", "hf", "hg", "ho"), "gru": ("ir", "iz", "in", "hn")}
"""The kernels that have a bias."""
_FUSED_BIASES = {"rnn": ("dense_i",), "lstm": ("dense_h",), "gru": ("dense_i",)}
"""The same for the cells of NNX that have one kernel for all gates."""


def from_flax(
    params: Any, prefix: str | None = None, *, backward: Any = None, **options: Any
) -> RNN | LSTM | GRU:
    """Build a layer from the parameters of a Flax cell, with copies of its arrays.

    Parameters
    ----------
    params : nested mapping of str to array
        The result of `init` of a Linen cell, with or without "params", or `nnx.state(cell, nnx.Param)`. Cells
        are `LSTMCell`, `OptimizedLSTMCell`, `GRUCell` and `SimpleCell`. The names tell the kind and the
        gates. The parameters of a `nn.RNN` or a model may be passed, too.
    prefix : str, optional
        The cell's place in a larger model, such as "encoder.cell". Other parameters are then not read.
        Default: all parameters must belong to one cell, at any place.
    backward : nested mapping, optional
        Parameters of a second cell, which reads from the end. The layer is then bidirectional. `prefix` is
        not used for it.
    **options
        More arguments of the layer, such as `batch_first`, and `activations` or `nonlinearity`, because
        parameters do not tell `gate_fn` and `activation_fn`.

    Returns
    -------
    RNN, LSTM or GRU
        It is float64 if all arrays are, otherwise float32.

    Raises
    ------
    TypeError
        If `params` is not a mapping, arrays do not hold real numbers, or the cells have no such option.
    ValueError
        If parameters are missing, unused or have wrong shapes. The message lists their names and shapes.

    Examples
    --------
    >>> import bptt
    >>> parameters = bptt.interop.to_flax(bptt.GRU(3, 8))  # or those of a Flax model
    >>> layer = bptt.interop.from_flax(parameters)
    >>> layer.kind, layer.input_size, layer.hidden_size
    ('GRU', 3, 8)
    """
    forward = _read(params, prefix, "params")
    return build(forward, None if backward is None else _read(backward, None, "backward"), options)


def to_flax(
    layer: RNN | LSTM | GRU | Frozen[Any], *, index: int = 0, reverse: bool = False
) -> dict[str, Any]:
    """Return the parameters of a cell of Flax Linen.

    Parameters
    ----------
    layer : RNN, LSTM or GRU, or a snapshot of one
    index : int
        Number of the layer in the stack, from 0.
    reverse : bool
        True: the direction that reads from the end.

    Returns
    -------
    dict
        `{"params": {...}}` for `apply` of `SimpleCell`, `LSTMCell`, `OptimizedLSTMCell` or `GRUCell`. Biases
        are 0 for a layer without them, because these cells always have biases.

    Raises
    ------
    TypeError
        If `layer` is not an RNN, LSTM or GRU.
    ValueError
        If Flax lacks an option of the layer, or there is no such layer.

    Examples
    --------
    >>> import bptt
    >>> parameters = bptt.interop.to_flax(bptt.GRU(3, 8))
    >>> sorted(parameters["params"])
    ['hn', 'hr', 'hz', 'in', 'ir', 'iz']
    """
    kind, arrays = cell_of(layer, index, reverse, "Flax")
    hidden = arrays["weight_hh"].shape[1]
    zeros = np.zeros_like(arrays["weight_hh"][:, 0])
    inputs, states = arrays.get("bias_ih", zeros), arrays.get("bias_hh", zeros)
    params: dict[str, dict[str, npt.NDArray[Any]]] = {}
    for gate, names in _kernels(kind).items():
        rows = slice(BPTT[kind].index(gate) * hidden, (BPTT[kind].index(gate) + 1) * hidden)
        for name, weight in zip(names, ("weight_ih", "weight_hh"), strict=True):
            params[name] = {"kernel": arrays[weight][rows].T.copy()}
        biases = [name for name in names if name in _BIASES[kind]]
        if len(biases) == 2:  # the bias of n in a GRU is inside the product with r
            params[biases[0]]["bias"], params[biases[1]]["bias"] = inputs[rows].copy(), states[rows].copy()
        else:
            params[biases[0]]["bias"] = inputs[rows] + states[rows]
    return {"params": params}


def _kernels(kind: str) -> dict[str, tuple[str, str]]:
    """Return the names of the two kernels of each gate, in the order of bptt."""
    if kind == "rnn":
        return {"n": ("i", "h")}
    return {gate: (f"i{gate}", f"h{gate}") for gate in BPTT[kind]}


def _read(params: Any, prefix: str | None, argument: str) -> Cell:
    if not isinstance(params, Mapping):
        raise TypeError(
            f"{argument} must be a nested mapping of arrays; got {short(params)} of type "
            f"{type(params).__name__}. Fix: pass the result of cell.init, or nnx.state(cell, nnx.Param)."
        )
    found = {name: to_array(value, f"{argument}.{name}") for name, value in _flatten(params, "")}
    found = {name.removeprefix("params."): array for name, array in found.items()}
    if prefix is not None:
        prefix = parse_prefix(prefix).removeprefix("params.")
    # NNX writes if_, because if is a word of Python.
    found = {
        name.replace("if_.", "if."): array for name, array in below(found, _place(found, prefix)).items()
    }
    fused = "dense_h.kernel" in found
    shapes = shapes_of(found)
    kind, hidden = _kind(shapes, argument, fused)
    check_shapes(
        shapes,
        _expected(kind, fused, hidden, shapes),
        f"{argument} must have the parameters of one {kind.upper()} cell of Flax",
        "pass all parameters of the cell, and no others, or its place as prefix",
    )
    return Cell(kind, _fused(kind, found) if fused else _gate_by_gate(kind, found))


def _flatten(tree: Mapping[Any, Any], path: str) -> Iterator[tuple[str, Any]]:
    for name, value in tree.items():
        if isinstance(value, Mapping):
            yield from _flatten(value, f"{path}{name}.")
        else:
            yield f"{path}{name}", value


def _place(found: Arrays, prefix: str | None) -> str:
    """Return the prefix of the cell: that of all names, unless the user gave one."""
    if prefix is not None:
        return prefix
    first = next(iter(found), "").split(".")
    for depth in range(len(first) - 2, -1, -1):
        start = "".join(f"{part}." for part in first[:depth])
        if all(name.startswith(start) for name in found):
            return start
    return ""


def _kind(shapes: Shapes, argument: str, fused: bool) -> tuple[str, int]:
    """Return the kind of the cell and H."""
    recurrent = shapes.get("dense_h.kernel", ())
    gates = recurrent[1] // recurrent[0] if fused and len(recurrent) == 2 and recurrent[0] else 0
    for kind, order in FLAX.items():
        if len(order) == gates:
            return kind, recurrent[0]
        kernel = shapes.get(f"{next(iter(_kernels(kind).values()))[1]}.kernel")
        # An MGU has other gates, and another equation than that of bptt.
        if kernel is not None and len(kernel) == 2 and kernel[0]:
            return kind, kernel[0]
    raise ValueError(
        f"{argument} must have the kernels of one LSTMCell, GRUCell or SimpleCell; got "
        f"{listing(shapes) or 'no arrays'}. Fix: pass the parameters of the cell, or its place as prefix."
    )


def _expected(kind: str, fused: bool, hidden: int, shapes: Shapes) -> dict[str, tuple[int, ...]]:
    """Return the names and shapes of all parameters of a cell."""
    pairs = {"": ("dense_i", "dense_h")} if fused else _kernels(kind)
    columns = len(BPTT[kind]) * hidden if fused else hidden
    biased = (_FUSED_BIASES if fused else _BIASES)[kind]
    first = shapes.get(f"{next(iter(pairs.values()))[0]}.kernel", ())
    inputs = first[0] if len(first) == 2 else 1
    expected: dict[str, tuple[int, ...]] = {}
    for read, recurrent in pairs.values():
        expected |= {f"{read}.kernel": (inputs, columns), f"{recurrent}.kernel": (hidden, columns)}
        expected |= {f"{name}.bias": (columns,) for name in (read, recurrent) if name in biased}
    return expected


def _gate_by_gate(kind: str, found: Arrays) -> Arrays:
    arrays: Arrays = {}
    for place, (weight, bias) in enumerate((("weight_ih", "bias_ih"), ("weight_hh", "bias_hh"))):
        names = [pair[place] for pair in _kernels(kind).values()]
        arrays[weight] = np.concatenate([found[f"{name}.kernel"].T for name in names])
        zeros = np.zeros_like(found[f"{names[0]}.kernel"][0])
        arrays[bias] = np.concatenate([found.get(f"{name}.bias", zeros) for name in names])
    return arrays


def _fused(kind: str, found: Arrays) -> Arrays:
    arrays = {"weight_ih": found["dense_i.kernel"].T, "weight_hh": found["dense_h.kernel"].T}
    bias = found.get("dense_i.bias", found.get("dense_h.bias"))
    arrays |= {"bias_ih": bias, "bias_hh": np.zeros_like(bias)}
    return {name: reorder(array, FLAX[kind], BPTT[kind]) for name, array in arrays.items()}
