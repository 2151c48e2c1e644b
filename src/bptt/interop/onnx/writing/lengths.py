"""The input `lengths` of a graph, in the forms that nodes read."""

from __future__ import annotations

from collections.abc import Callable

from bptt.interop.onnx.writing.graph import Graph, Value


class Lengths:
    """Numbers of valid steps, (B,), an input of the graph.

    Parameters
    ----------
    graph : Graph
    name : str
        The input, of type int64.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self.name = graph.input(name, ("batch",), "int64")
        self._graph = graph
        self._forms: dict[str, str] = {}

    def int32(self) -> str:
        """Return the lengths as nodes of recurrent layers read them."""
        return self._form("int32", lambda: self._graph.add("Cast", self.name, to=6))

    def empty(self) -> str:
        """Return whether a row has no step, (B, 1)."""
        graph = self._graph
        return self._form(
            "empty",
            lambda: graph.with_axis(graph.add("Equal", self.name, graph.integers(0)), 1),
        )

    def valid(self, of: Value) -> str:
        """Return which steps of a value (T, B, F) are valid, (T, B, 1)."""
        graph = self._graph

        def add() -> str:
            T = graph.without_axis(graph.size(of.name, 0), 0)
            steps = graph.add("Range", graph.integer(0), T, graph.integer(1))
            before_end = graph.add("Less", graph.with_axis(steps, 1), self.name)
            return graph.with_axis(before_end, 2)

        return self._form(f"valid {of.time}", add)

    def last(self) -> str:
        """Return the last valid step of each row, or 0 without one, (1, B, 1)."""
        graph = self._graph

        def add() -> str:
            last = graph.add("Max", graph.add("Sub", self.name, graph.integers(1)), graph.integers(0))
            return graph.add("Unsqueeze", last, graph.integers(0, 2))

        return self._form("last", add)

    def count(self) -> str:
        """Return the lengths as divisors, (B, 1): 1 for a row without steps."""
        graph = self._graph

        def add() -> str:
            least = graph.with_axis(graph.add("Max", self.name, graph.integers(1)), 1)
            return graph.add("CastLike", least, graph.number(1.0))

        return self._form("count", add)

    def _form(self, key: str, add: Callable[[], str]) -> str:
        if key not in self._forms:
            self._forms[key] = add()
        return self._forms[key]
