"""The training part of a checkpoint: its fields, their valid values, and a check of all of them.

`read_checkpoint` runs the check, so `Trainer.resume` gets only valid values. To save a new field, add the
field to `Training` and to `_TRAINING`, with a default if older files lack the field.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any, TypedDict, cast

import numpy as np

from bptt.files.generator_state import KINDS, check_generator_state, check_twister_tuple
from bptt.files.schema import (
    COUNT_LIMIT,
    LIST_LIMIT,
    Check,
    boolean,
    items,
    number,
    optional,
    pair,
    record,
    table,
    text,
    whole,
    wrong,
)
from bptt.optim.clip import LONGEST_WINDOW
from bptt.optim.update import Update

DEPTH_LIMIT = 32
"""Largest number of levels of lists and mappings inside each other."""

_PER_UPDATE = frozenset(entry.name for entry in fields(Update))
_COLUMNS = ("loss", "grad_norm", "clipped", "lr", "epoch", "validation_loss", "validation_step")
"""Columns that every history has."""


class GeneratorStates(TypedDict):
    """Index into `states` for every layer, the data and the validation data; None without a generator."""

    shared: list[int | None]
    states: list[dict[str, Any]]


class RankPart(TypedDict):
    """Values that differ by rank: carried states by time step, generators, checksum of the current batch.

    `generators_before` holds the generators' states before the current batch was drawn, if data and layers
    share a generator.
    """

    states: list[tuple[int, Any]]
    generators: GeneratorStates
    generators_before: GeneratorStates | None
    sum: int | None


class Training(RankPart):
    """Everything that `Trainer.save` writes besides the model and the optimizer's vectors."""

    others: list[RankPart]
    settings: dict[str, Any]
    lr: float | None
    next_lr: float
    schedule: dict[str, Any] | None
    position: dict[str, int]
    clip: dict[str, Any]
    data: dict[str, Any] | None
    validation: dict[str, Any] | None
    history: dict[str, Any]
    stopping: bool
    callbacks: list[tuple[str, dict[str, Any]]]


def validate_training(raw: object) -> Training:
    """Check the training part of a checkpoint.

    Parameters
    ----------
    raw : object
        The return value of `packing.unpack`. It is not changed.

    Returns
    -------
    Training
        The same values, with a default for each field that the file may lack.

    Raises
    ------
    ValueError
        A field is missing, unknown, of the wrong type or out of range, or fields contradict each other. The
        message begins with the name of the field.
    """
    training = cast("Training", _TRAINING(raw, "training"))
    steps = [step for step, _ in training["states"]]
    if training["position"]["step"] not in steps:
        raise ValueError("training.states must hold a state for the step of training.position; got none")
    for part in (training, *training["others"]):
        if [step for step, _ in part["states"]] != steps:
            raise ValueError("training.others must hold states for the same steps as training.states")
        for generators in (part["generators"], part["generators_before"]):
            if generators is None:
                continue
            used = {index for index in generators["shared"] if index is not None}
            if used != set(range(len(generators["states"]))):
                raise ValueError("training.generators.shared must refer to each state, and to no other index")
    if missing := sorted(set(_COLUMNS) - set(training["history"])):
        raise ValueError(f"training.history must have the column {missing[0]}")
    for name, column in training["history"].items():
        expected = training["position"]["updates" if name in _PER_UPDATE else "validations"]
        if len(column) != expected:
            raise ValueError(f"training.history.{name} must have {expected} rows; got {len(column)}")
    return training


