"""The figure class of all pictures.

This module imports matplotlib, so import it only to draw.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from typing import Any

import matplotlib.style
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator


@contextmanager
def default_style() -> Iterator[None]:
    """Apply matplotlib's default style in place of the user's.

    Names inside an SVG are the same each time.
    """
    with matplotlib.style.context("default"), matplotlib.rc_context({"svg.hashsalt": "bptt"}):
        yield


def png_bytes(figure: Figure, dpi: int = 130) -> bytes:
    """Return the figure as the bytes of a PNG file."""
    return _saved(figure, format="png", dpi=dpi)


def svg_bytes(figure: Figure) -> bytes:
    """Return the figure as the bytes of an SVG file. Equal figures give equal bytes."""
    return _saved(figure, format="svg", metadata={"Date": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = BytesIO()
    with default_style():
        figure.savefig(buffer, **options)
    return buffer.getvalue()


class WholeLocator(MaxNLocator):
    """Place ticks at whole numbers only.

    On an axis shorter than 1, `MaxNLocator(integer=True)` alone would place ticks at fractions.
    """

    def __init__(self) -> None:
        super().__init__("auto", steps=[1, 2, 2.5, 5, 10], integer=True)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Round matplotlib's ticks, and remove duplicates."""
        return sorted({float(round(tick)) for tick in super().tick_values(vmin, vmax)})


class Picture(Figure):
    """A figure that looks the same on every screen and in every file.

    The figure is dark on an opaque white background. With a dark style, or with a transparent file on a dark
    page, its letters would be dark on a dark background.
    """

    def draw(self, renderer: RendererBase) -> None:
        """Draw in the default style, because ticks get their colours only now."""
        with default_style():
            super().draw(renderer)

    def savefig(self, fname: Any, *, transparent: bool | None = None, **options: Any) -> None:
        """Save the figure with its background. `transparent` is ignored."""
        super().savefig(fname, transparent=False, **{"facecolor": "white"} | options)

    def _repr_png_(self) -> bytes:
        # A notebook calls this method. It shows matplotlib's own figures only through pyplot.
        return png_bytes(self)
