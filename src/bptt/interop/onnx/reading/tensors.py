"""Arrays of an ONNX model, read in place and only when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnx

from bptt.interop.onnx.errors import OnnxError
from bptt.interop.onnx.reading.content import Bytes

AXES_LIMIT = 32
_TYPES: dict[int, str] = {
    onnx.TensorProto.FLOAT: "<f4",
    onnx.TensorProto.DOUBLE: "<f8",
    onnx.TensorProto.INT32: "<i4",
    onnx.TensorProto.INT64: "<i8",
    onnx.TensorProto.BOOL: "?",
}
_FIELDS: dict[int, str] = {
    onnx.TensorProto.FLOAT: "float_data",
    onnx.TensorProto.DOUBLE: "double_data",
    onnx.TensorProto.INT32: "int32_data",
    onnx.TensorProto.INT64: "int64_data",
    onnx.TensorProto.BOOL: "int32_data",
}


def type_name(number: int) -> str:
    """Return the name of an element type, such as FLOAT16."""
    try:
        return str(onnx.TensorProto.DataType.Name(number))
    except ValueError:
        return f"number {number}"


class Rows(NamedTuple):
    """A matrix in an open file, whose rows are read into their place.

    Attributes
    ----------
    into : callable
        Reads bytes of the file into an array: into(start, target).
    start : int
        Where it begins in the file.
    shape : tuple of int
    dtype : numpy.dtype
    """

    into: Callable[[int, Bytes], None]
    start: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    def copy_to(self, target: npt.NDArray[Any], first: int) -> None:
        """Read rows from `first` on into an array of the same type."""
        width = math.prod(self.shape[1:]) * self.dtype.itemsize
        self.into(self.start + first * width, target.reshape(-1).view(np.uint8))


class Tensor:
    """A tensor of a model. Its sizes are checked against the bytes that the file has for it.

    Parameters
    ----------
    proto : onnx.TensorProto
    raw : callable, optional
        Returns the bytes of a tensor whose numbers are not in `proto`, as a one-dimensional uint8 array.
    field : str
        The field of `proto` that `raw` replaces.
    into : callable, optional
        Reads bytes of the file into an array: into(start, target). None: all bytes are in memory.
    start, stop : int
        Where the numbers are in the file.

    Raises
    ------
    OnnxError
        If the dimensions or the number of bytes are wrong.
    """

    def __init__(
        self,
        proto: Any,
        raw: Callable[[], Bytes] | None = None,
        field: str = "raw_data",
        into: Callable[[int, Bytes], None] | None = None,
        start: int = 0,
        stop: int = 0,
    ) -> None:
        self.name: str = proto.name  # or bytes, if it is no text
        self.shape = tuple(proto.dims)
        self.type: int = proto.data_type
        if len(self.shape) > AXES_LIMIT or any(size < 0 for size in self.shape):
            raise OnnxError(f"holds tensor {self.name!r:.60} with the impossible shape {self.shape!s:.80}")
        self._proto, self._raw, self._field = proto, raw, field
        self._into, self._start, self._stop = into, start, stop
        self._array: npt.NDArray[Any] | None = None

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the values. Raises OnnxError if it is not supported."""
        if self.type not in _TYPES:
            raise OnnxError(
                f"holds tensor {self.name!r:.60} of type {type_name(self.type)}; bptt reads FLOAT, DOUBLE "
                "and, for sizes and indices, INT32, INT64 and BOOL. Fix: convert the model to float32"
            )
        return np.dtype(_TYPES[self.type])

    def check(self) -> None:
        """Raise OnnxError as `array` does, but read nothing from an open file."""
        if self._into is None or self._array is not None:
            self._array = self.array
            return
        size = math.prod(self.shape) * self.dtype.itemsize
        self._check_field()
        if self._stop - self._start != size:
            raise OnnxError(self._wrong_size(self._stop - self._start, size))

    def entry(self, index: int) -> npt.NDArray[Any] | Rows:
        """Return an entry along the first axis. If it is in an open file, it is not read yet."""
        self.check()
        if self._into is None or self._array is not None:
            part: npt.NDArray[Any] = self.array[index]
            return part
        shape = self.shape[1:]
        start = self._start + index * math.prod(shape) * self.dtype.itemsize
        return Rows(self._into, start, shape, self.dtype)

    @property
    def array(self) -> npt.NDArray[Any]:
        """The values. The array may be read-only and not aligned.

        Raises
        ------
        OnnxError
            If the type is not supported, or the bytes do not fit the shape.
        """
        if self._array is None:
            self._array = self._read()
        return self._array

    def _check_field(self) -> None:
        if self._raw is not None and self._field not in ("raw_data", _FIELDS[self.type]):
            raise OnnxError(f"holds tensor {self.name!r:.60} with numbers of another type than its own")

    def _read(self) -> npt.NDArray[Any]:
        dtype, count, proto = self.dtype, math.prod(self.shape), self._proto
        self._check_field()
        if self._raw is not None or proto.HasField("raw_data"):
            data = np.frombuffer(proto.raw_data, np.uint8) if self._raw is None else self._raw()
            if data.size != count * dtype.itemsize:
                raise OnnxError(self._wrong_size(data.size, count * dtype.itemsize))
            return data.view(dtype).reshape(self.shape)
        values = getattr(proto, _FIELDS[self.type])
        if len(values) != count:
            raise OnnxError(self._wrong_size(len(values) * dtype.itemsize, count * dtype.itemsize))
        return np.array(values, dtype).reshape(self.shape)

    def _wrong_size(self, actual: int, expected: int) -> str:
        return (
            f"holds tensor {self.name!r:.60} of shape {self.shape!s:.80} with {actual} bytes; expected "
            f"{expected} bytes"
        )
