"""The random generators of a run: which layer or data draws from which, and their states."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, cast

import numpy as np

from bptt.arguments import Seed, generator
from bptt.files.generator_state import generator_from_state
from bptt.layers import Module
from bptt.layers.sequential import iter_layers
from bptt.ranks.ranks import Ranks

_DATA = 2
"""The last two owners of generators are the training data and the validation data."""


class GeneratorStates(NamedTuple):
    """The states of all generators of a run at one moment.

    Attributes
    ----------
    shared : sequence of int or None
        For each layer, then the data and the validation data: index of its generator in `states`. None: it
        has none.
    states : sequence
        `BitGenerator.state` of each generator.
    """

    shared: Sequence[int | None] = ()
    states: Sequence[Any] = ()

    def by_rank(self, rank: int) -> GeneratorStates:
        """States for one rank of several: layers get a generator of that rank, data keep theirs.

        Raises
        ------
        ValueError
            A generator that is none of NumPy's.
        """
        places: dict[tuple[bool, int], int] = {}
        shared: list[int | None] = []
        states: list[Any] = []
        for owner, index in enumerate(self.shared):
            if index is None:
                shared.append(None)
                continue
            layer = owner < len(self.shared) - _DATA
            if (layer, index) not in places:
                places[layer, index] = len(states)
                state = self.states[index]
                states.append(_descendant(state, rank) if layer else state)
            shared.append(places[layer, index])
        return GeneratorStates(shared, states)


class Generators:
    """The live random generators of a model's layers, and of data that have one as `rng`.

    A generator that several of them share is kept once.
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
        """Their states."""
        return GeneratorStates(self._shared, [bits.state for bits in self._all])

    @property
    def shared_with_data(self) -> bool:
        """Whether the training data draw from the generator of a layer."""
        data = self._shared[-_DATA]
        return data is not None and data in self._shared[:-_DATA]

    def set_layers(self, saved: GeneratorStates) -> None:
        """Set the generators that layers draw from. Generators of data alone keep their states."""
        layers = zip(self._shared[:-_DATA], saved.shared, strict=False)
        for live, index in {pair for pair in layers if None not in pair}:
            self._all[cast("int", live)].state = saved.states[cast("int", index)]

    def replace(self, saved: GeneratorStates) -> Generators:
        """Give layers and data new generators in the saved states, shared as they were shared.

        Raises
        ------
        TypeError, ValueError, LookupError, OverflowError
            None of NumPy's generators; not one for each owner. Nothing was changed.
        """
        fresh = [generator_from_state(state) for state in saved.states]
        chosen = [None if index is None else fresh[index] for index in saved.shared]
        for owner, live, rng in zip(self._owners, self._shared, chosen, strict=True):
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
    """Raise ValueError for the state of a generator that could not be made again."""
    for state in states:
        generator_from_state(state)


def _descendant(state: Mapping[str, Any], number: int) -> Any:
    parent = generator_from_state(state)
    key = parent.integers(0, 2**63, 4).tolist()
    return type(parent.bit_generator)(np.random.SeedSequence([*key, number])).state
