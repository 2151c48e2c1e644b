"""Checks of the layers of a model, and of their order in a `Sequential`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bptt.layers.advice import advise
from bptt.layers.containers.container import Container
from bptt.layers.containers.named import Named
from bptt.layers.containers.states import Key
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.module import Module, model_of
from bptt.layers.recurrent import Recurrent
from bptt.layers.stateless.dropout import Dropout
from bptt.layers.stateless.embedding import Embedding
from bptt.layers.stateless.ends import Ends
from bptt.layers.stateless.last import Last
from bptt.layers.stateless.linear import Linear


def check_layers(layers: Mapping[Key, object], example: str) -> None:
    """Raise if layers cannot form one model in any order.

    `example` is a call that builds a model, for messages.

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ValueError
        If there are no layers, a layer occurs twice or belongs to another living model, or dtypes differ.
    """
    if not layers:
        raise ValueError(
            f"layers must be at least one layer; got none. Fix: pass layers, for example {example}."
        )
    first_of_dtype: dict[str, Key] = {}
    earlier: list[object] = []
    for key, layer in layers.items():
        if not isinstance(layer, Module):
            actual = type(layer).__name__
            fix = "pass Sequential(first, second), or Sequential(*layers) for a list"
            if isinstance(key, str):
                fix = f"pass {example}"
            if isinstance(layer, type):
                actual, fix = f"the class {layer.__name__}", f"pass an object, {layer.__name__}(...)"
            raise TypeError(f"layers must be layers, one per argument; got {actual} at {key!r}. Fix: {fix}.")
        if isinstance(key, str) and not key.isidentifier():
            raise ValueError(
                "names of layers must be identifiers, because parameter names begin with them; got "
                f"{key!r:.40}. Fix: use letters, digits and underscores."
            )
        if any(layer is other for other in earlier):
            raise ValueError(
                f"layers must be different objects; got the same {layer.kind} again at {key!r}. "
                "Fix: build a second layer."
            )
        earlier.append(layer)
        if model_of(layer) is not None:
            raise ValueError(
                f"layers must belong to no other model; got {layer.kind} of another model at {key!r}. "
                "Fix: pass copy.deepcopy(layer), or delete the other model."
            )
        if layer.parameter_count:
            first_of_dtype.setdefault(layer.dtype.name, key)
    if len(first_of_dtype) > 1:
        actual = ", ".join(f"{dtype} from layer {key!r} on" for dtype, key in first_of_dtype.items())
        raise ValueError(
            f"layers must have one dtype; got {actual}. Fix: build all layers with the same dtype."
        )


def check_joins(groups: Iterable[Sequence[Module]]) -> None:
    """Raise if layers cannot work in this order. Warn of likely mistakes.

    Parameters
    ----------
    groups : iterable of sequence of Module
        Layers in the order in which they run. A single layer is a group of one. A nested model is a group
        of all its layers, and has already warned of mistakes inside the group.

    Raises
    ------
    ValueError
        If a recurrent layer, `Last` or `Ends` follows `Last` or `Ends`. If `Ends` does not follow a
        bidirectional layer, or `Embedding` follows a layer that returns floats. If layers differ in
        `batch_first`.

    Warns
    -----
    UserWarning
        `Last` after a bidirectional layer.
    """
    groups = list(groups)
    check_layouts(layer for group in groups for layer in group)
    before: Module | None = None  # the layer whose output this layer reads
    recurrent: Recurrent | None = None  # the last recurrent layer
    mixer: Linear | Embedding | None = None  # a later layer, which mixes the recurrent layer's outputs
    end: Last | None = None  # the layer after which each row has one vector
    for group in groups:
        for layer in group:
            if isinstance(layer, (Recurrent, Last, Container)) and end is not None and _reads_time(layer):
                _refuse_after_end(end, layer)
            if isinstance(layer, Embedding) and before is not None:
                raise ValueError(
                    f"layers must have Embedding first, because it reads integers; got Embedding after "
                    f"{before.kind}, which returns floats. Fix: put Embedding before {before.kind}."
                )
            before = layer
            if isinstance(layer, Recurrent):
                recurrent, mixer = layer, None
            elif isinstance(layer, (Linear, Embedding)):
                mixer = layer
            elif isinstance(layer, Ends):
                _check_ends(recurrent, mixer)
                end = layer
            elif isinstance(layer, Last):
                if recurrent is not None and recurrent.bidirectional and recurrent not in group:
                    _warn_of_last(recurrent)
                end = layer
            elif isinstance(layer, Container):
                recurrent, mixer, end = None, None, _end_of(layer)
            elif not isinstance(layer, Dropout):  # a layer that the user wrote may return anything
                before = recurrent = mixer = end = None


def check_layouts(layers: Iterable[Module]) -> None:
    """Raise ValueError if layers have their time axis at different positions.

    `Last()` after `LSTM(..., batch_first=True)` would return the last row in place of the last step.
    """
    first: Any = None
    for model in layers:
        for layer in iter_layers(model):
            actual = getattr(layer, "batch_first", None)
            if actual is None:
                continue
            first = first or layer
            if actual != first.batch_first:
                raise ValueError(
                    f"layers must agree on batch_first; got {layer.kind} with {actual} after a layer with "
                    f"{first.batch_first}. Fix: pass batch_first={first.batch_first} to {layer.kind} too."
                )


def _reads_time(layer: Module) -> bool:
    return any(isinstance(part, (Recurrent, Last)) for part in iter_layers(layer))


def _end_of(layer: Module) -> Last | None:
    """Return the layer after which each row of this layer's output has one vector; None if it has steps."""
    if isinstance(layer, Last):
        return layer
    if not isinstance(layer, Container):
        return None
    parts = list(layer.parts.values())
    if isinstance(layer, Named):  # side by side: an output with steps gives steps to all
        ends = [_end_of(part) for part in layer.returned if _reads_time(part)]
        return ends[0] if ends and None not in ends else None
    end = None
    for part in parts:
        end = _end_of(part) or (end if isinstance(part, (Linear, Dropout)) else None)
    return end


