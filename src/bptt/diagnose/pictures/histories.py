"""Curves of several training runs in one picture."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import short
from bptt.diagnose.pictures.canvas import (
    BLUE,
    COLOURS,
    MARKERS,
    PALE,
    RED,
    STYLES,
    Vector,
    drawable,
    legend_entries,
    line,
    note,
    plain,
    tidy,
    write,
)
from bptt.diagnose.pictures.plots import log_if_wide, smoothed
from bptt.diagnose.pictures.sheets import sheet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""A `History`."""
QUARTILES = (0.25, 0.5, 0.75)


def plot_histories(
    histories: Mapping[str, Columns | Sequence[Columns]],
    metric: str = "loss",
    *,
    path: str | os.PathLike[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the learning curves of several runs in one picture.

    Columns with one number per update are smoothed: each point is the mean of the last 2 % of the updates.
    Several runs under one name, such as runs with other seeds, are drawn as the median and a band. The band
    reaches from the lower to the upper quartile.

    Parameters
    ----------
    histories : mapping of str to History, or to a list of them
        The runs by their names in the legend.
    metric : str
        Column of the histories: "loss", "grad_norm", "lr", "validation_loss", or `validation_` and the name
        of a metric.
    path : str or os.PathLike, optional
        File for the picture. The suffix sets the format: .png or .svg.
    ax : matplotlib.axes.Axes, optional
        Where to draw. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError, OSError
        `histories` is not such a mapping, or a history lacks the column or its values. `path` has another
        suffix, or the file cannot be written.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data, histories = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))], {}
    >>> for cell in (bptt.LSTM, bptt.GRU):
    ...     trainer = bptt.Trainer(cell(3, 8), bptt.MeanSquaredError(), bptt.Adam())
    ...     histories[cell.__name__] = trainer.fit(data, epochs=5)
    >>> figure = bptt.plot_histories(histories, "loss", path="loss.png")
    >>> figure.axes[0].get_ylabel()
    'loss'
    """
    runs = _parse(histories, metric)

    def draw(axes: Axes) -> None:
        drawn = [np.empty(0)]
        for k, (name, curves) in enumerate(runs.items()):
            style = {"color": COLOURS[k % len(COLOURS)], "linestyle": STYLES[k // len(COLOURS) % len(STYLES)]}
            steps, low, median, high = _band(curves)
            line(axes, steps, median, label=plain(name), linewidth=1.6, **style)
            if len(curves) > 1:
                axes.fill_between(steps, low, high, color=style["color"], alpha=0.15, linewidth=0)
            drawn.append(median)
        axes.set_xlabel("update")
        if not np.isfinite(np.concatenate(drawn)).any():
            note(axes, f"no {metric} is finite", axes.yaxis)
        elif metric != "lr" or len(runs) > 1:
            log_if_wide(axes, np.concatenate(drawn))

    return _picture(draw, metric, path, ax)


def plot_points(
    points: Mapping[str, Sequence[float]],
    metric: str,
    *,
    path: str | os.PathLike[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the final values of runs as points: one column per name, with a bar at the median."""
    if not any(np.isfinite(values).any() for values in points.values()):
        raise ValueError(f"a run must have a finite {metric}; got none. Fix: look at the errors of the runs.")

    def draw(axes: Axes) -> None:
        for k, (name, values) in enumerate(points.items()):
            finite = drawable(np.array(values, np.float64))
            finite = finite[np.isfinite(finite)]
            colour, marker = COLOURS[k % len(COLOURS)], MARKERS[k % len(MARKERS)]
            if finite.size:
                axes.plot(np.full(finite.size, k), finite, marker, color=colour, alpha=0.5, label=plain(name))
                axes.hlines(np.median(finite), k - 0.3, k + 0.3, color=colour, linewidth=2)
        axes.set_xlim(-0.5, len(points) - 0.5)

    return _picture(draw, metric, path, ax, names=list(points))


def plot_rates(
    lr: Vector,
    loss: Vector,
    smooth: Vector,
    suggestion: float | None,
    *,
    path: str | os.PathLike[str] | None = None,
    ax: Axes | None = None,
) -> Figure:
    """Draw the loss of a learning-rate range test over the rate, see `RateCurve.plot`."""

    def draw(axes: Axes) -> None:
        line(axes, lr, drawable(loss), color=PALE, linewidth=0.8, label="each update")
        line(axes, lr, drawable(smooth), color=BLUE, linewidth=1.6, label="smoothed")
        if suggestion is not None:
            axes.axvline(
                suggestion, color=RED, linestyle="--", linewidth=1.3, label=f"steepest: {suggestion:.2g}"
            )
        axes.set_xlabel("learning rate")

    figure = _picture(draw, "loss", None, ax)
    axes = figure.axes[0] if ax is None else ax
    axes.set_xscale("log")
    return write(figure, path)


