"""The norm of a backpropagated error at every step, in numbers and words."""

from __future__ import annotations

import os
import textwrap
from typing import TYPE_CHECKING, Any

from bptt.diagnose.flow_norms import FlowNorms
from bptt.diagnose.pictures import canvas, report
from bptt.diagnose.pictures import flow as flow_picture
from bptt.diagnose.words import advice, table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WIDTH = 100
"""Characters per line of `print(flow)`."""


class GradientFlow(FlowNorms):
    """Result of `bptt.gradient_flow`.

    One row per layer and direction: R rows, T steps. `print(flow)` shows a table with verdicts and remedies.
    A notebook also shows the picture. T is the length of the longest sequence of the batch: steps of padding
    are left out.

    Attributes
    ----------
    dh_norm : ndarray (R, T)
        2-norm over batch and units of dL/dh_t: the error that arrives at step t plus the error that flows
        back from step t + 1.
    dc_norm : ndarray (R, T) or None
        The 2-norm of dL/dc_t. NaN in rows of cells without c; None if no cell has c.
    rows : tuple of Row
        The layer and direction of each row. `rows[k].name` describes them in words.
    per_step : bool
        Whether the model has one output per step. False if it has one per sequence, as after `Last`.
    in_use : frozenset of str
        Arguments that the Trainer uses already: "clip", "clip_state", "truncate", "regularizer".

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> x = np.random.default_rng(0).standard_normal((100, 4, 3))
    >>> flow = bptt.gradient_flow(bptt.LSTM(3, 16, forget_bias=5.0, seed=0), x)
    >>> flow.verdict, flow.dh_norm.shape
    (('healthy',), (1, 100))
    """

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the norms against steps back, one line per row, on a log scale.

        The picture also shows both limits.

        Parameters
        ----------
        path : str or os.PathLike, optional
            Also write the picture to this file. The ending selects the format: .png or .svg.
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            If matplotlib is not installed.
        TypeError, ValueError, OSError
            If `path` is not a path, has another ending, or cannot be written.
        """
        return flow_picture.plot_flows({"": self}, path, ax)

    def to_dict(self) -> dict[str, Any]:
        """Return all results as plain lists, numbers and strings."""
        record = {
            "rows": list(self.names),
            "cells": [row.stack.kind for row in self.rows],
            "rate": self.rate.tolist(),
            "horizon": self.horizon.tolist(),
            "verdict": list(self.verdict),
            "dh_norm": self.dh_norm.tolist(),
        }
        return record if self.dc_norm is None else record | {"dc_norm": self.dc_norm.tolist()}

    def __str__(self) -> str:
        sentences = (textwrap.fill(sentence, WIDTH, subsequent_indent="  ") for sentence in advice(self))
        return "\n".join([table(self), *sentences])

    def __repr__(self) -> str:
        parts = (f"{name}: {verdict}" for name, verdict in zip(self.names, self.verdict, strict=True))
        return f"GradientFlow({'; '.join(parts)})"

    def _repr_html_(self) -> str:
        return report.flow_html(self)

    def _repr_png_(self) -> bytes | None:
        return canvas.png(self.plot()) if canvas.available() else None
