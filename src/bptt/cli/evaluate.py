"""`bptt evaluate MODEL DATA`: how good a saved model is on a text, a CSV file or an .npz file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import bptt
from bptt.cli import train_csv
from bptt.cli.csv import format as csvformat
from bptt.cli.csv.format import Format
from bptt.cli.models import judging, networks
from bptt.cli.models import sequences as sequencemodel
from bptt.cli.models import series as seriesmodel
from bptt.cli.models import text as textmodel
from bptt.cli.options import CommandError, add_common, print_json
from bptt.data import TextStream, Vocabulary
from bptt.metrics import Accuracy, BitsPerCharacter, Perplexity

ROWS, STEPS = 32, 64  # of a text, read side by side and at once, where it is long enough
PARTS = ("all", *train_csv.PARTS)


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "evaluate",
        help="how good a trained model is on other data",
        description="Judge a model of 'bptt train' on data like those that it was trained on: a text, a CSV"
        " file or a folder of them, an .npz file.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="a file of 'bptt train'")
    command.add_argument(
        "data", type=Path, metavar="DATA", help="a text, CSV or .npz file, or a folder of CSV"
    )
    part = "of CSV data: a part, as training divided them, by time"
    command.add_argument("--part", choices=PARTS, default="all", help=part)
    csvformat.add_options(command)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read, judge, print."""
    saved = networks.read(options.model)
    text, series, sequences = textmodel.of(saved), seriesmodel.of(saved), sequencemodel.of(saved)
    if series is None and options.part != "all":
        raise CommandError(f"--part goes with models of 'bptt train csv'; {options.model} is none")
    about = {"model": str(options.model), "data": str(options.data)}
    if text is not None:
        figures, shown = _text(*text, options)
    elif series is not None:
        figures, shown = _series(*series, options)
    elif sequences is not None:
        figures, shown = _sequences(*sequences, options)
    else:
        raise CommandError(f"{options.model} says nothing about its data; make models with 'bptt train'")
    if options.json:
        print_json({**about, **figures})
    else:
        print(f"{options.model} on {options.data}\n{shown}")


def _text(
    model: bptt.Module, vocabulary: Vocabulary, options: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    try:
        whole = TextStream(options.data, 1, 1, vocabulary=vocabulary, encoding=options.encoding)
        symbols = len(whole.ids) - 1
        rows = min(ROWS, max(1, symbols // STEPS))
        steps = min(STEPS, symbols // rows)
        stream = TextStream(options.data, rows, steps, vocabulary=vocabulary, encoding=options.encoding)
    except OSError as error:
        raise CommandError(f"cannot read {options.data}: {error.strerror}") from None
    except LookupError as error:
        raise CommandError(f"{options.data}: {error}") from None
    metrics = (BitsPerCharacter(), Perplexity(), Accuracy())
    state, count = None, 0
    for x, target in stream:
        y, state = model(x, state)
        count += target.size
        for metric in metrics:
            metric.add(y, target)
    figures = {metric.name: metric.value for metric in metrics}
    lines = [f"{count:,} characters", f"{figures['bits_per_character']:.3f} bits per character"]
    lines.append(f"perplexity {figures['perplexity']:.2f}, {figures['accuracy']:.1%} of them guessed right")
    return {"characters": count, **figures}, "\n".join(lines)


def _series(
    model: bptt.Module, task: seriesmodel.Task, options: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    tables = train_csv.read(options.data, task.names, Format.of(options))
    need = task.window + task.horizon
    if options.part == "all":
        for table in tables:
            if len(table.values) < need:
                raise CommandError(
                    f"{table.path} has {len(table.values)} rows; the model needs {need}, window and horizon"
                    " together"
                )
        series = [table.values for table in tables]
    else:
        divided = train_csv.divided(tables, task.shares, task.window, task.horizon)
        series = divided[train_csv.PARTS.index(options.part)]
    errors, count = seriesmodel.judge(model, task, series)
    shown = f"{count:,} forecasts of {task.horizon} rows\n{judging.table(errors, 'model')}"
    return {"part": options.part, "windows": count, "errors": errors}, shown


def _sequences(
    model: bptt.Module, task: sequencemodel.Task, options: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    data = sequencemodel.read(options.data)
    task.check(data, options.data)
    found = task.judge(model, data)
    shown = f"{len(data.y):,} sequences\n{judging.table(found, 'model')}"
    return {"sequences": len(data.y), "figures": found}, shown
