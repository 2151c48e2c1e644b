"""The command `python -m experiments`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from bptt.cli.options import COUNT, Parser, number
from bptt.diagnose.pictures import canvas
from experiments import page, picture, registry, table
from experiments.results import Results, figures_of
from experiments.runner import Choice, cores, missing, run_all

ROOT = Path(__file__).resolve().parent.parent
FULL, QUICK = ROOT / "experiments" / "results", ROOT / "build" / "experiments"


def read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Return the options of the command line."""
    parser = Parser(
        prog="python -m experiments",
        description="Runs published experiments, and prints our figures next to the published ones. Runs "
        "that are stored are not made again, so a command that was stopped continues.",
    )
    parser.add_argument(
        "names",
        nargs="*",
        metavar="NAME",
        help="an experiment or experiment:case, with * and ? (default: all)",
    )
    parser.add_argument("--quick", action="store_true", help="small versions: all in less than 20 minutes")
    parser.add_argument("--seeds", type=COUNT, help="runs per case (default: as many as each case says)")
    parser.add_argument(
        "--processes",
        type=number(int, minimum=0, below=257),
        default=cores(),
        help="number of runs at a time, with one thread each; 0: all in this process",
    )
    parser.add_argument("--again", action="store_true", help="make stored runs a second time")
    parser.add_argument(
        "--list", action="store_true", help="print the experiments and cases, and run nothing"
    )
    parser.add_argument(
        "--results", type=Path, metavar="DIR", help=f"folder of stored runs (default: {_shown(FULL)}; with "
        f"--quick {_shown(QUICK)})"
    )  # fmt: skip
    parser.add_argument(
        "--picture", type=Path, metavar="DIR", help="draw each experiment into NAME.png there"
    )
    parser.add_argument(
        "--markdown", type=Path, metavar="PAGE", help="write the page from stored full runs, and run nothing"
    )
    options = parser.parse_args(arguments)
    options.results = Results(options.results or (QUICK if options.quick else FULL))
    try:
        options.choices = registry.choose(options.names)
        for choice in options.choices:
            options.results.read(choice.experiment)
    except ValueError as error:
        parser.error(str(error))
    if options.markdown is not None and (options.quick or options.names):
        parser.error("--markdown writes the full runs of all experiments: use it without --quick and NAME")
    if options.picture is not None and not canvas.available():
        parser.error("--picture needs matplotlib: pip install 'bptt[plot]'")
    if options.picture is not None and options.picture.is_file():
        parser.error(f"--picture must be a folder; got the file {options.picture}")
    if options.markdown is not None and not options.markdown.parent.is_dir():
        parser.error(f"--markdown must be in a folder that exists; got {options.markdown}")
    return options


def _shown(folder: Path) -> str:
    return folder.relative_to(ROOT).as_posix()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return its exit code."""
    options = read_options(arguments)
    results = options.results
    if options.list:
        size = {"quick": options.quick, "seeds": options.seeds, "again": options.again}
        print(listing(options.choices, results, **size))
        return 0
    if options.markdown is not None:
        page.write(registry.EXPERIMENTS, results, options.markdown, draw=page.can_draw())
        print(f"page     {options.markdown}")
        return 0
    try:
        failures = run_all(
            options.choices,
            results,
            quick=options.quick,
            seeds=options.seeds,
            processes=options.processes,
            again=options.again,
        )
    except KeyboardInterrupt:
        print("stopped; the finished runs are stored, and the same command continues", file=sys.stderr)
        return 130
    report(options, results)
    for failure in failures:
        print(f"\n{failure.error.rstrip()}\n{failure.line()}", file=sys.stderr)
    return 1 if failures else 0


def report(options: argparse.Namespace, results: Results) -> None:
    """Print the table, and draw the pictures if the user wants them."""
    finished = [
        (choice.experiment, results.finished(choice.experiment, options.quick)) for choice in options.choices
    ]
    finished = [(experiment, runs) for experiment, runs in finished if any(runs.values())]
    print(table.text(finished))
    print(f"\nresults  {results.folder}")
    if options.picture is not None:
        options.picture.mkdir(parents=True, exist_ok=True)
        for experiment, runs in finished:
            path = options.picture / f"{experiment.name}.png"
            picture.write(experiment, figures_of(runs), path)
            print(f"picture  {path}")


def listing(
    choices: Sequence[Choice], results: Results, *, quick: bool, seeds: int | None, again: bool = False
) -> str:
    """Return the chosen experiments and cases, with the number of runs to make."""
    lines = []
    jobs = missing(choices, results, quick=quick, seeds=seeds, again=again)
    for choice in choices:
        lines.append(f"{choice.experiment.name}: {choice.experiment.title}")
        for case in choice.cases:
            count = case.seeds(quick, seeds)
            lacking = sum(
                job["experiment"] == choice.experiment.name and job["case"] == case.name for job in jobs
            )
            minutes = lacking * case.seconds(quick) / 60
            left = f"{lacking} to make, about {minutes:.1f} minutes of one core" if lacking else "all stored"
            runs = "1 run" if count == 1 else f"{count} runs"
            lines.append(f"    {case.name}: {f'{runs}, {left}' if count else 'no run of this size'}")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
