"""One picture per experiment: one panel that can be read on a phone."""

from __future__ import annotations

import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from bptt.diagnose.pictures import canvas
from experiments.experiment import Experiment, Runs
from experiments.table import solved, values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

WIDTH, HEIGHT, FONT = 6.0, 3.6, 11
"""Inches and points: a phone shows the picture at about half of this size."""


def write(experiment: Experiment, runs: Runs, path: Path) -> None:
    """Draw the runs of an experiment into a .png or .svg file.

    Raises
    ------
    ImportError
        matplotlib is not installed.
    OSError
        The file cannot be written.
    """
    with canvas.drawing(WIDTH, HEIGHT) as figure:
        import matplotlib

        with matplotlib.rc_context({"font.size": FONT, "axes.titlesize": FONT, "legend.fontsize": FONT - 1}):
            axes = figure.subplots()
            axes.set_title(experiment.title, loc="left")
            axes.spines[["top", "right"]].set_visible(False)
            axes.set_axisbelow(True)
            (experiment.draw or _draw_cases(experiment))(axes, runs)
            canvas.write(figure, path)


def _draw_cases(experiment: Experiment) -> Callable[[Axes, Runs], None]:
    """Return the default drawing of an experiment."""

    def draw(axes: Axes, runs: Runs) -> None:
        if any(solved(group)[1] for group in runs.values()):
            draw_solved(axes, runs)
        else:
            draw_values(axes, {name: values(experiment, group) for name, group in runs.items()})
            axes.set_xlabel(experiment.figure)

    return draw


def draw_solved(axes: Axes, runs: Runs) -> None:
    """Draw a bar per case: the fraction of solved runs, with the two numbers at its end."""
    for k, group in enumerate(runs.values()):
        count, of = solved(group)
        share = 100 * count / of if of else 0
        axes.barh(k, share, color=canvas.BLUE, height=0.6)
        axes.text(share + 1.5, k, f"{count} of {of}", va="center", color=canvas.DARK)
    axes.set_xlim(0, 122)
    axes.set_xticks([0, 25, 50, 75, 100])
    axes.set_xlabel("runs solved (%)")
    label_cases(axes, list(runs))


def draw_values(axes: Axes, groups: dict[str, list[float]]) -> None:
    """Draw a point per run and a line at the mean of each case."""
    for k, numbers in enumerate(groups.values()):
        axes.plot(numbers, [k] * len(numbers), "o", color=canvas.BLUE, alpha=0.6)
        if numbers:
            mean = sum(numbers) / len(numbers)
            axes.plot([mean, mean], [k - 0.3, k + 0.3], color=canvas.DARK, linewidth=2)
    axes.grid(True, axis="x", color="#e6e6e6", linewidth=0.7)
    label_cases(axes, list(groups))


def label_cases(axes: Axes, names: list[str]) -> None:
    """Write the cases along the vertical axis, the first one at the top."""
    axes.set_yticks(range(len(names)), [textwrap.fill(canvas.plain(name), 24) for name in names])
    axes.set_ylim(len(names) - 0.4, -0.6)
