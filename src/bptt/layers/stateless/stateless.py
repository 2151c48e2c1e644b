"""Base class of layers without time: no state, and arrays of any leading shape."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag
from bptt.arrays import Floats, as_floats, read_only
from bptt.layers.module import Module
from bptt.layers.passes.out import check_dx_out, check_out, written
from bptt.layers.passes.stages import Stage
from bptt.layers.passes.tape import LayerTape, Tape, check_tape


class Stateless(Module):
    """A layer that treats every step in the same way.

    Subclasses define `_convert`, `_infer` and `_backward`. The initial and the final state are None.
    """

    def __call__(self, x: Any, state: None = None, *, out: Floats | None = None) -> tuple[Floats, None]:
        """Run inference, and return (y, None). With `out`, y is written to this array."""
        self._check_state(state, "state")
        check_out(out, self.dtype)
        return written(out, self._infer(self._convert(x))), None

    def forward(
        self, x: Any, state: None = None, *, out: Floats | None = None
    ) -> tuple[Floats, None, LayerTape]:
        """Run the layer for training, and return (y, None, tape).

        y is read-only. With `out`, y is written to this array.
        """
        self._check_state(state, "state")
        check_out(out, self.dtype)
        array = self._convert(x)
        y, saved = self._forward(array)
        array_or_base: Any = y  # if y is a view of a writeable array, the next layer's tape would copy it
        while isinstance(array_or_base, np.ndarray):
            array_or_base.flags.writeable = False
            array_or_base = array_or_base.base
        return written(out, y), None, LayerTape(self, saved, array.shape, y.shape)

    @property
    def state_pattern(self) -> str:
        return "None"

    def backward(
        self,
        tape: Tape,
        dy: Any = None,
        dstate: None = None,
        *,
        need_dx: bool = True,
        out: Floats | None = None,
    ) -> tuple[Floats | None, None]:
        """Add to `gradients` and return (dx, None).

        Parameters
        ----------
        tape : LayerTape
            From this layer's `forward`.
        dy : array-like, optional
            dL/dy, in the shape of y. Default: zeros.
        need_dx : bool
            False: return None for dx, and do not compute it.
        out : ndarray, optional
            Where to write dx: an array of the layer's dtype, in the shape of x.

        Raises
        ------
        TypeError
            If `tape` is not a tape, `dy` is not an array of real numbers, or `dstate` is not None.
        ValueError
            If the tape is from another layer, or the shape of `dy` is not that of y.
        """
        layer_tape = check_tape(tape, self, LayerTape)
        self._check_state(dstate, "dstate")
        need_dx = flag(need_dx, "need_dx")
        check_dx_out(out, layer_tape, self.dtype, need_dx=need_dx)
        if dy is None:
            dy = np.zeros(layer_tape.y_shape, self.dtype)
        dx = self._backward(layer_tape, as_floats(dy, "dy", self.dtype, layer_tape.y_shape), need_dx)
        return dx if dx is None else written(out, dx), None

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> Stage:
        if "lengths" in self.call_options:
            raise ValueError(
                f"stream needs layers with one output for each step; got {self.kind}, which reads the whole "
                f"sequence. Fix: leave {self.kind} out, and read the output of the last step."
            )
        return super().stage(batch_size, before, precision=precision)

    @abstractmethod
    def _convert(self, x: Any) -> Any:
        """Check x, and return a C-contiguous array of the type that the layer reads."""

    @abstractmethod
    def _infer(self, x: Any) -> Floats:
        """Compute y."""

    def _forward(self, x: Any) -> tuple[Floats, Any]:
        """Compute y, and return it with the arrays that `_backward` needs: by default, x."""
        x = read_only(x)
        return self._infer(x), x

    @abstractmethod
    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        """Add to `gradients`, and return dx.

        None if dx is not needed or x has no gradient.
        """

    def check_dstate(self, tape: Any, dstate: Any, steps: int | None) -> None:
        self._check_state(dstate, "dstate")

    def _check_state(self, state: object, name: str) -> None:
        if state is not None:
            raise TypeError(
                f"{name} must be None, because {self.kind} keeps no state; got {type(state).__name__}. "
                f"Fix: leave {name} out."
            )
