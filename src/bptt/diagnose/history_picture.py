"""A training run drawn: loss, gradient norm and learning rate, one above the other, over updates."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.canvas import DARK, Vector, drawing, tidy, write
from bptt.diagnose.plots import draw_gradient_norm, draw_loss, log_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


LARGEST = 1e100
"""What is beyond is drawn there: matplotlib's own margins and ticks must not overflow."""


def plot_history(
    history: Mapping[str, npt.NDArray[Any]], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw what a `History` holds; see `History.plot`."""
    loss, found, norm = (_drawable(history[name]) for name in ("loss", "validation_loss", "grad_norm"))
    rate = history["lr"]
    if not loss.size:
        raise ValueError("history must hold an update to draw; got none. Fix: plot after a fit.")
    validation = list(zip(history["validation_step"], found, strict=True))
    with drawing(7.2, 6.6) as figure:
        above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 2))
        draw_loss(above, loss, validation, {})
        _log_if_wide(above, np.concatenate([loss, found]))
        draw_gradient_norm(middle, norm, clipped=history["clipped"])
        below.plot(np.arange(1, len(rate) + 1), rate, color=DARK, linewidth=1.5)
        below.yaxis.set_major_formatter("{x:g}")
        if not _log_if_wide(below, rate, 1.5):
            below.set_ylim(bottom=0)
        below.set_xlabel("update", fontsize=9)
        below.set_xlim(0, len(loss))
        for axes, title in (
            (above, "Loss"),
            (middle, "Gradient norm before clipping"),
            (below, "Learning rate"),
        ):
            # Beside the title, for inside the axes a legend hides lines in a small picture.
            axes.set_title(title, loc="left", fontsize=10)
            if len(axes.get_legend_handles_labels()[1]) > 1:
                axes.legend(
                    loc="lower right", bbox_to_anchor=(1, 1), ncols=3, fontsize=8, frameon=False, borderpad=0
                )
            axes.tick_params(labelsize=9)
            tidy(axes)
    return write(figure, path)


def _drawable(values: Vector) -> Vector:
    return np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), np.nan)


def _log_if_wide(axes: Axes, values: Vector, decades: float = 3) -> bool:
    """A log scale if on a linear one a quarter of the values would be near its foot: of a cosine fewer do."""
    told = values[np.isfinite(values)]
    wide = told.size > 0 and told.min() > 0 and np.quantile(told, 0.25) < told.max() / 8
    if wide:
        axes.set_yscale("log")
        log_ticks(axes.yaxis, told, decades)
    return bool(wide)
