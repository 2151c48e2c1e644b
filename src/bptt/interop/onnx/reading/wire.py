"""Limits on the bytes of an ONNX model, before the protobuf library reads them.

A field of two bytes can become a message of a hundred bytes in memory. So the number of fields is limited
first. The arrays of weights stay where they are: they are cut out of the message, and read into their place.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import onnx

from bptt.interop.onnx.errors import DAMAGED, OnnxError
from bptt.interop.onnx.reading.content import Content

SIZE_LIMIT = 2**31 - 1
"""Largest message in bytes, the limit of protobuf."""
FIELD_LIMIT = 100_000
"""Largest number of fields of a model without its weights."""
FREE_BYTES = 2**18
"""Bytes of a model, without weights, whose fields need not be counted."""
NESTING_LIMIT = 30
"""Largest depth of graphs in graphs, as fields in fields."""
CUT_BYTES = 1024
"""Smallest array that is cut out of the message."""

_VARINT, _EIGHT_BYTES, _BYTES, _FOUR_BYTES = 0, 1, 2, 5


class Field(NamedTuple):
    """One field: its number, its first byte, where its value begins and ends, and how it is written."""

    number: int
    first: int
    start: int
    stop: int
    wire: int


class Place(NamedTuple):
    """Where the numbers of a tensor are in a file: the name of their field, their start and their stop."""

    field: str
    start: int
    stop: int


class Cut(NamedTuple):
    """A model's message without large arrays, and without what nobody reads.

    Attributes
    ----------
    message : bytes
    places : dict of int to Place
        The arrays that were cut, by the index of their initializer.
    """

    message: bytes
    places: dict[int, Place]


def _numbers(message: Any) -> dict[int, str]:
    """Return the names of the fields of a message by number."""
    return {field.number: field.name for field in message.DESCRIPTOR.fields}


_MODEL, _GRAPH, _TENSOR = map(_numbers, (onnx.ModelProto, onnx.GraphProto, onnx.TensorProto))
_KEPT_OF_MODEL = ("opset_import", "metadata_props")
_KEPT_OF_GRAPH = ("node", "input", "output")
_ARRAYS = ("raw_data", "float_data", "double_data")
"""Fields whose bytes are those of the numbers."""


def cut(content: Content) -> Cut:
    """Check the number of fields of a model, and cut out the arrays of its weights.

    Raises
    ------
    OnnxError
        If the bytes are not a message, have too many fields, or more than one graph.
    """
    if len(content) <= FREE_BYTES:
        return Cut(content[:], {})
    pieces: list[bytes] = []
    places: dict[int, Place] = {}
    counter = _Counter(content)
    graphs = 0
    for field in fields(content, 0, len(content)):
        name = _MODEL.get(field.number)
        if name == "graph":
            graphs += 1
            if graphs > 1:
                raise OnnxError("holds more than one graph")
            graph = _cut_graph(content, field, places, counter)
            pieces += [_key(field.number), _varint(len(graph)), graph]
        elif name in _KEPT_OF_MODEL:
            counter.add(field, onnx.ModelProto.DESCRIPTOR)
            pieces.append(content[field.first : field.stop])
        else:
            counter.count()
    counter.check()
    return Cut(b"".join(pieces), places)


def _cut_graph(content: Content, graph: Field, places: dict[int, Place], counter: _Counter) -> bytes:
    pieces: list[bytes] = []
    index = 0
    if graph.wire != _BYTES:
        raise OnnxError("is not an ONNX model: its graph is no message")
    for field in fields(content, graph.start, graph.stop):
        name = _GRAPH.get(field.number)
        if name in _KEPT_OF_GRAPH:
            counter.add(field, onnx.GraphProto.DESCRIPTOR)
            pieces.append(content[field.first : field.stop])
            continue
        counter.count()
        if name != "initializer":
            continue
        array = _array(content, field, counter)
        if array is None:
            pieces.append(content[field.first : field.stop])
        else:
            before, after = content[field.start : array.first], content[array.stop : field.stop]
            pieces += [_key(field.number), _varint(len(before) + len(after)), before, after]
            places[index] = Place(_TENSOR[array.number], array.start, array.stop)
        index += 1
    return b"".join(pieces)


def _array(content: Content, tensor: Field, counter: _Counter) -> Field | None:
    """Return the field of a tensor's numbers, if they are many."""
    array = None
    if tensor.wire != _BYTES:
        raise OnnxError("is not an ONNX model: an initializer is no message")
    for field in fields(content, tensor.start, tensor.stop):
        large = field.wire == _BYTES and field.stop - field.start >= CUT_BYTES
        if large and _TENSOR.get(field.number) in _ARRAYS:
            if array is not None:
                raise OnnxError("holds an initializer with data twice")
            array = field
        else:
            counter.add(field, onnx.TensorProto.DESCRIPTOR)
    return array


