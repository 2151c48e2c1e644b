"""Which layers may form a `Sequential`, and in which order."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from bptt.layers.advice import advise
from bptt.layers.dropout import Dropout
from bptt.layers.embedding import Embedding
from bptt.layers.ends import Ends
from bptt.layers.last import Last
from bptt.layers.linear import Linear
from bptt.layers.module import Module, model_of
from bptt.layers.recurrent import Recurrent


def check_layers(layers: tuple[object, ...]) -> None:
    """
    Refuse layers that cannot form one model in any order.

    Raises
    ------
    TypeError
        Something that is not a layer.
    ValueError
        No layers, the same layer twice, a layer of another living model, or layers of different dtypes.
    """
    if not layers:
        raise ValueError(
            "layers must be at least one layer; got none. Fix: Sequential(LSTM(8, 16), Linear(16, 2))."
        )
    typed: dict[str, int] = {}
    for index, layer in enumerate(layers):
        if not isinstance(layer, Module):
            got, fix = type(layer).__name__, "Sequential(first, second), or Sequential(*layers) for a list"
            if isinstance(layer, type):
                got, fix = f"the class {layer.__name__}", f"pass an object, {layer.__name__}(...)"
            raise TypeError(f"layers must be layers, one per argument; got {got} at {index}. Fix: {fix}.")
        if any(layer is earlier for earlier in layers[:index]):
            raise ValueError(
                f"layers must be different objects; got the same {layer.kind} twice, at {index} again. "
                "Fix: build a second layer."
            )
        if model_of(layer) is not None:
            raise ValueError(
                f"layers must belong to no other model; got one that does, {layer.kind} at {index}. "
                "Fix: pass copy.deepcopy(layer), or drop the other model."
            )
        if layer.parameter_count:
            typed.setdefault(layer.dtype.name, index)
    if len(typed) > 1:
        got = ", ".join(f"{dtype} from layer {index} on" for dtype, index in typed.items())
        raise ValueError(f"layers must have one dtype; got {got}. Fix: build all layers with the same dtype.")


def check_joins(groups: Iterable[Sequence[Module]]) -> None:
    """
    Refuse an order of layers that cannot work, and warn of an order that is almost always a mistake.

    Parameters
    ----------
    groups : iterable of sequence of Module
        Layers in the order in which they run. A layer on its own is a group of one. A nested model is a group
        of all its layers: the model has already warned of mistakes inside the group.

    Raises
    ------
    ValueError
        A recurrent layer, `Last` or `Ends` after `Last` or `Ends`; `Ends` after anything but a bidirectional
        layer; `Embedding` after a layer that returns floats; layers with different `batch_first`.

    Warns
    -----
    UserWarning
        `Last` after a bidirectional layer.
    """
    first: Module | None = None  # the first layer with batch_first
    before: Module | None = None  # the layer whose output this layer reads
    recurrent: Recurrent | None = None  # the last recurrent layer
    mixer: Linear | Embedding | None = None  # a later layer, which mixes that layer's outputs
    end: Last | None = None  # the layer that left one vector per row
    for group in groups:
        for layer in group:
            if hasattr(layer, "batch_first"):
                first = first or layer
                _check_layout(first, layer)
            if isinstance(layer, (Recurrent, Last)) and end is not None:
                _refuse_after_end(end, layer)
            if isinstance(layer, Embedding) and before is not None:
                raise ValueError(
                    f"layers must have Embedding first, for Embedding reads integers; got Embedding after "
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
            elif not isinstance(layer, Dropout):  # a layer of the user's: nobody here knows what it returns
                before = recurrent = mixer = end = None


def _check_layout(first: Module, layer: Module) -> None:
    """Time lies on one axis for all layers: `Last()` after `LSTM(..., batch_first=True)` takes a last row."""
    expected, got = first.batch_first, layer.batch_first  # type: ignore[attr-defined]
    if got != expected:
        raise ValueError(
            f"layers must agree on batch_first; got {layer.kind} with {got} after a layer with {expected}. "
            f"Fix: pass batch_first={expected} to {layer.kind} too."
        )


def _refuse_after_end(end: Last, layer: Module) -> None:
    fix = f"move {end.kind}() behind the last recurrent layer"
    if isinstance(layer, Last):
        fix = f"leave the second out, {layer.kind}()"
    raise ValueError(
        f"layers must not have {layer.kind} after {end.kind}: {end.kind} returns one vector per row, (B, H), "
        f"whose rows {layer.kind} would take for time steps. Fix: {fix}."
    )


def _warn_of_last(recurrent: Recurrent) -> None:
    advise(
        f"Last() after a bidirectional {recurrent.kind} takes the reverse direction's state after it has "
        f"read one step only. Fix: use Ends() right after {recurrent.kind}, which takes each direction's "
        "state after it has read the whole sequence."
    )


def _check_ends(recurrent: Recurrent | None, mixer: Module | None) -> None:
    """`Ends` after the last recurrent layer and what mixes its outputs, each None if there is none."""
    if mixer is not None:
        fix = "put Ends() right after a bidirectional layer, or use Last()"
        if recurrent is not None:
            fix = "use Last() in place of Ends()"
            if recurrent.bidirectional:
                fix = f"put Ends() between {recurrent.kind} and {mixer.kind}"
        raise ValueError(
            f"layers must have Ends right after a bidirectional layer; got Ends after {mixer.kind}, whose "
            f"outputs belong to no direction. Fix: {fix}."
        )
    if recurrent is not None and not recurrent.bidirectional:
        raise ValueError(
            f"layers must have Ends after a bidirectional layer; got Ends after {recurrent.kind} with "
            "bidirectional=False, where half of the outputs would be those of step 0. "
            "Fix: use Last() in place of Ends()."
        )
