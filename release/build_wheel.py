"""Build and repair a wheel from an sdist: `python -m release.build_wheel SDIST FOLDER [PYTHON]`."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
REQUIREMENTS = ROOT / "release" / "requirements"
COMPILER = "g++-11"
"""The oldest compiler promised. Newer ones use functions that the libstdc++ of manylinux_2_28 lacks."""


def run(*command: object, environment: dict[str, str] | None = None, folder: Path | None = None) -> str:
    """Run a command and return what it prints. Its output is shown if it fails."""
    words = [str(word) for word in command]
    variables = os.environ | (environment or {})
    done = subprocess.run(words, capture_output=True, text=True, env=variables, cwd=folder, check=False)
    if done.returncode:
        print(done.stdout + done.stderr, file=sys.stderr)
        raise SystemExit(f"release: this command failed with status {done.returncode}: {' '.join(words)}")
    return done.stdout


def commit_time() -> str:
    """Return the time of the last commit, in seconds: builds of one commit take this time for theirs."""
    return run("git", "log", "-1", "--format=%ct", folder=ROOT).strip()


def environment(python: str, folder: Path) -> Path:
    """Make a virtual environment with the pinned build requirements, or return the one in the folder."""
    executable = folder / "bin" / "python"
    if not executable.exists():
        run(python, "-m", "venv", folder)
        install = (executable, "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*install, "--require-hashes", "-r", REQUIREMENTS / "build.txt")
    return executable


def build_wheel(sdist: Path, out: Path, python: Path) -> Path:
    """Unpack the sdist in a new folder, build its wheel, repair it for manylinux, and return its path."""
    with tempfile.TemporaryDirectory(prefix="bptt-") as folder:
        with tarfile.open(sdist) as archive:
            archive.extractall(folder, filter="data")
        variables = {
            "CXX": os.environ.get("CXX", COMPILER),
            "PATH": f"{python.parent}{os.pathsep}{os.environ['PATH']}",
            "SOURCE_DATE_EPOCH": os.environ.get("SOURCE_DATE_EPOCH") or commit_time(),
        }
        (source,) = Path(folder).iterdir()
        pip = (python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-cache-dir")
        options = (
            *(f"--config-settings=cmake.define.{name}=ON" for name in ("BPTT_MANYLINUX", "BPTT_WERROR")),
        )
        run(*pip, *options, "-w", source / "dist", source, environment=variables, folder=source)
        (wheel,) = (source / "dist").glob("*.whl")
        repaired = source / "repaired"
        run(
            sys.executable,
            "-m",
            "auditwheel",
            "repair",
            "-z",
            9,
            "-w",
            repaired,
            wheel,
            environment=variables,
        )
        (made,) = repaired.glob("*.whl")
        out.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copy(made, out))  # replaces the wheel of an earlier build


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as tools:
        interpreter = environment(sys.argv[3] if len(sys.argv) > 3 else sys.executable, Path(tools))
        print(build_wheel(Path(sys.argv[1]), Path(sys.argv[2]), interpreter))
