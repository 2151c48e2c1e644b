"""A recurrent layer from the arrays of PyTorch, whose shapes tell its sizes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.arguments import choice
from bptt.interop.gate_order import BPTT
from bptt.interop.weights.names import Shapes, check_shapes, listing, shapes_of
from bptt.interop.weights.values import Arrays
from bptt.layers import GRU, LSTM, RNN
from bptt.layers.undrawn import undrawn

LAYERS: Mapping[str, type[RNN] | type[LSTM] | type[GRU]] = {"rnn": RNN, "lstm": LSTM, "gru": GRU}
FIRST = "weight_ih_l0"
"""The parameter that every recurrent layer has."""
_CELL_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
"""The names of nn.LSTMCell, nn.GRUCell and nn.RNNCell."""


def is_recurrent(name: str) -> bool:
    """Return whether this is the name of the parameter that every recurrent layer has, and no other."""
    return re.search(r"(^|\.)weight_ih(_l0)?$", name) is not None


def build_recurrent(
    found: Arrays, place: str, cell: str | None, nonlinearity: str, options: Mapping[str, Any]
) -> RNN | LSTM | GRU:
    """Return a layer with these weights.

    Parameters
    ----------
    found : dict of str to ndarray
        All parameters of the layer, without prefix.
    place : str
        The prefix, for messages.
    cell, nonlinearity : str
        As in `from_state_dict`.
    options : mapping
        More arguments of the layer.

    Raises
    ------
    ValueError
        If weights are missing, unused or have wrong shapes, or the shapes do not tell the cell.
    """
    found = {f"{name}_l0" if name in _CELL_NAMES else name: array for name, array in found.items()}
    sizes = _sizes(shapes_of(found), place, cell)
    kind = sizes.pop("cell")
    if kind == "rnn":
        sizes["nonlinearity"] = choice(nonlinearity, "nonlinearity", ("tanh", "relu"))
    with undrawn():
        layer = LAYERS[kind](**sizes, **{"dtype": dtype_of(found), **options})
    layer.load_state_dict(found)
    return layer


def dtype_of(arrays: Arrays) -> str:
    """Return float64 if all arrays are, otherwise float32."""
    return "float64" if all(array.dtype == np.float64 for array in arrays.values()) else "float32"


def _sizes(shapes: Shapes, prefix: str, cell: str | None) -> dict[str, Any]:
    """Return the cell and the arguments of its constructor that the shapes tell."""
    if cell is not None:
        cell = choice(cell, "cell", tuple(LAYERS))
    place = f" under the prefix {prefix!r}" if prefix else ""
    first, recurrent = shapes.get(FIRST, ()), shapes.get("weight_hh_l0", ())
    if len(first) != 2 or len(recurrent) != 2:
        got = listing(shapes) or "no weights"
        raise ValueError(
            f"state must hold matrices {FIRST!r} and 'weight_hh_l0'{place}; got {got}. "
            "Fix: pass the name of the recurrent layer as prefix."
        )
    projection = shapes.get("weight_hr_l0")
    hidden = projection[-1] if projection else recurrent[1]
    gates = first[0] // hidden if hidden else 0
    fitting = [name for name, order in BPTT.items() if len(order) == gates and gates * hidden == first[0]]
    if not fitting:
        raise ValueError(
            f"state must have weights of 4H rows (LSTM), 3H rows (GRU) or H rows (RNN){place}; got "
            f"{FIRST!r} {first} and 'weight_hh_l0' {recurrent}. Fix: {_fix_of_rows(first, recurrent)}."
        )
    if cell is None and fitting[0] == "rnn":
        raise ValueError(
            f"cell must be given for weights of H rows, because a plain RNN may have tanh or relu; got "
            f"{FIRST!r} {first}. Fix: pass cell='rnn' for tanh, and also nonlinearity='relu' for relu. For "
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
        "bidirectional": f"{FIRST}_reverse" in shapes,
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
