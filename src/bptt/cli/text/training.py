"""Train a text model for `bptt demo` and `bptt train text`: options and run."""

from __future__ import annotations

import argparse
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.cli.models import fitting, networks
from bptt.cli.models import text as textmodel
from bptt.cli.models.fitted import Fitted
from bptt.cli.models.ngram import bigram_loss, unigram_loss
from bptt.cli.options import COUNT, CommandError, Parser
from bptt.data import TextStream
from bptt.metrics import BitsPerCharacter

Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

ROUNDS = 10  # number of validations if --steps sets the length of the run


def add_options(command: Parser, *, steps: int | None) -> None:
    """Add options for model and training. `steps` is the default length; None: one pass over the text."""
    model = networks.add_options(command, cell="lstm", layers=2, hidden=128)
    model.add_argument(
        "--embedding", type=COUNT, metavar="N", default=64, help="size of the vector of each character"
    )
    training = fitting.add_options(command, rate=8e-3, clip=0.25, patience=0)
    default = f"{steps} updates" if steps else "1 epoch"
    length = training.add_mutually_exclusive_group()
    length.add_argument("--steps", type=COUNT, metavar="N", help=f"number of updates (default: {default})")
    length.add_argument("--epochs", type=COUNT, metavar="N", help="passes over the text, instead of --steps")
    back = "time steps (characters) per window; errors go back to the start of the window"
    training.add_argument("--truncate", type=COUNT, metavar="N", default=64, help=back)
    training.add_argument("--batch", type=COUNT, metavar="N", default=32, help="rows of text per batch")
    command.set_defaults(default_steps=steps)


@dataclass(frozen=True)
class Run:
    """A finished training run, its data, and the losses of model and baselines."""

    name: str
    fitted: Fitted
    training: TextStream
    validation: TextStream
    clip: float | None
    by_epochs: bool
    losses: dict[str, float]
    """Validation losses of "unigram", "bigram" and "model" on the same text, in nats per character."""

    def figures(self) -> dict[str, Any]:
        """Return the figures of the run as JSON values."""
        return {
            "model": self.name,
            "parameters": self.fitted.model.parameter_count,
            "symbols": len(self.training.vocabulary),
            "training_characters": len(self.training.ids),
            "validation_characters": len(self.validation.ids),
            "steps": len(self.fitted.history["loss"]),
            "seconds": round(self.fitted.seconds, 3),
            "clipped_share": float(self.fitted.history["clipped"].mean()),
            "stopped_by_patience": self.fitted.stopped,
            "validation_nats": self.losses,
            "validation_bits": {name: loss / math.log(2) for name, loss in self.losses.items()},
            "beats_bigram": self.losses["model"] < self.losses["bigram"],
        }

    def table(self) -> str:
        """Return a table of the losses of the model and its baselines."""
        names = {"unigram": "unigram model", "bigram": "bigram model", "model": self.name}
        width = max(map(len, names.values()))
        rate = self.fitted.tokens / self.fitted.seconds
        lines = [f"{self.fitted.pace()}, {rate:,.0f} characters/s, validation included"]
        lines.append(f"{'validation loss':<{width}}  nats/char  bits/char")
        for key, loss in self.losses.items():
            lines.append(f"{names[key]:<{width}}  {loss:9.3f}  {loss / math.log(2):9.3f}")
        if self.losses["model"] >= self.losses["bigram"]:
            advice = self.fitted.advice("more --steps or --epochs")
            lines.append(f"The model is not better than the bigram model yet. {advice}")
        else:
            saved = 1 - self.losses["model"] / self.losses["bigram"]
            lines.append(f"The model needs {saved:.0%} fewer bits per character than the bigram model.")
        lines.insert(1, self.fitted.ending("epoch" if self.by_epochs else "part"))
        return "\n".join(lines)


def train(options: argparse.Namespace, training: TextStream, validation: TextStream) -> Run:
    """Make a model from the options and train it by truncated backpropagation through time.

    Raises
    ------
    NonFiniteError
        The gradient became NaN or infinite (see bptt.ClipNorm).
    """
    model = textmodel.build(options, len(training.vocabulary))
    steps = options.steps or (None if options.epochs else options.default_steps)
    if steps:
        epochs = min(ROUNDS, steps)
        data: TextStream | Pieces = Pieces(training, steps, epochs, options.accumulate)
    else:
        data, epochs = training, options.epochs or 1
    fitted = fitting.fit(
        options,
        model,
        bptt.CrossEntropy(),
        data,
        validation,
        epochs=epochs,
        updates=steps,
        about=textmodel.about(training.vocabulary),
        source=fitting.digest(training.ids, validation.ids),
        metrics=(BitsPerCharacter(),),
    )
    losses = {**_baselines(training, validation), "model": fitted.validation_loss}
    clip = options.clip if isinstance(options.clip, float) else None
    name = networks.describe(options)
    return Run(name, fitted, training, validation, clip, not steps, losses)


def check_length(name: str, symbols: int, options: argparse.Namespace) -> None:
    """Raise CommandError if a text is too short for one batch."""
    need = options.batch * options.truncate + 1
    if symbols < need:
        raise CommandError(
            f"{name} must have at least {need} symbols for --batch {options.batch} rows of --truncate"
            f" {options.truncate} time steps; got {symbols}. Fix: pass a smaller --batch or --truncate."
        )


class Pieces:
    """A stream in `count` pieces, with batches for `updates` updates of `accumulate` batches in total.

    At its end, the stream starts over. For the Trainer, each piece is an epoch, so it validates after each
    piece.
    """

    carries_state = True

    def __init__(self, stream: TextStream, updates: int, count: int, accumulate: int = 1) -> None:
        ends = np.linspace(0, updates, count + 1).astype(int) * accumulate
        self._sizes: list[int] = np.diff(ends).tolist()
        self._dealt = 0
        self._stream = stream
        self._batches = self._endless(stream)

    @staticmethod
    def _endless(stream: TextStream) -> Iterator[Batch]:
        while True:
            yield from stream

    def state_dict(self) -> dict[str, Any]:
        """Return the position of the next piece."""
        return {"dealt": self._dealt}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Move to the position that `state_dict` returned."""
        self._dealt = int(state["dealt"])
        rounds, rest = divmod(self._dealt, len(self._sizes))
        before = rounds * sum(self._sizes) + sum(self._sizes[:rest])
        self._batches = self._endless(self._stream)
        for _ in islice(self._batches, before % len(self._stream)):
            pass

    def __len__(self) -> int:
        """Return the number of batches in the next piece."""
        return self._sizes[self._dealt % len(self._sizes)]

    def __iter__(self) -> Iterator[Batch]:
        size = len(self)
        self._dealt += 1
        yield from islice(self._batches, size)


def _baselines(training: TextStream, validation: TextStream) -> dict[str, float]:
    x, y = zip(*validation, strict=True)
    previous, target = (np.concatenate([batch.ravel() for batch in column]) for column in (x, y))
    symbols = len(training.vocabulary)
    return {
        "unigram": unigram_loss(training.ids, target, symbols),
        "bigram": bigram_loss(training.ids, previous, target, symbols),
    }
