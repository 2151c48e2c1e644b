"""The result of `layer.freeze()`: weights that are packed once for many calls."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.arrays import Floats
from bptt.layers.passes.backend import State
from bptt.layers.passes.error_report import ErrorReport, report_errors
from bptt.layers.passes.inference_stream import InferenceStream
from bptt.layers.passes.out import check_out, written
from bptt.layers.passes.stages import Inference

if TYPE_CHECKING:
    from typing_extensions import Self


class Freezable(Protocol):
    """What a snapshot is made from: a layer or a model."""

    dtype: np.dtype[Any]

    @property
    def kind(self) -> str: ...
    @property
    def call_options(self) -> frozenset[str]: ...
    @property
    def state_pattern(self) -> str: ...

    def snapshot(self) -> Any: ...
    def stream(self, batch_size: int = 1, precision: str | None = None) -> InferenceStream: ...
    def packed(self, precision: str | None = None) -> Inference: ...


Source = TypeVar("Source", bound=Freezable)


class Frozen(Generic[Source]):
    """Snapshot of a layer or a model for inference only, with weights that are packed once.

    The snapshot has a copy of the weights at the time of `freeze()`. A call returns the same bits as
    `layer(x)`, unless `freeze` got another precision, but does not pack the weights again. Several threads
    may call the snapshot at once. It needs memory for two more copies of the weights: the packed ones, and
    plain ones for copies, pickles, files and `error`. In int8, packed weights take a quarter of the memory of
    plain ones.
    """

    def __init__(self, source: Source, precision: str | None = None, rounded: bool = False) -> None:
        self._take(source.snapshot(), precision, rounded)

    @classmethod
    def taking(cls, source: Source, precision: str | None = None, rounded: bool = False) -> Self:
        """Freeze a layer that nobody else has, without a copy of it.

        Use it for a layer that was just built or read from a file. `rounded`: its weights were rounded for
        this precision.
        """
        frozen = cls.__new__(cls)
        frozen._take(source, precision, rounded)
        return frozen

    def _take(self, source: Source, precision: str | None, rounded: bool) -> None:
        self._source: Source = source
        self._precision = precision
        self._rounded = rounded
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
        check_out(out, self._source.dtype)
        y, state = self._call(x, state, **self._given(lengths=lengths, reset=reset, skip=skip))
        return written(out, y), state

    def error(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: npt.ArrayLike | None = None,
        reset: npt.ArrayLike | None = None,
        skip: npt.ArrayLike | None = None,
    ) -> ErrorReport:
        """Compare the outputs with those of the same weights in the highest precision.

        The weights are packed again for this call.

        Parameters
        ----------
        x, state, lengths, reset, skip
            As for a call. Pass data that is like the data of your application.

        Returns
        -------
        ErrorReport
            The largest and the root-mean-square error of y and of each array of the final state. Errors of a
            snapshot in the highest precision are 0.

        Raises
        ------
        ValueError
            If the snapshot comes from a file in int8, which has no float32 weights.
        TypeError, ValueError
            As for a call.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> layer, x = bptt.LSTM(3, 64, seed=0), np.random.default_rng(0).normal(size=(20, 4, 3))
        >>> report = layer.freeze(precision="int8").error(x)
        >>> report.root_mean_square < 0.02
        True
        """
        if self._rounded:
            raise ValueError(
                "error needs the float32 weights; got a snapshot from a file, which has int8 weights. Fix: "
                "call error before bptt.save, or freeze the model that was trained."
            )
        given = self._given(lengths=lengths, reset=reset, skip=skip)
        outputs = self._call(x, state, **given)
        expected = self._source.packed("highest")(x, state, **given)
        return report_errors(outputs, expected, self._source.state_pattern)

    def stream(self, batch_size: int = 1) -> InferenceStream:
        """Make a stream with the weights and the precision of the snapshot.

        Parameters
        ----------
        batch_size : int
            As for `layer.stream`.

        Raises
        ------
        TypeError, ValueError
            As for `layer.stream`.
        """
        return self._source.stream(batch_size, self._precision)

    @property
    def precision(self) -> str | None:
        """The argument of `freeze`."""
        return self._precision

    @property
    def layer(self) -> Source:
        """A copy of the layer or model as it was frozen, which can be trained.

        Of a snapshot that was loaded from a file in int8, the weights are the rounded ones.
        """
        return copy.deepcopy(self._source)

    def _given(self, **options: npt.ArrayLike | None) -> dict[str, npt.ArrayLike]:
        given = {name: value for name, value in options.items() if value is not None}
        for name in given:
            if name not in self._source.call_options:
                raise TypeError(
                    f"{name} must be None, because {self._source.kind} does not accept it; got "
                    f"{short(given[name])}. Fix: leave it out."
                )
        return given

    if not TYPE_CHECKING:  # type checkers refuse unknown attributes

        def __getattr__(self, name: str) -> NoReturn:
            message = f"a Frozen has no attribute {name!r}"
            if not name.startswith("_") and hasattr(self._source, name):
                message += f". Fix: use frozen.layer.{name}; frozen.layer is a copy of the layer"
            raise AttributeError(message, name=name, obj=self)

    def __reduce__(self) -> tuple[type[Frozen[Source]], tuple[Source, str | None, bool]]:
        return type(self), (self._source, self.precision, self._rounded)  # the weights are packed again

    def __repr__(self) -> str:
        precision = "" if self.precision is None else f", precision={self.precision!r}"
        return f"Frozen({self._source!r}{precision})"