def _picture(
    draw: Any, metric: str, path: Any, ax: Axes | None, *, names: Sequence[str] | None = None
) -> Figure:
    """Call `draw` for the axes, or for those of a new figure, and add what all pictures share."""
    with sheet(ax, 7.2, 4.2) as page:
        _finish(page.panels[0], draw, metric, names)
    return write(page.figure, path)


def _finish(axes: Axes, draw: Any, metric: str, names: Sequence[str] | None) -> None:
    draw(axes)
    axes.set_ylabel(plain(metric.replace("_", " ")))
    tidy(axes)
    if names is None:
        handles, labels = legend_entries(axes)
        if len(labels) > 1:
            axes.legend(handles, labels, fontsize=8, frameon=False)
    else:
        axes.set_xticks(range(len(names)), [plain(name) for name in names], fontsize=8)


def _parse(histories: Any, metric: str) -> dict[str, list[tuple[Vector, Vector]]]:
    """Return the curves of each name: steps and values."""
    if not isinstance(metric, str):
        raise TypeError(
            f'metric must be the name of a column; got {short(metric)}. Fix: pass "loss", or "lr".'
        )
    if not isinstance(histories, Mapping) or not histories or _is_history(histories):
        empty = isinstance(histories, Mapping) and not histories
        raise TypeError(
            "histories must be a mapping of names to histories; got "
            f'{"none" if empty else type(histories).__name__}. Fix: pass {{"lstm": history}}.'
        )
    parsed: dict[str, list[tuple[Vector, Vector]]] = {}
    for name, value in histories.items():
        if not isinstance(value, (Mapping, Sequence)) or isinstance(value, str):
            raise TypeError(
                f"histories[{name!r:.40}] must be a history or a list of histories; got "
                f"{type(value).__name__}. Fix: pass the result of trainer.fit(...)."
            )
        runs = [value] if isinstance(value, Mapping) else list(value)
        parsed[str(name)] = [_curve(run, metric, f"histories[{name!r:.40}]") for run in runs]
        if not runs:
            raise ValueError(
                f"histories[{name!r:.40}] must hold a history; got none. Fix: leave the name out."
            )
    return parsed


def _is_history(value: Mapping[Any, Any]) -> bool:
    return all(isinstance(column, np.ndarray) for column in value.values())


def _curve(run: Columns, metric: str, name: str) -> tuple[Vector, Vector]:
    if not isinstance(run, Mapping) or metric not in run:
        columns = ", ".join(map(str, run)) if isinstance(run, Mapping) else type(run).__name__
        raise ValueError(
            f"{name} must have the column {metric!r:.40}; got {columns}. Fix: pass one of its columns."
        )
    values = drawable(np.asarray(run[metric], np.float64))
    if not values.size:
        raise ValueError(
            f"{name} must hold at least one value of {metric}; got none. "
            "Fix: call fit first, with validation data for columns of the validation."
        )
    if metric.startswith("validation_"):
        return np.asarray(run["validation_step"], np.float64), values
    return np.arange(1.0, len(values) + 1), smoothed(values, max(1, len(values) // 50))


def _band(curves: Sequence[tuple[Vector, Vector]]) -> tuple[Vector, Vector, Vector, Vector]:
    """Return steps, lower quartile, median and upper quartile of curves that may have other steps."""
    if len(curves) == 1:
        steps, values = curves[0]
        return steps, values, values, values
    grid = np.unique(np.concatenate([steps for steps, _ in curves]))
    rows = np.full((len(curves), grid.size), np.nan)
    for row, (steps, values) in zip(rows, curves, strict=True):
        inside = (grid >= steps[0]) & (grid <= steps[-1])
        row[inside] = np.interp(grid[inside], steps, values)
    known = ~np.isnan(rows).all(axis=0)
    band = np.full((3, grid.size), np.nan)
    band[:, known] = np.nanquantile(rows[:, known], QUARTILES, axis=0)
    return grid, band[0], band[1], band[2]
