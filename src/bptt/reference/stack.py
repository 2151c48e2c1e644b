"""Layers, directions and the dropout between layers, around any cell of the reference.

Layer k reads x (k = 0) or the output of layer k - 1, both directions side by side, thinned by dropout. The
reverse direction is the same cell run over the sequence turned round; everything it shows outside (outputs,
tape, norms) is in the order of the sequence again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference import gru, gru_reset_before, mgu, rnn
from bptt.reference.common import Array, Gradients, Run, State, Tape, Weights
from bptt.reference.interventions import Interventions, in_time


@dataclass(frozen=True)
class Cell:
    """A cell's forward and backward functions over time."""

    forward: Callable[[Array, State, Weights, Run], Tape]
    backward: Callable[[Tape, Weights, Array, State, int | None, StateClip | None], Gradients]


CELLS = {
    "rnn_tanh": Cell(partial(rnn.forward, relu=False), partial(rnn.backward, relu=False)),
    "rnn_relu": Cell(partial(rnn.forward, relu=True), partial(rnn.backward, relu=True)),
    "gru": Cell(gru.forward, gru.backward),
    "gru_reset_before": Cell(gru_reset_before.forward, gru_reset_before.backward),
    "mgu": Cell(mgu.forward, mgu.backward),
}
"""Those that their names say all about: an LSTM makes its own from its options."""

Layers = Sequence[Sequence[Weights]]  # [layer][direction]


