"""Measure one figure for each promise of docs/trust.md, and name its tests.

    python benchmarks/promises.py                           # about two minutes
    python benchmarks/promises.py --markdown docs/trust.md  # writes the table into the page

The figures are small samples. The tests that the table names check each promise thoroughly.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import resource
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import bptt
from bptt.bench import machine
from bptt.checks.report import Report

ROOT = Path(__file__).resolve().parent.parent
MARKS = re.compile(r"(?<=<!-- promises -->\n).*?(?=<!-- end of promises -->)", re.DOTALL)
FUZZ_CASES = 5000
CALLS = 2000

Array = npt.NDArray[Any]

CELLS: dict[str, Callable[..., bptt.Module]] = {
    "RNN": bptt.RNN,
    "LSTM": bptt.LSTM,
    "LSTM with peepholes": lambda *sizes, **options: bptt.LSTM(*sizes, peephole=True, **options),
    "GRU": bptt.GRU,
    "GRU, reset before": lambda *sizes, **options: bptt.GRU(*sizes, reset_after=False, **options),
    "MGU": bptt.MGU,
}


class Promise(NamedTuple):
    """A promise, its tests, and the function that measures its figure."""

    text: str
    tests: tuple[str, ...]
    measure: Callable[[], str]


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape)


def gradients(layer: Any, x: Array) -> Array:
    """Return all gradients of one training pass."""
    layer.zero_grad()
    y, _, tape = layer.forward(x)
    dx, _ = layer.backward(tape, np.ones_like(y))
    return np.concatenate([y.ravel(), dx.ravel(), layer.flat_gradients])


def pytest(*arguments: str, **variables: str) -> str:
    """Run tests, and return the last line of the output."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout.splitlines()[-1]


def random_calls() -> str:
    pytest("tests/fuzz/test_calls.py", BPTT_FUZZ_CASES=str(FUZZ_CASES))
    return f"{FUZZ_CASES:,} random calls: each raised a typed error or returned, none crashed"


def worst_error(check: Callable[[Any, Array], Report], **options: Any) -> float:
    """Return the largest error over all cells, one and two layers, and both directions."""
    worst = 0.0
    for make in CELLS.values():
        for layers, both in ((1, False), (2, True)):
            layer = make(3, 7, layers, bidirectional=both, seed=0, **options)
            report = check(layer, numbers(6, 3, 3))
            worst = max(worst, *(row.error for row in report.rows))
    return worst


def central_differences() -> str:
    return f"largest error {worst_error(bptt.gradcheck, dtype='float64'):.0e} (float64)"


def second_implementation() -> str:
    float32, float64 = (worst_error(bptt.crosscheck, dtype=dtype) for dtype in ("float32", "float64"))
    return f"largest difference {float64:.0e} (float64), {float32:.0e} (float32)"


def same_bits() -> str:
    same = cases = 0
    threads = bptt.get_num_threads()
    try:
        for make in CELLS.values():
            layer = make(48, 64, seed=0)
            digests = set()
            for count in (1, 2, 3, 4, 7):
                bptt.set_num_threads(count)
                digests.add(hashlib.sha256(gradients(layer, numbers(40, 64, 48)).tobytes()).hexdigest())
            same += len(digests) == 1
            cases += 1
    finally:
        bptt.set_num_threads(threads)
    return f"{same} of {cases} cells: same bits with 1, 2, 3, 4 and 7 threads"


def cut_files() -> str:
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "model.safetensors")
        bptt.save(path, bptt.Sequential(bptt.LSTM(1, 2, seed=0), bptt.Linear(2, 1, seed=0)))
        content = path.read_bytes()
        for length in range(len(content)):
            path.write_bytes(content[:length])
            try:
                bptt.load(path)
            except bptt.CheckpointError:
                refused += 1
    return f"a file cut at each of its {len(content):,} bytes: {refused:,} refused"


def import_cost() -> str:
    def run(code: str) -> str:
        return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout

    clock = "import time; t = time.perf_counter(); import {}; print(time.perf_counter() - t)"
    costs = {name: min(float(run(clock.format(name))) for _ in range(7)) for name in ("numpy", "bptt")}
    threads = run("import bptt, threading, os; print(len(os.listdir('/proc/self/task')))")
    alone = run("import numpy, os; print(len(os.listdir('/proc/self/task')))")
    started = int(threads) - int(alone)
    return f"{1000 * (costs['bptt'] - costs['numpy']):.0f} ms after NumPy's import; {started} threads started"


