"""Layers and models from state dicts of PyTorch, and back. PyTorch is not needed."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, overload

import numpy as np

from bptt.arguments import short
from bptt.interop.weights.names import below, listing, parse_prefix, shapes_of, unwrap
from bptt.interop.weights.recurrent_state import FIRST, build_recurrent, dtype_of, is_recurrent
from bptt.interop.weights.values import Arrays, read_state
from bptt.layers import GRU, LSTM, RNN, Embedding, LayerNorm, Linear, Module, Sequential
from bptt.layers.model_argument import parse_model
from bptt.layers.passes.frozen import Frozen
from bptt.layers.undrawn import undrawn


@overload
def from_state_dict(
    state: Any,
    prefix: str | None = None,
    *,
    layers: None = None,
    cell: str | None = None,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    dropout: float = 0.0,
    dtype: Any = None,
) -> RNN | LSTM | GRU: ...
@overload
def from_state_dict(
    state: Any,
    prefix: str | None = None,
    *,
    layers: Sequence[str | Module],
    cell: str | None = None,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    dropout: float = 0.0,
    dtype: Any = None,
) -> Sequential: ...
def from_state_dict(
    state: Any,
    prefix: str | None = None,
    *,
    layers: Sequence[str | Module] | None = None,
    cell: str | None = None,
    nonlinearity: str = "tanh",
    batch_first: bool = False,
    dropout: float = 0.0,
    dtype: Any = None,
) -> Module:
    """Build a recurrent layer or a model from the state dict of a PyTorch model.

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
        Default: every weight must belong to one recurrent layer, under any name. With `layers`: a prefix of
        all names.
    layers : sequence of str and Module, optional
        A whole model: the names of its layers in the order of its forward function, with layers of bptt in
        between, for example ["embedding", "rnn", bptt.Last(), "head"]. Every weight must be used. A layer
        with one weight of two axes is an `Embedding` if it is the first and has no bias, otherwise a
        `Linear`. A weight of one axis makes a `LayerNorm`, with the usual eps.
    cell : {"lstm", "gru", "rnn"}, optional
        Default: "lstm" if weights have 4H rows, "gru" for 3H rows. A plain RNN has H rows, and its shapes do
        not tell the nonlinearity, so `cell` must be given.
    nonlinearity : {"tanh", "relu"}
        Nonlinearity of a plain RNN.
    batch_first, dropout
        Arguments of recurrent layers, which weights do not tell.
    dtype : {"float32", "float64"}, optional
        Default: float64 if all weights are, otherwise float32.

    Returns
    -------
    RNN, LSTM or GRU, or with `layers` a Sequential

    Raises
    ------
    TypeError
        If `state` has values that are not arrays of real numbers, or `layers` is not such a sequence.
    ValueError
        If weights are missing, unused or have wrong shapes. The message lists their names and shapes.
    OSError
        If the file cannot be read.

    Examples
    --------
    >>> import bptt
    >>> weights = bptt.interop.to_state_dict(bptt.LSTM(3, 8))
    >>> layer = bptt.interop.from_state_dict(weights)
    >>> layer.kind, layer.input_size, layer.hidden_size
    ('LSTM', 3, 8)
    """
    if prefix is not None:
        parse_prefix(prefix)
    arrays, prefix = unwrap(read_state(state), prefix)
    options: dict[str, Any] = {"batch_first": batch_first, "dropout": dropout}
    if dtype is not None:
        options["dtype"] = dtype
    if layers is not None:
        found = below(arrays, prefix or "")
        options.setdefault("dtype", dtype_of(found))
        return _model(found, layers, cell, nonlinearity, options)
    found = below(arrays, _only_prefix(arrays) if prefix is None else prefix)
    return build_recurrent(found, prefix or "", cell, nonlinearity, options)


def to_state_dict(layer: Module | Frozen[Any], prefix: str = "") -> Arrays:
    """Return copies of a model's parameters, under the names of PyTorch.

    Parameters
    ----------
    layer : Module or Frozen
        A layer or model. Options that PyTorch lacks do not matter here: their parameters have bptt's names.
    prefix : str
        Put before all names, such as "encoder.rnn".

    Returns
    -------
    dict of str to ndarray
        `torch.from_numpy` makes tensors of the arrays without a copy.

    Examples
    --------
    >>> import bptt
    >>> weights = bptt.interop.to_state_dict(bptt.LSTM(3, 8), "encoder.rnn")
    >>> list(weights)[:2]
    ['encoder.rnn.weight_ih_l0', 'encoder.rnn.weight_hh_l0']
    """
    layer = parse_model(layer, "layer")
    dotted = parse_prefix(prefix)
    return {dotted + name: np.array(value) for name, value in layer.state_dict().items()}


def _only_prefix(arrays: Arrays) -> str:
    """Return the prefix of the only recurrent layer, which has all the weights."""
    firsts = [name for name in arrays if is_recurrent(name)]
    if len(firsts) != 1:
        shown = {name: arrays[name] for name in firsts} if firsts else arrays
        fix = "pass the name of a layer as prefix" if firsts else "pass the weights of an LSTM, GRU or RNN"
        raise ValueError(
            f"state must hold the weights of one recurrent layer, such as {FIRST!r}; got "
            f"{listing(shapes_of(shown)) or 'no weights'}. Fix: {fix}."
        )
    prefix = firsts[0].rpartition("weight_ih")[0]
    others = {name: array for name, array in arrays.items() if not name.startswith(prefix)}
    if others:
        raise ValueError(
            f"state must hold the weights of one recurrent layer alone; got unused "
            f"{listing(shapes_of(others))}. Fix: to read only this layer, pass prefix={prefix!r} (--prefix "
            "of bptt import). For the whole model, pass layers (--layers)."
        )
    return prefix


def _model(
    arrays: Arrays,
    layers: Sequence[str | Module],
    cell: str | None,
    nonlinearity: str,
    options: dict[str, Any],
) -> Sequential:
    """Build the layers of these names, and join them with the others."""
    if not isinstance(layers, (list, tuple)) or not all(isinstance(layer, (str, Module)) for layer in layers):
        raise TypeError(
            f"layers must be a list of names and layers of bptt; got {short(layers)}. "
            "Fix: pass ['embedding', 'rnn', bptt.Last(), 'head']."
        )
    parts: list[Module] = []
    used: set[str] = set()
    for layer in layers:
        if isinstance(layer, Module):
            parts.append(layer)
            continue
        found = below(arrays, layer)
        if not found:
            raise ValueError(
                f"layers must name layers that have weights; {layer!r:.80} has no weights. Fix: pass names "
                f"such as {_names(arrays)}. A layer without weights is a layer of bptt, such as bptt.Last(); "
                "for bptt import, it is the name of its class, such as Last."
            )
        used.update(name for name in arrays if name.startswith(f"{layer.removesuffix('.')}."))
        if any(is_recurrent(name) and "." not in name for name in found):
            parts.append(build_recurrent(found, layer, cell, nonlinearity, options))
        else:
            with undrawn():
                parts.append(_stateless(found, layer, options["dtype"], first=not parts))
    unused = {name: array for name, array in arrays.items() if name not in used}
    if unused:
        raise ValueError(
            f"layers must name all layers of the state; got unused {listing(shapes_of(unused))}. "
            "Fix: add their names, or leave these weights out of the state."
        )
    return Sequential(*parts)


def _names(arrays: Arrays) -> str:
    """Format the names of layers that have weights, at most a few of them."""
    names = list(dict.fromkeys(name.rpartition(".")[0] for name in arrays))
    return ", ".join(f"{name!r:.80}" for name in names[:8])


def _stateless(found: Arrays, name: str, dtype: Any, *, first: bool) -> Module:
    """Return the layer without state that has these weights."""
    shapes = shapes_of(found)
    weight = shapes.get("weight", ())
    layer: Module | None = None
    if 0 not in weight and found.keys() <= {"weight", "bias"}:
        if len(weight) == 2 and first and "bias" not in found:
            layer = Embedding(*weight, dtype=dtype)
        elif len(weight) == 2:
            layer = Linear(weight[1], weight[0], bias="bias" in found, dtype=dtype)
        elif len(weight) == 1:
            layer = LayerNorm(weight[0], bias="bias" in found, dtype=dtype)
    if layer is None:
        raise ValueError(
            "layers must name recurrent layers, or layers with 'weight' and perhaps 'bias'; "
            f"{name!r} has "
            f"{listing(shapes)}. Fix: pass the name of such a layer."
        )
    layer.load_state_dict(found)
    return layer