class StackTape:
    """What `forward` keeps for `backward`: read like the compiled core's tape.

    Attributes
    ----------
    layers : nested sequence of mappings
        The parameters that `forward` ran with.
    masks : sequence of arrays of shape (T, B, D * P)
        The dropout mask on each layer's output but the last one's; empty without dropout.
    norms : tuple of arrays of shape (L * D, T), or None before `backward`
        The cells' `Gradients.norms`, in the order of the sequence.
    errors : nested list of arrays of shape (T, B, P), or None unless `backward` was to keep them
        `errors[layer][direction]` is that cell's `Gradients.errors`.
    """

    def __init__(self, layers: Layers, tapes: list[list[Tape]], masks: Sequence[Array]) -> None:
        self.layers = layers
        self.tapes = tapes
        self.masks = masks
        self.norms: State | None = None
        self.errors: list[list[Array]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(T, B)."""
        T, B, _ = self.tapes[0][0].x.shape
        return T, B

    @property
    def y_shape(self) -> tuple[int, ...]:
        """(T, B, D * P)."""
        tapes = self.tapes[-1]
        return (*self.shape, len(tapes) * tapes[0].states[0].shape[2])

    def h(self, layer: int, direction: int) -> Array:
        """(T, B, P), the states after each step."""
        return self._view(self.tapes[layer][direction].states[0][1:], direction)

    def c(self, layer: int, direction: int) -> Array:
        """(T, B, H), the cell states after each step; LSTM only."""
        return self._view(self.tapes[layer][direction].states[1][1:], direction)

    def gates(self, layer: int, direction: int) -> Array:
        """(T, B, G * H), the activated gates."""
        return self._view(self.tapes[layer][direction].gates, direction)

    def dh(self, layer: int, direction: int) -> Array | None:
        """(T, B, P), the whole dL/dh_t after clipping, if `backward` was to keep it."""
        return None if self.errors is None else self._view(self.errors[layer][direction], direction)

    @property
    def dh_norm(self) -> Array | None:
        """(L * D, T), after `backward`."""
        return None if self.norms is None else self.norms[0]

    @property
    def dc_norm(self) -> Array | None:
        """(L * D, T), after `backward`; LSTM only."""
        return None if self.norms is None or len(self.norms) < 2 else self.norms[1]

    def move(self, move: Callable[[Array], Array], between: Callable[[Array], Array]) -> None:
        """Replace everything saved, to see what `backward` makes of values that are a little off.

        `move` replaces states and gates, `between` what lies between them.

        The input itself was the caller's, who can move it before; masks are exact.
        """
        for k, directions in enumerate(self.tapes):
            if k > 0:  # what this layer reads; its directions share it
                directions[0].x[...] = move(directions[0].x)
            for tape in directions:
                for values in (*tape.states, tape.gates):
                    values[...] = move(values)
                for values in tape.saved.values():
                    values[...] = between(values)

    @staticmethod
    def _view(values: Array, direction: int) -> Array:
        view = in_time(values, direction)
        view.flags.writeable = False
        return view


def forward(
    cell: Cell, layers: Layers, x: Array, state: State, by: Interventions
) -> tuple[Array, State, StackTape]:
    """Run all layers over time.

    Parameters
    ----------
    cell : Cell
    layers : nested sequence of mappings
        `layers[layer][direction]` holds that layer's parameters in that direction.
    x : array of shape (T, B, I)
    state : tuple of arrays of shape (L * D, B, P or H)
        The initial state; index layer * D + direction.
    by : Interventions
        Resets and masks.

    Returns
    -------
    y : array of shape (T, B, D * P)
    state : tuple of arrays of shape (L * D, B, P or H)
    tape : StackTape
    """
    tapes: list[list[Tape]] = []
    for k, directions in enumerate(layers):
        first = k * len(directions)
        tapes.append(
            [
                cell.forward(in_time(x, d), tuple(s[first + d] for s in state), weights, by.run(first + d, d))
                for d, weights in enumerate(directions)
            ]
        )
        x = np.concatenate([in_time(tape.states[0][1:], d) for d, tape in enumerate(tapes[k])], axis=2)
        if k < len(by.dropout):
            x = x * by.dropout[k]

    last = tuple(
        np.stack([tape.states[s][-1] for directions in tapes for tape in directions])
        for s in range(len(state))
    )
    return x, last, StackTape(layers, tapes, by.dropout)


def backward(
    cell: Cell,
    tape: StackTape,
    dy: Array,
    dstate: State,
    steps: int | None = None,
    clip: StateClip | None = None,
    keep_errors: bool = False,
) -> tuple[Array, State, list[list[Gradients]]]:
    """Invert `forward` layer by layer, from the last one.

    Parameters
    ----------
    cell : Cell
        As given to `forward`.
    tape : StackTape
        From `forward`; its norms and errors are set here.
    dy : array of shape (T, B, D * P)
    dstate : tuple of arrays of shape (L * D, B, P or H)
    steps : int, optional
        Every layer goes back at most `steps` steps from the end of the sequence. None: all.
    clip : StateClip, optional
        Bounds of every step's error, in every layer and direction. None: none.
    keep_errors : bool
        The tape keeps what they leave of it, see `StackTape.dh`.

    Returns
    -------
    dx : array of shape (T, B, I)
    dstate : tuple of arrays of shape (L * D, B, P or H)
    gradients : nested list of Gradients
        `gradients[layer][direction].weights` are the gradients of the parameters.

    Raises
    ------
    ValueError
        If `steps` is less than T and the network is bidirectional: the reverse direction ends at the first
        time step, so the last steps of the two directions are different ones.
    """
    layers = tape.layers
    D, T = len(layers[0]), tape.shape[0]
    if steps is not None and steps < T and D > 1:
        raise ValueError(
            f"steps must be at least T = {T} in a bidirectional network; got {steps}. "
            "Fix: pass steps=None, or truncate in a network of one direction."
        )

    layer_gradients: list[list[Gradients]] = [[] for _ in layers]
    for k in reversed(range(len(layers))):
        if k < len(tape.masks):
            dy = dy * tape.masks[k]
        dy_d = np.split(dy, D, axis=2)
        for d, weights in enumerate(layers[k]):
            dstate_d = tuple(s[k * D + d] for s in dstate)
            layer_gradients[k].append(
                cell.backward(tape.tapes[k][d], weights, in_time(dy_d[d], d), dstate_d, steps, clip)
            )
        dy = np.sum([in_time(gradients.dx, d) for d, gradients in enumerate(layer_gradients[k])], axis=0)

    flat = [(d, gradients) for directions in layer_gradients for d, gradients in enumerate(directions)]
    kinds = range(len(dstate))
    tape.norms = tuple(np.stack([in_time(gradients.norms[s], d) for d, gradients in flat]) for s in kinds)
    tape.errors = (
        [[gradients.errors for gradients in each] for each in layer_gradients] if keep_errors else None
    )
    dstate0 = tuple(np.stack([gradients.dstate[s] for _, gradients in flat]) for s in kinds)
    return dy, dstate0, layer_gradients


def dropout_mask(shape: tuple[int, ...], p: float, key: int, first: int = 0) -> Array:
    """Return a mask of 0 and 1 / (1 - p) that depends only on its key and position.

    Element j, counted in C order from `first` on, is kept if u >= p. u in [0, 1) is the top 24 bits of the
    j-th output of SplitMix64 (Steele, Lea and Flood 2014) started at `key`.
    """
    j = np.arange(first + 1, first + np.prod(shape, dtype=np.int64) + 1, dtype=np.uint64)
    z = np.uint64(key % 2**64) + j * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    u = (z >> np.uint64(40)).astype(np.float64) * 2.0**-24
    return np.where(u >= p, 1.0 / (1.0 - p), 0.0).reshape(shape)
