"""Base class of layers without time: no state, and arrays of any leading shape."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np

from bptt.arguments import flag
from bptt.arrays import Floats, as_floats, read_only
from bptt.layers.module import Module, Table
from bptt.layers.passes.tape import LayerTape, Tape, check_tape


class Stateless(Module):
    """
    A layer that treats every step in the same way. Subclasses define `_convert`, `_infer` and `_backward`.

    The state is None on the way in and on the way out.
    """

    def __call__(self, x: Any, state: None = None) -> tuple[Floats, None]:
        """Inference: (y, None)."""
        self._check_state(state, "state")
        return self._infer(self._convert(x)), None

    def forward(self, x: Any, state: None = None) -> tuple[Floats, None, LayerTape]:
        """Training: (y, None, tape); y is read-only."""
        self._check_state(state, "state")
        array = self._convert(x)
        y, saved = self._forward(array)
        whole: Any = y  # y may be a reshaped view: with its base writable, a next layer's tape would copy it
        while isinstance(whole, np.ndarray):
            whole.flags.writeable = False
            whole = whole.base
        return y, None, LayerTape(self, saved, array.shape, y.shape)

    @property
    def state_pattern(self) -> str:
        return "None"

    def backward(
        self, tape: Tape, dy: Any = None, dstate: None = None, *, need_dx: bool = True
    ) -> tuple[Floats | None, None]:
        """
        Add to `gradients` and return (dx, None).

        Parameters
        ----------
        tape : LayerTape
            From this layer's `forward`.
        dy : array-like, optional
            dL/dy, of the shape of y. Default: zeros.
        need_dx : bool
            False: return None for dx, and do not compute it.

        Raises
        ------
        TypeError
            Not a tape; a dy that is not an array of real numbers; a dstate.
        ValueError
            A tape of another layer; a dy of another shape than y.
        """
        layer_tape = check_tape(tape, self, LayerTape)
        self._check_state(dstate, "dstate")
        need_dx = flag(need_dx, "need_dx")
        if dy is None:
            dy = np.zeros(layer_tape.y_shape, self.dtype)
        return self._backward(layer_tape, as_floats(dy, "dy", self.dtype, layer_tape.y_shape), need_dx), None

    @abstractmethod
    def _convert(self, x: Any) -> Any:
        """x checked, as a C-contiguous array of the type the layer reads."""

    @abstractmethod
    def _infer(self, x: Any) -> Floats:
        """y."""

    def _forward(self, x: Any) -> tuple[Floats, Any]:
        """y, and what `_backward` needs besides the shapes: by default, x."""
        x = read_only(x)
        return self._infer(x), x

    @abstractmethod
    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        """dx, or None if it is not needed or there is none."""

    def _table(self) -> Table:
        return []

    def _check_state(self, state: object, name: str) -> None:
        if state is not None:
            raise TypeError(
                f"{name} must be None, for {self.kind} keeps no state; got {type(state).__name__}. "
                f"Fix: leave {name} out."
            )
