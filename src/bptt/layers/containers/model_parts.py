"""The layers of a model in one flat vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generators
from bptt.arrays import aligned_empty, aligned_zeros
from bptt.layers.containers.parts import Key, inside, per_part
from bptt.layers.module import Module, set_model
from bptt.layers.passes.one_call import OneCall
from bptt.layers.stateless.tied_linear import TiedLinear
from bptt.layers.undrawn import undrawn_gradients


class ModelParts(Module):
    """Base class of `Container`: named layers whose parameters lie in one flat vector."""

    parts: dict[Key, Module]
    """The layers by name, in the order of the flat vector."""

    def _join(self, parts: dict[Key, Module], seed: Seed) -> None:
        """Take the layers into the model. Constructors call this method after their checks."""
        model_rng: np.random.Generator | None = None
        if seed is not None:
            model_rng = _draw_again(self.kind, parts, seed)
        # Layers without parameters get the dtype of the layers with parameters.
        layers = list(parts.values())
        dtypes = [layer.dtype for layer in layers if layer.parameter_count] or [layers[0].dtype]
        super().__init__(dtypes[0], model_rng)
        self.parts = parts
        self.adding = OneCall()
        for key, part in parts.items():
            if isinstance(part, TiedLinear):
                with self.naming(key):
                    part.tie(dict(placed(self, "model")))
        count = sum(layer.parameter_count for layer in layers)
        if (gradients := undrawn_gradients()) is not None:
            self.bind(aligned_empty(count, self.dtype), gradients(count, self.dtype))
            return
        flat_parameters = aligned_zeros(count, self.dtype)
        start = 0
        for layer in layers:
            stop = start + layer.parameter_count
            flat_parameters[start:stop] = layer.flat_parameters
            start = stop
        self.bind(flat_parameters, aligned_zeros(count, self.dtype))

    @property
    def is_initial(self) -> bool:
        """Whether the parameters of all layers have not changed since they were drawn."""
        return all(layer.is_initial for layer in self.parts.values())

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw new initial parameters for every layer, each from a separate random stream.

        The parameters are those of a new model with `seed=rng`.

        Raises
        ------
        ValueError
            If a layer is a copy. Then no layer changes.
        """
        parts = list(placed(self, "model"))
        for place, part in parts:
            if part.initialiser is None:
                raise ValueError(
                    f"layers must be newly built to be initialised; got a copy, {part.kind} at {place}. "
                    "Fix: build a new model."
                )
        self.rng, *streams = generators(rng, 1 + len(parts))
        for (_, part), stream in zip(parts, streams, strict=True):
            part.initialise(stream)

    @property
    def trainable(self) -> bool:
        return any(layer.trainable for layer in self.parts.values())

    @trainable.setter
    def trainable(self, value: bool) -> None:
        value = flag(value, "trainable")
        for layer in self.parts.values():
            layer.trainable = value

    @property
    def fixed_parameters(self) -> frozenset[str]:
        return frozenset(
            f"{key}.{name}" for key, layer in self.parts.items() for name in layer.fixed_parameters
        )

    @property
    def int8_weights(self) -> frozenset[str]:
        return frozenset(f"{key}.{name}" for key, layer in self.parts.items() for name in layer.int8_weights)

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {
            f"{key}.{name}": view.shape
            for key, layer in self.parts.items()
            for name, view in layer.parameters.items()
        }

    def bind(self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any]) -> None:
        super().bind(flat_parameters, flat_gradients)
        self.sparse_blocks, self.no_gradient = (), {}
        start = 0
        for key, layer in self.parts.items():
            stop = start + layer.parameter_count
            layer.bind(flat_parameters[start:stop], flat_gradients[start:stop])
            set_model(layer, self)
            self.sparse_blocks += tuple(block.inside(str(key), start) for block in layer.sparse_blocks)
            self.no_gradient |= {f"{key}.{name}": rows for name, rows in layer.no_gradient.items()}
            start = stop

    def per_part(self, state: Any, name: str) -> tuple[Any, ...]:
        """Call `states.per_part` with the model's layers."""
        return per_part(self.parts, state, name, self.state_pattern)

    @property
    def state_pattern(self) -> str:
        """The form of this model's state, such as "((h, c), None)"."""
        parts = ", ".join(layer.state_pattern for layer in self.parts.values())
        return f"({parts}{',' if len(self.parts) == 1 else ''})"

    @contextmanager
    def naming(self, key: Key) -> Iterator[None]:
        """Add the layer to the message of an error, because every layer calls its input x."""
        try:
            yield
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"in layer {key!r}, {self.parts[key].kind}: {error}") from error


def placed(module: Module, place: str) -> Iterator[tuple[str, Module]]:
    """Yield the layers of `iter_layers`, each with its place, such as "model[2][0]"."""
    if isinstance(module, ModelParts):
        for key, layer in module.parts.items():
            yield from placed(layer, inside(place, key))
    else:
        yield place, module


def _draw_again(kind: str, layers: Mapping[Key, Module], seed: Seed) -> np.random.Generator:
    """Draw the parameters of new layers, each from a separate stream, and return the model's generator."""
    parts = [part for key, layer in layers.items() for part in placed(layer, inside("model", key))]
    for place, part in parts:
        if not part.is_initial:
            raise ValueError(
                f"seed draws the parameters of new layers; got {part.kind} at {place} with "
                "parameters that were trained, loaded or copied. Fix: leave seed out, or build the "
                f"layer in the call: {kind}(LSTM(8, 16), Linear(16, 2), seed=0)."
            )
    model_rng, *streams = generators(seed, 1 + len(parts))
    for (_, part), stream in zip(parts, streams, strict=True):
        part.initialise(stream)
    return model_rng
