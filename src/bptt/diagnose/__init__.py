"""Diagnose a model: the gradient inside it, in numbers, words and pictures.

`bptt.gradient_flow`, `first_nonfinite` and `spectral_radius` measure and describe their results in words.
Functions that draw need matplotlib (`pip install 'bptt[plot]'`) and load it when they are called.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bptt.diagnose.flow import GradientFlow
    from bptt.diagnose.lyapunov import lyapunov_spectrum
    from bptt.diagnose.measure import gradient_flow
    from bptt.diagnose.nonfinite import NonFinite
    from bptt.diagnose.pictures.flow import plot_flows
    from bptt.diagnose.pictures.gates import plot_gates
    from bptt.diagnose.pictures.histories import plot_histories
    from bptt.diagnose.spectrum import plot_singular_values, spectral_radius
    from bptt.diagnose.trace import first_nonfinite

__all__ = [
    "GradientFlow",
    "NonFinite",
    "first_nonfinite",
    "gradient_flow",
    "lyapunov_spectrum",
    "plot_flows",
    "plot_gates",
    "plot_histories",
    "plot_singular_values",
    "spectral_radius",
]

# The modules are loaded at first use, because a training step needs only one of them.
_HOMES = {
    "GradientFlow": "flow",
    "NonFinite": "nonfinite",
    "first_nonfinite": "trace",
    "gradient_flow": "measure",
    "plot_flows": "pictures.flow",
    "plot_gates": "pictures.gates",
    "plot_histories": "pictures.histories",
    "plot_singular_values": "spectrum",
    "lyapunov_spectrum": "lyapunov",
    "spectral_radius": "spectrum",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'bptt.diagnose' has no attribute {name!r}")
    value = getattr(import_module(f"bptt.diagnose.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
