"""`bptt bench`: compare the speed of bptt's layers with installed libraries."""

from __future__ import annotations

import argparse
from typing import Any

import bptt
from bptt.bench import lines, session, summary
from bptt.bench.peers import DEFAULT, OURS, REDUCED, STREAMING
from bptt.bench.shapes import CELLS, GRID, MODES, PRECISIONS, QUICK, cases
from bptt.cli.options import POSITIVE, CommandError, add_common, note, print_json

OFFERED = tuple(mode for mode in MODES if mode != "memory")


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "bench",
        help="compare the speed of the layers with other installed libraries",
        description="Time one cell with eight shapes, from single rows to large batches, and compare it with"
        " PyTorch, ONNX Runtime and JAX, if they are installed. All libraries get the same inputs, weights"
        " and threads. Results are checked before they are timed, and the libraries take turns. This takes"
        " about a minute. 'ratio to best' is the time of the best competitor over the time of bptt. 'share of"
        " limit' is the shortest possible time over the time of bptt: the time for all multiply-adds"
        " (compute) or for reading the weights (memory), whichever is longer. In reduced precision,"
        " results are compared with float32, and OpenVINO and LiteRT also take part.",
    )
    command.add_argument("--cell", choices=CELLS, default="lstm", help="the cell")
    what = "; ".join(f"{mode}: {MODES[mode]}" for mode in OFFERED)
    command.add_argument("--mode", choices=OFFERED, help=f"{what}. Default: training, in int8 inference")
    what = "precision of the weights and inputs of matrix products; lower ones are compared with our float32"
    command.add_argument("--precision", choices=tuple(PRECISIONS), default="highest", help=what)
    seconds = "time for the rounds of a shape; there are at least three rounds"
    command.add_argument("--seconds", type=POSITIVE, metavar="X", default=1.0, help=seconds)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Time the shapes and print each result immediately."""
    precision = options.precision
    if options.mode is None:
        options.mode = "training" if "training" in PRECISIONS[precision] else PRECISIONS[precision][0]
    shapes = GRID if options.mode in ("streaming", "iteration") else QUICK
    if options.mode not in PRECISIONS[precision]:
        allowed = ", ".join(PRECISIONS[precision])
        raise CommandError(
            f"--mode must be one of {allowed} with --precision {precision}; got {options.mode}. Fix: pass one"
            " of these modes."
        )
    chosen = tuple(cases(shapes, [options.cell], [options.mode], precision=precision))
    if not chosen:
        raise CommandError(
            f"--mode {options.mode} cannot be timed with --cell {options.cell}. Fix: pass another --cell or"
            " --mode."
        )
    wanted = STREAMING if options.mode == "streaming" else DEFAULT
    peers, left_out = session.peers_for(REDUCED.get(precision, wanted))
    for name, why in left_out.items():
        note(f"without {name}: {why}")
    threads = bptt.get_num_threads()
    order = session.Order(chosen, (threads,), peers, options.seconds, options.seed)
    line = lines.Lines(peers)
    findings = session.Findings()
    try:
        for finding in session.run(order, findings):
            (note if options.json else print)(line(finding))
    except session.WorkerError as error:
        raise CommandError(str(error)) from None
    disagreed = [row for row in findings.rows if row.disagreed]
    if precision in REDUCED:  # other libraries may be less precise than the check allows
        disagreed = [row for row in disagreed if OURS in row.disagreed]
    if options.json:
        print_json(findings.plain())
    else:
        print("\n".join(["", *summary.lines(findings.rows)]))
    if disagreed:
        raise CommandError(
            "the results of the libraries disagree. Fix: report this with the output of 'bptt info'."
        )
