"""The one list behind the tests of recurrent layers: cells, types, instruction sets, stacks and sizes.

A cell or an instruction set that is added here, or that the core lists, gets the whole suite.
"""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

import bptt

CELLS: dict[str, tuple[str, dict[str, Any]]] = {
    "rnn_tanh": ("RNN", {"nonlinearity": "tanh"}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}),
    "lstm": ("LSTM", {}),
    "lstm_peephole": ("LSTM", {"peephole": True}),
    "lstm_coupled": ("LSTM", {"coupled": True}),
    "gru": ("GRU", {}),
    "gru_reset_before": ("GRU", {"reset_after": False}),
    "mgu": ("MGU", {}),
}
DTYPES = ("float32", "float64")
ISAS = tuple(bptt.available_isas())
BACKENDS = {"native": bptt, "reference": bptt.reference}

STACKS = ((1, 1), (1, 2), (2, 1), (2, 2))
"""(num_layers, directions)."""

SIZES = (1, 2, 7, 15, 16, 17, 33)
"""One, two, and around one, two and four vectors of any instruction set: every tail is met."""

LENGTHS = ((3, 2), (1, 1), (5, 3), (2, 13), (4, 1), (1, 7), (2, 2), (3, 1), (5, 2), (1, 13), (4, 7))
"""(T, B). Their number shares no factor with those of the other lists, so that all combinations turn up."""

OPTIONS: dict[str, dict[str, Any]] = {
    "no_bias": {"bias": False},
    "batch_first": {"batch_first": True},
    "dropout": {"dropout": 0.4},
    "dropout_bidirectional": {"dropout": 0.4, "bidirectional": True},
    "three_layers": {"num_layers": 3},
    "dropout_three_layers": {"dropout": 0.4, "num_layers": 3},
    "no_bias_bidirectional": {"bias": False, "bidirectional": True},
}
"""Each with two layers unless it says otherwise."""


_EVERYWHERE: dict[str, dict[str, Any]] = {
    "layer_norm": {"layer_norm": True},
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "input_dropout": {"input_dropout": 0.3},
    "zoneout": {"zoneout": 0.3},
}
VARIANTS: dict[str, dict[str, dict[str, Any]]] = {
    "RNN": {
        "relu": {"nonlinearity": "relu"},
        "silu": {"nonlinearity": "silu"},
        "gate_clip": {"gate_clip": 0.6},
    }
    | _EVERYWHERE,
    "GRU": {
        "reset_before": {"reset_after": False},
        "gelu": {"activations": ("hard_sigmoid", "gelu")},
        "gate_clip": {"gate_clip": 0.6},
    }
    | _EVERYWHERE,
    "MGU": {
        "silu": {"activations": (("affine", 0.1, 0.5), "silu")},
        "gate_clip": {"gate_clip": 0.6},
    }
    | _EVERYWHERE,
    "LSTM": {
        "peephole": {"peephole": True},
        "coupled": {"coupled": True},
        "no_forget_gate": {"forget_gate": False},
        "projection": {"proj_size": 3},
        "gate_biases": {"forget_bias": 1.5, "input_bias": -0.5, "output_bias": 0.25},
        "cell_clip": {"cell_clip": 0.4},
        "gate_clip": {"gate_clip": 0.6},
        "gate_clip_spec": {"gate_clip": 0.3, "clip_mode": "spec"},
        "hard_sigmoid": {"activations": ("hard_sigmoid", "tanh", "softsign")},
        "softplus": {"activations": ("hard_sigmoid_keras3", "softplus", "elu")},
        "scaled_tanh": {"activations": ("sigmoid", ("scaled_tanh", 1.7159, 2 / 3), ("leaky_relu", 0.1))},
        "relu": {"activations": (("affine", 0.1, 0.5), "relu", ("thresholded_relu", 0.05))},
        "gelu": {"activations": ("silu", "gelu", "linear")},
        "zoneout_h": {"zoneout": (0.3, 0.0)},
        "zoneout_c": {"zoneout": (0.0, 0.4)},
    }
    | _EVERYWHERE,
}
"""The options of each class of layer, besides its sizes."""

CONTRADICTIONS = (
    {"coupled", "gate_biases"},
    {"coupled", "no_forget_gate"},
    {"no_forget_gate", "gate_biases"},
)


