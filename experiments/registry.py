"""All experiments, in the order of the page."""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase

from experiments.experiment import Experiment
from experiments.papers import lstm1997
from experiments.papers.adding_halves import ADDING, IRNN
from experiments.papers.class_order import CLASS_ORDER
from experiments.papers.continual_reber import CONTINUAL_REBER
from experiments.papers.copy_memory import COPY_MEMORY
from experiments.papers.linear_recurrence import LINEAR
from experiments.papers.lyapunov import LYAPUNOV
from experiments.papers.parity import PARITY
from experiments.papers.periodic import PERIODIC
from experiments.runner import Choice

EXPERIMENTS: tuple[Experiment, ...] = (
    *lstm1997.EXPERIMENTS,
    CLASS_ORDER,
    COPY_MEMORY,
    ADDING,
    IRNN,
    CONTINUAL_REBER,
    PERIODIC,
    PARITY,
    LINEAR,
    LYAPUNOV,
)


def find(name: str) -> Experiment:
    """Return the experiment of this name."""
    return next(experiment for experiment in EXPERIMENTS if experiment.name == name)


def choose(patterns: Sequence[str], experiments: Sequence[Experiment] | None = None) -> list[Choice]:
    """Return the experiments and cases that the patterns name; all of them without a pattern.

    Parameters
    ----------
    patterns : sequence of str
        "experiment" or "experiment:case"; `*` and `?` stand for other characters.

    Raises
    ------
    ValueError
        A pattern names nothing.
    """
    experiments = EXPERIMENTS if experiments is None else experiments
    chosen = {
        pattern: {
            (experiment.name, case.name)
            for experiment in experiments
            for case in experiment.cases
            if fnmatchcase(experiment.name, pattern) or fnmatchcase(f"{experiment.name}:{case.name}", pattern)
        }
        for pattern in (patterns or ["*"])
    }
    for pattern, names in chosen.items():
        if not names and patterns:
            known = ", ".join(experiment.name for experiment in experiments)
            raise ValueError(f"no experiment or case is called {pattern!r}; the experiments are {known}")
    wanted: set[tuple[str, str]] = set().union(*chosen.values())
    choices = [
        Choice(experiment, tuple(case for case in experiment.cases if (experiment.name, case.name) in wanted))
        for experiment in experiments
    ]
    return [choice for choice in choices if choice.cases]
