"""Check a wheel before it is published: `python -m release.check_wheel FILE.whl...` prints a table."""

from __future__ import annotations

import base64
import csv
import hashlib
import json
import re
import struct
import sys
import tempfile
import zipfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from email import message_from_bytes
from email.message import Message
from pathlib import Path

from release import elf
from release.wheel_name import LINUX, WheelName, read_name

MOST_BYTES = 2_000_000
MOST_BYTES_MUSL = 3_000_000
"""libstdc++ is linked into the module for musl, as such systems may lack the library."""
NEWEST_GLIBC = 28
NEWEST = {
    5: ("3.4.8", "1.3.1"),
    12: ("3.4.13", "1.3.3"),
    17: ("3.4.19", "1.3.7"),
    24: ("3.4.22", "1.3.10"),
    27: ("3.4.24", "1.3.11"),
}
"""The newest versions of GLIBCXX and CXXABI that a manylinux tag allows, from this version of glibc on."""
LIBRARIES = (
    r"lib(stdc\+\+|m|c|gcc_s|pthread)\.so\.\d|ld-linux.*\.so\.\d"
    r"|libc\.(musl-.*\.so\.1|so)"  # of musl
)
EXPORTS = ["PyInit__core"]
FILES = r"bptt/.*\.(py|pyi)|bptt/py\.typed|bptt/_core\.[\w.-]+\.(so|pyd)"
INFO = {
    "METADATA",
    "WHEEL",
    "RECORD",
    "entry_points.txt",
    "sboms/bptt.cdx.json",
    "licenses/LICENSE",
    "licenses/LICENSES/pybind11.txt",
}
INFO_MUSL = INFO | {
    "licenses/LICENSES/gcc/GPL-3.0.txt",
    "licenses/LICENSES/gcc/GCC-exception-3.1.txt",
}
PARTS = {"pybind11"}
PARTS_MUSL = PARTS | {"libstdc++", "libgcc"}
"""What is compiled or linked into the module."""
UNVERSIONED = r"_?Py|_ITM_|__gmon_start__"
"""Undefined symbols that no library of the system has: those of Python, and optional ones."""
UNREADABLE = (OSError, zipfile.BadZipFile, zlib.error, struct.error, ValueError, LookupError)
"""What reading a damaged or missing file raises."""


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


def _same(name: str, found: list[str], expected: list[str]) -> Check:
    return Check(name, ", ".join(found) or "none", ", ".join(expected), sorted(found) == sorted(expected))


def check_library(library: elf.Library, name: WheelName) -> Iterator[Check]:
    """Check the compiled module of a wheel for Linux."""
    yield Check("machine", library.machine, name.machine, library.machine == name.machine)
    if name.glibc:
        cxx, abi = NEWEST[max((glibc for glibc in NEWEST if glibc <= name.glibc), default=min(NEWEST))]
        for family, limit in {"GLIBC": f"2.{name.glibc}", "GLIBCXX": cxx, "CXXABI": abi}.items():
            yield _at_most(f"newest {family}", library.newest(family), limit)
        unversioned = [s for s, v in library.imports.items() if not v and not re.match(UNVERSIONED, s)]
        yield _none("symbols in no library", unversioned)
    yield _none("search path", ["a RUNPATH"] if library.search_path else [])
    yield _none("other libraries", [n for n in library.needed if not re.fullmatch(LIBRARIES, n)])
    yield _same("exported names", library.exports, EXPORTS)
    yield from check_hardening(library, fortified=bool(name.glibc))


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
    """Check that RECORD lists each file, once, with its hash, and no other."""
    names = files_in(wheel)
    record = f"{info}/RECORD"
    lines = list(csv.reader(wheel.read(record).decode().splitlines())) if record in names else []
    listed = {name: digest for name, digest, _ in lines}
    wrong = set(names) ^ {*listed, record}
    wrong |= {name for name in names if names.count(name) > 1}
    for name in set(names) & listed.keys() - {record}:
        actual = base64.urlsafe_b64encode(hashlib.sha256(wheel.read(name)).digest()).decode().rstrip("=")
        if listed[name] != f"sha256={actual}":
            wrong.add(name)
    return _none("files that differ from RECORD", sorted(wrong)[:3])


