"""What an experiment is: one published claim, and the networks that test it."""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Figures: TypeAlias = Mapping[str, Any]
"""What one run found: values that JSON can hold, by name."""

Runs: TypeAlias = Mapping[str, Sequence[Figures]]
"""The figures of all finished runs, by name of the case."""

Verdict: TypeAlias = "tuple[bool | None, str]"
"""Whether the claim was reproduced (None: in part), and one sentence with the numbers."""


@dataclass(frozen=True)
class Case:
    """One row of an experiment's table: one network with one setting.

    Attributes
    ----------
    name : str
    settings : str
        Everything that a reader needs to repeat the case, in one line.
    published : str
        The figure of the paper, or "".
    run : callable
        `run(seed, quick)` trains one network and returns its figures. "solved" is a bool where the experiment
        has a criterion. `quick` asks for a small version. A `functools.partial` of plain values is best: its
        values count as settings, so a run is made again after they changed.
    quick_seeds, full_seeds : int
        Default number of runs: seeds 0, 1, ... With `quick_seeds=0`, the case has no small version.
    quick_seconds, full_seconds : float
        Rough time of one run. Long runs start first, so that all processes are busy until the end.
    needed : bool
        Whether the claim cannot be judged without a run of this case. Cases with `quick_seeds=0` never are.
    """

    name: str
    settings: str
    published: str
    run: Callable[[int, bool], Figures]
    quick_seeds: int
    full_seeds: int
    quick_seconds: float = 10.0
    full_seconds: float = 60.0
    needed: bool = True

    def seeds(self, quick: bool, wanted: int | None = None) -> int:
        """Return the number of runs: `wanted` if given, but none of a case that has none by default."""
        default = self.quick_seeds if quick else self.full_seeds
        return default if wanted is None or default == 0 else wanted

    def seconds(self, quick: bool) -> float:
        """Return the rough time of one run."""
        return self.quick_seconds if quick else self.full_seconds

    def digest(self) -> str:
        """Return a short digest of the settings. Stored runs with another digest are out of date."""
        text = json.dumps([self.settings, describe(self.run)])
        return hashlib.sha256(text.encode()).hexdigest()[:12]


@dataclass(frozen=True)
class Experiment:
    """One published claim.

    Attributes
    ----------
    name : str
        Name on the command line, in kebab-case.
    title : str
    paper : str
        The full citation.
    claim : str
        What the paper says, in one or two sentences.
    criterion : str
        When a run counts as solved, and when the claim counts as reproduced. Fixed before the runs.
    cases : tuple of Case
    verdict : callable
        `verdict(runs)` returns whether the claim was reproduced, and one sentence with the numbers. Every
        case that is needed has at least one run.
    figure : str
        The figure whose mean is in the table.
    solved_only : bool
        Whether the mean is over solved runs only.
    notes : str
        Where our set-up differs from the paper's, and why results disagree. Markdown for the page.
    draw : callable, optional
        `draw(axes, runs)` draws one panel. Default: a bar per case with the fraction of solved runs, or
        the figures of all runs where there is no criterion for one run.
    """

    name: str
    title: str
    paper: str
    claim: str
    criterion: str
    cases: tuple[Case, ...]
    verdict: Callable[[Runs], Verdict]
    figure: str = "sequences"
    solved_only: bool = True
    notes: str = ""
    draw: Callable[[Axes, Runs], None] | None = None

    def __post_init__(self) -> None:
        names = [case.name for case in self.cases]
        if len(set(names)) < len(names) or not names:
            raise ValueError(f"cases of {self.name} must have different names; got {', '.join(names)}")

    def case(self, name: str) -> Case:
        """Return the case of this name."""
        return next(case for case in self.cases if case.name == name)


def describe(value: object) -> Any:
    """Return a value as JSON: functions by name, `functools.partial` and dataclasses by their parts.

    Raises
    ------
    TypeError
        The value is another object: its text would differ from process to process.
    """
    if isinstance(value, functools.partial):
        return [describe(value.func), describe(value.args), describe(value.keywords)]
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    if isinstance(value, Mapping):
        return {str(key): describe(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [describe(entry) for entry in value]
    if is_dataclass(value) and not isinstance(value, type):
        return [type(value).__name__, {f.name: describe(getattr(value, f.name)) for f in fields(value)}]
    name = getattr(value, "__qualname__", "")
    if not name:
        raise TypeError(
            f"settings of a case must be numbers, texts, functions or dataclasses; got {value!r:.80}. "
            "Fix: build the object inside the function that runs the case."
        )
    return name
