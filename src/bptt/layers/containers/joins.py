"""Checks of the layers of a model, and of their order in a `Sequential`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bptt.layers.advice import advise
from bptt.layers.containers.container import Container
from bptt.layers.containers.named import Named
from bptt.layers.containers.parts import Key
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.module import Module, model_of
from bptt.layers.passes.directions import reads_from_end
from bptt.layers.recurrent_calls import RecurrentCalls
from bptt.layers.stateless.activations import Elementwise, Softmax
from bptt.layers.stateless.dropout import Dropout
from bptt.layers.stateless.embedding import Embedding
from bptt.layers.stateless.ends import Ends
from bptt.layers.stateless.last import Last
from bptt.layers.stateless.layer_norm import LayerNorm
from bptt.layers.stateless.linear import Linear
from bptt.layers.stateless.pools import Pool
from bptt.layers.stateless.repeat import Repeat
from bptt.layers.stateless.tied_linear import TiedLinear

ONE_VECTOR = (Last, Pool)
"""Layers after which each row has one vector and no time axis."""

SAME_AXES = (Dropout, Elementwise, LayerNorm, Softmax)
"""Layers that keep the axes of x, and mix neither steps nor directions."""


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


def check_joins(groups: Iterable[Sequence[Module]]) -> list[tuple[Ends, bool]]:
    """Raise if layers cannot work in this order. Warn of likely mistakes.

    Return each `Ends` whose recurrent layer is known, with whether that layer has `reverse=True`.

    Parameters
    ----------
    groups : iterable of sequence of Module
        Layers in the order in which they run. A single layer is a group of one. A nested model is a group
        of all its layers, and has already warned of mistakes inside the group.

    Raises
    ------
    ValueError
        If a recurrent layer, `Last`, `Ends` or a pool follows `Last`, `Ends` or a pool without `Repeat`
        between them. If `Repeat` follows a recurrent layer. If `Ends` does not follow a layer that reads from
        the end, or follows one that merges its directions. If `Embedding` follows a layer that returns
        floats. If layers differ in `batch_first`.

    Warns
    -----
    UserWarning
        `Last` after a layer that reads from the end.
    """
    groups = list(groups)
    check_layouts(layer for group in groups for layer in group)
    directions: list[tuple[Ends, bool]] = []
    before: Module | None = None  # the layer whose output this layer reads
    recurrent: RecurrentCalls | None = None  # the last recurrent layer
    mixer: Module | None = None  # a later layer, which mixes the recurrent layer's outputs
    end: Module | None = None  # the layer after which each row has one vector
    sequence: Module | None = None  # the layer after which each row has a time axis
    for group in groups:
        for layer in group:
            if end is not None and _reads_time(layer):
                _refuse_after_end(end, layer)
            if isinstance(layer, Repeat) and sequence is not None:
                raise ValueError(
                    "layers must have Repeat after Last, Ends or a pool, because it reads one vector per "
                    f"row; got Repeat after {sequence.kind}. Fix: put Last() between them."
                )
            if isinstance(layer, Embedding) and before is not None:
                raise ValueError(
                    f"layers must have Embedding first, because it reads integers; got Embedding after "
                    f"{before.kind}, which returns floats. Fix: put Embedding before {before.kind}."
                )
            before = layer
            if isinstance(layer, (RecurrentCalls, Repeat)):
                sequence = layer
            elif isinstance(layer, ONE_VECTOR):
                sequence = None
            if isinstance(layer, RecurrentCalls):
                recurrent, mixer = layer, None
            elif isinstance(layer, (Linear, TiedLinear, Embedding)):
                mixer = layer
            elif isinstance(layer, Ends):
                _check_ends(recurrent, mixer)
                if recurrent is not None:
                    directions.append((layer, recurrent.reverse))
                end = layer
            elif isinstance(layer, ONE_VECTOR):
                if isinstance(layer, Last) and recurrent is not None and recurrent not in group:
                    _check_last(recurrent)
                end = layer
            elif isinstance(layer, Repeat):
                recurrent, mixer, end = None, layer, None
            elif isinstance(layer, Container):
                recurrent, mixer, end, sequence = None, None, _end_of(layer), None
            elif not isinstance(layer, SAME_AXES):  # a layer that the user wrote may return anything
                before = recurrent = mixer = end = sequence = None
    return directions


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
    for part in iter_layers(layer):
        if isinstance(part, Repeat):  # later layers read the steps that it makes
            return False
        if isinstance(part, (RecurrentCalls, *ONE_VECTOR)):
            return True
    return False


def _end_of(layer: Module) -> Module | None:
    """Return the layer after which each row of this layer's output has one vector; None if it has steps."""
    if isinstance(layer, ONE_VECTOR):
        return layer
    if not isinstance(layer, Container):
        return None
    parts = list(layer.parts.values())
    if isinstance(layer, Named):  # side by side: an output with steps gives steps to all
        ends = [_end_of(part) for part in layer.returned if _reads_time(part)]
        return ends[0] if ends and None not in ends else None
    end = None
    for part in parts:
        end = _end_of(part) or (end if isinstance(part, (Linear, *SAME_AXES)) else None)
    return end


