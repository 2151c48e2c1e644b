"""The bytes of an ONNX file: in memory, or in an open file whose weights are read into their place."""

from __future__ import annotations

from typing import BinaryIO, TypeAlias, overload

import numpy as np
import numpy.typing as npt

from bptt.interop.onnx.errors import OnnxError

Bytes: TypeAlias = npt.NDArray[np.uint8]
WINDOW = 2**16
"""Bytes that are read at once while the fields of a file are found."""


class FileBytes:
    """The bytes of an open file. They are read when they are needed.

    Parameters
    ----------
    file : binary file
    size : int
        Its number of bytes.
    """

    def __init__(self, file: BinaryIO, size: int) -> None:
        self._file, self._size = file, size
        self._start, self._window = 0, b""

    def __len__(self) -> int:
        return self._size

    @overload
    def __getitem__(self, key: int) -> int: ...
    @overload
    def __getitem__(self, key: slice) -> bytes: ...
    def __getitem__(self, key: int | slice) -> int | bytes:
        if isinstance(key, slice):
            return self._bytes(key.start or 0, self._size if key.stop is None else key.stop)
        place = key - self._start
        if not 0 <= place < len(self._window):
            self._start, self._window = key, self._read(key, min(WINDOW, self._size - key))
            place = 0
        return self._window[place]

    def _bytes(self, start: int, stop: int) -> bytes:
        first, last = start - self._start, stop - self._start
        if 0 <= first <= last <= len(self._window):
            return self._window[first:last]
        return self._read(start, stop - start)

    def _read(self, start: int, count: int) -> bytes:
        self._file.seek(start)
        found = self._file.read(count)
        if len(found) < count:
            raise OnnxError("has become shorter while it was read")
        return found

    def into(self, start: int, target: Bytes) -> None:
        """Read bytes from `start` on into an array."""
        self._file.seek(start)
        if self._file.readinto(target.data) < target.size:  # type: ignore[attr-defined]
            raise OnnxError("has become shorter while it was read")


Content: TypeAlias = "bytes | FileBytes"


def array_of(content: Content, start: int, stop: int) -> Bytes:
    """Return a part of a file."""
    if isinstance(content, bytes):
        return np.frombuffer(content, np.uint8, stop - start, start)
    target = np.empty(stop - start, np.uint8)
    content.into(start, target)
    return target