def _refuse_after_end(end: Last, layer: Module) -> None:
    fix = f"move {end.kind}() after the last recurrent layer"
    if isinstance(layer, Last):
        fix = f"remove {layer.kind}()"
    raise ValueError(
        f"layers must not have {layer.kind} after {end.kind}: {end.kind} returns one vector per row, (B, H), "
        f"and {layer.kind} would read rows as time steps. Fix: {fix}."
    )


def _warn_of_last(recurrent: Recurrent) -> None:
    advise(
        f"Last() after a bidirectional {recurrent.kind} returns the reverse direction's state after this "
        f"direction has read one step only. Fix: use Ends() right after {recurrent.kind}, which returns each "
        "direction's state after the whole sequence."
    )


def _check_ends(recurrent: Recurrent | None, mixer: Module | None) -> None:
    """Raise ValueError if `Ends` may not follow these layers.

    `recurrent` is the last recurrent layer, and `mixer` a later layer that mixes its outputs. Either may be
    None.
    """
    if mixer is not None:
        fix = "put Ends() right after a bidirectional layer, or use Last()"
        if recurrent is not None:
            fix = "use Last() in place of Ends()"
            if recurrent.bidirectional:
                fix = f"put Ends() between {recurrent.kind} and {mixer.kind}"
        raise ValueError(
            f"layers must have Ends right after a bidirectional layer; got Ends after {mixer.kind}, which "
            f"mixes the directions. Fix: {fix}."
        )
    if recurrent is not None and not recurrent.bidirectional:
        raise ValueError(
            f"layers must have Ends after a bidirectional layer; got Ends after {recurrent.kind} with "
            "bidirectional=False, so half of the outputs would be those of step 0. "
            "Fix: use Last() in place of Ends()."
        )
