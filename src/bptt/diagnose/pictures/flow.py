"""Gradient flows drawn: the norm of the error against steps back, with both limits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bptt.diagnose.curves import EXPLODED, VANISHED, Norms, arrived
from bptt.diagnose.flow_norms import FlowNorms
from bptt.diagnose.pictures.canvas import (
    COLOURS,
    MARKERS,
    RED,
    STYLES,
    drawing,
    legend_below,
    lone,
    note,
    plain,
    positive,
    room_below,
    step_limits,
    tidy,
    write,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-16, 1e16
"""Norms outside this range are cut off, so that the two limits can be seen as two lines."""
FEW = 2
"""Up to this number of rows, dL/dc is drawn next to dL/dh."""
LISTED = 6
"""Up to this number of lines that cannot be drawn are named."""


def plot_flows(flows: Mapping[str, FlowNorms], path: str | os.PathLike[str] | None = None) -> Figure:
    """Draw flows on one pair of axes, each line relative to what came in: RNN against LSTM, for one.

    Parameters
    ----------
    flows : mapping of str to GradientFlow
        What to call each, and what `bptt.gradient_flow` found.
    path : str or os.PathLike, optional
        Write the picture there, as its ending says: .png or .svg.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError, OSError
        Not such a mapping, or an empty one; a path with another ending; a file that cannot be written.
    """
    odd = [type(flows).__name__]
    if isinstance(flows, Mapping):
        odd = [
            f"{name!r}: {type(flow).__name__}"
            for name, flow in flows.items()
            if not (isinstance(name, str) and isinstance(flow, FlowNorms))
        ]
    if odd:
        raise TypeError(
            f"flows must map names to GradientFlow; got {odd[0]}. "
            'Fix: plot_flows({"RNN": bptt.gradient_flow(rnn, x)}).'
        )
    if not flows:
        raise ValueError("flows must hold a GradientFlow; got none. Fix: pass one from bptt.gradient_flow.")
    labels = [label for label, shown, _ in _lines(flows) if np.isfinite(shown).any()]
    with drawing(7.2, 4.0 + room_below(labels)) as figure:
        axes = figure.subplots()
        draw_flows(axes, flows)
        # The pad is for the name of the upper limit: in a small picture it is higher than its band.
        axes.set_title("How far back an error reaches", fontsize=10, pad=10)
        axes.tick_params(labelsize=9)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_fontsize(9)
        legend_below(figure, axes)
    return write(figure, path)


def draw_flows(axes: Axes, flows: Mapping[str, FlowNorms]) -> None:
    """Draw one line per row of every flow, and where the error counts as vanished and as exploded.

    A line that cannot be drawn, because no finite error comes in, is named inside the axes.
    """
    low, high = VANISHED / 10, EXPLODED * 10
    steps, cells, seen, missing = 0, False, [np.ones(1)], []
    axes.set_yscale("log")
    for number, (label, shown, cell) in enumerate(_lines(flows)):
        steps, cells = max(steps, len(shown) - 1), cells or cell
        if not np.isfinite(shown).any():
            missing.append(label)
            continue
        seen.append(shown)
        inside = shown[(shown >= LOWEST) & (shown <= HIGHEST)]
        low, high = min(low, inside.min(initial=low)), max(high, inside.max(initial=high))
        every = max(1, len(shown) // 8)
        # Lines on top of each other differ in where their marks are; a point without a neighbour needs one.
        marks = {*range(number * max(1, len(shown) // 40) % every, len(shown), every), *lone(shown).tolist()}
        axes.plot(
            np.arange(len(shown)),
            shown,
            linestyle=STYLES[(number + number // len(COLOURS)) % len(STYLES)],
            color=COLOURS[number % len(COLOURS)],
            # Lines of one style differ in their marks.
            marker=MARKERS[number % len(MARKERS)],
            markevery=sorted(marks),
            markersize=3 if cell else 4,
            markerfacecolor="white" if cell else None,
            linewidth=0.9 if cell else 1.5,
            label=label,
        )
    axes.set_ylim(low / 2, high * 2)
    step_limits(axes, steps)
    if missing:
        more = [f"and {len(missing) - LISTED} more"] if len(missing) > LISTED else []
        note(axes, "\n".join(["Not drawn: no finite error comes in", *missing[:LISTED], *more]))
    soon = np.concatenate([each[: 2 + steps // 3] for each in seen])
    for limit, far, word, crossed, below in (
        (VANISHED, low / 2, "vanished: below", (soon < VANISHED).any(), True),
        (EXPLODED, high * 2, "exploded: above", (soon > EXPLODED).any(), False),
    ):
        axes.axhline(limit, color=RED, linewidth=1.0, linestyle=(0, (6, 2)))
        axes.axhspan(min(limit, far), max(limit, far), color="#f2f2f2", zorder=0)
        axes.annotate(
            f"{word} {limit:g}",
            (1.0 if crossed else 0.0, limit),  # where no line passes
            (-5 if crossed else 5, -4 if below else 4),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            ha="right" if crossed else "left",
            va="top" if below else "bottom",
            fontsize=8,
            color=RED,
        )
    norms = r"$\|dL/dh_t\|$, $\|dL/dc_t\|$" if cells else r"norm of $dL/dh_t$"
    axes.set(xlabel="steps back from the last", ylabel=f"{norms}\n(last step = 1)")
    tidy(axes)


def _lines(flows: Mapping[str, FlowNorms]) -> Iterator[tuple[str, Norms, bool]]:
    """Yield for each line its label with the verdict, its norms to draw, and whether they are of dL/dc."""
    rows = sum(len(flow.rows) for flow in flows.values())
    for name, flow in flows.items():
        for k, row in enumerate(flow.rows):
            own = row.name if len(flow.rows) > 1 or not name else ""
            rate = "" if math.isnan(flow.rate[k]) else f", {flow.rate[k]:.3g} per step"
            called = " ".join(part for part in (plain(name), own) if part)
            yield f"{called}: {flow.verdict[k]}{rate}", _shown(flow.ways[k]), False
            if rows <= FEW and flow.c_ways is not None and row.stack.has_cell_state:
                yield f"{called}: $dL/dc_t$", _shown(flow.c_ways[k]), True


def _shown(way: Norms) -> Norms:
    """Divide the norms by the first norm that is not 0.

    Earlier norms become NaN, which matplotlib does not draw. All norms become NaN if every norm is 0, or if
    the first norm that is not 0 is not finite. The line leaves the axes where the error is 0 or infinite.
    """
    shown: Norms = np.full(len(way), np.nan)
    come = arrived(way)
    if not len(come) or not positive(come[:1])[0] > 0:
        return shown
    with np.errstate(over="ignore", under="ignore"):
        # Beyond the edges, yet limited: matplotlib's own margins must not overflow.
        shown[len(way) - len(come) :] = np.clip(come / come[0], LOWEST / 1e3, HIGHEST * 1e3)
    return shown
