"""Where a picture is drawn: the panels of a new figure, or axes that the caller has."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from bptt.diagnose.pictures.canvas import available, drawing

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    SomeAxes: TypeAlias = Axes | Sequence[Axes] | np.ndarray[Any, Any]


@dataclass(frozen=True)
class Sheet:
    """The panels of a picture.

    Attributes
    ----------
    figure : matplotlib.figure.Figure
    panels : list of matplotlib.axes.Axes
    is_new : bool
        Whether the figure was made for the picture. Only then does the picture title the figure.
    """

    figure: Figure
    panels: list[Axes]
    is_new: bool


@contextmanager
def sheet(
    ax: SomeAxes | None,
    width: float,
    height: float,
    rows: int = 1,
    columns: int = 1,
    *,
    counts: Sequence[int] = (),
    **subplots: Any,
) -> Iterator[Sheet]:
    """Yield the panels to draw on, in matplotlib's default style if the figure is new.

    Parameters
    ----------
    ax : Axes, sequence of Axes, or None
        The caller's axes, one per panel. None: a new figure.
    width, height : float
        Size of a new figure in inches.
    rows, columns : int
        Panels of a new figure.
    counts : sequence of int
        Numbers of panels that the caller may pass; default: rows * columns.
    subplots
        Arguments of `Figure.subplots`.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    TypeError, ValueError
        `ax` holds something else, or another number of axes.
    """
    if ax is None:
        with drawing(width, height) as figure:
            panels = figure.subplots(rows, columns, squeeze=False, **subplots).ravel()
            yield Sheet(figure, list(panels), True)
        return
    if not available():
        raise ImportError("drawing needs matplotlib: pip install 'bptt[plot]'")
    panels = parse_axes(ax, counts or (rows * columns,))
    # The figure of axes in a subfigure is the subfigure. Its figure is the whole figure.
    owner: Any = panels[0].figure
    yield Sheet(owner.figure, panels, False)


def parse_axes(ax: SomeAxes, counts: Sequence[int]) -> list[Axes]:
    """Return the axes of an argument `ax` as a list of one of these lengths."""
    from matplotlib.axes import Axes

    panels: list[Any] = list(np.ravel(np.array(ax, dtype=object)))
    wrong = [type(panel).__name__ for panel in panels if not isinstance(panel, Axes)]
    wanted = " or ".join(map(str, counts))
    if wrong:
        raise TypeError(
            f"ax must be matplotlib Axes; got {wrong[0]}. Fix: pass ax=plt.subplots({counts[-1]})[1]."
        )
    if len(panels) not in counts or len({*map(id, panels)}) < len(panels):
        raise ValueError(
            f"ax must hold {wanted} different Axes, one per panel; got {len(panels)}."
            f" Fix: pass ax=plt.subplots({counts[-1]})[1]."
        )
    return panels
