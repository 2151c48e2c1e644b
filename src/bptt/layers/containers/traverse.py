"""All layers inside a model."""

from __future__ import annotations

from collections.abc import Iterator

from bptt.layers.containers.model_parts import ModelParts, placed
from bptt.layers.module import Module


def iter_layers(module: Module) -> Iterator[Module]:
    """Yield the layers of a model, including nested ones, in the order of a pass."""
    for _, layer in placed(module, "model"):
        yield layer


def iter_models(module: Module) -> Iterator[Module]:
    """Yield a model and all models and layers inside it."""
    yield module
    if isinstance(module, ModelParts):
        for layer in module.parts.values():
            yield from iter_models(layer)
