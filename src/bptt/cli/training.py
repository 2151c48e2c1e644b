"""How `bptt demo` and `bptt train text` train a text model: the options and the run."""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.cli import textmodel
from bptt.cli.ngram import bigram_loss, unigram_loss
from bptt.cli.options import CELLS, COUNT, POSITIVE, number
from bptt.data import Shard, TextStream

Batch = tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]

ROUNDS = 10  # validations in a run whose length is given in steps
FINAL_RATE = 0.05  # the learning rate falls along a cosine to this share of itself


def add_options(command: argparse.ArgumentParser, *, steps: int | None) -> None:
    """Model and training; `steps` is the default length, None for one pass over the text."""
    model = command.add_argument_group("model")
    model.add_argument("--cell", choices=list(CELLS), default="lstm", help="kind of recurrent layer")
    model.add_argument("--layers", type=COUNT, metavar="N", default=2, help="recurrent layers")
    model.add_argument("--hidden", type=COUNT, metavar="N", default=128, help="hidden units per layer")
    model.add_argument(
        "--embedding", type=COUNT, metavar="N", default=64, help="width of a character's vector"
    )
    share = number(float, minimum=0, below=1)
    model.add_argument("--dropout", type=share, metavar="P", default=0.0, help="dropout after each layer")

    training = command.add_argument_group("training")
    default = f"{steps} steps" if steps else "1 epoch"
    length = training.add_mutually_exclusive_group()
    length.add_argument(
        "--steps", type=COUNT, metavar="N", help=f"parameter updates in all (default: {default})"
    )
    length.add_argument("--epochs", type=COUNT, metavar="N", help="passes over the text instead")
    training.add_argument("--truncate", type=COUNT, metavar="N", default=64, help="steps that errors go back")
    training.add_argument(
        "--batch", type=COUNT, metavar="N", default=32, help="rows of text read side by side"
    )
    training.add_argument(
        "--clip", type=POSITIVE, metavar="X", default=0.25, help="limit of the gradient's 2-norm"
    )
    training.add_argument(
        "--learning-rate", type=POSITIVE, metavar="X", default=8e-3, help="Adam's, at the start"
    )
    command.set_defaults(default_steps=steps, comm=None)


@dataclass(frozen=True)
class Run:
    """A finished training: the model, what it was trained and judged on, and how it went."""

    name: str
    model: bptt.Sequential
    training: TextStream
    validation: TextStream
    history: bptt.History
    seconds: float
    clip: float
    losses: dict[str, float]
    """Validation loss, nats per character, of "unigram", "bigram" and "model", on the same characters."""

    def figures(self) -> dict[str, Any]:
        """The run in numbers, JSON-safe."""
        return {
            "model": self.name,
            "parameters": int(self.model.flat_parameters.size),
            "symbols": len(self.training.vocabulary),
            "training_characters": len(self.training.ids),
            "validation_characters": len(self.validation.ids),
            "steps": len(self.history["loss"]),
            "seconds": round(self.seconds, 3),
            "clipped_share": float(self.history["clipped"].mean()),
            "validation_nats": self.losses,
            "validation_bits": {name: loss / math.log(2) for name, loss in self.losses.items()},
            "beats_bigram": self.losses["model"] < self.losses["bigram"],
        }

    def table(self) -> str:
        """The figures for people, ours beside the models to beat."""
        names = {"unigram": "unigram model", "bigram": "bigram model", "model": self.name}
        width = max(map(len, names.values()))
        steps = len(self.history["loss"])
        rate = steps * self.training.batch_size * self.training.steps / self.seconds
        lines = [f"{steps} steps in {self.seconds:.1f} s, {rate:,.0f} characters/s, validation included"]
        lines.append(f"{'validation loss':<{width}}  nats/char  bits/char")
        for key, loss in self.losses.items():
            lines.append(f"{names[key]:<{width}}  {loss:9.3f}  {loss / math.log(2):9.3f}")
        if self.losses["model"] >= self.losses["bigram"]:
            lines.append("Not yet better than the bigram model: train longer, with --steps or --epochs.")
        return "\n".join(lines)


def train(options: argparse.Namespace, training: TextStream, validation: TextStream) -> Run:
    """Build the model that the options describe; train it by truncated backpropagation through time.

    Raises
    ------
    NonFiniteError
        The gradient became NaN or infinite (see bptt.ClipNorm).
    """
    model = textmodel.build(options, len(training.vocabulary))
    steps = options.steps or (None if options.epochs else options.default_steps)
    if steps:
        epochs, total = min(ROUNDS, steps), steps
        data: TextStream | Pieces = Pieces(training, steps, epochs)
    else:
        epochs = options.epochs or 1
        data, total = training, epochs * len(training)

    def rate(step: int) -> float:
        cosine = 0.5 + 0.5 * math.cos(math.pi * step / total)
        return float(options.learning_rate * (FINAL_RATE + (1.0 - FINAL_RATE) * cosine))

    comm = options.comm
    trainer = bptt.Trainer(
        model, bptt.CrossEntropy(), bptt.Adam(lr=rate), clip=bptt.ClipNorm(options.clip), comm=comm
    )
    start = time.perf_counter()
    history = trainer.fit(Shard(data, comm), epochs=epochs, validation=Shard(validation, comm))
    seconds = time.perf_counter() - start
    layers = "1 layer" if options.layers == 1 else f"{options.layers} layers"
    name = f"{options.cell.upper()}, {layers} of {options.hidden}"
    losses = {**_baselines(training, validation), "model": float(history["validation_loss"][-1])}
    return Run(name, model, training, validation, history, seconds, options.clip, losses)


class Pieces:
    """A stream dealt out in `count` pieces, `batches` in all; it starts over where it ends.

    To the Trainer each piece is an epoch, so that it validates after each.
    """

    carries_state = True

    def __init__(self, stream: TextStream, batches: int, count: int) -> None:
        ends = np.linspace(0, batches, count + 1).astype(int)
        self._sizes: list[int] = np.diff(ends).tolist()
        self._dealt = 0
        self._batches = self._endless(stream)

    @staticmethod
    def _endless(stream: TextStream) -> Iterator[Batch]:
        while True:
            yield from stream

    def __len__(self) -> int:
        """Batches in the next piece."""
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
