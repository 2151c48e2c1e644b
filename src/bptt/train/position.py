"""Where a run stands between two updates: what it needs, beside weights, optimiser and history, to go on with
the same bits."""

from __future__ import annotations

import zlib
from array import array
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from typing import Any, cast

import numpy as np

from bptt.layers import Module
from bptt.train.batches import Batch, batch_count, leaves
from bptt.train.callbacks import Update
from bptt.train.clip import ClipNorm, Guard
from bptt.train.history import History

_BIT_GENERATORS = ("PCG64", "PCG64DXSM", "MT19937", "Philox", "SFC64")
_PER_UPDATE = frozenset(entry.name for entry in fields(Update))


@dataclass(frozen=True)
class Position:
    """
    Attributes
    ----------
    epoch, batches, step : int
        Epochs done; batches done of the next; steps done of its next batch.
    states : mapping of int to states
        Of the model, by the step of the batch that they are to be read on from.
    updates, validations : int
        How many rows `history` has.
    generators : list
        `Generators.get()` after the last update.
    clip : mapping
        `guard_state(trainer.clip)` after the last update.
    data, validation : mapping or None
        `data_state` when the epoch began; that of the validation data after the last validation.
    """

    epoch: int = 0
    batches: int = 0
    step: int = 0
    states: Mapping[int, Any] = field(default_factory=lambda: {0: None})
    updates: int = 0
    validations: int = 0
    generators: list[Any] = field(default_factory=list)
    clip: Any = None
    data: Any = None
    validation: Any = None

    @property
    def inside(self) -> bool:
        """Whether an epoch has begun."""
        return self.batches > 0 or self.step > 0

    @property
    def last(self) -> int:
        """Index of the batch that the last update read; -1 at an epoch's begin."""
        return self.batches if self.step else self.batches - 1


class Generators:
    """The random generators of a model's layers, and of data that have one in `rng`, each once.

    Attributes
    ----------
    shared : list of int or None
        For every layer, the data and the validation data, which one is its own.
    """

    def __init__(self, model: Module, data: object = None, validation: object = None) -> None:
        self._model = model
        self._owners = [*leaves(model), data, validation]
        rngs = [getattr(owner, "rng", None) for owner in self._owners]
        own = [rng if isinstance(rng, np.random.Generator) else None for rng in rngs]
        self._all = list({id(rng.bit_generator): rng.bit_generator for rng in own if rng}.values())
        order = {id(bits): index for index, bits in enumerate(self._all)}
        self.shared = [order[id(rng.bit_generator)] if rng else None for rng in own]

    def get(self) -> list[Any]:
        """Their states."""
        return [bits.state for bits in self._all]

    def set(self, states: list[Any]) -> None:
        """Give every one its state."""
        for bits, state in zip(self._all, states, strict=True):
            bits.state = state

    def replace(self, shared: list[int | None], states: list[Any]) -> Generators:
        """New generators in these states, for the owners as `shared` has it.

        Raises
        ------
        TypeError, ValueError, LookupError, OverflowError
            None of NumPy's generators; not one for each owner. Nothing was changed.
        """
        fresh = [_generator(state) for state in states]
        chosen = [None if index is None else fresh[index] for index in shared]
        for owner, own, rng in zip(self._owners, self.shared, chosen, strict=True):
            if own is not None and rng is not None:
                cast("Any", owner).rng = rng
        return Generators(self._model, *self._owners[-2:])


def by_rank(shared: list[int | None], states: list[Any], rank: int) -> tuple[list[int | None], list[Any]]:
    """For `Generators.replace`: layers get generators of this rank's own, data keep theirs, as on all ranks.

    Raises
    ------
    ValueError
        As `check_generators`.
    """
    places: dict[tuple[bool, int], int] = {}
    chosen: list[int | None] = []
    apart: list[Any] = []
    for owner, index in enumerate(shared):
        if index is None:
            chosen.append(None)
            continue
        layer = owner < len(shared) - 2  # the last two are the data
        if (layer, index) not in places:
            places[layer, index] = len(apart)
            apart.append(_descendant(states[index], rank) if layer else states[index])
        chosen.append(places[layer, index])
    return chosen, apart


def _descendant(state: Mapping[str, Any], number: int) -> Any:
    parent = _generator(state)
    key = parent.integers(0, 2**63, 4).tolist()
    return type(parent.bit_generator)(np.random.SeedSequence([*key, number])).state


