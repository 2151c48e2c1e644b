"""Promise 5: a full disk or a broken one leaves the old file or the new file, and nothing else."""

from __future__ import annotations

import ast
import errno
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.promises.writers import WRITERS, Writer, model

import bptt

CALLS = ("open", "fchmod", "write", "fsync", "close", "replace")
"""The calls to the system that change something. Reading a file back makes some of them, too."""
ERRORS = (errno.ENOSPC, errno.EIO, errno.EDQUOT)
PIECES = 6
"""Each write takes at most a sixth of the file, so that a write in the middle can fail."""


class Disk:
    """Counts the calls about the files of a folder, and lets one of them fail."""

    def __init__(self, folder: Path, piece: int, name: str = "", call: int = 0, error: int = 0) -> None:
        self.folder, self.piece, self.name, self.call, self.error = folder, piece, name, call, error
        self.counts = dict.fromkeys(CALLS, 0)
        self.opened: dict[int, Path] = {}
        self.synced: list[Path] = []

    @contextmanager
    def mounted(self) -> Iterator[None]:
        with pytest.MonkeyPatch.context() as patch:
            for name in CALLS:
                if hasattr(os, name):
                    patch.setattr(os, name, self._counted(name, getattr(os, name)))
            yield

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def counted(file: Any, *arguments: Any) -> Any:
            path = self.opened.get(file) if isinstance(file, int) else Path(file)
            if name == "open" and path is not None and self._probes(path, arguments[0]):
                return function(file, *arguments)
            if path is None or self.folder not in (path, path.parent):
                return function(file, *arguments)
            self.counts[name] += 1
            fails = (name, self.counts[name]) == (self.name, self.call)
            if fails and name != "close":
                raise OSError(self.error, os.strerror(self.error))
            if name == "write":
                arguments = (bytes(arguments[0][: self.piece]),)
            result = function(file, *arguments)
            if name == "open":
                self.opened[result] = path
            elif name == "fsync":
                self.synced.append(path)
            elif name == "close":
                del self.opened[file]
                if fails:  # Linux closes the file, and then reports the error
                    raise OSError(self.error, os.strerror(self.error))
            return result

        return counted

    def _probes(self, path: Path, flags: int) -> bool:
        """Whether this is `tempfile`, with which the command line asks if it may write in the folder."""
        return flags != os.O_RDONLY if path == self.folder else path.name.startswith("tmp")


def check_writer(writer: Writer, folder: Path) -> int:
    """Let each call fail in turn. Return how many calls there were."""
    path = folder / f"file{writer.ending}"
    versions = []
    for seed in (2, 1):
        writer.write(path, seed)
        versions.append(path.read_bytes())
    new, old = map(writer.read, versions)
    assert new != old

    def present() -> object:
        """What is in the folder: the content of the file, if there is no other one."""
        assert os.listdir(folder) == [path.name]
        return writer.read(path.read_bytes())

    weights = model(2).flat_parameters.copy()
    piece = len(versions[0]) // PIECES
    whole = Disk(folder, piece)
    with whole.mounted():
        writer.write(path, 2)
    assert present() == new
    assert whole.counts["write"] >= PIECES
    assert whole.counts["replace"] == 1
    first, last = whole.synced  # the file before it gets its name, and then its folder
    assert first.suffix == ".tmp"
    assert last == folder
    places = [(name, n + 1) for name in CALLS for n in range(whole.counts[name])]
    for number, (name, call) in enumerate(places):
        path.write_bytes(versions[1])
        disk = Disk(folder, piece, name, call, ERRORS[number % len(ERRORS)])
        with disk.mounted(), pytest.raises(OSError):  # noqa: PT011  the program has an exit code only
            writer.write(path, 2)
        renamed = disk.counts["replace"] == 1 and name != "replace"
        assert present() == (new if renamed else old), (name, call)
        assert not disk.opened, (name, call)
        assert model(2).flat_parameters.tobytes() == weights.tobytes()
    writer.write(path, 2)
    assert present() == new
    return len(places)


def test_each_call_fails_in_turn(
    tmp_path: Path, subtests: pytest.Subtests, record_property: Callable[[str, object], None]
) -> None:
    """Writes, syncs and renames fail one at a time, for each writer."""
    calls = writers = 0
    for number, (name, writer) in enumerate(WRITERS.items()):
        if not writer.available:
            continue
        with subtests.test(name):
            (tmp_path / f"{number}").mkdir()
            calls += check_writer(writer, tmp_path / f"{number}")
            writers += 1
    record_property(
        "figure", f"{writers} writers, {calls} failing calls: the old or the new file is complete"
    )


# No other way to write


WRITING = {
    *("write_text", "write_bytes", "savez", "savez_compressed", "savetxt", "save_file", "savefig", "tofile"),
}
HINT = re.compile(rf"open\(|{'|'.join(sorted(WRITING))}")
ALLOWED = {
    "files/atomic.py": "the one that is tested above",
    "callbacks/csv_log.py": "a log that grows line by line",
    "cli/predict.py": "writes an archive into memory",
    "diagnose/pictures/picture.py": "writes a picture into memory, or passes on what matplotlib's user calls",
    "bench/worker.py": "a pipe",
    "cli/ranks.py": "the null device",
}


def written(source: str) -> Iterator[int]:
    """Lines that write to a file without `atomic.replace`."""
    tree = ast.parse(source if HINT.search(source) else "")  # parsing takes the time
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        function = node.func
        name = function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")
        modes = [word.value for word in node.keywords if word.arg == "mode"] + node.args[1:2] + node.args[:1]
        texts = [
            mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)
        ]
        opens = name in {"open", "fdopen"} and any(
            set(text) <= set("rwaxbt+") and set(text) & set("wax+") for text in texts
        )
        if opens or name in WRITING:
            yield node.lineno


def test_files_are_replaced_in_one_way_only() -> None:
    package = Path(bptt.__file__).parent
    found = {
        path.relative_to(package).as_posix()
        for path in package.rglob("*.py")
        if any(written(path.read_text(encoding="utf-8")))
    }
    assert found - ALLOWED.keys() == set()
    planted = ("open(p, 'w')", "p.open('a')", "open(p, mode='wb')", "p.write_text(t)", "np.savez(p, x=x)")
    assert [line for line in planted if not any(written(line))] == []
    assert not any(written("open(p); open(p, 'rb'); p.open()"))
