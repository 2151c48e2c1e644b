"""What is published: the compiled module is hardened, and the checks of `release/` find faults."""

from __future__ import annotations

import base64
import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from release import elf
from release.check_sdist import ROOT, check_sdist, names_in, tracked_files
from release.check_sdist import main as check_archive
from release.check_wheel import check_hardening, check_library, check_wheel, main
from release.versions import check_ready, check_versions
from release.wheel_name import read_name

from bptt import _core

LINUX = read_name("bptt-1.0-cp311-cp311-manylinux_2_28_x86_64.whl")
INFO = "bptt-1.0.dist-info"
BILL = {"metadata": {"component": {"version": "1.0"}}, "components": [{"name": "pybind11", "version": "3.0"}]}
NAMES = ("BPTT_VERSION", "pybind11_VERSION", "CMAKE_CXX_COMPILER_ID", "CMAKE_CXX_COMPILER_VERSION")
"""What CMake puts into the bill of materials."""
MODULES = {
    "win_amd64": ("cp311-win_amd64.pyd", b"MZ"),
    "macosx_11_0_arm64": ("cpython-311-darwin.so", b"\xcf\xfa\xed\xfe"),
    "manylinux_2_28_x86_64": ("cpython-311-x86_64-linux-gnu.so", b"\x7fELF\x02\x01"),
    "musllinux_1_2_x86_64": ("cpython-311-x86_64-linux-musl.so", b"\x7fELF\x02\x01"),
}


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
    assert library.exports == ["PyInit__core"]
    for fault, name in {
        "relro": "RELRO",
        "bind_now": "symbols bound at load",
        "executable_stack": "stack not executable",
        "text_relocations": "code not relocated",
        "search_path": "search path",
    }.items():
        with subtests.test(fault):
            good = elf.Library(
                "x86_64", exports=["PyInit__core"], relro=True, bind_now=True, executable_stack=False
            )
            good.imports = {"__stack_chk_fail": "GLIBC_2.4", "__memcpy_chk": "GLIBC_2.3.4", "PyList_New": ""}
            assert not _failed(check_library(good, LINUX))
            setattr(good, fault, not getattr(good, fault))
            assert _failed(check_library(good, LINUX)) == [name]
    for symbol, version, name in [
        ("pow", "GLIBC_2.29", "newest GLIBC"),
        ("_ZSt28__throw_bad_array_new_lengthv", "GLIBCXX_3.4.29", "newest GLIBCXX"),
        ("_ZNSt15__exception_ptr13exception_ptr9_M_addrefEv", "CXXABI_1.3.13", "newest CXXABI"),
        ("gettid", "", "symbols in no library"),
    ]:
        with subtests.test(symbol):
            good.search_path = False
            good.imports = {"__stack_chk_fail": "GLIBC_2.4", "__memcpy_chk": "GLIBC_2.3.4", symbol: version}
            assert _failed(check_library(good, LINUX)) == [name]


def _bill(**changes):
    return {f"{INFO}/sboms/bptt.cdx.json": json.dumps(BILL | changes).encode()}


def _write_wheel(
    folder,
    *,
    platform="win_amd64",
    python="cp311",
    name="bptt-1.0",
    without="",
    extra=(),
    unlisted=(),
    missing=(),
):
    """Write a small wheel. `unlisted` is in no RECORD, and `missing` is in the RECORD alone."""
    suffix, module = MODULES["win_amd64"]
    contents = {
        "bptt/__init__.py": b"",
        f"bptt/_core.{suffix}": module,
        f"{INFO}/METADATA": b"Metadata-Version: 2.4\nName: bptt\nVersion: 1.0\n",
        f"{INFO}/WHEEL": b"Wheel-Version: 1.0\nTag: cp311-cp311-win_amd64\n",
        f"{INFO}/entry_points.txt": b"",
        f"{INFO}/licenses/LICENSE": b"MIT",
        f"{INFO}/licenses/LICENSES/pybind11.txt": b"BSD",
    }
    contents |= _bill() | dict(extra)
    contents = {file: data for file, data in contents.items() if not without or without not in file}
    lines = []
    for file, data in (contents | dict(missing)).items():
        digest = base64.urlsafe_b64encode(hashlib.sha256(data).digest()).decode().rstrip("=")
        lines.append(f"{file},sha256={digest},{len(data)}")
    lines.append(f"{INFO}/RECORD,,")
    path = folder / f"{name}-{python}-{python}-{platform}.whl"
    with zipfile.ZipFile(path, "w") as wheel:
        for file, data in {**contents, **dict(unlisted), f"{INFO}/RECORD": "\n".join(lines).encode()}.items():
            wheel.writestr(file, data)
    return path


