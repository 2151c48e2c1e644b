"""Checks in fresh environments. `nox` runs the first three sessions, `nox -s NAME` runs one session."""

from __future__ import annotations

import os
import subprocess
import sys

import nox

nox.needs_version = ">=2024.4"
nox.options.sessions = ["tests", "lint", "stubs"]
nox.options.default_venv_backend = "virtualenv"


@nox.session
def tests(session: nox.Session) -> None:
    """Run the test suite against an installed wheel. Further arguments go to pytest."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """Run the tests with PyTorch and ONNX Runtime installed, so the tests against them run, too."""
    session.install(".[test,peers]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, types, spelling and workflow files."""
    session.install(".[lint,plot]")
    session.run("bash", ".ci/lint", external=True)


@nox.session
def stubs(session: nox.Session) -> None:
    """Check that `_core.pyi` has exactly the names of the compiled module."""
    session.install(".[test]")
    session.run("pytest", "tests/test_stubs.py", *session.posargs)


@nox.session
def sanitizers(session: nox.Session) -> None:
    """Run the test suite with AddressSanitizer and UndefinedBehaviorSanitizer in the core."""
    session.install(
        ".[test]", "-Ccmake.define.BPTT_SANITIZE=address,undefined", "-Ccmake.build-type=RelWithDebInfo"
    )
    compiler = os.environ.get("CXX", "c++")

    def library(name: str) -> str:
        command = [compiler, f"-print-file-name={name}"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    session.run(
        "pytest",
        *session.posargs,
        env={
            # The interpreter is not instrumented, so load the sanitizer first, and use its malloc.
            "LD_PRELOAD": f"{library('libasan.so')} {library('libstdc++.so')}",
            "PYTHONMALLOC": "malloc",
            # Ignore leaks of the interpreter. One test asks for more memory than the machine has.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        },
    )


@nox.session
def threads(session: nox.Session) -> None:
    """Run the native stress test under ThreadSanitizer."""
    session.install("cmake>=3.24", "ninja")
    session.run("cmake", "--preset", "threads")
    session.run("cmake", "--build", "--preset", "threads", "--target", "bptt_stress")
    session.run("build/threads/bptt_stress", external=True)


@nox.session
@nox.parametrize("compiler", ["g++-11", "clang++-14"])
def compilers(session: nox.Session, compiler: str) -> None:
    """Build with the oldest compilers that CMakeLists.txt accepts, and test the kernels."""
    session.install(".[test]", "-Ccmake.define.BPTT_WERROR=ON", env={"CXX": compiler})
    selection = ["kind_range", "kind_stale_state", "activations", "stream", "bits", "ragged", "losses"]
    session.run("pytest", *(session.posargs or [f"tests/test_{name}.py" for name in selection]))


@nox.session
def cpus(session: nox.Session) -> None:
    """Test the kernels on processors emulated by qemu-user: 64-bit Arm, and older x86."""
    session.install(".[test]", "cmake>=3.24", "ninja", "pybind11")
    session.run("bash", ".ci/arm", session.create_tmp(), ".", external=True)
    session.run("bash", ".ci/arm-python", session.create_tmp(), external=True)
    session.run("bash", ".ci/x86", session.create_tmp(), "kernels", external=True)


@nox.session
def systems(session: nox.Session) -> None:
    """Build the C++ code for musl, Windows and macOS with Zig, and run what can run here."""
    session.install(".[test]", "cmake>=3.24", "ninja", "pybind11", "ziglang")
    session.run("bash", ".ci/systems", session.create_tmp(), external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Run the fuzz targets for long: random calls, every number of a file, many configurations."""
    session.install(".[test]")
    for target, cases in (
        ("fuzz/test_calls.py", "1000000"),
        ("fuzz/test_checkpoint_files.py", "all"),
        ("fuzz/test_csv.py", "100000"),
        ("fuzz/test_state_dict_files.py", "100000"),
        ("fuzz/test_onnx_files.py", "all"),
        ("test_relations.py", "1000"),
    ):
        session.run("pytest", f"tests/{target}", *session.posargs, env={"BPTT_FUZZ_CASES": cases})


@nox.session
def promises(session: nox.Session) -> None:
    """Run tests/promises in full and the test `baseline`, and print figures. Arguments go to the script."""
    session.install(".[test,onnx]", "cmake>=3.24", "ninja")
    session.run("python", "benchmarks/promises.py", *session.posargs)
    build = session.create_tmp()
    session.run("cmake", "--preset", "release", "-B", build, "-DBPTT_PYTHON=OFF", "-DBPTT_NATIVE_TESTS=ON")
    session.run("cmake", "--build", build, "--target", "bptt_core")
    selection = ["--tests-regex", "baseline", "--no-tests=error"]
    session.run("ctest", "--test-dir", build, "--output-on-failure", *selection)


@nox.session
def full(session: nox.Session) -> None:
    """Run all tests: the suite, and all combinations of options (marker "grid")."""
    session.install(".[test,peers]")
    session.run("pytest", "-m", "", *session.posargs)


@nox.session
def busy(session: nox.Session) -> None:
    """Run the test suite next to four busy processes."""
    session.install(".[test]")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        session.run("pytest", *session.posargs)
    finally:
        for loop in loops:
            loop.kill()


@nox.session
def docs(session: nox.Session) -> None:
    """Build the site into build/site. All examples run; a warning is an error. Arguments go to Sphinx."""
    session.install(".[docs,examples]", "torch")
    session.run("sphinx-build", "-W", "--keep-going", "-n", *session.posargs, "docs", "build/site")


@nox.session
def pages(session: nox.Session) -> None:
    """Open each page of the built site in a browser, as wide as a desktop and as a phone."""
    session.install("playwright")
    session.run("playwright", "install", "--with-deps", "chromium")
    session.run("python", "docs/check_pages.py", "build/site", *session.posargs)


@nox.session
def links(session: nox.Session) -> None:
    """Check the links from the site to other sites."""
    session.install(".[docs]", "torch")
    session.run("sphinx-build", "-b", "linkcheck", "-D", "plot_gallery=0", "docs", "build/links")


@nox.session
def notebooks(session: nox.Session) -> None:
    """Write the notebooks of the tutorial into build/notebooks, and run them."""
    session.install(".[plot]", "ipykernel", "nbclient", "sphinx", "sphinx-gallery")
    session.run("python", "docs/notebooks.py", "build/notebooks")


@nox.session
def release(session: nox.Session) -> None:
    """Make, check and test the files of a release, but upload nothing: docs/contribute/releasing.md."""
    session.install("--require-hashes", "-r", "release/requirements/tools.txt")
    session.run("python", "-m", "release", *session.posargs)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare speeds with other libraries. Arguments such as --quick go to the script."""
    session.install(".[peers]")
    session.run("python", "benchmarks/compare.py", *session.posargs)