def check_info(wheel: zipfile.ZipFile, info: str, name: WheelName) -> Iterator[Check]:
    """Check the names of the files of metadata, and that they agree with the name of the wheel."""
    expected = INFO_MUSL if name.system == "musllinux" else INFO
    held = {file.removeprefix(f"{info}/") for file in files_in(wheel) if file.startswith(f"{info}/")}
    yield _none("metadata missing", sorted(expected - held))
    yield _none("metadata of no use", sorted(held - expected))

    def headers(file: str) -> Message:
        return message_from_bytes(wheel.read(f"{info}/{file}") if file in held else b"")

    metadata = headers("METADATA")
    yield _same("name in METADATA", metadata.get_all("Name", []), ["bptt"])
    yield _same("version in METADATA", metadata.get_all("Version", []), [name.version])
    yield _same("tags in WHEEL", headers("WHEEL").get_all("Tag", []), sorted(name.tags))


def check_sbom(wheel: zipfile.ZipFile, info: str, name: WheelName) -> Iterator[Check]:
    """Check that the bill of materials names this version, and each part with a version."""
    file = f"{info}/sboms/bptt.cdx.json"
    if file not in wheel.namelist():
        return
    bill = json.loads(wheel.read(file))
    parts = [part["name"] for part in bill["components"] if part["version"]]
    yield _same("parts in the bill", parts, sorted(PARTS_MUSL if name.system == "musllinux" else PARTS))
    yield _same("version in the bill", [bill["metadata"]["component"]["version"]], [name.version])


def check_module(module: bytes, name: WheelName) -> Iterator[Check]:
    """Check that the compiled module is for the system of the wheel. For Linux, check what it needs, too."""
    fits = module.startswith(name.magic)
    yield Check("module", module[:4].hex() or "empty", f"begins with {name.magic.hex()}", fits)
    if fits and name.system in LINUX:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "module"
            path.write_bytes(module)
            yield from check_library(elf.read(path), name)


def _check_contents(path: Path, name: WheelName) -> Iterator[Check]:
    musl = name.system == "musllinux"
    size, limit = path.stat().st_size, MOST_BYTES_MUSL if musl else MOST_BYTES
    yield Check("bytes", f"{size:,}", f"below {limit:,}", size < limit)
    yield _at_most("oldest glibc", f"2.{name.glibc}", f"2.{NEWEST_GLIBC}")
    with zipfile.ZipFile(path) as wheel:
        info = f"bptt-{name.version}.dist-info"
        files = files_in(wheel)
        yield _none(
            "files of no use",
            [file for file in files if not re.fullmatch(FILES, file) and not file.startswith(f"{info}/")][:3],
        )
        yield check_record(wheel, info)
        yield from check_info(wheel, info, name)
        yield from check_sbom(wheel, info, name)
        modules = [file for file in files if re.fullmatch(r"bptt/_core\..*\.(so|pyd)", file)]
        fitting = [file for file in modules if re.fullmatch(name.module, file)]
        found = ", ".join(modules) or "none"
        yield Check("compiled module", found, "one, of the tag", len(modules) == len(fitting) == 1)
        if fitting:
            yield from check_module(wheel.read(fitting[0]), name)


def check_wheel(path: Path) -> list[Check]:
    """Make all checks of one wheel."""
    name = read_name(path.name)
    if name is None:
        return [Check("file name", path.name, "a wheel of bptt for a system of the table", passed=False)]
    checks: list[Check] = []
    try:
        checks.extend(_check_contents(path, name))
    except UNREADABLE as error:
        checks.append(Check("file", f"{type(error).__name__}: {error}", "a readable wheel", passed=False))
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
    """Print the table of each wheel. 1 if a check fails, 2 without a wheel."""
    if not paths:
        print("usage: python -m release.check_wheel FILE.whl...", file=sys.stderr)
        return 2
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
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
