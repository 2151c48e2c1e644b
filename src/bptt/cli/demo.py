"""`bptt demo`: train a text model on the source of the standard library, in about a minute."""

from __future__ import annotations

import argparse
from typing import Any

from bptt.cli.options import add_common, note
from bptt.cli.text import results, training
from bptt.cli.text.corpus import standard_library
from bptt.data import TextStream, Vocabulary

STEPS = 1500


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "demo",
        help="train on the source of Python's standard library, in about a minute",
        description="Train a character-level network on the source of Python's standard library on this"
        " machine, by truncated backpropagation through time. Compare it with unigram and bigram models on"
        " unseen modules, print a sample, and write the model and a picture of the training.",
    )
    training.add_options(command, steps=STEPS)
    results.add_options(command, model="bptt-demo.safetensors", plot="bptt-demo.png", sample=400)
    command.set_defaults(prompt="def ")
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Train a model, evaluate it, print a sample, draw a picture."""
    results.check(options)
    text, unseen = standard_library()
    for part in (text, unseen):
        training.check_length("the standard library's source", len(part), options)
    vocabulary = Vocabulary.of(text + unseen)
    streams = [
        TextStream(part, batch_size=options.batch, steps=options.truncate, vocabulary=vocabulary)
        for part in (text, unseen)
    ]
    note(
        f"Python's standard library: {len(text):,} characters for training, {len(unseen):,} of other"
        f" modules for validation, {len(vocabulary)} symbols."
    )
    results.deliver(options, training.train(options, *streams))
