"""The order of rows in a PackedSequence, and in the core."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.layers.passes.ragged import Counts, PackedRows


class PackedOrder:
    """Where each row of a PackedSequence lies in the core's packed arrays.

    PyTorch stores `batch_sizes[t]` rows for step t. The core stores as many rows as were active at step
    t - 1, see cpp/core/addressing.hpp. The rows without a step are padding.

    Parameters
    ----------
    batch_sizes : ndarray of int64
        (T,): the number of rows at each step, never rising.
    """

    def __init__(self, batch_sizes: Counts) -> None:
        self.active = batch_sizes
        self.batch = int(batch_sizes[0])
        allocated = np.concatenate([batch_sizes[:1], batch_sizes[:-1]])
        padding_before = np.cumsum(allocated - batch_sizes) - (allocated - batch_sizes)
        self._index = np.arange(int(batch_sizes.sum())) + np.repeat(padding_before, batch_sizes)
        self._total = int(allocated.sum())

    def to_core(self, data: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the rows (N, F) in the core's order, with zeros as padding. The result is read-only."""
        rows = np.zeros((self._total, data.shape[1]), data.dtype)
        rows[self._index] = data
        rows.flags.writeable = False
        return rows

    def from_core(self, rows: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the rows (N, F) in PyTorch's order."""
        return rows.take(self._index, axis=0)

    def ragged(self) -> PackedRows:
        """Return the same rows with their lengths, for masks of zoneout."""
        lengths = np.count_nonzero(self.active > np.arange(self.batch)[:, np.newaxis], axis=1)
        return PackedRows(lengths.astype(np.int64), len(self.active))
