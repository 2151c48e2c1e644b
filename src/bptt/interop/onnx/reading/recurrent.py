"""RNN, LSTM and GRU nodes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from bptt.files.checkpoint_header import LAYERS_LIMIT
from bptt.interop.gate_order import ONNX
from bptt.interop.onnx.cells import ACTIVATIONS
from bptt.interop.onnx.reading.axes import Axis, Dim, Problem, wide
from bptt.interop.onnx.reading.calls import Call, one_axis
from bptt.interop.onnx.reading.values import (
    Finals,
    Flipped,
    Flow,
    Input,
    InputRows,
    Known,
    Missing,
    Recurrent,
    Step,
    Value,
    is_zero,
)
from bptt.interop.onnx.reading.weights import DirectionWeights, Weights
from bptt.layers.activations import DEFAULTS, Activation

_FUNCTIONS = {name.lower(): ours for ours, name in ACTIVATIONS.items()}
_DEFAULTS = {"RNN": ["Tanh"], "GRU": ["Sigmoid", "Tanh"], "LSTM": ["Sigmoid", "Tanh", "Tanh"]}
_ATTRIBUTES = {
    *("activations", "activation_alpha", "activation_beta", "clip", "direction", "hidden_size", "layout"),
    *("input_forget", "linear_before_reset", "output_sequence"),
}
_NO_DEFAULTS = ("affine", "scaled_tanh", "thresholded_relu")
"""Functions without alpha and beta in the specification, or other ones in ONNX Runtime."""
_DIRECTIONS = {"forward": 1, "reverse": 1, "bidirectional": 2}
INITIAL = {"RNN": (5,), "GRU": (5,), "LSTM": (5, 6)}
"""The inputs with initial states."""


def recurrent(call: Call, clip_mode: str) -> list[Value]:
    """Read a recurrent node. Returns Y, Y_h and Y_c.

    Raises
    ------
    Problem
    """
    kind, attributes = call.node.op, call.attributes
    if unknown := sorted(set(attributes) - _ATTRIBUTES):
        raise Problem(f"bptt does not know its attribute {unknown[0]!r:.40}")
    flow = call.whole(0)
    direction = attributes.get("direction", "forward")
    if direction not in _DIRECTIONS:
        raise Problem(f'its direction must be "forward", "reverse" or "bidirectional"; got {direction!r:.40}')
    if len(flow.dims) != 3:
        raise Problem(f"its input X must have 3 axes; got {len(flow.dims)}")
    first, second, _ = flow.dims
    time, batch = (second, first) if attributes.get("layout", 0) else (first, second)
    call.roles.set(time, batch)
    lengths = _lengths(call, time)
    call.roles.ragged = call.roles.ragged or lengths is not None
    weights = _weights(call, _DIRECTIONS[direction])
    source, flipped = _unflipped(flow.step)
    if flipped and direction == "bidirectional":
        raise Problem("it reads its input in reverse order of time, in both directions")
    width = math.prod(axis.size or weights.input_size for axis in source.features)
    if width != weights.input_size or (isinstance(source, Input) and source.integer):
        raise Problem(f"its input W is for {weights.input_size} inputs, and X has {width}")
    units = Axis("units", weights.hidden_size)
    directions = one_axis("directions", 2) if direction == "bidirectional" else ()
    arguments = _arguments(call, len(weights.directions), clip_mode)
    if (direction == "reverse") != flipped:
        arguments["reverse"] = True
    if directions:
        arguments["bidirectional"] = True
    if weights.peephole:
        arguments["peephole"] = True
    layer = Recurrent(
        *(source, source.lead, (*directions, units), call.node),
        kind=kind,
        arguments=arguments,
        weights=weights,
        time=time,
        batch=batch,
        directions=directions,
        units=units,
        lengths=lengths,
        initial=tuple(_initial(call, index, weights.hidden_size) for index in INITIAL[kind]),
    )
    return _outputs(call, layer, flipped)


def _unflipped(step: Step) -> tuple[Step, bool]:
    if isinstance(step, Flipped) and step.source is not None:
        return step.source, True
    return step, False


def _outputs(call: Call, layer: Recurrent, flipped: bool) -> list[Value]:
    time, batch, units = layer.time, layer.batch, (layer.units,)
    batch_first = bool(call.attributes.get("layout", 0))
    dims = (batch, time, layer.directions, units) if batch_first else (time, layer.directions, batch, units)
    y: Step = layer
    if flipped:
        y = Flipped(layer, layer.lead, layer.features, layer.name)
    outputs: list[Value] = [Flow(y, dims)]
    for part in ("h", "c")[: len(INITIAL[call.node.op])]:
        final = finals(tuple((layer, part, d) for d in range(len(layer.weights.directions))), call.node)
        rows: Dim = final.features[:-1]
        outputs.append(
            Flow(
                final,
                (batch, rows, final.features[-1:]) if batch_first else (rows, batch, final.features[-1:]),
            )
        )
    return outputs


def finals(rows: tuple[tuple[Recurrent, str, int], ...], name: object) -> Finals:
    """Return the step of these final states."""
    if len(rows) > 2 * LAYERS_LIMIT:
        raise Problem("it joins the states of too many layers")
    layer = rows[-1][0]
    axes = one_axis("directions", len(rows)) if len(rows) > 1 else ()
    return Finals(layer, tuple(wide(layer.batch)), (*axes, layer.units), name, rows)


def _arguments(call: Call, directions: int, clip_mode: str) -> dict[str, Any]:
    kind, attributes = call.node.op, call.attributes
    arguments: dict[str, Any] = {}
    functions = _activations(call, directions)
    if kind == "RNN":
        arguments["nonlinearity"] = functions[0]
    else:
        arguments["activations"] = functions
    if kind == "GRU":
        arguments["reset_after"] = bool(attributes.get("linear_before_reset", 0))
    clip = attributes.get("clip")
    if clip is not None:
        if not (clip > 0 and math.isfinite(clip)):
            raise Problem(f"its clip must be above 0; got {clip:g}")
        arguments["gate_clip"] = clip
        if kind == "LSTM" and clip_mode == "spec":
            arguments["clip_mode"] = "spec"
    if kind == "LSTM" and attributes.get("input_forget", 0):
        name, *values = functions[0] if isinstance(functions[0], tuple) else (functions[0],)
        beta = (*values, *DEFAULTS[name][len(values) :])[-1:]
        if name != "sigmoid" and (name not in ("hard_sigmoid", "affine") or beta != (0.5,)):
            raise Problem(
                f"it has input_forget with the gate function {name}, for which 1 - f(x) is not f(-x)"
            )
        arguments["coupled"] = True
    return arguments


def _activations(call: Call, directions: int) -> tuple[Activation, ...]:
    usual = _DEFAULTS[call.node.op]
    names = call.attributes.get("activations") or usual * directions
    if len(names) != len(usual) * directions:
        raise Problem(f"it needs {len(usual) * directions} activations; got {len(names)}")
    values = [iter(call.attributes.get(f"activation_{name}", ())) for name in ("alpha", "beta")]
    functions: list[Activation] = []
    for name in names:
        ours = _FUNCTIONS.get(str(name).lower())
        if ours is None:
            raise Problem(f"bptt has no activation {name!r:.40}")
        defaults = DEFAULTS[ours]
        if ours in _NO_DEFAULTS and len(call.attributes.get("activation_alpha", ())) == 0:
            raise Problem(f"{name} has no activation_alpha, and runtimes have different defaults")
        given = [next(source, default) for source, default in zip(values, defaults, strict=False)]
        functions.append((ours, *given) if given and tuple(given) != defaults else ours)  # type: ignore[arg-type]
    if directions == 2 and functions[: len(usual)] != functions[len(usual) :]:
        raise Problem("its directions have different activations")
    return tuple(functions[: len(usual)])


def _weights(call: Call, directions: int) -> Weights:
    cell = call.node.op.lower()
    W, R = call.stored(1, "W"), call.stored(2, "R")
    gates = len(ONNX[cell])
    if len(W.shape) != 3 or len(R.shape) != 3 or R.dtype.kind != "f" or 0 in W.shape or 0 in R.shape:
        raise Problem(f"its inputs W and R must hold floats on 3 axes; got {W.shape} and {R.shape}")
    H = R.shape[2]
    shapes: dict[str, tuple[int, ...]] = {
        "W": (directions, gates * H, W.shape[2]),
        "R": (directions, gates * H, H),
    }
    arrays: dict[str, Known] = {"W": W, "R": R}
    optional = {"B": (3, (directions, 2 * gates * H)), "P": (7, (directions, 3 * H))}
    for name, (index, shape) in optional.items():
        # Zero biases may be a constant of which only the value is known, and zero peepholes do nothing.
        value = call.value(index)
        if isinstance(value, Missing) or (not isinstance(value, Known) and is_zero(value)):
            continue
        arrays[name], shapes[name] = call.stored(index, name), shape
    for name, array in arrays.items():
        if array.shape != shapes[name]:
            raise Problem(f"its input {name} must have shape {shapes[name]}; got {array.shape}")
        if array.dtype != R.dtype:
            raise Problem(f"its inputs must have one type; got {R.dtype} for R and {array.dtype} for {name}")
    if call.attributes.get("hidden_size", H) != H:
        raise Problem(f"its hidden_size is {call.attributes['hidden_size']}, and R has {H} columns")
    coupled = bool(call.attributes.get("input_forget", 0)) and cell == "lstm"
    rows = [_row(arrays, d) for d in range(directions)]
    return Weights(cell, H, coupled, tuple(rows))


def _row(arrays: dict[str, Known], d: int) -> DirectionWeights:
    B, P = (arrays[name].array[d] if name in arrays else None for name in "BP")
    return DirectionWeights(arrays["W"].entry(d), arrays["R"].entry(d), B, P)


def _lengths(call: Call, time: Sequence[Axis]) -> str | None:
    value = call.value(4)
    if isinstance(value, Missing):
        return None
    if isinstance(value, Flow) and isinstance(value.step, Input):
        return str(value.step.name)
    if isinstance(value, Known) and all(axis.size for axis in time):
        steps = math.prod(axis.size or 1 for axis in time)
        if (value.array == steps).all():
            return None
    raise Problem("its sequence_lens must be an input of the model, which becomes the argument lengths")


def _initial(call: Call, index: int, units: int) -> tuple[str, int] | None:
    """Return the input with the initial state of a node, and its first row."""
    value = call.value(index)
    name = ("initial_h", "initial_c")[index - 5]
    if isinstance(value, Known) and value.shape[-1:] not in ((1,), (units,)):
        raise Problem(
            f"its {name} has shape {value.shape}, and R has {units} units. Fix: if the model has an LSTM "
            "with proj_size, take its weights with bptt.interop.from_torch, because PyTorch drops the "
            "projection"
        )
    if is_zero(value):
        return None
    if isinstance(value, Flow):
        if isinstance(value.step, InputRows) and value.step.source is not None:
            return str(value.step.source.name), value.step.first
        if isinstance(value.step, Input):
            return str(value.step.name), 0
        raise Problem(
            f"its {name} is computed from the input. Fix: bptt.EncoderDecoder is such a model, and takes the "
            "weights by load_state_dict"
        )
    raise Problem(
        f"its {name} is a constant other than zero, and a layer of bptt starts from zeros. Fix: make "
        "it an input of the model, which becomes the argument state"
    )
