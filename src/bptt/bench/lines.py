"""Format rows as lines for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from bptt.bench.measure import Row
from bptt.bench.memory import MIB, Memory
from bptt.bench.peers import OURS

SHAPE, COLUMN = 50, 13
"""Widths of the columns in characters."""


class Lines:
    """Format one line per row, under a new heading if threads, cell or mode change."""

    def __init__(self, peers: Sequence[str]) -> None:
        self._peers = peers
        self._group: tuple[object, ...] = ()

    def __call__(self, finding: Row | Memory) -> str:
        case = finding.case
        group = (finding.threads, str(case))
        heading = [] if group == self._group else [self._heading(finding)]
        self._group = group
        line = self._row(finding) if isinstance(finding, Row) else _memory(finding)
        return "\n".join([*heading, f"{case.shape!s:<{SHAPE}}{line}"])

    def _heading(self, finding: Row | Memory) -> str:
        case = finding.case
        title = f"{case}, {finding.threads} thread(s), "
        if isinstance(finding, Memory):
            columns = "".join(f"{name:>{COLUMN}}" for name in ("rise", "tape", "parameters", "result"))
            return f"\n{title + 'MiB':<{SHAPE}}{columns}"
        columns = "".join(f"{name:>{_width(name)}}" for name in (OURS, *self._peers))
        unit = "us per step" if case.mode == "streaming" else "us"
        return f"\n{title + unit:<{SHAPE}}{columns}   ratio to best  share of limit"

    def _row(self, row: Row) -> str:
        text = ""
        for name in (OURS, *self._peers):
            shown = f"{row.times[name].median:,.2f}" if name in row.times else "-"
            text += f"{shown:>{_width(name)}}"
        ratio = "-" if row.best_peer is None else f"{row.ratio(row.best_peer):.2f}"
        text += f"{ratio:>16}"
        text += f"{'-' if row.share is None else f'{row.share:.0%} {row.limit}':>16}"
        for name in row.times:
            if name not in (OURS, *self._peers):
                text += f"  {name} {row.times[name].median:,.2f}"
        if row.barrier:
            text += f"  barrier {row.barrier:.0f} ns"
        for name, difference in row.disagreed.items():
            text += f"  {name} DISAGREES: {difference}"
        for name, reason in row.left_out.items():
            if reason.startswith("failed"):
                text += f"  {name} {reason}"
        return text


def _width(name: str) -> int:
    return max(COLUMN, len(name) + 2)


def _memory(memory: Memory) -> str:
    sizes = (memory.rise, memory.tape, memory.parameters, memory.result)
    return "".join(f"{size / MIB:{COLUMN},.1f}" for size in sizes)