def _variant(kind: str, names: Iterable[str]) -> tuple[str, tuple[str, dict[str, Any]]]:
    """Return an id, and class and options."""
    options = {key: value for name in names for key, value in VARIANTS[kind][name].items()}
    return f"{kind}-{'+'.join(names)}", (kind, options)


def _pairs(kind: str) -> Iterator[tuple[str, str]]:
    """Yield the names of two variants that name different options."""
    for (one, first), (other, second) in itertools.combinations(VARIANTS[kind].items(), 2):
        if not first.keys() & second.keys() and {one, other} not in CONTRADICTIONS:
            yield one, other


DEGENERATE = ({"no_forget_gate", "cell_clip", "layer_norm"}, {"softplus", "cell_clip", "layer_norm"})
"""A cell state that only grows arrives at its bound in all units. Layer norm of equal numbers is rounding."""

MOST = 5
"""Variants in one layer. With more, clipping leaves rows so even that their layer norm is mostly rounding."""


def _combined(kind: str) -> Iterator[tuple[str, ...]]:
    """Yield few tuples of many names that together hold each of the pairs."""
    allowed = {frozenset(pair) for pair in _pairs(kind)}
    missing = set(allowed)
    while missing:
        names: tuple[str, ...] = ()
        candidates = sorted(VARIANTS[kind])
        while candidates and len(names) < MOST:  # add the one with the most missing pairs
            taken = {name: sum({name, other} in missing for other in names) for name in candidates}
            left = {name: sum({name, other} in missing for other in candidates) for name in candidates}
            best = max(candidates, key=lambda name: (taken[name], left[name]))
            names += (best,)
            candidates = [
                name
                for name in candidates
                if {name, best} in allowed and not any({*names, name} >= each for each in DEGENERATE)
            ]
        missing -= {frozenset(pair) for pair in itertools.combinations(names, 2)}
        yield names


SINGLE = dict(_variant(kind, (name,)) for kind in VARIANTS for name in VARIANTS[kind])
"""Class and options of each variant alone."""
PAIRS = dict(_variant(kind, names) for kind in VARIANTS for names in _pairs(kind))
"""Class and options of each pair of variants that name different options."""
COMBINED = dict(_variant(kind, names) for kind in VARIANTS for names in _combined(kind))
"""Class and options of few layers with up to `MOST` variants each. Together they hold each pair."""


@dataclass(frozen=True)
class Case:
    """A layer of one cell and the sizes of its input."""

    cell: str
    layers: int
    directions: int
    I: int
    H: int
    T: int
    B: int

    def __str__(self) -> str:
        return f"{self.cell}-L{self.layers}D{self.directions}-I{self.I}H{self.H}T{self.T}B{self.B}"

    @property
    def axes(self) -> tuple[Any, ...]:
        """What `grids.pairwise` combines."""
        return dataclasses.astuple(self)

    def build(self, dtype: str, backend: str = "native", **options: Any) -> bptt.Module:
        """The layer, its parameters drawn from a fixed seed."""
        stack = {"num_layers": self.layers, "bidirectional": self.directions == 2}
        return build(self.cell, self.I, self.H, backend, dtype=dtype, **stack | options)

    def x(self, seed: int = 1) -> np.ndarray:
        """(T, B, I)."""
        return np.random.default_rng(seed).standard_normal((self.T, self.B, self.I))

    def state(self, seed: int = 2) -> Any:
        """An initial state as the layer takes it."""
        shape = (self.layers * self.directions, self.B, self.H)
        return state(self.cell, shape, seed)


def build(cell: str, I: int, H: int, backend: str = "native", **options: Any) -> bptt.Module:
    """A layer of the cell, its parameters drawn from a fixed seed."""
    name, own = CELLS[cell]
    return getattr(BACKENDS[backend], name)(I, H, **own, **{"seed": 0} | options)


def state(cell: str, shape: tuple[int, ...], seed: int = 2) -> Any:
    """An array of the shape, for an LSTM a pair of them."""
    rng = np.random.default_rng(seed)
    h = 0.5 * rng.standard_normal(shape)
    return (h, rng.standard_normal(shape)) if cell.startswith("lstm") else h


def _cases() -> Iterator[Case]:
    count = 0
    for cell in CELLS:
        for layers, directions in STACKS:
            for k, H in enumerate(SIZES):
                for I in (H, SIZES[(k + 3) % len(SIZES)]):
                    T, B = LENGTHS[count % len(LENGTHS)]
                    yield Case(cell, layers, directions, I, H, T, B)
                    count += 1


CASES = tuple(_cases())
