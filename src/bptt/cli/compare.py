"""The command line of benchmarks/compare.py."""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from bptt.bench import lines, table
from bptt.bench.peers import DEFAULT, PEERS
from bptt.bench.session import ISA_LIMITS, Findings, Order, WorkerError, peers_for, run
from bptt.bench.shapes import CELLS, GRID, MODES, QUICK, cases
from bptt.cli.options import POSITIVE, CommandError, Parser, check_output, number


def parser() -> argparse.ArgumentParser:
    """Its options."""
    top = Parser(
        description="Times this package beside every installed peer: same inputs, weights and threads,"
        " results checked first, peers taking turns."
    )
    add = top.add_argument
    add("--quick", action="store_true", help="eight shapes instead of the whole grid")
    for name, every, default in (("cells", CELLS, CELLS), ("modes", MODES, MODES), ("peers", PEERS, DEFAULT)):
        choices = f"comma-separated, of {', '.join(every)}"
        add(f"--{name}", type=_some_of(every), default=",".join(default), metavar="LIST", help=choices)
    add("--shapes", metavar="TEXT", help="only shapes whose printed form contains it, as in 'B=1 '")
    add("--threads", type=_counts, default="1", metavar="LIST", help="numbers, each timed in its own process")
    rounds = "for the rounds of a row, of which there are at least three"
    add("--seconds", type=POSITIVE, default=2.0, metavar="X", help=rounds)
    add("--isa", choices=list(ISA_LIMITS), help="keep everyone to an instruction set")
    add("--seed", type=number(int, minimum=0, below=2**63), default=0, metavar="N", help="of all numbers")
    add("--json", type=Path, metavar="FILE", help="write everything measured")
    add("--markdown", type=Path, metavar="FILE", help="write tables")
    add("--list", action="store_true", help="print what would be timed, and stop")
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run it. 0; 1 if a peer computes something else or a worker dies; 2 for a usage error."""
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
        for path in filter(None, (options.json, options.markdown)):
            check_output(path)
    except CommandError as error:
        command.error(str(error))
    isa = options.isa or ""
    peers, left_out = peers_for(options.peers, isa)
    for name, why in left_out.items():
        print(f"without {name}: {why}", file=sys.stderr)
    order = Order(chosen, options.threads, peers, options.seconds, options.seed, isa)
    shown = lines.Lines(peers)
    findings, complete = Findings(), True
    try:
        for found in run(order, findings):
            print(shown(found) + lines.misses(found, isa), flush=True)
    except ValueError as error:
        command.error(str(error))
    except (WorkerError, KeyboardInterrupt) as stop:
        complete = False
        print(f"{str(stop) or 'interrupted'}: what follows covers the rows so far", file=sys.stderr)
    if not (findings.rows or findings.memory):
        return 1
    print("\n".join(["", *lines.summary(findings), *lines.verdicts(findings, isa)]))
    if options.json:
        options.json.write_text(json.dumps(findings.plain(), indent=1) + "\n", encoding="utf-8")
    if options.markdown:
        options.markdown.write_text(table.markdown(findings, isa, _as_typed(argv)), encoding="utf-8")
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
