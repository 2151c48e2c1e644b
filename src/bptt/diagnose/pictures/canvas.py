"""Parts that all pictures share: figures, lines, legends and files.

Pictures need matplotlib, `pip install 'bptt[plot]'`, but no pyplot, window system or global state. A picture
is always dark on an opaque white background, so it is readable in a dark notebook, too (see picture.py). Line
styles also differ on a black-and-white printer.
"""

from __future__ import annotations

import html
import math
import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Vector = npt.NDArray[np.float64]

DARK, BLUE, RED, PALE = "#1a1a1a", "#1f5fa8", "#c0392b", "#b8c4d2"
COLOURS = (DARK, BLUE, "#8e44ad", "#4f8020")
"""Colours of lines. Red is reserved for limits."""
STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")
SHADES = "cividis"
"""A colour map that becomes lighter as the value rises, also in greys."""

LARGEST = 1e100
"""Larger values are drawn at this height, because matplotlib's margins and ticks must not overflow."""

FORMATS = ("png", "svg")


def available() -> bool:
    """Return whether matplotlib can be imported."""
    try:
        import matplotlib.figure  # noqa: F401  (only tests whether the import works)
    except ImportError:
        return False
    return True


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """Yield an empty figure.

    matplotlib's default style applies while the caller draws. `width` and `height` are in inches.

    Raises
    ------
    ImportError
        If matplotlib is not installed. The message says how to install it.
    """
    if not available():
        raise ImportError("drawing needs matplotlib: pip install 'bptt[plot]'")
    from bptt.diagnose.pictures.picture import Picture, default_style

    with default_style():
        yield Picture(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Axes) -> None:
    """Keep the left and bottom spines, and draw a pale grid under all curves.

    Ticks on the x axis are whole numbers.
    """
    whole_ticks(axes.xaxis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def whole_ticks(*axes: Axis) -> None:
    """Place ticks at whole numbers only.

    Half a step, update or unit does not exist.
    """
    from bptt.diagnose.pictures.picture import WholeLocator

    for axis in axes:
        axis.set_major_locator(WholeLocator())


def plain(name: str) -> str:
    """Escape a name given by the user, so that matplotlib draws it letter by letter.

    A dollar sign would start a formula, so a backslash is put before it. A legend leaves out labels that
    begin with an underscore, so an invisible space is put before the underscore.
    """
    return ("\u200b" if name.startswith("_") else "") + name.replace("$", r"\$")


def drawable(values: Vector) -> Vector:
    """Replace values that are not finite by NaN, and clip the rest.

    matplotlib cannot scale very large values.
    """
    return np.where(np.isfinite(values), np.clip(values, -LARGEST, LARGEST), np.nan)


def lone(values: Vector) -> npt.NDArray[np.intp]:
    """Return the positions of finite values without a finite neighbour.

    A line does not show such values.
    """
    finite = np.pad(np.isfinite(values), 1)
    return np.flatnonzero(finite[1:-1] & ~finite[:-2] & ~finite[2:])


def line(axes: Axes, x: npt.ArrayLike, y: Vector, **options: Any) -> None:
    """Draw a line, with a dot at every point without a finite neighbour."""
    lone_points = lone(y)
    dots = {"marker": "o", "markersize": 3, "markevery": lone_points.tolist()} if lone_points.size else {}
    axes.plot(x, y, **dots, **options)


def step_limits(axes: Axes, last: int) -> None:
    """Show steps 0 to `last` from edge to edge. A single step lies in the middle."""
    axes.set_xlim(*((0, last) if last > 0 else (-0.5, 0.5)))


def note(axes: Axes, text: str, axis: Axis | None = None) -> None:
    """Write into an empty panel why it is empty.

    `axis` loses its ticks, which have no meaning.
    """
    background: dict[str, Any] = {"facecolor": "white", "edgecolor": "none", "pad": 3}
    centred: dict[str, Any] = {"transform": axes.transAxes, "ha": "center", "va": "center"}
    axes.text(0.5, 0.5, text, fontsize=9, color=DARK, bbox=background, wrap=True, **centred)
    if axis is not None:
        from matplotlib.ticker import NullLocator

        axis.set_major_locator(NullLocator())
        axis.set_minor_locator(NullLocator())


def legend_entries(*panels: Axes) -> tuple[list[Artist], list[str]]:
    """Return handles and labels for a legend: one entry per label.

    Lines without points have no entry.
    """
    handles: dict[str, Artist] = {}
    for axes in panels:
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True):
            if _has_points(handle):
                handles.setdefault(label, handle)
    return list(handles.values()), list(handles)


def _has_points(handle: Artist) -> bool:
    from matplotlib.lines import Line2D

    if not isinstance(handle, Line2D):
        return True
    return bool(np.isfinite(np.asarray(handle.get_xydata(), np.float64)).all(-1).any())


def room_below(labels: Sequence[str]) -> float:
    """Return the height of the legend of `legend_below` in inches."""
    return 0.1 + 0.17 * math.ceil(len(labels) / _columns(labels))


def legend_below(figure: Figure, axes: Axes) -> None:
    """Put the legend of these axes below the figure.

    Inside the axes, it would hide lines.
    """
    handles, labels = legend_entries(axes)
    if not labels:
        return
    size = 8 if max(map(len, labels)) <= 48 else 7
    figure.legend(
        handles, labels, loc="outside lower center", ncols=_columns(labels), fontsize=size, frameon=False
    )


def _columns(labels: Sequence[str]) -> int:
    """Return 1 for a few labels or long ones, and 2 for many short ones."""
    return 2 if len(labels) > 4 and max(map(len, labels)) <= 42 else 1


def picture_format(path: str | os.PathLike[str]) -> str:
    """Return "png" or "svg", according to the path's ending.

    Raises
    ------
    TypeError
        If `path` is not a path.
    ValueError
        If the path has another ending.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str or a Path; got {type(path).__name__}. Fix: name a file, 'x.png'."
        )
    ending = Path(path).suffix
    if ending.lower().lstrip(".") not in FORMATS or not ending:
        raise ValueError(f"path must end in .png or .svg; got {os.fspath(path)!r}. Fix: pass such a path.")
    return ending.lower().lstrip(".")


def write(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Write the figure to a file if a path is passed, and return the figure.

    The file is replaced only after the picture was written completely.

    Raises
    ------
    TypeError, ValueError
        If `path` is not a path, or ends neither in .png nor in .svg.
    OSError
        If the file cannot be written.
    """
    if path is not None:
        from bptt.files import atomic as files

        kind = picture_format(path)
        files.replace(Path(path), png(figure) if kind == "png" else svg(figure), verify=lambda _: None)
    return figure


def png(figure: Figure, dpi: int = 130) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    from bptt.diagnose.pictures.picture import png_bytes

    return png_bytes(figure, dpi)


def svg(figure: Figure) -> bytes:
    """Return the figure as the bytes of an SVG file. Equal figures give equal bytes."""
    from bptt.diagnose.pictures.picture import svg_bytes

    return svg_bytes(figure)


def inline(figure: Figure, description: str) -> str:
    """Return the figure as an HTML element without other files.

    Screen readers read the description.
    """
    image = b64encode(png(figure)).decode("ascii")
    return (
        f'<img style="max-width:100%" alt="{html.escape(description)}" src="data:image/png;base64,{image}">'
    )


def positive(values: Vector) -> Vector:
    """Replace values that a log axis cannot show by NaN.

    These are numbers that are not above 0, and infinities.
    """
    return np.where((values > 0) & np.isfinite(values), values, np.nan)
