"""Layers of a stack as a `Scan` over steps, with any option, from elementary operators.

The equations are those of `bptt.reference`. Products with x, their layer norm and the biases need no state,
so they are computed for all steps at once.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.interop.onnx.writing.functions import activate, scaled
from bptt.interop.onnx.writing.graph import Graph, Value
from bptt.interop.onnx.writing.lengths import Lengths
from bptt.interop.onnx.writing.operators import activations_of, suffixes
from bptt.layers import GRU, LSTM, RNN
from bptt.layers.recurrent import Recurrent

EPSILON = 1e-5
"""Of layer norm in recurrent layers."""


class ScanLayer:
    """One layer of a stack in one direction.

    Parameters
    ----------
    graph : Graph
    layer : Recurrent
    suffix : str
        The end of the names of its parameters.
    """

    def __init__(self, graph: Graph, layer: Recurrent, suffix: str) -> None:
        self._graph, self._layer, self._suffix = graph, layer, suffix
        self._functions = activations_of(layer)
        self._clip: float | None = getattr(layer, "gate_clip", None)
        self._H = layer.hidden_size
        self._gates = layer.gate_count
        zoneout = layer.zoneout
        self._zoneout = zoneout if isinstance(zoneout, tuple) else (zoneout, zoneout)

    def write(self, x: Value, state: tuple[str, ...], lengths: Lengths | None) -> tuple[str, tuple[str, ...]]:
        """Write the layer, and return its outputs (T, B, P) and its final state.

        Parameters
        ----------
        x : Value
            (T, B, I).
        state : tuple of str
            (B, P), and for an LSTM (B, H).
        lengths : Lengths or None
        """
        graph, layer = self._graph, self._layer
        body = Graph(graph.dtype, graph)
        unique = body.unique
        sizes = (layer.output_size, self._H)[: len(state)]
        old = [
            body.input(unique(f"{part}_old"), ("batch", size))
            for part, size in zip("hc", sizes, strict=False)
        ]
        sequences = [self._inputs(x.name)]
        a = body.input(unique("a"), ("batch", self._gates * self._H))
        valid = ""
        if lengths is not None:
            sequences.append(lengths.valid(x))
            valid = body.input(unique("valid"), ("batch", 1), np.bool_)
        new = self._step(body, a, old)
        new = [
            self._mixed(body, keep, before, after)
            for keep, before, after in zip(self._zoneout, old, new, strict=False)
        ]
        y = new[0]
        if valid:
            y = body.add("Where", valid, y, body.number(0.0))
            new = [body.add("Where", valid, after, before) for after, before in zip(new, old, strict=True)]
        for name, tensor, size in zip("hc", new, sizes, strict=False):
            body.output(unique(f"{name}_new"), tensor, ("batch", size))
        body.output(unique("y"), y, ("batch", layer.output_size))
        reverse = layer.reverse or self._suffix.endswith("_reverse")
        *final, outputs = graph.scan(body, list(state), sequences, reverse=reverse)
        return outputs, tuple(final)

    def _parameter(self, name: str) -> npt.NDArray[Any] | None:
        return self._layer.parameters.get(name + self._suffix)

    def _weight(self, graph: Graph, name: str, values: npt.NDArray[Any]) -> str:
        return graph.weight(f"{graph.prefix}{name}{self._suffix}", values)

    def _inputs(self, x: str) -> str:
        """Return the part of the activations' arguments that needs no state, (T, B, G*H)."""
        graph, layer = self._graph, self._layer
        weight = layer.parameters["weight_ih" + self._suffix]
        a = graph.add("MatMul", x, self._weight(graph, "weight_ih.T", weight.T))
        a = self._normed(graph, a, "weight_norm_ih", self._blocks())
        b_ih, b_hh = self._parameter("bias_ih"), self._parameter("bias_hh")
        if b_ih is None or b_hh is None:
            return a
        if self._inside():  # the bias of n that r multiplies
            b_hh = b_hh.copy()
            b_hh[2 * self._H :] = 0.0
        biases = self._weight(graph, "bias_ih", b_ih), self._weight(graph, "bias_hh", b_hh)
        return graph.add("Add", a, graph.add("Add", *biases))

    def _inside(self) -> bool:
        """Return whether the reset gate acts after the product."""
        return isinstance(self._layer, GRU) and self._layer.reset_after

    def _blocks(self) -> tuple[int, ...]:
        """Return the numbers of columns that layer norm normalises together."""
        if isinstance(self._layer, (RNN, LSTM)):
            return (self._gates * self._H,)
        return ((self._gates - 1) * self._H, self._H)

    def _normed(self, graph: Graph, v: str, name: str, blocks: tuple[int, ...], offset: int = 0) -> str:
        """Apply layer norm to blocks of columns of v, which begin at column `offset` of the gain."""
        gain = self._parameter(name)
        if gain is None:
            return v
        parts = []
        for part, size in zip(graph.split(v, *blocks), blocks, strict=True):
            weight = self._weight(graph, f"{name}.{offset}", gain[offset : offset + size])
            parts.append(graph.add("LayerNormalization", part, weight, axis=-1, epsilon=EPSILON))
            offset += size
        return parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=-1)

    def _product(self, body: Graph, h: str, first: int, stop: int, blocks: tuple[int, ...]) -> str:
        """Return the normalised product of h and the rows of some gates."""
        rows = slice(first * self._H, stop * self._H)
        weight = self._layer.parameters["weight_hh" + self._suffix][rows]
        product = body.add("MatMul", h, self._weight(body, f"weight_hh.T.{first}", weight.T))
        return self._normed(body, product, "weight_norm_hh", blocks, first * self._H)

    def _active(self, body: Graph, place: int, a: str) -> str:
        """Apply the function of the gates (0), of the candidate (1) or of the output (2)."""
        return activate(body, self._functions[place], a, self._clip)

    @staticmethod
    def _mixed(body: Graph, keep: float, before: str, after: str) -> str:
        """Return the mean of zoneout."""
        if not keep:
            return after
        return body.add("Add", scaled(body, keep, before), scaled(body, 1.0 - keep, after))

    def _step(self, body: Graph, a: str, old: list[str]) -> list[str]:
        """Return the state after a step, before zoneout."""
        layer = self._layer
        if isinstance(layer, RNN):
            return [
                self._active(body, 0, body.add("Add", a, self._product(body, old[0], 0, 1, self._blocks())))
            ]
        if isinstance(layer, LSTM):
            return self._lstm(body, layer, a, old)
        if self._inside():
            return [self._reset_after(body, a, old[0])]
        return [self._reset_before(body, a, old[0])]

    def _lstm(self, body: Graph, layer: LSTM, a: str, old: list[str]) -> list[str]:
        (h, c), H = old, self._H
        a = body.add("Add", a, self._product(body, h, 0, self._gates, self._blocks()))
        *a_if, a_g, a_o = body.split(a, *[H] * self._gates)
        peepholes = self._parameter("weight_peephole")

        def seen(a: str, row: int, cell: str) -> str:
            if peepholes is None:
                return a
            weight = self._weight(body, f"weight_peephole.{row}", peepholes[row])
            return body.add("Add", a, body.add("Mul", weight, cell))

        gates = [self._active(body, 0, seen(part, row, c)) for row, part in enumerate(a_if)]
        g = self._active(body, 1, a_g)
        if layer.coupled:
            gates = [body.add("Sub", body.number(1.0), gates[0]), *gates]
        kept = c if not layer.forget_gate else body.add("Mul", gates[1], c)
        cell = body.add("Add", kept, body.add("Mul", gates[0], g))
        if layer.cell_clip is not None:
            bound = layer.cell_clip
            cell = body.add("Clip", cell, body.number(-bound), body.number(bound))
        o = self._active(body, 0, seen(a_o, len(a_if), cell))
        q = self._normed(body, cell, "weight_norm_c", (H,))
        offset = self._parameter("bias_norm_c")
        if offset is not None:
            q = body.add("Add", q, self._weight(body, "bias_norm_c", offset))
        limit = layer.gate_clip if layer.clip_mode == "spec" else None
        h_new = body.add("Mul", o, activate(body, self._functions[2], q, limit))
        projection = self._parameter("weight_hr")
        if projection is not None:
            h_new = body.add("MatMul", h_new, self._weight(body, "weight_hr.T", projection.T))
        return [h_new, cell]

    def _reset_after(self, body: Graph, a: str, h: str) -> str:
        H = self._H
        product = self._product(body, h, 0, 3, self._blocks())
        a_rz, a_n = body.split(a, 2 * H, H)
        p_rz, p_n = body.split(product, 2 * H, H)
        r, z = body.split(self._active(body, 0, body.add("Add", a_rz, p_rz)), H, H)
        b_hh = self._parameter("bias_hh")
        if b_hh is not None:
            p_n = body.add("Add", p_n, self._weight(body, "bias_hn", b_hh[2 * H :]))
        n = self._active(body, 1, body.add("Add", a_n, body.add("Mul", r, p_n)))
        return body.add("Add", n, body.add("Mul", z, body.add("Sub", h, n)))

    def _reset_before(self, body: Graph, a: str, h: str) -> str:
        """Write a GRU with gates r and z, or an MGU, whose gate f is r and 1 - z."""
        H, count = self._H, self._gates - 1
        a_gates, a_n = body.split(a, count * H, H)
        product = self._product(body, h, 0, count, (count * H,))
        gates = body.split(self._active(body, 0, body.add("Add", a_gates, product)), *[H] * count)
        read = self._product(body, body.add("Mul", gates[0], h), count, count + 1, (H,))
        n = self._active(body, 1, body.add("Add", a_n, read))
        old, new = (n, h) if count == 2 else (h, n)  # z keeps h, and f lets in n
        return body.add("Add", old, body.add("Mul", gates[-1], body.add("Sub", new, old)))


def write_scan(
    graph: Graph,
    layer: Recurrent,
    k: int,
    x: Value,
    state: list[tuple[str, ...]],
    lengths: Lengths | None,
) -> tuple[list[str], list[tuple[str, ...]]]:
    """Write layer k of a stack, and return its outputs and final states, one for each direction.

    `state` has the initial state of each direction, as `ScanLayer.write` reads it.
    """
    written = [
        ScanLayer(graph, layer, suffix).write(x, start, lengths)
        for suffix, start in zip(suffixes(layer, k), state, strict=True)
    ]
    return [y for y, _ in written], [final for _, final in written]
