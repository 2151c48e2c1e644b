"""Nodes and constants of an ONNX graph that is being written."""

from __future__ import annotations

from collections.abc import Container, Iterator
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
from onnx import ModelProto, helper, numpy_helper

from bptt.arrays import to_floats
from bptt.layers import Embedding

OPSET = 17
"""The oldest set of operators that has all that are written. `LayerNormalization` is the newest of them."""
IR_VERSION = 8
"""The oldest file format whose readers must know this set of operators."""

Dimension = int | str
"""A size, or the name of a size that differs from call to call."""


class Value(NamedTuple):
    """A tensor of the graph: (T, B, F), (B, F) without a time axis, and the same without F for ids.

    Attributes
    ----------
    name : str
    width : int or None
        F. None for ids.
    time : int or str or None
        T. None without a time axis.
    """

    name: str
    width: int | None
    time: Dimension | None = None


class Parts(NamedTuple):
    """What the outputs of a graph depend on.

    Attributes
    ----------
    nodes : list of onnx.NodeProto
    constants : dict of str to ndarray
        Those of bodies, too.
    weights : frozenset of str
        The names of constants that come from parameters.
    """

    nodes: list[Any]
    constants: dict[str, npt.NDArray[Any]]
    weights: frozenset[str]


class Graph:
    """A graph, or the body of a `Scan` in it, to which nodes are added one by one.

    A body holds its constants, because not every runtime lets a body read those of the graph around it.

    Parameters
    ----------
    dtype : numpy.dtype
        Type of all weights and values that are not integers.
    around : Graph, optional
        The graph that this graph is the body of.
    exact : bool
        True: weights are float64, whatever `dtype` is. Use it for `parts`.
    """

    def __init__(self, dtype: np.dtype[Any], around: Graph | None = None, *, exact: bool = False) -> None:
        self.dtype = dtype
        self._exact = exact
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._nodes: list[Any] = []
        self._root: Graph = self if around is None else around._root
        self._constants: dict[str, npt.NDArray[Any]] = {}
        self._weights: set[str] = set()
        self._bodies: list[Graph] = []
        self._shared_names: dict[Any, str] = {}
        self._bytes = 0
        self._sizes: dict[tuple[str, int], str] = {}
        self._renamed: dict[str, str] = {}
        self._tables: dict[Embedding, str] = {}
        self._count = 0
        self.prefix: str = "" if around is None else around.prefix
        """The beginning of the names of new tensors."""
        self._inside = "" if around is None else f"{around.unique('step')}."

    def add(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a node with one output, and return the name of the output."""
        return self.add_many(operator, *inputs, outputs=1, **attributes)[0]

    def add_many(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a node with several outputs, and return their names."""
        name = self.unique(operator)
        names = [name] if outputs == 1 else [f"{name}.{k}" for k in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, name, **attributes))
        return names

    def unique(self, name: str) -> str:
        """Return a name that no other tensor has."""
        self._root._count += 1
        return f"{self.prefix}{name}_{self._root._count}"

    def weight(self, name: str, values: npt.NDArray[Any]) -> str:
        """Add a constant of the graph's type, and return its name."""
        dtype = np.dtype(np.float64) if self._root._exact else self.dtype
        name = self._constant(name, to_floats(values, name, dtype))
        self._root._weights.add(name)
        return name

    def number(self, value: float) -> str:
        """Return the name of a constant without axes."""
        return self._shared((self.dtype, value), np.array(value, self.dtype))

    def filled(self, shape: tuple[int, ...], value: float) -> str:
        """Return the name of a constant that has the same number everywhere."""
        return self._shared((self.dtype, value, shape), np.full(shape, value, self.dtype))

    def integers(self, *values: int) -> str:
        """Return the name of a constant of shape (n,)."""
        return self._shared(values, np.array(values, np.int64))

    def integer(self, value: int) -> str:
        """Return the name of a constant integer without axes."""
        return self._shared(value, np.array(value, np.int64))

    def embedding(self, layer: Embedding) -> str:
        """Return the name of the weight of an embedding, which a `TiedLinear` may share."""
        tables = self._root._tables
        if layer not in tables:
            tables[layer] = self.weight(f"{self.prefix}weight", layer.parameters["weight"])
        return tables[layer]

    def size(self, of: str, axis: int) -> str:
        """Return the size of an axis, (1,)."""
        key = of, axis
        if key not in self._sizes:
            self._sizes[key] = self.add("Shape", of, start=axis, end=axis + 1)
        return self._sizes[key]

    def split(self, of: str, *sizes: int, axis: int = -1) -> list[str]:
        """Return the parts of a tensor."""
        if len(sizes) == 1:
            return [of]
        return self.add_many("Split", of, self.integers(*sizes), outputs=len(sizes), axis=axis)

    def without_axis(self, of: str, axis: int) -> str:
        return self.add("Squeeze", of, self.integers(axis))

    def with_axis(self, of: str, axis: int) -> str:
        return self.add("Unsqueeze", of, self.integers(axis))

    def input(self, name: str, shape: tuple[Dimension, ...], dtype: Any = None) -> str:
        """Add an input, and return its name."""
        self._check_new(name)
        self.inputs.append(self._info(name, shape, dtype))
        return name

    def output(self, name: str, of: str, shape: tuple[Dimension, ...]) -> None:
        """Give a tensor the name of an output."""
        self._check_new(name)
        if any(of in node.output for node in self._nodes):
            _rename(self._nodes, of, name)
            self._renamed[of] = name
        else:  # an output already, or an input
            of = self._renamed.get(of, of)
            self._nodes.append(helper.make_node("Identity", [of], [name], f"{name}_copy"))
        self.outputs.append(self._info(name, shape, None))

    def scan(self, body: Graph, states: list[str], sequences: list[str], *, reverse: bool) -> list[str]:
        """Run the body for each step, and return the final states and the sequences of its outputs."""
        made = len(body.outputs) - len(states)
        self._root._bodies.append(body)
        names = [info.name for info in body.inputs]
        attributes: dict[str, Any] = {"num_scan_inputs": len(sequences)}
        if reverse:
            attributes["scan_input_directions"] = [1] * len(sequences)
            attributes["scan_output_directions"] = [1] * made
        constants = body._tensors(body._constants)
        graph = helper.make_graph(body._nodes, f"{self.prefix}step", body.inputs, body.outputs, constants)
        assert len(names) == len(states) + len(sequences)
        return self.add_many("Scan", *states, *sequences, outputs=len(body.outputs), body=graph, **attributes)

    def model(self, name: str, documentation: str, version: str) -> ModelProto:
        """Return the whole model."""
        nodes, read = self._needed()
        constants = self._tensors(read)
        graph = helper.make_graph(nodes, name, self.inputs, self.outputs, constants, documentation)
        return helper.make_model(
            graph,
            producer_name="bptt",
            producer_version=version,
            doc_string=documentation,
            ir_version=IR_VERSION,
            opset_imports=[helper.make_opsetid("", OPSET)],
        )

    def _needed(self) -> tuple[list[Any], set[str]]:
        """Return the nodes on which the outputs depend, and the tensors that these nodes read."""
        read, nodes = {info.name for info in self.outputs}, []
        for node in reversed(self._nodes):
            if read.intersection(node.output):
                nodes.append(node)
                read.update(_reads(node))
        return nodes[::-1], read

    @property
    def bytes(self) -> int:
        """The size of all constants."""
        return self._root._bytes

    def _shared(self, key: Any, value: npt.NDArray[Any]) -> str:
        """Return the name of a constant that all nodes with the same key read."""
        if key not in self._shared_names:
            self._shared_names[key] = self._constant(self.unique("constant"), value)
        return self._shared_names[key]

    def _constant(self, name: str, value: npt.NDArray[Any]) -> str:
        name = self._inside + name
        assert name not in self._constants, name
        self._constants[name] = value
        self._root._bytes += value.nbytes
        return name

    def parts(self) -> Parts:
        """Return what the outputs depend on."""
        nodes, read = self._needed()
        graphs = (self, *self._bodies)
        every = {name: value for graph in graphs for name, value in graph._constants.items()}
        constants = {name: value for name, value in every.items() if name in read}
        return Parts(nodes, constants, frozenset(self._weights))

    def _tensors(self, read: Container[str]) -> list[Any]:
        """Return the constants that nodes read."""
        return [
            numpy_helper.from_array(value, name) for name, value in self._constants.items() if name in read
        ]

    def _check_new(self, name: str) -> None:
        if any(info.name == name for info in (*self.inputs, *self.outputs)):
            raise ValueError(
                f"names of layers must differ from those of other inputs and outputs; got {name!r} twice. "
                "Fix: give the layer of Parallel another name."
            )

    def _info(self, name: str, shape: tuple[Dimension, ...], dtype: Any) -> Any:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(self.dtype if dtype is None else dtype))
        return helper.make_tensor_value_info(name, kind, shape)


def _reads(node: Any) -> Iterator[str]:
    """Yield the tensors that a node and its bodies read."""
    yield from node.input
    for attribute in node.attribute:
        for inner in attribute.g.node:
            yield from _reads(inner)


def _rename(nodes: list[Any], old: str, new: str) -> None:
    """Give a tensor another name in nodes and their bodies."""
    for node in nodes:
        for names in (node.input, node.output):
            for place, name in enumerate(names):
                if name == old:
                    names[place] = new
        for attribute in node.attribute:
            if attribute.HasField("g"):
                _rename(attribute.g.node, old, new)
