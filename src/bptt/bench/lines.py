"""Rows as lines for a terminal, as they come, and what they add up to."""

from __future__ import annotations

from collections.abc import Sequence

from bptt.bench import goals
from bptt.bench.measure import Row
from bptt.bench.memory import MIB, Memory
from bptt.bench.peers import OURS
from bptt.bench.session import Findings

SHAPE, COLUMN = 50, 13
"""Widths."""


class Lines:
    """One line per row, under a heading wherever threads, cell or mode change."""

    def __init__(self, peers: Sequence[str]) -> None:
        self._peers = peers
        self._group: tuple[object, ...] = ()

    def __call__(self, found: Row | Memory) -> str:
        case = found.case
        group = (found.threads, case.cell, case.mode)
        heading = [] if group == self._group else [self._heading(found)]
        self._group = group
        line = self._row(found) if isinstance(found, Row) else _memory(found)
        return "\n".join([*heading, f"{case.shape!s:<{SHAPE}}{line}"])

    def _heading(self, found: Row | Memory) -> str:
        case = found.case
        title = f"{case.cell} {case.mode}, {found.threads} thread(s), "
        if isinstance(found, Memory):
            columns = "".join(f"{name:>{COLUMN}}" for name in ("rise", "tape", "parameters", "result"))
            return f"\n{title + 'MiB':<{SHAPE}}{columns}"
        columns = "".join(f"{name:>{COLUMN}}" for name in (OURS, "(minimum)", *self._peers))
        unit = "us per step" if case.mode == "streaming" else "us"
        return f"\n{title + unit:<{SHAPE}}{columns}   ratio  GFLOP/s  of peak"

    def _row(self, row: Row) -> str:
        ours = row.times[OURS]
        text = f"{ours.median:{COLUMN},.2f}{f'({ours.minimum:,.2f})':>{COLUMN}}"
        for name in self._peers:
            shown = f"{row.times[name].median:,.2f}" if name in row.times else "-"
            text += f"{shown:>{COLUMN}}"
        ratio = "-" if row.best_peer is None else f"{row.ratio(row.best_peer):.2f}"
        text += f"{ratio:>8}"
        if row.case.mode != "variants":  # whose arithmetic differs
            text += f"{row.rate(OURS):9.1f}{row.share(OURS):9.0%}"
        for name in row.times:
            if name not in (OURS, *self._peers):
                text += f"  {name} {row.times[name].median:,.2f}"
        if row.barrier:
            text += f"  barrier {row.barrier:.0f} ns"
        for name, how in row.disagreed.items():
            text += f"  {name} DISAGREES: {how}"
        for name, why in row.left_out.items():
            if why.startswith("failed"):
                text += f"  {name} {why}"
        return text


def misses(found: Row | Memory, isa: str = "") -> str:
    """Return the goals that a row misses, as text for the end of the row."""
    own = goals.of_row(found, isa) if isinstance(found, Row) else [goals.of_memory(found)]
    return "".join(f"  MISSES {goal}" for goal in own if not goal.met)


def summary(findings: Findings) -> list[str]:
    """Geometric means, with what they would be at the machine's peak, and peers that disagree."""
    lines = []
    ceilings = goals.ceilings(findings.rows)
    for group, mean in goals.means(findings.rows).items():
        threads, mode, cell = group
        ceiling = f"; {ceilings[group]:.2f} at the peak" if mode in ("inference", "training") else ""
        lines.append(
            f"{cell} {mode}, {threads} thread(s): {mean:.2f} times the best peer (geometric mean{ceiling})"
        )
    for row in findings.rows:
        for peer, how in row.disagreed.items():
            lines.append(f"DISAGREES, not timed: {peer}, {_where(row)}: {how}")
    return lines


def verdicts(findings: Findings, isa: str = "") -> list[str]:
    """How many goals are met, and which are not."""
    judged = [(_where(row) + ": ", goal) for row in findings.rows for goal in goals.of_row(row, isa)]
    judged += [(_where(memory) + ": ", goals.of_memory(memory)) for memory in findings.memory]
    if not isa:
        judged += [("", goal) for goal in goals.of_means(findings.rows)]
    if not judged:
        return []
    missed = [f"  {where}{goal}" for where, goal in judged if not goal.met]
    return [f"{len(judged) - len(missed)} of {len(judged)} goals met{', missed:' * bool(missed)}", *missed]


def _memory(found: Memory) -> str:
    sizes = (found.rise, found.tape, found.parameters, found.result)
    return "".join(f"{size / MIB:{COLUMN},.1f}" for size in sizes)


def _where(row: Row | Memory) -> str:
    return f"{row.case.cell} {row.case.mode}, {row.case.shape}, {row.threads} thread(s)"
