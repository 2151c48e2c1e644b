"""The user's files: a save keeps mode, owner and links, and leaves nothing behind, whatever stops it."""

from __future__ import annotations

import dis
import gc
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

import bptt

resource = pytest.importorskip("resource")  # not on Windows, which has no modes and owners either
NOBODY = 65534
TOKEN = "0" * 16


def save(path: Path, seed: int = 1) -> None:
    bptt.save(path, bptt.Linear(1, 2, seed=seed))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    save(tmp_path / "model")
    return tmp_path / "model"


@contextmanager
def as_nobody() -> Iterator[None]:
    """The superuser may do everything, so that much of this can only be tested as somebody else."""
    if os.geteuid() != 0:
        yield
        return
    os.setresgid(NOBODY, NOBODY, 0)
    os.setresuid(NOBODY, NOBODY, 0)
    try:
        yield
    finally:
        os.setresuid(0, 0, 0)
        os.setresgid(0, 0, 0)


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that other users can reach, too."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o777)
    yield folder
    folder.chmod(0o777)
    shutil.rmtree(folder)


# Mode and owner


@pytest.mark.parametrize("permissions", [0o600, 0o640, 0o644, 0o664, 0o400, 0o755])
def test_the_mode_stays(permissions: int, path: Path) -> None:
    path.chmod(permissions)
    save(path, 2)
    assert mode(path) == permissions


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_a_new_file_follows_the_umask(umask: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        save(tmp_path / "new")
    finally:
        os.umask(before)
    assert mode(tmp_path / "new") == 0o666 & ~umask


def test_nobody_else_can_read_it_while_it_is_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path.chmod(0o600)
    modes, fsync = [], os.fsync
    monkeypatch.setattr(os, "fsync", lambda number: modes.append(os.fstat(number).st_mode) or fsync(number))
    save(path)
    assert stat.S_IMODE(modes[0]) == 0o600


@pytest.mark.skipif(os.geteuid() != 0, reason="only the superuser may give files away")
def test_the_owner_stays(path: Path) -> None:
    os.chown(path, NOBODY, NOBODY)
    path.chmod(0o640)
    save(path, 2)
    assert (path.stat().st_uid, path.stat().st_gid, mode(path)) == (NOBODY, NOBODY, 0o640)


@pytest.mark.skipif(os.geteuid() != 0, reason="needs a file of another group")
def test_another_group_gets_nothing_that_the_old_one_had(open_folder: Path) -> None:
    path = open_folder / "model"
    save(path)
    path.chmod(0o664)  # of the superuser and its group
    with as_nobody():
        save(path, 2)
    assert (path.stat().st_uid, mode(path)) == (NOBODY, 0o644)


# Links


def test_a_symbolic_link_stays(path: Path) -> None:
    link = path.with_name("link")
    link.symlink_to(path.name)
    path.chmod(0o600)
    save(link, 2)
    assert link.is_symlink()
    assert mode(path) == 0o600
    assert bptt.load(path).flat_parameters.tobytes() == bptt.load(link).flat_parameters.tobytes()


def test_a_link_to_nothing_gets_its_file(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("real")
    save(tmp_path / "link")
    assert (tmp_path / "real").is_file()


@pytest.mark.parametrize("links", [["a"], ["b", "a"]])
def test_a_loop_of_links_raises_and_stays(links: list[str], tmp_path: Path) -> None:
    for name, target in zip("ab", links, strict=False):
        (tmp_path / name).symlink_to(target)
    with pytest.raises(OSError, match="loop of symbolic links"):
        save(tmp_path / "a")
    assert os.readlink(tmp_path / "a") == links[0]


def test_another_hard_link_keeps_the_old_file(path: Path) -> None:
    before = path.read_bytes()
    os.link(path, path.with_name("kept"))
    save(path, 2)
    assert path.with_name("kept").read_bytes() == before
    assert path.read_bytes() != before


# What stops it


def test_a_full_disk(path: Path) -> None:
    before, limits = path.read_bytes(), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, limits[1]))
    try:
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            bptt.save(path, bptt.Linear(100, 100))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert os.listdir(path.parent) == ["model"]


