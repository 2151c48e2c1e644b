"""Make recurrent networks from options, and read model files."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

import bptt
from bptt.arguments import quantity
from bptt.cli.options import CELLS, COUNT, CommandError, Parser, number
from bptt.files.checkpoint import Saved, read_checkpoint


def add_options(command: Parser, *, cell: str, layers: int, hidden: int) -> argparse._ArgumentGroup:
    """Add the options of the network, with these defaults. Return their group."""
    group = command.add_argument_group("model")
    group.add_argument("--cell", choices=list(CELLS), default=cell, help="recurrent cell")
    group.add_argument("--layers", type=COUNT, metavar="N", default=layers, help="number of recurrent layers")
    group.add_argument("--hidden", type=COUNT, metavar="N", default=hidden, help="hidden units per layer")
    fraction = number(float, minimum=0, below=1)
    group.add_argument(
        "--dropout",
        type=fraction,
        metavar="P",
        default=0.0,
        help="probability that dropout sets an output of a layer to 0",
    )
    rounding = "bfloat16 rounds the operands of products, for speed; see `bptt info`"
    group.add_argument("--precision", choices=("highest", "bfloat16"), default="highest", help=rounding)
    command.set_defaults(bidirectional=False)
    return group


def recurrent(options: argparse.Namespace, inputs: int, rng: np.random.Generator) -> list[bptt.Module]:
    """Return recurrent layers for `inputs` numbers per step, followed by dropout if there is any."""
    kind, special = CELLS[options.cell]
    layers: list[bptt.Module] = [
        kind(
            inputs,
            options.hidden,
            options.layers,
            dropout=options.dropout if options.layers > 1 else 0.0,
            bidirectional=options.bidirectional,
            precision=options.precision,
            seed=rng,
            **special,
        )
    ]
    return [*layers, bptt.Dropout(options.dropout, seed=rng)] if options.dropout else layers


def many_to_one(options: argparse.Namespace, inputs: int, outputs: int) -> bptt.Sequential:
    """Return a network from sequences (T, B, inputs) to one output row per sequence, (B, outputs)."""
    rng = np.random.default_rng(options.seed)
    layers, *drop = recurrent(options, inputs, rng)
    end, width = (bptt.Ends(), 2 * options.hidden) if options.bidirectional else (bptt.Last(), options.hidden)
    linear = bptt.Linear(width, outputs, precision=options.precision, seed=rng)
    return bptt.Sequential(layers, end, *drop, linear)


def add_bidirectional(group: argparse._ArgumentGroup) -> None:
    """Add --bidirectional, for networks that read whole sequences."""
    both = "read each sequence in both directions"
    group.add_argument("--bidirectional", action="store_true", help=both)


def describe(options: argparse.Namespace) -> str:
    """Return a short description, such as "LSTM, 2 layers of 128"."""
    layers = quantity(options.layers, "layer")
    ways = ", both ways" if options.bidirectional else ""
    rounding = "" if options.precision == "highest" else f", {options.precision}"
    return f"{options.cell.upper()}, {layers} of {options.hidden}{ways}{rounding}"


def read(path: Path) -> Saved:
    """Read a model file.

    Raises
    ------
    CommandError
        The file cannot be read.
    CheckpointError
        See bptt.load.
    """
    try:
        return read_checkpoint(path)
    except OSError as error:
        raise CommandError(
            f"cannot read {path}: {error.strerror}. Fix: pass a file that bptt.save wrote."
        ) from None
