"""Character-level language models: make them from options, save, load, and sample from them."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.cli.models import networks
from bptt.cli.options import CommandError, plain
from bptt.data import Vocabulary
from bptt.files.checkpoint import Saved


def build(options: argparse.Namespace, symbols: int) -> bptt.Sequential:
    """Make a network of embedding, recurrent layers and linear layer from the options of `bptt train`."""
    rng = np.random.default_rng(options.seed)
    return bptt.Sequential(
        bptt.Embedding(symbols, options.embedding, seed=rng),
        *networks.recurrent(options, options.embedding, rng),
        bptt.Linear(options.hidden, symbols, precision=options.precision, seed=rng),
    )


def about(vocabulary: Vocabulary) -> dict[str, Any]:
    """Return extra values of the model file, as JSON values."""
    return {"vocabulary": vocabulary.symbols}


def save(path: Path, model: bptt.Module, vocabulary: Vocabulary, figures: dict[str, Any]) -> None:
    """Write a file for `load`, with the figures of the training."""
    bptt.save(path, model, extra={**about(vocabulary), "figures": plain(figures)})


def load(path: Path) -> tuple[bptt.Sequential, Vocabulary]:
    """Read a model that `save` wrote, and its vocabulary.

    Raises
    ------
    CommandError
        The file is missing, or holds a model of another kind.
    CheckpointError
        See bptt.load.
    """
    saved = networks.read(path)
    text_model = of(saved)
    if text_model is None:
        raise CommandError(f"{path} holds no text model. Fix: make one with 'bptt train text FILE'.")
    return text_model


def of(saved: Saved) -> tuple[bptt.Sequential, Vocabulary] | None:
    """Return the model and its vocabulary; None if it is not a text model."""
    model, symbols = saved.model, saved.extra.get("vocabulary")
    if isinstance(model, bptt.Sequential) and isinstance(symbols, str):
        first, last = model[0], model[len(model) - 1]
        if isinstance(first, bptt.Embedding) and isinstance(last, bptt.Linear):
            vocabulary = Vocabulary(symbols)
            if first.num_embeddings == len(vocabulary) == last.out_features:
                return model, vocabulary
    return None


def sample(
    model: bptt.Module,
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
        Above 0. The logits are divided by the temperature. 1 samples from the model's distribution; values
        below 1 prefer the most probable characters.

    Raises
    ------
    ValueError
        `prompt` is empty or holds a character that is not in the vocabulary.
    """
    if not prompt:
        raise ValueError("prompt must hold at least one character; got none. Fix: pass a longer prompt.")
    ids = vocabulary.encode(prompt)[:, None]
    state = None
    for _ in range(length):
        logits, state = model(ids, state)
        last = logits[-1, 0].astype(np.float64)
        with np.errstate(over="ignore"):  # at temperatures near 0, the division may overflow to -inf
            mass = np.cumsum(np.exp((last - last.max()) / temperature))
        # Because of rounding, a draw may equal the total mass. Such a draw selects the last symbol.
        drawn = min(int(np.searchsorted(mass, rng.random() * mass[-1], side="right")), len(mass) - 1)
        ids = np.array([[drawn]], dtype=np.int64)
        yield vocabulary.decode(ids)
