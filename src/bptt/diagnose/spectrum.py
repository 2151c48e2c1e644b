"""How much the recurrent weights stretch a state in one step."""

from __future__ import annotations

import os
from textwrap import fill
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.checks.training_step import check_layer
from bptt.diagnose.interruptible import interruptible
from bptt.diagnose.measure import check_recurrent
from bptt.diagnose.pictures.canvas import COLOURS, MARKERS, RED, STYLES, tidy, write
from bptt.diagnose.pictures.sheets import sheet
from bptt.diagnose.rows import Row, rows_of
from bptt.layers.module import Module
from bptt.layers.passes.gates import gate_names
from bptt.layers.recurrent import Recurrent

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from bptt.diagnose.pictures.sheets import SomeAxes

Matrix = npt.NDArray[np.float64]


def spectral_radius(layer: Recurrent) -> Matrix:
    """Return the largest absolute eigenvalue of the recurrent weights, gate by gate.

    In an RNN, a radius far above 1 can make errors explode, unless the units are saturated. A radius below 1
    does not bound the growth: errors of a non-normal matrix can grow for many steps, and the slopes of the
    units change from step to step. In a gated cell, the gates and the old state also carry the error.
    `bptt.gradient_flow` and `bptt.lyapunov_spectrum` measure the growth itself.

    Parameters
    ----------
    layer : RNN, LSTM, GRU or MGU
        Any recurrent layer.

    Returns
    -------
    ndarray
        RNN: (L*D,), the radius of W_hh. Other cells: (L*D, gates), the radius of each (H, H) block in the
        order of the rows of `weight_hh`: i f g o (or f g o, or i g o), r z n, f n. With `proj_size`, W_hr
        times the block is measured.

    Raises
    ------
    TypeError
        If `layer` is not a recurrent layer.
    ValueError
        If weights are not finite.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.LSTM(3, 8, init=bptt.init.orthogonal(1.5), seed=0)
    >>> bptt.spectral_radius(layer).round(3)
    array([[1.5, 1.5, 1.5, 1.5]])
    """
    if not isinstance(layer, Recurrent):
        raise TypeError(
            f"layer must be an RNN, LSTM, GRU or MGU; got {type(layer).__name__}. "
            "Fix: pass one layer of a model, model[1]."
        )
    radii = np.array([[_radius(block) for block in _blocks(row)] for row in rows_of(layer)])
    return radii[:, 0] if gate_names(layer) == ("h",) else radii


def plot_singular_values(
    layer: Module, path: str | os.PathLike[str] | None = None, *, ax: SomeAxes | None = None
) -> Figure:
    """Draw the singular values of the recurrent weights, largest first.

    The picture has a panel per layer and direction, and a line per gate. A singular value says how much one
    step can stretch (above 1) or shrink (below 1) a state along one of H directions.

    Parameters
    ----------
    layer : Module
        A recurrent layer, or a model with recurrent layers.
    path : str or os.PathLike, optional
        Also write the picture to this file. The ending selects the format: .png or .svg.
    ax : matplotlib.axes.Axes or sequence of them, optional
        Where to draw, one per layer and direction. Default: a new figure.

    Returns
    -------
    matplotlib.figure.Figure

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    TypeError, ValueError, OSError
        If `layer` is not a layer, has no recurrent layer, or has weights that are not finite. If `path` has
        another ending, or the file cannot be written.

    Examples
    --------
    >>> import bptt
    >>> figure = bptt.diagnose.plot_singular_values(bptt.LSTM(3, 16), "values.png")
    >>> [line.get_label()[0] for line in figure.axes[0].lines[:4]]
    ['i', 'f', 'g', 'o']
    """
    check_layer(layer)
    check_recurrent(layer)
    rows = rows_of(layer)
    blocks = [_blocks(row) for row in rows]
    columns = min(len(rows), 2)
    lines = -(-len(rows) // columns)
    width, height = 3.6 * columns + 1.8 * (columns == 1), 0.8 + 2.7 * lines
    with sheet(ax, width, height, lines, columns, counts=(len(rows),), sharey=True) as page:
        figure, panels = page.figure, page.panels
        largest = 1.0
        for axes, row, row_blocks in zip(panels, rows, blocks, strict=False):
            for k, (name, block) in enumerate(zip(gate_names(row.stack), row_blocks, strict=True)):
                values = _singular_values(block)
                largest = max(largest, float(values[0]))
                axes.plot(
                    np.arange(1, len(values) + 1),
                    values,
                    color=COLOURS[k % len(COLOURS)],
                    linestyle=STYLES[k % len(STYLES)],
                    marker=MARKERS[k % len(MARKERS)],
                    markevery=max(1, len(values) // 6),
                    markersize=4,
                    label=f"{name}: radius {_radius(block):.2f}",
                )
            axes.axhline(1.0, color=RED, linestyle=(0, (6, 2)), linewidth=1.0)
            axes.set_title(fill(f"{row.stack.kind}, {row.name}", 34), fontsize=9)
            axes.set_xlabel("number, largest first", fontsize=9)
            axes.tick_params(labelsize=9)
            axes.legend(fontsize=8, handlelength=2.5)
            tidy(axes)
        for axes in panels:
            axes.set_ylim(0.0, 1.08 * largest)
        for axes in panels[len(rows) :]:
            axes.set_visible(False)
        for axes in panels[::columns]:
            axes.set_ylabel("singular value (no unit)", fontsize=9)
        if page.is_new:
            title = "Recurrent weights: singular values, and the spectral radius of each gate"
            figure.suptitle(title, fontsize=10, wrap=True)
    return write(figure, path)


def _blocks(row: Row) -> list[Matrix]:
    """Return the square matrix with which each gate multiplies h.

    With a projection, the matrix is W_hr times the block of W_hh.
    """
    stack: Any = row.stack
    names = ["weight_hh" + row.suffix]
    projected = bool(getattr(stack, "proj_size", 0))
    if projected:
        names.append("weight_hr" + row.suffix)
    weights = [np.asarray(stack.parameters[name], np.float64) for name in names]
    for name, weight in zip(names, weights, strict=True):
        if not np.isfinite(weight).all():
            raise ValueError(
                f"{name} must be finite; got NaN or inf. Fix: load an earlier checkpoint with finite weights."
            )
    blocks = np.split(weights[0], len(gate_names(stack)))
    return [weights[1] @ block for block in blocks] if projected else blocks


def _singular_values(block: Matrix) -> npt.NDArray[np.floating[Any]]:
    return interruptible(lambda stopped: np.linalg.svd(block, compute_uv=False))


def _radius(block: Matrix) -> float:
    return float(np.abs(interruptible(lambda stopped: np.linalg.eigvals(block))).max())
