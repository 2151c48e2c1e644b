"""Write a file completely or not at all."""

from __future__ import annotations

import errno
import os
import secrets
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from bptt.files import leftovers

_BINARY = getattr(os, "O_BINARY", 0)


def check(path: Path) -> None:
    """Raise OSError if `path` has no writable folder, or is a folder, a device or a pipe."""
    path = _resolve(path)
    if not path.parent.is_dir():
        raise FileNotFoundError(f"{path}: there is no folder {path.parent}. Fix: create the folder.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder. Fix: give a file name.")
    if path.exists() and not path.is_file():
        raise OSError(f"{path} is a device or a pipe, and is not replaced. Fix: give a file name.")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise PermissionError(f"{path}: the folder is not writable. Fix: choose another folder.")


def replace(path: Path, content: bytes, verify: Callable[[Path], object]) -> None:
    """Write a file at `path` atomically: at any moment, `path` holds the complete old or new file.

    The content goes to a temporary file in the same folder. The temporary file is flushed to the disk and
    passed to `verify` before it gets the name `path`. If anything fails, `verify` included, the temporary
    file is removed and `path` does not change.

    A symbolic link is followed. The new file gets the mode of the old file and, if permitted, its owner. If
    there was no old file, the mode follows the umask. Other hard links keep the old content. Temporary files
    that killed processes left in the folder are removed.

    Raises
    ------
    OSError
        The folder is missing, the file cannot be written there, or links form a loop.
    """
    path = _resolve(path)
    check(path)
    temporary = path.with_name(leftovers.name(secrets.token_hex(8)))
    try:
        _write(temporary, content, _status(path))
        verify(temporary)
        os.replace(temporary, path)
    except BaseException as error:
        # `unlink` must be the first call here: Python handles a second Ctrl-C after this call, not before.
        try:  # noqa: SIM105
            os.unlink(temporary)
        except OSError:
            pass
        _name(error, path)
        raise
    try:
        _sync_folder(path.parent)
    except OSError as error:
        _name(error, path.parent)
        raise


@contextmanager
def descriptor(path: Path, flags: int, mode: int = 0o600) -> Iterator[int]:
    """Open a file descriptor that is closed at any exception, also that of a signal.

    `with open(path)` leaves the file open if Ctrl-C comes after the call and before the block.
    """
    opened: list[int] = []
    try:
        # Python handles signals after a call has returned. So no signal comes between opening the file and
        # storing its number, nor before `os.close`, as long as `os.close` is the first call of the block.
        opened.extend(map(os.open, (path,), (flags | _BINARY,), (mode,)))
        yield opened[0]
    finally:
        if opened:
            os.close(opened[0])


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """Open a file for reading. The file is closed at any exception, also that of a signal."""
    with descriptor(path, os.O_RDONLY) as number:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        with open(number, "rb", closefd=False) as file:
            yield file


def _name(error: BaseException, path: Path) -> None:
    """Make the message say which file: calls that take a descriptor, such as `os.write`, do not know."""
    if isinstance(error, OSError) and error.filename is None and error.errno is not None:
        error.filename = os.fspath(path)


def _resolve(path: Path) -> Path:
    """Return the path without symbolic links."""
    resolved = Path(os.path.realpath(path))
    try:
        os.stat(resolved)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(
                errno.ELOOP, f"{path} is a loop of symbolic links. Fix: give another name, or remove the link"
            ) from None
    return resolved


def _status(path: Path) -> os.stat_result | None:
    """Return the status of the old file; None if there is no old file."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes, old: os.stat_result | None) -> None:
    # 0o666 leaves the mode to the user's umask, as open() does. A file that replaces another must not be
    # readable by other users until it has the mode of the old file.
    with descriptor(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666 if old is None else 0o600) as number:
        leftovers.remove(path.parent, os.fstat(number).st_mtime)
        if old is not None and hasattr(os, "fchown"):
            _keep_owner_and_mode(number, old)
        rest = memoryview(content)
        while rest:
            rest = rest[os.write(number, rest) :]
        os.fsync(number)


def _keep_owner_and_mode(number: int, old: os.stat_result) -> None:
    mode = stat.S_IMODE(old.st_mode)
    for owner, group in ((old.st_uid, -1), (-1, old.st_gid)):
        try:  # noqa: SIM105
            os.fchown(number, owner, group)
        except PermissionError:
            pass  # only the superuser may change the owner of a file
    now = os.fstat(number)
    if now.st_uid != old.st_uid:
        mode &= ~stat.S_ISUID
    if now.st_gid != old.st_gid:
        # The old group's permissions must not pass to another group, which gets those of all users.
        mode = (mode & ~(stat.S_ISGID | stat.S_IRWXG)) | (mode & stat.S_IRWXO) << 3
    os.fchmod(number, mode)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable. Windows has no such call and does not need it."""
    if os.name == "nt":
        return
    with descriptor(folder, os.O_RDONLY) as number:
        os.fsync(number)
