"""The rows of a diagnosis: each recurrent layer and direction of a model."""

from __future__ import annotations

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace

from bptt.layers.containers.container import Container
from bptt.layers.containers.parts import inside
from bptt.layers.module import Module
from bptt.layers.passes.tape import ModelTape, RecurrentTape, Tape
from bptt.layers.recurrent_calls import RecurrentCalls


@dataclass(frozen=True)
class Row:
    """One direction of one layer of a recurrent stack.

    Attributes
    ----------
    place : str
        Place of the stack in the model, "model[1]". Empty for a single layer.
    stack : RecurrentCalls
        RNN, LSTM, GRU or MGU.
    index : int
        `layer * directions + direction`.
    """

    place: str
    stack: RecurrentCalls
    index: int

    @property
    def layer(self) -> int:
        """Number of the layer in its stack, from 0."""
        return self.index // self.stack.num_directions

    @property
    def reverse(self) -> bool:
        """Whether this direction reads the sequence from its end."""
        return self.stack.reverse or self._second

    @property
    def suffix(self) -> str:
        """The end of its parameters' names: "_l0", "_l1_reverse"."""
        return f"_l{self.layer}{'_reverse' if self._second else ''}"

    @property
    def name(self) -> str:
        """The row in words: "layer 0", "layer 1, reverse direction, of model[2]"."""
        words = [f"layer {self.layer}"]
        if self.reverse:
            words.append("reverse direction")
        if not self.place:
            return ", ".join(words)
        return f"{', '.join(words)}{',' if self.reverse else ''} of {self.place}"

    @property
    def _second(self) -> bool:
        """Whether this is the second direction of two."""
        return self.index % self.stack.num_directions == 1


def rows_of(model: Module) -> list[Row]:
    """Return all rows of a layer or a model, first layer first."""
    return [
        Row(place, stack, index)
        for place, stack in _stacks(model, "")
        for index in range(stack.num_layers * stack.num_directions)
    ]


def recurrent_tapes(tape: Tape, place: str = "") -> Iterator[tuple[str, RecurrentTape]]:
    """Yield the place and the tape of each recurrent stack, first to last."""
    if isinstance(tape, RecurrentTape):
        yield place, tape
    elif isinstance(tape, ModelTape):
        for key, part in zip(tape.owner.parts, tape.tapes, strict=True):
            yield from recurrent_tapes(part, inside(place, key))


def rows_on(tape: Tape) -> list[tuple[Row, RecurrentTape]]:
    """Return all rows on a tape, first layer first, each with the tape of its stack."""
    return [
        (Row(place, part.owner, index), part)
        for place, part in recurrent_tapes(tape)
        for index in range(part.owner.num_layers * part.owner.num_directions)
    ]


def twin(tape: Tape) -> Tape:
    """Return a tape of the same forward pass, for another backward pass.

    The new tape has separate norms and errors.
    """
    if isinstance(tape, ModelTape):
        return replace(tape, tapes=tuple(map(twin, tape.tapes)))
    if isinstance(tape, RecurrentTape):
        return replace(tape, core=copy(tape.core))
    return tape


def _stacks(model: Module, place: str) -> Iterator[tuple[str, RecurrentCalls]]:
    if isinstance(model, RecurrentCalls):
        yield place, model
    elif isinstance(model, Container):
        for key, layer in model.parts.items():
            yield from _stacks(layer, inside(place, key))
