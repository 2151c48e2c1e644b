"""Columns brought to mean 0 and standard deviation 1, and back."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import float_dtype
from bptt.arrays import as_real, to_floats

Numbers = npt.NDArray[Any]
FLOAT32 = np.dtype(np.float32)


class Standardize:
    """(x - mean) / scale, column by column. What it uses is learned from the training part alone::

        training, validation, test = bptt.data.split(series)
        scaling = bptt.data.Standardize.of(training)
        data = bptt.data.Windows(scaling.apply(training), ...)
        bptt.save(path, model, extra={"scaling": scaling.to_dict()})
        scaling = bptt.data.Standardize(**bptt.train.read_checkpoint(path).extra["scaling"])

    Parameters
    ----------
    mean, scale : array-like (F,)
        Of each column; scale is above 0.

    Attributes
    ----------
    mean, scale : ndarray of float64 (F,)

    Raises
    ------
    TypeError, ValueError
        Not real numbers; not (F,), both the same; a number that is not finite, a scale that is not above 0.
    """

    def __init__(self, mean: npt.ArrayLike, scale: npt.ArrayLike) -> None:
        self.mean = as_real(mean, "mean").astype(np.float64)
        self.scale = as_real(scale, "scale").astype(np.float64)
        if self.mean.ndim != 1 or self.scale.shape != self.mean.shape:
            raise ValueError(
                f"mean and scale must have one shape (F,); got {self.mean.shape} and {self.scale.shape}. "
                "Fix: one number for each column."
            )
        if not (np.isfinite(self.mean).all() and np.isfinite(self.scale).all() and (self.scale > 0).all()):
            raise ValueError(
                "mean and scale must be finite, and scale above 0; got others. Fix: Standardize.of(training)."
            )

    @classmethod
    def of(cls, values: npt.ArrayLike | Sequence[npt.ArrayLike]) -> Standardize:
        """Mean and standard deviation of each column; a constant column keeps its scale, 1.

        Parameters
        ----------
        values : array-like (N,) or (..., F), or list of them
            Real numbers. A list of arrays is taken as one array of all their steps.

        Raises
        ------
        TypeError, ValueError
            Not real numbers, none, of different widths, not finite, or too large to be squared.
        """
        parts = [_columns(part, name) for name, part in named(values, "values")]
        if len({part.shape[1] for part in parts}) > 1:
            raise ValueError("values must have the same columns everywhere. Fix: give all the same width.")
        steps = parts[0] if len(parts) == 1 else np.concatenate(parts)
        if len(steps) == 0:
            raise ValueError("values must hold at least one step; got none. Fix: pass the training part.")
        with np.errstate(over="ignore", invalid="ignore"):
            mean = steps.mean(axis=0, dtype=np.float64)
            scale = steps.std(axis=0, dtype=np.float64)
        if not (np.isfinite(mean).all() and np.isfinite(scale).all()):
            raise ValueError(
                "values must have a finite variance to be standardized; got none. "
                "Fix: fill or leave out what is missing, and rescale what is huge."
            )
        # What is left of a constant column after rounding is no deviation.
        scale[scale <= 10 * np.finfo(np.float64).eps * np.abs(mean)] = 1.0
        return cls(mean, scale)

    def apply(self, x: npt.ArrayLike, dtype: str = "float32") -> Numbers:
        """x (..., F), or (N,) where F is 1, standardized: computed in float64, given in `dtype`.

        Raises
        ------
        TypeError, ValueError
            Not real numbers; another number of columns; a value that dtype cannot hold.
        """
        return scaled(self._checked(x, "x"), self.mean, self.scale, "x", float_dtype(dtype))

    def undo(self, y: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """The way back: y * scale + mean, in float64.

        Raises
        ------
        TypeError, ValueError
            Not real numbers; another number of columns.
        """
        values: npt.NDArray[np.float64] = self._checked(y, "y") * self.scale + self.mean
        return values

    def take(self, columns: Iterable[int]) -> Standardize:
        """That of some columns, by their indices: of a target among the inputs, for one."""
        at = list(columns)
        return Standardize(self.mean[at], self.scale[at])

    def to_dict(self) -> dict[str, list[float]]:
        """The arguments that make it again, as JSON values: without loss."""
        return {"mean": self.mean.tolist(), "scale": self.scale.tolist()}

    def _checked(self, values: npt.ArrayLike, name: str) -> Numbers:
        array = as_real(values, name)
        F = len(self.mean)
        if array.ndim == 0 or (array.shape[-1] != F and not (F == 1 and array.ndim == 1)):
            raise ValueError(
                f"{name} must have {F} columns, as what the scale was learned from; got shape {array.shape}. "
                "Fix: give the same columns in the same order."
            )
        return array

    def __repr__(self) -> str:
        return f"Standardize({len(self.mean)} columns)"


def scaled(x: Numbers, mean: Numbers, scale: Numbers, name: str, dtype: np.dtype[Any] = FLOAT32) -> Numbers:
    """(x - mean) / scale, computed in float64, in `dtype`; messages call x `name`."""
    return to_floats((x - mean) / scale, name, dtype)


def named(values: Any, name: str) -> list[tuple[str, npt.ArrayLike]]:
    """One array, or those of a list of arrays, each with what messages call it."""
    if isinstance(values, (list, tuple)) and any(hasattr(part, "ndim") and part.ndim for part in values):
        return [(f"{name}[{i}]", part) for i, part in enumerate(values)]
    return [(name, values)]


def _columns(values: npt.ArrayLike, name: str) -> Numbers:
    """(N, F) of what is (..., F) or (N,)."""
    array = as_real(values, name)
    return array.reshape(-1, array.shape[-1] if array.ndim > 1 else 1)
