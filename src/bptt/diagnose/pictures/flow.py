"""Pictures of gradient flows: norms of the error against steps back."""

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
    legend_below,
    legend_entries,
    lone,
    note,
    plain,
    positive,
    room_below,
    step_limits,
    tidy,
    write,
)
from bptt.diagnose.pictures.sheets import sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-16, 1e16
"""Norms outside this range are cut off, because the two limits must be visible as two lines."""
FEW = 2
"""Up to this number of rows, dL/dc is drawn in addition to dL/dh."""
LISTED = 6
"""The picture names up to this number of lines that cannot be drawn."""


def plot_flows(
    flows: Mapping[str, FlowNorms],
    path: str | os.PathLike[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw several flows in one picture, for example to compare an RNN with an LSTM.

    Each line is relative to the norm of the error on arrival.

    Parameters
    ----------
    flows : mapping of str to GradientFlow
        The flows, with a name for each.
    path : str or os.PathLike, optional
        Also write the picture to this file. The ending selects the format: .png or .svg.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError, OSError
        If `flows` is not such a mapping or is empty, `path` has another ending, or the file cannot be
        written.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x = np.random.default_rng(0).standard_normal((100, 4, 3))
    >>> flows = {cell.__name__: bptt.gradient_flow(cell(3, 16), x) for cell in (bptt.RNN, bptt.LSTM)}
    >>> figure = bptt.diagnose.plot_flows(flows, "flows.png")
    >>> figure.axes[0].get_title()
    'How far back an error reaches'
    """
    wrong_types = [type(flows).__name__]
    if isinstance(flows, Mapping):
        wrong_types = [
            f"{name!r}: {type(flow).__name__}"
            for name, flow in flows.items()
            if not (isinstance(name, str) and isinstance(flow, FlowNorms))
        ]
    if wrong_types:
        raise TypeError(
            f"flows must map names to GradientFlow; got {wrong_types[0]}. "
            'Fix: call plot_flows({"RNN": bptt.gradient_flow(rnn, x)}).'
        )
    if not flows:
        raise ValueError(
            "flows must hold a GradientFlow; got none. Fix: pass a result of bptt.gradient_flow."
        )
    labels = [label for label, ratios, _ in _lines(flows) if np.isfinite(ratios).any()]
    with sheet(ax, 7.2, 4.0 + room_below(labels)) as page:
        (axes,) = page.panels
        draw_flows(axes, flows)
        # The pad leaves room for the name of the upper limit. In a small picture it is higher than its band.
        axes.set_title("How far back an error reaches", fontsize=10, pad=10)
        axes.tick_params(labelsize=9)
        for axis in (axes.xaxis, axes.yaxis):
            axis.label.set_fontsize(9)
        if page.is_new:
            legend_below(page.figure, axes)
        else:
            handles, labels = legend_entries(axes)
            axes.legend(handles, labels, fontsize=8, frameon=False)
    return write(page.figure, path)


def draw_flows(axes: Axes, flows: Mapping[str, FlowNorms]) -> None:
    """Draw one line per row of every flow, and both limits.

    If no finite error arrives, the line cannot be drawn, and its name is written inside the axes.
    """
    low, high = VANISHED / 10, EXPLODED * 10
    steps, cells, curves, missing = 0, False, [np.ones(1)], []
    axes.set_yscale("log")
    for number, (label, ratios, cell) in enumerate(_lines(flows)):
        steps, cells = max(steps, len(ratios) - 1), cells or cell
        if not np.isfinite(ratios).any():
            missing.append(label)
            continue
        curves.append(ratios)
        inside = ratios[(ratios >= LOWEST) & (ratios <= HIGHEST)]
        low, high = min(low, inside.min(initial=low)), max(high, inside.max(initial=high))
        spacing = max(1, len(ratios) // 8)
        # Lines on top of each other have marks at different points. A point without a neighbour needs a mark.
        shift = number * max(1, len(ratios) // 40) % spacing
        marks = {*range(shift, len(ratios), spacing), *lone(ratios).tolist()}
        axes.plot(
            np.arange(len(ratios)),
            ratios,
            linestyle=STYLES[(number + number // len(COLOURS)) % len(STYLES)],
            color=COLOURS[number % len(COLOURS)],
            # Lines of the same style have different marks.
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
        note(axes, "\n".join(["Not drawn: no finite error arrives", *missing[:LISTED], *more]))
    left_third = np.concatenate([ratios[: 2 + steps // 3] for ratios in curves])
    for limit, edge, word, crossed, below in (
        (VANISHED, low / 2, "vanished: below", (left_third < VANISHED).any(), True),
        (EXPLODED, high * 2, "exploded: above", (left_third > EXPLODED).any(), False),
    ):
        axes.axhline(limit, color=RED, linewidth=1.0, linestyle=(0, (6, 2)))
        axes.axhspan(min(limit, edge), max(limit, edge), color="#f2f2f2", zorder=0)
        axes.annotate(
            f"{word} {limit:g}",
            (1.0 if crossed else 0.0, limit),  # on the side where no line crosses the limit
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
    """Yield for each line its label, its norms, and whether they are of dL/dc."""
    rows = sum(len(flow.rows) for flow in flows.values())
    for name, flow in flows.items():
        for k, row in enumerate(flow.rows):
            row_name = row.name if len(flow.rows) > 1 or not name else ""
            rate = "" if math.isnan(flow.rate[k]) else f", {flow.rate[k]:.3g} per step"
            label = " ".join(part for part in (plain(name), row_name) if part)
            yield f"{label}: {flow.verdict[k]}{rate}", _ratios(flow.ways[k]), False
            if rows <= FEW and flow.c_ways is not None and row.stack.has_cell_state:
                yield f"{label}: $dL/dc_t$", _ratios(flow.c_ways[k]), True


def _ratios(way: Norms) -> Norms:
    """Divide the norms by the first norm that is not 0.

    Earlier norms become NaN, which matplotlib does not draw. All norms become NaN if every norm is 0, or if
    the first norm that is not 0 is not finite. The line leaves the axes where the error is 0 or infinite.
    """
    ratios: Norms = np.full(len(way), np.nan)
    norms = arrived(way)
    if not len(norms) or not positive(norms[:1])[0] > 0:
        return ratios
    with np.errstate(over="ignore", under="ignore"):
        # The limits lie outside the axes, but matplotlib's margins must not overflow.
        ratios[len(way) - len(norms) :] = np.clip(norms / norms[0], LOWEST / 1e3, HIGHEST * 1e3)
    return ratios
