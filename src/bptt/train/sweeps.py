"""Train one model many times, with several seeds and settings, in parallel processes."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from tqdm import tqdm

from bptt.arguments import choice, flag, integer, short, size
from bptt.callbacks.progress import notebook_bar
from bptt.train.history import History
from bptt.train.workers import Outcome, call_here, call_in_processes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Result: TypeAlias = "History | Mapping[str, float] | float"


@dataclass(frozen=True)
class Trial:
    """One run of a sweep.

    Attributes
    ----------
    seed : int
    setting : dict
        Keyword arguments of the run besides the seed.
    figures : dict of str to float
        The numbers that the run returned. From a `History`, these are `loss`, the mean over the updates of
        the last epoch, and the columns of the last validation. Empty after an error.
    history : History or None
    error : str
        Traceback of the error that ended the run; "" if there was none.
    seconds : float
        Time of the run.

    Examples
    --------
    >>> import bptt
    >>> def radius(seed, hidden):
    ...     return {"radius": float(bptt.spectral_radius(bptt.RNN(1, hidden, seed=seed))[0])}
    >>> result = bptt.sweep(radius, seeds=3, settings=[{"hidden": 8}], processes=0, progress=False)
    >>> trial = result.trials[2]
    >>> trial.seed, trial.setting, list(trial.figures)
    (2, {'hidden': 8}, ['radius'])
    """

    seed: int
    setting: dict[str, Any]
    figures: dict[str, float]
    history: History | None
    error: str
    seconds: float


class Sweep:
    """The runs of a sweep, in the order of settings and seeds.

    Attributes
    ----------
    trials : list of Trial
    metric : str
        Figure that `table`, `plot` and `best` compare.
    better : {"lower", "higher"}

    Examples
    --------
    >>> import bptt
    >>> def radius(seed):
    ...     return float(bptt.spectral_radius(bptt.RNN(1, 8, seed=seed))[0])
    >>> result = bptt.sweep(radius, seeds=5, processes=0, progress=False)
    >>> len(result.trials), result.best.seed
    (5, 2)
    """

    def __init__(self, trials: Sequence[Trial], metric: str, better: str) -> None:
        self.trials = list(trials)
        self.metric, self.better = metric, better

    @property
    def best(self) -> Trial:
        """The run with the best value of `metric`."""
        valid = [trial for trial in self.trials if math.isfinite(self._value(trial))]
        if not valid:
            raise ValueError(
                f"the sweep must have a run with a finite {self.metric}; got none. "
                "Fix: look at the errors, [trial.error for trial in sweep.trials]."
            )
        return min(valid, key=lambda trial: self._sign * self._value(trial))

    def table(self) -> str:
        """Return a table in plain text: median and quartiles of `metric` over the seeds of each setting.

        The best setting comes first. "runs" is the number of runs without an error.
        """
        groups = self._groups()
        names = list(dict.fromkeys(name for trial in self.trials for name in trial.setting))
        lines = [[*names, f"{self.metric}: median", "25 %", "75 %", "best", "runs"]]
        rows = [(self._quartiles(group), group) for group in groups]
        for (low, median, high), group in sorted(rows, key=lambda row: _nan_last(self._sign * row[0][1])):
            values = [self._sign * value for trial in group if not math.isnan(value := self._value(trial))]
            best = self._sign * min(values, default=math.nan)
            failed = sum(bool(trial.error) for trial in group)
            runs = f"{len(group) - failed} of {len(group)}" if failed else str(len(group))
            cells = [str(group[0].setting.get(name, "")) for name in names]
            lines.append([*cells, *(f"{value:.5g}" for value in (median, low, high, best)), runs])
        widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
        text = [
            "  ".join(
                cell.ljust(width) if column < len(names) else cell.rjust(width)
                for column, (cell, width) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        return "\n".join(text)

    def to_pandas(self) -> Any:
        """Return a pandas.DataFrame with one row per run: settings, seed, figures, seconds and error.

        Raises
        ------
        ImportError
            pandas is not installed.
        """
        try:
            pandas = import_module("pandas")
        except ImportError:
            raise ImportError("to_pandas needs pandas: pip install pandas") from None
        return pandas.DataFrame(
            [
                {
                    **trial.setting,
                    "seed": trial.seed,
                    **trial.figures,
                    "seconds": trial.seconds,
                    "error": trial.error,
                }
                for trial in self.trials
            ]
        )

    def plot(self, path: str | os.PathLike[str] | None = None, *, ax: Axes | None = None) -> Figure:
        """Draw the runs: the median of each setting, and a band from the lower to the upper quartile.

        Runs that returned a `History` are drawn as curves, other runs as points.

        Parameters
        ----------
        path : str or os.PathLike, optional
            File for the picture. The suffix sets the format: .png or .svg.
        ax : matplotlib.axes.Axes, optional
            Where to draw. Default: a new figure.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        ImportError
            matplotlib is not installed.
        TypeError, ValueError, OSError
            No run has the metric, `path` has another suffix, or the file cannot be written.
        """
        from bptt.diagnose.pictures.histories import plot_histories, plot_points

        curves = {
            _label(group[0].setting): [trial.history for trial in group if trial.history is not None]
            for group in self._groups()
        }
        curves = {label: histories for label, histories in curves.items() if histories}
        if curves and all(self.metric in history for histories in curves.values() for history in histories):
            return plot_histories(curves, self.metric, path=path, ax=ax)
        points = {
            _label(group[0].setting): [self._value(trial) for trial in group] for group in self._groups()
        }
        return plot_points(points, self.metric, path=path, ax=ax)

    @property
    def _sign(self) -> int:
        return 1 if self.better == "lower" else -1

    def _value(self, trial: Trial) -> float:
        return trial.figures.get(self.metric, math.nan)

    def _groups(self) -> list[list[Trial]]:
        groups: dict[str, list[Trial]] = {}
        for trial in self.trials:
            groups.setdefault(repr(trial.setting), []).append(trial)
        return list(groups.values())

    def _quartiles(self, group: list[Trial]) -> tuple[float, float, float]:
        values = [value for trial in group if not math.isnan(value := self._value(trial))]
        if not values:
            return math.nan, math.nan, math.nan
        low, median, high = np.quantile(values, (0.25, 0.5, 0.75)).tolist()
        return low, median, high

    def __repr__(self) -> str:
        return self.table()


def sweep(
    run: Callable[..., Result],
    *,
    seeds: int | Iterable[int] = 8,
    settings: Iterable[Mapping[str, Any]] = ({},),
    processes: int | None = None,
    threads: int = 1,
    metric: str | None = None,
    better: str = "lower",
    progress: bool = True,
) -> Sweep:
    """Call `run(seed=..., **setting)` for every seed and setting, side by side in processes.

    Small models are trained fastest in processes with one thread each, because no thread waits for another.
    Results do not depend on the number of processes. A run that raises an error, or whose process dies, does
    not end the sweep. Ctrl-C ends all processes.

    Parameters
    ----------
    run : callable
        Function that trains one model. It returns the `History`, a number, or a dict of numbers. New
        processes import it, so it must be defined at the top level of a file or module. The file must call
        `sweep` under `if __name__ == "__main__":`. In a notebook on Linux, any function works.
    seeds : int or iterable of int
        The seeds, or their number: 0, 1, ...
    settings : iterable of mappings
        More keyword arguments of `run`: one mapping for each setting.
    processes : int, optional
        Number of processes. Default: the number of cores. 0: make all runs in this process.
    threads : int
        Number of threads of each process.
    metric : str, optional
        Figure to compare. Default: "validation_loss", or "loss" without validation, or the first number of
        the dict.
    better : {"lower", "higher"}
        Whether a lower or a higher value of `metric` is better.
    progress : bool
        Whether to show a progress bar.

    Returns
    -------
    Sweep
        The runs, with a `table`, a `plot` and the `best` run.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, `run` cannot be pickled, or no run has the metric.
    RuntimeError
        Every run raised an error, or a process died before it was ready.

    Examples
    --------
    >>> import bptt
    >>> def radius(seed, hidden):
    ...     return float(bptt.spectral_radius(bptt.RNN(1, hidden, seed=seed))[0])
    >>> settings = [{"hidden": 8}, {"hidden": 64}]
    >>> result = bptt.sweep(radius, seeds=3, settings=settings, processes=0, progress=False)
    >>> print(result.table())
    hidden  value: median     25 %     75 %     best  runs
    8             0.59905  0.57012  0.62458  0.54119     3
    64            0.62268  0.61309  0.62463  0.60351     3
    """
    if not callable(run):
        raise TypeError(
            f"run must be a function; got {short(run)}. Fix: pass the function without calling it."
        )
    choice(better, "better", ("lower", "higher"))
    jobs = _jobs(seeds, settings)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    count = cores if processes is None else integer(processes, "processes", 0)
    size(threads, "threads")
    trials: dict[int, Trial] = {}
    kind = notebook_bar() or tqdm
    with kind(total=len(jobs), desc="sweep", unit="run", disable=not flag(progress, "progress")) as bar:

        def done(index: int, outcome: Outcome) -> None:
            trials[index] = _trial(jobs[index], outcome)
            failed = sum(bool(trial.error) for trial in trials.values())
            bar.set_postfix_str(f"{failed} failed" if failed else "", refresh=False)
            bar.update()

        if count == 0:
            for index, job in enumerate(jobs):
                done(index, call_here(run, job))
        else:
            call_in_processes(run, jobs, processes=count, threads=threads, done=done)
    return _finished([trials[index] for index in range(len(jobs))], metric, better)


def _jobs(seeds: object, settings: object) -> list[dict[str, Any]]:
    """Return the keyword arguments of each run: all seeds of the first setting first."""
    if isinstance(seeds, Iterable) and not isinstance(seeds, (str, bytes)):
        numbers = [integer(seed, f"seeds[{i}]", 0) for i, seed in enumerate(seeds)]
    else:
        numbers = list(range(size(seeds, "seeds")))
    if isinstance(settings, Mapping) or not isinstance(settings, Iterable):
        raise TypeError(
            f"settings must be a list of dicts, one for each setting; got {type(settings).__name__}. "
            'Fix: pass [{"hidden": 8}, {"hidden": 32}].'
        )
    given = list(settings)
    for i, setting in enumerate(given):
        if not isinstance(setting, Mapping) or not all(isinstance(name, str) for name in setting):
            raise TypeError(
                f"settings[{i}] must be a dict of keyword arguments; got {short(setting)}. "
                'Fix: pass {"hidden": 8}.'
            )
        if "seed" in setting:
            raise ValueError(
                f"settings[{i}] must not hold a seed; got {short(setting)}. Fix: pass seeds=[...]."
            )
    if not given or not numbers:
        raise ValueError(
            "seeds and settings must not be empty; got no run. Fix: pass seeds=8, settings=[{}]."
        )
    return [{"seed": seed, **setting} for setting in given for seed in numbers]


def _trial(job: dict[str, Any], outcome: Outcome) -> Trial:
    setting = {name: value for name, value in job.items() if name != "seed"}
    history = outcome.value if isinstance(outcome.value, History) else None
    figures, error = {}, outcome.error
    if not error:
        try:
            figures = _figures(outcome.value)
        except (TypeError, ValueError, OverflowError) as wrong:
            error = f"{type(wrong).__name__}: {wrong}"
    return Trial(job["seed"], setting, figures, history, error, outcome.seconds)


def _figures(value: Any) -> dict[str, float]:
    """Return the numbers that a run returned."""
    if isinstance(value, History):
        epochs = value["epoch"]
        figures = {"loss": float(value["loss"][epochs == epochs[-1]].mean())} if epochs.size else {}
        return figures | (value.validation() if value["validation_loss"].size else {})
    if isinstance(value, Mapping) and value:
        for name, number in value.items():
            if np.ndim(number) or not isinstance(number, (int, float, np.number, np.ndarray)):
                raise TypeError(
                    f"run must return a History, a number or a dict of numbers; got {short(number)} for "
                    f"{short(name)}. Fix: return trainer.fit(...), or one number for each name."
                )
        return {str(name): float(number) for name, number in value.items()}
    if isinstance(value, (int, float, np.number)):
        return {"value": float(value)}
    raise TypeError(
        f"run must return a History, a number or a dict of numbers; got {short(value)} of type "
        f"{type(value).__name__}. Fix: return trainer.fit(...)."
    )


def _finished(trials: list[Trial], metric: str | None, better: str) -> Sweep:
    """Return the sweep; warn of errors, and raise RuntimeError if there is no result."""
    failed = [trial for trial in trials if trial.error]
    names = list(dict.fromkeys(name for trial in trials for name in trial.figures))
    if not names:
        raise RuntimeError(f"every run of the sweep raised an error. The first:\n{failed[0].error}")
    if metric is None:
        metric = next((name for name in ("validation_loss", "loss") if name in names), names[0])
    elif metric not in names:
        raise ValueError(
            f"metric must be one of {', '.join(names)}; got {short(metric)}. Fix: pass one of these."
        )
    if failed:
        last = failed[0].error.strip().splitlines()[-1]
        warnings.warn(
            f"{len(failed)} of {len(trials)} runs raised an error, the first with seed {failed[0].seed} and "
            f"{_label(failed[0].setting)}: {last:.300}. All errors: [trial.error for trial in sweep.trials].",
            UserWarning,
            stacklevel=3,  # the line that calls sweep
        )
    return Sweep(trials, metric, better)


def _label(setting: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in setting.items()) or "all runs"


def _nan_last(value: float) -> tuple[bool, float]:
    return math.isnan(value), value
