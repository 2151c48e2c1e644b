"""Lyapunov exponents: the growth of small differences of a state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import integer, size
from bptt.diagnose.interruptible import interruptible
from bptt.diagnose.tangents import LinearStep, linearised
from bptt.layers.passes.call_arguments import canonical_input
from bptt.layers.passes.directions import reads_from_end
from bptt.layers.recurrent import Recurrent, expected_tape
from bptt.reference.common import error_norm, error_norms, power_of_two

Vector = npt.NDArray[np.float64]

CHUNK = 256
"""Number of steps that are linearised together, which limits the memory of their coefficients."""

WARMUP = 10
"""Default number of steps that turn the frame before its growth counts."""


def lyapunov_spectrum(
    layer: Recurrent,
    x: npt.ArrayLike,
    k: int | None = None,
    *,
    state: Any = None,
    skip: int = 0,
    warmup: int | None = None,
    seed: int = 0,
) -> Vector:
    """Return the largest Lyapunov exponents of a layer driven by an input, per step.

    The state is that of the whole stack: h of all layers and for an LSTM c. Each step multiplies a frame of k
    directions by the exact Jacobian of the state and makes the frame orthonormal again (QR method). An
    exponent of log 2 means that a difference doubles at every step. Backpropagated errors grow and shrink at
    the same rates. They explode if the largest exponent is above 0, and vanish if it is well below 0.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or MGU
        A layer that is not bidirectional. Dropout is off, and zoneout uses its mean. Computed in float64
        without rounding, also with `precision="bfloat16"`: a function that rounds has a Jacobian of 0.
    x : array-like
        Input of the layer. For a batch, the exponents of each row are sorted, then averaged over the rows.
    k : int, optional
        Number of exponents. Default: the number of entries of the state.
    state : optional
        Initial state of the layer. Default: zeros.
    skip : int
        Number of steps at the start of x that turn the frame but do not count. Use it to skip a transient.
    warmup : int, optional
        The frame first passes through this many steps of x. Then the trajectory starts again at step 0, with
        the turned frame. Default: 10, or all steps if x has fewer.
    seed : int
        Seed of the frame's random directions. Each row starts with the same frame.

    Returns
    -------
    ndarray
        (k,) float64, largest first. A direction that the Jacobians map to 0, within the precision of float64,
        has the exponent -inf. It stays lost for the rest of its row.

    Raises
    ------
    TypeError
        If `layer` is not a recurrent layer, or an argument has the wrong type.
    ValueError
        If the layer reads from the end, or `k`, `skip` or `warmup` is out of range. If the layer refuses the
        input, states are NaN or infinite, or Jacobians overflow.

    References
    ----------
    Benettin, Galgani, Giorgilli and Strelcyn (1980), Lyapunov characteristic exponents for smooth dynamical
    systems. For recurrent networks: Vogt et al. (2022), On Lyapunov exponents for RNNs.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.RNN(1, 50, init=bptt.init.orthogonal(0.5), seed=0)
    >>> exponents = bptt.lyapunov_spectrum(layer, np.zeros((200, 1)), k=3)
    >>> np.exp(exponents).round(3)
    array([0.5, 0.5, 0.5])
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"layer must be an RNN, LSTM, GRU or MGU; got {type(layer).__name__}. "
            "Fix: pass one layer of a model, model[0]."
        )
    if reads_from_end(layer):
        option = "bidirectional" if layer.bidirectional else "reverse"
        raise ValueError(
            f"layer must read forward only; got {option}=True. Fix: pass a layer with {option}=False."
        )
    count = layer.num_layers * (layer.output_size + (layer.hidden_size if layer.has_cell_state else 0))
    k = count if k is None else size(k, "k", count)
    layer64 = _exact(layer)
    inputs, h0, c0 = canonical_input(layer64, x, state)
    T, B, _ = inputs.shape
    skip, seed = integer(skip, "skip", 0), integer(seed, "seed", 0)
    if skip >= T or B == 0:
        raise ValueError(
            f"x must have more than skip = {skip} steps, and at least one row; got {T} steps of {B} rows. "
            "Fix: pass a longer x, or a smaller skip."
        )
    warmup = min(WARMUP, T) if warmup is None else integer(warmup, "warmup", 0, T)
    frame = np.random.default_rng(seed).standard_normal((k, count)).T
    total = np.zeros(k)
    for b in range(B):
        x_row, h_row, c_row = (_row(part, b) for part in (inputs, h0, c0))
        trajectory = Trajectory(layer64, x_row, h_row, c_row)
        if not all(np.isfinite(part).all() for part in (*trajectory.h, *trajectory.c)):
            raise ValueError(
                "x, state and weights must keep the layer's states finite; got NaN or infinity in a state. "
                "Fix: call bptt.first_nonfinite(layer, x) to find its origin."
            )
        growth = interruptible(partial(_growth, trajectory, frame, warmup))
        total += np.sort(growth[skip:].mean(axis=0))[::-1]
    exponents: Vector = total / B
    return exponents


