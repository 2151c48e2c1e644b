"""The preprocessing of a model's data as JSON values, for the model's file.

Objects of `bptt.data` with the method `to_dict` are saved under the name of their class. The checks are here,
so that a file is checked before any object is made from it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bptt.arguments import short
from bptt.files.schema import (
    COUNT_LIMIT,
    LIST_LIMIT,
    Check,
    items,
    number,
    optional,
    record,
    table,
    text,
    whole,
    wrong,
)

_SMALLEST = 5e-324
NAMES_LIMIT = 1000


def describe_preprocessing(preprocessing: object) -> dict[str, dict[str, Any]] | None:
    """Return the argument `preprocessing` of `save` as JSON values.

    Raises
    ------
    TypeError
        `preprocessing` is not a mapping of str to objects that can be saved.
    """
    if preprocessing is None:
        return None
    if not isinstance(preprocessing, Mapping) or not all(isinstance(name, str) for name in preprocessing):
        raise TypeError(
            f"preprocessing must be a mapping of str to objects; got {short(preprocessing)} of type "
            f'{type(preprocessing).__name__}. Fix: pass {{"x": scaling}}.'
        )
    for name, value in preprocessing.items():
        if type(value).__name__ not in _KINDS or not hasattr(value, "to_dict"):
            raise TypeError(
                f"preprocessing must hold objects of {' or '.join(_KINDS)}; got {short(value)} of type "
                f"{type(value).__name__} for {name!r:.40}. Fix: pass JSON values as extra={{...}}."
            )
    return {name: {"kind": type(value).__name__, **value.to_dict()} for name, value in preprocessing.items()}


def check_preprocessing(value: object) -> dict[str, dict[str, Any]]:
    """Check the preprocessing that a file holds; {} if it holds none.

    Raises
    ------
    ValueError
        `describe_preprocessing` does not return such a value.
    """
    entries: dict[str, dict[str, Any]] = table(_entry, NAMES_LIMIT)(
        {} if value is None else value, "preprocessing"
    )
    return entries


def _entry(value: Any, name: str) -> dict[str, Any]:
    kind = value.get("kind") if isinstance(value, Mapping) else None
    if not isinstance(kind, str) or kind not in _KINDS:
        raise wrong(f"{name}.kind", " or ".join(_KINDS), kind)
    entry: dict[str, Any] = _KINDS[kind](value, name)
    return entry


def _label(value: Any, name: str) -> Any:
    return text()(value, name) if isinstance(value, str) else whole(-COUNT_LIMIT, COUNT_LIMIT)(value, name)


_SCALING = record(
    {
        "kind": text(),
        "mean": items(number(), LIST_LIMIT),
        "scale": items(number(_SMALLEST), LIST_LIMIT),
        "columns": optional(items(_label, LIST_LIMIT)),
    },
    {"columns": None},
)


def _standardize(value: Any, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = _SCALING(value, name)
    columns = len(entry["mean"])
    for field in ("scale", "columns"):
        if entry[field] is not None and len(entry[field]) != columns:
            raise ValueError(f"{name}.{field} must have {columns} entries, as {name}.mean has")
    return entry


def _vocabulary(value: Any, name: str) -> dict[str, Any]:
    entry: dict[str, Any] = record({"kind": text(), "symbols": text(2**21)})(value, name)
    if len(set(entry["symbols"])) < max(2, len(entry["symbols"])):
        raise ValueError(f"{name}.symbols must hold at least 2 characters, each once")
    return entry


_KINDS: dict[str, Check] = {"Standardize": _standardize, "Vocabulary": _vocabulary}
