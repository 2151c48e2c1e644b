"""`bptt bench`: speed of these layers on this machine, compared with the peers that are installed."""

from __future__ import annotations

import argparse
from typing import Any

import bptt
from bptt.bench import lines, session
from bptt.bench.peers import DEFAULT
from bptt.bench.shapes import CELLS, GRID, MODES, QUICK, cases
from bptt.cli.options import POSITIVE, CommandError, add_common, note, print_json

OFFERED = tuple(mode for mode in MODES if mode != "memory")


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "bench",
        help="time the layers on this machine, beside PyTorch, ONNX Runtime and JAX where installed",
        description="Time one cell over some shapes, from single rows to large batches, beside PyTorch, ONNX"
        " Runtime and JAX where they are installed: same inputs, weights and threads, results checked first,"
        " turns taken. About a minute.",
    )
    command.add_argument("--cell", choices=CELLS, default="lstm", help="the cell")
    what = "; ".join(f"{mode}: {MODES[mode]}" for mode in OFFERED)
    command.add_argument("--mode", choices=OFFERED, default="training", help=what)
    seconds = "for the rounds of a shape, of which there are at least three"
    command.add_argument("--seconds", type=POSITIVE, metavar="X", default=1.0, help=seconds)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Time, and print each shape as it is done."""
    shapes = GRID if options.mode in ("streaming", "iteration") else QUICK
    chosen = tuple(cases(shapes, [options.cell], [options.mode]))
    if not chosen:
        raise CommandError(f"no {options.mode} is timed with {options.cell}; choose another --cell or --mode")
    peers, left_out = session.peers_for(DEFAULT)
    for name, why in left_out.items():
        note(f"without {name}: {why}")
    threads = bptt.get_num_threads()
    order = session.Order(chosen, (threads,), peers, options.seconds, options.seed)
    shown = lines.Lines(peers)
    findings = session.Findings()
    try:
        for found in session.run(order, findings):
            (note if options.json else print)(shown(found))
    except session.WorkerError as error:
        raise CommandError(str(error)) from None
    disagreed = [row for row in findings.rows if row.disagreed]
    if options.json:
        print_json(findings.plain())
    else:
        print("\n".join(["", *lines.summary(findings)]))
    if disagreed:
        raise CommandError("a peer computes something else; report it with what 'bptt info' prints")
