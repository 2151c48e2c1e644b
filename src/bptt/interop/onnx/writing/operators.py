"""Layers of a stack as the operators RNN, LSTM and GRU, where these compute the same.

A gate in bptt may be the complement of a gate in ONNX. 1 - sigmoid(a) is sigmoid(-a), so this gate has the
negative weights. A coupled LSTM is an LSTM whose i has the negative weights of f. An MGU is a GRU whose r is
f, and whose z has the negative weights of f. The attribute `input_forget` is not used, because
it couples the gates the other way round.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.interop.gate_order import ONNX, PEEPHOLES_ONNX
from bptt.interop.onnx.cells import ACTIVATIONS
from bptt.interop.onnx.writing.graph import Graph
from bptt.interop.onnx.writing.lengths import Lengths
from bptt.layers import GRU, LSTM, MGU, RNN
from bptt.layers.activations import DEFAULTS, Choice, is_plain, parse_nonlinearity
from bptt.layers.passes.gates import gate_names
from bptt.layers.recurrent import Recurrent

Blocks = dict[str, npt.NDArray[Any]]
"""The rows of a parameter by gate."""


def needs_scan(layer: Recurrent, dtype: np.dtype[Any]) -> str:
    """Return the argument of a layer that the operators cannot express, such as "zoneout=0.1".

    Empty if the layer is an operator of ONNX.
    """
    if dtype != np.float32:
        return f'dtype="{dtype}"'
    named: dict[str, object] = {"layer_norm": False, "zoneout": 0.0, "proj_size": 0, "cell_clip": None}
    named |= {"clip_mode": "onnxruntime", "forget_gate": True}
    for name, usual in named.items():
        value = getattr(layer, name, usual)
        if value != usual:
            return f"{name}={value!r}"
    functions = activations_of(layer)
    if any(name not in ACTIVATIONS and name != "linear" for name, _, _ in functions):
        return f"{'nonlinearity' if isinstance(layer, RNN) else 'activations'} with {functions[-1][0]}"
    if (isinstance(layer, MGU) or getattr(layer, "coupled", False)) and not _has_complement(functions[0]):
        return f"activations with {functions[0][0]} for a gate and its complement"
    return ""


def activations_of(layer: Recurrent) -> tuple[Choice, ...]:
    """Return the functions of a layer: of its gates, its candidate and its output, as far as it has them."""
    if isinstance(layer, RNN):
        return (parse_nonlinearity(layer.nonlinearity),)
    assert isinstance(layer, (LSTM, GRU, MGU))
    return layer.activations


def _has_complement(choice: Choice) -> bool:
    """Return whether 1 - f(a) = f(-a)."""
    name, _, beta = choice
    return name == "sigmoid" or (name in ("hard_sigmoid", "affine") and beta == 0.5)


def write_operator(
    graph: Graph,
    layer: Recurrent,
    k: int,
    x: str,
    state: tuple[str, ...],
    lengths: Lengths | None,
) -> tuple[str, tuple[str, ...]]:
    """Write layer k of a stack.

    Parameters
    ----------
    x : str
        (T, B, I).
    state : tuple of str
        (D, B, H) each. Empty for zeros.
    lengths : Lengths or None

    Returns
    -------
    y : str
        (T, D, B, H).
    state : tuple of str
        (D, B, H) each.
    """
    kind = "rnn" if isinstance(layer, RNN) else "lstm" if isinstance(layer, LSTM) else "gru"
    inputs = [x, *_weights(graph, layer, k, kind), "" if lengths is None else lengths.int32()]
    inputs += state or [""] * (2 if kind == "lstm" else 1)
    if getattr(layer, "peephole", False):
        inputs.append(_peepholes(graph, layer, k))
    while not inputs[-1]:
        inputs.pop()
    attributes: dict[str, Any] = {"hidden_size": layer.hidden_size} | _functions(layer)
    if layer.bidirectional or layer.reverse:
        attributes["direction"] = "bidirectional" if layer.bidirectional else "reverse"
    clip = getattr(layer, "gate_clip", None)
    if clip is not None:
        attributes["clip"] = clip
    if isinstance(layer, GRU):
        attributes["linear_before_reset"] = int(layer.reset_after)
    y, *final = graph.add_many(kind.upper(), *inputs, outputs=3 if kind == "lstm" else 2, **attributes)
    if state and lengths is not None:  # ONNX Runtime returns zeros for a row without steps
        final = [graph.add("Where", lengths.empty(), old, new) for old, new in zip(state, final, strict=True)]
    return y, tuple(final)


def suffixes(layer: Recurrent, k: int) -> list[str]:
    """Return the ends of the names of the parameters of layer k, one for each direction."""
    return [f"_l{k}", f"_l{k}_reverse"][: layer.num_directions]


def _weights(graph: Graph, layer: Recurrent, k: int, kind: str) -> list[str]:
    """Return W, R and B."""
    names = gate_names(layer)

    def stacked(name: str) -> npt.NDArray[Any]:
        """Return a parameter of all directions in the order of ONNX."""
        return np.stack(
            [
                _in_order(_blocks(layer.parameters[name + suffix], names), kind)
                for suffix in suffixes(layer, k)
            ]
        )

    weights = [graph.weight(f"{graph.prefix}W_l{k}", stacked("weight_ih"))]
    weights += [graph.weight(f"{graph.prefix}R_l{k}", stacked("weight_hh"))]
    if not layer.bias:
        return [*weights, ""]
    both = np.concatenate([stacked("bias_ih"), stacked("bias_hh")], axis=1)
    return [*weights, graph.weight(f"{graph.prefix}B_l{k}", both)]


def _peepholes(graph: Graph, layer: Recurrent, k: int) -> str:
    gates = [name for name in gate_names(layer) if name != "g"]
    rows = np.stack(
        [
            _in_order(_blocks(layer.parameters["weight_peephole" + suffix].reshape(-1), gates), "peepholes")
            for suffix in suffixes(layer, k)
        ]
    )
    return graph.weight(f"{graph.prefix}P_l{k}", rows)


def _blocks(array: npt.NDArray[Any], names: tuple[str, ...] | list[str]) -> Blocks:
    return dict(zip(names, np.split(array, len(names)), strict=True))


def _in_order(blocks: Blocks, kind: str) -> npt.NDArray[Any]:
    """Return the blocks of an operator's gates, in its order."""
    if kind == "rnn":
        return blocks["h"]
    if kind == "gru" and "f" in blocks:  # an MGU
        blocks = {"r": blocks["f"], "z": -blocks["f"], "n": blocks["n"]}
    if kind != "gru" and "i" not in blocks:  # a coupled LSTM
        blocks = blocks | {"i": -blocks["f"]}
    order = PEEPHOLES_ONNX if kind == "peepholes" else ONNX[kind]
    return np.concatenate([blocks[gate] for gate in order])


def _functions(layer: Recurrent) -> dict[str, Any]:
    """Return the attributes of activations that are not the usual ones."""
    functions = activations_of(layer)
    usual = functions[0][0] == "tanh" if isinstance(layer, RNN) else is_plain(functions)
    if usual:
        return {}
    functions = (
        tuple(
            ("affine", 1.0, 0.0) if name == "linear" else (name, alpha, beta)
            for name, alpha, beta in functions
        )
        * layer.num_directions
    )
    attributes: dict[str, Any] = {"activations": [ACTIVATIONS[name] for name, _, _ in functions]}
    for place, parameter in enumerate(("alpha", "beta")):
        values = [(alpha, beta)[place] for name, alpha, beta in functions if len(DEFAULTS[name]) > place]
        if values:
            attributes[f"activation_{parameter}"] = values
    return attributes
