"""The norm of the error over training and steps back, as a picture."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt

from bptt.diagnose.curves import EXPLODED, VANISHED, Norms
from bptt.diagnose.pictures.canvas import SHADES, note, positive, whole_ticks, write
from bptt.diagnose.pictures.sheets import sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from bptt.diagnose.pictures.sheets import SomeAxes

RANGE = 6
"""The shades go from 10^-RANGE to 10^RANGE. Values outside have the first or last shade."""


def plot_records(
    updates: npt.NDArray[np.int64],
    steps_back: npt.NDArray[np.int64],
    dh_norm: Norms,
    names: Sequence[str],
    path: str | os.PathLike[str] | None = None,
    ax: SomeAxes | None = None,
) -> Figure:
    """Draw one heat map per layer and direction.

    Updates go to the right, and steps back go upwards. Norms are relative to the norm of the error on
    arrival. Lines mark where the error has vanished and exploded.

    Parameters
    ----------
    updates : ndarray (N,)
        Numbers of the recorded updates.
    steps_back : ndarray (K,)
    dh_norm : ndarray (N, R, K)
    names : sequence of R str
    path : str or os.PathLike, optional
        Also write the picture to this file, .png or .svg.
    ax : matplotlib.axes.Axes or sequence of them, optional
        Where to draw, one per panel. Default: a new figure.
    """
    rows = len(names)
    with sheet(ax, 7.2, 1.4 + 2.2 * rows, rows, sharex=True) as page:
        figure, panels = page.figure, page.panels
        for k, axes in enumerate(panels):
            with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
                ratio = np.log10(positive(dh_norm[:, k] / dh_norm[:, k, :1])).T
            # An error of 0 has no logarithm. It gets the lowest shade, and only missing norms stay blank.
            ratio = np.where(dh_norm[:, k].T == 0, -np.inf, ratio)
            ratio = np.where(np.isinf(dh_norm[:, k].T), np.inf, ratio)
            image = axes.pcolormesh(
                _edges(updates),
                _edges(steps_back),
                np.clip(ratio, -RANGE, RANGE),
                cmap=SHADES,
                vmin=-RANGE,
                vmax=RANGE,
                rasterized=True,
            )
            _limits(axes, updates, steps_back, ratio)
            _note(axes, dh_norm[:, k])
            axes.set_title(names[k], fontsize=9)
            axes.tick_params(labelsize=9)
            axes.set_ylabel("steps back", fontsize=9)
            whole_ticks(axes.xaxis, axes.yaxis)
        panels[-1].set_xlabel("update", fontsize=9)
        powers = range(-RANGE, RANGE + 1, 3)
        bar = figure.colorbar(image, ax=panels, extend="both", aspect=30, ticks=powers)
        bar.ax.tick_params(labelsize=9)
        bar.ax.yaxis.set_major_formatter(lambda power, _: f"$10^{{{power:.0f}}}$")
        bar.set_label("norm of $dL/dh_t$\n(last step = 1)", fontsize=9)
        bar.ax.axhline(np.log10(VANISHED), color="white", linestyle="--")
        bar.ax.axhline(np.log10(EXPLODED), color="black", linestyle="-")
        if page.is_new:
            figure.suptitle(
                "How far back errors reach in training\n"
                r"dashed: vanished, below $10^{-3}$; solid: exploded, above $10^3$",
                fontsize=10,
                wrap=True,
            )
    return write(figure, path)


def _note(axes: Axes, norms: Norms) -> None:
    """Write into the panel why all norms (N, K) have the same shade or none."""
    if np.isnan(norms).all():
        note(axes, "no norm is a number")
    elif not np.nan_to_num(norms).any():
        note(axes, "no error arrives: every norm is 0")


def _limits(
    axes: Axes, updates: npt.NDArray[np.int64], steps_back: npt.NDArray[np.int64], ratio: Norms
) -> None:
    """Draw lines where the error crosses the limits."""
    if min(ratio.shape) < 2:
        return
    # The mask prevents a line along the end of a shorter batch, where no error crosses a limit.
    masked = np.ma.masked_invalid(np.clip(ratio, -RANGE, RANGE))
    for limit, colour, style in ((VANISHED, "white", "--"), (EXPLODED, "black", "-")):
        level = np.log10(limit)
        if masked.min() < level < masked.max():
            axes.contour(
                updates, steps_back, masked, levels=[level], colors=colour, linestyles=style, linewidths=1.2
            )


def _edges(centres: npt.NDArray[np.int64]) -> npt.NDArray[np.float64]:
    """Return the edges of the cells with these centres."""
    if len(centres) < 2:
        return np.array([centres[0] - 0.5, centres[0] + 0.5])
    middle = (centres[1:] + centres[:-1]) / 2
    return np.concatenate(
        [[1.5 * centres[0] - 0.5 * centres[1]], middle, [1.5 * centres[-1] - 0.5 * centres[-2]]]
    )