def _for_platform(platform):
    """Return what a wheel of another platform has in place of the module and the tag for Windows."""
    suffix, module = MODULES[platform]
    extra = {
        f"bptt/_core.{suffix}": module,
        f"{INFO}/WHEEL": f"Wheel-Version: 1.0\nTag: cp311-cp311-{platform}\n".encode(),
    }
    return {"platform": platform, "without": ".pyd", "extra": extra}


def test_faulty_wheels_are_found(tmp_path, subtests, capsys):
    assert not _failed(check_wheel(_write_wheel(tmp_path)))
    assert not _failed(check_wheel(_write_wheel(tmp_path, **_for_platform("macosx_11_0_arm64"))))
    wrong_version = {f"{INFO}/METADATA": b"Name: bptt\nVersion: 0.9\n"}
    wrong_name = {f"{INFO}/METADATA": b"Name: other\nVersion: 1.0\n"}
    script = {f"{INFO}/run.sh": b"", f"{INFO}/evil.py": b""}
    gcc = ["metadata missing", "parts in the bill", "file"]
    faults = [
        (["bytes"], {"extra": {"bptt/large.py": bytes(2_000_000)}}),
        (["compiled module"], {"without": ".pyd"}),
        (["compiled module"], {"extra": {"bptt/_core.cp310-win_amd64.pyd": b"MZ"}}),
        (["files of no use"], {"extra": {"tests/test_x.py": b""}}),
        (["files that differ from RECORD"], {"unlisted": {"bptt/new.py": b""}}),
        (["files that differ from RECORD"], {"unlisted": {"bptt/__init__.py": b"another"}}),
        (["files that differ from RECORD"], {"missing": {"bptt/gone.py": b""}}),
        (["metadata missing"], {"without": "LICENSES/pybind11"}),
        (["metadata missing"], {"without": "sboms"}),
        (["metadata missing"], {"without": "entry_points"}),
        (["metadata missing", "name in METADATA", "version in METADATA"], {"without": "METADATA"}),
        (["metadata missing", "tags in WHEEL"], {"without": "WHEEL"}),
        (["metadata of no use"], {"extra": script}),
        (["name in METADATA"], {"extra": wrong_name}),
        (["version in METADATA"], {"extra": wrong_version}),
        (["parts in the bill"], {"extra": _bill(components=[])}),
        (["version in the bill"], {"extra": _bill(metadata={"component": {"version": "0.9"}})}),
        (["file"], {"extra": _bill(metadata={})}),
        (["module"], {"extra": {"bptt/_core.cp311-win_amd64.pyd": b"\x7fELF\x02\x01"}}),
        (["tags in WHEEL", "compiled module"], {"python": "cp310"}),
        (["tags in WHEEL", "compiled module"], {"platform": "macosx_11_0_arm64"}),
        (["tags in WHEEL", "compiled module"], {"platform": "manylinux_2_28_x86_64"}),
        (["oldest glibc", "tags in WHEEL", "compiled module"], {"platform": "manylinux_2_31_x86_64"}),
        (["file name"], {"platform": "linux_x86_64"}),
        (["file name"], {"name": "other-1.0"}),
        (["file"], _for_platform("manylinux_2_28_x86_64")),  # a module of six bytes
        (gcc, _for_platform("musllinux_1_2_x86_64")),  # without the licences of libstdc++ and libgcc
    ]
    for names, fault in faults:
        with subtests.test(str(names), fault=[*fault]):
            assert _failed(check_wheel(_write_wheel(tmp_path, **fault))) == names
    no_archive = tmp_path / "bptt-1.0-cp312-cp312-win_amd64.whl"
    no_archive.write_bytes(b"no zip")
    for path in (no_archive, tmp_path / "bptt-1.0-cp313-cp313-win_amd64.whl"):
        with subtests.test(path.name):
            assert _failed(check_wheel(path)) == ["file"]
    assert main([]) == 2
    assert "usage:" in capsys.readouterr().err
    assert main([str(no_archive)]) == 1
    assert "must be a readable wheel" in capsys.readouterr().err


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="asks Git which files the project has")
def test_sdist_and_versions(tmp_path, subtests, capsys):
    _check_versions_and_tag(subtests)
    pytest.importorskip("scikit_build_core", reason="makes an sdist")
    code = f"import scikit_build_core.build as b; print(b.build_sdist({str(tmp_path)!r}))"
    subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True)
    (path,) = tmp_path.glob("*.tar.gz")
    names = names_in(path)
    assert not check_sdist(names, tracked_files())
    wrong = check_sdist(names - {"CMakeLists.txt"} | {"tests/test_x.py"}, tracked_files())
    assert wrong == ["the sdist must hold CMakeLists.txt", "the sdist must not hold tests/test_x.py"]
    damaged = tmp_path / "damaged.tar.gz"
    damaged.write_bytes(path.read_bytes()[:1000])
    assert check_archive([str(damaged)]) == 1
    assert "must be a readable archive" in capsys.readouterr().err
    assert check_archive([]) == 2