def _exact(layer: Recurrent) -> Any:
    """Return a copy of a layer in float64, without rounding and dropout."""
    options = {"dtype": "float64", "precision": "highest", "tape_dtype": None, "dropout": 0.0}
    copied = type(layer).from_config(layer.config() | options)
    copied.load_state_dict(layer.state_dict())
    return copied


def _growth(trajectory: Trajectory, frame: Vector, warmup: int, stopped: Callable[[], bool]) -> Vector:
    """Return the log of each direction's growth at each step of one row, (T, k).

    -inf from the step at which a direction is lost.
    """
    with np.errstate(all="ignore"):  # `Frame` checks for NaN and infinity
        row_frame = Frame(frame)
        row_frame.pass_through(trajectory, warmup, stopped)
        return row_frame.pass_through(trajectory, len(trajectory.x), stopped)


class Trajectory:
    """The states of a layer that reads one row, as views of the layer's tape.

    Attributes
    ----------
    x : ndarray
        (T, I).
    h, c : list of ndarray
        (T, N) per layer, after each step. c is empty unless the layer is an LSTM.
    gates : list of ndarray
        (T, ...) per layer, see `RecurrentTape.gates`.
    """

    def __init__(self, layer: Recurrent, x: Vector, h0: Vector | None, c0: Vector | None) -> None:
        tape = expected_tape(layer, x, h0, c0)
        self.layer, self.x, self.starts = layer, x[:, 0], (h0, c0)
        layers = range(layer.num_layers)
        self.h, self.gates = ([view(index, 0)[:, 0] for index in layers] for view in (tape.h, tape.gates))
        self.c = [tape.c(index, 0)[:, 0] for index in layers] if layer.has_cell_state else []

    def linearised(self, steps: slice) -> list[LinearStep]:
        """Return the linearised steps of all layers at these time steps."""
        linear_steps: list[LinearStep] = []
        x = self.x[steps]
        for index, gates in enumerate(self.gates):
            old_h, *old_c = (self._before(kind, index, steps) for kind in range(2 if self.c else 1))
            linear_steps.append(
                linearised(self.layer, index, x, old_h, old_c[0] if old_c else None, gates[steps])
            )
            x = self.h[index][steps]
        return linear_steps

    def parts(self) -> list[slice]:
        """Return the slices of the state's entries: h of each layer, then c of each layer."""
        ends = np.cumsum([0, *(states.shape[1] for states in (*self.h, *self.c))])
        return [slice(begin, end) for begin, end in pairwise(ends)]

    def _before(self, kind: int, index: int, steps: slice) -> Vector:
        """Return h or c of one layer before each of these steps."""
        states: Vector = (self.h, self.c)[kind][index]
        if steps.start:
            return states[steps.start - 1 : steps.stop - 1]
        start = self.starts[kind]
        first = np.zeros((1, states.shape[1])) if start is None else start[index]
        return np.concatenate([first, states[: steps.stop - 1]])


class Frame:
    """Orthonormal directions of a stack's state.

    A lost direction leaves the frame permanently.

    Attributes
    ----------
    directions : ndarray
        (S, alive), one column per direction.
    alive : ndarray of int
        The number of each column's direction, from 0 to k - 1.
    """

    def __init__(self, directions: Vector) -> None:
        self.count = directions.shape[1]
        self.directions, _ = _orthonormal(directions)
        self.alive = np.arange(self.count)

    def pass_through(self, trajectory: Trajectory, steps: int, stopped: Callable[[], bool]) -> Vector:
        """Move the frame by the first steps of a trajectory.

        Return the log of its growth, (steps, k).
        """
        growth = np.full((steps, self.count), -np.inf)
        for begin in range(0, steps, CHUNK):
            end = min(begin + CHUNK, steps)
            chunk = Chunk(trajectory, slice(begin, end))
            for t in range(begin, end):
                if stopped() or self.alive.size == 0:
                    break
                self._move(chunk, t - begin, growth[t])
        return growth

    def _move(self, chunk: Chunk, t: int, growth: Vector) -> None:
        pushed = chunk.push(t, self.directions)
        if chunk.moderate:
            directions, lengths = _orthonormal(pushed)
            if lengths.min() > chunk.suspicious:
                self.directions = directions
                growth[self.alive] = np.log(lengths)
                return
        units = power_of_two(np.abs(pushed).max(axis=0))
        rounding = chunk.rounding(t, self.directions, units)
        if not (np.isfinite(pushed).all() and np.isfinite(rounding).all()):
            raise ValueError(
                "weights must give Jacobians that float64 can hold; got NaN or infinity in a product of "
                "weights and slopes. Fix: make the weights smaller, or check that they were loaded correctly."
            )
        independent, self.directions, lengths = _independent(pushed / units, rounding)
        self.alive = self.alive[independent]
        growth[self.alive] = np.log(lengths) + np.log(units[independent])