def _refuse_after_end(end: Module, layer: Module) -> None:
    fix = f"move {end.kind}() after the last recurrent layer, or put Repeat(steps) between them"
    if isinstance(layer, ONE_VECTOR):
        fix = f"remove {layer.kind}()"
    raise ValueError(
        f"layers must not have {layer.kind} after {end.kind}: {end.kind} returns one vector per row, (B, H), "
        f"and {layer.kind} would read rows as time steps. Fix: {fix}."
    )


def _check_last(recurrent: RecurrentCalls) -> None:
    """Warn of `Last` after a layer that reads from the end."""
    if not reads_from_end(recurrent):
        return
    kind, ends = recurrent.kind, "use Ends() right after"
    if recurrent.reverse:
        advise(
            f"Last() after {kind} with reverse=True returns its state after it has read one step only. "
            f"Fix: {ends} {kind}, which returns its state after the whole sequence."
        )
        return
    if recurrent.merge != "concat":
        ends = f'pass merge="concat" to {kind}, and {ends}'
    advise(
        f"Last() after a bidirectional {kind} returns the reverse direction's state after this direction has "
        f"read one step only. Fix: {ends} {kind}, which returns each direction's state after the whole "
        "sequence."
    )


def _check_ends(recurrent: RecurrentCalls | None, mixer: Module | None) -> None:
    """Raise ValueError if `Ends` may not follow these layers.

    `recurrent` is the last recurrent layer, and `mixer` a later layer that mixes its outputs. Either may be
    None.
    """
    if mixer is not None:
        fix = "put Ends() right after a bidirectional layer, or use Last()"
        if recurrent is not None:
            fix = "use Last() in place of Ends()"
            if reads_from_end(recurrent):
                fix = f"put Ends() between {recurrent.kind} and {mixer.kind}"
        does = "has no directions" if isinstance(mixer, Repeat) else "mixes the directions"
        raise ValueError(
            f"layers must have Ends right after a bidirectional layer; got Ends after {mixer.kind}, which "
            f"{does}. Fix: {fix}."
        )
    if recurrent is not None and recurrent.merge != "concat":
        raise ValueError(
            f"layers must have Ends after a layer that keeps its directions apart; got {recurrent.kind} with "
            f"merge={recurrent.merge!r}, which joins them step by step. "
            f'Fix: pass merge="concat" to {recurrent.kind}.'
        )
    if recurrent is not None and not reads_from_end(recurrent):
        raise ValueError(
            f"layers must have Ends after a bidirectional layer; got Ends after {recurrent.kind} with "
            "bidirectional=False, so half of the outputs would be those of step 0. "
            "Fix: use Last() in place of Ends()."
        )
