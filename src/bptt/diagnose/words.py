"""A gradient flow in words: the table, and remedies for each verdict."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from bptt.arguments import quantity
from bptt.diagnose import remedies
from bptt.diagnose.curves import arrived

if TYPE_CHECKING:
    from bptt.diagnose.curves import Norms
    from bptt.diagnose.flow_norms import FlowNorms


def cells(flow: FlowNorms) -> tuple[list[str], list[list[str]]]:
    """Return the head and the lines of the table as text."""
    head = ["layer", "cell", "growth/step", "dL/dh at the end", "horizon", "verdict"]
    lines = []
    for k, row in enumerate(flow.rows):
        horizon = quantity(int(flow.horizon[k]), "step")
        if flow.horizon[k] == flow.dh_norm.shape[1]:  # an error of 0 or NaN has no horizon
            horizon = "all" if flow.verdict[k] in ("healthy", "exploding") else "-"
        rate = "-" if math.isnan(flow.rate[k]) else f"{flow.rate[k]:.4g}"
        lines.append([row.name, row.stack.kind, rate, _fraction_left(flow.ways[k]), horizon, flow.verdict[k]])
    if flow.c_ways is not None:
        head.insert(4, "dL/dc at the end")
        for line, way in zip(lines, flow.c_ways, strict=True):
            line.insert(4, "-" if np.isnan(way).all() else _fraction_left(arrived(way)))
    return head, lines


def table(flow: FlowNorms) -> str:
    """Return a table of fixed width.

    Its columns are the rate, the fraction of the error at the end, the horizon and the verdict.
    """
    head, lines = cells(flow)
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    rows = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    ]
    T = flow.dh_norm.shape[1]
    return "\n".join([f"An error backpropagated through {quantity(T, 'step')}:", *rows])


def advice(flow: FlowNorms, rows: Iterable[int] | None = None) -> list[str]:
    """Explain the verdicts of these rows (None: all) in sentences, with remedies.

    Rows with the same finding and the same remedy share a sentence.
    """
    groups: dict[tuple[str, str], list[int]] = {}
    for k in range(len(flow.rows)) if rows is None else rows:
        finding = _finding(flow, k)
        if finding is not None:
            groups.setdefault(finding, []).append(k)
    return [
        f"{_all_of(flow, group)}: {finding.format(_range(map(flow.turn, group)))}. Remedy: {remedy}."
        for (finding, remedy), group in groups.items()
    ]


def _finding(flow: FlowNorms, k: int) -> tuple[str, str] | None:
    """Return the finding of row k and its remedy. None for a healthy row.

    The finding has {} in place of the steps.
    """
    way, verdict = flow.ways[k], flow.verdict[k]
    if verdict == "not finite":
        return "the error is NaN", "bptt.first_nonfinite finds the first NaN"
    if verdict == "exploding":
        finding = "the gradient explodes: it grows by a factor of 1000 in {}"
        return finding, remedies.joined(remedies.against_explosion(flow, k))
    if verdict == "no flow":
        finding = "the error arrives at the first step it reads, so no error flows back through time"
        return finding, remedies.joined(remedies.against_no_flow(flow, k))
    if verdict == "healthy":
        return None
    if not way.any():
        remedy = "look for relu units that are all off, and for weights of 0, between here and the output"
        return "no error arrives", remedy
    if flow.carried[k]:
        remedy = "none needed, because the cell state carries the error back to the first step"
        return "dL/dh vanishes: it shrinks by a factor of 1000 in {}. dL/dc does not vanish", remedy
    if flow.rate[k] == 0:
        return "the error is cut off after {} back", remedies.joined(remedies.against_a_cut(flow, k))
    finding = "the gradient vanishes: it shrinks by a factor of 1000 in {}"
    return finding, remedies.joined(remedies.against_vanishing(flow, k))


def _range(numbers: Iterable[int]) -> str:
    counts = sorted(numbers)
    least, most = counts[0], counts[-1]
    return quantity(most, "step") if least == most else f"{least} to {quantity(most, 'step')}"


def _all_of(flow: FlowNorms, group: list[int]) -> str:
    return "All layers" if len(group) == len(flow.rows) > 1 else "; ".join(flow.names[k] for k in group)


def _fraction_left(way: Norms) -> str:
    """Return the fraction of the arriving error that is left at the end of the way."""
    if len(way) < 2:
        return "-"
    if way[0] == 0 or way[-1] == 0:
        return "0"
    with np.errstate(invalid="ignore", over="ignore"):
        fraction = way[-1] / way[0]
    return f"{fraction:.2g}x" if np.isfinite(fraction) else str(fraction)
