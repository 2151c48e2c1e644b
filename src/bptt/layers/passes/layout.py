"""Convert between the caller's order of axes and the canonical order, (T, B, ...)."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from bptt.arrays import Floats


class Layout(NamedTuple):
    """The order of axes of one call's arrays. All methods return views.

    Attributes
    ----------
    batch_first : bool
        Whether sequences are (B, T, ...) instead of (T, B, ...). States are always (L*D, B, H).
    unbatched : bool
        Whether arrays have no batch axis: sequences are (T, ...), states (L*D, H).
    """

    batch_first: bool
    unbatched: bool

    def sequence_shape(self, T: int, B: int, width: int) -> tuple[int, ...]:
        """Return the caller's shape for a canonical (T, B, width)."""
        if self.unbatched:
            return (T, width)
        return (B, T, width) if self.batch_first else (T, B, width)

    def state_shape(self, rows: int, B: int, H: int) -> tuple[int, ...]:
        """Return the caller's shape for a canonical (rows, B, H)."""
        return (rows, H) if self.unbatched else (rows, B, H)

    def sequence_in(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Convert a sequence from the caller's order to the canonical order."""
        if self.unbatched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def sequence_out(self, array: Floats) -> Floats:
        """Convert a sequence from the canonical order to the caller's order."""
        if self.unbatched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array

    def state_in(self, array: Floats) -> Floats:
        """Convert a state from the caller's order to the canonical order."""
        return array[:, None] if self.unbatched else array

    def state_out(self, array: Floats) -> Floats:
        """Convert a state from the canonical order to the caller's order."""
        return array[:, 0] if self.unbatched else array
