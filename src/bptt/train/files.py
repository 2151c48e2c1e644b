"""Writing a file whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from collections.abc import Callable
from pathlib import Path


def check(path: Path) -> None:
    """Raise OSError where a file could not be put at `path`: no folder to write into, or no file's place."""
    if not path.parent.is_dir():
        raise FileNotFoundError(
            f"{path}: there is no folder {path.parent} to write into. Fix: create it first."
        )
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Fix: give a file name.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a device or a pipe, which a file must not replace. Fix: give a file name.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: its folder cannot be written into. Fix: choose another folder.")


def replace(path: Path, content: bytes, verify: Callable[[Path], object]) -> None:
    """Put a file with this content at `path`, in place of the one there; at any moment one of the two
    is there, whole.

    The content goes to a new file in the same folder, which is flushed to the disk and passed to
    `verify` before it is given its name. If anything fails, `verify` included, the new file is removed
    and `path` is as it was.

    Raises
    ------
    OSError
        The folder is missing, or the file cannot be written there.
    """
    check(path)
    fresh = path.with_name(f".bptt-{secrets.token_hex(8)}.tmp")
    try:
        _write(fresh, content)
        verify(fresh)
        os.replace(fresh, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(fresh)
        raise
    _sync_folder(path.parent)


def _write(path: Path, content: bytes) -> None:
    # 0o666 leaves the permissions to the user's umask, as open() does.
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
    try:
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(descriptor, rest) :]
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
