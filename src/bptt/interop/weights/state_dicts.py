"""Recurrent layers from state dicts of PyTorch, and back. PyTorch is not needed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.arguments import choice
from bptt.interop.gate_order import BPTT
from bptt.interop.weights.names import Shapes, below, check_shapes, listing, shapes_of, unwrap
from bptt.interop.weights.values import Arrays, read_state
from bptt.layers import GRU, LSTM, RNN, Module

_CLASSES: Mapping[str, type[RNN] | type[LSTM] | type[GRU]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
_FIRST = "weight_ih_l0"
_CELL_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The names of nn.LSTMCell, nn.GRUCell and nn.RNNCell."""


def from_state_dict(
    state: Any,
    prefix: str | None = None,
    *,
    cell: str | None = None,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    dropout: float = 0.0,
    dtype: Any = None,
) -> RNN | LSTM | GRU:
    """Build a recurrent layer from the state dict of a PyTorch model.

    The shapes tell the sizes, the number of layers, the directions, and whether there are biases and a
    projection. All weights of the layer are copied.

    Parameters
    ----------
    state : mapping of str to array or tensor, or path
        State dict of `torch.nn.LSTM`, `GRU`, `RNN` or their cells, or of a model that has one of them. Or the
        path of a safetensors file with it. The wrappers `DataParallel` and `torch.compile` may have put
        "module." or "_orig_mod." before all names.
    prefix : str, optional
        The name of the layer in the model, such as "encoder.rnn". Weights of other names are then not read.
        Default: every weight must belong to one recurrent layer, under any name.
    cell : {"lstm", "gru", "rnn"}, optional
        Default: "lstm" if weights have 4H rows, "gru" for 3H rows. A plain RNN has H rows, and its shapes do
        not tell the nonlinearity, so `cell` must be given.
    nonlinearity : {"tanh", "relu"}
        Of a plain RNN.
    batch_first, dropout
        Arguments of the layer, which its weights do not tell.
    dtype : {"float32", "float64"}, optional
        Default: float64 if all weights are, otherwise float32.

    Returns
    -------
    RNN, LSTM or GRU

    Raises
    ------
    TypeError
        If `state` has values that are not arrays of real numbers.
    ValueError
        If weights are missing, unused or have wrong shapes. The message lists their names and shapes.
    OSError
        If the file cannot be read.
    """
    arrays, prefix = unwrap(read_state(state), prefix)
    found = below(arrays, _only_prefix(arrays) if prefix is None else prefix)
    found = {f"{name}_l0" if name in _CELL_NAMES else name: array for name, array in found.items()}
    sizes = _sizes(shapes_of(found), prefix or "", cell)
    kind = sizes.pop("cell")
    if dtype is None:
        dtype = "float64" if all(array.dtype == np.float64 for array in found.values()) else "float32"
    if kind == "rnn":
        sizes["nonlinearity"] = choice(nonlinearity, "nonlinearity", ("tanh", "relu"))
    layer = _CLASSES[kind](**sizes, batch_first=batch_first, dropout=dropout, dtype=dtype)
    layer.load_state_dict(found)
    return layer


def to_state_dict(layer: Module, prefix: str = "") -> Arrays:
    """Return copies of a model's parameters, under the names of PyTorch.

    Parameters
    ----------
    layer : Module
        A layer or model. Options that PyTorch lacks do not matter here: their parameters have bptt's names.
    prefix : str
        Put before all names, such as "encoder.rnn".

    Returns
    -------
    dict of str to ndarray
        `torch.from_numpy` makes tensors of the arrays without a copy.
    """
    if not isinstance(layer, Module):
        raise TypeError(
            f"layer must be a layer or model of bptt; got {type(layer).__name__}. Fix: pass bptt.LSTM(...)."
        )
    dotted = prefix if not prefix or prefix.endswith(".") else f"{prefix}."
    return {dotted + name: np.array(value) for name, value in layer.state_dict().items()}


def _only_prefix(arrays: Arrays) -> str:
    """Return the prefix of the only recurrent layer, which has all the weights."""
    firsts = [name for name in arrays if re.search(r"(^|\.)weight_ih(_l0)?$", name)]
    if len(firsts) != 1:
        shown = {name: arrays[name] for name in firsts} if firsts else arrays
        fix = "pass the name of a layer as prefix" if firsts else "pass the weights of an LSTM, GRU or RNN"
        raise ValueError(
            f"state must hold the weights of one recurrent layer, such as {_FIRST!r}; got "
            f"{listing(shapes_of(shown)) or 'no weights'}. Fix: {fix}."
        )
    prefix = firsts[0].rpartition("weight_ih")[0]
    others = {name: array for name, array in arrays.items() if not name.startswith(prefix)}
    if others:
        raise ValueError(
            f"state must hold the weights of one recurrent layer alone; got unused "
            f"{listing(shapes_of(others))}. Fix: to read only this layer, pass prefix={prefix!r} (--prefix "
            "of bptt import)."
        )
    return prefix


