"""Weights in files next to an ONNX file."""

from __future__ import annotations

import os
import stat
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.files.atomic import reading
from bptt.interop.onnx.errors import OnnxError


def read_external(folder: Path | None, proto: Any) -> npt.NDArray[np.uint8]:
    """Read the bytes of a tensor from a file in the model's folder.

    Raises
    ------
    OnnxError
        If the file is not a regular file inside the folder, or does not have the bytes.
    """
    entries = {entry.key: entry.value for entry in proto.external_data}
    location = entries.get("location", "")
    name = f"tensor {proto.name!r:.60}, whose data are in {location!r:.80}"
    if folder is None:
        raise OnnxError(f"holds {name}. Fix: pass the path of the file, not its content")
    path = _inside(folder, location, name)
    offset, length = (_count(entries, key, name) for key in ("offset", "length"))
    try:
        with reading(path) as file:
            size = os.fstat(file.fileno()).st_size
            start = offset or 0
            count = max(0, size - start) if length is None else length
            if start + count > size:
                raise OnnxError(
                    f"holds {name}; the file has {size} bytes, and the tensor needs {start + count}. "
                    "Fix: restore the file from a copy"
                )
            file.seek(start)
            return np.frombuffer(file.read(count), np.uint8)
    except FileNotFoundError:
        raise OnnxError(f"holds {name}; there is no such file. Fix: put the file next to the model") from None
    except OSError as error:
        raise OnnxError(f"holds {name}, which cannot be read: {error!s:.200}") from None


def _inside(folder: Path, location: str, name: str) -> Path:
    """Return the path of a regular file inside the folder. No part of it is a symbolic link."""
    parts = PurePosixPath(location).parts
    outside = (
        not parts
        or "\0" in location
        or ".." in parts
        or PurePosixPath(location).is_absolute()
        or PureWindowsPath(location).drive
        or PureWindowsPath(location).root
        or ".." in PureWindowsPath(location).parts
    )
    if outside:
        raise OnnxError(f"holds {name}, which is outside of the model's folder. Such a file is not read")
    path = folder
    for part in parts:
        path = path / part
        if path.is_symlink():
            raise OnnxError(f"holds {name}, which is a symbolic link. Such a file is not read")
    if path.exists() and not stat.S_ISREG(path.lstat().st_mode):
        raise OnnxError(f"holds {name}, which is not a regular file")
    return path


def _count(entries: dict[str, str], key: str, name: str) -> int | None:
    value = entries.get(key)
    if value is None:
        return None
    if not (value.isascii() and value.isdigit() and len(value) < 20):
        raise OnnxError(f"holds {name}; its {key} must be a whole number, got {value!r:.40}")
    return int(value)
