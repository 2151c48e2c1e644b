"""Arrays of an .npz file: nothing unpickled, nothing executed."""

from __future__ import annotations

import zipfile
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.cli.options import CommandError

_DAMAGED = (ValueError, EOFError, RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)
"""What zipfile and NumPy raise for archives that are cut, changed or encrypted, and for absurd sizes."""


def read(path: Path) -> dict[str, npt.NDArray[Any]]:
    """All its arrays by name.

    Raises
    ------
    CommandError
        The file cannot be read, is no whole .npz file, or holds pickled objects.
    """
    name = ""
    try:
        # Opened here: NumPy leaves the file open where it turns out to be no archive.
        with path.open("rb") as file:
            archive = np.load(file, allow_pickle=False)
            arrays: dict[str, npt.NDArray[Any]] = {}
            for name in archive.files:
                arrays[name] = archive[name]
            return arrays
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror or error}") from None
    except (*_DAMAGED, AttributeError) as error:
        # A lone array has no files. NumPy's own words on objects would advise to unpickle them.
        if "pickle" in str(error) and name:
            raise CommandError(
                f"{path}: {name} is an array of objects, which only pickle could read; save plain numbers:"
                " padded sequences, and their lengths"
            ) from None
        raise CommandError(f"cannot read {path}: it is not a complete .npz file of plain numbers") from None
