"""Two sequences that differ at both ends only (Hochreiter and Schmidhuber 1997, experiment 2a)."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt


def two_sequences(p: int) -> npt.NDArray[np.int64]:
    """Return the symbols of (y, a1, ..., a_{p-1}, y) and (x, a1, ..., a_{p-1}, x) as an array (p + 1, 2).

    There are p + 1 symbols: a1 to a_{p-1} are 0 to p - 2, x is p - 1, and y is p. The inputs are all symbols
    but the last one, and the targets are all symbols but the first one.
    """
    symbols = np.empty((p + 1, 2), np.int64)
    symbols[1:-1] = np.arange(p - 1)[:, None]
    symbols[0] = symbols[-1] = p, p - 1
    return symbols
