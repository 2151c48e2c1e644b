"""Layers without a state, in C."""

from __future__ import annotations

from bptt.c_export.functions import activation
from bptt.c_export.source import Source, literal
from bptt.layers import Dropout, Embedding, Last, LayerNorm, Linear, Module, Softmax, TiedLinear
from bptt.layers.stateless.activations import Elementwise


def write_stateless(out: Source, place: int, layer: Module, before: str, width: int) -> str:
    """Write one layer, and return the expression of its outputs.

    Parameters
    ----------
    place : int
        The index of the layer in the model, which its names end with.
    before : str
        The expression of its inputs.
    width : int
        The number of its inputs, which for all layers but `Linear` and `Embedding` is that of its outputs.
    """
    if isinstance(layer, (Dropout, Last)):
        return before
    y = f"y{place}"
    if isinstance(layer, Embedding):
        return f"{table(out, place, layer)}[*x]"
    if isinstance(layer, (Linear, TiedLinear)):
        outputs = layer.out_features if isinstance(layer, Linear) else layer.num_embeddings
        out.array(y, outputs)
        out.set_vector(y, f"bias{place}", layer.parameters["bias"] if layer.bias else None, outputs)
        if isinstance(layer, Linear):
            out.add_product(y, f"weight{place}", layer.parameters["weight"], before)
        else:  # the rows of the embedding, which the header holds once
            rows = table(out, place, layer.embedding)
            out.loop(outputs, f"{y}[k] += {out.call('dot', f'{rows}[k]', before, str(width))};")
        return y
    out.array(y, width)
    if isinstance(layer, Elementwise):
        function = activation(out, (layer.kind.lower(), 0.0, 0.0), f"{before}[k]")
        out.loop(width, f"{y}[k] = {function};")
    elif isinstance(layer, Softmax):
        out.line(f"{out.call('softmax', before, y, str(width))};")
    elif isinstance(layer, LayerNorm):
        out.loop(width, f"{y}[k] = {before}[k];")
        out.line(f"{out.call('normalize', y, str(width), literal(layer.eps))};")
        _scale(out, place, layer, y, width)
    return y


def _scale(out: Source, place: int, layer: LayerNorm, y: str, width: int) -> None:
    if not layer.elementwise_affine:
        return
    text = f"{y}[k] * {out.weight(f'gain{place}', layer.parameters['weight'])}[k]"
    if layer.bias:
        text += f" + {out.weight(f'bias{place}', layer.parameters['bias'])}[k]"
    out.loop(width, f"{y}[k] = {text};")


def table(out: Source, place: int, layer: Embedding | None) -> str:
    """Return the name of the rows of an embedding, which a `TiedLinear` reads, too."""
    assert layer is not None, "a TiedLinear of a model has an embedding"
    if id(layer) not in out.tables:
        out.tables[id(layer)] = out.weight(f"rows{place}", layer.parameters["weight"])
    return out.tables[id(layer)]
