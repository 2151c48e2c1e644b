"""Strings of the embedded Reber grammar (Hochreiter and Schmidhuber 1997, experiment 1)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

SYMBOLS = "BTPSXVE"

REBER: tuple[dict[str, int], ...] = (
    {"B": 1},
    {"T": 2, "P": 3},
    {"S": 2, "X": 4},
    {"T": 3, "V": 5},
    {"X": 3, "S": 6},
    {"P": 4, "V": 6},
    {"E": 7},
)
"""The Reber grammar: from each state, the legal symbols and the states that follow. State 7 is the end."""

END = 7


def embedded_string(rng: np.random.Generator) -> str:
    """Return a random string: B, then T or P, a string of the Reber grammar, the same T or P, and E."""
    branch = "TP"[rng.integers(2)]
    inner, state = "", 0
    while state != END:
        symbols = list(REBER[state])
        symbol = symbols[rng.integers(len(symbols))]
        inner, state = inner + symbol, REBER[state][symbol]
    return f"B{branch}{inner}{branch}E"


def legal_next(string: str) -> list[set[str]]:
    """Return the symbols that may follow each symbol of an embedded string, but for its last one."""
    branch, inner = string[1], string[2:-2]
    legal, state = [{"T", "P"}, set(REBER[0])], 0
    for symbol in inner:
        state = REBER[state][symbol]
        legal.append({branch} if state == END else set(REBER[state]))
    return [*legal, {"E"}]


@dataclass(frozen=True)
class Strings:
    """Strings as arrays, padded to the longest one: T steps of N strings.

    Attributes
    ----------
    x : ndarray
        (T, N, 7), one-hot symbols without the last one.
    target : ndarray
        (T, N), the next symbol.
    legal : ndarray of bool
        (T, N, 7), the symbols that may come next.
    lengths : ndarray
        (N,), the number of steps.
    """

    x: npt.NDArray[np.float32]
    target: npt.NDArray[np.int64]
    legal: npt.NDArray[np.bool_]
    lengths: npt.NDArray[np.int64]


def encode(strings: Sequence[str]) -> Strings:
    """Return the strings as arrays."""
    lengths = np.array([len(string) - 1 for string in strings])
    steps, count = int(lengths.max()), len(strings)
    x = np.zeros((steps, count, len(SYMBOLS)), np.float32)
    target = np.zeros((steps, count), np.int64)
    legal = np.zeros((steps, count, len(SYMBOLS)), bool)
    for n, string in enumerate(strings):
        for t, allowed in enumerate(legal_next(string)):
            x[t, n, SYMBOLS.index(string[t])] = 1
            target[t, n] = SYMBOLS.index(string[t + 1])
            legal[t, n, [SYMBOLS.index(symbol) for symbol in allowed]] = True
    return Strings(x, target, legal, lengths)


def training_and_test(rng: np.random.Generator, count: int = 256) -> tuple[list[str], list[str]]:
    """Return random training strings, and test strings that are not among them. Both may hold repeats."""
    training = [embedded_string(rng) for _ in range(count)]
    seen, test = set(training), list[str]()
    while len(test) < count:
        string = embedded_string(rng)
        if string not in seen:
            test.append(string)
    return training, test


def right(y: npt.NDArray[np.floating], strings: Strings) -> npt.NDArray[np.bool_]:
    """Return for each string whether the legal next symbols are the most active outputs at every step.

    Parameters
    ----------
    y : ndarray
        (T, N, 7), outputs of a network.
    strings : Strings
    """
    least_legal = np.where(strings.legal, y, np.inf).min(-1)
    most_illegal = np.where(strings.legal, -np.inf, y).max(-1)
    beyond = np.arange(len(y))[:, None] >= strings.lengths
    return np.asarray((beyond | (least_legal > most_illegal)).all(0))
