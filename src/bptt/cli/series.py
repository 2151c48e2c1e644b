"""Input for a saved model: numbers or text from a file, or random input instead."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.cli import npz
from bptt.cli.csv import tables
from bptt.cli.csv.format import Format
from bptt.cli.models import series as seriesmodel
from bptt.cli.options import CommandError
from bptt.data import Vocabulary
from bptt.diagnose.rows import rows_of

Array = npt.NDArray[Any]


def recurrent(model: bptt.Module) -> bool:
    """Return whether the model has a recurrent layer."""
    return bool(rows_of(model))


def random_input(model: bptt.Module, steps: int, rows: int, seed: int) -> Array:
    """Return uniform random ids (T, B) for an Embedding, otherwise normal random numbers (T, B, I)."""
    rng = np.random.default_rng(seed)
    first = _first(model)
    if isinstance(first, bptt.Embedding):
        return rng.integers(0, first.num_embeddings, (steps, rows))
    return rng.standard_normal((steps, rows, _width(model)))


def read(
    path: Path,
    model: bptt.Module,
    symbols: str | None,
    steps: int,
    rows: int,
    task: seriesmodel.Task | None,
    form: Format,
) -> Array:
    """Read input from a file: ids (T, B) or numbers (T, B, I).

    From a series, take `rows` evenly spaced pieces of `steps` steps. A shorter series is one piece. An array
    (T, B, I) keeps its rows. `form` is the format of a CSV file. The `task` of a forecasting model has its
    input columns and their scale.

    Raises
    ------
    CommandError
        The file cannot be read, holds data of another kind, or does not fit the model.
    """
    try:
        if isinstance(_first(model), bptt.Embedding) and symbols is None:
            raise CommandError(
                f"{path} cannot be read as symbols, because the model was saved without a vocabulary."
                " Fix: leave --data out to use random symbols."
            )
        suffix = path.suffix.lower()
        if tables.is_csv(path) or suffix in _ARRAYS:
            if isinstance(_first(model), bptt.Embedding):
                raise CommandError(
                    f"{path} holds numbers, but the model reads symbols. Fix: pass a text file."
                )
            if not tables.is_csv(path):
                values = _ARRAYS[suffix](path)
            elif task is None:
                values = tables.read_all(path, form).values
            else:
                values = task.inputs(tables.read(path, task.columns, form).values)
            if values.shape[-1] != _width(model):
                raise CommandError(
                    f"{path} must have {_width(model)} numbers per step, like the input of the model; got"
                    f" {values.shape[-1]} (shape {values.shape}). Fix: pass data with that many features."
                )
        else:
            values = _symbols(path, model, symbols)
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise CommandError(
            f"cannot read {path}: {reason}. Fix: pass an existing text file in UTF-8."
        ) from None
    if values.ndim == 3:
        return values[:steps, :rows]
    return _pieces(values, steps, rows)


def laid_out(model: bptt.Module, x: Array) -> Array:
    """Return x (T, B, ...) in the layout of the model."""
    return x.swapaxes(0, 1) if rows_of(model)[0].stack.batch_first else x


def _symbols(path: Path, model: bptt.Module, symbols: str | None) -> Array:
    if symbols is None:
        raise CommandError(
            f"{path} is not a .npy, .npz or .csv file, and only models of 'bptt train text' read text."
            " Fix: pass a file of numbers."
        )
    text = path.read_text(encoding="utf-8")
    known = "".join(symbol for symbol in text if symbol in symbols)
    if not known:
        raise CommandError(
            f"{path} has no character that the model knows. Fix: pass a text like the one in training."
        )
    return Vocabulary(symbols).encode(known)


def _npy(path: Path) -> Array:
    try:
        with path.open("rb") as file:
            return _checked(path, np.load(file, allow_pickle=False), "")
    except (ValueError, EOFError):  # NumPy's message would advise unpickling
        raise CommandError(
            f"cannot read {path}: it is not a complete .npy file of plain numbers. Fix: write it with"
            " numpy.save."
        ) from None


def _npz(path: Path) -> Array:
    arrays = npz.read(path)
    name = "x" if "x" in arrays else next(iter(arrays)) if len(arrays) == 1 else None
    if name is None:
        raise CommandError(
            f"{path} must hold an array named x; got {', '.join(arrays)[:80] or 'no array'}. Fix:"
            " numpy.savez(path, x=x)."
        )
    return _checked(path, arrays[name], f" {name}")


_ARRAYS = {".npy": _npy, ".npz": _npz}


def _checked(path: Path, values: Any, name: str) -> Array:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or values.ndim not in (1, 2, 3):
        several = not isinstance(values, np.ndarray)
        actual = "several arrays" if several else f"{values.dtype} of {values.ndim} axes"
        raise CommandError(
            f"{path}{name} must be numbers, (T,), (T, I) or (T, B, I); got {actual}. Fix: save such an array."
        )
    if values.size == 0:
        raise CommandError(
            f"{path}{name} must hold at least one step; got shape {values.shape}. Fix: pass a longer series."
        )
    return values[:, None] if values.ndim == 1 else values


def _pieces(values: Array, steps: int, rows: int) -> Array:
    steps = min(steps, len(values))
    starts = np.linspace(0, len(values) - steps, min(rows, len(values) - steps + 1)).astype(int)
    return np.stack([values[start : start + steps] for start in starts], axis=1)


def _first(model: bptt.Module) -> bptt.Module:
    while isinstance(model, bptt.Sequential):
        model = model[0]
    return model


def _width(model: bptt.Module) -> int:
    first = _first(model)
    width = getattr(first, "input_size", getattr(first, "in_features", None))
    if not isinstance(width, int):  # the first layers, such as Dropout or Last, have no width
        width = rows_of(model)[0].stack.input_size
    return width
