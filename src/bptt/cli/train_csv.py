"""`bptt train csv FILE`: train a forecasting model on columns of a CSV file."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.arguments import quantity
from bptt.cli import ranks
from bptt.cli.csv import format as csvformat
from bptt.cli.csv import tables
from bptt.cli.csv.format import Format
from bptt.cli.models import fitting, judging, networks
from bptt.cli.models import series as seriesmodel
from bptt.cli.options import (
    COUNT,
    SHARE,
    CommandError,
    add_common,
    check_outputs,
    names,
    note,
    plain,
    print_json,
)
from bptt.data import Standardize, split
from bptt.metrics import RMSE

Numbers = npt.NDArray[np.float64]
PARTS = ("training", "validation", "test")


def add(kinds: Any) -> None:
    """Register the kind."""
    command = kinds.add_parser(
        "csv",
        help="train a forecasting model on the columns of a CSV file",
        description="Train a network that forecasts the next values of some columns of a CSV file from the"
        " last values of its columns. The file is split by time into training, validation and test parts, in"
        " this order. Scaling is computed from the training part. In a folder, each CSV file is one series.",
    )
    command.add_argument(
        "file",
        type=Path,
        metavar="FILE",
        help="CSV file, or a folder of CSV files",
    )
    csvformat.add_options(command)
    data = command.add_argument_group("data")
    inputs = "input columns (default: all columns of numbers, except row numbers and times)"
    data.add_argument("--columns", type=names, metavar="A,B", help=inputs)
    data.add_argument("--target", type=names, metavar="A,B", help="columns to forecast (default: the inputs)")
    data.add_argument(
        "--window", type=COUNT, metavar="N", default=20, help="rows that the model reads to make a forecast"
    )
    data.add_argument("--horizon", type=COUNT, metavar="N", default=1, help="rows to forecast")
    data.add_argument(
        "--validation",
        type=SHARE,
        metavar="SHARE",
        default=0.1,
        help="fraction of the rows, before the test part, that decides when to stop training",
    )
    data.add_argument(
        "--test",
        type=SHARE,
        metavar="SHARE",
        default=0.1,
        help="fraction of the rows, at the end, for the final errors",
    )
    season = "rows per season, at most --window: also compare with repeating the value of one season before"
    data.add_argument("--season", type=COUNT, metavar="N", help=season)
    raw = "do not scale the columns to mean 0 and standard deviation 1"
    data.add_argument("--no-standardize", action="store_true", help=raw)
    networks.add_bidirectional(networks.add_options(command, cell="lstm", layers=1, hidden=32))
    training = fitting.add_options(command, rate=5e-3, clip=1.0, patience=10)
    training.add_argument("--epochs", type=COUNT, metavar="N", default=50, help="passes over the data")
    training.add_argument("--batch", type=COUNT, metavar="N", default=32, help="windows per batch")
    back = "let errors go back at most N rows of the window (default: the whole window)"
    training.add_argument("--truncate", type=COUNT, metavar="N", help=back)
    fitting.add_model_file(command)
    add_common(command, ranks.on_ranks(run))


def read(path: Path, wanted: Sequence[str], form: Format) -> list[tables.Table]:
    """Read these columns of a file, or of each file in a folder."""
    return [tables.read(file, wanted, form) for file in tables.paths(path)]


def run(options: argparse.Namespace) -> None:
    """Read the data, train the model, test it, write and print the results."""
    path = fitting.model_file(options)
    fitting.check_run(options)
    files = tables.paths(options.file)
    check_outputs((path, options.checkpoint, options.log), files)
    if options.season is not None and options.season > options.window:
        raise CommandError(
            f"--season must be at most --window, {options.window}, because the seasonal forecast uses values"
            f" of the window; got {options.season}. Fix: pass a larger --window."
        )
    series, columns, target = _series(options, files)
    fractions = (options.validation, options.test)
    parts = dict(zip(PARTS, divided(series, fractions, options.window, options.horizon), strict=True))
    scaling = _scaling(options, parts["training"])
    task = seriesmodel.Task(
        columns, target, options.window, options.horizon, scaling, fractions, options.season
    )
    _note_constants(task, parts["training"])
    order = np.random.default_rng((options.seed, 1))  # independent of the random numbers of the weights
    data = task.windows(parts["training"], options.batch, shuffle=True, seed=order)
    validation = task.windows(parts["validation"], seriesmodel.AT_ONCE, seed=0)
    rows = sum(len(table.values) for table in series)
    counts = f"{data.count:,} for training, {validation.count:,} for validation"
    note(f"{options.file}: {rows:,} rows; windows: {counts}.")
    fitted = fitting.fit(
        options,
        networks.many_to_one(options, len(columns), options.horizon * len(target)),
        bptt.MeanSquaredError(),
        data,
        validation,
        epochs=options.epochs,
        about=task.about(),
        preprocessing=task.preprocessing,
        source=fitting.digest(*(table.values for table in series)),
        truncate=None if options.truncate is None else (options.window, options.truncate),
    )
    if not ranks.is_first(options):
        return
    errors, count = seriesmodel.judge(fitted.model, task, parts["test"])
    figures = {
        "model": networks.describe(options),
        "columns": columns,
        "target": target,
        **fitted.figures(),
        "test_windows": count,
        "test": errors,
        "beats_baselines": judging.beaten(errors, RMSE),
    }
    extra = {**task.about(), "figures": plain(figures)}
    bptt.save(path, fitted.model, extra=extra, preprocessing=task.preprocessing)
    if options.json:
        print_json({**figures, "model_file": str(path)})
        return
    print(f"{fitted.summary()}\n{fitted.ending()}")
    print(f"test part: {count:,} forecasts of {quantity(options.horizon, 'row')}, not used in training")
    print(judging.table(errors, networks.describe(options)))
    print("\n".join(judging.verdicts(errors, RMSE)))
    if figures["beats_baselines"]:
        print("The model is better than the naive forecasts.")
    else:
        advice = fitted.advice("more --epochs", ["a longer --window"])
        print(f"The model is not better than the naive forecasts. {advice}")
    print(f"model    {path}")
    given = csvformat.arguments(Format.of(options))
    print(f"next     {shlex.join(['bptt', 'forecast', str(path), str(files[-1]), *given])}")


def _note_constants(task: seriesmodel.Task, training: Sequence[Numbers]) -> None:
    """Print a note about targets with a single value: no model beats repeating it."""
    known = np.concatenate(training)[:, task.targets]
    constant = [name for name, column in zip(task.target, known.T, strict=True) if np.ptp(column) == 0]
    if constant:
        note(
            f"{', '.join(constant):.300}: every row of the training part has the same value, so there is"
            " nothing to learn. Pass other columns to --target."
        )


def _scaling(options: argparse.Namespace, training: Sequence[Numbers]) -> Standardize:
    width = training[0].shape[1]
    if options.no_standardize:
        return Standardize(np.zeros(width), np.ones(width))
    try:
        return Standardize.fit(training)
    except ValueError:
        raise CommandError(
            f"{options.file}: columns must hold numbers with a finite variance; got larger numbers."
            " Fix: rescale the numbers, or leave their column out with --columns."
        ) from None


def divided(
    series: Sequence[tables.Table], fractions: tuple[float, float], window: int, horizon: int
) -> tuple[list[Numbers], list[Numbers], list[Numbers]]:
    """Split every series into training, validation and test part.

    The validation and test parts begin with the window before them.

    Raises
    ------
    CommandError
        A part is too short for a window and the steps after it.
    """
    divided_parts: tuple[list[Numbers], list[Numbers], list[Numbers]] = ([], [], [])
    need = window + horizon
    for table in series:
        try:
            parts = split(table.values, *fractions, context=window)
        except ValueError:
            raise CommandError(
                f"{table.path} must have more rows for --window {window} and three parts; got"
                f" {len(table.values)}. Fix: pass a smaller window, smaller parts or a longer series."
            ) from None
        for name, part, part_of_all in zip(PARTS, parts, divided_parts, strict=True):
            if len(part) < need:
                raise CommandError(
                    f"{table.path} has {len(table.values)} rows; its {name} part has {len(part)}, and needs"
                    f" {need}, --window plus --horizon. Fix: pass a smaller --window, or a larger part."
                )
            part_of_all.append(part)
    return divided_parts


def _series(
    options: argparse.Namespace, files: Sequence[Path]
) -> tuple[list[tables.Table], list[str], list[str]]:
    """Read the files. Return tables, input columns and target columns."""
    form = Format.of(options)
    columns: list[str] | None = options.columns
    if columns is not None:
        target = options.target or columns
        return (
            [tables.read(file, seriesmodel.names(columns, target), form) for file in files],
            columns,
            target,
        )
    first = tables.read_features(files[0], options.target or (), form)
    others = [tables.read(file, first.names, form) for file in files[1:]]
    return [first, *others], first.names, options.target or first.names
