"""How a model runs in training: the axes of its data, its windows, and the options of its passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bptt.data.batches import ModelAxes
from bptt.layers import Module, Recurrent
from bptt.layers.passes.clip_state import StateClip
from bptt.layers.passes.recompute import parse_recompute
from bptt.layers.sequential import iter_layers
from bptt.optim.regularizers import PascanuRegularizer


@dataclass(frozen=True)
class Passes:
    """What every forward and backward pass of a run has in common.

    Attributes
    ----------
    axes : ModelAxes
        Axes of the model's data.
    windows : pair of int or None
        (k1, k2): time steps of a window, and time steps that its errors go back. None: no limit.
    forward, backward : dict
        Options of the model's forward pass and of its backward pass.
    clips_state : bool
        Errors are clipped inside the recursion. Every pass must then scale them by the rows of all ranks.
    """

    axes: ModelAxes
    windows: tuple[int | None, int | None]
    forward: dict[str, Any]
    backward: dict[str, Any]
    clips_state: bool


def parse_passes(
    model: Module,
    truncate: int | tuple[int, int] | None,
    checkpoint: Any,
    clip_state: StateClip | None,
    regularizer: PascanuRegularizer | None,
) -> Passes:
    """Check these arguments of a `Trainer` against its model.

    Raises
    ------
    TypeError, ValueError
        A `checkpoint` that is not valid, or that the model cannot use; truncation of a bidirectional model;
        options of a recurrent layer for a model that has none.
    """
    axes = ModelAxes(model)
    windows = truncate if isinstance(truncate, tuple) else (truncate, None)
    forward = {} if checkpoint is None else {"checkpoint": checkpoint}
    backward = {"clip_state": clip_state, "steps": windows[1]}
    if forward:
        parse_recompute(checkpoint, 1)
        axes.refuse_bidirectional("checkpoint")
    if truncate is not None:
        axes.refuse_bidirectional("truncate")
    if any(isinstance(layer, Recurrent) for layer in iter_layers(model)):
        backward["keep_errors"] = regularizer is not None
        return Passes(axes, windows, forward, backward, clip_state is not None)
    for name, value in (forward | backward).items():
        if value is not None and name != "steps":
            raise ValueError(
                f"{name} needs a recurrent layer; got {model!r}, which has none. Fix: leave it out."
            )
    return Passes(axes, windows, {}, {}, False)
