"""The graph of an ONNX model, checked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from google.protobuf.message import DecodeError

from bptt.interop.onnx.errors import DAMAGED, OnnxError
from bptt.interop.onnx.reading.content import Content, array_of
from bptt.interop.onnx.reading.external import read_external
from bptt.interop.onnx.reading.tensors import Tensor
from bptt.interop.onnx.reading.wire import SIZE_LIMIT, Place, cut

NODE_LIMIT = 20_000


def text(value: str | bytes) -> str:
    """Return a text of a file. It is bytes if it is not UTF-8."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def decimal(value: float) -> float:
    """Return the shortest decimal number that is this float32: 0.4, not 0.4000000059604645."""
    return float(str(np.float32(value)))


_ATTRIBUTES: Mapping[int, str] = {
    onnx.AttributeProto.FLOAT: "f",
    onnx.AttributeProto.INT: "i",
    onnx.AttributeProto.STRING: "s",
    onnx.AttributeProto.TENSOR: "t",
    onnx.AttributeProto.GRAPH: "g",
    onnx.AttributeProto.FLOATS: "floats",
    onnx.AttributeProto.INTS: "ints",
    onnx.AttributeProto.STRINGS: "strings",
    onnx.AttributeProto.TENSORS: "tensors",
    onnx.AttributeProto.GRAPHS: "graphs",
    onnx.AttributeProto.SPARSE_TENSOR: "sparse_tensor",
    onnx.AttributeProto.SPARSE_TENSORS: "sparse_tensors",
    onnx.AttributeProto.TYPE_PROTO: "tp",
    onnx.AttributeProto.TYPE_PROTOS: "type_protos",
}
"""The field with the value of an attribute, by its type."""


class Node:
    """One node of a graph."""

    def __init__(self, proto: Any, index: int) -> None:
        self.op = text(proto.op_type)
        self.domain = "" if proto.domain == "ai.onnx" else text(proto.domain)
        self.inputs: Sequence[str] = list(map(text, proto.input))
        self.outputs: Sequence[str] = list(map(text, proto.output))
        self.name = text(proto.name) or f"number {index}"
        self._proto = proto

    @property
    def attributes(self) -> dict[str, Any]:
        """The attributes by name: numbers, texts, lists of these, or tensors."""
        values = {}
        for attribute in self._proto.attribute:
            field = _ATTRIBUTES.get(attribute.type)
            if field is None:
                raise OnnxError(f"has attribute {attribute.name!r:.40} of no type at {self}")
            value = getattr(attribute, field)
            if field == "s":
                value = text(value)
            elif field == "f":
                value = decimal(value)
            elif field == "floats":
                value = list(map(decimal, value))
            elif field == "t":
                value = Tensor(value)
            elif field == "strings":
                value = list(map(text, value))
            elif field.endswith("s"):
                value = list(value)
            values[text(attribute.name)] = value
        return values

    def __str__(self) -> str:
        domain = f"{self.domain}." if self.domain else ""
        output = next(filter(None, self.outputs), "")
        return f"node {self.name!r:.60} ({domain}{self.op:.40}, output {output!r:.60})"


class Graph:
    """A graph whose names are unique.

    Attributes
    ----------
    opset : int
        Version of the standard operators.
    constants : dict of str to Tensor
        The initializers.
    inputs : dict
        The inputs that are not initializers: `onnx.ValueInfoProto` by name.
    outputs : list of str
    proto : onnx.ModelProto
        The model without large weights.

    Raises
    ------
    OnnxError
        If bytes, tensors or names are wrong.
    """

    def __init__(self, content: Content, folder: Path | None) -> None:
        if len(content) > SIZE_LIMIT:
            raise OnnxError(f"has more than {SIZE_LIMIT} bytes, the limit of ONNX files")
        message, places = cut(content)
        model = onnx.ModelProto()
        try:
            model.ParseFromString(message)
        except (DecodeError, ValueError, RecursionError):
            raise OnnxError(DAMAGED) from None
        if not model.HasField("graph"):
            raise OnnxError("is not an ONNX model: it holds no graph. Fix: export it again")
        graph = model.graph
        self.proto = model
        self.opset = max(
            (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), default=1
        )
        self.constants: dict[str, Tensor] = {}
        for index, proto in enumerate(graph.initializer):
            name = text(proto.name)
            if not name or name in self.constants:
                raise OnnxError(f"holds two initializers with the name {name!r:.60}")
            self.constants[name] = _tensor(proto, places.get(index), content, folder)
        inputs = [(text(value.name), value) for value in graph.input]
        self.inputs = {name: value for name, value in inputs if name not in self.constants}
        if len(self.inputs) + sum(name in self.constants for name, _ in inputs) != len(inputs):
            raise OnnxError("holds two inputs of the same name")
        self.outputs = [text(value.name) for value in graph.output if value.name]
        if len(graph.node) > NODE_LIMIT:
            raise OnnxError(f"has {len(graph.node)} nodes; the limit is {NODE_LIMIT}")
        self._makers: dict[str, Node] = {}
        for number, proto in enumerate(graph.node):
            node = Node(proto, number)
            for name in filter(None, node.outputs):
                if name in self._makers or name in self.constants or name in self.inputs:
                    raise OnnxError(f"holds two values with the name {name!r:.60}, one of them from {node}")
                self._makers[name] = node

    @property
    def operators(self) -> Counter[str]:
        """The number of nodes of each operator."""
        return Counter(node.op for node in set(self._makers.values()))

    @property
    def names(self) -> Iterator[str]:
        """Names of all values that nodes make."""
        return iter(self._makers)

    def before(self, outputs: Sequence[str]) -> list[Node]:
        """Return the nodes that these values need, in an order in which they can run.

        Raises
        ------
        OnnxError
            If nodes form a cycle, or a value has no source.
        """
        order: list[Node] = []
        state: dict[int, bool] = {}  # of the nodes that were met: whether their inputs are done
        waiting: list[tuple[str, Any, bool]] = [(name, "the outputs", False) for name in reversed(outputs)]
        while waiting:
            name, reader, leaving = waiting.pop()
            if name in self.constants or name in self.inputs:
                continue
            node = self._makers.get(name)
            if node is None:
                raise OnnxError(f"lacks the value {name!r:.60}, which {reader} needs")
            if leaving:
                state[id(node)] = True
                order.append(node)
            elif id(node) not in state:
                state[id(node)] = False
                waiting.append((name, reader, True))
                waiting += [(entry, node, False) for entry in reversed(node.inputs) if entry]
            elif not state[id(node)]:
                raise OnnxError(f"has nodes that form a cycle through {node}")
        return order


def _tensor(proto: Any, place: Place | None, content: Content, folder: Path | None) -> Tensor:
    if proto.data_location == onnx.TensorProto.EXTERNAL:
        if place is not None or proto.HasField("raw_data"):
            raise OnnxError(f"holds tensor {proto.name!r:.60} with data in the file and outside of it")
        return Tensor(proto, lambda: read_external(folder, proto))
    if place is None:
        return Tensor(proto)
    raw = partial(array_of, content, place.start, place.stop)
    if isinstance(content, bytes):
        return Tensor(proto, raw, place.field)
    return Tensor(proto, raw, place.field, content.into, place.start, place.stop)
