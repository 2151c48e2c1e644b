"""Models and weights from other libraries, and back.

`bptt.interop.torch` has PyTorch modules that run in bptt. `bptt.interop.onnx` reads and writes ONNX files.
Only these two packages need another library, and they load it at first use.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bptt.interop.weights.equinox import from_equinox, to_equinox
    from bptt.interop.weights.flax import from_flax, to_flax
    from bptt.interop.weights.from_modules import from_torch
    from bptt.interop.weights.keras.arrays import KerasArrays
    from bptt.interop.weights.keras.reading import from_keras
    from bptt.interop.weights.keras.writing import keras_arrays, to_keras
    from bptt.interop.weights.state_dicts import from_state_dict, to_state_dict
    from bptt.interop.weights.to_modules import to_torch

__all__ = [
    "KerasArrays",
    "from_equinox",
    "from_flax",
    "from_keras",
    "from_state_dict",
    "from_torch",
    "keras_arrays",
    "to_equinox",
    "to_flax",
    "to_keras",
    "to_state_dict",
    "to_torch",
]

_SUBMODULES = ("onnx", "torch")  # not in __all__: `import *` would hide the packages of these names
_WEIGHTS = "bptt.interop.weights"
_HOMES = {
    **dict.fromkeys(("from_state_dict", "to_state_dict"), f"{_WEIGHTS}.state_dicts"),
    **dict.fromkeys(("from_equinox", "to_equinox"), f"{_WEIGHTS}.equinox"),
    **dict.fromkeys(("from_flax", "to_flax"), f"{_WEIGHTS}.flax"),
    "KerasArrays": f"{_WEIGHTS}.keras.arrays",
    "from_keras": f"{_WEIGHTS}.keras.reading",
    **dict.fromkeys(("keras_arrays", "to_keras"), f"{_WEIGHTS}.keras.writing"),
    "from_torch": f"{_WEIGHTS}.from_modules",
    "to_torch": f"{_WEIGHTS}.to_modules",
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"bptt.interop.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'bptt.interop' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__, *_SUBMODULES})
