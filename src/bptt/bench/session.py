"""Run a whole benchmark, with one worker process per number of threads."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any

from bptt.bench import machine, memory
from bptt.bench.measure import Row
from bptt.bench.memory import Memory
from bptt.bench.peers import missing
from bptt.bench.shapes import Case

ISA_LIMITS = {
    "avx2": {
        "BPTT_ISA": "avx2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "XLA_FLAGS": "--xla_cpu_max_isa=AVX2",
    },
}
"""Environment variables that limit all peers to an instruction set. ONNX Runtime has no such setting."""

UNLIMITED = ("onnxruntime",)


class WorkerError(Exception):
    """A worker process ended before its work was done."""


@dataclass(frozen=True)
class Order:
    """The cases and peers to time. Call `peers_for` first to leave out peers that are not installed.

    Attributes
    ----------
    isa : str
        A name of `ISA_LIMITS`, or "" for no limit.
    """

    cases: tuple[Case, ...]
    threads: tuple[int, ...] = (1,)
    peers: tuple[str, ...] = ()
    seconds: float = 3.0
    seed: int = 0
    isa: str = ""


@dataclass
class Findings:
    """The results of an order, which `run` fills row by row."""

    machine: dict[str, Any] = field(default_factory=dict)
    rows: list[Row] = field(default_factory=list)
    memory: list[Memory] = field(default_factory=list)

    def plain(self) -> dict[str, Any]:
        """Return JSON values."""
        return {
            "machine": self.machine,
            "rows": [row.plain() for row in self.rows],
            "memory": [memory.plain() for memory in self.memory],
        }


def peers_for(wanted: Sequence[str], isa: str = "") -> tuple[tuple[str, ...], dict[str, str]]:
    """Return the peers that can take part, and for each other peer the reason why it cannot."""
    left_out = {}
    for name in wanted:
        packages = missing(name)
        if packages:
            left_out[name] = f"not installed ({', '.join(packages)})"
        elif isa and name in UNLIMITED:
            left_out[name] = f"cannot be limited to {isa}"
    return tuple(name for name in wanted if name not in left_out), left_out


def run(order: Order, findings: Findings) -> Iterator[Row | Memory]:
    """Run the benchmark. Add each row to `findings`, then yield the row.

    Raises
    ------
    ValueError
        There are more threads than cores.
    WorkerError
        A worker died.
    """
    free = len(machine.cores())
    if max(order.threads) > free:
        raise ValueError(
            f"--threads must be at most {free}, the number of cores that this process may use; got"
            f" {max(order.threads)}"
        )
    findings.machine["load"] = machine.load()
    timed = [case for case in order.cases if case.mode != "memory"]
    memory_cases = [case for case in order.cases if case.mode == "memory" and memory.available()]
    for threads in order.threads:
        for cases in [timed] * bool(timed) + [[case] for case in memory_cases]:
            for message in _worker(order, threads, cases):
                finding = _store(message, findings)
                if finding is not None:
                    yield finding


def _store(message: dict[str, Any], findings: Findings) -> Row | Memory | None:
    if "row" in message:
        row = Row.of(message["row"])
        findings.rows.append(row)
        return row
    if "memory" in message:
        memory_row = Memory.of(message["memory"])
        findings.memory.append(memory_row)
        return memory_row
    findings.machine |= message["machine"]
    return None


def _worker(order: Order, threads: int, cases: list[Case]) -> Iterator[dict[str, Any]]:
    """Yield the messages of one worker process."""
    text = json.dumps(
        {
            "threads": threads,
            "peers": order.peers,
            "seconds": order.seconds,
            "seed": order.seed,
            "cases": [case.plain() for case in cases],
        }
    )
    command, pipe = [sys.executable, "-m", "bptt.bench.worker"], subprocess.PIPE
    with machine.limited_to(threads):
        process = subprocess.Popen(
            command, stdin=pipe, stdout=pipe, text=True, env=_environment(order, threads)
        )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        with (
            suppress(BrokenPipeError),
            process.stdin as entry,
        ):  # if the worker died, WorkerError follows below
            entry.write(text)
        for line in process.stdout:
            yield json.loads(line)
        if process.wait():
            raise WorkerError(
                f"the worker with {threads} thread(s) ended early with exit code {process.returncode}"
            )
    finally:
        process.kill()
        process.wait()
        process.stdout.close()


def _environment(order: Order, threads: int) -> dict[str, str]:
    limits = ISA_LIMITS.get(order.isa, {})
    flags = [os.environ.get("XLA_FLAGS", ""), limits.get("XLA_FLAGS", "")]
    if threads == 1:
        flags.append("--xla_cpu_multi_thread_eigen=false")
    return {
        **os.environ,
        **limits,
        "BPTT_NUM_THREADS": str(threads),
        "OMP_NUM_THREADS": str(threads),
        "MKL_NUM_THREADS": str(threads),
        "JAX_PLATFORMS": "cpu",
        "XLA_FLAGS": " ".join(filter(None, flags)),
    }