def _check_versions_and_tag(subtests):
    texts = {
        "src/bptt/_version.py": '__version__ = "1.2.3"',
        "CHANGELOG.md": "## [Unreleased]\n\n## [1.2.3] - 2026-01-01\n\n- A change.\n",
        "CITATION.cff": "version: 1.2.3",
        "SECURITY.md": "| latest minor release (1.2) | yes |",
        "docs/contribute/versions.md": "| | 1.2 supports | dropped |",
    }
    assert not check_versions(texts, "v1.2.3")
    assert not check_ready(texts)
    assert len(check_versions(texts, "v1.2.4")) == 1
    for name in [*texts][1:]:
        with subtests.test(name):
            assert len(check_versions({**texts, name: texts[name].replace("1.2", "1.1")})) == 1
            assert len(check_versions({other: text for other, text in texts.items() if other != name})) == 1
    for name, text in {
        "CHANGELOG.md": "## [Unreleased]\n- New.\n## [1.2.3]",
        "SECURITY.md": "SITE/OWNER/NAME",
    }.items():
        with subtests.test("ready", file=name):
            assert len(check_ready({**texts, name: text})) == 1


def test_bill_of_materials_is_valid_cyclonedx(tmp_path, subtests):
    validation = pytest.importorskip("cyclonedx.validation.json")
    from cyclonedx.schema import SchemaVersion

    cmake = shutil.which("cmake") or pytest.skip("cmake is not installed")
    validator = validation.JsonStrictValidator(SchemaVersion.V1_6)
    for linked, parts in (("OFF", {"pybind11"}), ("ON", {"pybind11", "libstdc++", "libgcc"})):
        with subtests.test(f"static libraries of GCC: {linked}"):
            script = tmp_path / f"{linked}.cmake"
            script.write_text(
                "".join(f'set({name} "1.2")\n' for name in NAMES)
                + f"set(BPTT_STATIC_LIBSTDCXX {linked})\n"
                + f'include("{(ROOT / "cmake" / "sbom.cmake").as_posix()}")\n'
                + f'configure_file("{(ROOT / "cmake" / "sbom.json.in").as_posix()}" bill.json @ONLY)\n'
            )
            subprocess.run([cmake, "-P", script], cwd=tmp_path, check=True, capture_output=True)
            text = (tmp_path / "bill.json").read_text(encoding="utf-8")
            assert {part["name"] for part in json.loads(text)["components"]} == parts
            assert validator.validate_str(text) is None
            assert validator.validate_str(text.replace('"library"', '"book"')) is not None
