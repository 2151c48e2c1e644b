"""Compare native layers with the NumPy reference."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import reference
from bptt.arrays import as_real, to_floats
from bptt.checks.nested import State, flatten, map_state
from bptt.checks.report import Report, compare, conclude
from bptt.checks.training_step import Tensor, check_layer, named_gradients, normal, options_of, untouched
from bptt.layers.containers.container import Container
from bptt.layers.module import Module
from bptt.layers.passes.clip_state import ClipsState
from bptt.layers.passes.tape import ModelTape, RecurrentTape, Tape
from bptt.layers.recurrent import Recurrent
from bptt.reference.ragged import RaggedTape
from bptt.reference.stack import StackTape

MOVES = ((0, 1), (0, -1), (1, 1), (1, -1))
"""(draw, sign) of each perturbation that measures the reference's response.

Perturbations come in opposite pairs, because one of the two crosses a nearby kink. More than one pair is
needed, because a single draw may be small by chance.
"""


def crosscheck(
    layer: Module,
    x: npt.ArrayLike,
    state: State = None,
    *,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    steps: int | None = None,
    clip_state: float | ClipsState | None = None,
    seed: int = 0,
    raises: bool = True,
) -> Report:
    """Compare a layer with the NumPy reference.

    Outputs, states, all gradients and the norms through time are compared. Both sides get the same
    parameters, input, state and dropout masks, and the same dL/dy and dL/d(last state), drawn from N(0, 1).
    An entry may be off by ::

        tolerance = 4 * ceil(log2(K * N)) * eps         (twice that in a gradient)

    times the largest absolute entry of the tensor. K is the widest axis of a parameter, N is the number of
    rows (time steps times batch), and eps is that of the layer's dtype.

    This bound is too small where larger terms cancel, or near the kink of a ReLU. An entry may then be off by
    the reference's response to perturbed data (twice that in a gradient). The response is the change of the
    tensor when parameters, input, state, tape and errors each change relatively by `tolerance` times a draw
    from N(0, 1).

    Entries below the dtype's smallest normal number divided by eps always pass. So close to zero, underflow
    costs digits, and rounding errors decide on which side of a kink a number lies.

    `Linear`, `Embedding`, `Dropout` and `Last` have no reference. Their results are compared with those of
    the same native layer in float64. Use `gradcheck` to find an error that both precisions share.

    Parameters
    ----------
    layer : Module
        Any layer or `Sequential`, in either dtype.
    x : array_like
        Input of the layer.
    state : optional
        Initial state of the layer. None: zeros.
    lengths : array_like of int, optional
        Valid steps of each row, for layers that accept lengths.
    reset : array_like of bool, optional
        True where a row starts a new sequence, for layers that accept resets.
    steps : int, optional
        For an RNN, LSTM or GRU: passed to `backward`, which goes back at most `steps` steps.
    clip_state : float, ClipValue or ClipNorm, optional
        Passed to `backward`: clipping inside the recursion. Then every dL/dh_t is compared, too.
    seed : int
        Random seed of dL/dy, dL/d(last state) and the perturbations.
    raises : bool
        Raise when the check fails; otherwise look at the report's `passed`.

    Returns
    -------
    Report
        One row per tensor: "y", "state", "dx", "dstate", "gradients[weight_ih_l0]", "dh_norm" and so on.

    Raises
    ------
    TypeError, ValueError
        If `layer` is not a layer, or the layer refuses the input or the state.
    CheckError
        If an entry is off by more than its bound. The message names tensor, entry and both values.
    """
    check_layer(layer)
    if steps is not None and not isinstance(layer, Recurrent):
        raise TypeError(
            f"steps must be None unless the layer is an RNN, LSTM or GRU; got {steps} for a {layer.kind}. "
            "Fix: leave it out."
        )
    backward_options: dict[str, Any] = {} if steps is None else {"steps": steps}
    if clip_state is not None:
        if not isinstance(layer, (Recurrent, Container)):
            raise TypeError(
                f"clip_state must be None unless the layer is recurrent or a model; got a {layer.kind}. "
                "Fix: leave it out."
            )
        backward_options |= {"clip_state": clip_state, "keep_errors": True}
    options = options_of(layer, lengths, reset)
    x = as_real(x, "x")
    if x.dtype.kind == "f":  # both sides must read the numbers that the layer reads after rounding
        x = to_floats(x, "x", layer.dtype)
    state = map_state(lambda s: to_floats(as_real(s, "state"), "state", layer.dtype), state)
    limits = np.finfo(layer.dtype)
    width = max([1, *(axis for parameter in layer.parameters.values() for axis in parameter.shape)])
    depth = math.ceil(math.log2(max(2, width * math.prod(x.shape[:2]))))
    tolerance = 4 * depth * float(limits.eps)

    floor = float(limits.tiny / limits.eps)

    actual = _run(layer, x, state, options, backward_options, seed)
    oracle = reference.like(layer)
    expected = _run(oracle, x, state, options, backward_options, seed)
    perturbed = [
        _run(
            oracle,
            x,
            state,
            options,
            backward_options,
            seed,
            Move(sign * tolerance, sign * floor, (seed, draw)),
        )
        for draw, sign in MOVES
    ]

    rows = []
    for name, tensor in expected.items():
        response = max(_largest(results[name] - tensor) for results in perturbed)
        factor = 1 if name.startswith(("y", "state")) else 2
        allowed = max(factor * max(tolerance * _largest(tensor), response), floor)
        bound = np.full(tensor.size, allowed)
        rows.append(compare(name, actual[name].ravel(), tensor.ravel(), bound, tensor.shape))

    return conclude(f"crosscheck {layer!r}", rows, raises)


class Move:
    """Perturb each number by `size` times a draw from N(0, 1), relative to the number.

    `between` adds `floor` times another draw. If a gate underflows to zero in only one of the two
    implementations, these draws put the gate on both sides of a kink at zero.
    """

    def __init__(self, size: float, floor: float, seed: tuple[int, int]) -> None:
        self.size, self.floor = size, floor
        self.rng = np.random.default_rng(seed)

    def __call__(self, data: Tensor) -> Tensor:
        if self.size == 0.0 or data.dtype.kind != "f":
            return data
        return data.astype(np.float64) * (1.0 + self.size * self.rng.standard_normal(data.shape))

    def between(self, data: Tensor) -> Tensor:
        """Perturb the arrays that a tape keeps between its gates."""
        if self.size == 0.0:
            return data
        return self(data) + self.floor * self.rng.standard_normal(data.shape)


STILL = Move(0.0, 0.0, (0, 0))


def _run(
    layer: Module,
    x: Tensor,
    state: State,
    options: dict[str, Any],
    backward_options: dict[str, Any],
    seed: int,
    move: Move = STILL,
) -> dict[str, Tensor]:
    """Run one training step and return all its results by name, in float64."""
    rng = np.random.default_rng(seed)
    with untouched(layer):
        layer.flat_parameters[:] = move(layer.flat_parameters)
        y, last, tape = layer.forward(move(x), map_state(move, state), **options)
        _move_tape(tape, move)
        # float32 numbers, which neither implementation has to round
        dy = normal(rng, y).astype(np.float32)
        dlast = map_state(lambda s: normal(rng, s).astype(np.float32), last)
        layer.zero_grad()
        dx, dstate = layer.backward(tape, move(dy), map_state(move, dlast), **backward_options)
        actual = flatten(y, "y") | flatten(last, "state") | named_gradients(layer, dx, dstate)
        for name in ("dh_norm", "dc_norm", "dh"):
            actual |= flatten(getattr(tape, name, None), name)
        return {name: np.array(tensor, np.float64) for name, tensor in actual.items()}


def _move_tape(tape: Tape, move: Move) -> None:
    """Perturb the arrays that reference layers saved.

    Native tapes have no arrays that Python can change.
    """
    if isinstance(tape, ModelTape):
        for part in tape.tapes:
            _move_tape(part, move)
    elif isinstance(tape, RecurrentTape) and isinstance(tape.core, (StackTape, RaggedTape)):
        tape.core.move(move, move.between)


def _largest(tensor: Tensor) -> float:
    return float(np.max(np.abs(tensor), initial=0.0))
