"""The result of `layer.freeze()`: weights that are packed once for many calls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NoReturn

import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.backend import State


class Frozen:
    """Snapshot of a layer for inference only, with weights that are packed once.

    The snapshot has a copy of the layer's weights at the time of `freeze()`. A call returns the same bits as
    `layer(x)`, but does not pack the weights again. Packing costs as much as one or two steps of many rows,
    or a dozen steps of one row. Several threads may call the snapshot at once. It needs memory for a second
    copy of the weights.
    """

    def __init__(self, call: Callable[..., tuple[Floats, State]], layer: str) -> None:
        self._call = call
        self._layer = layer

    def __call__(
        self,
        x: npt.ArrayLike,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
    ) -> tuple[Floats, State]:
        """Run inference, as a call of the layer does.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (B, T, I) with `batch_first`. Unbatched (T, I).
        state : array-like, or for LSTM a pair (h, c) of arrays, optional
            (L*D, B, H), unbatched (L*D, H). Default, and None in a pair: zeros.
        lengths : array-like of int, optional
            (B,): number of valid steps of each row. Default: all.
        reset : array-like of bool, optional
            True where a row starts again from a state of zeros, in the layout of x. Default: never.
        skip : array-like of bool, optional
            True where a row has no step, in the layout of x. Default: never.

        Returns
        -------
        y : ndarray
            (T, B, D*H) in the layout of x.
        state : ndarray, or for LSTM a pair (h, c) of arrays
            The final state, in the layout of the argument.

        Raises
        ------
        TypeError, ValueError
            As for a call of the layer.
        """
        return self._call(x, state, lengths, reset, skip)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a frozen layer cannot be copied or pickled, because it holds packed weights. "
            "Fix: copy or pickle the layer, and call freeze() again."
        )

    def __repr__(self) -> str:
        return f"Frozen({self._layer})"
