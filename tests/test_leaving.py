"""How a process notices that it leaves, without MPI; tests/test_kind_rank_leaves.py has it with MPI."""

from __future__ import annotations

import builtins
import subprocess
import sys
from typing import Any

import pytest

from bptt import leaving

SIZES = ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE")


@pytest.fixture(autouse=True)
def _no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (*SIZES, "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)


def test_sys_exit_is_left_alone_without_a_launcher() -> None:
    code = "import sys; before = sys.exit; import bptt; assert sys.exit is before"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("status", [None, 0, 3, "text", True])
def test_sys_exit_raises_as_it_did(status: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "exit", sys.exit)
    for name in {"exit", "quit"} & set(vars(builtins)):
        monkeypatch.setattr(builtins, name, getattr(builtins, name))
    leaving.notice_exits()
    noticed = sys.exit
    leaving.notice_exits()
    assert sys.exit is noticed
    with pytest.raises(SystemExit) as caught:
        sys.exit(status)
    assert caught.value.code == status
    assert type(caught.value).__name__ == "SystemExit"
    assert leaving._status is None  # it was caught: the process does not end


@pytest.mark.parametrize(
    ("way", "code"),
    [("sys.exit(3)", 3), ("exit(3)", 3), ("quit(3)", 3), ("sys.exit('text')", 1), ("sys.exit()", 0)],
)
def test_the_exit_code_stays_under_a_launcher(way: str, code: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "2")
    script = (
        "import sys, bptt, atexit; from bptt import leaving\n"
        "atexit.register(lambda: print(leaving._status))\n"
        f"{way}"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == code
    assert done.stdout.strip() == {3: "3", 1: "text", 0: "None"}[code]


@pytest.mark.parametrize("name", SIZES)
def test_what_launchers_say(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert not leaving.is_launched()
    for value, size in (("many", 1), ("1", 1), ("3", 3)):
        monkeypatch.setenv(name, value)
        assert leaving.processes_started() == size
        assert leaving.is_launched() == (size > 1)
    monkeypatch.delenv(name)
    monkeypatch.setenv("PMIX_RANK", "0")
    assert leaving.is_launched()
