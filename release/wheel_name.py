"""Read what the file name of a wheel promises: version, Python, system, processor, and the oldest glibc."""

from __future__ import annotations

import re
from dataclasses import dataclass

NAME = re.compile(
    r"bptt-(?P<version>[^-]+)-(?P<python>cp3\d+)-(?P<abi>(?P=python)t?)-(?P<platform>[^-]+)\.whl"
)
LINUX = {
    "manylinux": r"manylinux(?:_2_(?P<glibc>\d+)|(?P<year>\d+))_(?P<machine>x86_64|aarch64)",
    "musllinux": r"musllinux_1_2_(?P<machine>x86_64|aarch64)",
}
PLATFORMS = LINUX | {"macOS": r"macosx_11_0_(?P<machine>arm64)", "Windows": r"win_(?P<machine>amd64)"}
MODULES = {
    "manylinux": r"cpython-{abi}-{machine}-linux-gnu\.so",
    "musllinux": r"cpython-{abi}-{machine}-linux-(gnu|musl)\.so",
    "macOS": r"cpython-{abi}-darwin\.so",
    "Windows": r"cp{abi}-win_{machine}\.pyd",
}
MAGIC = {"macOS": b"\xcf\xfa\xed\xfe", "Windows": b"MZ"}
"""The first bytes of a compiled module; 64-bit ELF on other systems."""
OF_YEAR = {"1": "5", "2010": "12", "2014": "17"}
"""Older tags have the year of their specification instead of the version of glibc."""


@dataclass(frozen=True)
class WheelName:
    """The parts of a file name."""

    version: str
    tags: frozenset[str]
    system: str
    machine: str
    module: str
    """Pattern of the name of the compiled module."""
    glibc: int
    """Minor version of the oldest glibc 2 that a tag names, 0 for other systems."""

    @property
    def magic(self) -> bytes:
        """The bytes that the compiled module must begin with."""
        return MAGIC.get(self.system, b"\x7fELF\x02\x01")


def read_name(name: str) -> WheelName | None:
    """Return the parts of a file name. None if a release has no wheel of this name."""
    parts = NAME.fullmatch(name)
    if not parts:
        return None
    platforms = parts["platform"].split(".")
    for system, pattern in PLATFORMS.items():
        found = [match for platform in platforms if (match := re.fullmatch(pattern, platform))]
        machines = {match["machine"] for match in found}
        if len(found) != len(platforms) or len(machines) != 1:
            continue
        oldest = [
            match["glibc"] or OF_YEAR.get(match["year"], "99")
            for match in found
            if "glibc" in match.re.groupindex
        ]
        (machine,) = machines
        return WheelName(
            version=parts["version"],
            tags=frozenset(f"{parts['python']}-{parts['abi']}-{platform}" for platform in platforms),
            system=system,
            machine=machine,
            module=rf"bptt/_core\.{MODULES[system].format(abi=parts['abi'][2:], machine=machine)}",
            glibc=min(map(int, oldest), default=0),
        )
    return None
