"""Read a shared library of Linux: what it needs, and how it is hardened. 64-bit, little-endian."""

from __future__ import annotations

import struct
from dataclasses import dataclass, field
from pathlib import Path

MAGIC = b"\x7fELF\x02\x01"
MACHINES = {62: "x86_64", 183: "aarch64"}
RELRO, STACK, EXECUTABLE = 0x6474E552, 0x6474E551, 1
DYNAMIC, DYNAMIC_SYMBOLS, VERSIONS_NEEDED, VERSION_OF_SYMBOL = 6, 11, 0x6FFFFFFE, 0x6FFFFFFF
NEEDED, RPATH, TEXT_RELOCATIONS, BIND_NOW, RUNPATH, FLAGS, FLAGS_1 = 1, 15, 22, 24, 29, 30, 0x6FFFFFFB


@dataclass
class Library:
    """The facts of one shared library."""

    machine: str
    needed: list[str] = field(default_factory=list)
    imports: dict[str, str] = field(default_factory=dict)
    """Each undefined symbol, and the version that it needs, "" for none."""
    exports: list[str] = field(default_factory=list)
    relro: bool = False
    bind_now: bool = False
    executable_stack: bool = True
    text_relocations: bool = False
    search_path: bool = False

    def newest(self, family: str) -> str:
        """Return the newest version of a family of symbols, such as GLIBC: "2.28", or "" if there is none."""
        found = [v[len(family) + 1 :] for v in self.imports.values() if v.startswith(family + "_")]
        return max(found, key=numbers, default="")


def numbers(version: str) -> tuple[int, ...]:
    """Return a version as numbers, which sort as versions do."""
    return tuple(int(part) for part in version.split(".") if part.isdigit())


@dataclass
class _Section:
    kind: int
    data: bytes
    link: int


def _text(strings: bytes, offset: int) -> str:
    return strings[offset : strings.index(b"\0", offset)].decode()


def _sections(data: bytes) -> list[_Section]:
    (start,) = struct.unpack_from("<Q", data, 40)
    size, count = struct.unpack_from("<HH", data, 58)
    sections = []
    for number in range(count):
        _, kind, _, _, offset, length, link = struct.unpack_from("<IIQQQQI", data, start + number * size)
        sections.append(_Section(kind, data[offset : offset + length], link))
    return sections


def _read_segments(data: bytes, library: Library) -> None:
    (start,) = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    for number in range(count):
        kind, flags = struct.unpack_from("<II", data, start + number * size)
        if kind == RELRO:
            library.relro = True
        elif kind == STACK:
            library.executable_stack = bool(flags & EXECUTABLE)


def _read_dynamic(section: _Section, strings: bytes, library: Library) -> None:
    for tag, value in struct.iter_unpack("<QQ", section.data):
        if tag == NEEDED:
            library.needed.append(_text(strings, value))
        elif tag in (RPATH, RUNPATH):
            library.search_path = True
        if tag == TEXT_RELOCATIONS or (tag == FLAGS and value & 4):
            library.text_relocations = True
        if tag == BIND_NOW or (tag == FLAGS and value & 8) or (tag == FLAGS_1 and value & 1):
            library.bind_now = True


def _version_names(section: _Section, strings: bytes) -> dict[int, str]:
    names, at = {}, 0
    while True:
        _, count, _, first, following = struct.unpack_from("<HHIII", section.data, at)
        entry = at + first
        for _ in range(count):
            _, _, index, name, step = struct.unpack_from("<IHHII", section.data, entry)
            names[index] = _text(strings, name)
            entry += step
        if not following:
            return names
        at += following


def _read_symbols(
    symbols: _Section, strings: bytes, versions: list[int], names: dict[int, str], library: Library
) -> None:
    for index, entry in enumerate(struct.iter_unpack("<IBBHQQ", symbols.data)):
        name, defined_in = entry[0], entry[3]
        if name and defined_in:
            library.exports.append(_text(strings, name))
        elif name:
            version = names.get(versions[index] & 0x7FFF, "") if versions else ""
            library.imports[_text(strings, name)] = version


def read(path: Path) -> Library:
    """Read the library. ValueError if the file is not a 64-bit ELF file."""
    data = path.read_bytes()
    if not data.startswith(MAGIC):
        raise ValueError(f"{path} must be a 64-bit little-endian ELF file")
    (machine,) = struct.unpack_from("<H", data, 18)
    library = Library(MACHINES.get(machine, str(machine)))
    _read_segments(data, library)
    sections = _sections(data)
    versions: list[int] = []
    names: dict[int, str] = {}
    for section in sections:
        if section.kind == DYNAMIC:
            _read_dynamic(section, sections[section.link].data, library)
        elif section.kind == VERSION_OF_SYMBOL:
            versions = [number for (number,) in struct.iter_unpack("<H", section.data)]
        elif section.kind == VERSIONS_NEEDED:
            names = _version_names(section, sections[section.link].data)
    for section in sections:
        if section.kind == DYNAMIC_SYMBOLS:
            _read_symbols(section, sections[section.link].data, versions, names, library)
    return library