def _sizes(shapes: Shapes, prefix: str, cell: str | None) -> dict[str, Any]:
    """Return the cell and the arguments of its constructor that the shapes tell."""
    if cell is not None:
        cell = choice(cell, "cell", tuple(_CLASSES))
    place = f" under the prefix {prefix!r}" if prefix else ""
    first, recurrent = shapes.get(_FIRST, ()), shapes.get("weight_hh_l0", ())
    if len(first) != 2 or len(recurrent) != 2:
        got = listing(shapes) or "no weights"
        raise ValueError(
            f"state must hold matrices {_FIRST!r} and 'weight_hh_l0'{place}; got {got}. "
            "Fix: pass the name of the recurrent layer as prefix."
        )
    projection = shapes.get("weight_hr_l0")
    hidden = projection[-1] if projection else recurrent[1]
    gates = first[0] // hidden if hidden else 0
    fitting = [name for name, order in BPTT.items() if len(order) == gates and gates * hidden == first[0]]
    if not fitting:
        raise ValueError(
            f"state must have weights of 4H rows (LSTM), 3H rows (GRU) or H rows (RNN){place}; got "
            f"{_FIRST!r} {first} and 'weight_hh_l0' {recurrent}. Fix: {_fix_of_rows(first, recurrent)}."
        )
    if cell is None and fitting[0] == "rnn":
        raise ValueError(
            f"cell must be given for weights of H rows, because a plain RNN may have tanh or relu; got "
            f"{_FIRST!r} {first}. Fix: pass cell='rnn' for tanh, and also nonlinearity='relu' for relu. For "
            "bptt import, pass --cell rnn or --cell rnn-relu."
        )
    if cell is not None and cell != fitting[0]:
        raise ValueError(
            f"cell must be {fitting[0]!r} for weights of {gates}H rows, H = {hidden}; got {cell!r}. "
            "Fix: leave cell out, or pass the weights of another layer."
        )
    layers = next(k for k in range(1, len(shapes) + 2) if f"weight_ih_l{k}" not in shapes)
    sizes: dict[str, Any] = {
        "cell": fitting[0],
        "input_size": first[1],
        "hidden_size": hidden,
        "num_layers": layers,
        "bidirectional": f"{_FIRST}_reverse" in shapes,
        "bias": "bias_ih_l0" in shapes,
    }
    if projection and fitting[0] == "lstm":
        sizes["proj_size"] = projection[0]
    # This comes before the layer is built, so that a file cannot ask for more memory than it has itself.
    subject = f"state must have the weights of one {fitting[0].upper()}{place}"
    check_shapes(shapes, _expected(sizes), subject, "pass all weights of this layer, and no others")
    return sizes


def _expected(sizes: Mapping[str, Any]) -> dict[str, tuple[int, ...]]:
    """Return the shapes of all weights of a layer of these sizes."""
    hidden, projection = sizes["hidden_size"], sizes.get("proj_size", 0)
    rows, width = len(BPTT[sizes["cell"]]) * hidden, projection or hidden
    ways = ("", "_reverse") if sizes["bidirectional"] else ("",)
    shapes: dict[str, tuple[int, ...]] = {}
    for k in range(sizes["num_layers"]):
        inputs = width * len(ways) if k else sizes["input_size"]
        for way in ways:
            shapes[f"weight_ih_l{k}{way}"] = (rows, inputs)
            shapes[f"weight_hh_l{k}{way}"] = (rows, width)
            if sizes["bias"]:
                shapes |= {f"bias_ih_l{k}{way}": (rows,), f"bias_hh_l{k}{way}": (rows,)}
            if projection:
                shapes[f"weight_hr_l{k}{way}"] = (projection, hidden)
    return shapes


def _fix_of_rows(first: tuple[int, ...], recurrent: tuple[int, ...]) -> str:
    if recurrent[1] and recurrent[1] % recurrent[0] == 0 and recurrent[1] > recurrent[0]:
        return (
            "transpose kernels of Keras, and mind the order of the gates: bptt.interop.from_keras does both"
        )
    return "pass the weights of one LSTM, GRU or RNN"
