"""`bptt evaluate MODEL DATA`: measure a saved model on a text, a CSV file or an .npz file."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import bptt
from bptt.cli import train_csv
from bptt.cli.csv import format as csvformat
from bptt.cli.csv.format import Format
from bptt.cli.models import judging, networks
from bptt.cli.models import sequence_files as sequencefiles
from bptt.cli.models import sequences as sequencemodel
from bptt.cli.models import series as seriesmodel
from bptt.cli.models import text as textmodel
from bptt.cli.options import CommandError, add_common, print_json
from bptt.data import TextStream, Vocabulary
from bptt.metrics import Accuracy, BitsPerCharacter, Perplexity

ROWS, STEPS = 32, 64  # batch size and steps per batch for a text that is long enough
PARTS = ("all", *train_csv.PARTS)


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "evaluate",
        help="measure a trained model on other data",
        description="Measure a model of 'bptt train' on data of the kind that it was trained on: a text, a"
        " CSV file, a folder of CSV files, or an .npz file.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="model file that 'bptt train' wrote")
    command.add_argument(
        "data", type=Path, metavar="DATA", help="text, CSV or .npz file, or a folder of CSV files"
    )
    part = "part of CSV data to use, split by time as in training"
    command.add_argument("--part", choices=PARTS, default="all", help=part)
    csvformat.add_options(command)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read model and data, measure the model, print the figures."""
    saved = networks.read(options.model)
    text, series, sequences = textmodel.of(saved), seriesmodel.of(saved), sequencemodel.of(saved)
    if series is None and options.part != "all":
        raise CommandError(
            f"--part needs a model of 'bptt train csv'; {options.model} is another kind of model."
            " Fix: leave --part out."
        )
    about = {"model": str(options.model), "data": str(options.data)}
    if text is not None:
        figures, shown = _text(*text, options)
    elif series is not None:
        figures, shown = _series(*series, options)
    elif sequences is not None:
        figures, shown = _sequences(*sequences, options)
    else:
        raise CommandError(
            f"{options.model} does not say what data it needs. Fix: make the model with 'bptt train'."
        )
    if options.json:
        print_json({**about, **figures})
    else:
        print(f"{options.model} on {options.data}\n{shown}")


def _text(
    model: bptt.Module, vocabulary: Vocabulary, options: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    encoding = options.encoding or "utf-8"
    try:
        whole = TextStream(options.data, batch_size=1, steps=1, vocabulary=vocabulary, encoding=encoding)
        symbols = len(whole.ids) - 1
        rows = min(ROWS, max(1, symbols // STEPS))
        steps = min(STEPS, symbols // rows)
        stream = TextStream(
            options.data, batch_size=rows, steps=steps, vocabulary=vocabulary, encoding=encoding
        )
    except OSError as error:
        raise CommandError(
            f"cannot read {options.data}: {error.strerror}. Fix: pass an existing text file."
        ) from None
    except LookupError as error:
        raise CommandError(f"{options.data}: {error}. Fix: pass --encoding utf-8, for example.") from None
    metrics = (BitsPerCharacter(), Perplexity(), Accuracy())
    state, count = None, 0
    for x, target in stream:
        y, state = model(x, state)
        count += target.size
        for metric in metrics:
            metric.add(y, target)
    figures = {metric.name: metric.value for metric in metrics}
    lines = [f"{count:,} characters", f"{figures['bits_per_character']:.3f} bits per character"]
    lines.append(
        f"perplexity {figures['perplexity']:.2f}, {figures['accuracy']:.1%} of characters predicted correctly"
    )
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
                    f"{table.path} has {len(table.values)} rows; the model needs {need}, its window plus"
                    " its horizon. Fix: pass a longer file."
                )
        series = [table.values for table in tables]
    else:
        divided = train_csv.divided(tables, task.fractions, task.window, task.horizon)
        series = divided[train_csv.PARTS.index(options.part)]
    errors, count = seriesmodel.judge(model, task, series)
    shown = f"{count:,} forecasts of {task.horizon} rows\n{judging.table(errors, 'model')}"
    return {"part": options.part, "windows": count, "errors": errors}, shown


def _sequences(
    model: bptt.Module, task: sequencemodel.Task, options: argparse.Namespace
) -> tuple[dict[str, Any], str]:
    data = sequencefiles.read(options.data)
    task.check(data, options.data)
    figures = task.judge(model, data)
    shown = f"{len(data.y):,} sequences\n{judging.table(figures, 'model')}"
    return {"sequences": len(data.y), "figures": figures}, shown
