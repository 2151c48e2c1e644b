"""Named views into one flat vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import as_floats, split


class Tensors(Mapping[str, npt.NDArray[Any]]):
    """
    Mapping from a parameter's name to its view into a flat vector.

    The views stay where they are: `tensors[name][...] = value`, `tensors[name] *= 2` and
    `tensors[name] = value` all write into the vector. The last one checks shape and range first.
    """

    def __init__(
        self, flat: npt.NDArray[Any], table: Sequence[tuple[str, tuple[int, ...]]], noun: str
    ) -> None:
        self._views = split(flat, table)
        self._noun = noun

    def __getitem__(self, name: str) -> npt.NDArray[Any]:
        try:
            return self._views[name]
        except KeyError:
            raise KeyError(
                f"no {self._noun} {name!r}; there are {', '.join(self._views) or 'none'}"
            ) from None

    def __setitem__(self, name: str, value: object) -> None:
        view = self[name]
        if value is not view:
            view[...] = as_floats(value, f"{self._noun} {name!r}", view.dtype, view.shape)

    def __iter__(self) -> Iterator[str]:
        return iter(self._views)

    def __len__(self) -> int:
        return len(self._views)

    def __contains__(self, name: object) -> bool:
        return name in self._views

    def __repr__(self) -> str:
        shapes = ", ".join(f"{name}: {view.shape}" for name, view in self._views.items())
        return f"{{{shapes}}}"


def write_flat(flat: npt.NDArray[Any], value: object, name: str) -> None:
    """Behind `module.flat_parameters = value`: copies into the vector, which the views keep sharing."""
    if value is not flat:
        flat[...] = as_floats(value, name, flat.dtype, flat.shape)


def check_state_dict(
    tensors: Mapping[str, npt.NDArray[Any]], values: Mapping[str, object], strict: bool
) -> dict[str, npt.NDArray[Any]]:
    """
    The arrays of a state dict, converted, by name; nothing is written here.

    Raises
    ------
    TypeError
        `values` is not a mapping, or holds something that is not an array of real numbers.
    ValueError
        Missing or unexpected names (with `strict`), wrong shapes, values too large for the dtype.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"state must be a mapping from names to arrays; got {type(values).__name__}. "
            "Fix: pass what state_dict() returned."
        )
    if strict:
        _check_names(set(tensors), set(values))
    return {
        # Copied, for the values may be views of the vector that is about to be written.
        name: np.array(as_floats(values[name], f"parameter {name!r}", view.dtype, view.shape))
        for name, view in tensors.items()
        if name in values
    }


def _check_names(expected: set[str], got: set[Any]) -> None:
    complaints = [
        f"{word} {', '.join(sorted(map(repr, names)))}"
        for word, names in (("missing", expected - got), ("unexpected", got - expected))
        if names
    ]
    if complaints:
        raise ValueError(
            f"state must hold exactly the model's {len(expected)} parameters; {'; '.join(complaints)}. "
            "Fix: build the model with the same arguments, or pass strict=False to load what matches."
        )
