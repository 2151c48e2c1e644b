"""Tangents: how one step of a stack changes small differences of its state.

Each cell is linearised around a trajectory, for all its steps at once. A step then multiplies differences by
constant weights and by coefficients that change from step to step. `bptt.reference` holds the equations.

Coefficients have shape (T, N, 1), differences (N, k): one column per direction.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.layers import GRU, RNN
from bptt.reference import lstm, norm
from bptt.reference.activations import Function, Gated, clipped, inside
from bptt.reference.common import Weights, bias
from bptt.reference.layers import gated_options, lstm_options, rnn_function

Array = npt.NDArray[np.float64]
Part = TypeVar("Part", bound="Linear")
SMOOTH = ("sigmoid", "tanh")
"""Activations with a slope that can be computed from the result alone."""


@dataclass(frozen=True)
class Linear:
    """A linear map that consists of arrays of coefficients."""

    def map(self: Part, function: Callable[[Array], Array]) -> Part:
        """Return the linear map with `function` applied to every array of coefficients."""

        def changed(value: Any) -> Any:
            if isinstance(value, Linear):
                return value.map(function)
            if isinstance(value, tuple):
                return tuple(map(changed, value))
            return function(value) if isinstance(value, np.ndarray) else value

        return replace(self, **{field.name: changed(getattr(self, field.name)) for field in fields(self)})


@dataclass(frozen=True)
class Norm(Linear):
    """Tangent of layer norm over one block: gain / s (dv - mean(dv) - n mean(n dv)).

    n is the result of layer norm before the gain.
    """

    scale: Array
    minus: Array
    """-1, stored as a coefficient so that `map(np.abs)` makes it 1 and gives a bound of the sum."""
    n: Array
    minus_n: Array

    @classmethod
    def of(cls, v: Array, gain: Array) -> Norm:
        n = norm.forward(v, np.ones_like(gain))
        return cls(_column(gain / norm.spread(v)), np.full((len(v), 1, 1), -1.0), _column(n), _column(-n))

    def __call__(self, t: int, dv: Array) -> Array:
        moved: Array = dv + self.minus[t] * dv.mean(axis=0) + self.minus_n[t] * (self.n[t] * dv).mean(axis=0)
        result: Array = self.scale[t] * moved
        return result


@dataclass(frozen=True)
class Product(Linear):
    """Tangent of N(M v), where N is layer norm of each block, or nothing."""

    matrix: Array
    """(1, N, M)."""
    norms: tuple[Norm, ...]
    cuts: tuple[int, ...]

    @classmethod
    def of(cls, matrix: Array, v: Array, gain: Array | None, cuts: tuple[int, ...] = ()) -> Product:
        norms: tuple[Norm, ...] = ()
        if gain is not None:
            blocks = zip(np.split(v @ matrix.T, cuts, axis=1), np.split(gain, cuts), strict=True)
            norms = tuple(Norm.of(*block) for block in blocks)
        return cls(matrix[np.newaxis], norms, cuts)

    def __call__(self, t: int, d: Array) -> Array:
        dv: Array = self.matrix[0] @ d
        if not self.norms:
            return dv
        blocks = np.split(dv, self.cuts)
        return np.concatenate([tangent(t, block) for tangent, block in zip(self.norms, blocks, strict=True)])


@dataclass(frozen=True)
class Summed(Linear):
    """RNN and GRU: dh = sum over gates of (x_gates dW x + h_gates dU h) + keep dh'."""

    x_product: Product
    h_product: Product
    x_gates: tuple[Array, ...]
    h_gates: tuple[Array, ...]
    keep: Array | None

    def push(self, t: int, dx: Array | None, dh: Array, dc: Array | None) -> tuple[Array, Array | None]:
        new = _weighted(self.h_gates, t, self.h_product(t, dh))
        if dx is not None:
            new += _weighted(self.x_gates, t, self.x_product(t, dx))
        return new if self.keep is None else new + self.keep[t] * dh, dc


@dataclass(frozen=True)
class Nested(Linear):
    """Tangent of an MGU, or of a GRU with the reset gate before the product.

    U multiplies the gate times h.
    """

    x_product: Product
    gate_product: Product
    candidate_product: Product
    p_gates: tuple[Array, ...]
    p_keep: Array
    h_gates: tuple[Array, ...]
    candidate: Array
    keep: Array

    def push(self, t: int, dx: Array | None, dh: Array, dc: Array | None) -> tuple[Array, Array | None]:
        da = self.gate_product(t, dh)
        x_part = None if dx is None else self.x_product(t, dx)
        if x_part is not None:
            da = da + x_part[: len(da)]
        dn = self.candidate_product(t, _weighted(self.p_gates, t, da) + self.p_keep[t] * dh)
        if x_part is not None:
            dn = dn + x_part[len(da) :]
        return _weighted(self.h_gates, t, da) + self.candidate[t] * dn + self.keep[t] * dh, dc


