"""Arrays of an ONNX model, read in place and only when they are needed."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from bptt.interop.onnx.errors import OnnxError

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


class Tensor:
    """A tensor of a model. Its sizes are checked against the bytes that the file has for it.

    Parameters
    ----------
    proto : onnx.TensorProto
    raw : callable, optional
        Returns the bytes of a tensor whose numbers are not in `proto`, as a one-dimensional uint8 array.
    field : str
        The field of `proto` that `raw` replaces.

    Raises
    ------
    OnnxError
        If the dimensions or the number of bytes are wrong.
    """

    def __init__(
        self, proto: Any, raw: Callable[[], npt.NDArray[np.uint8]] | None = None, field: str = "raw_data"
    ) -> None:
        self.name: str = proto.name  # or bytes, if it is no text
        self.shape = tuple(proto.dims)
        self.type: int = proto.data_type
        if len(self.shape) > AXES_LIMIT or any(size < 0 for size in self.shape):
            raise OnnxError(f"holds tensor {self.name!r:.60} with the impossible shape {self.shape!s:.80}")
        self._proto, self._raw, self._field = proto, raw, field
        self._array: npt.NDArray[Any] | None = None

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

    def _read(self) -> npt.NDArray[Any]:
        if self.type not in _TYPES:
            raise OnnxError(
                f"holds tensor {self.name!r:.60} of type {type_name(self.type)}; bptt reads FLOAT, DOUBLE "
                "and, for sizes and indices, INT32, INT64 and BOOL. Fix: convert the model to float32"
            )
        dtype = np.dtype(_TYPES[self.type])
        count = math.prod(self.shape)
        proto = self._proto
        if self._raw is not None and self._field not in ("raw_data", _FIELDS[self.type]):
            raise OnnxError(f"holds tensor {self.name!r:.60} with numbers of another type than its own")
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
