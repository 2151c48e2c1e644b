"""Temporary files left by a killed process: `files.replace` writes them, the next save removes them."""

from __future__ import annotations

import functools
import hashlib
import os
import platform
import re
import stat
from pathlib import Path

PATIENCE = 7 * 24 * 3600.0
"""Age in seconds after which a temporary file of another machine counts as a leftover: this machine cannot
check whether its process is still alive."""

_NAME = re.compile(r"\.bptt-(?:([0-9a-f]{12})-(\d+)-)?[0-9a-f]{16}\.tmp")


def name(token: str) -> str:
    """Return the name of a temporary file. It identifies the machine and the process that write the file."""
    return f".bptt-{_machine() or '0' * 12}-{os.getpid()}-{token}.tmp"


def remove(folder: Path, now: float) -> None:
    """Remove the leftovers in a folder. `now` is the time that its file system gives to a new file.

    Files of a process that is still alive stay, whatever their age. Files of another machine stay for a week.
    """
    try:
        entries = os.listdir(folder)
    except OSError:  # a folder may be writable but not readable
        return
    for entry in entries:
        if match := _NAME.fullmatch(entry):
            try:
                if _is_leftover(folder / entry, match, now):
                    os.unlink(folder / entry)
            except OSError:
                pass  # another process removed the file first, or another user owns it


def _is_leftover(path: Path, match: re.Match[str], now: float) -> bool:
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
        pass  # the process exists, and belongs to another user
    return True


@functools.cache
def _machine() -> str:
    """Return a hash of the machine, its boot id and the name space of its process numbers.

    Two processes have the same hash if each can see the number of the other. The hash is empty if the system
    does not provide these values.
    """
    try:
        started = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii")
        space = os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""
    return hashlib.sha256(f"{platform.node()} {started} {space}".encode()).hexdigest()[:12]
