"""A picture of a forecast: the end of each series, and its predicted next steps."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.pictures.canvas import (
    DARK,
    RED,
    drawable,
    legend_entries,
    line,
    note,
    plain,
    tidy,
    write,
)
from bptt.diagnose.pictures.sheets import sheet

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bptt.diagnose.pictures.sheets import SomeAxes

LOOK_BACK = 5
"""Number of past steps in the picture, as a multiple of the forecast's length; at least 100 steps."""


def plot_forecast(
    past: npt.NDArray[Any],
    forecast: npt.NDArray[Any],
    names: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    ax: SomeAxes | None = None,
) -> Figure:
    """Draw one panel per column: its last known values, and the forecast.

    Parameters
    ----------
    past : ndarray (N, K)
        Known values.
    forecast : ndarray (H, K)
        Predicted values of the next H steps.
    names : sequence of str
        Names of the K columns.
    path : str or os.PathLike, optional
        Also write the picture to this file. The ending selects the format: .png or .svg.
    ax : matplotlib.axes.Axes or sequence of them, optional
        Where to draw, one per column. Default: a new figure.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError, OSError
        If `path` has another ending, or the file cannot be written.
    """
    known = drawable(past[-max(LOOK_BACK * len(forecast), 100) :])
    ahead = drawable(np.concatenate((known[-1:], forecast)))
    ahead[:, ~np.isfinite(forecast).any(0)] = np.nan
    first = len(forecast) - len(ahead) + 1  # 0 if there is a last known step, else 1
    with sheet(ax, 7.2, 1.2 + 2.0 * len(names), len(names), sharex=True) as page:
        figure, panels = page.figure, page.panels
        for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
            line(axes, np.arange(1 - len(known), 1), known[:, k], color=DARK, linewidth=1.2, label="so far")
            axes.plot(
                np.arange(first, first + len(ahead)),
                ahead[:, k],
                color=RED,
                linestyle="--",
                marker="o",
                markersize=3,
                markevery=slice(1 - first, None),
                linewidth=1.2,
                label="forecast",
            )
            if not (np.isfinite(known[:, k]).any() or np.isfinite(ahead[:, k]).any()):
                note(axes, "no value is finite", axes.yaxis)
            axes.set_title(plain(name), loc="left", fontsize=10)
            axes.tick_params(labelsize=9)
            tidy(axes)
        # The limits include steps without a finite value, which show as a gap.
        for axes in panels:
            axes.set_xlim(0.5 - len(known), len(forecast) + 0.5)
        handles, labels = legend_entries(*panels)
        if labels:
            panels[0].legend(
                handles,
                labels,
                loc="lower right",
                bbox_to_anchor=(1, 1),
                ncols=2,
                fontsize=8,
                frameon=False,
                borderpad=0,
            )
        panels[-1].set_xlabel("steps from the last known", fontsize=9)
    return write(figure, path)