def _generator(state: Mapping[str, Any]) -> np.random.Generator:
    kind = state["bit_generator"]
    if kind not in _BIT_GENERATORS:
        raise ValueError(
            f"rng of layers and data must be one of {', '.join(_BIT_GENERATORS)} to be saved; got "
            f"{kind!r:.40}. Fix: seed them with an int, or with one of these."
        )
    bits = getattr(np.random, kind)()
    bits.state = state
    return np.random.Generator(bits)


def check_generators(states: Iterable[Mapping[str, Any]]) -> None:
    """Raise ValueError where one could not be made again."""
    for state in states:
        _generator(state)


def data_state(data: object) -> dict[str, Any] | None:
    """What tells data from other data, and where their order comes from: their own `state_dict()`."""
    if data is None:
        return None
    own = getattr(data, "state_dict", None)
    return {
        "kind": type(data).__name__,
        "batches": batch_count(data),
        "state": own() if callable(own) else None,
    }


def check_data(data: object, saved: Mapping[str, Any] | None, name: str) -> None:
    """Raise ValueError where the data cannot be those that a run was begun with."""
    if saved is None:
        return  # there were none: now they may be, or not
    came = "none" if data is None else type(data).__name__
    if data is None or (saved["state"] is not None and came != saved["kind"]):
        raise ValueError(
            f"{name} must be what the run was begun with, {saved['kind']}; got {came}. {_FIX_DATA}"
        )


def load_data(data: Any, saved: Mapping[str, Any] | None, name: str) -> None:
    """Put the order of data that `check_data` let through back to where it was.

    Raises
    ------
    ValueError
        Another number of batches than the run was begun with.
    """
    if saved is None:
        return
    if saved["state"] is not None:
        data.load_state_dict(saved["state"])
    count = batch_count(data)
    if count is not None and saved["batches"] not in (None, count):
        raise ValueError(
            f"{name} must give {saved['batches']} batches, as when the run was begun; got {count}. "
            f"{_FIX_DATA}"
        )


_FIX_DATA = "Fix: make them as they were, or begin a new run with bptt.load(path), the model alone."


def checksum(batch: Batch) -> int:
    """Of everything in it."""
    total = 0
    for entry in fields(batch):
        array = getattr(batch, entry.name)
        if array is not None:
            total = zlib.crc32(f"{entry.name} {array.dtype} {array.shape}".encode(), total)
            total = zlib.crc32(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data, total)
    return total


def guard_state(guard: Guard | None) -> dict[str, Any]:
    """What a clip has learnt: its own `state_dict()` if it has one."""
    if guard is None:
        return {}
    own = getattr(guard, "state_dict", None)
    if callable(own):
        return dict(own())
    state: dict[str, Any] = {"nonfinite_steps": guard.nonfinite_steps}
    if isinstance(guard, ClipNorm) and guard.auto:
        state |= {"max_norm": guard.max_norm, "norms": list(guard._norms)}
    groups = getattr(guard, "groups", None)
    if groups is not None:
        state["groups"] = {pattern: guard_state(member) for pattern, member in groups.items()}
    return state


def load_guard(guard: Guard | None, state: Mapping[str, Any]) -> None:
    """Take over what `guard_state` gave for a clip of the same settings."""
    if guard is None:
        return
    own = getattr(guard, "load_state_dict", None)
    if callable(own):
        own(state)
        return
    guard.nonfinite_steps = int(state["nonfinite_steps"])
    if isinstance(guard, ClipNorm) and guard.auto:
        guard.max_norm = float(state["max_norm"])
        guard._norms.clear()
        guard._norms.extend(float(norm) for norm in state["norms"])
    for pattern, member in getattr(guard, "groups", {}).items():
        load_guard(member, state["groups"][pattern])


def history_state(history: History, position: Position) -> dict[str, Any]:
    """The columns, as far as the position has them."""
    return {name: np.array(column)[: _rows(name, position)] for name, column in history._columns.items()}


def load_history(history: History, state: Mapping[str, Any]) -> None:
    """Fill an empty history."""
    for name, values in state.items():
        history._columns.setdefault(name, array("d")).extend(np.asarray(values, np.float64).tolist())


def cut(history: History, position: Position) -> None:
    """Drop what was added since: part of a row, where Ctrl-C came in between."""
    for name, column in history._columns.items():
        del column[_rows(name, position) :]


def _rows(name: str, position: Position) -> int:
    return position.updates if name in _PER_UPDATE else position.validations
