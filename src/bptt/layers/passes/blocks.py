"""The compiled core as a backend of `MemoryBlocks`."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import Floats, read_only
from bptt.layers.passes.backend import Backed, Call, Errors, Passed
from bptt.layers.passes.step_by_step import Sized, StepByStep

CHUNK_STEPS = 256
"""Steps whose gradients the core sums together."""


class BlocksTape:
    """The arrays that a forward pass of `MemoryBlocks` saves."""

    dh_norm: npt.NDArray[np.float64] | None = None
    dc_norm: npt.NDArray[np.float64] | None = None
    _errors: Floats | None = None

    def __init__(self, inputs: _core.BlockInputs, states: _core.BlockStates) -> None:
        for array in states:
            array.flags.writeable = False
        self.inputs, self.states = inputs, states

    @property
    def shape(self) -> tuple[int, int]:
        """(T, B)."""
        _, x, _, _, active, batch, _ = self.inputs
        return x.shape[:2] if active is None else (len(active), batch)

    def h(self, layer: int, direction: int) -> Floats:
        return self.states[0]

    def c(self, layer: int, direction: int) -> Floats:
        return self.states[1]

    def gates(self, layer: int, direction: int) -> npt.NDArray[Any]:
        y, c, inner = self.states
        M = y.shape[-1]
        gates = np.concatenate([inner[..., :M], c[..., M:]], axis=-1)
        gates.flags.writeable = False
        return gates

    def dh(self, layer: int, direction: int) -> Floats | None:
        return self._errors

    def keep(self, norms: npt.NDArray[np.float64], errors: Floats | None) -> None:
        """Keep the results of a backward pass."""
        norms.flags.writeable = False
        if errors is not None:
            errors.flags.writeable = False
        (self.dh_norm, self.dc_norm), self._errors = norms, errors


class Blocks(NamedTuple):
    """Memory blocks in the compiled core, with the current vectors of the layer."""

    layer: Sized
    sizes: _core.BlockSizes
    parameters: Floats
    gradients: Floats

    def infer(self, call: Call) -> Passed:
        return _core.blocks_forward(self.sizes, _inputs(call, self.parameters))[:3]

    def forward(self, call: Call) -> tuple[Passed, BlocksTape]:
        parameters = self.parameters if call.parameters is None else call.parameters
        h0, c0 = (None if state is None else read_only(state) for state in (call.h0, call.c0))
        kept = call._replace(x=read_only(call.x), h0=h0, c0=c0)
        inputs = _inputs(kept, read_only(parameters))
        y, h, c, cells, inner = _core.blocks_forward(self.sizes, inputs)
        return (y, h, c), BlocksTape(inputs, (y, cells, inner))

    def backward(self, tape: Any, errors: Errors) -> Backed:
        dx, dh, dc, norms, kept = _core.blocks_backward(
            self.sizes,
            tape.inputs,
            tape.states,
            self.gradients if errors.train else None,
            (
                errors.dy,
                errors.dh,
                errors.dc,
                errors.steps,
                errors.need_dx,
                errors.clip.value,
                errors.clip.norm,
                errors.keep_errors,
                errors.cut,
                errors.norms_of_rows,
            ),
        )
        tape.keep(norms, kept)
        return dx, dh, dc

    def chunk_steps(self, batch: int) -> int:
        return CHUNK_STEPS

    def freeze(self, precision: str | None = None) -> Blocks:
        # The products of blocks are plain loops, which know no other precision.
        return self._replace(parameters=self.parameters.copy())

    def stream(self, batch_size: int, precision: str | None = None) -> StepByStep:
        return StepByStep(self.freeze(), self.layer, batch_size)


def _inputs(call: Call, parameters: Floats) -> _core.BlockInputs:
    return parameters, call.x, call.h0, call.c0, call.active, call.batch, call.reset
