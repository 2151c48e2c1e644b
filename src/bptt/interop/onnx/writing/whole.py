"""A whole model: inputs, layers and outputs."""

from __future__ import annotations

from typing import NamedTuple

from bptt.interop.onnx.writing.arrays import write_inputs, write_lengths, write_output
from bptt.interop.onnx.writing.graph import Graph
from bptt.interop.onnx.writing.models import Writer
from bptt.interop.onnx.writing.stack import state_sizes
from bptt.layers import Module


class Options(NamedTuple):
    """Arguments of `save` that decide which nodes are written."""

    lengths: bool
    states: str
    shared_input: bool
    scan: str


def write_model(graph: Graph, model: Module, options: Options) -> None:
    """Write a model. Raises the errors of `save`."""
    x = write_inputs(graph, model, shared=options.shared_input)
    lengths = write_lengths(graph, model, x) if options.lengths else None
    writer = Writer(graph, options.scan, options.states)
    write_output(graph, model, writer.write(model, x, lengths, "model"))
    if options.states == "none":
        return
    for prefix, layer, final in writer.final:
        rows = layer.num_layers * layer.num_directions
        for (part, size), name in zip(state_sizes(layer).items(), final, strict=True):
            graph.output(f"{prefix}{part}_n", name, (rows, "batch", size))
