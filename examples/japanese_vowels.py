"""
Nine speakers who say "ae"
==========================

Sequences of unequal length, from data to picture. ::

    pip install 'bptt[examples]'
    python examples/japanese_vowels.py

The data set JapaneseVowels has 270 utterances to train on and 370 to test on, each 7 to 29 steps of 12
coefficients of a linear prediction. The source is Kudo, Toyama and Shimbo (1999), Multidimensional curve
classification using passing-through regions. The package aeon holds the data.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import bptt

Vector: TypeAlias = npt.NDArray[Any]
Utterances: TypeAlias = list[Vector]
"""Each (T_i, channels)."""

HIDDEN = 32
BATCH = 30
NOISE = 0.4
"""Noise added to the training data, in standard deviations of a channel."""
EPOCHS = 60
RIGHT, SIMPLE = 0.95, 0.93
"""Accuracies in docs/guide/examples.md: of the network, and of the baseline without time."""


# %%
# Data
# ----
# Utterances of unequal length, standardised by the training data.


def load(split: str) -> tuple[Utterances, Vector]:
    """Return the utterances of "train" or "test", and their speakers, 0 to 8."""
    try:
        from aeon.datasets import load_japanese_vowels
    except ImportError:
        raise SystemExit(
            "this example needs the package aeon, which holds the data: pip install 'bptt[examples]'"
        ) from None
    utterances, speakers = load_japanese_vowels(split=split)
    return [utterance.T for utterance in utterances], speakers.astype(np.int64) - 1


def standardised(train: Utterances, test: Utterances) -> tuple[Utterances, Utterances]:
    """Standardize every channel with the mean and variance of the training steps."""
    steps = np.concatenate(train)
    mean, std = steps.mean(0), steps.std(0)
    return [(x - mean) / std for x in train], [(x - mean) / std for x in test]


class Noisy:
    """The same batches with noise on x, drawn in every pass.

    Each step gets noise, and the whole utterance gets one offset. With only 30 utterances per speaker, the
    model would overfit without noise.
    """

    def __init__(self, batches: bptt.data.Ragged, rng: np.random.Generator) -> None:
        self.batches = batches
        self.rng = rng

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[tuple[Vector, Vector, Vector]]:
        for x, target, lengths in self.batches:
            offset = self.rng.standard_normal((1, *x.shape[1:]))
            yield x + NOISE * (offset + self.rng.standard_normal(x.shape)), target, lengths


# %%
# Network
# -------
# A bidirectional network reads each utterance. Noise on the inputs makes up for the small number of
# utterances.


def build(
    channels: int, speakers: int, rng: np.random.Generator, precision: str = "highest"
) -> bptt.Sequential:
    """
    One layer reads both ways, the next one forwards, and its last step decides.

    `Last` right after a bidirectional layer would see a single step of its reverse direction. The second
    layer reads steps that each know the whole utterance.
    """
    return bptt.Sequential(
        bptt.GRU(channels, HIDDEN, bidirectional=True, precision=precision, seed=rng),
        bptt.Dropout(0.5, seed=rng),
        bptt.GRU(2 * HIDDEN, 2 * HIDDEN, precision=precision, seed=rng),
        bptt.Last(),
        bptt.Dropout(0.5, seed=rng),
        bptt.Linear(2 * HIDDEN, speakers, precision=precision, seed=rng),
    )


class Report(bptt.Callback):
    """Print a line for every tenth epoch."""

    def epoch_begin(self, trainer: bptt.Trainer, epoch: int, epochs: int, batches: int | None) -> None:
        self.first, self.epochs = len(trainer.history["loss"]), epochs

    def epoch_end(self, trainer: bptt.Trainer, epoch: int) -> None:
        if (epoch + 1) % 10 == 0 or epoch + 1 == self.epochs:
            loss = np.mean(trainer.history["loss"][self.first :])
            print(f"epoch {epoch + 1} of {self.epochs}: loss {loss:.3f}", flush=True)


def trained(
    utterances: Utterances,
    speakers: Vector,
    epochs: int,
    rng: np.random.Generator,
    precision: str = "highest",
) -> bptt.Sequential:
    """Train a model on these utterances."""
    model = build(utterances[0].shape[1], int(speakers.max()) + 1, rng, precision)
    batches = bptt.data.Ragged(utterances, speakers, batch_size=BATCH, shuffle=True, seed=rng)
    trainer = bptt.Trainer(
        model,
        bptt.CrossEntropy(),
        bptt.Adam(3e-3),
        clip=bptt.ClipNorm(1.0),
        callbacks=[Report()],
        progress=False,
    )
    trainer.fit(Noisy(batches, rng), epochs)
    return model


# %%
# Results and baseline
# --------------------
# The baseline ignores the order of the steps: logistic regression on the mean of each utterance.


def confusion(model: bptt.Sequential, utterances: Utterances, speakers: Vector) -> npt.NDArray[np.int64]:
    """Return the confusion matrix: speakers in rows, predictions in columns."""
    count = int(speakers.max()) + 1
    counts = np.zeros((count, count), np.int64)
    for x, speaker, lengths in bptt.data.Ragged(utterances, speakers, batch_size=BATCH):
        scores, _ = model(x, lengths=lengths)
        np.add.at(counts, (speaker, scores.argmax(-1)), 1)
    return counts


def baseline(train: tuple[Utterances, Vector], test: tuple[Utterances, Vector]) -> float:
    """Return the accuracy of logistic regression on the mean of each utterance, without time."""
    means, speakers = np.stack([x.mean(0) for x in train[0]]), train[1]
    model = bptt.Linear(means.shape[1], int(speakers.max()) + 1, seed=0)
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(0.1), progress=False)
    trainer.fit([(means, speakers)], epochs=300)
    scores, _ = model(np.stack([x.mean(0) for x in test[0]]))
    return float(np.mean(scores.argmax(-1) == test[1]))


def draw(counts: npt.NDArray[np.int64], path: Path) -> bool:
    """Draw the confusion matrix in greys. Return False without matplotlib."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        return False
    figure = Figure(figsize=(4.6, 4.6), layout="constrained")
    axes = figure.subplots()
    share = counts / counts.sum(1, keepdims=True).clip(1)
    axes.imshow(share, cmap="Greys", vmin=0, vmax=1)
    for (row, column), number in np.ndenumerate(counts):
        if number:
            colour = "white" if share[row, column] > 0.5 else "black"
            axes.text(column, row, str(number), ha="center", va="center", color=colour, fontsize=9)
    names = [str(speaker + 1) for speaker in range(len(counts))]
    axes.set_xticks(range(len(counts)), names)
    axes.set_yticks(range(len(counts)), names)
    axes.set(xlabel="taken for", ylabel="speaker", title="Test utterances")
    figure.savefig(path, dpi=130)
    return True


