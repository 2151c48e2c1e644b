"""A forecast drawn: the end of each series, and what is told to come after it."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.canvas import DARK, RED, drawing, tidy, write

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
    shown = past[-max(LOOK_BACK * len(told), 100) :]
    with drawing(7.2, 1.2 + 2.0 * len(names)) as figure:
        panels = figure.subplots(len(names), 1, sharex=True, squeeze=False)[:, 0]
        for k, (axes, name) in enumerate(zip(panels, names, strict=True)):
            ahead = np.concatenate((shown[-1:, k], told[:, k]))
            axes.plot(np.arange(1 - len(shown), 1), shown[:, k], color=DARK, linewidth=1.2, label="so far")
            axes.plot(
                np.arange(len(ahead)),
                ahead,
                color=RED,
                linestyle="--",
                marker="o",
                markersize=3,
                markevery=slice(1, None),
                linewidth=1.2,
                label="forecast",
            )
            axes.set_title(name, loc="left", fontsize=10)
            axes.tick_params(labelsize=9)
            tidy(axes)
        panels[0].legend(
            loc="lower right", bbox_to_anchor=(1, 1), ncols=2, fontsize=8, frameon=False, borderpad=0
        )
        panels[-1].set_xlabel("steps from the last known", fontsize=9)
    return write(figure, path)
