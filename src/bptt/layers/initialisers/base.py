"""The base classes of initialisers."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Any, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

Matrix: TypeAlias = npt.NDArray[np.float64]


class Drawable(Protocol):
    """The part of a layer that initialisers read."""

    @property
    def kind(self) -> str: ...
    @property
    def memory_gates(self) -> tuple[tuple[int, int], ...]: ...
    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]: ...


class Initialiser:
    """Draw a layer's initial values.

    This class draws the defaults, and subclasses override some draws. `init` accepts your own subclass as
    well as the initialisers in `bptt.init`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class Closed(bptt.init.Initialiser):
    ...     def draw(self, layer, name, shape, rng):
    ...         if name.startswith("bias"):
    ...             return np.full(shape, -1.0)
    ...         return super().draw(layer, name, shape, rng)
    >>> layer = bptt.GRU(3, 8, init=Closed())
    >>> np.unique(layer.parameters["bias_ih_l0"])
    array([-1.], dtype=float32)
    """

    def check(self, layer: Drawable) -> None:
        """Raise ValueError if the initialiser does not suit the layer.

        Called once, before all draws.
        """

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        """Draw the initial values of one parameter.

        Parameters
        ----------
        layer : Module
            A layer whose sizes and options are set. Some parameters may not have values yet.
        name : str
        shape : tuple of int
            Name and shape of the parameter, as in `layer.parameters`.
        rng : numpy.random.Generator
            The generator of the layer.

        Returns
        -------
        array-like
            Real numbers in this shape. The layer converts them to its dtype.
        """
        return layer.default_init(name, shape)


class Blocks(Initialiser, ABC):
    """Draw weights gate by gate, and set biases to 0."""

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        role = role_of(name)
        if role in ("bias", "bias_ih", "bias_hh"):
            return np.zeros(shape)
        if role in ("weight_ih", "weight_hh"):
            rows, columns = shape
            H: int = layer.hidden_size  # type: ignore[attr-defined]  # layers with such names are recurrent
            block = self._input if role == "weight_ih" else self._recurrent
            return np.concatenate([block(H, columns, rng) for _ in range(rows // H)])
        if role in ("weight", "weight_hr"):
            rows, columns = shape
            weights = self._plain(rows, columns, rng)
            if weights is not None:
                return weights
        return super().draw(layer, name, shape, rng)

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """Draw a gate's block of `weight_ih`, (H, I)."""
        return uniform_matrix(rows, columns, rng)

    @abstractmethod
    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """Draw a gate's block of `weight_hh`: (H, H), or (H, P) with a projection."""

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix | None:
        """Draw weights without gates: of `Linear` and `Embedding`, and `weight_hr`.

        None: use the default.
        """
        return None


class Alike(Blocks):
    """Draw all weights in the same way, and set biases to 0."""

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self._plain(rows, columns, rng)

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self._plain(rows, columns, rng)

    @abstractmethod
    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """Draw a gate's block of weights, or weights without gates."""


def role_of(name: str) -> str:
    """Return `weight_ih` for `weight_ih_l0_reverse`.

    A name without a layer number is returned unchanged.
    """
    return name.partition("_l")[0]


def need_time(layer: Drawable, name: str, does: str) -> None:
    if not hasattr(layer, "hidden_size"):
        raise ValueError(
            f'init="{name}" {does}; got {layer.kind}, which has none. '
            'Fix: pass init="glorot" or "orthogonal".'
        )


def uniform_matrix(rows: int, columns: int, rng: np.random.Generator) -> Matrix:
    bound = math.sqrt(6.0 / (rows + columns))
    return rng.uniform(-bound, bound, (rows, columns))
