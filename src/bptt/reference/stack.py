"""Layers, directions and dropout, around any cell of the reference.

Layer 0 reads x. Layer k > 0 reads the output of layer k - 1, both directions joined, after dropout.
The reverse direction is the same cell, run over the reversed sequence. Its outputs, tape and norms are
returned in the order of the sequence.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference.common import Array, Gradients, Run, State, Tape, Weights
from bptt.reference.directions import Directions
from bptt.reference.interventions import Interventions, in_time


@dataclass(frozen=True)
class Cell:
    """A cell's forward and backward functions over time."""

    forward: Callable[[Array, State, Weights, Run], Tape]
    backward: Callable[[Tape, Weights, Array, State, int | None, StateClip | None], Gradients]


Layers = Sequence[Sequence[Weights]]  # [layer][direction]


class StackTape:
    """The arrays that `forward` saves for `backward`.

    The interface is that of the compiled core's tape.

    Attributes
    ----------
    layers : nested sequence of mappings
        The parameters of the forward pass.
    ways : Directions
        How the directions read time, and how their outputs are joined.
    masks : sequence of arrays of shape (T, B, D * P)
        The dropout mask on the output of each layer except the last. Empty without dropout.
    inputs : sequence of arrays of shape (B, I or D * P)
        The mask of the input of each layer.
    norms : tuple of arrays of shape (L * D, T), or None before `backward`
        The cells' `Gradients.norms`, in the order of the sequence.
    errors : nested list of arrays of shape (T, B, P), or None
        `errors[layer][direction]` is that cell's `Gradients.errors`. None if `backward` did not keep them.
    """

    def __init__(
        self,
        layers: Layers,
        ways: Directions,
        tapes: list[list[Tape]],
        masks: Sequence[Array],
        inputs: Sequence[Array],
    ) -> None:
        self.layers = layers
        self.ways = ways
        self.tapes = tapes
        self.masks = masks
        self.inputs = inputs
        self.norms: State | None = None
        self.errors: list[list[Array]] | None = None

    @property
    def shape(self) -> tuple[int, int]:
        """(T, B)."""
        T, B, _ = self.tapes[0][0].x.shape
        return T, B

    @property
    def y_shape(self) -> tuple[int, ...]:
        """(T, B, width of y)."""
        return self.ways.joined(self.outputs(len(self.tapes) - 1)).shape

    def outputs(self, layer: int) -> list[Array]:
        """Return the states after each step, (T, B, P), of all directions."""
        return [self.h(layer, direction) for direction in range(len(self.tapes[layer]))]

    def h(self, layer: int, direction: int) -> Array:
        """Return the states after each step, (T, B, P)."""
        return self._view(self.tapes[layer][direction].states[0][1:], direction)

    def c(self, layer: int, direction: int) -> Array:
        """Return the cell states after each step, (T, B, H). LSTM only."""
        return self._view(self.tapes[layer][direction].states[1][1:], direction)

    def gates(self, layer: int, direction: int) -> Array:
        """Return the activated gates, (T, B, G * H)."""
        return self._view(self.tapes[layer][direction].gates, direction)

    def dh(self, layer: int, direction: int) -> Array | None:
        """Return the whole dL/dh_t after clipping, (T, B, P), if `backward` kept it."""
        return None if self.errors is None else self._view(self.errors[layer][direction], direction)

    @property
    def dh_norm(self) -> Array | None:
        """Norms of dL/dh_t, (L * D, T), after `backward`."""
        return None if self.norms is None else self.norms[0]

    @property
    def dc_norm(self) -> Array | None:
        """Norms of dL/dc_t, (L * D, T), after `backward`. None if the cell is not an LSTM."""
        return None if self.norms is None or len(self.norms) < 2 else self.norms[1]

    def move(self, move: Callable[[Array], Array], between: Callable[[Array], Array]) -> None:
        """Replace all saved arrays, to measure the response of `backward`.

        `move` replaces states and gates. `between` replaces the arrays between them. The input is not
        replaced, because the caller can change it before `forward`. Masks are exact and stay unchanged.
        """
        for k, directions in enumerate(self.tapes):
            if k > 0:  # both directions share the input of the layer
                directions[0].x[...] = move(directions[0].x)
            for tape in directions:
                for values in (*tape.states, tape.gates):
                    values[...] = move(values)
                for values in tape.saved.values():
                    values[...] = between(values)

    def _view(self, values: Array, direction: int) -> Array:
        view = in_time(values, self.ways.from_end(direction))
        view.flags.writeable = False
        return view


