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
    """Whether there is a recurrent layer in it."""
    return bool(rows_of(model))


def random_input(model: bptt.Module, steps: int, rows: int, seed: int) -> Array:
    """Symbols drawn evenly for an Embedding, normal numbers for anything else: (T, B) or (T, B, I)."""
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
    """As much of a file as is wanted, (T, B) of symbols or (T, B, I) of numbers.

    A series is cut into `rows` pieces of `steps` steps, spread evenly over it; a shorter one comes whole. An
    array (T, B, I) keeps its own rows. A CSV file is read as `form` says. A forecasting model's `task` says
    which of its columns the model reads, and their scale.

    Raises
    ------
    CommandError
        A file that cannot be read, holds something else, or does not fit the model.
    """
    try:
        if isinstance(_first(model), bptt.Embedding) and symbols is None:
            raise CommandError(
                f"{path} cannot be read as symbols, because the model was saved without a vocabulary."
                " Fix: leave --data out, and random symbols are used."
            )
        suffix = path.suffix.lower()
        if suffix == ".csv" or suffix in _ARRAYS:
            if isinstance(_first(model), bptt.Embedding):
                raise CommandError(
                    f"{path} holds numbers, but the model reads symbols. Fix: pass a text file."
                )
            if suffix != ".csv":
                values = _ARRAYS[suffix](path)
            elif task is None:
                values = tables.read_all(path, form).values
            else:
                values = task.inputs(tables.read(path, task.columns, form).values)
            if values.shape[-1] != _width(model):
                raise CommandError(
                    f"{path} has {values.shape[-1]} numbers a step (shape {values.shape}), but the model"
                    f" reads {_width(model)}. Fix: pass data with that many features."
                )
        else:
            values = _symbols(path, model, symbols)
    except (OSError, UnicodeDecodeError) as error:
        why = error.strerror if isinstance(error, OSError) else "it is not text in UTF-8"
        raise CommandError(f"cannot read {path}: {why}") from None
    if values.ndim == 3:
        return values[:steps, :rows]
    return _pieces(values, steps, rows)


def laid_out(model: bptt.Module, x: Array) -> Array:
    """From time first to the model's own layout."""
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
    except (ValueError, EOFError):  # NumPy's own words would advise to unpickle it
        raise CommandError(f"cannot read {path}: it is not a complete .npy file of plain numbers") from None


def _npz(path: Path) -> Array:
    arrays = npz.read(path)
    name = "x" if "x" in arrays else next(iter(arrays)) if len(arrays) == 1 else None
    if name is None:
        raise CommandError(
            f"{path} holds {', '.join(arrays)[:80] or 'nothing'}; one of its arrays must be named x"
        )
    return _checked(path, arrays[name], f" {name}")


_ARRAYS = {".npy": _npy, ".npz": _npz}


def _checked(path: Path, values: Any, name: str) -> Array:
    if not isinstance(values, np.ndarray) or values.dtype.kind not in "biuf" or values.ndim not in (1, 2, 3):
        came = f"{values.dtype} of {values.ndim} axes" if isinstance(values, np.ndarray) else "several arrays"
        raise CommandError(f"{path}{name} must be numbers, (T,), (T, I) or (T, B, I); it is {came}")
    if values.size == 0:
        raise CommandError(f"{path}{name} is empty, shape {values.shape}; it must hold at least one step")
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
    if not isinstance(width, int):  # Dropout or Last before the first layer that has a width
        width = rows_of(model)[0].stack.input_size
    return width
