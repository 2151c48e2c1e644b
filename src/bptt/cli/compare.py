"""The command line of benchmarks/compare.py."""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bptt.bench import lines, results, summary
from bptt.bench.peers import DEFAULT, PEERS
from bptt.bench.session import ISA_LIMITS, Findings, Order, WorkerError, peers_for, run
from bptt.bench.shapes import CELLS, GRID, MODES, QUICK, cases
from bptt.cli.options import POSITIVE, CommandError, Parser, check_output, number


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    top = Parser(
        description="Compare the speed of this package with the installed libraries. All libraries get the"
        " same inputs, weights and threads. Results are checked before they are timed, and the libraries take"
        " turns."
    )
    add = top.add_argument
    add("--quick", action="store_true", help="eight shapes instead of the whole grid")
    for name, offered, default in (
        ("cells", CELLS, CELLS),
        ("modes", MODES, MODES),
        ("peers", PEERS, DEFAULT),
    ):
        choices = f"comma-separated, of {', '.join(offered)}"
        add(f"--{name}", type=_some_of(offered), default=",".join(default), metavar="LIST", help=choices)
    add("--shapes", metavar="TEXT", help="only shapes whose printed form contains this text, as in 'B=1 '")
    add("--threads", type=_counts, default="1", metavar="LIST", help="numbers, each timed in its own process")
    rounds = "time for the rounds of a row; there are at least three rounds"
    add("--seconds", type=POSITIVE, default=2.0, metavar="X", help=rounds)
    add("--minutes", type=POSITIVE, metavar="X", help="stop after the row that is timed at this time")
    add("--isa", choices=list(ISA_LIMITS), help="limit all libraries to an instruction set")
    seed = number(int, minimum=0, below=2**63)
    add("--seed", type=seed, default=0, metavar="N", help="seed of all random numbers")
    add("--processor", metavar="NAME", help="name in the results, if the system hides the processor's name")
    add("--json", type=Path, metavar="FILE", help="write all results; benchmarks/page.py draws them")
    add("--list", action="store_true", help="print the rows, and time nothing")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command. Return 0 on success, 1 if a result disagrees or a worker dies, 2 for a usage error."""
    command = parser()
    options = command.parse_args(argv)
    shapes = QUICK if options.quick else GRID
    chosen = tuple(cases(shapes, options.cells, options.modes, options.shapes or ""))
    if not chosen:
        command.error("nothing to time: no shape matches --shapes, --cells and --modes together")
    if options.list:
        print("\n".join(f"{case.cell:<4} {case.mode:<9} {case.shape}" for case in chosen))
        return 0
    try:
        if options.json:
            check_output(options.json)
    except CommandError as error:
        command.error(str(error))
    isa = options.isa or ""
    peers, left_out = peers_for(options.peers, isa)
    for name, why in left_out.items():
        print(f"without {name}: {why}", file=sys.stderr)
    order = Order(chosen, options.threads, peers, options.seconds, options.seed, isa)
    line = lines.Lines(peers)
    findings, complete = Findings(), True
    end = float("inf") if options.minutes is None else time.monotonic() + 60 * options.minutes
    try:
        for finding in run(order, findings):
            print(line(finding), flush=True)
            if time.monotonic() > end:
                print(f"{options.minutes:g} minutes are over: the rows so far follow", file=sys.stderr)
                break
    except ValueError as error:
        command.error(str(error))
    except (WorkerError, KeyboardInterrupt) as stop:
        complete = False
        print(f"{str(stop) or 'interrupted'}: the rows so far follow", file=sys.stderr)
    if not (findings.rows or findings.memory):
        return 1
    print("\n".join(["", *summary.lines(findings.rows)]))
    if options.processor:
        findings.machine["processor"] = options.processor
    if options.json:
        results.save(options.json, findings, _as_typed(argv))
    return int(not complete or any(row.disagreed for row in findings.rows))


def _as_typed(argv: Sequence[str] | None) -> str:
    return f"python benchmarks/compare.py {shlex.join(sys.argv[1:] if argv is None else argv)}".rstrip()


def _some_of(all_names: Iterable[str]) -> Callable[[str], tuple[str, ...]]:
    names = tuple(all_names)

    def parse(text: str) -> tuple[str, ...]:
        chosen = tuple(part.strip() for part in text.split(",") if part.strip())
        unknown = [name for name in chosen if name not in names]
        if unknown:
            raise argparse.ArgumentTypeError(f"expected some of {', '.join(names)}, got {unknown[0]!r}")
        return chosen

    return parse


def _counts(text: str) -> tuple[int, ...]:
    try:
        counts = tuple(int(part) for part in text.split(","))
    except ValueError:
        counts = ()
    if not counts or min(counts) < 1:
        raise argparse.ArgumentTypeError(f"expected whole numbers of at least 1, as in 1,2, got {text!r}")
    return counts
