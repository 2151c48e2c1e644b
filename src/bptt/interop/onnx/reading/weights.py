"""Weights of recurrent nodes, written into the parameters of a layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.interop.gate_order import BPTT, ONNX, PEEPHOLES_BPTT, PEEPHOLES_ONNX
from bptt.interop.onnx.reading.tensors import Rows

Array = npt.NDArray[Any]


@dataclass(frozen=True)
class DirectionWeights:
    """W (G*H, I), R (G*H, H), B (2*G*H) and P (3*H) of one direction, with the gates in the order of ONNX."""

    W: Array | Rows
    R: Array | Rows
    B: Array | None
    P: Array | None


@dataclass(frozen=True)
class Weights:
    """The weights of one recurrent node.

    Attributes
    ----------
    cell : str
        "rnn", "lstm" or "gru".
    hidden_size : int
    coupled : bool
        Whether f = 1 - i. bptt has i = 1 - f, so f has the weights of i with the opposite sign.
    directions : tuple of DirectionWeights
    """

    cell: str
    hidden_size: int
    coupled: bool
    directions: tuple[DirectionWeights, ...]

    @property
    def input_size(self) -> int:
        return int(self.directions[0].W.shape[1])

    @property
    def bias(self) -> bool:
        return any(direction.B is not None for direction in self.directions)

    @property
    def peephole(self) -> bool:
        return any(direction.P is not None for direction in self.directions)

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.directions[0].W.dtype

    def write(self, parameters: Mapping[str, Array], layer: int) -> None:
        """Write all parameters of one layer of a stack. Missing biases and peepholes are zero."""
        ours = "fgo" if self.coupled else BPTT[self.cell]
        theirs = ONNX[self.cell]
        width = len(theirs) * self.hidden_size
        for direction, suffix in zip(self.directions, ("", "_reverse"), strict=False):
            end = f"_l{layer}{suffix}"
            pairs: list[tuple[str, Array | Rows]] = [
                ("weight_ih" + end, direction.W),
                ("weight_hh" + end, direction.R),
            ]
            if direction.B is not None:
                pairs += [("bias_ih" + end, direction.B[:width]), ("bias_hh" + end, direction.B[width:])]
            elif self.bias:
                parameters["bias_ih" + end][...] = parameters["bias_hh" + end][...] = 0.0
            for name, source in pairs:
                self._copy(parameters[name], source, ours, theirs)
            if direction.P is not None:
                rows = PEEPHOLES_BPTT.replace("i", "") if self.coupled else PEEPHOLES_BPTT
                peepholes = parameters["weight_peephole" + end].reshape(-1)
                self._copy(peepholes, direction.P, rows, PEEPHOLES_ONNX)
            elif self.peephole:
                parameters["weight_peephole" + end][...] = 0.0

    def _copy(self, target: Array, source: Array | Rows, ours: str, theirs: str) -> None:
        H = self.hidden_size
        for block, gate in enumerate(ours):
            negative = self.coupled and gate == "f"
            start = theirs.index("i" if negative else gate) * H
            rows = target[block * H : (block + 1) * H]
            if isinstance(source, Rows):
                source.copy_to(rows, start)
            else:
                copy(rows, source[start : start + H])
            if negative:
                np.negative(rows, out=rows)


def copy(target: Array, source: Array) -> None:
    """Copy an array that may be unaligned. Bytes are copied faster than unaligned numbers."""
    large = source.nbytes > 2**16 and source.dtype == target.dtype
    if large and source.flags.c_contiguous and target.flags.c_contiguous:
        target.reshape(-1).view(np.uint8)[...] = source.reshape(-1).view(np.uint8)
    else:
        target[...] = source
