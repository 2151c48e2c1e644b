"""Pictures of a training run: loss, gradient norm before clipping, gradient through time.

Needs matplotlib; see canvas.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.canvas import (
    BLUE,
    DARK,
    PALE,
    RED,
    STYLES,
    Vector,
    available,
    drawing,
    png,
    positive,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["TrainingCurves", "available", "png", "training_figure"]

MANY = 5000
"""Of more updates the marks are smaller, and pixels, too, in an SVG."""


@dataclass(frozen=True)
class TrainingCurves:
    """What one training run leaves to draw.

    Attributes
    ----------
    loss : ndarray (steps,)
        Training loss of each update, nats per symbol.
    grad_norm : ndarray (steps,)
        2-norm of the whole gradient of each update, before clipping.
    dh_norm, dc_norm : ndarray (layers, T)
        2-norm of dL/dh_t and dL/dc_t, step T - 1 last; dc_norm is None for cells without c.
    validation : list of (step, loss)
    clip_norm : float or None
        The limit at which the gradient was clipped.
    truncate : int or None
        Steps that errors went back in training.
    baselines : dict
        Name and loss of the models to beat, nats per symbol.
    """

    loss: Vector
    grad_norm: Vector
    dh_norm: Vector
    dc_norm: Vector | None = None
    validation: list[tuple[int, float]] = field(default_factory=list)
    clip_norm: float | None = None
    truncate: int | None = None
    baselines: dict[str, float] = field(default_factory=dict)
    title: str = ""


def training_figure(curves: TrainingCurves) -> Figure:
    """Three panels side by side: loss, gradient norm, gradient through time.

    Raises
    ------
    ImportError
        Without matplotlib, saying how to install it.
    """
    with drawing(13.5, 4.2) as figure:
        loss, norm, flow = figure.subplots(1, 3)
        draw_loss(loss, curves.loss, curves.validation, curves.baselines)
        loss.set(title="Loss", ylabel="cross-entropy (nats per character)")
        draw_gradient_norm(norm, curves.grad_norm, clip_norm=curves.clip_norm)
        norm.set(title="Gradient norm", ylabel="2-norm of the whole gradient")
        draw_gradient_flow(flow, curves)
        for axes in (loss, norm):
            axes.set(xlim=(0, len(curves.loss)), xlabel="step (parameter updates)")
        for axes in (loss, norm, flow):
            axes.legend(frameon=False, fontsize=8)
            tidy(axes)
        if curves.title:
            figure.suptitle(curves.title, fontsize=11)
    return figure


def smoothed(values: Vector, window: int) -> Vector:
    """Mean over the last `window` values at every position (over what there is, at the start), those that are
    not finite left out; NaN where there is no other."""
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return _sliding(np.where(finite, values, 0.0), window) / _sliding(finite, window)


def _sliding(values: npt.NDArray[Any], window: int) -> Vector:
    """Sum over the last `window` values at every position."""
    total = np.cumsum(values, dtype=np.float64)
    total[window:] -= total[:-window].copy()
    return total


def draw_loss(
    axes: Axes, loss: Vector, validation: Sequence[tuple[int, float]], baselines: Mapping[str, float]
) -> None:
    """Loss against update, with a smoothed line, the validation points and a line per baseline."""
    steps = np.arange(1, len(loss) + 1)
    window = max(1, len(steps) // 50)
    pale = window > 1  # beside a smoothed line
    axes.plot(steps, loss, color=PALE if pale else BLUE, linewidth=0.8, label="training, each update")
    if pale:
        axes.plot(steps, smoothed(loss, window), color=BLUE, linewidth=1.6, label=f"mean of {window}")
    if validation:
        at, value = zip(*validation, strict=True)
        axes.plot(
            at,
            value,
            "o-",
            color=DARK,
            markersize=4,
            markevery=max(1, len(at) // 40),
            linewidth=0.8,
            clip_on=False,
            label="validation",
        )
    for (name, level), style in zip(baselines.items(), ("--", ":", "-."), strict=False):
        axes.axhline(level, color=RED, linestyle=style, linewidth=1.3, label=f"{name} model, {level:.2f}")


def draw_gradient_norm(
    axes: Axes,
    grad_norm: Vector,
    *,
    clip_norm: float | None = None,
    clipped: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Gradient norm before clipping against update, log scale: with the limit and the share above it, or with
    a mark at what was clipped; and where it was not finite."""
    steps = np.arange(1, len(grad_norm) + 1)
    norms = positive(grad_norm)
    many = len(steps) > MANY

    def mark(where: Any, marker: str, size: float, colour: str, label: str) -> None:
        options: dict[str, Any] = {"markersize": 0.6 * size if many else size, "rasterized": many}
        axes.semilogy(steps[where], norms[where], marker, color=colour, label=label, **options)

    if clipped is not None and clipped.any():
        mark(~clipped, ".", 2.5, BLUE, "not clipped")
        mark(clipped, "x", 3.5, RED, f"clipped: {clipped.mean():.0%} of updates")
    else:
        mark(slice(None), ".", 2.5, BLUE, "before clipping")
    if clip_norm is not None:
        share = float(np.mean(grad_norm > clip_norm))
        label = f"limit {clip_norm:g}: {share:.0%} of steps clipped"
        axes.axhline(clip_norm, color=RED, linestyle="--", linewidth=1.3, label=label)
    lost = steps[~np.isfinite(grad_norm)]
    if lost.size:
        at_top = axes.get_xaxis_transform()
        axes.plot(
            lost,
            np.full(lost.size, 0.96),
            "v",
            color=DARK,
            markersize=5,
            transform=at_top,
            clip_on=False,
            label=f"not finite: {lost.size}",
        )
    log_ticks(axes.yaxis, norms)


def log_ticks(axis: Axis, values: Vector, decades: float = 3) -> None:
    """Plain numbers on a log axis: 1, 2 and 5 have room in so many `decades`, beyond them powers of ten.

    Values that are not finite count for nothing; the others are above 0.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    told = values[np.isfinite(values)]
    spread = float(told.max() / told.min()) if told.size else 1.0
    subs: Sequence[float] = (1, 2, 5) if spread < 10**decades else (1,)
    axis.set_major_locator(LogLocator(subs=range(1, 10) if spread < 4 else subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def draw_gradient_flow(axes: Axes, curves: TrainingCurves) -> None:
    """|dL/dh_t| and |dL/dc_t| of every layer against steps back from the last, log scale."""
    back = np.arange(curves.dh_norm.shape[1])
    for norms, name, colour in ((curves.dh_norm, "h", DARK), (curves.dc_norm, "c", BLUE)):
        if norms is None:
            continue
        for layer, row in enumerate(norms):
            style = STYLES[layer % len(STYLES)]
            axes.semilogy(
                back,
                positive(row[::-1]),
                linestyle=style,
                color=colour,
                linewidth=1.5,
                label=rf"$\|dL/d{name}_t\|$, layer {layer}",
            )
    if curves.truncate is not None and curves.truncate < len(back):
        label = f"truncated here in training, {curves.truncate} steps"
        axes.axvline(curves.truncate, color=RED, linestyle="--", linewidth=1.3, label=label)
    axes.set(
        title="Gradient through time",
        xlabel="steps back from the last",
        ylabel="2-norm over batch and units",
    )
    axes.set_xlim(0, max(1, len(back) - 1))
