"""The figure that every picture is. Imports matplotlib: load it where something is drawn."""

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
def own_style() -> Iterator[None]:
    """matplotlib's own, whatever the user's is; and the same names inside an SVG each time."""
    with matplotlib.style.context("default"), matplotlib.rc_context({"svg.hashsalt": "bptt"}):
        yield


def png_bytes(figure: Figure, dpi: int = 130) -> bytes:
    """The figure as the bytes of a PNG file."""
    return _saved(figure, format="png", dpi=dpi)


def svg_bytes(figure: Figure) -> bytes:
    """The figure as the bytes of an SVG file; the same for the same figure."""
    return _saved(figure, format="svg", metadata={"Date": None})


def _saved(figure: Figure, **options: Any) -> bytes:
    buffer = BytesIO()
    with own_style():
        figure.savefig(buffer, **options)
    return buffer.getvalue()


class WholeLocator(MaxNLocator):
    """Place ticks at whole numbers, also on an axis shorter than 1.

    There, `MaxNLocator(integer=True)` falls back to fractions.
    """

    def __init__(self) -> None:
        super().__init__("auto", steps=[1, 2, 2.5, 5, 10], integer=True)

    def tick_values(self, vmin: float, vmax: float) -> list[float]:
        """Round matplotlib's ticks, and keep each number once."""
        return sorted({float(round(tick)) for tick in super().tick_values(vmin, vmax)})


class Picture(Figure):
    """A figure that looks the same wherever it is shown or saved, and that a notebook shows by itself.

    It is dark on an opaque white ground: a dark style in force, or a file without a ground on a dark page,
    would leave dark letters on a dark ground.
    """

    def draw(self, renderer: RendererBase) -> None:
        """As matplotlib does it, in our own style: ticks get their colours only now."""
        with own_style():
            super().draw(renderer)

    def savefig(self, fname: Any, *, transparent: bool | None = None, **options: Any) -> None:
        """As matplotlib does it, with the ground; `transparent` changes nothing."""
        super().savefig(fname, transparent=False, **{"facecolor": "white"} | options)

    def _repr_png_(self) -> bytes:
        # matplotlib's own figures are shown only once pyplot has been told to show them.
        return png_bytes(self)
