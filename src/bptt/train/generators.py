"""The random generators of a run: their states, and which layer or data uses which generator."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from bptt.arguments import Seed, generator
from bptt.files.generator_state import generator_from_state
from bptt.layers import Module
from bptt.layers.containers.traverse import iter_layers
from bptt.ranks.ranks import Ranks

_DATA = 2
"""Number of owners of generators that are not layers: the training data and the validation data, in this
order, after all layers."""


class GeneratorStates(NamedTuple):
    """The states of all generators of a run at one moment.

    Attributes
    ----------
    shared : sequence of int or None
        Index into `states` for each layer, then for the data and the validation data. None if the layer or
        data have no generator.
    states : sequence
        `BitGenerator.state` of each generator.
    """

    shared: Sequence[int | None] = ()
    states: Sequence[Any] = ()

    def by_rank(self, rank: int) -> GeneratorStates:
        """Return states for one of several ranks: new generators for layers, the same ones for data.

        Raises
        ------
        ValueError
            A generator is not one of NumPy's.
        """
        indices: dict[tuple[bool, int], int] = {}
        shared: list[int | None] = []
        states: list[Any] = []
        for owner, index in enumerate(self.shared):
            if index is None:
                shared.append(None)
                continue
            is_layer = owner < len(self.shared) - _DATA
            if (is_layer, index) not in indices:
                indices[is_layer, index] = len(states)
                state = self.states[index]
                states.append(_descendant(state, rank) if is_layer else state)
            shared.append(indices[is_layer, index])
        return GeneratorStates(shared, states)


class Generators:
    """The random generators in use by a model's layers, and by data with an attribute `rng`.

    A generator that several owners share is stored once.
    """

    def __init__(self, model: Module, data: object = None, validation: object = None) -> None:
        self._model = model
        self._owners = [*iter_layers(model), data, validation]
        rngs = [getattr(owner, "rng", None) for owner in self._owners]
        generators = [rng if isinstance(rng, np.random.Generator) else None for rng in rngs]
        self._all = list({id(rng.bit_generator): rng.bit_generator for rng in generators if rng}.values())
        order = {id(bits): index for index, bits in enumerate(self._all)}
        self._shared = [order[id(rng.bit_generator)] if rng else None for rng in generators]

    def get(self) -> GeneratorStates:
        """Return the states of all generators."""
        return GeneratorStates(self._shared, [bits.state for bits in self._all])

    @property
    def shared_with_data(self) -> bool:
        """Whether the training data use the generator of a layer."""
        data = self._shared[-_DATA]
        return data is not None and data in self._shared[:-_DATA]

    def set_layers(self, saved: GeneratorStates) -> None:
        """Set the generators that layers use. Generators that only data use keep their states."""
        layers = zip(self._shared[:-_DATA], saved.shared, strict=False)
        for live, index in {pair for pair in layers if None not in pair}:
            self._all[cast("int", live)].state = saved.states[cast("int", index)]

    def replace(self, saved: GeneratorStates) -> Generators:
        """Give layers and data new generators with the saved states, shared as in the saved run.

        Raises
        ------
        TypeError, ValueError, LookupError, OverflowError
            A state does not belong to one of NumPy's generators, or the number of owners differs. Nothing is
            changed.
        """
        restored = [generator_from_state(state) for state in saved.states]
        rngs = [None if index is None else restored[index] for index in saved.shared]
        for owner, live, rng in zip(self._owners, self._shared, rngs, strict=True):
            if live is None or rng is None:
                continue
            try:
                cast("Any", owner).rng = rng
            except AttributeError:  # a property without a setter
                self._all[live].state = rng.bit_generator.state
        return Generators(self._model, *self._owners[-_DATA:])


def first_states(model: Module, seed: Seed, ranks: Ranks) -> GeneratorStates:
    """Seed the generators of the model's layers unless `seed` is None, and return their states.

    Each of several ranks gets its own generators. Otherwise all ranks would drop the same units.
    """
    if seed is not None:
        shared = generator(seed)
        for layer in iter_layers(model):
            layer.rng = shared
    generators = Generators(model)
    if ranks.size > 1:
        generators = generators.replace(generators.get().by_rank(ranks.rank))
    return generators.get()


def check_generators(states: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError if a generator cannot be restored from its state."""
    for state in states:
        generator_from_state(state)


def _descendant(state: Mapping[str, Any], number: int) -> Any:
    parent = generator_from_state(state)
    key = parent.integers(0, 2**63, 4).tolist()
    return type(parent.bit_generator)(np.random.SeedSequence([*key, number])).state
