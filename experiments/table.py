"""The table of results: ours next to the published figures."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from experiments.experiment import Experiment, Figures
from experiments.results import Run, figures_of

HEAD = ("experiment", "case", "solved", "mean", "published", "verdict")


@dataclass(frozen=True)
class Row:
    """The runs of one case in words."""

    case: str
    solved: str
    mean: str
    spread: str
    published: str
    seconds: str


def number(value: float) -> str:
    """Write a number as a reader would: 12,300 and 0.0123."""
    if not math.isfinite(value):
        return "not finite"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def solved(figures: Sequence[Figures]) -> tuple[int, int]:
    """Return how many of the runs that have a criterion are solved, and how many have one."""
    judged = [bool(run["solved"]) for run in figures if run.get("solved") is not None]
    return sum(judged), len(judged)


def values(experiment: Experiment, figures: Sequence[Figures]) -> list[float]:
    """Return the main figure of each run that counts in the mean."""
    counted = [run for run in figures if run.get("solved", True) or not experiment.solved_only]
    return [float(run[experiment.figure]) for run in counted if run.get(experiment.figure) is not None]


def rows(experiment: Experiment, runs: dict[str, list[Run]]) -> list[Row]:
    """Return a row for each case that has a run."""
    table = []
    for case in experiment.cases:
        group = runs[case.name]
        if not group:
            continue
        figures = [run.figures for run in group]
        count, of = solved(figures)
        numbers = values(experiment, figures)
        table.append(
            Row(
                case.name,
                f"{count}/{of}" if of else f"({len(group)})",
                number(sum(numbers) / len(numbers)) if numbers else "-",
                f"{number(min(numbers))} to {number(max(numbers))}" if len(numbers) > 1 else "",
                case.published,
                number(sum(run.seconds for run in group) / len(group)),
            )
        )
    return table


def verdict(experiment: Experiment, runs: dict[str, list[Run]]) -> tuple[str, str]:
    """Return "yes", "no", "partly" or "-", and a sentence."""
    figures = figures_of(runs)
    missing = [case for case in experiment.cases if case.name not in figures]
    lacking = [case for case in missing if case.needed and case.quick_seeds]
    if lacking:
        return "-", f"Not judged yet, because {len(lacking)} of {len(experiment.cases)} cases have no run."
    reproduced, sentence = experiment.verdict(figures)
    if missing:
        sentence += f" Not run: {'; '.join(case.name for case in missing)}."
    return {True: "yes", False: "no", None: "partly"}[reproduced], sentence


def text(finished: Sequence[tuple[Experiment, dict[str, list[Run]]]]) -> str:
    """Return the table of several experiments for a terminal, and a sentence for each experiment."""
    lines: list[Sequence[str]] = [HEAD]
    sentences = []
    for experiment, runs in finished:
        word, sentence = verdict(experiment, runs)
        sentences.append(f"{experiment.name}: {sentence}")
        for k, row in enumerate(rows(experiment, runs)):
            name, shown = (experiment.name, word) if k == 0 else ("", "")
            lines.append((name, row.case, row.solved, row.mean, row.published or "-", shown))
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEAD))]
    table = [
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]
    return "\n".join([*table, "", *sentences])
