"""Checks that need an environment of their own: `nox` runs the first three, `nox -s NAME` any one."""

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
    """The test suite against an installed wheel; further arguments go to pytest."""
    session.install(".[test]")
    session.run("pytest", *session.posargs)


@nox.session
def peers(session: nox.Session) -> None:
    """The same with PyTorch and ONNX Runtime installed, so that the tests against them run too."""
    session.install(".[test,peers]")
    session.run("pytest", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Style, types, spelling and workflow files."""
    session.install(".[lint,plot]")
    session.run("bash", ".ci/lint", external=True)


@nox.session
def stubs(session: nox.Session) -> None:
    """`_core.pyi` names what the compiled module holds, no more and no less."""
    session.install(".[test]")
    session.run("pytest", "tests/test_stubs.py", *session.posargs)


@nox.session
def sanitizers(session: nox.Session) -> None:
    """The test suite over a core built with AddressSanitizer and UndefinedBehaviorSanitizer."""
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
            # The interpreter is not instrumented: the run time must be there first, and malloc be its own.
            "LD_PRELOAD": f"{library('libasan.so')} {library('libstdc++.so')}",
            "PYTHONMALLOC": "malloc",
            # The interpreter's own leaks are not ours; a test asks for more memory than there is.
            "ASAN_OPTIONS": "detect_leaks=0:allocator_may_return_null=1",
            "UBSAN_OPTIONS": "print_stacktrace=1:halt_on_error=1",
        },
    )


@nox.session
def threads(session: nox.Session) -> None:
    """The native stress test under ThreadSanitizer."""
    session.install("cmake>=3.24", "ninja")
    session.run("cmake", "--preset", "threads")
    session.run("cmake", "--build", "--preset", "threads", "--target", "bptt_stress")
    session.run("build/threads/bptt_stress", external=True)


@nox.session
@nox.parametrize("compiler", ["g++-11", "clang++-14"])
def compilers(session: nox.Session, compiler: str) -> None:
    """Build with the oldest compilers that CMakeLists.txt accepts, and test what the kernels compute."""
    session.install(".[test]", "-Ccmake.define.BPTT_WERROR=ON", env={"CXX": compiler})
    selection = ["kind_range", "kind_stale_state", "activations", "stream", "bits", "ragged", "losses"]
    session.run("pytest", *(session.posargs or [f"tests/test_{name}.py" for name in selection]))


@nox.session
def cpus(session: nox.Session) -> None:
    """Other processors, emulated by qemu-user: native tests on 64-bit Arm, every cell on older x86."""
    session.install(".[test]", "cmake>=3.24", "ninja")
    session.run("bash", ".ci/arm", session.create_tmp(), "differences|stress", external=True)
    session.run("bash", ".ci/x86", session.create_tmp(), external=True)


@nox.session
def fuzz(session: nox.Session) -> None:
    """Long runs of the fuzz targets: a million random calls, every number of a checkpoint, many set-ups."""
    session.install(".[test]")
    for target, cases in (
        ("fuzz/test_calls.py", "1000000"),
        ("fuzz/test_checkpoint_files.py", "all"),
        ("fuzz/test_csv.py", "100000"),
        ("test_relations.py", "1000"),
    ):
        session.run("pytest", f"tests/{target}", *session.posargs, env={"BPTT_FUZZ_CASES": cases})


@nox.session
def full(session: nox.Session) -> None:
    """The suite with every combination of the grids that it takes in turn otherwise."""
    session.install(".[test]")
    session.run("pytest", "-m", "", *session.posargs)


@nox.session
def busy(session: nox.Session) -> None:
    """The suite with four busy processes beside it."""
    session.install(".[test]")
    loops = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        session.run("pytest", *session.posargs)
    finally:
        for loop in loops:
            loop.kill()


@nox.session
def bench(session: nox.Session) -> None:
    """Compare speeds with PyTorch, ONNX Runtime and JAX. Arguments such as --quick go to the script."""
    session.install(".[peers]")
    session.run("python", "benchmarks/compare.py", *session.posargs)
