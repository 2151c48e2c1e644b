"""Character-level language models: built from options, kept in one file, sampled from."""

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
    """Embedding, recurrent layers, linear layer, as the options of `bptt train` describe them."""
    rng = np.random.default_rng(options.seed)
    return bptt.Sequential(
        bptt.Embedding(symbols, options.embedding, seed=rng),
        *networks.recurrent(options, options.embedding, rng),
        bptt.Linear(options.hidden, symbols, seed=rng),
    )


def about(vocabulary: Vocabulary) -> dict[str, Any]:
    """Extra values of a text model's file."""
    return {"vocabulary": vocabulary.symbols}


def save(path: Path, model: bptt.Module, vocabulary: Vocabulary, figures: dict[str, Any]) -> None:
    """One file that `load` reads, with the figures of its training."""
    bptt.save(path, model, extra={**about(vocabulary), "figures": plain(figures)})


def load(path: Path) -> tuple[bptt.Sequential, Vocabulary]:
    """A model that `save` wrote, and its symbols.

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
    """The model and its symbols, if it is a text model."""
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
