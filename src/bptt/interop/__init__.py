"""Models and weights from other libraries, and back.

`bptt.interop.torch` has PyTorch modules that run in bptt. `bptt.interop.onnx` reads and writes ONNX files.
Only these two packages need another library, and they load it at first use.
"""

from importlib import import_module
from typing import Any

__all__ = ["onnx", "torch"]

_SUBMODULES = ("onnx", "torch")
_HOMES: dict[str, str] = {}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"bptt.interop.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'bptt.interop' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
