"""Checks of scalar arguments: each returns the checked value, or raises and says what to pass."""

from __future__ import annotations

import inspect
import math
import numbers
import operator
import sys
from collections.abc import Sequence
from typing import Any, TypeAlias

import numpy as np

# As a string: numpy.random takes longer to load than this package, and is not needed before the first layer.
Seed: TypeAlias = "int | np.random.Generator | None"


def short(value: object, limit: int = 60) -> str:
    """What a message shows of a value: one line. Of an array it is the shape, not the numbers."""
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {shape}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an int of {value.bit_length()} bits"  # Python refuses to print very large ones
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def quantity(count: int, noun: str) -> str:
    """A count and its noun: 1 step, 2 steps."""
    return f"{count} {noun if count == 1 else noun + 's'}"


def store(instance: object, **checked: Any) -> None:
    """Put checked values into a frozen dataclass: NumPy's small integers would overflow later."""
    for name, value in checked.items():
        object.__setattr__(instance, name, value)


def takes(function: Any, count: int) -> bool:
    """Whether a callable accepts this number of positional arguments, according to its signature."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have none
        return True
    try:
        signature.bind(*[None] * count)
    except TypeError:
        return False
    return True


def integer(value: object, name: str, minimum: int, maximum: int | None = None) -> int:
    """An int in the range. bool is not an int here: `LSTM(3, True)` is a slip, not a size."""
    expected = f"{name} must be an int >= {minimum}" + ("" if maximum is None else f" and <= {maximum}")
    if isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{expected}; got the bool {value}. Fix: pass a number.")
    try:
        number = operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(
            f"{expected}; got {short(value)} of type {type(value).__name__}. Fix: pass an int."
        ) from None
    if number < minimum or (maximum is not None and number > maximum):
        raise ValueError(f"{expected}; got {short(number)}. Fix: pass a number in this range.")
    return number


def size(value: object, name: str, maximum: int | None = None) -> int:
    """An int >= 1 that NumPy's indices can hold."""
    number = integer(value, name, 1, maximum)
    if number > sys.maxsize:
        raise ValueError(
            f"{name} must be an int <= {sys.maxsize}; got {short(number)}. Fix: pass a smaller number."
        )
    return number


def real(value: object, name: str, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """A finite float in [low, high), with `above` in (low, high)."""
    interval = f"a number {'>' if above else '>='} {low:g}" + (f" and < {high:g}" if high < math.inf else "")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be {interval}; got {short(value)} of type {type(value).__name__}. "
            "Fix: pass a float."
        )
    try:
        number = float(value)
    except OverflowError:  # an int beyond float64
        number = math.inf
    if not ((number > low if above else number >= low) and number < high):
        if not math.isfinite(number):
            interval = interval.replace("a number", "a finite number")
        raise ValueError(f"{name} must be {interval}; got {number}. Fix: pass a number in this range.")
    return number


def finite(value: object, name: str) -> float:
    """Any number but NaN and the infinities."""
    return real(value, name, -sys.float_info.max)


def probability(value: object, name: str) -> float:
    """A number p with 0 <= p < 1."""
    return real(value, name, 0.0, 1.0)


def flag(value: object, name: str) -> bool:
    """True or False, and nothing that merely is truthy."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{name} must be True or False; got {short(value)} of type {type(value).__name__}. "
            "Fix: pass a bool."
        )
    return bool(value)


def choice(value: object, name: str, options: Sequence[str]) -> str:
    """One of a few names."""
    expected = " or ".join(repr(option) for option in options)
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be {expected}; got {short(value)} of type {type(value).__name__}. "
            "Fix: pass a string."
        )
    if value not in options:
        raise ValueError(f"{name} must be {expected}; got {short(value)}. Fix: pass one of these names.")
    return value


def float_dtype(value: object) -> np.dtype[Any]:
    """float32 or float64, given by name, by NumPy type or as a dtype."""
    expected = 'dtype must be "float32" or "float64"'
    fix = "Fix: pass one of these two names."
    # np.dtype(None) is float64: a silent choice nobody made.
    if not isinstance(value, (str, type, np.dtype)):
        plain = str(value).rpartition(".")[2]  # "float64" of torch.float64
        if plain in ("float32", "float64"):
            fix = f'Fix: pass dtype="{plain}".'
        raise TypeError(f"{expected}; got {short(value)} of type {type(value).__name__}. {fix}")
    try:
        dtype = np.dtype(value)
    except (TypeError, SyntaxError):  # NumPy parses some strings as Python
        raise ValueError(f"{expected}; got {short(value)}. {fix}") from None
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        if dtype.newbyteorder("=") in (np.dtype(np.float32), np.dtype(np.float64)):
            fix = f'Fix: pass dtype="{dtype.name}", for layers compute in the byte order of this machine.'
        raise ValueError(f"{expected}; got {short(value)}. {fix}")
    return dtype


def generator(seed: object, *stream: int) -> np.random.Generator:
    """
    Return the generator for a `seed`.

    A generator is returned as it is, an int >= 0 makes a seeded generator, and None a fresh one from the
    system. An int gives independent numbers for every `stream`, a key of ints >= 0.
    """
    if isinstance(seed, np.random.Generator):
        return seed
    if seed is None:
        return np.random.default_rng()
    if isinstance(seed, (bool, np.bool_)) or not isinstance(seed, (int, np.integer)):
        raise TypeError(
            f"seed must be an int >= 0, a numpy.random.Generator or None; got {short(seed)} of type "
            f"{type(seed).__name__}. Fix: pass an int."
        )
    return np.random.default_rng(np.random.SeedSequence(integer(seed, "seed", 0), spawn_key=stream))


def generators(seed: Seed, count: int) -> list[np.random.Generator]:
    """Independent generators from one `seed`. A generator as seed makes one draw, and is not among them."""
    if isinstance(seed, np.random.Generator):
        seed = int(seed.integers(2**63))
    return [generator(seed, index) for index in range(count)]
