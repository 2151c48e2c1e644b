"""Do everything for a release but the upload: `python -m release [--draft] [--all] [--out FOLDER]`."""

from __future__ import annotations

import argparse
import glob
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from release.build_wheel import ROOT, build_wheel, commit_time, environment, run
from release.check_sdist import check_sdist, names_in, tracked_files
from release.check_wheel import check_wheel, table
from release.reproduce import build_twice, sha256
from release.try_wheel import try_wheel
from release.versions import check_ready, check_versions, read_places

PROMISED = range(10, 15)
"""Minor versions of Python 3 that wheels are published for."""


def find_pythons(needed: int) -> list[str]:
    """Return the oldest and the newest Python found, of those that wheels are published for.

    SystemExit if fewer are found than needed.
    """
    found = []
    for minor in PROMISED:
        name = f"python3.{minor}"
        pyenv = os.environ.get("PYENV_ROOT", str(Path.home() / ".pyenv"))
        for candidate in [shutil.which(name), *glob.glob(f"{pyenv}/versions/3.{minor}.*/bin/{name}")]:
            # pyenv also has shims for versions that are not active. Such a shim fails when it starts.
            if (
                candidate
                and subprocess.run([candidate, "-c", ""], capture_output=True, check=False).returncode == 0
            ):
                found.append(candidate)
                break
    if len(found) < needed:
        raise SystemExit(
            f"release: {needed} Pythons from 3.10 to 3.14 must be installed, found {len(found)}."
        )
    return found[:: max(len(found) - 1, 1)]


def make_sdist(out: Path) -> Path:
    """Make the sdist with the pinned build requirements, and check its files."""
    with tempfile.TemporaryDirectory(prefix="bptt-tools-") as tools:
        python = environment(sys.executable, Path(tools))
        backend = "import sys, scikit_build_core.build as backend; print(backend.build_sdist(sys.argv[1]))"
        run(python, "-c", backend, out, folder=ROOT)
    (sdist,) = out.glob("*.tar.gz")
    if wrong := check_sdist(names_in(sdist), tracked_files()):
        raise SystemExit("\n".join(wrong))
    return sdist


def make_wheels(sdist: Path, out: Path, pythons: list[str]) -> dict[str, Path]:
    """Make a wheel for each Python, the last one twice."""
    wheels = {}
    with tempfile.TemporaryDirectory(prefix="bptt-tools-") as tools:
        for python in pythons:
            print(f"release: building for {python}", flush=True)
            make = build_twice if python == pythons[-1] else build_wheel
            wheels[python] = make(sdist, out, environment(python, Path(tools) / Path(python).name))
    return wheels


def check_wheels(wheels: list[Path]) -> None:
    """Print the table of each wheel. SystemExit if a check fails."""
    failed = False
    for wheel in wheels:
        checks = check_wheel(wheel)
        failed |= not all(check.passed for check in checks)
        print(f"\n{wheel.name}\nsha256 {sha256(wheel)}\n{table(checks)}", flush=True)
    if failed:
        raise SystemExit("release: a check of a wheel failed")


def check_tree(*, draft: bool) -> None:
    """Check versions and the state of Git. A draft only warns."""
    texts = read_places()
    wrong = check_versions(texts) + check_ready(texts)
    if run("git", "status", "--porcelain", folder=ROOT):
        wrong.append("the working tree must have no changes. Commit them first.")
    for message in wrong:
        print(f"release: {message}", file=sys.stderr)
    if wrong and not draft:
        raise SystemExit("release: --draft goes on in spite of this")


def main() -> None:
    """Run all steps."""
    parser = argparse.ArgumentParser(prog="python -m release", description=__doc__)
    parser.add_argument(
        "--draft", action="store_true", help="go on if versions or commits are not ready, with one Python"
    )
    parser.add_argument(
        "--all", action="store_true", help="run all tests with each wheel, not a short selection"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "dist", help="folder for the sdist and the wheels")
    options = parser.parse_args()
    check_tree(draft=options.draft)
    pythons = find_pythons(1 if options.draft else 2)
    os.environ.setdefault("SOURCE_DATE_EPOCH", commit_time())
    out = options.out.absolute()
    for earlier in [*out.glob("bptt-*.tar.gz"), *out.glob("bptt-*.whl")]:
        earlier.unlink()
    sdist = make_sdist(out)
    wheels = make_wheels(sdist, out, pythons)
    check_wheels(list(wheels.values()))
    run(sys.executable, "-m", "twine", "check", "--strict", sdist, *wheels.values())
    print("\nrelease: twine check --strict passed", flush=True)
    for python, wheel in wheels.items():
        print(f"release: {try_wheel(wheel, python, everything=options.all)}", flush=True)
    print(f"release: {out} is ready. Pushing the tag v{sdist.name[5:-7]} publishes.")


if __name__ == "__main__":
    main()
