"""Small models, sample by sample: a float32 stream beside RTNeural's layers of sizes known when compiling.

RTNeural is a C++ library of headers, which needs Eigen or xsimd. ::

    python benchmarks/small_models.py
    python benchmarks/small_models.py --rtneural FOLDER --include /usr/include/eigen3

FOLDER holds a folder `RTNeural`. Without it, the table has our times alone. Results are checked before they
are timed, and the libraries take turns. `--markdown docs/performance/precision.md` writes the table into this
page.
"""

from __future__ import annotations

import argparse
import ctypes
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

import bptt

SOURCE = Path(__file__).with_name("native") / "rtneural.cpp"
BACKENDS = {"Eigen": "RTNEURAL_USE_EIGEN", "xsimd": "RTNEURAL_USE_XSIMD"}
SIZES = (8, 16, 24, 32, 64)
SAMPLES = 4096
BEGIN, END = "<!-- small models -->", "<!-- end of small models -->"

Floats = npt.NDArray[np.float32]
Run = Callable[[], Floats]


def build(folder: Path, includes: Sequence[str], into: Path) -> dict[str, ctypes.CDLL]:
    """Compile RTNeural's layers for each of its backends whose headers are there."""
    libraries = {}
    for name, macro in BACKENDS.items():
        library = into / f"{name}.so"
        command = ["c++", "-std=c++17", "-O3", "-march=native", "-shared", "-fPIC", "-w", f"-D{macro}=1"]
        command += ["-DRTNEURAL_DEFAULT_ALIGNMENT=32"]  # as its own build sets it for AVX
        command += [f"-I{folder}", *(f"-I{include}" for include in includes), str(SOURCE), "-o", str(library)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            print(f"RTNeural with {name} does not compile: {done.stderr.splitlines()[:1]}", file=sys.stderr)
        else:
            libraries[name] = ctypes.CDLL(str(library))
    return libraries


def runs_of(layer: bptt.LSTM | bptt.GRU, libraries: dict[str, ctypes.CDLL], x: Floats) -> dict[str, Run]:
    """Return functions from the zero state to y (samples, H): ours, and one of each library."""
    cell, units = type(layer).__name__.lower(), layer.hidden_size
    stream = layer.stream()

    def ours() -> Floats:
        stream.reset()
        return np.asarray(stream.run(x[:, None]), np.float32)

    def other(library: ctypes.CDLL) -> Run:
        names = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0")
        new, run = (library[f"{cell}_{verb}_{units}"] for verb in ("new", "run"))
        new.restype = ctypes.c_void_p
        native = ctypes.c_void_p(
            new(*(layer.parameters[name].ctypes.data_as(ctypes.c_void_p) for name in names))
        )
        y = np.empty((len(x), units), np.float32)
        where = [array.ctypes.data_as(ctypes.c_void_p) for array in (x, y)]

        def call() -> Floats:
            run(native, *where, ctypes.c_long(len(x)))
            return y

        return call

    return {"bptt": ours} | {name: other(library) for name, library in libraries.items()}


def measure(libraries: dict[str, ctypes.CDLL], rounds: int) -> list[list[str]]:
    """Return rows of the table: cell, units, nanoseconds of each, and ratio to the best of RTNeural."""
    x = np.sin(0.05 * np.arange(SAMPLES, dtype=np.float32), dtype=np.float32)
    rows = []
    for kind in (bptt.LSTM, bptt.GRU):
        for units in SIZES:
            layer = kind(1, units, seed=units)
            runs = runs_of(layer, libraries, x)
            expected = layer(x[:, None, None])[0][:, 0]
            for name, run in runs.items():
                np.testing.assert_allclose(run(), expected, atol=1e-4, err_msg=name)
            times: dict[str, list[float]] = {name: [] for name in runs}
            for _ in range(rounds):
                for name, run in runs.items():
                    begin = time.perf_counter()
                    run()
                    times[name].append((time.perf_counter() - begin) / SAMPLES * 1e9)
            medians = {name: statistics.median(values) for name, values in times.items()}
            best = min((medians[name] for name in libraries), default=None)
            cells = [f"{medians[name]:.0f}" if name in medians else "" for name in ("bptt", *BACKENDS)]
            ratio = f"{best / medians['bptt']:.2f}" if best else ""
            rows.append([kind.__name__, str(units), *cells, ratio])
            print(*rows[-1], flush=True)
    return rows


def table(rows: list[list[str]]) -> str:
    """Return the rows as a Markdown table."""
    head = [
        "cell",
        "units",
        "bptt, ns",
        *(f"RTNeural with {name}, ns" for name in BACKENDS),
        "best RTNeural over bptt",
    ]
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Times small streams, one sample of one input per step.")
    parser.add_argument("--rtneural", type=Path, metavar="FOLDER", help="with RTNeural's headers")
    parser.add_argument(
        "--include", action="append", default=[], metavar="FOLDER", help="with Eigen or xsimd"
    )
    parser.add_argument("--rounds", type=int, default=31, help="of which the median is taken (default: 31)")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    options = parser.parse_args(arguments)
    bptt.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        libraries = build(options.rtneural, options.include, Path(folder)) if options.rtneural else {}
        rows = measure(libraries, options.rounds)
    if options.markdown:
        before, _, rest = options.markdown.read_text(encoding="utf-8").partition(BEGIN)
        after = rest.partition(END)[2]
        options.markdown.write_text(f"{before}{BEGIN}\n{table(rows)}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
