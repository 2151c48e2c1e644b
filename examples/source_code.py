"""
Characters of Python source
===========================

Predict the next character: an LSTM against n-gram models, on the standard library. ::

    pip install 'bptt[plot]'
    python examples/source_code.py   # two minutes

Every machine with Python has this text: the ASCII top-level modules of the library, in order of name, up to 2
million characters. Of every ten files, the fifth is for validation and the tenth for the test. A network
reads all other files as one stream, 16 rows side by side, with truncated backpropagation through time. The
baselines count how often each character follows the previous character (bigram) or the previous four (5-gram,
interpolated Kneser-Ney: see ngrams.py). All models are measured in bits per character on the same characters
of the test files.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import results
from ngrams import KneserNey

import bptt
from bptt.cli.models.ngram import bigram_loss
from bptt.cli.text.corpus import modules
from bptt.cli.text.training import Pieces
from bptt.data import TextStream, Vocabulary
from bptt.diagnose.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array: TypeAlias = npt.NDArray[Any]

CHARACTERS = 2_000_000
ROWS, STEPS = 16, 100
HIDDEN, EMBEDDING, DROPOUT = 256, 32, 0.2
EPOCHS, LR = 3, 4e-3
QUICK = {"characters": 600_000, "hidden": 64, "epochs": 2}
ORDERS = (3, 5, 7)
"""Orders of the Kneser-Ney models. The baseline is the 5-gram model."""
VALIDATIONS = 8


# %%
# Data
# ----
# Whole files go into training, validation or test.


def texts(characters: int) -> dict[str, str]:
    """Divide whole files into "train", "validation" and "test"."""
    # The file with the settings of the build is a table, not source code.
    files = [
        text for name, text in modules(limit=characters).items() if not name.startswith("_sysconfigdata")
    ]
    if len(files) < 10:
        raise SystemExit("this example needs the standard library's source, which this Python has not got")
    parts: dict[str, list[str]] = {"train": [], "validation": [], "test": []}
    for at, text in enumerate(files, 1):
        parts[{5: "validation", 0: "test"}.get(at % 10, "train")].append(text)
    return {name: "".join(part) for name, part in parts.items()}


def judged(stream: TextStream) -> Array:
    """Return the symbols of a stream's rows and the last target, on which all models are measured."""
    return stream.ids[: (len(stream.ids) - 1) // stream.batch_size * stream.batch_size + 1]


# %%
# Baselines
# ---------
# Models that count: bigrams, and Kneser-Ney models of several orders.


def counted(train: TextStream, test: TextStream) -> dict[str, float]:
    """Return the bits per character of the n-gram models."""
    ids, symbols = judged(test), len(train.vocabulary)
    nats = {"bigram": bigram_loss(train.ids, ids[:-1], ids[1:], symbols)}
    for order in ORDERS:
        nats[f"{order}-gram, Kneser-Ney"] = float(KneserNey(train.ids, order, symbols).losses(ids).mean())
    return {name: value / math.log(2) for name, value in nats.items()}


# %%
# Network
# -------
# An LSTM reads 16 rows side by side, with truncated backpropagation through time.


class Report(bptt.Callback):
    """Print a line for every validation."""

    def validation(self, trainer: bptt.Trainer, epoch: int, loss: float) -> None:
        updates = len(trainer.history["loss"])
        print(f"{updates} updates: {loss / math.log(2):.3f} bits per character of validation", flush=True)


def trained(
    train: TextStream,
    validation: TextStream,
    seed: int,
    hidden: int,
    epochs: int,
    precision: str = "highest",
) -> bptt.Trainer:
    """Train the network and return the trainer."""
    rng = np.random.default_rng(seed)
    symbols, updates = len(train.vocabulary), epochs * len(train)
    model = bptt.Sequential(
        bptt.Embedding(symbols, EMBEDDING, seed=rng),
        bptt.LSTM(EMBEDDING, hidden, precision=precision, seed=rng),
        bptt.Dropout(DROPOUT, seed=rng),
        bptt.Linear(hidden, symbols, precision=precision, seed=rng),
    )
    trainer = bptt.Trainer(
        model,
        bptt.CrossEntropy(),
        bptt.Adam(bptt.schedules.Cosine(LR, updates, final=0.02)),
        clip=bptt.ClipNorm(1.0),
        callbacks=[Report()],
        progress=False,
    )
    # For the trainer, each piece is an epoch, so it validates after each piece.
    trainer.fit(Pieces(train, updates, VALIDATIONS), VALIDATIONS, validation)
    return trainer


# %%
# Picture
# -------
# Validation loss of the network, and lines for the counting models.


def draw(figure: Figure, runs: list[bptt.Trainer], counts: dict[str, float]) -> None:
    """Draw the validation loss during training, and the losses of the n-gram models."""
    axes = figure.subplots()
    for k, run in enumerate(runs):
        read = run.history["validation_step"] * ROWS * STEPS / 1e6
        bits = run.history["validation_loss"] / math.log(2)
        axes.plot(read, bits, "o-", color=canvas.BLUE, markersize=4, label=None if k else "LSTM")
    for k, (name, value) in enumerate(counts.items()):
        axes.axhline(value, color=canvas.DARK, linewidth=1.0, linestyle=canvas.STYLES[k], label=name)
    axes.set(
        title="Python source, files not seen in training",
        xlabel="characters read, millions",
        ylabel="bits per character of validation",
    )
    canvas.tidy(axes)
    results.legend_below(axes)


# %%
# Run it
# ------
# One seed.


def main(arguments: Sequence[str] | None = None) -> None:
    options = results.read_options("source_code", "Predicts characters of Python source.", arguments, seeds=1)
    text = texts(QUICK["characters"] if options.quick else CHARACTERS)
    vocabulary = Vocabulary.of("".join(text.values()))
    train, validation, test = (
        TextStream(part, batch_size=ROWS, steps=STEPS, vocabulary=vocabulary) for part in text.values()
    )
    print(", ".join(f"{len(part):,} characters for {name}" for name, part in text.items()))
    hidden, epochs = (QUICK["hidden"], QUICK["epochs"]) if options.quick else (HIDDEN, EPOCHS)
    runs = [trained(train, validation, seed, hidden, epochs) for seed in range(options.seeds)]

    name = f"LSTM, {hidden} units"
    ours = [run.evaluate(test) / math.log(2) for run in runs]
    counts = counted(train, test)
    table = results.Table(["model", "bits per character"])
    table.rows += [
        [name, f"{np.mean(ours):.3f}"],
        *([other, f"{bits:.3f}"] for other, bits in counts.items()),
    ]
    table.note = (
        f"On {len(judged(test)) - 1:,} characters of files unseen, after {len(train.ids):,} of others, "
        f"read {epochs} times. " + results.made_by(options)
    )
    beaten = ("bigram", "5-gram, Kneser-Ney")
    failures = [
        f"{other} ({counts[other]:.3f}, ours {np.mean(ours):.3f})"
        for other in beaten
        if not np.mean(ours) < counts[other]
    ]
    results.deliver(
        options, table, lambda figure: draw(figure, runs, counted(train, validation)), (6.4, 4.4), failures
    )


if __name__ == "__main__":
    main()
