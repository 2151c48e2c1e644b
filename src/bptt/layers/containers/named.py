"""Base class of models whose layers have names, and may have different inputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from bptt.arrays import Floats
from bptt.layers.containers.container import Container
from bptt.layers.containers.parts import Key
from bptt.layers.kinds import build_layer
from bptt.layers.module import Module
from bptt.layers.passes.tape import ModelTape

if TYPE_CHECKING:
    from typing_extensions import Self


class Named(Container):
    """A model of layers with names. Use `Parallel` or `EncoderDecoder`.

    Inputs, their errors, `lengths`, `reset` and `skip` may be mappings from the names to arrays.
    """

    @property
    def main_first(self) -> tuple[str, ...]:
        """The names of the layers that read x, beginning with the one whose steps are the model's."""
        return tuple(map(str, self.parts))

    @property
    def returned(self) -> tuple[Module, ...]:
        """The layers whose outputs the model returns."""
        return tuple(self.parts.values())

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Key]:
        return iter(self.parts)

    def __getitem__(self, name: str) -> Module:
        try:
            return self.parts[name]
        except KeyError:
            raise KeyError(f"no layer {name!r}; the names are {', '.join(map(str, self.parts))}") from None

    def inputs(self, x: Any) -> dict[Key, Any]:
        """Return the input of each layer.

        Raises
        ------
        TypeError, ValueError
            If x is a tuple of arrays, or a mapping with other names than those of the layers.
        """
        expected = f"x must be a mapping with the names {', '.join(map(str, self.parts))}, or one array"
        example = ", ".join(f"{key!r}: ..." for key in self.parts)
        if isinstance(x, Mapping):
            if set(x) != set(self.parts):
                raise ValueError(
                    f"{expected}; got the names {', '.join(map(str, x))}. Fix: pass {{{example}}}."
                )
            return {key: x[key] for key in self.parts}
        if isinstance(x, (tuple, list)) and any(getattr(entry, "ndim", 0) for entry in x):
            raise TypeError(f"{expected}; got a {type(x).__name__} of arrays. Fix: pass {{{example}}}.")
        return dict.fromkeys(self.parts, x)

    def joined_errors(self, tape: ModelTape, dxs: dict[Key, Any], need_dx: bool) -> Any:
        """Return dx in the form of x: a mapping, or the sum over the layers that read the same array."""
        if not need_dx:
            return None
        if tape.named_inputs:
            return dxs
        errors: list[Floats] = [dx for dx in dxs.values() if dx is not None]
        return np.add.reduce(errors) if errors else None

    def select(self, key: Key, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            unknown = [part for part in value if part not in self.parts] if isinstance(value, Mapping) else []
            if unknown:
                raise ValueError(
                    f"{name} must have only the names {', '.join(map(str, self.parts))}; got "
                    f"{unknown[0]!r:.40}. Fix: pass {name}={{{key!r}: ...}}."
                )
        own = {
            name: value.get(key) if isinstance(value, Mapping) else value for name, value in options.items()
        }
        return {name: value for name, value in own.items() if value is not None}

    @property
    def reads_time(self) -> bool:
        return any(layer.reads_time for layer in self.parts.values())

    def sample(self, T: int | None, B: int, *, batch_first: bool = False) -> Any:
        """Return zeros for each layer. Where a layer reads time, the other layers read no steps."""
        batch_first = batch_first or self.batch_first
        return {
            key: layer.sample(
                T if layer.reads_time or not self.reads_time else None, B, batch_first=batch_first
            )
            for key, layer in self.parts.items()
        }

    def rebuilt(self, parts: Mapping[Key, Module]) -> Self:
        return type(self)(**cast("Any", parts))

    def config(self) -> dict[str, Any]:
        return {
            "parts": {
                str(k): {"kind": layer.kind, "config": layer.config()} for k, layer in self.parts.items()
            }
        }

    @classmethod
    def _build(cls, config: Mapping[str, Any]) -> Self:
        if set(config) != {"parts"} or not isinstance(config["parts"], Mapping):
            raise ValueError(
                f"config must hold one mapping, parts; got {sorted(config)}. "
                "Fix: pass the result of config()."
            )
        parts: dict[str, Any] = {name: build_layer(entry) for name, entry in config["parts"].items()}
        return cls(**parts)
