"""A recurrent layer with its states, which may be a stack with two directions."""

from __future__ import annotations

from bptt.interop.onnx.writing.graph import Graph, Value
from bptt.interop.onnx.writing.lengths import Lengths
from bptt.interop.onnx.writing.operators import needs_scan, write_operator
from bptt.interop.onnx.writing.scans import write_scan
from bptt.layers.recurrent import Recurrent

State = tuple[str, ...]
"""Tensors (L*D, B, H): h, and c of an LSTM."""


def state_sizes(layer: Recurrent) -> dict[str, int]:
    """Return the sizes of the parts of a layer's state, by name."""
    sizes = {"h": layer.output_size}
    return sizes | {"c": layer.hidden_size} if layer.has_cell_state else sizes


def write_recurrent(
    graph: Graph,
    layer: Recurrent,
    x: Value,
    state: State | None,
    lengths: Lengths | None,
    *,
    scan: str,
    place: str,
) -> tuple[Value, State]:
    """Write all layers of a stack, and return the output and the final state.

    Parameters
    ----------
    x : Value
        (T, B, I).
    state : tuple of str or None
        None for zeros.
    lengths : Lengths or None
    scan : {"auto", "always", "never"}
        Whether to write a `Scan` in place of an operator.
    place : str
        Where the layer is in the model, for messages.

    Raises
    ------
    ValueError
        If `scan` is "never" and the layer needs a `Scan`.
    """
    reason = needs_scan(layer, graph.dtype)
    if reason and scan == "never":
        raise ValueError(
            f"{place}: {layer.kind} with {reason} must be written as a Scan, because no operator of ONNX "
            'computes it; got scan="never". Fix: pass scan="auto", or leave the option out.'
        )
    as_scan = scan == "always" or bool(reason)
    if state is None and as_scan:
        state = _zeros(graph, layer, x.name)
    parts = [_split(graph, layer, part) for part in state or ()]
    y, finals = x, []
    for k in range(layer.num_layers):
        starts = [part[k] for part in parts]
        name, final = (_scan if as_scan else _operator)(graph, layer, k, y, starts, lengths)
        y = Value(name, layer.y_size, x.time)
        finals.append(final)
    ends = [
        tensors[0] if len(tensors) == 1 else graph.add("Concat", *tensors, axis=0)
        for tensors in zip(*finals, strict=True)
    ]
    return y, tuple(ends)


def _zeros(graph: Graph, layer: Recurrent, x: str) -> State:
    rows = layer.num_layers * layer.num_directions
    return tuple(
        expanded(graph, graph.filled((rows, 1, size), 0.0), x) for size in state_sizes(layer).values()
    )


def expanded(graph: Graph, state: str, x: str) -> str:
    """Return a state (L*D, 1, H) or (L*D, B, H) with the rows of x (T, B, I)."""
    shape = graph.add("Concat", graph.integers(1), graph.size(x, 1), graph.integers(1), axis=0)
    return graph.add("Expand", state, shape)


def _split(graph: Graph, layer: Recurrent, state: str) -> list[str]:
    """Return the states of each layer of the stack, (D, B, H)."""
    return graph.split(state, *[layer.num_directions] * layer.num_layers, axis=0)


def _operator(
    graph: Graph, layer: Recurrent, k: int, x: Value, state: list[str], lengths: Lengths | None
) -> tuple[str, State]:
    y, final = write_operator(graph, layer, k, x.name, tuple(state), lengths)
    if not layer.bidirectional:
        return graph.without_axis(y, 1), final
    if layer.merge != "concat":
        operator = {"sum": "ReduceSum", "mean": "ReduceMean", "mul": "ReduceProd"}[layer.merge]
        if operator == "ReduceSum":
            return graph.add(operator, y, graph.integers(1), keepdims=0), final
        return graph.add(operator, y, axes=[1], keepdims=0), final
    y = graph.add("Transpose", y, perm=[0, 2, 1, 3])
    return graph.add("Reshape", y, graph.integers(0, 0, 2 * layer.hidden_size)), final


def _scan(
    graph: Graph, layer: Recurrent, k: int, x: Value, state: list[str], lengths: Lengths | None
) -> tuple[str, State]:
    D = layer.num_directions
    starts = [
        [graph.without_axis(part, 0) for part in graph.split(whole, *[1] * D, axis=0)] for whole in state
    ]
    ys, finals = write_scan(graph, layer, k, x, list(zip(*starts, strict=True)), lengths)
    ends = []
    for parts in zip(*finals, strict=True):
        rows = [graph.with_axis(part, 0) for part in parts]
        ends.append(rows[0] if D == 1 else graph.add("Concat", *rows, axis=0))
    return _merged(graph, layer, ys), tuple(ends)


def _merged(graph: Graph, layer: Recurrent, ys: list[str]) -> str:
    """Join the outputs of the directions."""
    if len(ys) == 1:
        return ys[0]
    if layer.merge == "concat":
        return graph.add("Concat", *ys, axis=-1)
    if layer.merge == "mul":
        return graph.add("Mul", *ys)
    total = graph.add("Add", *ys)
    return graph.add("Mul", total, graph.number(0.5)) if layer.merge == "mean" else total
