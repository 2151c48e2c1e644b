"""Finished runs in JSON files: one file per experiment.

A file is replaced as a whole after each run, so a program that is stopped loses no finished run. Several
programs may share a folder (not on Windows).
"""

from __future__ import annotations

import contextlib
import datetime
import json
import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.bench.machine import processor
from bptt.files import atomic
from experiments.experiment import Experiment, Figures, Runs

if sys.platform != "win32":
    import fcntl


@dataclass(frozen=True)
class Run:
    """One finished run, as it stands in the file."""

    case: str
    seed: int
    quick: bool
    digest: str
    settings: str
    seconds: float
    bptt: str
    processor: str
    date: str
    figures: dict[str, Any]

    @property
    def key(self) -> tuple[str, int, bool, str]:
        """What makes a run the same run: case, seed, size and settings."""
        return self.case, self.seed, self.quick, self.digest


class Results:
    """The finished runs in a folder.

    Parameters
    ----------
    folder : Path
        Folder of the files NAME.json. It is made when the first run is stored.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def path(self, experiment: Experiment) -> Path:
        """Return the file of an experiment."""
        return self.folder / f"{experiment.name}.json"

    def read(self, experiment: Experiment) -> list[Run]:
        """Return all stored runs of an experiment, old settings included.

        Raises
        ------
        ValueError
            The file is not one that `store` wrote, or the folder is a file.
        """
        if self.folder.exists() and not self.folder.is_dir():
            raise ValueError(f"{self.folder} must be a folder; got a file. Fix: pass another name.")
        path = self.path(experiment)
        if not path.is_file():
            return []
        try:
            return [Run(**run) for run in json.loads(path.read_text(encoding="utf-8"))["runs"]]
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f"{path} has no results of experiments ({error}). "
                "Fix: restore the file from a copy, or move it away; its runs are then made again."
            ) from None

    def finished(self, experiment: Experiment, quick: bool) -> dict[str, list[Run]]:
        """Return the stored runs of this size and of the present settings, by case and in order of seeds."""
        current = {case.name: case.digest() for case in experiment.cases}
        found: dict[str, list[Run]] = {name: [] for name in current}
        for run in sorted(self.read(experiment), key=lambda run: run.seed):
            if run.quick == quick and current.get(run.case) == run.digest:
                found[run.case].append(run)
        return found

    def store(self, experiment: Experiment, run: Run) -> None:
        """Add a run to the file of its experiment, in place of an older run with the same key."""
        order = [case.name for case in experiment.cases]
        self.folder.mkdir(parents=True, exist_ok=True)
        with _alone(self.folder):
            runs = {old.key: old for old in self.read(experiment)} | {run.key: run}
            ordered = sorted(
                runs.values(),
                key=lambda run: (
                    order.index(run.case) if run.case in order else len(order),
                    run.case,
                    run.seed,
                ),
            )
            lines = ",\n".join(json.dumps(asdict(run), ensure_ascii=False) for run in ordered)
            text = f'{{"experiment": {json.dumps(experiment.name)}, "runs": [\n{lines}\n]}}\n'
            atomic.replace(self.path(experiment), text.encode(), verify=lambda _: None)


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Wait until no other process changes a file of the folder, and keep others waiting."""
    if sys.platform == "win32":
        yield
        return
    number = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(number, fcntl.LOCK_EX)
        yield
    finally:
        os.close(number)


def figures_of(runs: Mapping[str, list[Run]]) -> Runs:
    """Return the figures of runs, by case. Cases without a run are left out."""
    return {name: [run.figures for run in group] for name, group in runs.items() if group}


def finished_run(
    experiment: Experiment, case_name: str, seed: int, quick: bool, figures: Figures, seconds: float
) -> Run:
    """Return what is stored of a run that has ended now, on this machine.

    Raises
    ------
    TypeError
        The figures hold what JSON cannot hold.
    """
    case = experiment.case(case_name)
    return Run(
        case=case.name,
        seed=seed,
        quick=quick,
        digest=case.digest(),
        settings=case.settings,
        seconds=round(seconds, 2),
        bptt=bptt.__version__,
        processor=processor(),
        date=datetime.date.today().isoformat(),
        figures={name: plain(value) for name, value in figures.items()},
    )


def plain(value: Any) -> Any:
    """Return a figure as JSON holds it: numbers with at most six digits, arrays as lists."""
    if isinstance(value, (np.ndarray, np.generic)):
        value = value.tolist()
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, float):
        return float(f"{value:.6g}")
    if value is None or isinstance(value, (bool, int, str)):
        return value
    raise TypeError(f"figures must be numbers, texts or lists of them; got {value!r:.80}")
