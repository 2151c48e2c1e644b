"""A forecast drawn: the end of each series, and what is told to come after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.canvas import DARK, RED, drawable, drawing, drawn, line, note, plain, tidy, write

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LOOK_BACK = 5
"""How much of the past is drawn: so many times what is told, or 100 steps."""


def plot_forecast(
    past: npt.NDArray[Any],
    told: npt.NDArray[Any],
    names: Sequence[str],
    path: str | os.PathLike[str] | None = None,
) -> Figure:
    """One panel a column: its last values, and the forecast.

    Parameters
    ----------
    past : ndarray (N, K)
    told : ndarray (H, K)
        What follows.
    names : sequence of str
        Of the K columns.
    path : str or os.PathLike, optional
        Write the picture there, as its ending says: .png or .svg.

    Raises
    ------
    ImportError
        Without matplotlib.
    TypeError, ValueError, OSError
        A path with another ending; a file that cannot be written.
    """
    shown = drawable(past[-max(LOOK_BACK * len(told), 100) :])
    ahead = drawable(np.concatenate((shown[-1:], told)))
    ahead[:, ~np.isfinite(told).any(0)] = np.nan
    first = len(told) - len(ahead) + 1  # 0, the last known step, if there is one
    with drawing(7.2, 1.2 + 2.0 * len(names)) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
            line(axes, np.arange(1 - len(shown), 1), shown[:, k], color=DARK, linewidth=1.2, label="so far")
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
            if not (np.isfinite(shown[:, k]).any() or np.isfinite(ahead[:, k]).any()):
                note(axes, "no value is finite", axes.yaxis)
            axes.set_title(plain(name), loc="left", fontsize=10)
            axes.tick_params(labelsize=9)
            tidy(axes)
        # Also the steps without a finite value: a gap is where it is, not left out.
        panels[0].set_xlim(0.5 - len(shown), len(told) + 0.5)
        handles, labels = drawn(*panels)
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
