"""`bptt train`, and `bptt train text FILE`: train a character-level model on a text."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from bptt.cli import ranks, train_csv, train_npz
from bptt.cli.options import SHARE, CommandError, add_common, note
from bptt.cli.text import results, training
from bptt.data import TextStream


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser("train", help="train a model", description="Train a model.")
    kinds = command.add_subparsers(title="kinds of data", metavar="KIND", required=True)
    text = kinds.add_parser(
        "text",
        help="train a character-level model on a text file",
        description="Train a character-level network on a text file by truncated backpropagation through"
        " time.",
    )
    text.add_argument("file", type=Path, metavar="FILE", help="text file")
    text.add_argument("--encoding", metavar="NAME", default="utf-8", help="text encoding of the file")
    held_out = "fraction of the text, at its end, for validation"
    text.add_argument("--validation", type=SHARE, metavar="SHARE", default=0.1, help=held_out)
    training.add_options(text, steps=None)
    results.add_options(text, model=None, plot=None, sample=None)
    text.set_defaults(prompt=None)
    add_common(text, ranks.on_ranks(run))
    train_csv.add(kinds)
    train_npz.add(kinds)


def run(options: argparse.Namespace) -> None:
    """Read the text, train the model, write and print the results."""
    if options.model is None:
        options.model = Path(options.file.stem + ".safetensors")
    whole, *parts = _streams(options)
    results.check(options, [options.file])
    note(
        f"{options.file}: {len(parts[0].ids):,} characters for training, {len(parts[1].ids):,} for"
        f" validation, {len(whole.vocabulary)} symbols."
    )
    trained = training.train(options, *parts)
    if ranks.is_first(options):
        results.deliver(options, trained)


def _streams(options: argparse.Namespace) -> tuple[TextStream, TextStream, TextStream]:
    """Return the whole text, its training part and its validation part."""
    name = str(options.file)
    try:
        symbols = len(TextStream(options.file, batch_size=1, steps=1, encoding=options.encoding).ids)
        held_out = round(symbols * options.validation)
        training.check_length(f"the training part of {name}", symbols - held_out, options)
        training.check_length(f"the validation part of {name}", held_out, options)
        whole = TextStream(
            options.file, batch_size=options.batch, steps=options.truncate, encoding=options.encoding
        )
        return whole, *whole.split(options.validation)
    except OSError as error:
        raise CommandError(
            f"cannot read {name}: {error.strerror}. Fix: pass an existing text file."
        ) from None
    except (ValueError, LookupError) as error:
        raise CommandError(str(error) if name in str(error) else f"{name}: {error}") from None