def instruction_sets() -> str:
    passed = []
    chosen = bptt.isa()
    try:
        for name in bptt.available_isas():
            bptt.use_isa(name)
            if worst_error(bptt.gradcheck, dtype="float64") < 1e-7:
                passed.append(name)
    finally:
        bptt.use_isa(chosen)
    return "gradients checked on " + ", ".join(passed)


def planted_values() -> str:
    found = planted = 0
    for make in CELLS.values():
        layer = make(3, 7, seed=0)
        for name in list(layer.parameters):
            for value in (np.nan, np.inf):
                copy = make(3, 7, seed=0)
                copy.parameters[name].flat[0] = value
                found += name in str(bptt.first_nonfinite(copy, numbers(6, 2, 3)))
                planted += 1
    return f"{found} of {planted} planted values found and named"


def shared_layers() -> str:
    right = calls = 0
    for make in CELLS.values():
        layer, x = make(8, 32, seed=0), numbers(20, 4, 8)
        expected = layer(x)[0]
        with ThreadPoolExecutor(8) as pool:
            results = list(pool.map(lambda _, layer=layer, x=x: layer(x)[0], range(100)))
        right += sum(np.array_equal(result, expected) for result in results)
        calls += len(results)
    return f"{right} of {calls} calls from 8 threads right"


def memory_growth() -> str:
    layers = [make(8, 32, seed=0) for make in CELLS.values()]
    x = numbers(20, 16, 8)

    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()

    for layer in layers * 20:
        gradients(layer, x)
    before = resident()
    for _ in range(CALLS // len(layers)):
        for layer in layers:
            gradients(layer, x)
    return f"{(resident() - before) / 2**20:.1f} MiB more after {CALLS:,} training passes"


PROMISES = (
    Promise("No input crashes the process", ("fuzz/test_calls.py", "test_errors.py"), random_calls),
    Promise("Gradients are right", ("test_gradcheck.py", "test_options.py"), central_differences),
    Promise(
        "The compiled code agrees with plain NumPy, and with PyTorch and ONNX Runtime",
        ("test_crosscheck.py", "test_peers.py"),
        second_implementation,
    ),
    Promise("The same bits for any threads, batch or cut of time", ("test_bits.py",), same_bits),
    Promise(
        "Files are safe, and a crash keeps the old file",
        ("test_kind_file_that_lies.py", "test_kind_careless_with_files.py", "fuzz/test_checkpoint_files.py"),
        cut_files,
    ),
    Promise("A polite guest in your process", ("test_guest.py", "test_runtime.py"), import_cost),
    Promise("Runs on every x86-64 and aarch64 processor", ("test_layers_recurrent.py",), instruction_sets),
    Promise("No silent NaN", ("test_first_nonfinite.py", "test_train_failures.py"), planted_values),
    Promise("Threads may share a layer for inference", ("test_guest.py",), shared_layers),
    Promise("Memory is bounded and returned", ("test_guest.py", "test_workspace.py"), memory_growth),
)


def table() -> str:
    """Measure every promise, and return the table in Markdown."""
    lines = ["| promise | tests in `tests/` | last figure |", "| --- | --- | --- |"]
    for number, promise in enumerate(PROMISES, 1):
        figure = promise.measure()
        print(f"{promise.text}: {figure}", flush=True)
        tests = ", ".join(f"`{name}`" for name in promise.tests)
        lines.append(f"| {number}. {promise.text} | {tests} | {figure} |")
    note = f"Version {bptt.__version__}, {machine.processor()}, {bptt.isa()}."
    return "\n".join([*lines, "", note]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure one figure for each promise.")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    options = parser.parse_args()
    page = "" if options.markdown is None else options.markdown.read_text(encoding="utf-8")
    if options.markdown is not None and not MARKS.search(page):
        parser.error(f"--markdown {options.markdown}: the page needs <!-- promises --> and its end")
    text = table()
    if options.markdown is not None:
        options.markdown.write_text(MARKS.sub(lambda _: text, page), encoding="utf-8")


if __name__ == "__main__":
    main()
