"""How a model runs in training: the axes of its data, its windows, and the options of its passes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bptt.data.model_axes import ModelAxes
from bptt.layers import Module, RecurrentCalls
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.passes.clip_state import StateClip
from bptt.layers.passes.recompute import parse_recompute
from bptt.optim.regularizers import PascanuRegularizer


@dataclass(frozen=True)
class Passes:
    """Settings of all forward and backward passes of a run.

    Attributes
    ----------
    axes : ModelAxes
        Axes of the model's data.
    windows : pair of int or None
        (k1, k2): number of time steps in a window, and number of time steps to backpropagate. None: no limit.
    forward, backward : dict
        Options of the model's forward pass and backward pass.
    """

    axes: ModelAxes
    windows: tuple[int | None, int | None]
    forward: dict[str, Any]
    backward: dict[str, Any]

    @property
    def clips_state(self) -> bool:
        """Whether errors are clipped at each time step of the backward pass.

        Then every pass must divide them by the number of rows of all ranks.
        """
        return self.backward.get("clip_state") is not None


def parse_passes(
    model: Module,
    truncate: int | tuple[int, int] | None,
    checkpoint: Any,
    clip_state: StateClip | None,
    regularizer: PascanuRegularizer | None,
) -> Passes:
    """Check that the model supports these arguments of `Trainer`.

    Raises
    ------
    TypeError, ValueError
        `checkpoint` is not valid, or the model does not support it. Backpropagation is truncated in a
        bidirectional model. Or an option of recurrent layers is given for a model without recurrent layers.
    """
    axes = ModelAxes(model)
    windows = truncate if isinstance(truncate, tuple) else (truncate, None)
    forward = {} if checkpoint is None else {"checkpoint": checkpoint}
    backward = {"clip_state": clip_state, "steps": windows[1]}
    if forward:
        parse_recompute(checkpoint, 1)
        axes.refuse_from_end("checkpoint")
    if truncate is not None:
        axes.refuse_uncarried("truncate")
    if any(isinstance(layer, RecurrentCalls) for layer in iter_layers(model)):
        backward["keep_errors"] = regularizer is not None
        return Passes(axes, windows, forward, backward)
    for name, value in (forward | backward).items():
        if value is not None and name != "steps":
            raise ValueError(
                f"{name} needs a recurrent layer; got {model!r}, which has none. Fix: leave {name} out."
            )
    return Passes(axes, windows, {}, {})
