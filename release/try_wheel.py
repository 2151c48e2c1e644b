"""Test a wheel in a fresh environment: `python -m release.try_wheel WHEEL PYTHON [--all]`."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from pathlib import Path

from release.build_wheel import ROOT, run
from release.check_sdist import tracked_files

SHORT = (
    "activations",
    "checkpoint",
    "freeze",
    "gradcheck",
    "losses",
    "module",
    "release",
    "stream",
    "stubs",
    "train",
)


def try_wheel(wheel: Path, python: str, *, everything: bool = False) -> str:
    """Install the wheel with its dependencies alone, and test it. Return a summary."""
    with tempfile.TemporaryDirectory(prefix="bptt-try-") as folder:
        home = Path(folder)
        run(python, "-m", "venv", home / "venv")
        bin_ = home / "venv" / "bin"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        isolated = dict.fromkeys(os.environ.keys() - environment.keys(), "")
        pip = (bin_ / "python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check")
        run(*pip, "--no-cache-dir", wheel, environment=isolated, folder=home)
        selftest = run(bin_ / "bptt", "selftest", environment=isolated, folder=home).strip().splitlines()[-1]
        # After the self-test, which has shown that the dependencies of the wheel are enough.
        run(
            *pip,
            f"{wheel}[test]" if everything else "pytest>=9",
            "hypothesis",
            environment=isolated,
            folder=home,
        )
        # Tests read most files of the project. Without src/, they can only import the installed package.
        for name in tracked_files():
            if not name.startswith("src/") and (ROOT / name).exists():
                (home / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, home / name)
        files = ["tests"] if everything else [f"tests/test_{name}.py" for name in SHORT]
        pytest = (bin_ / "python", "-m", "pytest", "-q", "-p", "no:cacheprovider", *files)
        tests = run(*pytest, environment=isolated, folder=home).strip().splitlines()[-1]
        version = run(bin_ / "python", "--version").strip()
    return f"{version}: selftest: {selftest}; tests: {tests.strip('= ')}"


if __name__ == "__main__":
    print(try_wheel(Path(sys.argv[1]).absolute(), sys.argv[2], everything="--all" in sys.argv[3:]))
