"""Saved states of NumPy's random generators.

NumPy checks few of their values: a position out of range makes NumPy read outside its buffers.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bptt.files.schema import Check, number, record, whole, words, wrong

_BUFFERED_WORD: dict[str, Check] = {"has_uint32": whole(0, 1), "uinteger": whole(0, 2**32 - 1)}


def _odd(value: Any, name: str) -> int:
    if whole(0, 2**128 - 1)(value, name) % 2 == 0:
        raise wrong(name, "odd", value)
    return int(value)


def _twister_key(value: Any, name: str) -> Any:
    if not words("uint32", 624)(value, name).any():
        raise ValueError(f"{name} must hold a number other than 0, or the generator would only draw zeros")
    return value


_PCG: dict[str, Check] = {"state": record({"state": whole(0, 2**128 - 1), "inc": _odd}), **_BUFFERED_WORD}
_TWISTER: dict[str, Check] = {"key": _twister_key, "pos": whole(0, 624)}
_STATES: dict[str, dict[str, Check]] = {
    "PCG64": _PCG,
    "PCG64DXSM": _PCG,
    "MT19937": {"state": record(_TWISTER)},
    "Philox": {
        "state": record({"counter": words("uint64", 4), "key": words("uint64", 2)}),
        "buffer": words("uint64", 4),
        "buffer_pos": whole(0, 4),
        **_BUFFERED_WORD,
    },
    "SFC64": {"state": record({"state": words("uint64", 4)}), **_BUFFERED_WORD},
}
"""Fields of `bit_generator.state` besides "bit_generator", for every kind that can be saved."""
KINDS = frozenset(_STATES)
_NORMAL: dict[str, Check] = {"has_gauss": whole(0, 1), "gauss": number()}
"""Fields that `numpy.random.RandomState` adds to the state of its MT19937."""


def generator_from_state(state: object) -> np.random.Generator:
    """Make a NumPy generator that continues from a saved state.

    Every value is checked before NumPy gets it, so the state may come from an untrusted file.

    Parameters
    ----------
    state : mapping
        The value of `generator.bit_generator.state`, for PCG64, PCG64DXSM, MT19937, Philox or SFC64.

    Returns
    -------
    numpy.random.Generator

    Raises
    ------
    ValueError
        `state` is the state of another kind of generator. Or a value is missing, unknown, of the wrong type
        or out of range.
    """
    checked = check_generator_state(state, "rng state")
    bits = getattr(np.random, checked["bit_generator"])(0)
    bits.state = checked
    return np.random.Generator(bits)


def check_generator_state(value: Any, name: str) -> dict[str, Any]:
    """Check every value of a generator's state and return the state; a check as in `schema`."""
    kind = value.get("bit_generator") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _STATES:
        raise ValueError(
            f"rng of layers and data must be one of {', '.join(_STATES)} to be saved; got "
            f"{kind!r:.40}. Fix: seed them with an int, or with one of these generators."
        )
    normal = _NORMAL if kind == "MT19937" and "gauss" in value else {}
    inner = {key: entry for key, entry in value.items() if key != "bit_generator"}
    return {"bit_generator": kind, **record({**_STATES[kind], **normal})(inner, name)}


def check_twister_tuple(value: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """Check ("MT19937", key, pos, has_gauss, gauss), a state of RandomState, and return it."""
    fields = dict(zip(("key", "pos", "has_gauss", "gauss"), value[1:], strict=False))
    expected = _TWISTER | (_NORMAL if len(value) > 3 else {})
    return (value[0], *record(expected)(fields, name).values())
