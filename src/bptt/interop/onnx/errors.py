"""Errors of ONNX files."""

from __future__ import annotations


class OnnxError(ValueError):
    """The file is not a complete and consistent ONNX model.

    Examples
    --------
    >>> import bptt.interop.onnx
    >>> try:
    ...     bptt.interop.onnx.load(b"not a model")
    ... except bptt.interop.onnx.OnnxError as error:
    ...     print(str(error).split(".")[0])
    model is not an ONNX model, or is damaged
    """


class UnsupportedOnnxError(OnnxError):
    """The ONNX model is valid, but no layer of bptt computes the same.

    The message lists all nodes of this kind, each with its name, its operator and its output.

    Examples
    --------
    >>> import onnx.parser
    >>> import bptt.interop.onnx
    >>> graph = "net (float[T, B, 3] x) => (float[T, B, 3] y) { y = Sin(x) }"
    >>> model = onnx.parser.parse_model('<ir_version: 8, opset_import: ["": 17]> ' + graph)
    >>> try:
    ...     bptt.interop.onnx.load(model)
    ... except bptt.interop.onnx.UnsupportedOnnxError as error:
    ...     print("Sin" in str(error))
    True
    """


DAMAGED = "is not an ONNX model, or is damaged. Fix: export it again, or pass the name of the .onnx file"
"""The message for bytes that are no model, without the name of the file."""