class Chunk:
    """Some steps of a trajectory, linearised."""

    def __init__(self, trajectory: Trajectory, steps: slice) -> None:
        self.steps = trajectory.linearised(steps)
        parts, layers = trajectory.parts(), len(self.steps)
        self.h_parts = parts[:layers]
        self.c_parts: Sequence[slice | None] = parts[layers:] if len(parts) > layers else [None] * layers
        count = int(parts[-1].stop)
        self.unit = 4.0 * (count + 4) * float(np.finfo(np.float64).eps)
        bounds = [step.map(lambda values: np.abs(values).max(axis=0, keepdims=True)) for step in self.steps]
        with np.errstate(over="ignore"):
            largest = error_norm(self._push(bounds, 0, np.ones((count, 1))))
        self.suspicious = self.unit * largest
        """A direction that is longer than this after a step cannot be lost in rounding."""
        self.moderate = 2.0**-400 < largest < 2.0**400
        """Whether squares of lengths above `suspicious` neither overflow nor underflow."""

    def push(self, t: int, directions: Vector) -> Vector:
        """Return the Jacobian of step t times directions (S, k)."""
        return self._push(self.steps, t, directions)

    def rounding(self, t: int, directions: Vector, units: Vector) -> Vector:
        """Return bounds on the rounding errors in the lengths of pushed directions.

        The lengths are those of `push(t, directions)` / `units`, (k,).
        """
        shrink = 2.0**-64  # sums of absolute terms are larger than those of `push`, and must not overflow
        bounds = self._push(self._absolute, t, shrink * np.abs(directions)) / (shrink * units)
        return self.unit * error_norms(bounds, 0)

    @cached_property
    def _absolute(self) -> list[LinearStep]:
        return [step.map(np.abs) for step in self.steps]

    def _push(self, steps: list[LinearStep], t: int, directions: Vector) -> Vector:
        dx, new_h, new_c = None, [], []
        for step, h_part, c_part in zip(steps, self.h_parts, self.c_parts, strict=True):
            dc = None if c_part is None else directions[c_part]
            dx, dc = step.push(t, dx, directions[h_part], dc)
            new_h.append(dx)
            if dc is not None:
                new_c.append(dc)
        return np.concatenate(new_h + new_c) if len(new_h + new_c) > 1 else new_h[0]


def _orthonormal(columns: Vector) -> tuple[Vector, Vector]:
    """Return Q and the absolute diagonal of R.

    The squares of the entries must not overflow.
    """
    if columns.shape[1] == 1:  # LAPACK takes several times as long for one column
        length: Vector = np.sqrt(columns.T @ columns)
        return columns / length, length[0]
    q, r = np.linalg.qr(columns)
    return q, np.abs(np.diagonal(r))


def _independent(columns: Vector, rounding: Vector) -> tuple[npt.NDArray[np.intp], Vector, Vector]:
    """Return the linearly independent columns, and their QR decomposition.

    A column is dropped if it depends linearly on earlier columns.

    Parameters
    ----------
    columns : array of shape (S, k)
    rounding : array of shape (k,)
        A column is lost if its part orthogonal to the earlier columns is not longer than this.
    """
    independent = np.arange(columns.shape[1])
    while True:
        q, r = np.linalg.qr(columns[:, independent])
        lengths = np.abs(np.diagonal(r))
        lost = np.flatnonzero(lengths <= rounding[independent])
        if lost.size == 0:
            return independent, q, lengths
        # The lost column's direction in q is arbitrary, so later columns are judged without it.
        first = lost[0]
        rest = np.linalg.norm(r[first:, first:], axis=0)
        lost = first + np.flatnonzero(rest <= rounding[independent[first:]])
        independent = np.delete(independent, lost)


def _row(state: Any, b: int) -> Any:
    """Return row b of an array of shape (..., B, N), or None."""
    return None if state is None else np.ascontiguousarray(state[:, b : b + 1])
