"""A picture of a training run: loss, gradient norm and learning rate."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.pictures.canvas import (
    DARK,
    Vector,
    drawable,
    legend_entries,
    line,
    note,
    tidy,
    write,
)
from bptt.diagnose.pictures.plots import draw_gradient_norm, draw_loss, log_if_wide
from bptt.diagnose.pictures.sheets import sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bptt.diagnose.pictures.sheets import SomeAxes


def plot_history(
    history: Mapping[str, npt.NDArray[Any]],
    path: str | os.PathLike[str] | None = None,
    ax: SomeAxes | None = None,
) -> Figure:
    """Draw the curves of a `History`, see `History.plot`."""
    loss, validation_loss, norm, rate = (
        drawable(history[name]) for name in ("loss", "validation_loss", "grad_norm", "lr")
    )
    if not loss.size:
        raise ValueError("history must hold at least one update; got none. Fix: call fit before plot.")
    validation = list(zip(history["validation_step"], validation_loss, strict=True))

    def draw_losses(axes: Axes) -> None:
        draw_loss(axes, loss, validation, {})
        log_if_wide(axes, np.concatenate([loss, validation_loss]))

    draws: tuple[tuple[str, Callable[[Axes], None]], ...] = (
        ("Loss", draw_losses),
        (
            "Gradient norm before clipping",
            lambda axes: draw_gradient_norm(axes, norm, clipped=history["clipped"]),
        ),
        ("Learning rate", lambda axes: _draw_rate(axes, rate)),
    )
    with sheet(ax, 7.2, 6.6, 3, counts=(1, 3), sharex=True, height_ratios=(5, 4, 2)) as page:
        for axes, (title, draw) in zip(page.panels, draws, strict=False):
            draw(axes)
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
            axes.set_xlim(0.5, len(loss) + 0.5)
            axes.tick_params(labelsize=9)
            tidy(axes)
        page.panels[-1].set_xlabel("update", fontsize=9)
    return write(page.figure, path)


def _draw_rate(axes: Axes, rate: Vector) -> None:
    line(axes, np.arange(1, len(rate) + 1), rate, color=DARK, linewidth=1.5)
    axes.yaxis.set_major_formatter("{x:g}")
    if not np.isfinite(rate).any():
        note(axes, "no learning rate is finite", axes.yaxis)
    elif not log_if_wide(axes, rate, 1.5):
        axes.set_ylim(bottom=min(0.0, float(np.nanmin(rate))))
