"""Gradient flows drawn: the norm of the error against steps back, with both limits."""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import numpy as np

from bptt.diagnose.canvas import COLOURS, MARKERS, RED, STYLES, drawing, positive, tidy, write
from bptt.diagnose.flow import EXPLODED, VANISHED, GradientFlow, Norms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LOWEST, HIGHEST = 1e-16, 1e16
"""What lies beyond is cut off, so that the limits can be told apart."""
BESIDE = 4
"""As many lines have their names beside them; more have them below."""
WIDE = 42
"""Names of more letters do not fit side by side."""


def plot_flows(flows: Mapping[str, GradientFlow], path: str | os.PathLike[str] | None = None) -> Figure:
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
    if not isinstance(flows, Mapping) or not all(isinstance(flow, GradientFlow) for flow in flows.values()):
        raise TypeError(
            f"flows must map names to GradientFlow; got {type(flows).__name__}. "
            'Fix: plot_flows({"RNN": bptt.gradient_flow(rnn, x)}).'
        )
    if not flows:
        raise ValueError("flows must hold a GradientFlow; got none. Fix: pass one from bptt.gradient_flow.")
    labels = [label for label, _, _ in _lines(flows)]
    columns = 1 if max(map(len, labels)) > WIDE else 2
    below = 0.0 if len(labels) <= BESIDE else 0.1 + 0.19 * math.ceil(len(labels) / columns)
    with drawing(7.2, 4.4 + below) as figure:
        axes = figure.subplots()
        draw_flows(axes, flows)
        axes.set_title("How far back an error reaches", fontsize=11)
        if len(labels) <= BESIDE:
            axes.legend(fontsize=8, framealpha=0.9)
        else:
            handles = axes.get_legend_handles_labels()
            figure.legend(*handles, loc="outside lower center", ncols=columns, fontsize=7, frameon=False)
    return write(figure, path)


def draw_flows(axes: Axes, flows: Mapping[str, GradientFlow]) -> None:
    """One line per row of every flow, and where the error counts as vanished and as exploded."""
    seen = [np.array([VANISHED / 10, EXPLODED * 10])]
    steps = 1
    for number, (label, way, cell) in enumerate(_lines(flows)):
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            # Beyond the edges, for matplotlib's own margins must not overflow.
            shown = np.clip(positive(way / way[0]), LOWEST / 1e3, HIGHEST * 1e3)
        seen.append(shown)
        steps = max(steps, len(way) - 1)
        axes.semilogy(
            np.arange(len(way)),
            shown,
            linestyle=STYLES[(number + number // len(COLOURS)) % len(STYLES)],
            color=COLOURS[number % len(COLOURS)],
            # Lines of one style differ in their marks, and lines on top of each other in where these are.
            marker=MARKERS[number % len(MARKERS)],
            markevery=(number * max(1, len(way) // 40), max(1, len(way) // 8)),
            markersize=3 if cell else 4,
            markerfacecolor="white" if cell else None,
            linewidth=0.9 if cell else 1.5,
            label=label,
        )
    values = np.concatenate(seen)
    low, high = max(float(np.nanmin(values)), LOWEST), min(float(np.nanmax(values)), HIGHEST)
    axes.set_ylim(low / 2, high * 2)
    axes.set_xlim(0, steps)
    for limit, far, word, side in (
        (VANISHED, low / 2, "vanished", "top"),
        (EXPLODED, high * 2, "exploded", "bottom"),
    ):
        axes.axhline(limit, color=RED, linewidth=1.0, linestyle=(0, (6, 2)))
        axes.axhspan(min(limit, far), max(limit, far), color="#f2f2f2", zorder=0)
        axes.annotate(
            f"{word}: {'below' if limit < 1 else 'above'} {limit:g}",
            (0.0, limit),
            (5, -4 if side == "top" else 4),
            xycoords=("axes fraction", "data"),
            textcoords="offset points",
            va=side,
            fontsize=8,
            color=RED,
            bbox={"facecolor": "#f2f2f2", "edgecolor": "none", "pad": 0.5},
        )
    axes.set(xlabel="steps back from the last", ylabel=r"norm of $dL/dh_t$ (last step = 1)")
    tidy(axes)


def _lines(flows: Mapping[str, GradientFlow]) -> Iterator[tuple[str, Norms, bool]]:
    """What each line is called, with its verdict, its norms, and whether they are those of dL/dc."""
    rows = sum(len(flow.rows) for flow in flows.values())
    for name, flow in flows.items():
        for k, row in enumerate(flow.rows):
            own = row.name if len(flow.rows) > 1 or not name else ""
            rate = "" if math.isnan(flow.rate[k]) else f", {flow.rate[k]:.3g} per step"
            called = " ".join(part for part in (name, own) if part)
            yield f"{called}: {flow.verdict[k]}{rate}", flow.ways[k], False
            if rows <= BESIDE // 2 and flow.c_ways is not None and row.stack.has_cell_state:
                yield f"{called}: $dL/dc_t$", flow.c_ways[k], True
