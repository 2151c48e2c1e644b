"""Read sequences and their targets from .npz files."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.cli import npz
from bptt.cli.options import CommandError, note

Numbers = npt.NDArray[Any]


@dataclass(frozen=True)
class Data:
    """Sequences x, each (T_i, F), and a target for each: classes (N,) of integers, or numbers (N, K).

    `shape` is the shape of the array x in the file.
    """

    x: list[Numbers]
    y: Numbers
    shape: tuple[int, ...]

    @property
    def classified(self) -> bool:
        """Whether the targets are classes."""
        return self.y.ndim == 1

    def take(self, rows: npt.NDArray[np.int64]) -> Data:
        """Return the sequences and targets at these rows."""
        return Data([self.x[row] for row in rows], self.y[rows], self.shape)


def read_x(path: Path) -> tuple[list[Numbers], int]:
    """Read the sequences of an .npz file: x, and lengths if the file has lengths. The file needs no y.

    Returns
    -------
    sequences : list of ndarray (T_i, F)
    ndim : int
        Number of axes of x in the file.

    Raises
    ------
    CommandError
        As `read`.
    """
    arrays = _read(path, ("x",))
    return _finite_sequences(path, arrays), arrays["x"].ndim


def read(path: Path) -> Data:
    """Read the arrays x and y of an .npz file, and lengths if the file has lengths.

    Raises
    ------
    CommandError
        As `npz.read`. Or an array is missing, has the wrong type or shape, or is not finite.
    """
    arrays = _read(path, ("x", "y"))
    x, y = _finite_sequences(path, arrays), arrays["y"]
    _check_finite(path, "y", y, ())
    if y.dtype.kind == "f" and y.ndim == 1:
        y = y[:, None]
    if y.ndim != (2 if y.dtype.kind == "f" else 1):
        raise CommandError(
            f"{path}: y must be integers (N,) for classes, or floats (N,) or (N, K); got {y.dtype}"
            f" {y.shape}. Fix: save classes as integers, and numbers as floats."
        )
    if len(x) != len(y) or 0 in y.shape:
        raise CommandError(
            f"{path}: y must have a row for each of the {len(x)} sequences of x; got shape {y.shape}. Fix:"
            " save one target per sequence."
        )
    return Data(x, y if y.dtype.kind == "f" else y.astype(np.int64), arrays["x"].shape)


def _read(path: Path, names: tuple[str, ...]) -> dict[str, Numbers]:
    """Return the arrays of a file, which must have these names."""
    arrays = npz.read(path)
    for name in names:
        if name not in arrays:
            wanted = f"the array{'s'[: len(names) - 1]} {' and '.join(names)}"
            raise CommandError(
                f"{path} must hold {wanted}; got {', '.join(arrays)[:80] or 'no array'}. Fix: save the array"
                f" with this name, numpy.savez(path, {name}={name})."
            )
    for name, array in arrays.items():
        if name in (*names, "lengths") and array.dtype.kind not in "biuf":
            raise CommandError(
                f"{path}: {name} must be an array of numbers; got {array.dtype}. Fix: save it as numbers."
            )
    return arrays


def _finite_sequences(path: Path, arrays: dict[str, Numbers]) -> list[Numbers]:
    x = _sequences(path, arrays["x"], arrays.get("lengths"))
    for n, sequence in enumerate(x):
        _check_finite(path, "x", sequence, (n,))
    return x


def _check_finite(path: Path, name: str, array: Numbers, position: tuple[int, ...]) -> None:
    """Raise CommandError for an entry that is not finite. `position` is the array's index in x or y."""
    bad = np.argwhere(~np.isfinite(array))
    if len(bad):
        first = tuple(bad[0].tolist())
        raise CommandError(
            f"{path}: {name} must be finite; got {array[first]} at {(*position, *first)}. Fix: fill it,"
            " or leave"
            " the sequence out."
        )


def _sequences(path: Path, x: Numbers, lengths: Numbers | None) -> list[Numbers]:
    """Split x into sequences (T_i, F).

    x is padded at the end, (N, T) or (N, T, F), or concatenated, (sum of T_i, F).
    """
    if x.ndim not in (2, 3) or 0 in x.shape:
        raise CommandError(
            f"{path}: x must be (N, T) or (N, T, F), none of them 0; got {x.shape}. Fix: reshape x."
        )
    if lengths is None:
        return list(x if x.ndim == 3 else x[:, :, None])
    if lengths.ndim != 1 or lengths.dtype.kind not in "iu" or not len(lengths) or lengths.min() < 1:
        raise CommandError(
            f"{path}: lengths must be integers (N,), each at least 1. Fix: leave empty sequences out."
        )
    # If all lengths are 1, x is padded sequences (N, T).
    if x.ndim == 2 and lengths.sum() == len(x) != len(lengths):
        return np.split(x, np.cumsum(lengths)[:-1])
    if len(lengths) != len(x) or lengths.max() > x.shape[1]:
        raise CommandError(
            f"{path}: lengths must have an entry for each sequence of x {x.shape}, none above {x.shape[1]};"
            f" got {len(lengths)}, up to {lengths.max()}, {lengths.sum()} steps in total. Fix:"
            " save x padded at the end, and the length of each sequence."
        )
    padded = x if x.ndim == 3 else x[:, :, None]
    if lengths.max() == 1 < padded.shape[1]:
        advice = " If x is (N, features), one step per sequence, save x[:, None]." if x.ndim == 2 else ""
        note(
            f"{path}: all lengths are 1, so only the first of the {padded.shape[1]} steps of each sequence is"
            f" read.{advice}"
        )
    return [row[:length] for row, length in zip(padded, lengths.tolist(), strict=True)]
