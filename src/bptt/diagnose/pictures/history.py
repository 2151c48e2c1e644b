"""A picture of a training run: loss, gradient norm and learning rate."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.pictures.canvas import (
    DARK,
    Vector,
    drawable,
    drawing,
    legend_entries,
    line,
    note,
    tidy,
    write,
)
from bptt.diagnose.pictures.plots import draw_gradient_norm, draw_loss, log_if_wide

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def plot_history(
    history: Mapping[str, npt.NDArray[Any]], path: str | os.PathLike[str] | None = None
) -> Figure:
    """Draw the curves of a `History`, see `History.plot`."""
    loss, validation_loss, norm, rate = (
        drawable(history[name]) for name in ("loss", "validation_loss", "grad_norm", "lr")
    )
    if not loss.size:
        raise ValueError("history must hold at least one update; got none. Fix: call fit before plot.")
    validation = list(zip(history["validation_step"], validation_loss, strict=True))
    with drawing(7.2, 6.6) as figure:
        above, middle, below = figure.subplots(3, 1, sharex=True, height_ratios=(5, 4, 2))
        draw_loss(above, loss, validation, {})
        log_if_wide(above, np.concatenate([loss, validation_loss]))
        draw_gradient_norm(middle, norm, clipped=history["clipped"])
        _draw_rate(below, rate)
        below.set_xlabel("update", fontsize=9)
        below.set_xlim(0.5, len(loss) + 0.5)
        for axes, title in (
            (above, "Loss"),
            (middle, "Gradient norm before clipping"),
            (below, "Learning rate"),
        ):
            # The legend is next to the title, because it hides lines inside the axes of a small picture.
            axes.set_title(title, loc="left", fontsize=10)
            handles, labels = legend_entries(axes)
            if len(labels) > 1:
                axes.legend(
                    handles,
                    labels,
                    loc="lower right",
                    bbox_to_anchor=(1, 1),
                    ncols=len(labels) if len(labels) < 4 else 2,
                    fontsize=8,
                    frameon=False,
                    borderpad=0,
                    columnspacing=1.2,
                    handletextpad=0.4,
                )
            axes.tick_params(labelsize=9)
            tidy(axes)
    return write(figure, path)


def _draw_rate(axes: Axes, rate: Vector) -> None:
    line(axes, np.arange(1, len(rate) + 1), rate, color=DARK, linewidth=1.5)
    axes.yaxis.set_major_formatter("{x:g}")
    if not np.isfinite(rate).any():
        note(axes, "no learning rate is finite", axes.yaxis)
    elif not log_if_wide(axes, rate, 1.5):
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(rate))))
