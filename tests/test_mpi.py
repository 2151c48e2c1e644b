"""Several ranks over MPI: processes that `mpiexec` starts, shared memory and TCP between them."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tests import mpi_job
from tests.commandline import CommandLine, weather, write_csv
from tests.grids import in_turn

import bptt

TIMEOUT = 60.0
"""Seconds, after which a job hangs."""
TCP = {"MPIR_CVAR_NOLOCAL": "1", "MPIR_CVAR_CH4_NETMOD": "ofi", "FI_PROVIDER": "tcp"}
"""What makes MPICH send by TCP what it would pass through memory: no rank is taken to be on this machine."""


@dataclass(frozen=True)
class Job:
    code: int
    out: str
    err: str


def mpiexec(ranks: int, *command: object, **variables: str) -> Job:
    """Run `python command` on so many ranks."""
    beside = shutil.which("mpiexec", path=os.path.dirname(sys.executable))
    launcher = beside or shutil.which("mpiexec")
    assert launcher is not None
    process = subprocess.Popen(
        [launcher, "-n", str(ranks), sys.executable, *map(str, command)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **variables},
        start_new_session=True,  # so that nothing is left of a job that hangs
    )
    try:
        out, err = process.communicate(timeout=TIMEOUT)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        raise
    return Job(process.returncode, out, err)


@cache
def missing() -> str:
    """Why there is no MPI here; empty if there is one."""
    if find_spec("mpi4py") is None:
        return "mpi4py is not installed (pip install mpi4py mpich)"
    if not shutil.which("mpiexec", path=os.path.dirname(sys.executable)) and not shutil.which("mpiexec"):
        return "there is no mpiexec (pip install mpich)"
    try:
        tried = mpiexec(2, "-c", "from mpi4py.MPI import COMM_WORLD as c; c.rank or print(c.size)")
    except subprocess.TimeoutExpired:
        return "mpiexec hangs here"
    return "" if tried.out.split() == ["2"] else f"mpiexec does not work here: {tried.err or tried.out:.200}"


@pytest.fixture(autouse=True)
def _with_mpi() -> None:
    if missing():
        pytest.skip(missing())


def job(name: str, folder: Path, ranks: int = 2, **variables: str) -> Job:
    return mpiexec(ranks, mpi_job.__file__, name, folder, **variables)


def whole() -> np.ndarray:
    """The weights that one process comes to."""
    trainer = mpi_job.trainer(None)
    trainer.fit(mpi_job.data(None))
    assert len(trainer.history["loss"]) == mpi_job.STEPS
    return trainer.model.flat_parameters


def test_batches_in_three_parts_equal_whole_ones(tmp_path: Path) -> None:
    """Two ranks, over TCP, are in the next test."""
    done = job("train", tmp_path, 3)
    assert done.code == 0, done.err
    np.testing.assert_allclose(np.load(tmp_path / "trained.npz")["weights"], whole(), rtol=0, atol=1e-6)


def test_over_tcp(tmp_path: Path) -> None:
    if sys.platform != "linux":
        pytest.skip("bytes on an interface are read from /proc")
    version = mpiexec(1, "-c", "from mpi4py import MPI; print(MPI.Get_library_version())").out
    if not version.startswith("MPICH") or "ofi" not in version:
        pytest.skip("the way to force TCP is that of MPICH with libfabric")
    done = job("train", tmp_path, **TCP)
    assert done.code == 0, done.err
    with np.load(tmp_path / "trained.npz") as trained:
        np.testing.assert_allclose(trained["weights"], whole(), rtol=0, atol=1e-6)
        # In every update each rank must hear of what the other has: a float64 for each parameter.
        assert trained["bytes"] > 2 * 8 * mpi_job.STEPS * trained["weights"].size


FAILURES = {
    "fail": "LookupError: the disk is on fire",
    "fail outside": "LookupError: the disk is on fire",
    "fail to read": "TypeError: data must be an iterable of batches",
}


@in_turn(("name", FAILURES.keys()), ("variables", {"memory": {}, "tcp": TCP}))
def test_a_rank_that_raises_ends_the_job(name: str, variables: dict[str, str], tmp_path: Path) -> None:
    done = job(name, tmp_path, **variables)
    assert done.code != 0
    assert f"rank 1 of 2 failed and ends the job: {FAILURES[name]}" in done.err


@pytest.mark.parametrize("ranks", [pytest.param(2, marks=pytest.mark.grid), 3])
def test_killed_and_resumed(ranks: int, tmp_path: Path) -> None:
    """On two ranks until it is killed, then on three: test_distributed.py resumes on any number of ranks."""
    if not hasattr(signal, "SIGKILL"):
        pytest.skip("there is no SIGKILL")
    assert job("killed", tmp_path).code != 0
    done = job("resume", tmp_path, ranks)
    assert done.code == 0, done.err
    with np.load(tmp_path / "trained.npz") as trained:
        assert trained["done"] == 30
        np.testing.assert_allclose(trained["weights"], whole(), rtol=0, atol=1e-6)


def test_the_script_in_the_docs(tmp_path: Path) -> None:
    page = (Path(__file__).parent.parent / "docs" / "howto" / "distributed.md").read_text(encoding="utf-8")
    (script,) = re.findall(r"^```python\n(.*?)^```$", page, re.DOTALL | re.MULTILINE)
    done = mpiexec(2, "-c", f"import os; os.chdir({str(tmp_path)!r})\n{script}")
    assert done.code == 0, done.err
    assert 0 < float(done.out) < 0.5
    assert (tmp_path / "sines.safetensors").exists()


# From the command line


def command(folder: Path, ranks: int, text: Path, *arguments: object) -> Job:
    model = folder / f"of-{ranks}.safetensors"
    small = ("--truncate", 10, "--batch", 6, "--hidden", 12, "--layers", 1, "--embedding", 5)
    return mpiexec(ranks, "-m", "bptt", "train", "text", text, "--model", model, *small, *arguments)


def test_bptt_train(text_file: Path, tmp_path: Path) -> None:
    figures = []
    for ranks in (1, 2):
        done = command(tmp_path, ranks, text_file, "--json", "--steps", 12)
        assert done.code == 0, done.err
        figures.append(json.loads(done.out))  # of one rank alone
        assert done.err.count("characters for training") == 1
    names = ("unigram", "bigram", "model")
    nats = [[one["validation_nats"][name] for name in names] for one in figures]
    np.testing.assert_allclose(nats[0], nats[1], rtol=1e-5)
    one, two = (bptt.load(tmp_path / f"of-{ranks}.safetensors").flat_parameters for ranks in (1, 2))
    np.testing.assert_allclose(one, two, rtol=0, atol=1e-5)


def test_bptt_train_says_what_broke_on_a_rank_that_is_silent_otherwise(text_file: Path) -> None:
    script = (
        "import sys; from mpi4py.MPI import COMM_WORLD as comm; import bptt; from bptt.cli import main\n"
        "class Breaks(bptt.CrossEntropy):\n"
        "    def __call__(self, *arguments):\n"
        "        if comm.rank == 1: raise LookupError('the disk is on fire')\n"
        "        return super().__call__(*arguments)\n"
        "bptt.CrossEntropy = Breaks\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    done = mpiexec(2, "-c", script, "train", "text", text_file, "--truncate", 10, "--batch", 6)
    assert done.code != 0
    assert "rank 1 of 2 failed and ends the job: LookupError: the disk is on fire" in done.err


def test_bptt_train_goes_on_with_fewer_ranks(text_file: Path, tmp_path: Path) -> None:
    run = ("--checkpoint", tmp_path / "run", "--schedule", "constant", "--epochs")
    done = [
        command(tmp_path, 2, text_file, *run, 1),
        command(tmp_path, 1, text_file, *run, 2, "--resume"),
        command(tmp_path, 3, text_file, *run[2:], 2),
    ]
    assert [one.code for one in done] == [0, 0, 0], done
    one, three = (bptt.load(tmp_path / f"of-{ranks}.safetensors").flat_parameters for ranks in (1, 3))
    np.testing.assert_allclose(one, three, rtol=0, atol=1e-5)


def test_bptt_train_says_what_is_wrong(tmp_path: Path) -> None:
    done = command(tmp_path, 2, tmp_path / "none.txt")
    assert done.code == 1
    assert f"of 2: cannot read {tmp_path / 'none.txt'}: No such file or directory" in done.err


def test_ranks_share_the_cores() -> None:
    cores = int(mpiexec(1, "-c", "import bptt; print(bptt.get_num_threads())", BPTT_NUM_THREADS="").out)
    code = (
        "from mpi4py.MPI import COMM_WORLD as comm; import bptt, json; before = bptt.get_num_threads();"
        "bptt.Trainer(bptt.LSTM(1, 1), bptt.MeanSquaredError(), bptt.SGD(1), comm=comm);"
        "found = comm.gather((before, bptt.get_num_threads()));"
        "comm.rank or print(json.dumps(found))"
    )
    done = mpiexec(2, "-c", code, BPTT_NUM_THREADS="")
    found = json.loads(done.out)
    assert found == [[cores, max(1, cores // 2)]] * 2


@pytest.mark.parametrize("kind", ["csv", pytest.param("npz", marks=pytest.mark.grid)])
def test_bptt_train_of_tables_and_sequences(kind: str, tmp_path: Path, bptt_command: CommandLine) -> None:
    table = write_csv(tmp_path / "weather.csv", weather())
    x = np.random.default_rng(0).standard_normal((60, 5, 2))
    np.savez(tmp_path / "sums.npz", x=x, y=x.sum(axis=(1, 2)))
    data = table if kind == "csv" else tmp_path / "sums.npz"
    parameters, figures = [], []
    for ranks, more in ((1, ()), (2, ()), (2, ("--resume",))):
        model, run = tmp_path / f"of-{ranks}.safetensors", tmp_path / f"run-{ranks}.safetensors"
        options = ("--epochs", 3, "--hidden", 4, "--model", model, "--checkpoint", run, "--json")
        command = ("train", kind, data, *options, *more)
        done = bptt_command(*command) if ranks == 1 else mpiexec(ranks, "-m", "bptt", *command)
        assert done.code == 0, done.err
        assert done.err.count("for training") == 1
        figures.append(json.loads(done.out)["test"])
        parameters.append(bptt.load(model).flat_parameters)
    np.testing.assert_allclose(parameters[0], parameters[1], rtol=0, atol=1e-5)
    np.testing.assert_array_equal(parameters[1], parameters[2])
    assert figures[1] == figures[2]
