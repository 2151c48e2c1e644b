"""Make the runs that are missing: seeds in parallel processes with one thread each."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

import bptt
from bptt.train.workers import Outcome, call_here, call_in_processes
from experiments.experiment import Case, Experiment, Figures
from experiments.results import Results, finished_run

BLAS_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")


@dataclass(frozen=True)
class Choice:
    """The cases of an experiment that a user chose."""

    experiment: Experiment
    cases: tuple[Case, ...]


@dataclass(frozen=True)
class Failure:
    """A run that raised an error, or whose process died."""

    experiment: str
    case: str
    seed: int
    error: str

    def line(self) -> str:
        """Return one line that names the run and its error."""
        lines = self.error.strip().splitlines() or ["no message"]
        return f"{self.experiment}:{self.case} failed with seed {self.seed}: {lines[-1]:.300}"


def cores() -> int:
    """Return the number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def missing(
    choices: Sequence[Choice], results: Results, *, quick: bool, seeds: int | None, again: bool = False
) -> list[dict[str, Any]]:
    """Return the runs to make, longest first: keyword arguments of `call_case`.

    Parameters
    ----------
    choices : sequence of Choice
    results : Results
        Runs stored there are left out.
    quick : bool
    seeds : int, optional
        Number of seeds per case. Default: the case's own.
    again : bool
        Whether to make stored runs a second time.
    """
    jobs: list[tuple[float, dict[str, Any]]] = []
    for choice in choices:
        stored = results.finished(choice.experiment, quick)
        for case in choice.cases:
            runs = stored[case.name]
            done = set() if again else {run.seed for run in runs}
            seconds = sum(run.seconds for run in runs) / len(runs) if runs else case.seconds(quick)
            for seed in range(case.seeds(quick, seeds)):
                if seed not in done:
                    names = {"experiment": choice.experiment.name, "case": case.name}
                    jobs.append((seconds, {**names, "seed": seed, "quick": quick}))
    return [job for _, job in sorted(jobs, key=lambda entry: -entry[0])]


def call_case(experiment: str, case: str, seed: int, quick: bool) -> Figures:
    """Make one run. New processes call this function with names, because cases hold functions."""
    from experiments.registry import find

    return find(experiment).case(case).run(seed, quick)


def run_all(
    choices: Sequence[Choice],
    results: Results,
    *,
    quick: bool,
    seeds: int | None = None,
    processes: int | None = None,
    again: bool = False,
    call: Callable[..., Figures] = call_case,
) -> list[Failure]:
    """Make all missing runs, and store each one as soon as it is finished.

    Parameters
    ----------
    choices, results, quick, seeds, again
        As in `missing`.
    processes : int, optional
        Number of processes. Default: the number of cores. 0: this process.
    call : callable
        Makes one run from names. Processes import this function.

    Returns
    -------
    list of Failure
        The runs that failed. A failed run does not stop the others.
    """
    jobs = missing(choices, results, quick=quick, seeds=seeds, again=again)
    experiments = {choice.experiment.name: choice.experiment for choice in choices}
    failures: list[Failure] = []
    if not jobs:
        return failures
    with tqdm(total=len(jobs), desc="experiments", unit="run", file=sys.stderr) as bar:

        def done(index: int, outcome: Outcome) -> None:
            job, error = jobs[index], outcome.error
            if not error:
                try:
                    experiment = experiments[job["experiment"]]
                    values = (job["case"], job["seed"], quick, outcome.value, outcome.seconds)
                    results.store(experiment, finished_run(experiment, *values))
                except (TypeError, AttributeError, ValueError, OSError) as wrong:
                    error = f"{type(wrong).__name__}: {wrong}"
            if error:
                failures.append(Failure(job["experiment"], job["case"], job["seed"], error))
                bar.write(failures[-1].line(), file=sys.stderr)
            bar.set_postfix_str(f"{job['experiment']}:{job['case']} seed {job['seed']}", refresh=False)
            bar.update()

        _call_each(call, jobs, cores() if processes is None else processes, done)
    return failures


def _call_each(
    call: Callable[..., Figures],
    jobs: list[dict[str, Any]],
    processes: int,
    done: Callable[[int, Outcome], None],
) -> None:
    if processes == 0:
        threads = bptt.get_num_threads()
        bptt.set_num_threads(1)
        try:
            for index, job in enumerate(jobs):
                done(index, call_here(call, job))
        finally:
            bptt.set_num_threads(threads)
        return
    for name in BLAS_THREADS:
        os.environ.setdefault(name, "1")  # the processes inherit it, before they load NumPy
    call_in_processes(call, jobs, processes=processes, threads=1, done=done)
