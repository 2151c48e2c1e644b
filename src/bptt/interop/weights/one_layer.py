"""One recurrent layer from the arrays of one or two cells."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from bptt.arguments import flag, integer
from bptt.interop.weights.limits import refuse_options
from bptt.interop.weights.names import shapes_of
from bptt.interop.weights.recurrent_state import LAYERS, dtype_of
from bptt.interop.weights.values import Arrays
from bptt.layers import GRU, LSTM, RNN
from bptt.layers.model_argument import parse_model
from bptt.layers.undrawn import undrawn

_STACKS = frozenset(
    (
        *("input_size", "hidden_size", "num_layers", "bias", "batch_first", "dropout", "bidirectional"),
        *("reverse", "merge", "activations", "nonlinearity", "input_dropout", "recurrent_dropout", "dtype"),
    )
)
"""Options that do not change what one cell computes, or that a cell of JAX has as a function."""


_OPTIONS = frozenset(
    (
        *("batch_first", "reverse", "merge", "activations", "nonlinearity", "dtype", "precision", "seed"),
        *("dropout", "input_dropout", "recurrent_dropout", "zoneout", "tape_dtype"),
    )
)
"""Options of a layer that the arrays of a cell do not tell. `merge` is for two cells."""


class Cell(NamedTuple):
    """The parameters of one direction.

    Attributes
    ----------
    kind : {"rnn", "lstm", "gru"}
    arrays : dict of str to ndarray
        `weight_ih`, `weight_hh`, and unless there are no biases, `bias_ih` and `bias_hh`.
    """

    kind: str
    arrays: Arrays


def build(forward: Cell, backward: Cell | None, options: Mapping[str, Any]) -> RNN | LSTM | GRU:
    """Return a layer with the parameters of one direction, or of two. `options` are arguments of the layer.

    Raises
    ------
    TypeError
        If there is another option than those that arrays do not tell.
    ValueError
        If the cells differ in kind or sizes.
    """
    wrong = [name for name in options if name not in _OPTIONS]
    if wrong:
        raise TypeError(
            f"options must be some of {', '.join(sorted(_OPTIONS))}; got {wrong[0]!r}, which the arrays tell "
            "or no cell has. Fix: leave it out."
        )
    both = {"_l0": forward} | ({} if backward is None else {"_l0_reverse": backward})
    if backward is not None and _form(forward) != _form(backward):
        raise ValueError(
            f"backward must be a cell of the same kind and sizes as the forward cell; got {_form(backward)} "
            f"and {_form(forward)}. Fix: pass two such cells."
        )
    arguments: dict[str, Any] = {"dtype": dtype_of(forward.arrays)} | dict(options)
    if backward is not None:
        arguments["bidirectional"] = True
    hidden, inputs = forward.arrays["weight_hh"].shape[1], forward.arrays["weight_ih"].shape[1]
    with undrawn():
        layer = LAYERS[forward.kind](inputs, hidden, bias="bias_ih" in forward.arrays, **arguments)
    layer.load_state_dict(
        {name + end: array for end, cell in both.items() for name, array in cell.arrays.items()}
    )
    return layer


def _form(cell: Cell) -> str:
    return f"{cell.kind} {shapes_of(cell.arrays)}"


def cell_of(layer: Any, index: int, reverse: bool, library: str) -> Cell:
    """Return copies of the parameters of one layer and direction of a stack.

    Raises
    ------
    TypeError
        If `layer` is not an RNN, LSTM or GRU.
    ValueError
        If it has an option that cells of JAX lack, or there is no such layer or direction.
    """
    layer = parse_model(layer, "layer")
    if not isinstance(layer, (RNN, LSTM, GRU)):
        raise TypeError(
            f"layer must be an RNN, LSTM or GRU; got {type(layer).__name__}. Fix: pass the recurrent layer, "
            "such as model[0]."
        )
    refuse_options(layer, _STACKS, library)
    number = integer(index, "index", 0, layer.num_layers - 1)
    if flag(reverse, "reverse") and not layer.bidirectional:
        raise ValueError(
            f"reverse must be False for a layer of one direction; got reverse=True for {layer!r}. "
            "Fix: leave it out."
        )
    end = f"_l{number}{'_reverse' if reverse else ''}"
    found = {name: value for name, value in layer.parameters.items() if name.endswith(end)}
    arrays = {name.removesuffix(end): np.array(value) for name, value in found.items()}
    return Cell(layer.kind.lower(), arrays)
