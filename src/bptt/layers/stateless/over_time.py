"""Base class of layers that make one vector of the steps of a row."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any, ClassVar

import numpy.typing as npt

from bptt.arguments import flag
from bptt.arrays import Floats, as_real, to_floats
from bptt.layers.passes.out import check_out, written
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class OverTime(Stateless):
    """A layer that reads all valid steps of a row and returns one vector. Subclasses define `_over_time`."""

    call_options: ClassVar[frozenset[str]] = frozenset(("lengths", "skip"))
    width_name: ClassVar[str] = "F"
    """The width of x, in messages and docstrings."""

    def __init__(self, *, batch_first: bool = False, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.batch_first = flag(batch_first, "batch_first")
        self.allocate()

    @property
    def keeps_width(self) -> bool:
        return True

    def config(self) -> dict[str, Any]:
        return {"batch_first": self.batch_first, "dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        array = as_real(x, "x")
        F = self.width_name
        layout = f"(B, T, {F})" if self.batch_first else f"(T, B, {F})"
        if array.ndim not in (2, 3):
            raise ValueError(
                f"x must have shape {layout} or (T, {F}); got {array.shape}. Fix: pass 2 or 3 axes."
            )
        return to_floats(array, "x", self.dtype)

    @abstractmethod
    def _over_time(
        self, x: Floats, lengths: npt.ArrayLike | None, skip: npt.ArrayLike | None
    ) -> tuple[Floats, Any]:
        """Return y, and what `_backward` needs."""

    def __call__(
        self,
        x: Any,
        state: None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, None]:
        """Run inference, and return (y, None). With `out`, y is written to this array."""
        self._check_state(state, "state")
        check_out(out, self.dtype)
        return written(out, self._over_time(self._convert(x), lengths, skip)[0]), None

    def forward(
        self,
        x: Any,
        state: None = None,
        *,
        lengths: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, None, LayerTape]:
        """Run the layer for training, and return (y, None, tape).

        y is read-only. With `out`, y is written to this array.
        """
        self._check_state(state, "state")
        check_out(out, self.dtype)
        array = self._convert(x)
        y, saved = self._over_time(array, lengths, skip)
        y.flags.writeable = False
        return written(out, y), None, LayerTape(self, saved, array.shape, y.shape)

    def _infer(self, x: Floats) -> Floats:
        return self._over_time(x, None, None)[0]
