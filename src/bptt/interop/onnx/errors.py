"""Errors of ONNX files."""

from __future__ import annotations


class OnnxError(ValueError):
    """The file is not a complete and consistent ONNX model."""


class UnsupportedOnnxError(OnnxError):
    """The ONNX model is valid, but no layer of bptt computes the same.

    The message lists all nodes of this kind, each with its name, its operator and its output.
    """


DAMAGED = "is not an ONNX model, or is damaged. Fix: export it again, or pass the name of the .onnx file"
"""The message for bytes that are no model, without the name of the file."""
