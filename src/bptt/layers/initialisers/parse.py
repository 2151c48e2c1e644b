"""The values that a layer's `init` accepts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import short, takes
from bptt.layers.initialisers.base import Drawable, Initialiser
from bptt.layers.initialisers.gates import chrono
from bptt.layers.initialisers.weights import glorot, identity, normal, orthogonal, sparse, uniform

Draw: TypeAlias = "Callable[[str, tuple[int, ...], np.random.Generator], npt.ArrayLike]"
Init: TypeAlias = (
    "Literal['default', 'orthogonal', 'identity', 'chrono', 'glorot', 'sparse', 'normal', 'uniform']"
    " | Initialiser | Draw"
)


class _Function(Initialiser):
    """An initialiser that calls a function init(name, shape, rng)."""

    def __init__(self, function: Draw) -> None:
        self.function = function

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        return self.function(name, shape, rng)


NAMES: dict[str, type[Initialiser]] = {
    "default": Initialiser,
    "orthogonal": orthogonal,
    "identity": identity,
    "chrono": chrono,
    "glorot": glorot,
    "sparse": sparse,
    "normal": normal,
    "uniform": uniform,
}
"""The names that `init` accepts. Each stands for an object of the class with its default arguments."""


def parse_init(init: Any) -> Initialiser:
    """Return the initialiser for a layer's `init`."""
    if isinstance(init, Initialiser):
        return init
    if isinstance(init, str) and init in NAMES:
        return NAMES[init]()
    if isinstance(init, type) and issubclass(init, Initialiser):
        raise TypeError(
            f"init must be an initialiser; got the class {init.__name__}. "
            f"Fix: call it, init={init.__name__}()."
        )
    if callable(init) and not isinstance(init, type) and takes(init, 3):
        return _Function(init)
    raise (ValueError if isinstance(init, str) else TypeError)(
        f"init must be {', '.join(map(repr, NAMES))}, one of bptt.init or a callable(name, shape, rng); "
        f'got {short(init)}. Fix: pass init="default".'
    )