@dataclass(frozen=True)
class Cell(Linear):
    """Tangent of an LSTM.

    dc~ = gates da + forget dc, dw = output_gate da_o + output_cell dc~ + output_norm dM(c~).
    """

    x_product: Product
    h_product: Product
    gates: tuple[Array, ...]
    forget: Array
    output_gate: Array
    output_cell: Array
    output_norm: Array | None
    cell_norm: Norm | None
    projection: Array | None
    new_h: Array
    old_h: Array
    new_c: Array
    old_c: Array

    def push(self, t: int, dx: Array | None, dh: Array, dc: Array | None) -> tuple[Array, Array | None]:
        assert dc is not None
        da = self.h_product(t, dh)
        if dx is not None:
            da += self.x_product(t, dx)
        last = len(da) - len(dc)
        cell = _weighted(self.gates, t, da[:last]) + self.forget[t] * dc
        dw = self.output_gate[t] * da[last:] + self.output_cell[t] * cell
        if self.output_norm is not None and self.cell_norm is not None:
            dw += self.output_norm[t] * self.cell_norm(t, cell)
        if self.projection is not None:
            dw = self.projection[0] @ dw
        return self.new_h[t] * dw + self.old_h[t] * dh, self.new_c[t] * cell + self.old_c[t] * dc


LinearStep = Summed | Nested | Cell


def linearised(layer: Any, index: int, x: Array, h: Array, c: Array | None, gates: Array) -> LinearStep:
    """Linearise layer `index` of a stack that reads forward.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or MGU
        A layer in float64.
    index : int
    x : array of shape (T, I)
        Input of this layer.
    h, c : arrays of shape (T, P) and (T, H)
        The states before each step; c of an LSTM only.
    gates : array of shape (T, ...)
        The activated gates, see `RecurrentTape.gates`.
    """
    weights = {
        name.removesuffix(f"_l{index}"): view
        for name, view in layer.parameters.items()
        if name.endswith(f"_l{index}")
    }
    if c is not None:
        return _lstm(layer, weights, x, h, c, gates)
    zoneout: float = layer.zoneout
    if isinstance(layer, RNN):
        return _rnn(rnn_function(layer), weights, x, h, gates, zoneout)
    options = gated_options(layer)
    if isinstance(layer, GRU) and layer.reset_after:
        return _gru(options, weights, x, h, gates, zoneout)
    return _nested(options, weights, x, h, gates, zoneout)


def _rnn(f: Function, weights: Weights, x: Array, h: Array, new: Array, zoneout: float) -> Summed:
    a = _values(weights, "ih", x) + _values(weights, "hh", h)
    gates = (_column((1.0 - zoneout) * f.slope(a, new)),)
    keep = _column(np.full_like(h, zoneout)) if zoneout else None
    return Summed(_inputs(weights, x), _recurrent(weights, h), gates, gates, keep)


def _gru(options: Gated, weights: Weights, x: Array, h: Array, gates: Array, zoneout: float) -> Summed:
    r, z, n, q = np.split(gates, 4, axis=1)
    cuts = (2 * h.shape[1],)
    a_r, a_z, a_n = np.split(_values(weights, "ih", x, cuts), 3, axis=1)
    u_r, u_z, _ = np.split(_values(weights, "hh", h, cuts), 3, axis=1)
    to_n = (1.0 - z) * options.phi.slope(a_n + r * q, n)
    to_z = (h - n) * options.sigma.slope(a_z + u_z, z)
    to_r = to_n * q * options.sigma.slope(a_r + u_r, r)
    new = 1.0 - zoneout
    return Summed(
        _inputs(weights, x, cuts),
        _recurrent(weights, h, cuts),
        tuple(_column(new * slope) for slope in (to_r, to_z, to_n)),
        tuple(_column(new * slope) for slope in (to_r, to_z, to_n * r)),
        _column(zoneout + new * z),
    )