def test_a_folder_that_is_read_only(open_folder: Path) -> None:
    save(open_folder / "model")
    before = (open_folder / "model").read_bytes()
    open_folder.chmod(0o555)
    with as_nobody(), pytest.raises(PermissionError, match="the folder is not writable"):
        save(open_folder / "model", 2)
    assert (open_folder / "model").read_bytes() == before
    assert os.listdir(open_folder) == ["model"]


def after_calls(act: Callable[[], Any], at: int) -> bool:
    """Run `act`, and raise KeyboardInterrupt at the n-th place where Python could notice a signal in the code
    that handles files: when a call has returned or a function begins. False if there are fewer places."""
    places, last = 0, ""

    def trace(frame: FrameType, event: str, arg: object) -> Any:
        nonlocal places, last
        file = frame.f_code.co_filename
        if not file.endswith(("atomic.py", "leftovers.py", "checkpoint.py", "contextlib.py")):
            return None
        frame.f_trace_opcodes, frame.f_trace_lines = True, False
        if event == "opcode":
            before, last = last, dis.opname[frame.f_code.co_code[frame.f_lasti]]
            if before.startswith("CALL") or before == "RESUME":
                places += 1
                if places == at + 1:
                    sys.settrace(None)
                    raise KeyboardInterrupt
        elif event == "return":
            last = "CALL"  # of the caller
        return trace

    sys.settrace(trace)
    try:
        act()
    except KeyboardInterrupt:
        return True
    finally:
        sys.settrace(None)
    return False


@pytest.mark.skipif(not os.path.isdir("/proc/self/fd"), reason="open files are counted in /proc")
def test_ctrl_c_anywhere_leaves_no_file_open(path: Path) -> None:
    def descriptors() -> int:
        gc.collect()
        return len(os.listdir("/proc/self/fd"))

    weights = [bptt.Linear(1, 2, seed=seed).flat_parameters.tolist() for seed in (1, 2)]
    count, places = descriptors(), 0
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        gc.disable()
        try:
            while after_calls(lambda: save(path, 2), places):
                places += 1
                assert bptt.load(path).flat_parameters.tolist() in weights
                assert os.listdir(path.parent) == ["model"]
        finally:
            gc.enable()
        assert descriptors() == count
    assert [str(warning.message) for warning in caught] == []
    assert places > 50


# Leftovers


DIES = """
import os, sys, bptt
from bptt.files import atomic as files
files.os.replace = lambda old, new: os._exit(1)
bptt.save(sys.argv[1], bptt.Linear(1, 2))
"""


def test_leftovers_of_dead_processes_are_removed(path: Path) -> None:
    subprocess.run([sys.executable, "-c", DIES, path], check=False)
    assert len(os.listdir(path.parent)) == 2
    save(path)
    assert os.listdir(path.parent) == ["model"]


def test_files_of_others_stay(path: Path) -> None:
    """Of a process that is alive, of another machine, and whatever does not have such a name."""
    from bptt.files import leftovers

    alive = path.with_name(leftovers.name(TOKEN))
    kept = [alive, *(path.with_name(name) for name in (f".bptt-{'a' * 12}-1-{TOKEN}.tmp", ".bptt-notes.tmp"))]
    for file in kept:
        file.touch()
    folder = path.with_name(f".bptt-{TOKEN}.tmp")
    folder.mkdir()
    os.utime(alive, (0, 0))
    os.utime(folder, (0, 0))
    save(path)
    assert all(file.exists() for file in (*kept, folder))


@pytest.mark.parametrize("name", [f".bptt-{'a' * 12}-1-{TOKEN}.tmp", f".bptt-{TOKEN}.tmp"])
def test_old_files_of_other_machines_are_removed(name: str, path: Path) -> None:
    path.with_name(name).touch()
    age = path.stat().st_mtime - 8 * 24 * 3600
    os.utime(path.with_name(name), (age, age))
    save(path)
    assert os.listdir(path.parent) == ["model"]


def test_a_machine_that_is_not_known_removes_by_age_alone(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bptt.files import leftovers

    monkeypatch.setattr(leftovers, "_machine", lambda: "")
    left = path.with_name(leftovers.name(TOKEN))
    left.touch()
    monkeypatch.setattr(leftovers, "_alive", lambda process: pytest.fail("asked for a process"))
    save(path)
    assert left.exists()
