"""Pictures of a training run: loss, gradient norm, gradient through time.

The pictures need matplotlib, see canvas.py.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.diagnose.pictures.canvas import (
    BLUE,
    DARK,
    PALE,
    RED,
    STYLES,
    Vector,
    available,
    drawing,
    legend_entries,
    line,
    lone,
    note,
    plain,
    png,
    positive,
    step_limits,
    tidy,
)

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

__all__ = ["TrainingCurves", "available", "png", "training_figure"]

MANY = 5000
"""Above this number of updates, marks are smaller, and an SVG stores them as pixels."""


@dataclass(frozen=True)
class TrainingCurves:
    """The curves of one training run.

    Attributes
    ----------
    loss : ndarray (steps,)
        Training loss of each update, nats per symbol.
    grad_norm : ndarray (steps,)
        2-norm of the whole gradient of each update, before clipping.
    dh_norm, dc_norm : ndarray (layers, T)
        2-norm of dL/dh_t and dL/dc_t, step T - 1 last. dc_norm is None for cells without c.
    validation : list of (step, loss)
    clip_norm : float or None
        The norm to which gradients were clipped.
    truncate : int or None
        Number of steps of backpropagation in training.
    baselines : dict
        Name and loss of each baseline model, in nats per symbol.
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
    """Draw three panels side by side: loss, gradient norm, gradient through time.

    Raises
    ------
    ImportError
        If matplotlib is not installed. The message says how to install it.
    """
    with drawing(13.5, 4.2) as figure:
        loss, norm, flow = figure.subplots(1, 3)
        draw_loss(loss, curves.loss, curves.validation, curves.baselines)
        loss.set(title="Loss", ylabel="cross-entropy (nats per character)")
        draw_gradient_norm(norm, curves.grad_norm, clip_norm=curves.clip_norm)
        norm.set(title="Gradient norm", ylabel="2-norm of the whole gradient")
        draw_gradient_flow(flow, curves)
        for axes in (loss, norm):
            axes.set(xlim=(0.5, len(curves.loss) + 0.5), xlabel="step (parameter updates)")
        for axes in (loss, norm, flow):
            handles, labels = legend_entries(axes)
            if labels:
                axes.legend(handles, labels, frameon=False, fontsize=8)
            tidy(axes)
        if curves.title:
            figure.suptitle(plain(curves.title), fontsize=11)
    return figure


def smoothed(values: Vector, window: int) -> Vector:
    """Return the mean over the last `window` values at every position.

    The mean ignores values that are not finite. It is NaN if no value is finite. At the start, the mean is
    over fewer values.
    """
    finite = np.isfinite(values)
    with np.errstate(invalid="ignore"):
        return _sliding(np.where(finite, values, 0.0), window) / _sliding(finite, window)


def _sliding(values: npt.NDArray[Any], window: int) -> Vector:
    """Return the sum over the last `window` values at every position."""
    total = np.cumsum(values, dtype=np.float64)
    total[window:] -= total[:-window].copy()
    return total


