"""Random calls of diagnoses, checks, initialisers and settings of the process."""

from __future__ import annotations

import copy
from typing import Any

from tests.fuzz.calls.cells import CELLS, a_layer, a_state, an_input, sequence_options
from tests.fuzz.calls.target import Target
from tests.fuzz.draw import Draw

import bptt


def against(draw: Draw, layer: Any) -> Any:
    """What `crosscheck` compares a layer with: another layer, or a function."""

    def function(parameters: Any, x: Any, state: Any) -> Any:
        result = layer(x.astype(layer.dtype), state)
        return draw.arg(lambda: (draw.arg(lambda: result[0].astype("f8")), draw.arg(lambda: result[1])))

    return draw.choose(layer, copy.deepcopy(layer), bptt.Linear(2, 3), function, function)


def diagnosis(draw: Draw, name: str) -> object:
    layer = a_layer(draw)
    if layer is None:
        return None
    T, B = draw.size(0, 5), draw.size(0, 3)
    model = draw.arg(lambda: layer)
    if name == "spectral_radius":
        return bptt.spectral_radius(model)
    x = draw.arg(lambda: an_input(draw, layer, T, B))
    state = draw.options(state=lambda: draw.choose(None, a_state(draw, layer, B)))
    if name == "lyapunov_spectrum":
        return bptt.lyapunov_spectrum(model, x, **state, **draw.options(k=lambda: draw.choose(None, 1)))
    options = state | sequence_options(draw, T, B)
    if name in ("gradcheck", "crosscheck"):
        more: dict[str, Any] = {"entries": 2} if name == "gradcheck" else {}
        if name == "crosscheck" and draw.chance(0.4):
            options, more = state, draw.options(against=lambda: against(draw, layer), gradients=draw.flag)
        return str(getattr(bptt, name)(model, x, raises=False, **options, **more))
    found = getattr(bptt, name)(model, x, **options)
    return str(found)


def initialisers(draw: Draw, name: str) -> object:
    arguments = {
        "chrono": ["longest"],
        "glorot": [],
        "identity": ["scale", "input_std"],
        "normal": ["scale"],
        "orthogonal": ["gain"],
        "sparse": ["connections", "spectral_radius", "input_std"],
        "uniform": ["scale"],
    }[name]
    options = {argument: draw.arg(lambda: draw.choose(1, 2, 0.5)) for argument in arguments if draw.flag()}
    kind = draw.choose(*CELLS.values())
    return kind(draw.size(), draw.size(), init=getattr(bptt.init, name)(**options), seed=1)


def run_time(draw: Draw, name: str) -> object:
    if name == "set_num_threads":
        return bptt.set_num_threads(draw.arg(lambda: draw.choose(1, 2)))
    if name == "use_isa":
        return bptt.use_isa(draw.arg(lambda: draw.choose(*bptt.available_isas())))
    return getattr(bptt, name)()


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("gradient_flow", "first_nonfinite", "gradcheck", "crosscheck"), diagnosis),
    **dict.fromkeys(("spectral_radius", "lyapunov_spectrum"), diagnosis),
    **dict.fromkeys(
        ("chrono", "glorot", "identity", "normal", "orthogonal", "sparse", "uniform"), initialisers
    ),
    **dict.fromkeys(("set_num_threads", "get_num_threads", "use_isa", "isa"), run_time),
    **dict.fromkeys(("available_isas", "build_config"), run_time),
}
