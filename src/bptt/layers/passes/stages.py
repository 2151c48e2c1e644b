"""Layers that run step by step: what an `InferenceStream` drives."""

from __future__ import annotations

import copy
from collections.abc import Callable
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_floats
from bptt.layers.passes.backend import StreamCore
from bptt.layers.passes.ragged import Flags

Inference: TypeAlias = Callable[..., tuple[Any, Any]]
"""A function (x, state, **options) -> (y, state) that runs inference."""


class Stage(Protocol):
    """One layer, or a model, of a stream. It steps from `input` to `output`, and keeps its state."""

    input: Any
    """(B, I), or (B,) for ids. A mapping from names to arrays for a model with several inputs."""
    output: Floats
    """(B, F)."""

    def step(self) -> None:
        """Run one step from `input` to `output`."""

    def step_skipping(self, skip: Flags) -> None:
        """Run one step. Recurrent layers keep the state of rows with skip (B,) = 1, and return 0 for them."""

    def run(self, x: Any, skip: Flags | None = None) -> Floats:
        """Run T steps, from x (T, B, ...) to outputs (T, B, F). skip (T, B): as in `step_skipping`."""

    @property
    def state(self) -> Any:
        """A copy of the state, in the form of the layer's calls."""

    def set_state(self, value: Any) -> None:
        """Write the state. A value that does not fit raises an error and changes nothing."""

    def reset(self) -> None:
        """Start again from a state of zeros."""


class RecurrentStage:
    """A recurrent layer. `before` is the output of the layer before it, if there is one."""

    def __init__(self, core: StreamCore, before: Floats | None) -> None:
        self._linked = before is not None
        self.input = core.input if before is None else before
        self.output = core.output
        self._core = core
        self._shapes = [None if part is None else part.shape for part in core.state()]
        self.reset = core.reset
        self.step = core.step if before is None else self._step

    def run(self, x: Any, skip: Flags | None = None) -> Floats:
        if x.ndim != 3:
            raise ValueError(
                f"x must have a time axis for the recurrent layer of the model; got {x.shape}. "
                "Fix: pass x[None] for one step."
            )
        return self._core.run(x, skip)

    def _step(self) -> None:
        np.copyto(self._core.input, self.input)
        self._core.step()

    def step_skipping(self, skip: Flags) -> None:
        if self._linked:
            np.copyto(self._core.input, self.input)
        self._core.step_skipping(skip)

    @property
    def state(self) -> Any:
        h, c = self._core.state()
        return h if c is None else (h, c)

    def set_state(self, value: Any) -> None:
        h_shape, c_shape = self._shapes
        dtype = self.output.dtype
        if c_shape is None:
            self._core.set_state(as_floats(value, "state", dtype, h_shape), None)
            return
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(
                f"state must be a pair (h, c); got {type(value).__name__}. Fix: pass a tuple of two arrays."
            )
        h = as_floats(value[0], "state[0]", dtype, h_shape)
        c = as_floats(value[1], "state[1]", dtype, c_shape)
        self._core.set_state(h, c)


class CallStage:
    """A layer that is called with sequences of one step.

    Parameters
    ----------
    layer : str
        The layer in words, for messages.
    call : Inference
        A call of the layer with x (T, B, ...).
    skips : bool
        Whether the call accepts the option `skip`.
    before : ndarray
        (B, ...): the output of the layer before it, or the input of the stream.

    Raises
    ------
    ValueError
        If the layer does not return one vector for each row and step.
    """

    def __init__(self, layer: str, call: Inference, before: npt.NDArray[Any], *, skips: bool) -> None:
        self.input = before
        self._skips = skips
        self._call = call
        self._state: Any = None
        y, _ = call(np.zeros_like(before)[None])
        if y.ndim != 3 or y.shape[:2] != (1, len(before)):
            raise ValueError(
                f"stream needs layers with one output for each step; got {layer}, whose output for one step "
                f"of {len(before)} rows has shape {y.shape}. Fix: leave the layer out of the streamed model."
            )
        self.output = np.zeros_like(y[0])

    def step(self) -> None:
        y, self._state = self._call(self.input[None], self._state)
        self.output[...] = y[0]

    def step_skipping(self, skip: Flags) -> None:
        self.output[...] = self.run(self.input[None], skip[None])[0]

    def run(self, x: Any, skip: Flags | None = None) -> Floats:
        options = {} if skip is None or not self._skips else {"skip": skip.view(np.bool_)}
        y, self._state = self._call(x, self._state, **options)
        return y  # type: ignore[no-any-return]

    @property
    def state(self) -> Any:
        return copy.deepcopy(self._state)

    def set_state(self, value: Any) -> None:
        self._call(np.zeros_like(self.input)[None], value)  # raises an error if the state does not fit
        self._state = value

    def reset(self) -> None:
        self._state = None
