"""Measure layers in bfloat16 and int8: against our float32, and against other libraries.

python benchmarks/precision.py --json benchmarks/results/precision/NAME.json

Each row is one interleaved run on one thread. The file is written after each row, and `--resume` measures
only the rows that it lacks. `python benchmarks/precision_page.py` writes the page from the files.
"""

from __future__ import annotations

import argparse
import datetime
from collections.abc import Iterator, Sequence
from pathlib import Path

import bptt
from bptt.bench import lines, results, session
from bptt.bench.peers import REDUCED
from bptt.bench.shapes import Case, Shape

WORK = (
    ("bfloat16", "inference"),
    ("bfloat16", "training"),
    ("int8", "inference"),
    ("bfloat16", "streaming"),
    ("int8", "streaming"),
)
"""Precision and mode of each group of rows, in the order of the page."""

CELLS = ("lstm", "gru")
STEPS = {64: 100, 128: 100, 256: 50, 512: 20, 1024: 10}
"""Time steps of a sequence by the number of units. A call takes between 2 and 200 ms."""
ROWS = 32

MORE = {
    ("bfloat16", "training"): ("torch", "jax"),
    ("int8", "streaming"): ("onnxruntime", "litert"),
}
"""Peers in float32 that take part besides those of `bptt bench`."""

QUICK = (64, 256)


def cases(precision: str, mode: str, units: Sequence[int]) -> tuple[Case, ...]:
    """Return the cases of a group: as many inputs as units."""
    return tuple(
        Case(cell, Shape("one row", 1, 1, H, H) if mode == "streaming" else batch(H), mode, precision)
        for cell in CELLS
        for H in units
    )


def batch(H: int) -> Shape:
    """Return a shape with enough rows to be limited by arithmetic."""
    return Shape("batch", STEPS[H], ROWS, H, H)


def unsupported(precision: str, mode: str) -> str | None:
    """Return why this version of bptt cannot run a mode in a precision; None if it can."""
    try:
        if mode == "training":
            bptt.LSTM(1, 1, precision=precision)
        elif mode == "inference":
            bptt.LSTM(1, 1).freeze(precision=precision)
        else:
            bptt.LSTM(1, 1).stream(precision=precision)
    except (TypeError, ValueError) as error:
        return f"{type(error).__name__}: {error}"
    return None


def measure(pending: tuple[Case, ...], seconds: float, findings: session.Findings) -> Iterator[str]:
    """Measure cases of one group, and yield a line for each. A case whose worker dies is left out."""
    precision, mode = pending[0].precision, pending[0].mode
    wanted = (*REDUCED[precision], *MORE.get((precision, mode), ()))
    peers, left_out = session.peers_for(wanted)
    for name, why in left_out.items():
        yield f"without {name}: {why}"
    line = lines.Lines(peers)
    while pending:
        try:
            for finding in session.run(session.Order(pending, (1,), peers, seconds), findings):
                yield line(finding)
                pending = pending[1:]
        except session.WorkerError as error:
            yield f"{pending[0]}, {pending[0].shape} is left out: {error}"
            pending = pending[1:]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", type=Path, metavar="FILE", help="where to write the results")
    parser.add_argument("--seconds", type=float, default=6.0, help="seconds for the rounds of each row")
    parser.add_argument("--processor", metavar="NAME", help="name of the processor, if the system hides it")
    parser.add_argument("--quick", action="store_true", help="two sizes, a fraction of a second per row")
    parser.add_argument("--resume", action="store_true", help="keep the rows of the file")
    options = parser.parse_args()
    if options.resume and options.json is None:
        parser.error("--resume needs --json FILE")
    seconds, units = (0.3, QUICK) if options.quick else (options.seconds, tuple(STEPS))
    findings = session.Findings()
    if options.json is not None:
        options.json.parent.mkdir(parents=True, exist_ok=True)
    if options.resume and options.json.exists():
        findings = results.load(options.json)
    done = {row.case for row in findings.rows}
    for precision, mode in WORK:
        reason = unsupported(precision, mode)
        if reason:
            print(f"without {mode} in {precision}: {reason}")
            continue
        pending = tuple(case for case in cases(precision, mode, units) if case not in done)
        if not pending:
            continue
        versions = findings.machine.get("versions", {})
        for text in measure(pending, seconds, findings):
            print(text, flush=True)
            if options.processor:
                findings.machine["processor"] = options.processor
            findings.machine["date"] = datetime.date.today().isoformat()
            findings.machine["versions"] = versions | findings.machine.get("versions", {})
            if options.json is not None:
                results.save(options.json, findings, "python benchmarks/precision.py")


if __name__ == "__main__":
    main()
