"""Cells of Equinox: their arrays in bptt, and back. Equinox is not needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.interop.gate_order import BPTT, EQUINOX, reorder
from bptt.interop.weights.names import check_shapes, listing, shapes_of
from bptt.interop.weights.one_layer import Cell, build, cell_of
from bptt.interop.weights.values import Arrays, to_array
from bptt.layers import GRU, LSTM, RNN
from bptt.layers.passes.frozen import Frozen

_NAMES = ("weight_ih", "weight_hh", "bias", "bias_n")


def from_equinox(cell: Any, *, backward: Any = None, **options: Any) -> RNN | LSTM | GRU:
    """Build a layer from an `equinox.nn.LSTMCell` or `GRUCell`, with copies of its arrays.

    Parameters
    ----------
    cell : equinox.nn.LSTMCell, equinox.nn.GRUCell or mapping of str to array
        Anything with the attributes or keys `weight_ih`, `weight_hh`, `bias` and, for a GRU, `bias_n`. No
        biases: `use_bias=False`.
    backward : the same, optional
        The cell that reads from the end. The layer is then bidirectional.
    **options
        More arguments of the layer, such as `batch_first`.

    Returns
    -------
    LSTM or GRU
        It is float64 if all arrays are, otherwise float32.

    Raises
    ------
    TypeError
        If arrays do not hold real numbers, or the cells have no such option.
    ValueError
        If arrays are missing or have wrong shapes. The message lists their names and shapes.

    Examples
    --------
    >>> import bptt
    >>> cell = bptt.interop.to_equinox(bptt.GRU(3, 8))  # or an equinox.nn.GRUCell
    >>> layer = bptt.interop.from_equinox(cell)
    >>> layer.kind, layer.input_size, layer.hidden_size
    ('GRU', 3, 8)
    """
    return build(_read(cell, "cell"), None if backward is None else _read(backward, "backward"), options)


def to_equinox(layer: RNN | LSTM | GRU | Frozen[Any], *, index: int = 0, reverse: bool = False) -> Arrays:
    """Return the arrays of an Equinox cell.

    Parameters
    ----------
    layer : LSTM or GRU, or a snapshot of one
    index : int
        Number of the layer in the stack, from 0.
    reverse : bool
        True: the direction that reads from the end.

    Returns
    -------
    dict of str to ndarray
        `weight_ih`, `weight_hh`, and unless the layer has no biases, `bias` and for a GRU `bias_n`. Put them
        into a cell with `equinox.tree_at`.

    Raises
    ------
    TypeError
        If `layer` is neither an LSTM nor a GRU.
    ValueError
        If Equinox lacks an option of the layer, or there is no such layer.

    Examples
    --------
    >>> import bptt
    >>> arrays = bptt.interop.to_equinox(bptt.GRU(3, 8))
    >>> {name: array.shape for name, array in arrays.items()}
    {'weight_ih': (24, 3), 'weight_hh': (24, 8), 'bias': (24,), 'bias_n': (8,)}
    """
    kind, arrays = cell_of(layer, index, reverse, "Equinox")
    if kind not in EQUINOX:
        raise TypeError(
            f"layer must be an LSTM or GRU, the cells of Equinox; got {kind.upper()}. Fix: pass one."
        )
    arrays = {name: reorder(array, BPTT[kind], EQUINOX[kind]) for name, array in arrays.items()}
    result = {name: arrays[name] for name in ("weight_ih", "weight_hh")}
    if "bias_ih" in arrays:
        result["bias"] = arrays["bias_ih"] + arrays["bias_hh"]
        if kind == "gru":  # b_hn lies inside the product with r, so it stands alone
            hidden = arrays["weight_hh"].shape[1]
            result["bias"][2 * hidden :] = arrays["bias_ih"][2 * hidden :]
            result["bias_n"] = arrays["bias_hh"][2 * hidden :]
    return result


def _read(cell: Any, argument: str) -> Cell:
    if isinstance(cell, Mapping):
        values = {str(name): value for name, value in cell.items()}
    else:
        values = {name: getattr(cell, name, None) for name in _NAMES}
    found = {
        name: to_array(value, f"{argument}.{name}") for name, value in values.items() if value is not None
    }
    shapes = shapes_of(found)
    weight, recurrent = shapes.get("weight_ih", ()), shapes.get("weight_hh", ())
    hidden = recurrent[1] if len(recurrent) == 2 else 0
    kind = {4: "lstm", 3: "gru"}.get(weight[0] // hidden if len(weight) == 2 and hidden else 0)
    subject = f"{argument} must have the arrays of an Equinox LSTMCell or GRUCell"
    if kind is None:
        raise ValueError(
            f"{subject}: weight_ih (4H, I) or (3H, I), and weight_hh (4H, H) or (3H, H); got "
            f"{listing(shapes) or type(cell).__name__}. Fix: pass the cell."
        )
    rows = len(EQUINOX[kind]) * hidden
    expected: dict[str, tuple[int, ...]] = {"weight_ih": (rows, weight[1]), "weight_hh": (rows, hidden)}
    if "bias" in found or "bias_n" in found:
        expected |= {"bias": (rows,)} | ({"bias_n": (hidden,)} if kind == "gru" else {})
    check_shapes(shapes, expected, subject, "pass the cell, or all its arrays")
    bias_n = found.pop("bias_n", None)
    arrays = {name: reorder(array, EQUINOX[kind], BPTT[kind]) for name, array in found.items()}
    if "bias" in arrays:
        arrays["bias_ih"] = arrays.pop("bias")
        arrays["bias_hh"] = np.zeros_like(arrays["bias_ih"])
        if bias_n is not None:
            arrays["bias_hh"][2 * hidden :] = bias_n
    return Cell(kind, arrays)
