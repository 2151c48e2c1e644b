"""Character-level language models: built from options, kept in one file, sampled from."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.cli.options import CELLS, CommandError
from bptt.data import Vocabulary
from bptt.train.checkpoint import read_checkpoint


def build(options: argparse.Namespace, symbols: int) -> bptt.Sequential:
    """Embedding, recurrent layers, linear layer, as the options of `bptt train` describe them."""
    kind, special = CELLS[options.cell]
    rng = np.random.default_rng(options.seed)
    between = options.dropout if options.layers > 1 else 0.0
    layers: list[bptt.Module] = [
        bptt.Embedding(symbols, options.embedding, seed=rng),
        kind(options.embedding, options.hidden, options.layers, dropout=between, seed=rng, **special),
        bptt.Linear(options.hidden, symbols, seed=rng),
    ]
    if options.dropout:
        layers.insert(2, bptt.Dropout(options.dropout, seed=rng))
    return bptt.Sequential(*layers)


def save(path: Path, model: bptt.Sequential, vocabulary: Vocabulary, figures: dict[str, Any]) -> None:
    """One file that `load` reads, with the figures of its training."""
    bptt.save(path, model, extra={"vocabulary": vocabulary.symbols, "figures": figures})


def load(path: Path) -> tuple[bptt.Sequential, Vocabulary]:
    """A model that `save` wrote, and its symbols.

    Raises
    ------
    CommandError
        The file is missing, or holds a model of another kind.
    CheckpointError
        See bptt.load.
    """
    try:
        saved = read_checkpoint(path)
    except OSError as error:
        raise CommandError(f"cannot read {path}: {error.strerror}") from None
    model, symbols = saved.model, saved.extra.get("vocabulary")
    if isinstance(model, bptt.Sequential) and isinstance(symbols, str):
        first, last = model[0], model[len(model) - 1]
        if isinstance(first, bptt.Embedding) and isinstance(last, bptt.Linear):
            vocabulary = Vocabulary(symbols)
            if first.n == len(vocabulary) == last.out_features:
                return model, vocabulary
    raise CommandError(f"{path} holds no text model; make one with 'bptt train text FILE'")


def sample(
    model: bptt.Sequential,
    vocabulary: Vocabulary,
    prompt: str,
    length: int,
    temperature: float,
    rng: np.random.Generator,
) -> Iterator[str]:
    """Yield `length` characters that continue `prompt`.

    Parameters
    ----------
    temperature : float
        Above 0: divides the logits. Below 1 prefers what the model is surest of; 1 samples its distribution.

    Raises
    ------
    ValueError
        `prompt` is empty or holds a character that the model has not seen.
    """
    if not prompt:
        raise ValueError("prompt: expected at least one character")
    ids = vocabulary.encode(prompt)[:, None]
    state = None
    for _ in range(length):
        logits, state = model(ids, state)
        surest = logits[-1, 0].astype(np.float64)
        with np.errstate(over="ignore"):  # near 0 the division may overflow: to -inf, whose mass is 0
            mass = np.cumsum(np.exp((surest - surest.max()) / temperature))
        # A draw of exactly the total, which rounding allows, still belongs to the last symbol.
        chosen = min(int(np.searchsorted(mass, rng.random() * mass[-1], side="right")), len(mass) - 1)
        ids = np.array([[chosen]], dtype=np.int64)
        yield vocabulary.decode(ids)
