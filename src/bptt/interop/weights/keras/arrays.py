"""A layer of Keras as data: its class, its configuration and its weights."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt.arguments import quantity, short
from bptt.interop.weights.values import to_array

_ROOTS = ("keras", "tf_keras", "tensorflow")


_FLAGS = frozenset(
    (
        *("go_backwards", "return_sequences", "use_bias", "reset_after", "trainable", "mask_zero"),
        *("center", "scale", "rms_scaling", "keepdims"),
    )
)
_TEXTS = frozenset(("class_name", "merge_mode", "data_format"))
_NUMBERS = frozenset(("units", "input_dim", "output_dim", "axis", "max_value", "negative_slope", "threshold"))


class KerasArrays(NamedTuple):
    """A layer or model of Keras as data, which needs no Keras.

    Attributes
    ----------
    class_name : str
        A class of `keras.layers`, or "Sequential".
    config : dict
        As `get_config()` returns it. Missing entries have Keras's defaults.
    weights : list of ndarray
        In the order of `get_weights()`.

    Examples
    --------
    >>> import bptt
    >>> arrays = bptt.interop.keras_arrays(bptt.GRU(3, 8))
    >>> arrays.class_name, [array.shape for array in arrays.weights]
    ('GRU', [(3, 24), (8, 24), (2, 24)])
    """

    class_name: str
    config: Mapping[str, Any]
    weights: Sequence[Any]


def describe(layer: Any, place: str) -> tuple[KerasArrays, bool]:
    """Return a Keras layer as data, and whether it comes from Keras 2.

    Raises
    ------
    TypeError
        If `layer` is not a layer of Keras, or a subclass with other computations.
    """
    if isinstance(layer, KerasArrays):
        if not isinstance(layer.config, Mapping):
            raise TypeError(
                f"{place} must have a mapping as config; got {short(layer.config)}. Fix: pass get_config()."
            )
        if not isinstance(layer.weights, (list, tuple)):
            raise TypeError(
                f"{place} must have a list of weights; got {short(layer.weights)}. Fix: pass get_weights()."
            )
        check_config({"class_name": layer.class_name, "config": layer.config}, place)
        return layer, False
    known = next((cls for cls in type(layer).__mro__ if cls.__module__.split(".")[0] in _ROOTS), None)
    if known is None or not hasattr(layer, "get_weights"):
        raise TypeError(
            f"{place} must be a layer of Keras or KerasArrays; got {short(layer)} of type "
            f"{type(layer).__name__}. Fix: pass the layer itself, such as model.layers[0]."
        )
    if getattr(type(layer), "call", None) is not getattr(known, "call", None):
        raise TypeError(
            f"{place} must be a layer that bptt knows; got {type(layer).__name__}, which defines its own "
            "call. Fix: pass a list of its layers in their order, or KerasArrays of a known class."
        )
    root = known.__module__.split(".")[0]
    old = root == "tf_keras" or str(getattr(sys.modules.get(root), "__version__", "3")).startswith("2.")
    return KerasArrays(known.__name__, layer.get_config(), layer.get_weights()), old


def check_config(config: Mapping[str, Any], place: str) -> None:
    """Raise TypeError if an entry has a type that `get_config()` does not return.

    A flag such as "no" would be read as true.
    """
    for name, value in config.items():
        if name in _FLAGS and not (
            isinstance(value, (bool, np.bool_)) or (type(value) is int and value in (0, 1))
        ):
            wanted = "True or False"
        elif name in _TEXTS and not isinstance(value, (str, type(None))):
            wanted = "a str"
        elif name in _NUMBERS and not isinstance(value, (int, float, list, tuple, np.number, type(None))):
            wanted = "a number"
        else:
            parts = value if isinstance(value, (list, tuple)) else [value]
            for part in parts:
                if isinstance(part, Mapping):
                    check_config(part, place)
            continue
        raise TypeError(f"{place} must have {wanted} as {name}; got {short(value)}. Fix: pass get_config().")


class WeightReader:
    """Hands out the weights of a layer in their order, and checks their shapes."""

    def __init__(self, weights: Sequence[Any], place: str) -> None:
        self._place = place
        self._weights = [to_array(value, f"{place}, weight {k}") for k, value in enumerate(weights)]
        self._next = 0

    @property
    def dtype(self) -> str:
        """The dtype of a layer with these weights."""
        double = bool(self._weights) and self._weights[0].dtype == np.float64
        return "float64" if double else "float32"

    def take(self, name: str, shape: tuple[int | None, ...], place: str) -> npt.NDArray[Any]:
        """Return the next weight. None in `shape` is any size."""
        if self._next == len(self._weights):
            fix = "pass all of get_weights()" if self._weights else "call the layer once"
            raise ValueError(
                f"{place} must have {quantity(self._next + 1, 'weight')} or more, with a {name} of shape "
                f"{_format(shape)}; got {self._shapes()}. Fix: {fix}."
            )
        array = self._weights[self._next]
        if len(array.shape) != len(shape) or any(
            size not in (None, actual) for size, actual in zip(shape, array.shape, strict=True)
        ):
            raise ValueError(
                f"{place} must have a {name} of shape {_format(shape)} as weight {self._next}; got "
                f"{array.shape}. Fix: pass the weights in the order of get_weights()."
            )
        self._next += 1
        return array

    def check_all_used(self) -> None:
        """Raise ValueError if weights are left."""
        if self._next < len(self._weights):
            raise ValueError(
                f"{self._place} must have {quantity(self._next, 'weight')}; got {self._shapes()}. "
                "Fix: pass the weights of this layer alone."
            )

    def _shapes(self) -> str:
        shapes = [str(array.shape) for array in self._weights]
        return f"{quantity(len(shapes), 'weight')} {', '.join(shapes[:12])}".strip()


def _format(shape: tuple[int | None, ...]) -> str:
    """Format a shape, with * for any size."""
    sizes = ["*" if size is None else str(size) for size in shape]
    return f"({', '.join(sizes)}{',' if len(sizes) == 1 else ''})"
