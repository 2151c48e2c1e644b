"""Gates and states over time, as a picture."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import integer
from bptt.diagnose.pictures.canvas import PALE, RED, SHADES, drawable, whole_ticks, write
from bptt.diagnose.pictures.sheets import sheet
from bptt.diagnose.rows import rows_on
from bptt.layers.passes.gates import step_values
from bptt.layers.passes.tape import Tape

if TYPE_CHECKING:
    from collections.abc import Iterator

    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure

    from bptt.diagnose.pictures.sheets import SomeAxes

_LONG = {
    "gate i": "input gate i",
    "gate f": "forget gate f",
    "gate o": "output gate o",
    "gate g": "candidate g",
    "gate r": "reset gate r",
    "gate z": "update gate z",
    "gate n": "candidate n",
    "c": "cell state c",
    "h": "hidden state h",
}


def plot_gates(
    tape: Tape,
    row: int = 0,
    *,
    sequence: int = 0,
    path: str | os.PathLike[str] | None = None,
    ax: SomeAxes | None = None,
) -> Figure:
    """Draw every gate, cell and hidden state of one sequence.

    Units go upwards, and steps go to the right. Steps past the end of a ragged row are hatched. Red marks
    values that are not finite.

    Parameters
    ----------
    tape : Tape
        From `forward` of a recurrent layer, or of a model with a recurrent layer.
    row : int
        The layer and direction: `layer * directions + direction`. In a model, the number continues over all
        recurrent layers, as the rows of `bptt.gradient_flow` do.
    sequence : int
        The row of the batch.
    path : str or os.PathLike, optional
        Also write the picture to this file. The ending selects the format: .png or .svg.
    ax : sequence of matplotlib.axes.Axes, optional
        Where to draw, one Axes per gate and state from top to bottom. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError, OSError
        If `tape` is not a tape, or has no recurrent layer, no step or no row. If `row` or `sequence` does not
        exist. If `path` has another ending, or cannot be written.

    Examples
    --------
    >>> from pathlib import Path
    >>> import numpy as np
    >>> import bptt
    >>> y, state, tape = bptt.LSTM(3, 8).forward(np.ones((20, 4, 3)))
    >>> figure = bptt.diagnose.plot_gates(tape, path="gates.png")
    >>> Path("gates.png").exists()
    True
    """
    rows = rows_on(tape) if isinstance(tape, Tape) else []
    if not rows:
        actual = f"a {tape!r:.80}" if isinstance(tape, Tape) else type(tape).__name__
        raise (ValueError if isinstance(tape, Tape) else TypeError)(
            f"tape must come from forward of a recurrent layer; got {actual}. "
            "Fix: pass the tape of y, state, tape = layer.forward(x)."
        )
    selected, part = rows[integer(row, "row", 0, len(rows) - 1)]
    T, B = part.core.shape
    if T == 0 or B == 0:
        raise ValueError(
            f"tape must hold a step and a row; got {T} steps of {B} rows. "
            "Fix: pass a batch that is not empty."
        )
    sequence = integer(sequence, "sequence", 0, B - 1)
    valid = np.ones(T, np.bool_) if part.ragged is None else part.ragged.valid[:, sequence]
    values = {
        name: drawable(np.asarray(value[:, sequence].T, np.float64))
        for name, value in step_values(part, selected.index).items()
        if name != "recurrent part of n"
    }
    # Gates are drawn in the layer's order, then c and h. The order of computation may differ.
    order = [*(name for name in values if name not in "ch"), *(name for name in "ch" if name in values)]
    with sheet(ax, 7.2, 0.8 + 1.25 * len(order), len(order), sharex=True) as page:
        figure, panels = page.figure, page.panels
        shades = _colours()
        for axes, name in zip(panels, order, strict=True):
            unit_values = values[name]
            low, high = _range(name, unit_values[:, valid])
            image = axes.imshow(
                unit_values,
                aspect="auto",
                origin="lower",
                interpolation="nearest",
                cmap=shades,
                vmin=low,
                vmax=high,
                extent=(-0.5, T - 0.5, -0.5, len(unit_values) - 0.5),
            )
            none: dict[str, Any] = {"facecolor": "white", "edgecolor": PALE, "hatch": "////"}
            for begin, end in _gaps(valid):
                axes.axvspan(begin - 0.5, end - 0.5, linewidth=0.0, **none)
            figure.colorbar(image, ax=axes, aspect=8, pad=0.01).ax.tick_params(labelsize=8)
            axes.set_title(_LONG.get(name, name), fontsize=9, loc="left", pad=2)
            axes.set_ylabel("unit", fontsize=8)
            axes.tick_params(labelsize=8)
            whole_ticks(axes.xaxis, axes.yaxis)
        panels[-1].set_xlabel("step", fontsize=9)
        title = [f"{selected.stack.kind}, {selected.name}, sequence {sequence}"]
        length = int(np.max(np.flatnonzero(valid), initial=-1)) + 1
        if not valid[:length].all():
            title.append(f"hatched: it has {np.count_nonzero(valid)} of {T} steps")
        elif length < T:
            title.append(f"hatched: past its end, after {length} of {T} steps")
        if not all(np.isfinite(value[:, valid]).all() for value in values.values()):
            title.append("red: not finite")
        if page.is_new:
            figure.suptitle("; ".join(title), fontsize=10, wrap=True)
    return write(figure, path)


def _gaps(valid: npt.NDArray[np.bool_]) -> Iterator[tuple[int, int]]:
    """Yield (begin, end) of each run of steps that a row does not have."""
    changes = np.flatnonzero(np.diff(valid, prepend=True, append=True))
    yield from zip(changes[::2].tolist(), changes[1::2].tolist(), strict=True)


def _colours() -> Colormap:
    """Return the usual shades, with red for values that are not finite."""
    from matplotlib import colormaps

    return colormaps[SHADES].with_extremes(bad=RED)


def _range(name: str, values: npt.NDArray[np.float64]) -> tuple[float, float]:
    """Return the range of the shades: a gate's range, or a range symmetric around 0."""
    finite = values[np.isfinite(values)]
    most = float(np.abs(finite).max(initial=0.0)) or 1.0
    if name.startswith("gate") and name[-1] not in "gn" and most <= 1.0 and finite.min(initial=0.0) >= 0.0:
        return 0.0, 1.0
    return -most, most
