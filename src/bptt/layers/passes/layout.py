"""Where the caller's arrays have time and batch, and the way to canonical order, (T, B, ...), and back."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy.typing as npt

from bptt.arrays import Floats


class Layout(NamedTuple):
    """
    One call's layout. All methods return views.

    Attributes
    ----------
    batch_first : bool
        Sequences are (B, T, ...), not (T, B, ...). States are (L*D, B, H) in any case.
    unbatched : bool
        There is no batch axis: sequences are (T, ...), states (L*D, H).
    """

    batch_first: bool
    unbatched: bool

    def sequence_shape(self, T: int, B: int, width: int) -> tuple[int, ...]:
        """The caller's shape of a canonical (T, B, width)."""
        if self.unbatched:
            return (T, width)
        return (B, T, width) if self.batch_first else (T, B, width)

    def state_shape(self, rows: int, B: int, H: int) -> tuple[int, ...]:
        """The caller's shape of a canonical (rows, B, H)."""
        return (rows, H) if self.unbatched else (rows, B, H)

    def sequence_in(self, array: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Caller's to canonical."""
        if self.unbatched:
            return array[:, None]
        return array.swapaxes(0, 1) if self.batch_first else array

    def sequence_out(self, array: Floats) -> Floats:
        """Canonical to caller's."""
        if self.unbatched:
            return array[:, 0]
        return array.swapaxes(0, 1) if self.batch_first else array

    def state_in(self, array: Floats) -> Floats:
        """Caller's to canonical."""
        return array[:, None] if self.unbatched else array

    def state_out(self, array: Floats) -> Floats:
        """Canonical to caller's."""
        return array[:, 0] if self.unbatched else array
