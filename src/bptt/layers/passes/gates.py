"""Names of the gates, in the order of their blocks."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.layers.passes.tape import RecurrentTape
from bptt.layers.recurrent_calls import RecurrentCalls

Values = npt.NDArray[Any]

# The values of a step in the order of computation, so the first one that is not finite is the cause. The
# letters are those of the tape's blocks. "p" is the recurrent part of n, which is not a gate.
_COMPUTED = {
    "LSTM": "ifgcoh",
    "coupled": "fgcoh",
    "no forget gate": "igcoh",
    "GRU": "rzpnh",
    "MGU": "fpnh",
    "MemoryBlocks": "ch",
    "RNN": "h",
}
_ON_TAPE = {
    "LSTM": "ifgo",
    "coupled": "fgo",
    "no forget gate": "igo",
    "GRU": "rznp",
    "MGU": "fnp",
    "MemoryBlocks": "",
    "RNN": "",
}


def gate_names(stack: RecurrentCalls) -> tuple[str, ...]:
    """Return the names of the blocks of `weight_hh` in order.

    These are i f g o, f g o, i g o, r z n, f n, or h for an RNN.
    """
    return tuple(_ON_TAPE[cell_of(stack)].replace("p", "")) or ("h",)


def step_values(tape: RecurrentTape, index: int) -> dict[str, Values]:
    """Return the values of all steps in one layer and direction.

    The values come in the order of computation. Each array has shape (T, B, H). Names are "gate i", "c", "h"
    and so on. "recurrent part of n" is W_hn h + b_hn, or the argument of this product.
    """
    kind = cell_of(tape.owner)
    blocks: dict[str, Values] = {}
    if _ON_TAPE[kind]:
        blocks = dict(zip(_ON_TAPE[kind], np.split(tape.gates[index], len(_ON_TAPE[kind]), -1), strict=True))
    if tape.c is not None:
        blocks["c"] = tape.c[index]
    blocks["h"] = tape.h[index]
    return {_words(letter): blocks[letter] for letter in _COMPUTED[kind]}


def cell_of(stack: RecurrentCalls) -> str:
    """Return "LSTM", "coupled", "no forget gate", "GRU", "MGU" or "RNN".

    A subclass that the user wrote has the cell of its base class.
    """
    if getattr(stack, "coupled", False):
        return "coupled"
    if not getattr(stack, "forget_gate", True):
        return "no forget gate"
    return next(cls.__name__ for cls in type(stack).__mro__ if cls.__name__ in _COMPUTED)


def _words(letter: str) -> str:
    if letter in "hc":
        return letter
    return "recurrent part of n" if letter == "p" else f"gate {letter}"
