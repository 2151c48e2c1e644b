"""Streams of backends that have no stream: each step is a call."""

from __future__ import annotations

from typing import Protocol

import numpy as np

from bptt.arrays import Floats
from bptt.layers.passes.backend import Call, Infers, Stack
from bptt.layers.passes.ragged import Flags


class Sized(Stack, Protocol):
    """The sizes of a layer, with the number of its inputs."""

    input_size: int


class StepByStep:
    """An inference stream that calls `infer` for every step."""

    def __init__(self, backend: Infers, layer: Sized, batch_size: int) -> None:
        self._backend = backend
        self.input = np.zeros((batch_size, layer.input_size), layer.dtype)
        self.output = np.zeros((batch_size, layer.output_size), layer.dtype)
        self._batch_size = batch_size
        self._h: Floats = np.zeros((layer.num_layers, batch_size, layer.output_size), layer.dtype)
        self._c: Floats | None = None
        if layer.has_cell_state:
            self._c = np.zeros((layer.num_layers, batch_size, layer.hidden_size), layer.dtype)

    def step(self) -> None:
        self.output[...] = self.run(self.input[np.newaxis])[0]

    def step_skipping(self, skip: Flags) -> None:
        self.output[...] = self.run(self.input[np.newaxis], skip[np.newaxis])[0]

    def run(self, x: Floats, skip: Flags | None = None) -> Floats:
        y = np.zeros((*x.shape[:-1], self.output.shape[-1]), x.dtype)
        for t, x_t in enumerate(x[:, np.newaxis]):
            y_t, h, c = self._backend.infer(Call(x_t, self._h, self._c))
            held = np.zeros(self._batch_size, np.bool_) if skip is None else skip[t].astype(np.bool_)
            y[t] = np.where(held[:, np.newaxis], 0, y_t[0])
            self._h = np.where(held[:, np.newaxis], self._h, h)
            if c is not None and self._c is not None:
                self._c = np.where(held[:, np.newaxis], self._c, c)
        return y

    def state(self) -> tuple[Floats, Floats | None]:
        return self._h.copy(), None if self._c is None else self._c.copy()

    def set_state(self, h: Floats, c: Floats | None) -> None:
        self._h, self._c = h.copy(), None if c is None else c.copy()

    def reset(self) -> None:
        self.set_state(np.zeros_like(self._h), None if self._c is None else np.zeros_like(self._c))