def free(value: Any, name: str, depth: int = 0) -> Any:
    """Accept the values of a `state_dict`: numbers, texts and arrays in lists, tuples and mappings.

    Data, callbacks, schedules and clips have a `state_dict`. States of random generators are checked at any
    depth, because the object that saved them passes them to NumPy.
    """
    if depth > DEPTH_LIMIT:
        raise ValueError(f"{name} must have at most {DEPTH_LIMIT} levels")
    if isinstance(value, Mapping):
        kind = value.get("bit_generator")
        if isinstance(kind, str) and kind in KINDS:  # generators of other libraries check their own states
            return check_generator_state(value, name)
        return {key: free(entry, f"{name}[{key!r:.40}]"[:200], depth + 1) for key, entry in value.items()}
    if isinstance(value, tuple) and value and isinstance(value[0], str) and value[0] == "MT19937":
        return check_twister_tuple(value, name)
    if isinstance(value, (list, tuple)):
        return type(value)(
            free(entry, f"{name}[{index}]"[:200], depth + 1) for index, entry in enumerate(value)
        )
    if type(value) is int:
        return whole(-(2**128), 2**128)(value, name)
    return value


def _mapping(value: Any, name: str) -> Any:
    if not isinstance(value, Mapping):
        raise wrong(name, "a mapping", value)
    return free(value, name)


def _plain(value: Any, name: str) -> Any:
    """Accept a mapping without arrays, which `differences` compares."""
    fields = _mapping(value, name)
    waiting = [fields]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, np.ndarray):
            raise wrong(name, "a mapping without arrays", value)
        if isinstance(entry, Mapping):
            waiting += entry.values()
        elif isinstance(entry, (list, tuple)):
            waiting += entry
    return fields


def _state(value: Any, name: str, depth: int = 0) -> Any:
    """Accept the state of a layer or model as `Module.forward` returned it, or None."""
    if isinstance(value, tuple) and depth < DEPTH_LIMIT:
        return tuple(_state(entry, f"{name}[{index}]"[:200], depth + 1) for index, entry in enumerate(value))
    if not (value is None or (isinstance(value, np.ndarray) and value.dtype in (np.float32, np.float64))):
        raise wrong(name, "the state of a model", value)
    return value


def _clip(value: Any, name: str) -> Any:
    """Accept the `state_dict` of a clip."""
    fields = _mapping(value, name)
    if "nonfinite_steps" in fields and set(fields) <= set(_CLIP):
        return {key: _CLIP[key](entry, f"{name}.{key}") for key, entry in fields.items()}
    return fields


def _column(value: Any, name: str) -> Any:
    if not isinstance(value, np.ndarray) or value.dtype != np.float64 or value.ndim != 1:
        raise wrong(name, "a vector of float64", value)
    return value


_count = whole(0, COUNT_LIMIT)
_CLIP: dict[str, Check] = {
    "nonfinite_steps": _count,
    "max_norm": number(0.0, infinite=True),
    "norms": items(number(0.0), LONGEST_WINDOW),
    "groups": table(_clip, LIST_LIMIT),
}
_DATA = record(
    {
        "kind": text(),
        "batches": optional(_count),
        "state": optional(_mapping),
        "rng": optional(check_generator_state),
    }
)
_GENERATORS = record(
    {
        "shared": items(optional(whole(0, LIST_LIMIT)), LIST_LIMIT),
        "states": items(check_generator_state, LIST_LIMIT),
    }
)
_RANK: dict[str, Check] = {
    "states": items(pair(_count, _state), LIST_LIMIT),
    "generators": _GENERATORS,
    "generators_before": optional(_GENERATORS),
    "sum": optional(whole(0, 2**32 - 1)),
}
_TRAINING = record(
    {
        **_RANK,
        "others": items(record(_RANK), LIST_LIMIT),
        "settings": _plain,
        "lr": optional(number(0.0)),
        "next_lr": number(0.0),
        "schedule": optional(_mapping),
        "position": record(dict.fromkeys(("epoch", "batches", "step", "updates", "validations"), _count)),
        "clip": _clip,
        "data": optional(_DATA),
        "validation": optional(_DATA),
        "history": table(_column, LIST_LIMIT),
        "stopping": boolean,
        "callbacks": items(pair(text(), _mapping), LIST_LIMIT),
    },
    defaults={"others": []},
)
"""Every field of `Training`, and the check of its value."""
