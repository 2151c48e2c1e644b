"""A gradient flow in words: the table, and for each verdict what it means and what helps."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from bptt.diagnose.gates import cell_of

if TYPE_CHECKING:
    from bptt.diagnose.flow import GradientFlow, Norms
    from bptt.layers.recurrent import Recurrent

EXPLODING = (
    "clip=bptt.ClipNorm(1.0) in the Trainer; truncate=K there, for K steps; or recurrent weights of a "
    'smaller spectral radius, init="orthogonal" or bptt.init.sparse(spectral_radius=0.95)'
)


def cells(flow: GradientFlow) -> tuple[list[str], list[list[str]]]:
    """The table's head and its lines, as text."""
    head = ["layer", "cell", "growth/step", "dL/dh at the end", "horizon", "verdict"]
    lines = []
    for k, row in enumerate(flow.rows):
        reached = _steps(int(flow.horizon[k]))
        if flow.horizon[k] == flow.dh_norm.shape[1]:  # of no error, and of NaN, nothing falls below anything
            reached = "all" if flow.verdict[k] in ("healthy", "exploding") else "-"
        rate = "-" if math.isnan(flow.rate[k]) else f"{flow.rate[k]:.4g}"
        lines.append([row.name, row.stack.kind, rate, _share(flow.ways[k]), reached, flow.verdict[k]])
    if flow.c_ways is not None:
        head.insert(4, "dL/dc at the end")
        for line, way in zip(lines, flow.c_ways, strict=True):
            line.insert(4, "-" if np.isnan(way).all() else _share(way))
    return head, lines


def table(flow: GradientFlow) -> str:
    """Fixed width: for each row its rate, what is left of the error at the end of the way, the verdict."""
    head, lines = cells(flow)
    widths = [max(map(len, column)) for column in zip(head, *lines, strict=True)]
    shown = [
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip()
        for line in (head, *lines)
    ]
    T = flow.dh_norm.shape[1]
    return "\n".join([f"An error on its way back through {_steps(T)}:", *shown])


def advice(flow: GradientFlow, rows: Iterable[int] | None = None) -> list[str]:
    """What the verdicts of these rows (None: all) mean and what helps, in sentences; rows of which the same
    is to be said share one."""
    said: dict[tuple[str, str], list[int]] = {}
    for k in range(len(flow.rows)) if rows is None else rows:
        found = _finding(flow, k)
        if found is not None:
            said.setdefault(found, []).append(k)
    return [
        f"{_all_of(flow, group)}: {finding.format(_range(map(flow.turn, group)))}. Remedy: {remedy}."
        for (finding, remedy), group in said.items()
    ]


def _finding(flow: GradientFlow, k: int) -> tuple[str, str] | None:
    """Of row k, what is found, with {} where steps belong, and the remedy; None if healthy."""
    row, way, verdict = flow.rows[k], flow.ways[k], flow.verdict[k]
    if verdict == "not finite":
        return "the error is NaN", "bptt.first_nonfinite says where the first one arose"
    if verdict == "exploding":
        return "the gradient explodes, a thousandfold after {} back", EXPLODING
    if verdict == "vanishing":
        if way[0] == 0:
            dead = "look for relu units that are all off, and for weights of 0, between here and the output"
            return "no error comes in", dead
        if flow.rate[k] == 0:
            dead = (
                'none where that is a reset; for relu units that are all off, init="identity"; for tanh '
                "units that are all saturated, x on a smaller scale"
            )
            return "the error is cut off after {} back", dead
        if flow.carried[k]:
            none = "none needed, the cell state brings the error all the way back"
            return "dL/dh vanishes, a thousandth is left after {} back, but dL/dc does not", none
        vanishes = "the gradient vanishes, a thousandth is left after {} back"
        return vanishes, longer(row.stack, len(way))
    if len(way) < 2:
        last = row.reverse and flow.dh_norm.shape[1] > 1
        return (
            "the error comes in at the first step it reads, so that none goes back through time",
            "a second recurrent layer before Last" if last else "more steps, or an error at a later one",
        )
    return None


def _range(numbers: Iterable[int]) -> str:
    each = sorted(numbers)
    return _steps(each[0]) if each[0] == each[-1] else f"{each[0]} to {_steps(each[-1])}"


def _steps(count: int) -> str:
    return "1 step" if count == 1 else f"{count} steps"


def _all_of(flow: GradientFlow, group: list[int]) -> str:
    return "All layers" if len(group) == len(flow.rows) > 1 else "; ".join(flow.names[k] for k in group)


def longer(stack: Recurrent, steps: int) -> str:
    """What lets errors of this kind of cell reach further."""
    cell = cell_of(stack)
    if cell == "RNN":
        if getattr(stack, "nonlinearity", "") == "relu":
            return 'LSTM or GRU in its place, or init="identity"'
        return 'LSTM or GRU in its place, or init="orthogonal", or nonlinearity="relu" with init="identity"'
    chrono = f"init=bptt.init.chrono(longest={max(steps, 2)})"
    if cell == "LSTM":
        bias = getattr(stack, "forget_bias", None)
        return f"forget_bias={1.0 if bias is None or bias < 1.0 else bias + 1.0:g} or more, or {chrono}"
    return chrono


def _share(way: Norms) -> str:
    """What is left at the end of the way of what came in."""
    if len(way) < 2:
        return "-"
    if way[0] == 0 or way[-1] == 0:
        return "0"
    with np.errstate(invalid="ignore", over="ignore"):
        share = way[-1] / way[0]
    return f"{share:.2g}x" if np.isfinite(share) else str(share)
