"""Weights packed once, for many calls: what `layer.freeze()` gives."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.backend import State


class Frozen:
    """
    Layer for inference only, with weights that are packed once.

    It copies the weights of the layer when it is made. A call returns the same bits as `layer(x)`, but does
    not pack the weights again. Packing costs as much as one or two steps of many rows, or a dozen steps of
    one row. Several threads may call the layer at once. It needs memory for a second copy of the weights.
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
    ) -> tuple[Floats, State]:
        """
        As calling the layer.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (B, T, I) with `batch_first`; unbatched (T, I).
        state : array-like, or for LSTM a pair (h, c) of them, optional
            (L*D, B, H), unbatched (L*D, H). Default, and None in a pair: zeros.
        lengths : array-like of int, optional
            (B,): valid steps of each row. Default: all.
        reset : array-like of bool, optional
            Where rows start again from a state of zeros, laid out as x. Default: nowhere.

        Returns
        -------
        y : ndarray
            (T, B, D*H) in the layout of x.
        state : ndarray, or for LSTM a pair (h, c) of them
            In the layout of the argument: after the last step.

        Raises
        ------
        TypeError, ValueError
            As the layer's own call.
        """
        return self._call(x, state, lengths, reset)

    def __repr__(self) -> str:
        return f"Frozen({self._layer})"
