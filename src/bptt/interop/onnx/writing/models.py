"""Models of several layers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import numpy as np

from bptt.interop.onnx.writing.graph import Graph, Value
from bptt.interop.onnx.writing.lengths import Lengths
from bptt.interop.onnx.writing.stack import State, expanded, state_sizes, write_recurrent
from bptt.interop.onnx.writing.stateless import WRITERS
from bptt.layers import EncoderDecoder, Module, Parallel, Sequential
from bptt.layers.containers.named import Named
from bptt.layers.containers.parts import Key, inside
from bptt.layers.recurrent import Recurrent

_WHOLE = (Recurrent, Sequential, Parallel, EncoderDecoder)
"""Classes whose subclasses have the same equations, unless they define a pass of their own."""


class Writer:
    """Writes layers and models, and finds the states of recurrent layers in the order of a pass.

    Parameters
    ----------
    graph : Graph
    scan : {"auto", "always", "never"}
        Whether to write a `Scan` in place of an operator.
    states : {"none", "optional", "required"}
        Whether initial states are inputs of the graph. Otherwise, they are zeros.
    """

    def __init__(self, graph: Graph, scan: str, states: str) -> None:
        self._graph, self._scan, self._states = graph, scan, states
        self._given: Iterator[State] | None = None
        self.final: list[tuple[str, Recurrent, State]] = []
        """The recurrent layers whose states the model returns, with the beginning of their names."""

    def write(self, layer: Module, x: Any, lengths: Any, place: str) -> Value:
        """Write a layer or a model that reads `x`, and return its output."""
        kind = next((base for base in _WHOLE if isinstance(layer, base)), type(layer))
        if kind not in (*_WHOLE, *WRITERS) or _changed(layer, kind):
            raise TypeError(
                f"{place} must be a layer that has a form in ONNX; got {type(layer).__name__}, which has "
                "none. Fix: write the rest of the model, or use other layers of bptt."
            )
        if isinstance(layer, Sequential):
            return self._sequential(layer, x, lengths, place)
        if isinstance(layer, Parallel):
            return self._parallel(layer, x, lengths, place)
        if isinstance(layer, EncoderDecoder):
            return self._encoder_decoder(layer, x, lengths, place)
        if isinstance(layer, Recurrent):
            return self._recurrent(layer, x, lengths, place)
        return WRITERS[kind](self._graph, layer, x, lengths)

    def _sequential(self, layer: Sequential, x: Any, lengths: Any, place: str) -> Value:
        repeated = False
        for key, part in layer.parts.items():
            rows = _accepted(part, lengths)
            if repeated and rows is not None:
                raise ValueError(
                    f"lengths must not reach layers after Repeat, whose steps are not those of x; got "
                    f"{part.kind} at {inside(place, key)}. Fix: pass lengths=False, or use EncoderDecoder."
                )
            repeated = repeated or bool(part.steps_made)
            with self._inside(str(key)):
                x = self.write(part, x, rows, inside(place, key))
        return x  # type: ignore[no-any-return]

    def _recurrent(self, layer: Recurrent, x: Value, lengths: Lengths | None, place: str) -> Value:
        prefix = self._graph.prefix
        if self._given is not None:
            state: State | None = next(self._given)
        else:
            state = self._inputs(layer, x.name) if self._states != "none" else None
        y, final = write_recurrent(self._graph, layer, x, state, lengths, scan=self._scan, place=place)
        self.final.append((prefix, layer, final))
        return y

    def _inputs(self, layer: Recurrent, x: str) -> State:
        """Make the initial states inputs. If they may be left out, they are zeros then."""
        graph, rows = self._graph, layer.num_layers * layer.num_directions
        names = []
        for part, size in state_sizes(layer).items():
            name = f"{graph.prefix}{part}_0"
            graph.input(name, (rows, "batch", size))
            if self._states == "optional":  # a constant with the name of an input is its default
                name = expanded(graph, graph.weight(name, np.zeros((rows, 1, size))), x)
            names.append(name)
        return tuple(names)

    def _parallel(self, layer: Parallel, x: Any, lengths: Any, place: str) -> Value:
        outputs = [self._part(layer, key, x, lengths, place) for key in layer.parts]
        graph = self._graph
        steps = next((y for y in outputs if y.time is not None), None)
        if steps is not None:
            T = graph.add("Concat", graph.size(steps.name, 0), graph.integers(1, 1), axis=0)
            outputs = [
                y
                if y.time is not None
                else Value(graph.add("Expand", graph.with_axis(y.name, 0), T), y.width, steps.time)
                for y in outputs
            ]
        y = graph.add("Concat", *(y.name for y in outputs), axis=-1)
        width = sum(y.width or 0 for y in outputs)
        return Value(y, width, None if steps is None else steps.time)

    def _encoder_decoder(self, layer: EncoderDecoder, x: Any, lengths: Any, place: str) -> Value:
        before, first = self._given, len(self.final)
        self._part(layer, "encoder", x, lengths, place)
        self._given = iter([state for _, _, state in self.final[first:]])
        del self.final[first:]
        y = self._part(layer, "decoder", x, lengths, place)
        self._given = before
        return y

    def _part(self, layer: Named, key: Key, x: Any, lengths: Any, place: str) -> Value:
        """Write a layer of a model with named inputs."""
        part = layer.parts[key]
        own = x[key] if isinstance(x, Mapping) else x
        rows = lengths.get(key) if isinstance(lengths, Mapping) else lengths
        with self._inside(str(key)):
            return self.write(part, own, _accepted(part, rows), inside(place, key))

    @contextmanager
    def _inside(self, key: str) -> Iterator[None]:
        before = self._graph.prefix
        self._graph.prefix = f"{before}{key}."
        try:
            yield
        finally:
            self._graph.prefix = before


def _changed(layer: Module, kind: type[Module]) -> bool:
    """Return whether the class of a layer defines another pass than `kind`."""
    names = ("__call__", "forward", "connect")
    return any(getattr(type(layer), name, None) is not getattr(kind, name, None) for name in names)


def _accepted(layer: Module, lengths: Any) -> Any:
    return lengths if "lengths" in layer.call_options else None
