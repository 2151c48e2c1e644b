"""Check a wheel before it is published: `python -m release.check_wheel FILE.whl...` prints a table."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from release import elf

MOST_BYTES = 2_000_000
MOST_BYTES_MUSL = 3_000_000
"""libstdc++ is linked into the module for musl, as such systems may lack the library."""
NEWEST = {"GLIBC": "2.28", "GLIBCXX": "3.4.25", "CXXABI": "1.3.11"}
"""The versions of symbols in manylinux_2_28: those of glibc 2.28 and GCC 8."""
LIBRARIES = (
    r"lib(stdc\+\+|m|c|gcc_s|pthread)\.so\.\d|ld-linux.*\.so\.\d"
    r"|libc\.(musl-.*\.so\.1|so)"  # of musl
)
FILES = r"bptt/.*\.(py|pyi)|bptt/py\.typed|bptt/_core\.[\w.-]+\.(so|pyd)"
NOTICES = ("LICENSE", "LICENSES/pybind11.txt")
UNVERSIONED = r"_?Py|_ITM_|__gmon_start__"
"""Undefined symbols that no library of the system has: those of Python, and optional ones."""


@dataclass(frozen=True)
class Check:
    """One row of the table: what was found, what was expected, and whether they agree."""

    name: str
    found: str
    expected: str
    passed: bool


def _at_most(name: str, found: str, limit: str) -> Check:
    return Check(name, found or "none", f"at most {limit}", elf.numbers(found) <= elf.numbers(limit))


def _none(name: str, found: list[str]) -> Check:
    return Check(name, ", ".join(found) or "none", "none", not found)


def check_library(library: elf.Library, platform: str) -> Iterator[Check]:
    """Check the compiled module of a wheel for Linux."""
    glibc = "manylinux" in platform
    yield Check("machine", library.machine, "that of the tag", platform.endswith(library.machine))
    if glibc:
        for family, limit in NEWEST.items():
            yield _at_most(f"newest {family}", library.newest(family), limit)
        unversioned = [s for s, v in library.imports.items() if not v and not re.match(UNVERSIONED, s)]
        yield _none("symbols in no library", unversioned)
    yield _none("search path", ["a RUNPATH"] if library.search_path else [])
    yield _none("other libraries", [n for n in library.needed if not re.fullmatch(LIBRARIES, n)])
    yield from check_hardening(library, fortified=glibc)


def check_hardening(library: elf.Library, *, fortified: bool = True) -> Iterator[Check]:
    """Check that memory errors in the module are hard to exploit."""
    for name, state in {
        "RELRO": library.relro,
        "symbols bound at load": library.bind_now,
        "stack not executable": not library.executable_stack,
        "code not relocated": not library.text_relocations,
        "stack protector": "__stack_chk_fail" in library.imports,
    }.items():
        yield Check(name, "yes" if state else "no", "yes", state)
    if fortified:
        calls = sorted(symbol for symbol in library.imports if symbol.endswith("_chk"))
        yield Check("fortified functions", str(len(calls)), "1 or more", bool(calls))


def files_in(wheel: zipfile.ZipFile) -> list[str]:
    """Return the names of the files in a wheel, without folders."""
    return [name for name in wheel.namelist() if not name.endswith("/")]


def check_record(wheel: zipfile.ZipFile, info: str) -> Check:
    """Check that RECORD lists each file with its hash."""
    wrong = set(files_in(wheel)) - {f"{info}/RECORD"}
    for name, digest, _ in csv.reader(wheel.read(f"{info}/RECORD").decode().splitlines()):
        if name in wrong:
            actual = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).decode().rstrip("=")
            if digest == f"sha256={actual}":
                wrong.remove(name)
    return _none("files that differ from RECORD", sorted(wrong)[:3])


def check_sbom(wheel: zipfile.ZipFile, info: str, version: str) -> Iterator[Check]:
    """Check that the bill of materials names this version, and pybind11 with a version."""
    names = [name for name in wheel.namelist() if name.startswith(f"{info}/sboms/bptt")]
    yield Check("bill of materials", ", ".join(names) or "none", "one file", len(names) == 1)
    if names:
        bill = json.loads(wheel.read(names[0]))
        parts = {part["name"]: part["version"] for part in bill["components"]}
        yield Check("pybind11", parts.get("pybind11", "none"), "a version", "pybind11" in parts)
        listed = bill["metadata"]["component"]["version"]
        yield Check("version in it", listed, version, listed == version)


def check_wheel(path: Path) -> list[Check]:
    """Make all checks of one wheel."""
    _, version, _, _, platform = path.stem.split("-")
    musl = "musllinux" in platform
    size, limit = path.stat().st_size, MOST_BYTES_MUSL if musl else MOST_BYTES
    checks = [Check("bytes", f"{size:,}", f"below {limit:,}", size < limit)]
    with zipfile.ZipFile(path) as wheel:
        info = f"bptt-{version}.dist-info"
        modules = [name for name in wheel.namelist() if re.fullmatch(r"bptt/_core\..*\.(so|pyd)", name)]
        others = [n for n in files_in(wheel) if not re.fullmatch(FILES, n) and not n.startswith(f"{info}/")]
        checks.append(Check("compiled modules", str(len(modules)), "1", len(modules) == 1))
        checks.append(_none("files of no use", others[:3]))
        checks.append(check_record(wheel, info))
        missing = [notice for notice in NOTICES if f"{info}/licenses/{notice}" not in wheel.namelist()]
        checks.append(_none("licence notices missing", missing))
        checks.extend(check_sbom(wheel, info, version))
        if "linux" in platform and modules:
            oldest = min((int(tag) for tag in re.findall(r"manylinux_2_(\d+)_", platform)), default=99)
            checks.append(Check("platform", platform, "manylinux_2_28 or older", musl or oldest <= 28))
            with tempfile.TemporaryDirectory() as folder:
                checks.extend(check_library(elf.read(Path(wheel.extract(modules[0], folder))), platform))
    return checks


def table(checks: list[Check]) -> str:
    """Return the checks as a table, failed rows marked."""
    rows = [(check.name, check.found, check.expected, "" if check.passed else "FAILED") for check in checks]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    lines = (
        "  ".join((*(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=False)), row[3])) for row in rows
    )
    return "\n".join(line.rstrip() for line in lines)


def main(paths: list[str]) -> int:
    """Print the table of each wheel. 1 if a check fails."""
    failed = []
    for path in map(Path, paths):
        checks = check_wheel(path)
        print(f"{path.name}\n{table(checks)}\n")
        failed += [
            f"{path.name}: {check.name} must be {check.expected}, got {check.found}"
            for check in checks
            if not check.passed
        ]
    for message in failed:
        print(message, file=sys.stderr)
    return 1 if failed or not paths else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
