"""The result of `layer.freeze()`: weights that are packed once for many calls."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats
from bptt.layers.passes.backend import State
from bptt.layers.passes.out import check_out, written
from bptt.layers.passes.stages import Inference

if TYPE_CHECKING:
    from typing_extensions import Self


class Freezable(Protocol):
    """What a snapshot is made from: a layer or a model."""

    dtype: np.dtype[Any]

    def snapshot(self) -> Any: ...
    def packed(self, precision: str | None = None) -> Inference: ...


Source = TypeVar("Source", bound=Freezable)


class Frozen(Generic[Source]):
    """Snapshot of a layer or a model for inference only, with weights that are packed once.

    The snapshot has a copy of the weights at the time of `freeze()`. A call returns the same bits as
    `layer(x)`, unless `freeze` got another precision, but does not pack the weights again. Packing costs as
    much as one or two steps of many rows, or a dozen steps of one row. Several threads may call the snapshot
    at once. It needs memory for two more copies of the weights: the packed ones, and plain ones for copies,
    pickles and files.

    Attributes
    ----------
    precision : str or None
        The argument of `freeze`.
    """

    def __init__(self, source: Source, precision: str | None = None) -> None:
        self._take(source.snapshot(), precision)

    @classmethod
    def taking(cls, source: Source, precision: str | None = None) -> Self:
        """Freeze a layer that nobody else has, without a copy of it.

        Use it for a layer that was just built or read from a file.
        """
        frozen = cls.__new__(cls)
        frozen._take(source, precision)
        return frozen

    def _take(self, source: Source, precision: str | None) -> None:
        self._source: Source = source
        self.precision = precision
        self._call = source.packed(precision)

    def __call__(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, State]:
        """Run inference, as a call of the layer does.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (B, T, I) with `batch_first`. Unbatched (T, I). As for a call of the model.
        state : array-like, or for LSTM a pair (h, c) of arrays, optional
            (L*D, B, H), unbatched (L*D, H). Default, and None in a pair: zeros. For a model: a tuple with one
            entry per layer.
        lengths : array-like of int, optional
            (B,): number of valid steps of each row. Default: all.
        reset : array-like of bool, optional
            True where a row starts again from a state of zeros, in the layout of x. Default: never.
        skip : array-like of bool, optional
            True where a row has no step, in the layout of x. Default: never.
        out : ndarray, optional
            Where to write y: an array of the layer's dtype, in the shape of y. Default: a new array.

        Returns
        -------
        y : ndarray
            (T, B, D*H) in the layout of x.
        state : ndarray, pair (h, c) of arrays, or tuple
            The final state, in the layout of the argument.

        Raises
        ------
        TypeError, ValueError
            As for a call of the layer.
        """
        options = {"lengths": lengths, "reset": reset, "skip": skip}
        given = {name: value for name, value in options.items() if value is not None}
        check_out(out, self._source.dtype)
        y, state = self._call(x, state, **given)
        return written(out, y), state

    @property
    def layer(self) -> Source:
        """A copy of the layer or model as it was frozen, which can be trained."""
        return copy.deepcopy(self._source)

    def __reduce__(self) -> tuple[type[Frozen[Source]], tuple[Source, str | None]]:
        return type(self), (self._source, self.precision)  # the weights are packed again

    def __repr__(self) -> str:
        precision = "" if self.precision is None else f", precision={self.precision!r}"
        return f"Frozen({self._source!r}{precision})"
