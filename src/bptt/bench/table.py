"""Rows as Markdown, for the documents."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any

from bptt.bench import goals
from bptt.bench.lines import summary, verdicts
from bptt.bench.measure import Row
from bptt.bench.memory import MIB, Memory
from bptt.bench.peers import OURS
from bptt.bench.session import Findings
from bptt.bench.shapes import MODES

IDLE = 0.5
"""Load above which something else was running before we began."""


def markdown(findings: Findings, isa: str = "", command: str = "bptt bench") -> str:
    """Everything, as tables. `command` is what made them."""
    parts = [f"# Speed beside other libraries\n\nMade by `{command}`.", _heading(findings.machine)]
    ordered = sorted(findings.rows, key=lambda row: (row.threads, list(MODES).index(row.case.mode)))
    for (threads, mode), group in groupby(ordered, key=lambda row: (row.threads, row.case.mode)):
        parts += [f"## {mode}, {threads} thread{'s' * (threads > 1)}", _sentence(mode)]
        parts.append(_table(list(group), isa))
    if findings.memory:
        parts += ["## memory", _sentence("memory"), _memory_table(findings.memory)]
    parts += ["## summary", "\n".join(_item(text) for text in summary(findings) + verdicts(findings, isa))]
    return "\n\n".join(parts) + "\n"


def _heading(machine: dict[str, Any]) -> str:
    busy = machine["load"] is not None and machine["load"] > IDLE
    load = f" Something else was running: load {machine['load']:.1f}." if busy else ""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['processor']}, {machine['system']}, {machine['isa']};"
        f" {machine['peak']:.0f} GFLOP/s of multiply-adds per thread. {versions}."
        f"{load}\n\n"
        "float32; microseconds (streaming: per step), median of interleaved rounds, minimum in brackets."
        " Ratio: the best peer's median by ours. In the summary, 'at the peak' is what a mean would be if all"
        " our rows ran at the machine's peak of multiply-adds; the same arithmetic cannot go beyond."
        " 'barrier': what two threads needed to meet, right after a row; it is longer where their cores share"
        " no cache."
    )


def _table(rows: Sequence[Row], isa: str) -> str:
    peers = list(dict.fromkeys(name for row in rows for name in row.times if name != OURS))
    several = ["barrier, ns"] if any(row.barrier for row in rows) else []
    heads = ["cell", "shape", OURS, *peers, "ratio", "GFLOP/s", "of peak", *several, "goal"]
    lines = [
        [
            row.case.cell,
            str(row.case.shape),
            *(_time(row, name) for name in (OURS, *peers)),
            "" if row.best_peer is None else f"{row.ratio(row.best_peer):.2f}",
            "" if row.case.mode == "variants" else f"{row.rate(OURS):.1f}",
            "" if row.case.mode == "variants" else f"{row.share(OURS):.0%}",
            *(f"{row.barrier:.0f}" for _ in several),
            "; ".join(_verdict(goal) for goal in goals.of_row(row, isa)),
        ]
        for row in rows
    ]
    return _grid(heads, lines, text={0, 1, len(heads) - 1})


def _memory_table(found: Sequence[Memory]) -> str:
    heads = ["threads", "cell", "shape", "rise, MiB", "tape", "parameters", "result", "goal"]
    lines = []
    for memory in found:
        sizes = (memory.rise, memory.tape, memory.parameters, memory.result)
        text, case = _verdict(goals.of_memory(memory)), memory.case
        lines.append(
            [str(memory.threads), case.cell, str(case.shape), *(f"{size / MIB:,.1f}" for size in sizes), text]
        )
    return _grid(heads, lines, text={1, 2, len(heads) - 1})


def _time(row: Row, name: str) -> str:
    if name not in row.times:
        return "disagrees" if name in row.disagreed else ""
    time = row.times[name]
    return f"{_figures(time.median)} ({_figures(time.minimum)})"


def _figures(microseconds: float) -> str:
    return f"{microseconds:,.2f}" if microseconds < 100 else f"{microseconds:,.0f}"


def _sentence(mode: str) -> str:
    text = MODES[mode]
    return f"{text[0].upper()}{text[1:]}."


def _verdict(goal: goals.Goal) -> str:
    return str(goal) if goal.met else f"{goal} **missed**"


def _item(text: str) -> str:
    return f"  * {text.strip()}" if text.startswith(" ") else f"* {text}"


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]], text: set[int]) -> str:
    rule = ["---" if column in text else "---:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))
