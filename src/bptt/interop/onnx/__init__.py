"""Write models to ONNX files, and read them.

This package requires `onnx` 1.15 or later (`pip install 'bptt[onnx]'`). `import bptt` does not import it.
"""

try:
    import onnx as _onnx  # noqa: F401
except ModuleNotFoundError as error:
    if error.name != "onnx":
        raise
    raise ImportError("bptt.interop.onnx needs onnx: pip install 'bptt[onnx]'") from error

from bptt.interop.onnx.errors import OnnxError, UnsupportedOnnxError
from bptt.interop.onnx.loading import load
from bptt.interop.onnx.saving import save, to_proto

__all__ = ["OnnxError", "UnsupportedOnnxError", "load", "save", "to_proto"]