def draw_loss(
    axes: Axes, loss: Vector, validation: Sequence[tuple[int, float]], baselines: Mapping[str, float]
) -> None:
    """Draw loss against update.

    The panel also has a smoothed line, the validation points and a line per baseline.
    """
    steps = np.arange(1, len(loss) + 1)
    window = max(1, len(steps) // 50)
    pale = window > 1  # next to a smoothed line
    line(axes, steps, loss, color=PALE if pale else BLUE, linewidth=0.8, label="training, each update")
    if pale:
        line(axes, steps, smoothed(loss, window), color=BLUE, linewidth=1.6, label=f"mean of {window}")
    validation_steps = [step for step, _ in validation]
    validation_loss = np.array([value for _, value in validation], np.float64)
    if validation_steps:
        spacing = max(1, len(validation_steps) // 40)
        axes.plot(
            validation_steps,
            validation_loss,
            "o-",
            color=DARK,
            markersize=4,
            # Points without a finite neighbour need a mark, because the line does not show them.
            markevery=sorted({*range(0, len(validation_steps), spacing), *lone(validation_loss).tolist()}),
            linewidth=0.8,
            clip_on=False,
            label="validation",
        )
    for (name, level), style in zip(baselines.items(), ("--", ":", "-."), strict=False):
        label = f"{plain(name)} model, {level:.2f}"
        axes.axhline(level, color=RED, linestyle=style, linewidth=1.3, label=label)
    if not np.isfinite([*loss, *validation_loss]).any():
        note(axes, "no loss is finite", None if baselines else axes.yaxis)


def draw_gradient_norm(
    axes: Axes,
    grad_norm: Vector,
    *,
    clip_norm: float | None = None,
    clipped: npt.NDArray[np.bool_] | None = None,
) -> None:
    """Draw the gradient norm before clipping against update, on a log scale.

    The panel shows the limit and the fraction of norms above it, or marks each clipped update. A log scale
    has no place for some norms. They are marked at the edges: norms that are not finite at the top, zeros at
    the bottom.
    """
    steps = np.arange(1, len(grad_norm) + 1)
    norms = positive(grad_norm)
    many = len(steps) > MANY

    def mark(selection: Any, marker: str, size: float, colour: str, label: str) -> None:
        options: dict[str, Any] = {"markersize": 0.6 * size if many else size, "rasterized": many}
        axes.semilogy(steps[selection], norms[selection], marker, color=colour, label=label, **options)

    dot = 2.5 if len(steps) > 60 else 6  # if there are few points, larger dots make them visible
    if clipped is not None and clipped.any():
        mark(~clipped, ".", dot, BLUE, "not clipped")
        mark(clipped, "x", max(3.5, 0.7 * dot), RED, f"clipped: {clipped.mean():.0%} of updates")
    else:
        mark(slice(None), ".", dot, BLUE, "before clipping")
    if clip_norm is not None:
        fraction = float(np.mean(grad_norm > clip_norm))
        label = f"limit {clip_norm:g}: {fraction:.0%} of steps clipped"
        axes.axhline(clip_norm, color=RED, linestyle="--", linewidth=1.3, label=label)
    for off_scale, height, marker, word in (
        (~np.isfinite(grad_norm), 0.96, "v", "not finite"),
        (grad_norm == 0, 0.04, "^", "zero"),
    ):
        off_scale_steps = steps[off_scale]
        if off_scale_steps.size:
            axes.plot(
                off_scale_steps,
                np.full(off_scale_steps.size, height),
                marker,
                color=DARK,
                markersize=5,
                transform=axes.get_xaxis_transform(),
                clip_on=False,
                rasterized=many,
                label=f"{word}: {off_scale_steps.size}",
            )
    log_ticks(axes.yaxis)
    if not np.isfinite(norms).any():
        if not grad_norm.any():
            reason = "every gradient norm is 0"
        elif not np.isfinite(grad_norm).any():
            reason = "no gradient norm is finite"
        else:
            reason = "no gradient norm is finite and above 0"
        note(axes, reason, axes.yaxis if clip_norm is None else None)


def log_ticks(axis: Axis, decades: float = 3) -> None:
    """Write plain numbers on a log axis. Call this function after everything is drawn.

    An axis shorter than `decades` has ticks at 1, 2 and 5. A longer axis has ticks at powers of ten only.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    low, high = axis.get_view_interval()
    spread = float(high / low)
    subs: Sequence[float] = (1, 2, 5) if spread < 10 ** (decades + 0.3) else (1,)
    axis.set_major_locator(LogLocator(subs=range(1, 10) if spread < 5 else subs))
    axis.set_major_formatter("{x:g}")
    axis.set_minor_formatter(NullFormatter())


def log_if_wide(axes: Axes, values: Vector, decades: float = 3) -> bool:
    """Use a log scale if many values would be small on a linear scale.

    The scale is logarithmic if a quarter of the values would lie in the lowest eighth. A cosine schedule has
    fewer low values and keeps the linear scale.
    """
    finite = values[np.isfinite(values)]
    wide = finite.size > 0 and finite.min() > 0 and np.quantile(finite, 0.25) < finite.max() / 8
    if wide:
        axes.set_yscale("log")
        log_ticks(axes.yaxis, decades)
    return bool(wide)


def draw_gradient_flow(axes: Axes, curves: TrainingCurves) -> None:
    """Draw |dL/dh_t| and |dL/dc_t| of every layer, on a log scale.

    The x axis has the steps back from the last step.
    """
    back = np.arange(curves.dh_norm.shape[1])
    axes.set_yscale("log")
    for norms, name, colour in ((curves.dh_norm, "h", DARK), (curves.dc_norm, "c", BLUE)):
        if norms is None:
            continue
        for layer, row in enumerate(norms):
            line(
                axes,
                back,
                positive(row[::-1]),
                linestyle=STYLES[layer % len(STYLES)],
                color=colour,
                linewidth=1.5,
                label=rf"$\|dL/d{name}_t\|$, layer {layer}",
            )
    if not legend_entries(axes)[1]:
        zero = not curves.dh_norm.any()
        note(axes, "every norm is 0" if zero else "no norm is finite and above 0", axes.yaxis)
    if curves.truncate is not None and curves.truncate < len(back):
        label = f"truncated here in training, {curves.truncate} steps"
        axes.axvline(curves.truncate, color=RED, linestyle="--", linewidth=1.3, label=label)
    axes.set(
        title="Gradient through time",
        xlabel="steps back from the last",
        ylabel="2-norm over batch and units",
    )
    step_limits(axes, len(back) - 1)
