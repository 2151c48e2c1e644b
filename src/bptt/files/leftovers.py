"""New files left by a killed process: `files.replace` writes them, and the next save removes them."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import stat
from pathlib import Path

PATIENCE = 7 * 24 * 3600.0
"""Seconds after which a file is a leftover, if its process cannot be asked for: it ran on another machine."""

_NAME = re.compile(r"\.bptt-(?:([0-9a-f]{12})-(\d+)-)?[0-9a-f]{16}\.tmp")


def name(token: str) -> str:
    """The name of a new file, which says which process of which machine writes it."""
    return f".bptt-{_machine() or '0' * 12}-{os.getpid()}-{token}.tmp"


def remove(folder: Path, now: float) -> None:
    """Remove the leftovers in a folder; `now` is the time that its file system gives to a new file.

    A file of a process that is alive stays, whatever its age, and so does one of another machine for a week.
    """
    try:
        entries = os.listdir(folder)
    except OSError:  # a folder may be written into and not be read
        return
    for entry in entries:
        if match := _NAME.fullmatch(entry):
            try:
                if _is_left(folder / entry, match, now):
                    os.unlink(folder / entry)
            except OSError:
                pass  # another process removed it first, or it belongs to somebody else


def _is_left(path: Path, match: re.Match[str], now: float) -> bool:
    status = path.lstat()
    if not stat.S_ISREG(status.st_mode):
        return False
    machine, process = match.groups()
    if machine is not None and machine == _machine():
        return not _alive(int(process))
    return now - status.st_mtime > PATIENCE


def _alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # it is somebody else's
    return True


@functools.cache
def _machine() -> str:
    """A hash that two processes share if each can see the other's number: of the machine, since it started,
    and of the name space of its process numbers. Empty where that is not known."""
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{platform.node()} {started} {space}".encode()).hexdigest()[:12]
