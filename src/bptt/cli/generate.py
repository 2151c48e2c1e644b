"""`bptt generate MODEL`: generate text with a model of `bptt train text` or `bptt demo`."""

from __future__ import annotations

import argparse
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np

from bptt.cli.models import text as textmodel
from bptt.cli.options import COUNT, POSITIVE, CommandError, add_common, print_json
from bptt.cli.text.results import TEMPERATURE, first_prompt


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "generate",
        help="print text from a trained model",
        description="Print text drawn from a trained model.",
    )
    command.add_argument(
        "model", type=Path, metavar="MODEL", help="model file that 'bptt train text' or 'bptt demo' wrote"
    )
    command.add_argument("--prompt", metavar="TEXT", help="text to continue (default: a new line)")
    command.add_argument("--length", type=COUNT, metavar="N", default=500, help="characters to add")
    heat = "below 1: more predictable text; above 1: more varied text"
    command.add_argument("--temperature", type=POSITIVE, metavar="X", default=TEMPERATURE, help=heat)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Print the prompt, and then each character when the model has generated it."""
    model, vocabulary = textmodel.load(options.model)
    prompt = options.prompt or ""
    unknown = sorted(set(prompt) - set(vocabulary.symbols))
    if unknown:
        raise CommandError(
            f"--prompt must hold only the {len(vocabulary)} symbols of the model; got {unknown[0]!r}."
            " Fix: leave other characters out."
        )
    start = prompt or first_prompt(vocabulary)
    rng = np.random.default_rng(options.seed)
    characters = textmodel.sample(model, vocabulary, start, options.length, options.temperature, rng)
    if options.json:
        print_json({"prompt": prompt, "text": "".join(characters)})
        return
    for piece in chain([prompt], characters):
        print(piece, end="", flush=True)
    print()
