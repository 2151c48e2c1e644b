"""What is published: the compiled module is hardened, and the checks of `release/` find faults."""

from __future__ import annotations

import base64
import hashlib
import json
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from release import elf
from release.check_sdist import ROOT, check_sdist, names_in, tracked_files
from release.check_wheel import check_hardening, check_library, check_wheel
from release.versions import check_versions

from bptt import _core

TAG = "cp311-cp311-manylinux_2_28_x86_64"
INFO = "bptt-1.0.dist-info"
BILL = {"metadata": {"component": {"version": "1.0"}}, "components": [{"name": "pybind11", "version": "3.0"}]}


def _failed(checks):
    return [check.name for check in checks if not check.passed]


@pytest.mark.skipif(sys.platform != "linux", reason="hardening is checked in ELF files")
def test_module_is_hardened(subtests):
    library = elf.read(Path(_core.__file__))
    if (
        any("asan" in name or "tsan" in name for name in library.needed)
        or _core.build_config()["build_type"] == "Debug"
    ):
        pytest.skip("a build with sanitizers or without optimization")
    assert not _failed(check_hardening(library, fortified="libc.so.6" in library.needed))
    for fault, name in {
        "relro": "RELRO",
        "bind_now": "symbols bound at load",
        "executable_stack": "stack not executable",
        "text_relocations": "code not relocated",
        "search_path": "search path",
    }.items():
        with subtests.test(fault):
            good = elf.Library("x86_64", relro=True, bind_now=True, executable_stack=False)
            good.imports = {"__stack_chk_fail": "GLIBC_2.4", "__memcpy_chk": "GLIBC_2.3.4", "PyList_New": ""}
            assert not _failed(check_library(good, TAG))
            setattr(good, fault, not getattr(good, fault))
            assert _failed(check_library(good, TAG)) == [name]
    for symbol, version, name in [
        ("pow", "GLIBC_2.29", "newest GLIBC"),
        ("_ZSt28__throw_bad_array_new_lengthv", "GLIBCXX_3.4.29", "newest GLIBCXX"),
        ("_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv", "CXXABI_1.3.13", "newest CXXABI"),
        ("gettid", "", "symbols in no library"),
    ]:
        with subtests.test(symbol):
            good.search_path = False
            good.imports = {"__stack_chk_fail": "GLIBC_2.4", "__memcpy_chk": "GLIBC_2.3.4", symbol: version}
            assert _failed(check_library(good, TAG)) == [name]


def _write_wheel(folder, *, tag="py3-none-any", without="", extra=(), record=None):
    contents = {
        "bptt/__init__.py": b"",
        "bptt/_core.cp311-win_amd64.pyd": b"",
        f"{INFO}/METADATA": b"",
        f"{INFO}/licenses/LICENSE": b"MIT",
        f"{INFO}/licenses/LICENSES/pybind11.txt": b"BSD",
        f"{INFO}/sboms/bptt.cdx.json": json.dumps(BILL).encode(),
    } | dict(extra)
    contents = {name: data for name, data in contents.items() if not without or without not in name}
    lines = []
    for name, data in contents.items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(record or data).digest()).decode().rstrip("=")
        lines.append(f"{name},sha256={digest},{len(data)}")
    path = folder / f"bptt-1.0-{tag}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for name, data in {**contents, f"{INFO}/RECORD": "\n".join(lines).encode()}.items():
            wheel.writestr(name, data)
    return path


def test_faulty_wheels_are_found(tmp_path, subtests):
    assert not _failed(check_wheel(_write_wheel(tmp_path)))
    old_bill = json.dumps(BILL | {"metadata": {"component": {"version": "0.9"}}}).encode()
    for name, fault in {
        "bytes": {"extra": {"bptt/large.py": bytes(2_000_000)}},
        "compiled modules": {"without": ".pyd"},
        "files of no use": {"extra": {"tests/test_x.py": b""}},
        "files that differ from RECORD": {"record": b"another"},
        "licence notices missing": {"without": "pybind11"},
        "bill of materials": {"without": "sboms"},
        "pybind11": {
            "extra": {f"{INFO}/sboms/bptt.cdx.json": json.dumps(BILL | {"components": []}).encode()}
        },
        "version in it": {"extra": {f"{INFO}/sboms/bptt.cdx.json": old_bill}},
    }.items():
        with subtests.test(name):
            assert _failed(check_wheel(_write_wheel(tmp_path, **fault))) == [name]


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks Git which files the project has")
def test_sdist_and_versions(tmp_path):
    pytest.importorskip("scikit_build_core", reason="makes an sdist")
    code = f"import scikit_build_core.build as b; print(b.build_sdist({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    names = names_in(path)
    assert not check_sdist(names, tracked_files())
    wrong = check_sdist(names - {"CMakeLists.txt"} | {"tests/test_x.py"}, tracked_files())
    assert wrong == ["the sdist must hold CMakeLists.txt", "the sdist must not hold tests/test_x.py"]
    texts = {
        "src/bptt/_version.py": '__version__ = "1.2.3"',
        "CHANGELOG.md": "## Unreleased\n## 1.2.3 - 2026-01-01",
    }
    assert not check_versions(texts)
    assert len(check_versions(texts | {"CITATION.cff": "version: 1.2.2"})) == 1


def test_bill_of_materials_is_valid_cyclonedx():
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    text = (ROOT / "cmake" / "sbom.json.in").read_text(encoding="utf-8")
    for name in ("BPTT_VERSION", "pybind11_VERSION", "CMAKE_CXX_COMPILER_ID", "CMAKE_CXX_COMPILER_VERSION"):
        text = text.replace(f"@{name}@", "1.2")
    for name in ("BPTT_LINKED_PARTS", "BPTT_LINKED_REFERENCES"):
        text = text.replace(f"@{name}@", "")
    assert "@" not in text.replace("bptt@1.2", "").replace("pybind11@1.2", "")
    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    assert validator.validate_str(text) is None
    assert validator.validate_str(text.replace('"library"', '"book"')) is not None
