"""Measure the figures of each promise of docs/trust.md, and name its tests.

    python benchmarks/promises.py                           # about ten minutes
    python benchmarks/promises.py --markdown docs/trust.md  # writes the table into the page

The tests in tests/promises run in full and record what they counted. This script measures the other
figures, which are small samples. A figure that breaks its promise ends the script with an error. Times
have no limit. `--free-threaded PYTHON` also runs the tests of threads with a Python that has no GIL.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np
import numpy.typing as npt

import bptt
from bptt.bench import machine
from bptt.checks.report import Report

ROOT = Path(__file__).resolve().parent.parent
MARKS = re.compile(r"(?<=<!-- promises -->\n).*?(?=<!-- end of promises -->)", re.DOTALL)
HEAD = "| promise | tests | last figures |"
FUZZ_CASES = 5000
UNCOUNTED = "tests/promises/test_guests.py"
"""The one file of tests/promises that records no figure."""
LARGEST = {"float32": 1e-5, "float64": 1e-12}
"""Differences from plain NumPy above these limits end the script."""
LARGEST_GRADIENT_ERROR = 1e-7

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
    """A promise, its tests, and what measures more figures than the tests record."""

    text: str
    tests: tuple[str, ...]
    measures: tuple[Callable[[], str], ...] = ()


def numbers(*shape: int) -> Array:
    return np.random.default_rng(0).normal(size=shape)


def gradients(layer: Any, x: Array) -> Array:
    """Return all gradients of one training pass."""
    layer.zero_grad()
    y, _, tape = layer.forward(x)
    dx, _ = layer.backward(tape, np.ones_like(y))
    return np.concatenate([y.ravel(), dx.ravel(), layer.flat_gradients])


def require(holds: bool, figure: str) -> str:
    """Return the figure. SystemExit if the promise does not hold."""
    if not holds:
        raise SystemExit(f"promises: a promise does not hold: {figure}")
    return figure


def run(code: str) -> str:
    """Run code in a new Python, and return its output."""
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


def pytest(*arguments: str, python: str = sys.executable, **variables: str) -> str:
    """Run tests, and return the last line of the output."""
    command = [python, "-m", "pytest", "-q", "-p", "no:cacheprovider", *arguments]
    done = subprocess.run(command, cwd=ROOT, env=os.environ | variables, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return done.stdout.splitlines()[-1]


def recorded(*tests: str, python: str = sys.executable) -> dict[str, str]:
    """Run tests in full, and return the figures that they record, by file."""
    figures: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report.xml")
        options = (
            "-o",
            "junit_family=xunit1",
            f"--junitxml={report}",
            "-o",
            "addopts=--import-mode=importlib",
        )
        pytest(*tests, *options, python=python, BPTT_FUZZ_CASES="all")
        for case in ElementTree.parse(report).iter("testcase"):
            for figure in case.iterfind("properties/property[@name='figure']"):
                figures[case.attrib["file"]] = figure.attrib["value"]
    return figures


def random_calls() -> str:
    last = pytest("tests/fuzz/test_calls.py", BPTT_FUZZ_CASES=str(FUZZ_CASES))
    require("skipped" not in last, f"tests/fuzz/test_calls.py: {last}")
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
    error = worst_error(bptt.gradcheck, dtype="float64")
    return require(error < LARGEST_GRADIENT_ERROR, f"largest error {error:.0e} (float64)")


def second_implementation() -> str:
    worst = {dtype: worst_error(bptt.crosscheck, dtype=dtype) for dtype in LARGEST}
    return require(
        all(worst[dtype] < limit for dtype, limit in LARGEST.items()),
        f"largest difference {worst['float64']:.0e} (float64), {worst['float32']:.0e} (float32)",
    )


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
    return require(same == cases, f"{same} of {cases} cells: same bits with 1, 2, 3, 4 and 7 threads")


def import_cost() -> str:
    clock = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"
    costs = {name: min(float(run(clock.format(name))) for _ in range(7)) for name in ("numpy", "bptt")}
    threads = run("import bptt, threading, os; print(len(os.listdir('/proc/self/task')))")
    alone = run("import numpy, os; print(len(os.listdir('/proc/self/task')))")
    more, started = 1000 * (costs["bptt"] - costs["numpy"]), int(threads) - int(alone)
    figure = f"import: {more:.0f} ms of processor time more than NumPy; {started} threads started"
    return require(started == 0, figure)


def instruction_sets() -> str:
    names = bptt.available_isas()
    chosen = bptt.isa()
    try:
        for name in names:
            bptt.use_isa(name)
            error = worst_error(bptt.gradcheck, dtype="float64")
            require(error < LARGEST_GRADIENT_ERROR, f"largest error {error:.0e} on {name}")
    finally:
        bptt.use_isa(chosen)
    return "gradients checked on " + ", ".join(names)


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
    return require(found == planted, f"{found} of {planted} planted values found and named")


LOOP = """
import sys, time, numpy as np, bptt
layer, x = bptt.LSTM(48, 64, seed=1), np.ones((40, 64, 48), np.float32)

def work():
    for _ in range(20):
        layer.zero_grad()
        y, _, tape = layer.forward(x)
        layer.backward(tape, y)

work()
print("ready", flush=True)
for _ in sys.stdin:
    begin = time.perf_counter()
    work()
    print(time.perf_counter() - begin, flush=True)
