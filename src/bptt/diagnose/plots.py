"""Pictures of a training run: loss, gradient norm before clipping, gradient through time.

Needs matplotlib; see canvas.py.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

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
    from matplotlib.figure import Figure

__all__ = ["TrainingCurves", "available", "png", "training_figure"]


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
        draw_loss(loss, curves)
        draw_gradient_norm(norm, curves)
        draw_gradient_flow(flow, curves)
        for axes in (loss, norm, flow):
            tidy(axes)
        if curves.title:
            figure.suptitle(curves.title, fontsize=11)
    return figure


def smoothed(values: Vector, window: int) -> Vector:
    """Mean over the last `window` values at every position (over what there is, at the start)."""
    total = np.cumsum(values)
    total[window:] -= total[:-window].copy()
    return total / np.minimum(np.arange(1, len(values) + 1), window)


def draw_loss(axes: Axes, curves: TrainingCurves) -> None:
    """Loss against step, with a smoothed line, the validation points and a line per baseline."""
    steps = np.arange(1, len(curves.loss) + 1)
    axes.plot(steps, curves.loss, color=PALE, linewidth=0.8, label="training, each step")
    window = max(1, len(steps) // 50)
    if window > 1:
        axes.plot(steps, smoothed(curves.loss, window), color=BLUE, linewidth=1.6, label=f"mean of {window}")
    if curves.validation:
        at, value = zip(*curves.validation, strict=True)
        axes.plot(at, value, "o-", color=DARK, markersize=4, linewidth=0.8, clip_on=False, label="validation")
    for (name, level), style in zip(curves.baselines.items(), ("--", ":", "-."), strict=False):
        axes.axhline(level, color=RED, linestyle=style, linewidth=1.3, label=f"{name} model, {level:.2f}")
    axes.set(title="Loss", xlabel="step (parameter updates)", ylabel="cross-entropy (nats per character)")
    axes.set_xlim(0, len(steps))
    axes.legend(frameon=False, fontsize=8)


def draw_gradient_norm(axes: Axes, curves: TrainingCurves) -> None:
    """Gradient norm before clipping against step, log scale, with the limit and the share above it."""
    from matplotlib.ticker import LogLocator, NullFormatter

    steps = np.arange(1, len(curves.grad_norm) + 1)
    norms = positive(curves.grad_norm)
    axes.semilogy(steps, norms, ".", color=BLUE, markersize=2.5, label="before clipping")
    if curves.clip_norm is not None:
        share = float(np.mean(curves.grad_norm > curves.clip_norm))
        label = f"limit {curves.clip_norm:g}: {share:.0%} of steps clipped"
        axes.axhline(curves.clip_norm, color=RED, linestyle="--", linewidth=1.3, label=label)
    told = norms[np.isfinite(norms)]
    few = told.size == 0 or told.max() < 1e3 * told.min()  # with more, numbers would touch
    axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if few else (1,)))
    axes.yaxis.set_major_formatter("{x:g}")
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set(title="Gradient norm", xlabel="step (parameter updates)", ylabel="2-norm of the whole gradient")
    axes.set_xlim(0, len(steps))
    axes.legend(frameon=False, fontsize=8)


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
    axes.legend(frameon=False, fontsize=8)
