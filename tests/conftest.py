"""What every test file shares: the header that names the build under test, and a clean run time per test."""

from __future__ import annotations

import gc
import signal
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine

import bptt


def pytest_report_header() -> str:
    return f"bptt {bptt.__version__}, instruction set {bptt.isa()}, {bptt.get_num_threads()} thread(s)"


def pytest_configure() -> None:
    """Ctrl-C raises KeyboardInterrupt, also where the shell that started the run made it ignored."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def pytest_collection_finish() -> None:
    """Keep later garbage collections from looking at thousands of collected tests."""
    gc.collect()
    gc.freeze()


@pytest.fixture(autouse=True)
def _runtime_restored() -> Iterator[None]:
    """A test may force an instruction set or a number of threads; the next one starts as it did."""
    isa, threads = bptt.isa(), bptt.get_num_threads()
    yield
    if bptt.isa() != isa:
        bptt.use_isa(isa)
    if bptt.get_num_threads() != threads:
        bptt.set_num_threads(threads)


@pytest.fixture
def one_torch_thread() -> Iterator[None]:
    """PyTorch with one thread: on a busy machine its threads make small operations ten times slower."""
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def bptt_command(capsys: pytest.CaptureFixture[str]) -> CommandLine:
    """The command `bptt`, to be called with arguments."""
    return CommandLine(capsys)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working folder."""
    work = tmp_path / "work"
    work.mkdir()
    monkeypatch.chdir(work)
    return work


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A text of some 2,700 characters."""
    path = tmp_path / "text.txt"
    words = np.random.default_rng(0).choice(["the", "cell", "opens", "its", "gate", "and", "forgets.\n"], 600)
    path.write_text(" ".join(words), encoding="utf-8")
    return path
