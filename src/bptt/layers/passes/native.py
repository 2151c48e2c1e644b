"""The compiled core as a backend."""

from __future__ import annotations

from typing import Any, NamedTuple

from bptt import _core
from bptt.arrays import Floats
from bptt.layers.passes.backend import Backed, Call, CoreTape, Errors, Passed, StreamCore


class NativeFrozen(NamedTuple):
    """Weights that the core has packed."""

    core: _core.Snapshot

    def infer(self, call: Call) -> Passed:
        return self.core.infer(call.x, call.h0, call.c0, call.active, call.batch, call.reset)


class Native(NamedTuple):
    """One stack of layers in the compiled core, with the current vectors of the layer."""

    core: _core.Recurrent
    parameters: Floats
    gradients: Floats
    dropout: float

    def infer(self, call: Call) -> Passed:
        return self.core.infer(self.parameters, call.x, call.h0, call.c0, call.active, call.batch, call.reset)

    def forward(self, call: Call) -> tuple[Passed, CoreTape]:
        y, h, c, tape = self.core.forward(
            self.parameters if call.parameters is None else call.parameters,
            call.x,
            call.h0,
            call.c0,
            self.dropout,
            call.dropout_key,
            call.active,
            call.batch,
            call.reset,
            call.recurrent_mask,
            call.keep_h,
            call.keep_c,
            call.first_row,
            call.input_mask,
        )
        return (y, h, c), tape

    def backward(self, tape: Any, errors: Errors) -> Backed:
        return self.core.backward(
            self.gradients if errors.train else None,
            tape,
            errors.dy,
            errors.dh,
            errors.dc,
            errors.steps,
            errors.need_dx,
            errors.clip.value,
            errors.clip.norm,
            errors.keep_errors,
            errors.chunk,
            errors.cut,
            errors.norms_of_rows,
        )

    def chunk_steps(self, batch: int) -> int:
        return self.core.chunk_steps(batch)

    def freeze(self, precision: str | None = None) -> NativeFrozen:
        return NativeFrozen(self.core.freeze(self.parameters, precision))

    def stream(self, batch_size: int, precision: str | None = None) -> StreamCore:
        return self.core.stream(self.parameters, batch_size, precision)
