"""Save the random order of data with a run; check and restore it when the run is resumed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import numpy as np

from bptt.data.batches import batch_count

FIX_DATA = "Fix: pass the data of the saved run, or start a new run with the model of bptt.load(path)."


def data_state(data: object) -> dict[str, Any] | None:
    """Return a description of the data and the state of their random order.

    The state is their `state_dict()`, or the state of their generator `rng`.
    """
    if data is None:
        return None
    state_dict, rng = getattr(data, "state_dict", None), getattr(data, "rng", None)
    save_rng = isinstance(rng, np.random.Generator) and not callable(state_dict)
    return {
        "kind": type(data).__name__,
        "batches": batch_count(data),
        "state": state_dict() if callable(state_dict) else None,
        "rng": cast("Any", rng).bit_generator.state if save_rng else None,
    }


def check_data(data: object, saved: Mapping[str, Any] | None, name: str) -> None:
    """Raise ValueError if the data are certainly not the data of the saved run."""
    if saved is None:
        return  # the saved run had none, so any data are allowed
    kind = "none" if data is None else type(data).__name__
    if data is None or (saved["state"] is not None and kind != saved["kind"]):
        raise ValueError(f"{name} must be {saved['kind']} data, as in the saved run; got {kind}. {FIX_DATA}")
    if saved["state"] is None:
        _check_count(data, saved, name)


def load_data(data: Any, saved: Mapping[str, Any] | None, name: str) -> None:
    """Restore the order of data that `check_data` has accepted.

    Raises
    ------
    ValueError
        The data cannot restore the saved state, or the number of batches then differs from the saved run.
    """
    if saved is None:
        return
    if saved["state"] is not None:
        try:
            data.load_state_dict(saved["state"])
            _check_count(data, saved, name)
        except (ArithmeticError, AttributeError, LookupError, TypeError) as error:
            raise ValueError(f"{name} cannot restore the saved state ({error!s:.200}). {FIX_DATA}") from error
    elif saved["rng"] is not None and isinstance(getattr(data, "rng", None), np.random.Generator):
        load_generator(data.rng, saved["rng"])


def _check_count(data: object, saved: Mapping[str, Any], name: str) -> None:
    count = batch_count(data)
    if count is not None and saved["batches"] not in (None, count):
        raise ValueError(
            f"{name} must give {saved['batches']} batches, as in the saved run; got {count}. {FIX_DATA}"
        )


def load_generator(rng: np.random.Generator, state: Mapping[str, Any]) -> None:
    """Set a generator of data to a saved state.

    Raises
    ------
    ValueError
        `state` is the state of another kind of generator.
    """
    kind, state_kind = type(rng.bit_generator).__name__, state["bit_generator"]
    if state_kind != kind:
        raise ValueError(
            f"state must be the state of a {kind} generator; got the state of {state_kind!r:.40}. Fix: pass "
            f"seed=numpy.random.Generator(numpy.random.{state_kind}())."
        )
    rng.bit_generator.state = state
