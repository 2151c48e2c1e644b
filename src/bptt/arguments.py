"""Checks of scalar arguments.

Each check returns the value, or raises an error that says what to pass.
"""

from __future__ import annotations

import inspect
import math
import numbers
import operator
import os
import sys
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np

# A string, because numpy.random takes longer to load than this package and only layers need it.
Seed: TypeAlias = "int | np.random.Generator | None"


def short(value: object, limit: int = 60) -> str:
    """Format a value for an error message, on one line.

    Arrays are shown by their shape.
    """
    shape = getattr(value, "shape", None)
    if isinstance(shape, tuple) and shape:
        return f"an array of shape {shape}"
    if isinstance(value, int) and value.bit_length() > 128:
        return f"an int of {value.bit_length()} bits"  # Python refuses to print very large ones
    text = " ".join(repr(value).split())
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def quantity(count: int, noun: str) -> str:
    """Format a count with its noun: 1 step, 2 steps."""
    return f"{count} {noun if count == 1 else noun + 's'}"


def store(instance: object, **checked: Any) -> None:
    """Assign the checked values to the fields of a frozen dataclass.

    The checks convert NumPy's small integers, which would overflow later, to Python numbers.
    """
    for name, value in checked.items():
        object.__setattr__(instance, name, value)


def takes(function: Any, count: int, *names: str) -> bool:
    """Return whether the callable accepts `count` positional arguments, and arguments with these names.

    The answer comes from its signature.
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):  # some built-in functions have no signature
        return not names
    if not set(names) <= set(signature.parameters):
        return False
    try:
        signature.bind(*[None] * count, **dict.fromkeys(names))
    except TypeError:
        return False
    return True


def call_repr(instance: object, **values: Any) -> str:
    """Format an object as the call of its constructor, from the attributes named like its parameters.

    Arguments that equal their defaults are left out. `values` replace attributes.
    """
    arguments: list[str] = []
    for name, parameter in inspect.signature(type(instance)).parameters.items():
        value = values.get(name, getattr(instance, name, parameter.default))
        if value is parameter.default or (not hasattr(value, "shape") and value == parameter.default):
            continue
        required = parameter.default is parameter.empty
        arguments.append(_as_source(value) if required else f"{name}={_as_source(value)}")
    return f"{type(instance).__name__}({', '.join(arguments)})"


def _as_source(value: object) -> str:
    """Format a value as in source code: a function by its name."""
    if inspect.isroutine(value):
        return str(getattr(value, "__name__", repr(value)))
    return repr(value)


def integer(value: object, name: str, minimum: int, maximum: int | None = None) -> int:
    """Check an int from `minimum` to `maximum`.

    A bool is refused: `LSTM(3, True)` is a mistake.
    """
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
    """Check an int >= 1 that is small enough for a NumPy index."""
    number = integer(value, name, 1, maximum)
    if number > sys.maxsize:
        raise ValueError(
            f"{name} must be an int <= {sys.maxsize}; got {short(number)}. Fix: pass a smaller number."
        )
    return number


def real(value: object, name: str, low: float, high: float = math.inf, *, above: bool = False) -> float:
    """Check a finite number in [low, high), and return a float.

    With `above`, the number must be in (low, high).
    """
    interval = f"a number {'>' if above else '>='} {low:g}" + (f" and < {high:g}" if high < math.inf else "")
    if isinstance(value, (bool, np.bool_)) or not isinstance(value, numbers.Real):
        raise TypeError(
            f"{name} must be {interval}; got {short(value)} of type {type(value).__name__}. "
            "Fix: pass a float."
        )
    try:
        number = float(value)
    except OverflowError:  # an int that is too large for float64
        number = math.inf
    if not ((number > low if above else number >= low) and number < high):
        if not math.isfinite(number):
            interval = interval.replace("a number", "a finite number")
        raise ValueError(f"{name} must be {interval}; got {number}. Fix: pass a number in this range.")
    return number


def finite(value: object, name: str) -> float:
    """Check a number that is neither NaN nor infinite."""
    return real(value, name, -sys.float_info.max)


def probability(value: object, name: str) -> float:
    """Check a number p with 0 <= p < 1."""
    return real(value, name, 0.0, 1.0)


def flag(value: object, name: str) -> bool:
    """Check a bool. Other values are refused, even if they are truthy."""
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(
            f"{name} must be True or False; got {short(value)} of type {type(value).__name__}. "
            "Fix: pass a bool."
        )
    return bool(value)


def choice(value: object, name: str, options: Sequence[str]) -> str:
    """Check a string that must be one of `options`."""
    expected = " or ".join(repr(option) for option in options)
    if not isinstance(value, str):
        raise TypeError(
            f"{name} must be {expected}; got {short(value)} of type {type(value).__name__}. "
            "Fix: pass a string."
        )
    if value not in options:
        raise ValueError(f"{name} must be {expected}; got {short(value)}. Fix: pass one of these names.")
    return value


def check_same(value: object, name: str, old: object, owner: str) -> None:
    """Raise AttributeError unless `value` is the value with which a layer was built."""
    if value is old or (type(value) is type(old) and isinstance(value, (str, int, float)) and value == old):
        return
    fix = f"pass {name} to the constructor of a new layer, and load the state_dict() of this layer"
    if name == "precision":
        fix = f"build a new layer, or call layer.freeze(precision={short(value)}) for inference"
    raise AttributeError(
        f"{name} of {owner} cannot be changed from {short(old)} to {short(value)}, because the layer was "
        f"built with it. Fix: {fix}."
    )


def check_path(value: object, name: str, example: str) -> None:
    """Raise TypeError unless the value is a path. A number would be taken for a file descriptor."""
    if not isinstance(value, (str, os.PathLike)):
        raise TypeError(
            f"{name} must be a str or os.PathLike; got {short(value)} of type {type(value).__name__}. "
            f'Fix: pass "{example}".'
        )


def float_dtype(value: object, fixes: Mapping[str, str] = MappingProxyType({})) -> np.dtype[Any]:
    """Check a dtype, given as a name, a NumPy type or a dtype.

    It must be float32 or float64. `fixes` say what to do in place of other dtypes.
    """
    expected = 'dtype must be "float32" or "float64"'
    name = value.__name__ if isinstance(value, type) else str(value).rpartition(".")[2]  # of torch.float64
    fix = f"Fix: {fixes.get(name, 'pass one of these two names')}."
    # np.dtype(None) would be float64, which the caller did not choose.
    if not isinstance(value, (str, type, np.dtype)):
        if name in ("float32", "float64"):
            fix = f'Fix: pass dtype="{name}".'
        raise TypeError(f"{expected}; got {short(value)} of type {type(value).__name__}. {fix}")
    try:
        dtype = np.dtype(value)
    except (TypeError, SyntaxError):  # NumPy parses some strings as Python
        raise ValueError(f"{expected}; got {short(value)}. {fix}") from None
    if dtype not in (np.dtype(np.float32), np.dtype(np.float64)):
        if dtype.newbyteorder("=") in (np.dtype(np.float32), np.dtype(np.float64)):
            fix = f'Fix: pass dtype="{dtype.name}", because layers use the byte order of this machine.'
        raise ValueError(f"{expected}; got {short(value)}. {fix}")
    return dtype


def generator(seed: object, *stream: int) -> np.random.Generator:
    """Return a random generator for `seed`.

    A generator is returned unchanged. An int >= 0 seeds a new generator, which draws independent numbers for
    every `stream`, a key of ints >= 0. None seeds a new generator from the operating system.
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
    """Return `count` independent generators from one `seed`.

    If `seed` is a generator, one number is drawn from it to seed the new generators.
    """
    if isinstance(seed, np.random.Generator):
        seed = int(seed.integers(2**63))
    return [generator(seed, index) for index in range(count)]