def _nested(options: Gated, weights: Weights, x: Array, h: Array, gates: Array, zoneout: float) -> Nested:
    """Linearise a GRU with gates r and z, or an MGU with one gate f.

    For an MGU, r = f and z = 1 - f.
    """
    *r_and_z, n, p = np.split(gates, gates.shape[1] // h.shape[1], axis=1)
    cuts = (len(r_and_z) * h.shape[1],)
    U_g, U_n = np.split(weights["weight_hh"], cuts)
    gains = weights.get("weight_norm_hh")
    gain_g, gain_n = (None, None) if gains is None else np.split(gains, cuts)
    b_g, b_n = np.split(np.broadcast_to(bias(weights, "bias_hh"), len(weights["weight_hh"])), cuts)
    a_g, a_n = np.split(_values(weights, "ih", x, cuts), cuts, axis=1)
    a_g = a_g + norm.forward(h @ U_g.T, gain_g) + b_g
    slopes = [
        options.sigma.slope(a, y) for a, y in zip(np.split(a_g, len(r_and_z), axis=1), r_and_z, strict=True)
    ]
    to_n = options.phi.slope(a_n + norm.forward(p @ U_n.T, gain_n) + b_n, n)
    r, last = r_and_z[0], r_and_z[-1]
    z = 1.0 - last if r is last else last
    to_last = (n - h if r is last else h - n) * slopes[-1]
    zeros = [np.zeros_like(h)] * (len(r_and_z) - 1)
    new = 1.0 - zoneout
    return Nested(
        _inputs(weights, x, cuts),
        Product.of(U_g, h, gain_g),
        Product.of(U_n, p, gain_n),
        tuple(map(_column, [h * slopes[0], *zeros])),
        _column(r),
        tuple(map(_column, [*zeros, new * to_last])),
        _column(new * (1.0 - z) * to_n),
        _column(zoneout + new * z),
    )


def _lstm(layer: Any, weights: Weights, x: Array, h: Array, c: Array, gates: Array) -> Cell:
    options = lstm_options(layer)
    sigma, phi, psi = options.sigma, options.phi, options.psi
    G = gates.shape[1] // c.shape[1]
    *p_if, p_o = weights.get("weight_peephole", np.zeros((G - 1, c.shape[1])))
    *i_f, g, o = values = np.split(gates, G, axis=1)  # i and f, or the one that there is
    i, f = lstm.input_and_forget(i_f, options)
    e = f * c + i * g
    c_new = clipped(e, options.cell_clip)
    arguments = values
    if any(function.name not in SMOOTH or function.limit is not None for function in (sigma, phi)):
        arguments = np.split(_values(weights, "ih", x) + _values(weights, "hh", h), G, axis=1)
        peepholes = [*(p * c for p in p_if), 0.0, p_o * c_new]
        arguments = [a + p for a, p in zip(arguments, peepholes, strict=True)]
    *to_if, to_g, to_o = (
        function.slope(a, y)
        for function, a, y in zip((*[sigma] * (G - 2), phi, sigma), arguments, values, strict=True)
    )
    factors = [c - g] if options.coupled else [g, c] if options.forget_gate else [g]
    to_if = [factor * slope for factor, slope in zip(factors, to_if, strict=True)]
    forget = f + sum(slope * p for slope, p in zip(to_if, p_if, strict=True))
    clip_slope = inside(e, options.cell_clip)
    gain = weights.get("weight_norm_c")
    q = norm.forward(c_new, gain) + bias(weights, "bias_norm_c")
    psi_q = psi(q)
    output_gate, to_q = psi_q * to_o, o * psi.slope(q, psi_q)
    R = weights.get("weight_hr")
    zoneout = layer.zoneout if isinstance(layer.zoneout, tuple) else (layer.zoneout,) * 2
    fractions = [np.full((len(x), 1, 1), fraction) for z in zoneout for fraction in (1.0 - z, z)]
    return Cell(
        _inputs(weights, x),
        _recurrent(weights, h),
        tuple(_column(clip_slope * slope) for slope in (*to_if, i * to_g)),
        _column(clip_slope * forget),
        _column(output_gate),
        _column(output_gate * p_o + (to_q if gain is None else 0.0)),
        None if gain is None else _column(to_q),
        None if gain is None else Norm.of(c_new, gain),
        None if R is None else R[np.newaxis],
        *fractions,
    )


def _inputs(weights: Weights, x: Array, cuts: tuple[int, ...] = ()) -> Product:
    return Product.of(weights["weight_ih"], x, weights.get("weight_norm_ih"), cuts)


def _recurrent(weights: Weights, h: Array, cuts: tuple[int, ...] = ()) -> Product:
    return Product.of(weights["weight_hh"], h, weights.get("weight_norm_hh"), cuts)


def _values(weights: Weights, side: str, v: Array, cuts: tuple[int, ...] = ()) -> Array:
    """Return N(M v) + b of every step: the part "ih" or "hh" of the pre-activations."""
    product = v @ weights[f"weight_{side}"].T
    return norm.forward(product, weights.get(f"weight_norm_{side}"), cuts) + bias(weights, f"bias_{side}")


def _weighted(gates: tuple[Array, ...], t: int, da: Array) -> Array:
    """Return the sum over the blocks of `da`, each times its gate's coefficients."""
    H = gates[0].shape[1]
    total: Array = gates[0][t] * da[:H]
    for block, gate in enumerate(gates[1:], 1):
        total += gate[t] * da[block * H : (block + 1) * H]
    return total


def _column(values: Array) -> Array:
    return values[:, :, np.newaxis]
