"""Promise 6: what the package leaves alone in a process, and the limits of a process that it respects."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

LOOK = """
import json, os, re
import numpy as np

def look():
    with open("/proc/self/status") as file:
        caught = re.search("SigCgt:\\\\s*(\\\\w+)", file.read())[1]
    with open("/proc/self/maps") as file:
        libraries = {os.path.basename(line.split()[-1]) for line in file if ".so" in line}
    return caught, sorted(name for name in libraries if re.match("lib(g|i)?omp", name)), sorted(os.environ)

before = look()
import bptt
imported = look()
bptt.set_num_threads(2)
layer = bptt.LSTM(48, 64, seed=1)
y, _, tape = layer.forward(np.ones((40, 64, 48), np.float32))
layer.backward(tape, y)
after = look()
print(json.dumps([before, imported, after]))
"""
THREADS = "import bptt; print(bptt.get_num_threads(), bptt.runtime.thread_rule())"


def clean() -> dict[str, str]:
    """The environment without a number of threads."""
    return {name: value for name, value in os.environ.items() if not name.endswith("_NUM_THREADS")}


def python(code: str, *before: str) -> str:
    """What the code prints in a new interpreter, which these words start."""
    command = [*before, sys.executable, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=clean()).stdout


def check_signals_and_libraries() -> None:
    before, imported, after = json.loads(python(LOOK))
    assert before == imported == after  # handlers of signals, OpenMP, environment


def check_affinity() -> None:
    core = min(os.sched_getaffinity(0))
    assert python(f"import os; os.sched_setaffinity(0, [{core}]); {THREADS}").startswith("1 the cores")


def check_quota(folder: Path) -> None:
    """A quota of half a core, in a file system of the process's own."""
    quota = folder / "cpu.max"
    quota.write_text("50000 100000\n", encoding="ascii")
    mount = f'mount --bind "{folder}" /sys/fs/cgroup && exec "$@"'
    alone = ("unshare", "--mount", "sh", "-c", mount, "sh")
    if not shutil.which("unshare") or subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this user may not mount")
    assert python(THREADS, *alone).split(maxsplit=1) == ["1", "the control group's CPU quota\n"]


@pytest.mark.skipif(not os.path.isfile("/proc/self/maps"), reason="reads the state of a process from /proc")
def test_a_process_keeps_its_state_and_its_limits(tmp_path: Path, subtests: pytest.Subtests) -> None:
    checks: dict[str, Callable[[], Any]] = {
        "signals and libraries": check_signals_and_libraries,
        "affinity": check_affinity,
        "quota of the control group": lambda: check_quota(tmp_path),
    }
    for name, check in checks.items():
        with subtests.test(name):
            check()