"""


def two_processes() -> str:
    """Compare two processes of two threads, working at once, with the two one after the other."""
    command = [sys.executable, "-c", LOOP]
    environment = os.environ | {"BPTT_NUM_THREADS": "2"}
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
        for _ in range(2)
    ]

    def times(working: list[Any]) -> list[float]:
        for process in working:
            process.stdin.write("work\n")
            process.stdin.flush()
        return [float(process.stdout.readline()) for process in working]

    ratios = []
    for process in processes:
        assert process.stdout is not None
        process.stdout.readline()
    for _ in range(7):
        alone = sum(sum(times([process])) for process in processes)
        ratios.append(max(times(processes)) / alone)
    for process in processes:
        process.communicate()
    return f"two processes of two threads: {np.median(ratios):.2f} times the time of one after the other"


PROMISES = (
    Promise(
        "No input crashes the process",
        ("tests/fuzz/test_calls.py", "tests/test_errors.py", "tests/test_interop_torch_cells.py"),
        (random_calls,),
    ),
    Promise(
        "Gradients are right",
        ("tests/test_gradcheck.py", "tests/test_options.py", "tests/test_reference.py"),
        (central_differences,),
    ),
    Promise(
        "The compiled code agrees with plain NumPy, and with PyTorch and ONNX Runtime",
        ("tests/test_crosscheck.py", "tests/test_peers.py", "tests/test_onnx_round_trip.py"),
        (second_implementation,),
    ),
    Promise(
        "The same bits for any threads, batch or cut of time",
        ("tests/test_bits.py", "tests/test_freeze.py", "tests/test_resume.py"),
        (same_bits,),
    ),
    Promise(
        "Files are safe, and a crash keeps the old file",
        (
            "tests/promises/test_failing_calls.py",
            "tests/promises/test_damaged_files.py",
            "tests/promises/test_killed.py",
            "tests/test_kind_file_that_lies.py",
            "tests/test_kind_careless_with_files.py",
            "tests/fuzz/test_checkpoint_files.py",
            "tests/fuzz/test_onnx_files.py",
        ),
    ),
    Promise(
        "A polite guest in your process",
        (
            "tests/promises/test_guests.py",
            "tests/test_guest.py",
            "tests/test_runtime.py",
            "tests/test_kind_interrupt.py",
            "tests/test_estimators_sklearn.py",
        ),
        (import_cost, two_processes),
    ),
    Promise(
        "Runs on every x86-64 and aarch64 processor",
        (
            "tests/emulated.py",
            "tests/test_environment.py",
            "cpp/tests/baseline.cmake",
            "cpp/tests/differences.cpp",
        ),
        (instruction_sets,),
    ),
    Promise(
        "No silent NaN", ("tests/test_first_nonfinite.py", "tests/test_train_failures.py"), (planted_values,)
    ),
    Promise(
        "Threads may share a model for inference",
        ("tests/promises/test_threads.py", "tests/test_guest.py", "cpp/tests/stress.cpp"),
    ),
    Promise("Memory is bounded and returned", ("tests/promises/test_memory.py", "tests/test_workspace.py")),
)


def row(number: int, promise: Promise, figures: list[str]) -> str:
    """Return a line of the table. SystemExit if the promise has no figure."""
    require(bool(figures), f"{promise.text}: no figures")
    tests = ", ".join(f"`{name}`" for name in promise.tests)
    return f"| {number}. {promise.text} | {tests} | {'; '.join(figures)} |"


def count(free_threaded: str | None) -> dict[str, list[str]]:
    """Run tests/promises, and return the figures of each file. SystemExit if a file has none."""
    counted = {name: [figure] for name, figure in recorded("tests/promises").items()}
    counting = {name for promise in PROMISES for name in promise.tests if name.startswith("tests/promises/")}
    missing = sorted(counting - {UNCOUNTED} - counted.keys())
    require(not missing, f"no figures from {', '.join(missing)}")
    if free_threaded is not None:
        threads = "tests/promises/test_threads.py"
        figure = recorded(threads, python=free_threaded).get(threads, "no figure")
        counted[threads].append(require("without the GIL" in figure, figure))
    return counted


def table(free_threaded: str | None) -> str:
    """Measure every promise, and return the table in Markdown."""
    counted = count(free_threaded)
    lines = [HEAD, "| --- | --- | --- |"]
    for number, promise in enumerate(PROMISES, 1):
        figures = [figure for name in promise.tests for figure in counted.get(name, ())]
        figures += [measure() for measure in promise.measures]
        lines.append(row(number, promise, figures))
        print(lines[-1], flush=True)
    note = f"Version {bptt.__version__}, {machine.processor()}, {bptt.isa()}."
    return "\n".join([*lines, "", note]) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure the figures of each promise.")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    parser.add_argument(
        "--free-threaded", metavar="PYTHON", help="a Python without GIL that has bptt and pytest"
    )
    options = parser.parse_args()
    page = "" if options.markdown is None else options.markdown.read_text(encoding="utf-8")
    if options.markdown is not None and not MARKS.search(page):
        parser.error(f"--markdown {options.markdown}: the page needs <!-- promises --> and its end")
    text = table(options.free_threaded)
    if options.markdown is not None:
        options.markdown.write_text(MARKS.sub(lambda _: text, page), encoding="utf-8")


if __name__ == "__main__":
    main()
