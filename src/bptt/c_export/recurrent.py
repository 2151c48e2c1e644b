"""Recurrent layers in C: what all cells share, and the RNN, the GRU and the MGU."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.c_export.functions import activation
from bptt.c_export.source import Array, Source, literal, place
from bptt.layers import GRU, MGU, RNN
from bptt.layers.activations import parse_nonlinearity
from bptt.layers.recurrent import Recurrent

EPSILON = 1e-5
"""The epsilon of layer norm inside cells."""


@dataclass(frozen=True)
class Cell:
    """One layer of a stack, with its parameters.

    Attributes
    ----------
    out : Source
    layer : Recurrent
    index : int
        The layer of the stack.
    suffix : str
        What the names of its arrays end with.
    x : str
        The expression of its inputs.
    """

    out: Source
    layer: Recurrent
    index: int
    suffix: str
    x: str

    def parameter(self, name: str, rows: Array | None = None) -> Array | None:
        """Return a parameter, or None if the layer has no such parameter. `rows` selects and orders rows."""
        full = f"{name}_l{self.index}"
        if full not in self.layer.parameters:
            return None
        values: Array = self.layer.parameters[full]
        return values if rows is None else values[rows]

    def bias(self, rows: Array, *sides: str) -> Array | None:
        """Return the sum of the biases of these sides, rounded once; None without biases."""
        if not self.layer.bias:
            return None
        parts = [self.layer.parameters[f"bias_{side}_l{self.index}"][rows] for side in sides]
        total: Array = np.sum(np.array(parts, np.float64), axis=0)
        return total

    def product(
        self, side: str, rows: Array, blocks: tuple[int, ...], target: str, vector: str, part: str = ""
    ) -> None:
        """Add the product of one side, "ih" or "hh", normalised if the layer has layer norm.

        Parameters
        ----------
        rows : array of int
            Rows of the weight.
        blocks : tuple of int
            Sizes of the blocks of these rows that layer norm normalises separately.
        target : str
            The array that the product is added to, with its bias after layer norm.
        part : str
            Part of a name, if two calls have the same side.
        """
        out, label = self.out, f"{side}{part}{self.suffix}"
        matrix = self.layer.parameters[f"weight_{side}_l{self.index}"][rows]
        gain = self.parameter(f"weight_norm_{side}", rows)
        target, _, start = target.partition("+")
        offset = int(start or 0)
        if gain is None:
            out.add_product(target, label, matrix, vector, offset)
            return
        with out.block():
            out.array("s", len(rows))
            out.loop(len(rows), "s[k] = 0.0f;")
            out.add_product("s", label, matrix, vector)
            begin = 0
            for size in blocks:
                where = f"s + {begin}" if begin else "s"
                out.line(f"{out.call('normalize', where, str(size), literal(EPSILON))};")
                begin += size
            name = out.weight(f"gain{label}", gain)
            out.loop(len(rows), f"{place(target, offset)} += s[k] * {name}[k];")

    def set_bias(self, target: str, values: Array | None, size: int) -> None:
        self.out.set_vector(target, f"bias{self.suffix}", values, size)

    def function(self, which: int, argument: str) -> str:
        """Return the activation of the gates (0) or of the candidate (1)."""
        layer = self.layer
        assert isinstance(layer, (GRU, MGU))
        return activation(self.out, layer.activations[which], argument, layer.gate_clip)

    def mixed(self, old: str, new: str, which: int = 0) -> str:
        """Return the mean of zoneout, of h (0) or of c (1)."""
        value = self.layer.zoneout
        keep = value[which] if isinstance(value, tuple) else value
        if not keep:
            return new
        return f"{literal(keep)} * {old} + {literal(1.0 - keep)} * ({new})"


def block(rows: int, *order: int) -> Array:
    """Return the rows of these blocks, each of `rows` rows, in this order."""
    return np.concatenate([np.arange(rows) + rows * index for index in order])


def write_rnn(cell: Cell) -> str:
    layer, out, H = cell.layer, cell.out, cell.layer.hidden_size
    assert isinstance(layer, RNN)
    h, rows = out.field(f"h{cell.suffix}", H, "hidden state"), block(H, 0)
    out.comment("h = f(W x + U h + b)")
    with out.block():
        out.array("a", H)
        cell.set_bias("a", cell.bias(rows, "ih", "hh"), H)
        cell.product("ih", rows, (H,), "a", cell.x)
        cell.product("hh", rows, (H,), "a", h)
        new = activation(out, parse_nonlinearity(layer.nonlinearity), "a[k]", layer.gate_clip)
        out.loop(H, f"a[k] = {new};")
        out.loop(H, f"{h}[k] = {cell.mixed(f'{h}[k]', 'a[k]')};")
    return h


def write_gru(cell: Cell) -> str:
    layer = cell.layer
    assert isinstance(layer, GRU)
    return _reset_after(cell) if layer.reset_after else _reset_before(cell, gates=2)


def write_mgu(cell: Cell) -> str:
    return _reset_before(cell, gates=1)


def _reset_after(cell: Cell) -> str:
    """Write a GRU that resets after the product, in an array a of n, r, z and U_n h + b."""
    out, H = cell.out, cell.layer.hidden_size
    h = out.field(f"h{cell.suffix}", H, "hidden state")
    n, rz = block(H, 2), block(H, 0, 1)
    parts = [cell.bias(n, "ih"), cell.bias(rz, "ih", "hh"), cell.bias(n, "hh")]
    bias = None if parts[0] is None else np.concatenate([part for part in parts if part is not None])
    out.comment("r, z = f(W x + U h + b), n = g(W x + b + r (U h + b)), h = (1 - z) n + z h")
    with out.block():
        out.array("a", 4 * H)
        cell.set_bias("a", bias, 4 * H)
        cell.product("ih", block(H, 2, 0, 1), (H, 2 * H), "a", cell.x)
        cell.product("hh", block(H, 0, 1, 2), (2 * H, H), f"a+{H}", h)
        out.loop(2 * H, f"a[{H} + k] = {cell.function(0, f'a[{H} + k]')};")
        out.loop(H, f"a[k] = {cell.function(1, f'a[k] + a[{H} + k] * a[{3 * H} + k]')};")
        _mix(cell, h, f"a[{2 * H} + k]", "(1.0f - z) * a[k] + z * OLD")
    return h


def _reset_before(cell: Cell, *, gates: int) -> str:
    """Write a GRU that resets before the product, or an MGU, in an array a of n and of the gates."""
    out, H = cell.out, cell.layer.hidden_size
    h, last = out.field(f"h{cell.suffix}", H, "hidden state"), gates * H
    first = (*range(gates),)
    if gates == 2:
        out.comment("r, z = f(W x + U h + b), n = g(W x + U (r h) + b), h = (1 - z) n + z h")
    else:
        out.comment("f = f(W x + U h + b), n = g(W x + U (f h) + b), h = (1 - f) h + f n")
    with out.block():
        out.array("a", last + H)
        out.array("p", H)
        cell.set_bias("a", cell.bias(block(H, gates, *first), "ih", "hh"), last + H)
        cell.product("ih", block(H, gates, *first), (H, last), "a", cell.x)
        cell.product("hh", block(H, *first), (last,), f"a+{H}", h)
        out.loop(last, f"a[{H} + k] = {cell.function(0, f'a[{H} + k]')};")
        out.loop(H, f"p[k] = a[{H} + k] * {h}[k];")
        cell.product("hh", block(H, gates), (H,), "a", "p", part="n")
        out.loop(H, f"a[k] = {cell.function(1, 'a[k]')};")
        new = "(1.0f - z) * a[k] + z * OLD" if gates == 2 else "(1.0f - z) * OLD + z * a[k]"
        _mix(cell, h, f"a[{last} + k]", new)
    return h


def _mix(cell: Cell, h: str, z: str, new: str) -> None:
    """Write the new h, a mean of the candidate in a and of the old h."""
    old = f"{h}[k]"
    text = cell.mixed(old, new.replace("OLD", old))
    cell.out.loop(cell.layer.hidden_size, f"const float z = {z};", f"{old} = {text};")
