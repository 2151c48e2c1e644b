"""Rows as lines for a terminal, printed as they are measured."""

from __future__ import annotations

from collections.abc import Sequence

from bptt.bench.measure import Row
from bptt.bench.memory import MIB, Memory
from bptt.bench.peers import OURS

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
        columns = "".join(f"{name:>{COLUMN}}" for name in (OURS, *self._peers))
        unit = "us per step" if case.mode == "streaming" else "us"
        return f"\n{title + unit:<{SHAPE}}{columns}   ratio to best  share of limit"

    def _row(self, row: Row) -> str:
        text = ""
        for name in (OURS, *self._peers):
            shown = f"{row.times[name].median:,.2f}" if name in row.times else "-"
            text += f"{shown:>{COLUMN}}"
        ratio = "-" if row.best_peer is None else f"{row.ratio(row.best_peer):.2f}"
        text += f"{ratio:>16}"
        text += f"{'-' if row.share is None else f'{row.share:.0%} {row.limit}':>16}"
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


def _memory(found: Memory) -> str:
    sizes = (found.rise, found.tape, found.parameters, found.result)
    return "".join(f"{size / MIB:{COLUMN},.1f}" for size in sizes)
