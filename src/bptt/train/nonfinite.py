"""Where in a training step NaN or an infinity first arose, in words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.layers.tape import RecurrentTape, SequentialTape, Tape


def origin(tape: Tape, start: int) -> str | None:
    """Read from a tape, after its backward pass, where its recurrent layers first ceased to be finite.

    The lowest layer whose states are not finite tells the earliest step of the forward pass. Where all
    states are finite, the highest layer whose errors are not tells the step at which the backward pass
    met them first.

    Parameters
    ----------
    tape : Tape
        Of any model.
    start : int
        Number of the tape's first step in its batch.

    Returns
    -------
    str or None
        A clause such as "h of layer 0 is not finite at step 17"; None where the tape does not tell.
    """
    parts = list(_recurrent(tape, ""))
    for model, part in parts:
        states = {"c": part.c, "h": part.h}  # c comes first in a step
        for index in range(len(part.h)):
            bad = {
                kind: ~np.isfinite(of_kind[index]).all(axis=(1, 2))
                for kind, of_kind in states.items()
                if of_kind is not None
            }
            found = _first(bad, from_end=_reverse(part, index))
            if found is not None:
                return f"{found[0]} of {_layer(part, index)}{model} is not finite at step {start + found[1]}"
    for model, part in reversed(parts):
        norms = {"dL/dh": part.dh_norm, "dL/dc": part.dc_norm}  # h comes first on the way back
        for index in reversed(range(len(part.h))):
            bad = {kind: ~np.isfinite(norm[index]) for kind, norm in norms.items() if norm is not None}
            found = _first(bad, from_end=not _reverse(part, index))
            if found is not None:
                return f"{found[0]} of {_layer(part, index)}{model} is not finite at step {start + found[1]}"
    return None


def finite(state: Any) -> bool:
    """Whether every number in a state is: None, an array, or a tuple of states."""
    if isinstance(state, tuple):
        return all(map(finite, state))
    return state is None or bool(np.isfinite(state).all())


def _first(bad: Mapping[str, npt.NDArray[np.bool_]], *, from_end: bool) -> tuple[str, int] | None:
    """The first step at which any kind is bad, and the first kind that is bad there."""
    steps = np.flatnonzero(np.logical_or.reduce(list(bad.values()))) if bad else ()
    if not len(steps):
        return None
    step = int(steps[-1 if from_end else 0])
    return next(kind for kind, flags in bad.items() if flags[step]), step


def _recurrent(tape: Tape, model: str) -> Iterator[tuple[str, RecurrentTape]]:
    """The recurrent layers' tapes, first to last, each with where in the model it lies."""
    if isinstance(tape, RecurrentTape):
        yield model, tape
    elif isinstance(tape, SequentialTape):
        for index, part in enumerate(tape.tapes):
            yield from _recurrent(part, f" of model[{index}]{model.removeprefix(' of model')}")


def _reverse(part: RecurrentTape, index: int) -> bool:
    return index % part.owner.num_directions == 1


def _layer(part: RecurrentTape, index: int) -> str:
    reverse = ", reverse direction," if _reverse(part, index) else ""
    return f"layer {index // part.owner.num_directions}{reverse}"
