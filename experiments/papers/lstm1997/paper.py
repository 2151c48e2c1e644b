"""What the experiments of the paper share."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from bptt.diagnose.pictures import canvas
from experiments.experiment import Runs
from experiments.picture import label_cases
from experiments.table import number, solved

if TYPE_CHECKING:
    from matplotlib.axes import Axes

TEST, TEST_SEED = 2560, 1_000_000
"""Number of test sequences, and what is added to the seed of a run for them."""

PAPER = "Hochreiter and Schmidhuber (1997), Long short-term memory, Neural Computation 9(8), 1735-1780"


def shares(runs: Runs) -> dict[str, float]:
    """Return the fraction of solved runs of each case."""
    counts = {name: solved(group) for name, group in runs.items()}
    return {name: count / of for name, (count, of) in counts.items()}


def by_both(today: bool, old: bool) -> bool | None:
    """Return the verdict of a claim that today's LSTM and the net of 1997 test: None if one of them fails."""
    return old if today == old else None


def means(runs: Runs) -> str:
    """Return a sentence with the solved runs of each case, and their mean number of training sequences."""
    parts = []
    for name, group in runs.items():
        sequences = [run["sequences"] for run in group if run["solved"]]
        after = f" after {number(sum(sequences) / len(sequences))} sequences" if sequences else ""
        parts.append(f"{name}: {len(sequences)} of {len(group)} runs{after}")
    return "; ".join(parts) + "."


def drawing(published: Mapping[str, float]) -> Callable[[Axes, Runs], None]:
    """Return a function that draws the training sequences of each solved run, and the published mean."""

    def draw(axes: Axes, runs: Runs) -> None:
        for k, (name, group) in enumerate(runs.items()):
            sequences = [run["sequences"] for run in group if run["solved"]]
            axes.plot(sequences, [k] * len(sequences), "o", color=canvas.BLUE, alpha=0.5, label="one run")
            if name in published:
                axes.plot([published[name]], [k], "D", color=canvas.DARK, markersize=8, label="paper's mean")
            axes.text(
                1.01, k, f"{len(sequences)}/{len(group)}", transform=axes.get_yaxis_transform(), va="center"
            )
        whole_decades(axes)
        axes.set_xlabel("sequences until solved; right: runs solved")
        axes.grid(True, axis="x", color="#e6e6e6", linewidth=0.7)
        label_cases(axes, list(runs))
        handles, labels = canvas.legend_entries(axes)
        figure = axes.get_figure(root=True)
        assert figure is not None
        figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)

    return draw


def whole_decades(axes: Axes) -> None:
    """Use a logarithmic axis from one power of ten to another, with a label at each."""
    from matplotlib.ticker import FuncFormatter, NullLocator

    low, high = (math.log10(max(limit, 1.0)) for limit in axes.dataLim.intervalx)
    axes.set_xscale("log")
    axes.set_xlim(10 ** math.floor(low), 10 ** max(math.ceil(high), math.floor(low) + 1))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}"))
