"""Named views into one flat vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_floats, as_real, split, to_floats
from bptt.layers.passes.int8 import refuse_scales


class Tensors(Mapping[str, npt.NDArray[Any]]):
    """Mapping from a parameter's name to its view into a flat vector.

    `tensors[name][...] = value`, `tensors[name] *= 2` and `tensors[name] = value` all write into the vector.
    `tensors[name] = value` checks shape and range first.
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
                f"no {self._noun} {name!r}; the names are {', '.join(self._views) or 'none'}"
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
    """Implement `module.flat_parameters = value`: copy the values into the vector."""
    if value is not flat:
        flat[...] = as_floats(value, name, flat.dtype, flat.shape)


class IncompatibleKeys(NamedTuple):
    """Names that `load_state_dict` could not use, as in PyTorch.

    Attributes
    ----------
    missing_keys : list of str
        Parameters of the model that the mapping does not hold. They keep their values.
    unexpected_keys : list of str
        Names in the mapping that the model does not have.
    """

    missing_keys: list[str]
    unexpected_keys: list[str]


def check_state_dict(
    tensors: Mapping[str, npt.NDArray[Any]], values: Mapping[str, object], strict: bool
) -> tuple[dict[str, npt.NDArray[Any]], IncompatibleKeys]:
    """Convert the arrays of a state dict, and list the names that do not match.

    Changes no parameter.

    Raises
    ------
    TypeError
        If `values` is not a mapping, or a value is not an array of real numbers.
    ValueError
        If names are missing or unexpected (with `strict`), no name matches, shapes are wrong, or values are
        too large for the dtype. If the weights are int8.
    """
    if not isinstance(values, Mapping):
        raise TypeError(
            f"state must be a mapping from names to arrays; got {type(values).__name__}. "
            "Fix: pass the result of state_dict()."
        )
    refuse_scales(values)
    unused = IncompatibleKeys(
        [name for name in tensors if name not in values], [name for name in values if name not in tensors]
    )
    _check_names(tensors, values, unused, strict)
    # The values are copied, because they may be views of the vector that the caller then writes.
    return {
        name: np.array(_convert(name, values[name], view)) for name, view in tensors.items() if name in values
    }, unused


def _convert(name: str, value: Any, view: npt.NDArray[Any]) -> Floats:
    """Check and convert the new values of a parameter.

    Tensors of PyTorch are detached.
    """
    array = as_real(value.detach() if hasattr(value, "detach") else value, f"parameter {name!r}")
    if array.shape != view.shape:
        fix = "build the model with the sizes that the parameters were saved with"
        if array.ndim == 2 and array.shape == view.shape[::-1]:
            fix = (
                "pass value.T; Keras stores kernels transposed, and orders the gates of a GRU z, r, h, which "
                "bptt.interop.from_keras converts"
            )
        raise ValueError(f"parameter {name!r} must have shape {view.shape}; got {array.shape}. Fix: {fix}.")
    return to_floats(array, f"parameter {name!r}", view.dtype)


def _check_names(
    tensors: Mapping[str, object], values: Mapping[str, object], unused: IncompatibleKeys, strict: bool
) -> None:
    no_match = len(tensors) > 0 and len(unused.missing_keys) == len(tensors)
    if not (no_match or (strict and any(unused))):
        return
    complaints = [
        f"{word} {_listing(names, source)}"
        for word, names, source in zip(("missing", "unexpected"), unused, (tensors, values), strict=True)
        if names
    ]
    fix = "build the model with the same arguments"
    if not no_match:
        fix += ", or pass strict=False to load the names that match"
    prefix = _common_prefix(tensors, unused)
    if any(str(name).endswith("kernel") for name in unused.unexpected_keys):
        fix = (
            "transpose kernels of Keras or Flax and rename them, or use bptt.interop.from_keras or from_flax"
        )
    elif prefix:
        fix = f"pass {{name.removeprefix({prefix!r}): value for name, value in state.items()}}"
    expected = f"{'exactly' if strict else 'at least one of'} the model's {len(tensors)} parameters"
    raise ValueError(f"state must hold {expected}; {'; '.join(complaints)}. Fix: {fix}.")


def _listing(names: Sequence[str], source: Mapping[str, Any], limit: int = 20) -> str:
    """Format names with the shapes of their arrays, at most `limit` of them."""
    shapes = [getattr(source[name], "shape", None) for name in names[:limit]]
    entries = [
        repr(name) if shape is None else f"{name!r} {tuple(shape)}"
        for name, shape in zip(names, shapes, strict=False)
    ]
    return ", ".join(entries) + (f" and {len(names) - limit} more" if len(names) > limit else "")


def _common_prefix(tensors: Mapping[str, object], unused: IncompatibleKeys) -> str:
    """Return the prefix that all missing names have in the mapping, or "".

    For example "lstm.", the name of a PyTorch module.
    """
    unexpected = [name for name in unused.unexpected_keys if isinstance(name, str)]
    missing = unused.missing_keys
    if not missing or len(missing) < len(tensors):
        return ""
    prefixes = {name[: -len(missing[0])] for name in unexpected if name.endswith("." + missing[0])}
    fitting = [prefix for prefix in prefixes if all(prefix + name in unexpected for name in missing)]
    return min(fitting, default="")
