"""Draw docs/images/speed.png, the chart of README, from the results of the fastest machine.

python benchmarks/readme_chart.py
"""

from __future__ import annotations

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from page import ROOT, load

from bptt.bench.measure import Row
from bptt.bench.summary import mean, torch_ratio
from bptt.diagnose.pictures.canvas import BLUE, DARK, PALE

CHART = ROOT / "docs" / "images" / "speed.png"


def groups(rows: list[Row]) -> dict[str, list[Row]]:
    """Return the rows on one thread by what they do, in the order of the bars."""
    alone = [row for row in rows if row.threads == 1 and not row.case.shape.denormal]

    def of(mode: str, *cells: str) -> list[Row]:
        return [row for row in alone if row.case.mode == mode and row.case.cell in cells]

    return {
        "LSTM, training": of("training", "lstm"),
        "GRU, training": of("training", "gru"),
        "RNN, training": of("training", "rnn"),
        "inference": of("inference", "lstm", "gru", "rnn"),
        "one step at a time": of("streaming", "lstm", "gru", "rnn"),
    }


def draw(axes: Axes, rows: dict[str, list[Row]]) -> None:
    """Draw one line for each group: all cases, and the mean."""
    for position, (name, cases) in enumerate(rows.items()):
        ratios = sorted(value for value in map(torch_ratio, cases) if value is not None)
        centre = mean(cases, torch_ratio)
        axes.plot(
            [ratios[0], ratios[-1]], [position, position], color=PALE, linewidth=9, solid_capstyle="butt"
        )
        axes.plot(centre, position, "o", color=BLUE, markersize=10)
        axes.annotate(f"{centre:.1f}", (centre, position), (0, 9), textcoords="offset points", ha="center")
        print(f"{name}: {len(ratios)} cases, {ratios[0]:.2f} to {ratios[-1]:.2f}, mean {centre:.2f}")
    axes.axvline(1, color=DARK, linewidth=1)
    axes.set_xscale("log")
    axes.set_xticks([1, 2, 5, 10, 20, 50], ["1", "2", "5", "10", "20", "50"])
    axes.minorticks_off()
    axes.set_yticks(range(len(rows)), list(rows))
    axes.invert_yaxis()
    axes.set_ylim(len(rows) - 0.6, -0.7)
    axes.set_xlabel("times as fast as PyTorch, one thread")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)


def main() -> None:
    findings = load([])[0]
    with rc_context({"font.size": 13}):
        figure = Figure((6.0, 3.2), layout="constrained", facecolor="white")
        draw(figure.subplots(), groups(findings.rows))
        figure.savefig(CHART, dpi=120)
    print(findings.machine["processor"])


if __name__ == "__main__":
    main()
