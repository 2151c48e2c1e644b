"""`bptt selftest`: check the gradients on this CPU, with all its instruction sets."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

import bptt
from bptt.cli.options import CELLS, CommandError, add_common, note, print_json
from bptt.testing import Report

# Two layers and two directions. H is not a multiple of any vector length, so the tails are checked, too.
LAYERS, T, B, I, H = 2, 6, 3, 5, 19
ENTRIES = 8  # number of entries of each tensor that are checked by finite differences


@dataclass(frozen=True)
class Check:
    """Outcome of a check. `worst` is the largest error as a fraction of its tolerance."""

    isa: str
    cell: str
    check: str
    passed: bool
    worst: float


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "selftest",
        help="check gradients and results on this CPU, in under 30 s",
        description="Check every cell with every instruction set of this CPU: gradients against finite"
        " differences, and float32 and float64 results against the NumPy reference. Print the largest error"
        " as a percentage of its tolerance.",
    )
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Run all checks; raise CommandError if a check fails."""
    start = time.perf_counter()
    checks: list[Check] = []
    for check, report in _checks(options.seed):
        checks.append(check)
        if not options.json:
            _show(check)
        if not check.passed:
            note(str(report))
    seconds = time.perf_counter() - start
    failed = sum(not check.passed for check in checks)
    if options.json:
        print_json(
            {"passed": not failed, "seconds": round(seconds, 3), "checks": [asdict(c) for c in checks]}
        )
    else:
        print(f"{len(checks) - failed} of {len(checks)} checks passed in {seconds:.1f} s")
    if failed:
        raise CommandError(
            f"{failed} of {len(checks)} checks failed. Fix: report this with the output of 'bptt info'."
        )


def _checks(seed: int) -> Iterator[tuple[Check, Report]]:
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((T, B, I))
    before = bptt.isa()
    try:
        for cell, (kind, special) in CELLS.items():
            options = {"num_layers": LAYERS, "bidirectional": True, "seed": seed, **special}
            reference = getattr(bptt.reference, kind.__name__)(I, H, **options)
            yield _outcome(
                "reference", cell, "gradcheck", bptt.gradcheck(reference, x, entries=ENTRIES, raises=False)
            )
            for isa in bptt.available_isas():
                bptt.use_isa(isa)
                layers = {dtype: kind(I, H, dtype=dtype, **options) for dtype in ("float32", "float64")}
                report = bptt.gradcheck(layers["float64"], x, entries=ENTRIES, raises=False)
                yield _outcome(isa, cell, "gradcheck", report)
                for dtype, layer in layers.items():
                    report = bptt.crosscheck(layer, x, raises=False)
                    yield _outcome(isa, cell, f"crosscheck {dtype}", report)
    finally:
        bptt.use_isa(before)


def _outcome(isa: str, cell: str, name: str, report: Report) -> tuple[Check, Report]:
    worst = max(row.error / row.bound if row.bound else float(row.error > 0) for row in report.rows)
    return Check(isa, cell, name, report.passed, worst), report


def _show(check: Check) -> None:
    outcome = "passed" if check.passed else "FAILED"
    print(f"{check.isa:<10} {check.cell:<16} {check.check:<19} {outcome}  {check.worst:7.2%}", flush=True)
