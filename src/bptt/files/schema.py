"""Checks of values from a file: each returns the value, or raises a ValueError that names it.

A check is a function of the value and its name. Larger checks are built from smaller ones, so that the shape
of a file can be written as one table.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import numpy as np

Check: TypeAlias = Callable[[Any, str], Any]

COUNT_LIMIT = 2**53
"""Largest count: a float64 holds every smaller count exactly."""
LIST_LIMIT = 100_000
"""Largest number of entries of a list of ranks, generators, callbacks or layers."""
AXES_LIMIT = 32
EMPTY_AXIS_LIMIT = 2**16
"""Largest size of the other axes of an array with an axis of size 0."""


def wrong(name: str, expected: str, value: object) -> ValueError:
    """Return the error to raise. Its message shows the value only if the value is short."""
    plain = value is None or isinstance(value, (bool, int, float, str))
    # A long text or number is cut before it is formatted, because formatting takes time and memory.
    if isinstance(value, str):
        value = value[:40]
    elif isinstance(value, int) and value.bit_length() > 128:
        plain = False
    got = f"{value!r:.60}" if plain else type(value).__name__
    return ValueError(f"{name} must be {expected}; got {got}")


def whole(low: int, high: int) -> Check:
    """Return a check that accepts an int from `low` to `high`."""

    def check(value: Any, name: str) -> int:
        if type(value) is not int or not low <= value <= high:
            raise wrong(name, f"a whole number from {low} to {high}", value)
        return value

    return check


def number(low: float = -math.inf, *, infinite: bool = False) -> Check:
    """Return a check that accepts a float or int of at least `low`: never NaN, and finite by default."""

    def check(value: Any, name: str) -> float:
        if type(value) is int and abs(value) <= COUNT_LIMIT:
            value = float(value)
        if type(value) is not float or not value >= low or (math.isinf(value) and not infinite):
            raise wrong(name, f"a {'' if infinite else 'finite '}number of at least {low}", value)
        return value

    return check


def boolean(value: Any, name: str) -> bool:
    """Accept True or False."""
    if type(value) is not bool:
        raise wrong(name, "true or false", value)
    return value


def text(limit: int = 1000) -> Check:
    """Return a check that accepts a string of at most `limit` characters."""

    def check(value: Any, name: str) -> str:
        if not isinstance(value, str) or len(value) > limit:
            raise wrong(name, f"a text of at most {limit} characters", value)
        return value

    return check


def optional(check: Check) -> Check:
    """Return a check that accepts None and the values that `check` accepts."""
    return lambda value, name: None if value is None else check(value, name)


def items(check: Check, limit: int) -> Check:
    """Return a check that accepts a list of at most `limit` values that `check` accepts."""

    def checked(value: Any, name: str) -> list[Any]:
        if not isinstance(value, list) or len(value) > limit:
            raise wrong(name, f"a list of at most {limit} entries", value)
        return [check(entry, f"{name}[{index}]") for index, entry in enumerate(value)]

    return checked


def pair(first: Check, second: Check) -> Check:
    """Return a check that accepts a list of two values, one for each check."""

    def check(value: Any, name: str) -> tuple[Any, Any]:
        if not isinstance(value, list) or len(value) != 2:
            raise wrong(name, "a list of two entries", value)
        return first(value[0], f"{name}[0]"), second(value[1], f"{name}[1]")

    return check


def table(check: Check, limit: int) -> Check:
    """Return a check that accepts a mapping of at most `limit` texts to values that `check` accepts."""

    def checked(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping) or len(value) > limit:
            raise wrong(name, f"a mapping of at most {limit} entries", value)
        return {
            text()(key, f"a key of {name}"): check(entry, f"{name}[{key!r:.40}]")
            for key, entry in value.items()
        }

    return checked


def record(fields: Mapping[str, Check], defaults: Mapping[str, Any] | None = None) -> Check:
    """Return a check that accepts a mapping with exactly these fields; those with defaults may be missing."""
    defaults = defaults or {}

    def check(value: Any, name: str) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise wrong(name, "a mapping", value)
        if unknown := sorted(set(value) - set(fields)):
            raise ValueError(f"{name} holds a field that this version does not know: {unknown[0]!r:.40}")
        full = {**defaults, **value}
        if missing := sorted(set(fields) - set(full)):
            raise ValueError(f"{name} lacks the field {missing[0]!r}")
        return {field: check_field(full[field], f"{name}.{field}") for field, check_field in fields.items()}

    return check


def words(dtype: str, length: int) -> Check:
    """Return a check that accepts a vector of `length` numbers of this NumPy type."""

    def check(value: Any, name: str) -> Any:
        if not isinstance(value, np.ndarray) or value.dtype != dtype or value.shape != (length,):
            raise wrong(name, f"a vector of {length} {dtype}", value)
        return value

    return check


def shape(value: Any, name: str) -> list[int]:
    """Accept the shape of an array that needs little more memory than its elements."""
    if not isinstance(value, list) or len(value) > AXES_LIMIT:
        raise wrong(name, f"a shape of at most {AXES_LIMIT} axes", value)
    # An array without elements needs no space in the file, but may need memory when the array is used.
    limit = EMPTY_AXIS_LIMIT if 0 in value else COUNT_LIMIT
    return [whole(0, limit)(size, f"{name}[{axis}]") for axis, size in enumerate(value)]
