"""What all pictures share: figures without pyplot, styles that survive a black-and-white printer, files.

Needs matplotlib (`pip install 'bptt[plot]'`). No window system, no global state: whatever style is in force,
a picture is dark on an opaque white ground, so that it can be read in a dark notebook too (see picture.py).
"""

from __future__ import annotations

import html
import math
import os
from base64 import b64encode
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

Vector = npt.NDArray[np.float64]

DARK, BLUE, RED, PALE = "#1a1a1a", "#1f5fa8", "#c0392b", "#b8c4d2"
COLOURS = (DARK, BLUE, "#8e44ad", "#4f8020")
"""Of lines. Red is not among them: it is that of limits."""
STYLES = ("-", "--", ":", "-.")
MARKERS = ("o", "s", "^", "D", "v", "P")
SHADES = "cividis"
"""A colour map whose greys rise with its values."""

FORMATS = ("png", "svg")


def available() -> bool:
    """Whether matplotlib can be imported."""
    try:
        import matplotlib.figure  # noqa: F401  (the import is the question)
    except ImportError:
        return False
    return True


@contextmanager
def drawing(width: float, height: float) -> Iterator[Figure]:
    """A figure of so many inches, to be filled inside, in matplotlib's own style whatever the user's is.

    Raises
    ------
    ImportError
        Without matplotlib, saying how to install it.
    """
    if not available():
        raise ImportError("drawing needs matplotlib: pip install 'bptt[plot]'")
    from bptt.diagnose.picture import Picture, own_style

    with own_style():
        yield Picture(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Axes) -> None:
    """Left and bottom spine only, whole numbers below, and a pale grid behind everything."""
    whole(axes.xaxis)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def whole(*axes: Axis) -> None:
    """Ticks at whole numbers: there is no half a step, update or unit."""
    from matplotlib.ticker import MaxNLocator

    for axis in axes:
        axis.set_major_locator(MaxNLocator("auto", steps=[1, 2, 2.5, 5, 10], integer=True))


def room_below(labels: Sequence[str]) -> float:
    """Inches that `legend_below` takes."""
    return 0.1 + 0.17 * math.ceil(len(labels) / _columns(labels))


def legend_below(figure: Figure, axes: Axes) -> None:
    """The legend of these axes at the foot of the figure: inside, it would hide lines."""
    handles, labels = axes.get_legend_handles_labels()
    size = 8 if max(map(len, labels)) <= 48 else 7
    figure.legend(
        handles, labels, loc="outside lower center", ncols=_columns(labels), fontsize=size, frameon=False
    )


def _columns(labels: Sequence[str]) -> int:
    """A few lines one below the other; more of them side by side, if their names are short."""
    return 2 if len(labels) > 4 and max(map(len, labels)) <= 42 else 1


def picture_format(path: str | os.PathLike[str]) -> str:
    """ "png" or "svg", as the path's ending says.

    Raises
    ------
    TypeError
        No path at all.
    ValueError
        Another ending.
    """
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(
            f"path must be a str or a Path; got {type(path).__name__}. Fix: name a file, 'x.png'."
        )
    ending = Path(path).suffix
    if ending.lower().lstrip(".") not in FORMATS or not ending:
        raise ValueError(f"path must end in .png or .svg; got {os.fspath(path)!r}. Fix: name the picture so.")
    return ending.lower().lstrip(".")


def write(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Put the picture into a file, whole or not at all, if a path is given; the figure itself.

    Raises
    ------
    TypeError, ValueError
        What is no path; one that ends neither in .png nor in .svg.
    OSError
        The file cannot be written there.
    """
    if path is not None:
        from bptt.train import files

        kind = picture_format(path)
        files.replace(Path(path), png(figure) if kind == "png" else svg(figure), verify=lambda _: None)
    return figure


def png(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as the bytes of a PNG file, for one write at the end."""
    return _saved(figure, format="png", dpi=dpi)


def svg(figure: Figure) -> bytes:
    """The figure as the bytes of an SVG file; the same for the same figure."""
    return _saved(figure, format="svg", metadata={"Date": None})


def inline(figure: Figure, what: str) -> str:
    """The figure as an HTML element that needs no other file; `what` it shows, for those who cannot see."""
    image = b64encode(png(figure)).decode("ascii")
    return f'<img style="max-width:100%" alt="{html.escape(what)}" src="data:image/png;base64,{image}">'


def positive(values: Vector) -> Vector:
    """NaN, which is left out, for what has no place on a log axis: zeros and infinities."""
    return np.where((values > 0) & np.isfinite(values), values, np.nan)


def _saved(figure: Figure, **options: Any) -> bytes:
    from bptt.diagnose.picture import own_style

    buffer = BytesIO()
    with own_style():
        figure.savefig(buffer, **options)
    return buffer.getvalue()
