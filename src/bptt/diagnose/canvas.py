"""What all pictures share: figures without pyplot, styles that survive a black-and-white printer, files.

Needs matplotlib (`pip install 'bptt[plot]'`). No window system, no global state: whatever style is in force,
a picture is dark on an opaque white ground, so that it can be read in a dark notebook too.
"""

from __future__ import annotations

import html
import os
from base64 import b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Vector = npt.NDArray[np.float64]

DARK, BLUE, RED, PALE, GREEN = "#1a1a1a", "#1f5fa8", "#c0392b", "#b8c4d2", "#5b8c2a"
COLOURS = (DARK, BLUE, RED, GREEN)
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
    try:
        import matplotlib.style
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("drawing needs matplotlib: pip install 'bptt[plot]'") from error
    with matplotlib.style.context("default"):
        yield Figure(figsize=(width, height), layout="constrained", facecolor="white")


def tidy(axes: Axes) -> None:
    """Left and bottom spine only, and a pale grid behind everything."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)


def picture_format(path: str | os.PathLike[str]) -> str:
    """ "png" or "svg", as the path's ending says.

    Raises
    ------
    ValueError
        Another ending.
    """
    ending = Path(path).suffix
    if ending.lower().lstrip(".") not in FORMATS or not ending:
        raise ValueError(f"path must end in .png or .svg; got {os.fspath(path)!r}. Fix: name the picture so.")
    return ending.lower().lstrip(".")


def write(figure: Figure, path: str | os.PathLike[str] | None) -> Figure:
    """Put the picture into a file, whole or not at all, if a path is given; the figure itself.

    Raises
    ------
    ValueError
        A path that ends neither in .png nor in .svg.
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
    import matplotlib.style

    buffer = BytesIO()
    with matplotlib.style.context("default"), matplotlib.rc_context({"svg.hashsalt": "bptt"}):
        figure.savefig(buffer, facecolor="white", **options)
    return buffer.getvalue()
