"""`bptt train npz FILE`: train a classifier or regressor on the sequences of an .npz file."""

from __future__ import annotations

import argparse
import shlex
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.arguments import quantity
from bptt.cli import ranks
from bptt.cli.models import fitting, judging, networks
from bptt.cli.models import sequence_files as sequencefiles
from bptt.cli.models import sequences as sequencemodel
from bptt.cli.options import COUNT, SHARE, CommandError, add_common, check_outputs, note, plain, print_json
from bptt.data import split
from bptt.metrics import Accuracy


def add(kinds: Any) -> None:
    """Register the kind."""
    command = kinds.add_parser(
        "npz",
        help="train a classifier or regressor on the sequences of an .npz file",
        description="Train a network that predicts the target of each sequence. The file holds x (N, T, F) or"
        " (N, T), and y: integers (N,) for classes, or floats (N,) or (N, K). For sequences of unequal"
        " length it also holds lengths (N,). Then x is padded at the end, or holds the steps of all sequences"
        " in one array, (sum of lengths, F). Sequences for validation and test are chosen at random.",
    )
    command.add_argument("file", type=Path, metavar="FILE", help=".npz file with the arrays x and y")
    data = command.add_argument_group("data")
    stop = "fraction of the sequences that decide when to stop training"
    data.add_argument("--validation", type=SHARE, metavar="SHARE", default=0.1, help=stop)
    judged = "fraction of the sequences for the final figures"
    data.add_argument("--test", type=SHARE, metavar="SHARE", default=0.1, help=judged)
    networks.add_bidirectional(networks.add_options(command, cell="lstm", layers=1, hidden=32))
    training = fitting.add_options(command, rate=5e-3, clip=1.0, patience=10)
    training.add_argument("--epochs", type=COUNT, metavar="N", default=50, help="passes over the data")
    training.add_argument("--batch", type=COUNT, metavar="N", default=32, help="sequences per batch")
    back = "most time steps that errors go back; only for sequences of equal length (default: all)"
    training.add_argument("--truncate", type=COUNT, metavar="N", help=back)
    fitting.add_model_file(command)
    add_common(command, ranks.on_ranks(run))


def run(options: argparse.Namespace) -> None:
    """Read the data, train the model, test it, write and print the results."""
    path = fitting.model_file(options)
    fitting.check_run(options)
    check_outputs((path, options.checkpoint, options.log), [options.file])
    data = sequencefiles.read(options.file)
    rng = np.random.default_rng((options.seed, 1))  # independent of the random numbers of the weights
    try:
        rows = split(rng.permutation(len(data.y)), options.validation, options.test)
    except ValueError:
        raise CommandError(
            f"{options.file} must have more sequences for training, validation and test parts; got"
            f" {len(data.y)}. Fix: pass more sequences."
        ) from None
    training, validation, test = (data.take(part) for part in rows)
    task = sequencemodel.Task.of(training, np.unique(data.y))
    if task.classes is not None and len(task.classes) < 2:
        raise CommandError(
            f"{options.file}: y must hold at least two classes; got only {task.classes[0]}. Fix: save"
            " float numbers if y holds no classes."
        )
    lengths = {len(x) for x in data.x}
    _warn_of_axes(options.file, data.shape, max(lengths))
    if options.truncate is not None and len(lengths) > 1:
        raise CommandError("--truncate needs sequences of equal length. Fix: leave --truncate out.")
    batches = task.batches(training, options.batch, shuffle=True, seed=rng)
    targets = "numbers" if task.classes is None else f"{len(task.classes)} classes"
    note(
        f"{options.file}: {len(data.y):,} sequences of {min(lengths)} to {max(lengths)} steps, {targets};"
        f" {len(training.y):,} for training, {len(validation.y):,} for validation, {len(test.y):,} for"
        " the final test."
    )
    fitted = fitting.fit(
        options,
        networks.many_to_one(options, data.x[0].shape[1], task.outputs),
        task.loss,
        batches,
        task.batches(validation, sequencemodel.AT_ONCE, seed=0),
        epochs=options.epochs,
        about=task.about(),
        preprocessing=task.preprocessing,
        source=fitting.digest(*data.x, data.y),
        metrics=() if task.classes is None else (Accuracy(),),
        truncate=None if options.truncate is None else (max(lengths), options.truncate),
    )
    if not ranks.is_first(options):
        return
    test_figures = task.judge(fitted.model, test)
    figures = {
        "model": networks.describe(options),
        **fitted.figures(),
        "test_sequences": len(test.y),
        "test": test_figures,
        "beats_baseline": judging.beaten(test_figures, task.metrics[0]),
    }
    extra = {**task.about(), "figures": plain(figures)}
    bptt.save(path, fitted.model, extra=extra, preprocessing=task.preprocessing)
    if options.json:
        print_json({**figures, "model_file": str(path)})
        return
    print(f"{fitted.summary()}\n{fitted.ending()}")
    print(f"test part: {len(test.y):,} sequences, not used in training")
    print(judging.table(test_figures, networks.describe(options)))
    print("\n".join(judging.verdicts(test_figures, task.metrics[0])))
    if figures["beats_baseline"]:
        print("The model is better than a constant guess.")
    else:
        advice = fitted.advice("more --epochs", ["more --hidden units"])
        print(f"The model is not better than a constant guess. {advice}")
    print(f"model    {path}")
    print(f"next     {shlex.join(['bptt', 'predict', str(path), str(options.file)])} -o predictions.csv")


def _warn_of_axes(path: Path, shape: tuple[int, ...], longest: int) -> None:
    """Print a note if the axes of x (N, T, F) look swapped, or if all sequences have one step."""
    if len(shape) == 3 and shape[2] > shape[1]:
        note(
            f"{path}: x has at most {quantity(shape[1], 'time step')} of {shape[2]} features each. If its"
            " axes are (N, features, time), save x.swapaxes(1, 2)."
        )
    elif longest == 1:
        note(f"{path}: every sequence of x has one time step, so the model has no earlier steps to use.")