class _Counter:
    """Counts fields, and looks into fields of messages only if there are many bytes."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._later: list[tuple[Field, Any]] = []
        self._bytes = 0
        self._count = 0

    def add(self, field: Field, table: Any) -> None:
        self.count()
        self._later.append((field, table))
        self._bytes += field.stop - field.first

    def check(self) -> None:
        if self._bytes > FREE_BYTES:
            for field, table in self._later:
                self._look(field, table, 0)

    def _look(self, field: Field, table: Any, depth: int) -> None:
        known = table.fields_by_number.get(field.number)
        if known is None or field.wire != _BYTES:
            return
        if known.message_type is not None:
            if depth > NESTING_LIMIT:
                raise OnnxError(f"has more than {NESTING_LIMIT} levels of messages in messages")
            for inner in fields(self._content, field.start, field.stop):
                self.count()
                self._look(inner, known.message_type, depth + 1)
        elif known.type not in (known.TYPE_BYTES, known.TYPE_STRING, known.TYPE_FLOAT, known.TYPE_DOUBLE):
            # Packed whole numbers: a byte becomes up to eight bytes.
            self.count((field.stop - field.start) // 64)

    def count(self, number: int = 1) -> None:
        self._count += number
        if self._count > FIELD_LIMIT:
            raise OnnxError(
                f"has more than {FIELD_LIMIT} fields without its weights, more than any model that bptt can "
                "represent"
            )


def fields(content: Content, start: int, stop: int) -> Iterator[Field]:
    """Yield the fields of a message.

    Raises
    ------
    OnnxError
        If the message is cut short, or no message.
    """
    position = start
    while position < stop:
        first = position
        key = content[position]  # almost all keys and sizes of small fields have one byte
        position += 1
        if key > 127:
            key, position = _read_varint(content, first, stop)
        number, wire = key >> 3, key & 7
        begin, end = position, position
        if wire == _BYTES:
            size, begin = _read_varint(content, position, stop)
            end = begin + size
        elif wire == _VARINT:
            end = _read_varint(content, position, stop)[1]
        elif wire == _EIGHT_BYTES:
            end = position + 8
        elif wire == _FOUR_BYTES:
            end = position + 4
        else:
            raise OnnxError(DAMAGED)
        if end > stop or not number:
            raise OnnxError("is not an ONNX model, or is cut short")
        yield tuple.__new__(Field, (number, first, begin, end, wire))  # without the call of a Python function
        position = end


def _read_varint(content: Content, position: int, stop: int) -> tuple[int, int]:
    if position < stop and content[position] < 128:
        return content[position], position + 1
    value = shift = 0
    while position < stop and shift < 70:
        byte = content[position]
        value |= (byte & 127) << shift
        position += 1
        if byte < 128:
            return value, position
        shift += 7
    raise OnnxError("is not an ONNX model, or is cut short")


def _varint(value: int) -> bytes:
    result = bytearray()
    while value > 127:
        result.append(value & 127 | 128)
        value >>= 7
    result.append(value)
    return bytes(result)


def _key(number: int) -> bytes:
    return _varint(number << 3 | _BYTES)
