"""A model loaded from an ONNX file and frozen, beside ONNX Runtime on the same file, in turns on one thread.

    python benchmarks/onnx_files.py                          # three minutes on a quiet machine
    python benchmarks/onnx_files.py --markdown docs/howto/onnx.md  # writes the table into the page

The rows are those of inference in docs/performance/benchmarks.md. The outputs are compared before anything is
timed. A load is `load(path, frozen=True)` in bptt and `InferenceSession(path)` in ONNX Runtime. Each figure
is the median over rounds in which both run. The file has been read before, so no round waits for a disk.
"""

from __future__ import annotations

import argparse
import re
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime

import bptt
from bptt.bench import machine
from bptt.bench.clock import take_turns
from bptt.bench.shapes import GRID, Case, cases
from bptt.interop import onnx

MARKS = re.compile(r"(?<=<!-- onnx_files -->\n).*?(?=<!-- end of onnx_files -->)", re.DOTALL)
CELLS = ("lstm", "gru", "rnn")
SECONDS = 1.0
"""Seconds of the rounds of one figure."""
RUN, LOAD = 0.97, 1.2
"""Targets: the least ratio of a run, and the greatest ratio of a load."""

Array = npt.NDArray[Any]


class Figures(NamedTuple):
    """Microseconds of a run, milliseconds of a load, and their ratios as the medians over rounds."""

    ours: float
    theirs: float
    ratio: float
    load: float
    their_load: float
    load_ratio: float


def write(case: Case, path: Path) -> None:
    """Write a file with the random weights of one layer."""
    shape = case.shape
    layer = getattr(bptt, case.cell.upper())(
        shape.I, shape.H, shape.layers, bidirectional=shape.bidirectional, seed=0
    )
    if shape.denormal:
        layer.flat_parameters *= 1e-38
    model = onnx.to_proto(layer)
    model.ClearField("metadata_props")  # as a file of another program, which does not describe layers of bptt
    path.write_bytes(model.SerializeToString())


def session(path: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # errors
    return onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])


def bound(loaded: Any, x: Array, y: Array) -> Callable[[], object]:
    """Return a run of ONNX Runtime that reads and writes these arrays in place."""
    binding = loaded.io_binding()
    binding.bind_ortvalue_input("x", onnxruntime.OrtValue.ortvalue_from_numpy(x))
    binding.bind_ortvalue_output("y", onnxruntime.OrtValue.ortvalue_from_numpy(y))
    return lambda: loaded.run_with_iobinding(binding)


def figures(case: Case, path: Path) -> Figures:
    """Compare the outputs, then time runs and loads."""
    write(case, path)
    shape = case.shape
    scale = 1e-38 if shape.denormal else 1.0
    x = np.random.default_rng(0).standard_normal((shape.T, shape.B, shape.I)).astype(np.float32) * np.float32(
        scale
    )
    frozen, loaded = onnx.load(path, frozen=True), session(path)
    y = np.empty((shape.T, shape.B, shape.directions * shape.H), np.float32)
    theirs = bound(loaded, x, y)
    theirs()
    actual = frozen(x)[0]
    np.testing.assert_allclose(actual, loaded.run(None, {"x": x})[0], rtol=1e-3, atol=1e-4)
    run = _medians({"bptt": lambda: frozen(x), "ONNX Runtime": theirs})
    load = _medians({"bptt": lambda: onnx.load(path, frozen=True), "ONNX Runtime": lambda: session(path)})
    return Figures(
        1e6 * run[0], 1e6 * run[1], run[1] / run[0], 1e3 * load[0], 1e3 * load[1], load[2]
    )._replace(ratio=1.0 / run[2])


def _medians(runs: dict[str, Callable[[], object]]) -> tuple[float, float, float]:
    """Return the median seconds of both runs, and the median ratio of the first to the second."""
    first, second = (np.array(times) for times in take_turns(runs, SECONDS).values())
    return float(np.median(first)), float(np.median(second)), float(np.median(first / second))


def rows(contains: str) -> Iterator[tuple[Case, Figures]]:
    with tempfile.TemporaryDirectory() as folder:
        for case in cases(GRID, CELLS, ("inference",), contains):
            yield case, figures(case, Path(folder) / "model.onnx")


def table(contains: str) -> str:
    lines = [
        "| cell | shape | bptt | ONNX Runtime | ratio | load | load of ONNX Runtime | ratio |",
        "| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |",
    ]
    ratios, loads = [], []
    for case, found in rows(contains):
        times = f"{found.ours:,.0f} | {found.theirs:,.0f} | {found.ratio:.2f}"
        load = f"{found.load:,.2f} | {found.their_load:,.2f} | {found.load_ratio:.2f}"
        lines.append(f"| {case.cell.upper()} | {case.shape} | {times} | {load} |")
        ratios.append(found.ratio)
        loads.append(found.load_ratio)
        print(lines[-1], flush=True)
    below = sum(ratio < RUN for ratio in ratios)
    above = sum(ratio > LOAD for ratio in loads)
    note = (
        "Runs in microseconds, loads in milliseconds, one thread, float32. The first ratio is the time of "
        "ONNX Runtime over the time of bptt: above 1, bptt is faster. The second ratio is the load of bptt "
        "over the load of ONNX Runtime: below 1, bptt is faster. The lowest ratio of a run is "
        f"{min(ratios):.2f}, and the highest ratio of a load {max(loads):.2f}. "
        f"{machine.processor()}, {bptt.isa()}, ONNX Runtime {onnxruntime.__version__}."
    )
    print(f"{below} runs below {RUN}, {above} loads above {LOAD}")
    return "\n".join([*lines, "", note, ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Compare models loaded from ONNX files with ONNX Runtime.")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    parser.add_argument("--contains", default="", metavar="TEXT", help="only shapes that contain this text")
    options = parser.parse_args()
    page: Path | None = options.markdown
    if page is not None and MARKS.search(page.read_text(encoding="utf-8")) is None:
        parser.error(f"{page} must have the marks <!-- onnx_files --> and <!-- end of onnx_files -->")
    bptt.set_num_threads(1)
    text = table(options.contains)
    if page is not None:
        page.write_text(MARKS.sub(lambda _: text, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
