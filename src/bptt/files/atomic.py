"""Writing a file whole or not at all."""

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
    """Raise OSError where a file could not be put at `path`: no folder to write into, or no file's place."""
    path = _resolve(path)
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
    """Put a file with this content at `path`. At any moment the old file or the new one is there, whole.

    The content goes to a new file in the same folder. That file is flushed to the disk and passed to `verify`
    before it gets the name. If anything fails, `verify` included, it is removed and `path` is as it was.

    A symbolic link is followed. The new file gets the old one's mode and, where permitted, its owner. The
    mode of a file that was not there follows the umask. Other hard links keep the old content. New files that
    dead processes left in the folder are removed.

    Raises
    ------
    OSError
        The folder is missing, the file cannot be written there, or links form a loop.
    """
    path = _resolve(path)
    check(path)
    fresh = path.with_name(leftovers.name(secrets.token_hex(8)))
    try:
        _write(fresh, content, _status(path))
        verify(fresh)
        os.replace(fresh, path)
    except BaseException:
        # The first call here must be this one: a second Ctrl-C is noticed after it, not before.
        try:  # noqa: SIM105
            os.unlink(fresh)
        except OSError:
            pass
        raise
    _sync_folder(path.parent)


@contextmanager
def descriptor(path: Path, flags: int, mode: int = 0o600) -> Iterator[int]:
    """A file descriptor, which is closed whenever a signal's exception comes.

    `with open(path)` leaves the file open if Ctrl-C comes after the call and before the block.
    """
    opened: list[int] = []
    try:
        # Python looks for signals when a call has returned: none comes between opening and keeping the
        # number, nor before `os.close`, as long as that is the first call of the block.
        opened.extend(map(os.open, (path,), (flags | _BINARY,), (mode,)))
        yield opened[0]
    finally:
        if opened:
            os.close(opened[0])


@contextmanager
def reading(path: Path) -> Iterator[BinaryIO]:
    """An open file, which is closed whenever a signal's exception comes."""
    with descriptor(path, os.O_RDONLY) as number:
        if stat.S_ISDIR(os.fstat(number).st_mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), os.fspath(path))
        with open(number, "rb", closefd=False) as file:
            yield file


def _resolve(path: Path) -> Path:
    """The path without symbolic links."""
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
    """The status of the file to be replaced, if there is one."""
    try:
        return os.stat(path)
    except FileNotFoundError:
        return None


def _write(path: Path, content: bytes, old: os.stat_result | None) -> None:
    # 0o666 leaves the mode to the user's umask, as open() does. Nobody else may read a file until it has the
    # mode of the one that it replaces.
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
            pass  # only the superuser may give files away
    now = os.fstat(number)
    if now.st_uid != old.st_uid:
        mode &= ~stat.S_ISUID
    if now.st_gid != old.st_gid:
        # Another group must not get what the old one was permitted, only what everybody is.
        mode = (mode & ~(stat.S_ISGID | stat.S_IRWXG)) | (mode & stat.S_IRWXO) << 3
    os.fchmod(number, mode)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable. Windows has no such call, and needs none."""
    if os.name == "nt":
        return
    with descriptor(folder, os.O_RDONLY) as number:
        os.fsync(number)
