"""Read the arrays of an .npz file, without unpickling or executing anything."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.cli.options import CommandError

_DAMAGED = (ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""Errors of zipfile and NumPy for archives that are cut off, changed or encrypted, and for absurd sizes."""


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """Return all arrays of a file by name.

    Raises
    ------
    CommandError
        The file cannot be read, is not a complete .npz file, or holds pickled objects.
    """
    name = ""
    try:
        # Open the file here: NumPy leaves a file open if it is not an archive.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays: dict[str, npt.NDArray[Any]] = {}
            for name in archive.files:
                arrays[name] = archive[name]
            return arrays
    except OSError as error:
        raise CommandError(
            f"cannot read {path}: {error.strerror or error}. Fix: pass an existing .npz file."
        ) from None
    except (*_DAMAGED, AttributeError) as error:
        # A single array has no attribute `files`. NumPy's message about objects would advise unpickling.
        if "pickle" in str(error) and name:
            raise CommandError(
                f"{path}: {name} must be an array of numbers; got an array of objects. Fix: save padded"
                " sequences and their lengths."
            ) from None
        raise CommandError(
            f"cannot read {path}: it is not a complete .npz file of plain numbers. Fix: write it"
            " with numpy.savez."
        ) from None