def forward(
    cell: Cell, layers: Layers, ways: Directions, x: Array, state: State, by: Interventions
) -> tuple[Array, State, StackTape]:
    """Run all layers over time.

    Parameters
    ----------
    cell : Cell
    layers : nested sequence of mappings
        `layers[layer][direction]` holds that layer's parameters in that direction.
    ways : Directions
    x : array of shape (T, B, I)
    state : tuple of arrays of shape (L * D, B, P or H)
        The initial state; index layer * D + direction.
    by : Interventions
        Resets and masks.

    Returns
    -------
    y : array of shape (T, B, D * P), or (T, B, P) if the directions are merged
    state : tuple of arrays of shape (L * D, B, P or H)
    tape : StackTape
    """
    tapes: list[list[Tape]] = []
    for k, directions in enumerate(layers):
        x = x * by.input[k]
        first = k * len(directions)
        tapes.append(
            [
                cell.forward(
                    in_time(x, ways.from_end(d)),
                    tuple(s[first + d] for s in state),
                    weights,
                    by.run(first + d, ways.from_end(d)),
                )
                for d, weights in enumerate(directions)
            ]
        )
        x = ways.joined([in_time(tape.states[0][1:], ways.from_end(d)) for d, tape in enumerate(tapes[k])])
        if k < len(by.dropout):
            x = x * by.dropout[k]

    last = tuple(
        np.stack([tape.states[s][-1] for directions in tapes for tape in directions])
        for s in range(len(state))
    )
    return x, last, StackTape(layers, ways, tapes, by.dropout, by.input)


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
        The cell of `forward`.
    tape : StackTape
        From `forward`. Its norms and errors are set here.
    dy : array of the shape of y
    dstate : tuple of arrays of shape (L * D, B, P or H)
    steps : int, optional
        Every layer goes back at most `steps` steps from the end of the sequence. None: all.
    clip : StateClip, optional
        Clip the error of every step to these bounds, in every layer and direction. None: no clipping.
    keep_errors : bool
        Keep the clipped errors in the tape, see `StackTape.dh`.

    Returns
    -------
    dx : array of shape (T, B, I)
    dstate : tuple of arrays of shape (L * D, B, P or H)
    gradients : nested list of Gradients
        `gradients[layer][direction].weights` are the gradients of the parameters.

    Raises
    ------
    ValueError
        If `steps` is less than T and a direction reads from the end. Its last step is the first time step.
    """
    layers, ways = tape.layers, tape.ways
    D, T = len(layers[0]), tape.shape[0]
    if steps is not None and steps < T and ways.from_end(D - 1):
        raise ValueError(
            f"steps must be at least T = {T} if a direction reads from the end; got {steps}. "
            "Fix: pass steps=None, or truncate in a network that reads forward only."
        )

    layer_gradients: list[list[Gradients]] = [[] for _ in layers]
    for k in reversed(range(len(layers))):
        if k < len(tape.masks):
            dy = dy * tape.masks[k]
        dy_d = ways.split(dy, tape.outputs(k))
        for d, weights in enumerate(layers[k]):
            dstate_d = tuple(s[k * D + d] for s in dstate)
            layer_gradients[k].append(
                cell.backward(
                    tape.tapes[k][d], weights, in_time(dy_d[d], ways.from_end(d)), dstate_d, steps, clip
                )
            )
        dx_d = [in_time(gradients.dx, ways.from_end(d)) for d, gradients in enumerate(layer_gradients[k])]
        dy = np.sum(dx_d, axis=0) * tape.inputs[k]

    flat = [(d, gradients) for directions in layer_gradients for d, gradients in enumerate(directions)]
    kinds = range(len(dstate))
    norms = [[in_time(norm, ways.from_end(d)) for norm in gradients.norms] for d, gradients in flat]
    tape.norms = tuple(np.stack(kind) for kind in zip(*norms, strict=True))
    tape.errors = (
        [[gradients.errors for gradients in directions] for directions in layer_gradients]
        if keep_errors
        else None
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