def check(right: float, simple: float) -> None:
    """Compare shares of right answers with docs/guide/examples.md.

    Raises
    ------
    SystemExit
        The page promises more.
    """
    for name, share, least in (("the network", right, RIGHT), ("logistic regression", simple, SIMPLE)):
        if share < least:
            raise SystemExit(
                f"japanese_vowels.py: {name} is right in {share:.1%}; the page says {least:.0%} or more"
            )


# %%
# Run it
# ------
# One seed.


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Tells nine speakers apart by two vowels.")
    parser.add_argument("--seed", type=int, default=0, help="of weights, noise and order (default: 0)")
    parser.add_argument(
        "--epochs", type=int, default=EPOCHS, help=f"passes over the data (default: {EPOCHS})"
    )
    parser.add_argument(
        "--picture", type=Path, default=Path("japanese-vowels.png"), help="where the confusion matrix goes"
    )
    options = parser.parse_args(arguments)

    (train, train_speakers), (test, test_speakers) = load("train"), load("test")
    train, test = standardised(train, test)
    steps = [len(x) for x in (*train, *test)]
    print(f"{len(train)} utterances to train on, {len(test)} to test on, {min(steps)} to {max(steps)} steps")

    begin = time.perf_counter()
    model = trained(train, train_speakers, options.epochs, np.random.default_rng(options.seed))
    seconds = time.perf_counter() - begin

    counts = confusion(model, test, test_speakers)
    right, total = int(np.trace(counts)), int(counts.sum())
    print(f"test accuracy {right / total:.1%} ({right} of {total}), trained in {seconds:.1f} s")
    simple = baseline((train, train_speakers), (test, test_speakers))
    print(f"without time: {simple:.1%}, by logistic regression on the mean of each utterance")
    if draw(counts, options.picture):
        print(f"confusion matrix in {options.picture}")
    else:
        print("no picture of the confusion matrix: it needs matplotlib, pip install 'bptt[examples]'")
    if options.epochs == EPOCHS:
        check(right / total, simple)


if __name__ == "__main__":
    main()
