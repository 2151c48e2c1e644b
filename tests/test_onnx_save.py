"""Recurrent layers in ONNX files compute in ONNX Runtime what they compute in bptt."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from tests import cells
from tests.grids import in_turn, together
from tests.onnx_files import (
    RAGGED,
    agree,
    check_layer,
    feed_of,
    inputs_of,
    onnx,
    operators,
    randomized,
    session,
    state_of,
)

import bptt
from bptt.interop.onnx import to_proto
from bptt.interop.onnx.writing.operators import needs_scan

SETTINGS: dict[str, dict[str, Any]] = {
    "plain": {},
    "two_layers_bidirectional": {"num_layers": 2, "bidirectional": True, "batch_first": True},
    "reverse": {"reverse": True, "num_layers": 2},
    "no_bias": {"bias": False, "bidirectional": True, "merge": "mean"},
    "float64": {"dtype": "float64", "num_layers": 2, "bidirectional": True, "merge": "mul"},
    "sum": {"bidirectional": True, "merge": "sum", "scan": "always"},
    "reverse_scan": {"reverse": True, "batch_first": True, "scan": "always"},
}


def allowed(variant: tuple[str, dict[str, Any]], setting: dict[str, Any]) -> bool:
    return "bias" not in setting or not any("_bias" in name for name in variant[1])


def is_operator(variant: tuple[str, dict[str, Any]]) -> bool:
    kind, options = variant
    return not needs_scan(getattr(bptt, kind)(1, 4, **options), np.dtype("float32"))


OPERATOR_PAIRS = {name: variant for name, variant in cells.PAIRS.items() if is_operator(variant)}
OTHER_PAIRS = {name: variant for name, variant in cells.PAIRS.items() if name not in OPERATOR_PAIRS}
PLAIN = {kind: (kind, {}) for kind in cells.VARIANTS}


@together(
    in_turn(
        ("variant", PLAIN | cells.SINGLE | OPERATOR_PAIRS | cells.COMBINED),
        ("setting", SETTINGS),
        extra=OTHER_PAIRS,
        where=allowed,
    ),
    size=1000,
)
def test_options(variant: tuple[str, dict[str, Any]], setting: dict[str, Any]) -> None:
    kind, options = variant
    scan = setting.get("scan", "auto")
    layer = getattr(bptt, kind)(3, 5, **options | {k: v for k, v in setting.items() if k != "scan"})
    randomized(layer)
    try:
        proto = to_proto(layer, lengths=True, states="required", scan=scan)
    except ValueError as error:
        assert layer.dtype == "float64"
        assert "gelu" in str(error)  # noqa: PT017
        return
    check_layer(layer, session(proto), 6, 4, state=True, lengths=RAGGED)


WRITTEN_AS: dict[str, tuple[bptt.Module, str]] = {
    "rnn": (bptt.RNN(3, 5, nonlinearity=("leaky_relu", 0.2), gate_clip=0.5), "RNN"),
    "lstm": (bptt.LSTM(3, 5, peephole=True, gate_clip=0.5, recurrent_dropout=0.1), "LSTM"),
    "coupled": (bptt.LSTM(3, 5, coupled=True, peephole=True), "LSTM"),
    "coupled_hard": (bptt.LSTM(3, 5, coupled=True, activations=("hard_sigmoid", "linear", "elu")), "LSTM"),
    "coupled_relu": (bptt.LSTM(3, 5, coupled=True, activations=("relu", "tanh", "tanh")), "Scan"),
    "clipped_output": (bptt.LSTM(3, 5, gate_clip=0.5, clip_mode="spec"), "Scan"),
    "gru": (bptt.GRU(3, 5), "GRU"),
    "mgu": (bptt.MGU(3, 5), "GRU"),
    "zoneout": (bptt.GRU(3, 5, zoneout=0.1), "Scan"),
}


def test_a_layer_is_an_operator_where_onnx_has_one(subtests: pytest.Subtests) -> None:
    for name, (layer, operator) in WRITTEN_AS.items():
        with subtests.test(name):
            recurrent = {"RNN", "LSTM", "GRU", "Scan"}.intersection(operators(to_proto(layer)))
            assert recurrent == {operator}
            if operator == "Scan":
                with pytest.raises(ValueError, match=r'must be written as a Scan.*got scan="never"'):
                    to_proto(layer, scan="never")
            else:
                to_proto(layer, scan="never")


SHAPES = ((6, 4), (1, 1), (1, 7), (40, 1), (13, 3))


def test_steps_rows_and_states_are_free(subtests: pytest.Subtests) -> None:
    """One file serves every T and B, with and without initial states and lengths."""
    for cell, ragged, scan in itertools.product(cells.CELLS, (False, True), ("auto", "always")):
        layer: Any = randomized(cells.build(cell, 3, 5, num_layers=2, bidirectional=True))
        files = {
            state: session(to_proto(layer, lengths=ragged, states=form, scan=scan))
            for state, form in ((True, "required"), (False, "optional"))
        }
        for (T, B), state in itertools.product(SHAPES, (True, False)):
            lengths = None
            if ragged:  # with B = 3, no row has a step
                lengths = np.random.default_rng(T).integers(0, T + 1 if B != 3 else 1, B).tolist()
            with subtests.test(cell=cell, scan=scan, T=T, B=B, state=state, lengths=lengths):
                check_layer(layer, files[state], T, B, state=state, lengths=lengths)
                check_layer(layer, files[False], T, B, state=state, lengths=lengths)


def test_each_optional_state_may_be_left_out() -> None:
    layer: Any = randomized(bptt.LSTM(3, 5, num_layers=2))
    sess, x, state = session(to_proto(layer, states="optional")), inputs_of(layer, 4, 2), state_of(layer, 2)
    y, (h, c) = layer(x, (None, state["c_0"]))
    for actual, expected in zip(sess.run(None, {"x": x, "c_0": state["c_0"]}), (y, h, c), strict=True):
        agree(actual, expected)


def test_a_stream_of_single_steps_is_the_sequence() -> None:
    layer: Any = randomized(bptt.GRU(3, 5, num_layers=2))
    sess, x = session(to_proto(layer, states="required")), inputs_of(layer, 9, 2)
    h = np.zeros((2, 2, 5), np.float32)
    for t, expected in enumerate(layer(x)[0]):
        y, h = sess.run(None, {"x": x[t : t + 1], "h_0": h})
        agree(y[0], expected)


def test_padding_is_never_read(subtests: pytest.Subtests) -> None:
    layer: Any = randomized(bptt.LSTM(3, 5, bidirectional=True))
    model = bptt.Sequential(layer, bptt.Ends())
    x = inputs_of(layer, 6, 4)
    expected, _ = model(x, lengths=RAGGED)
    for row, length in enumerate(RAGGED):
        x[length:, row] = np.nan
    for scan in ("auto", "always"):
        with subtests.test(scan):
            sess = session(to_proto(model, lengths=True, scan=scan))
            agree(sess.run(None, {"x": x, "lengths": np.array(RAGGED)})[0], expected)


def test_another_type(subtests: pytest.Subtests) -> None:
    """A float64 model may be written in float32, where LSTM is an operator, and the other way round."""
    for dtype, other in itertools.permutations(("float32", "float64")):
        with subtests.test(dtype):
            model: Any = randomized(bptt.LSTM(3, 5, dtype=dtype))
            twin: Any = bptt.LSTM(3, 5, dtype=other)
            twin.flat_parameters[...] = model.flat_parameters
            proto = to_proto(model, dtype=other)
            assert ("LSTM" in operators(proto)) == (other == "float32")
            x = inputs_of(twin, 6, 4)
            agree(session(proto).run(None, {"x": x})[0], twin(x)[0])


def test_float64_is_exact() -> None:
    layer: Any = randomized(bptt.GRU(3, 5, dtype="float64", bidirectional=True))
    x = inputs_of(layer, 6, 4)
    np.testing.assert_allclose(session(to_proto(layer)).run(None, {"x": x})[0], layer(x)[0], rtol=1e-13)


def test_the_reference_evaluator_agrees(subtests: pytest.Subtests) -> None:
    """A second runtime reads the same file. It ignores `sequence_lens`, and clips nothing in an operator."""
    from onnx.reference import ReferenceEvaluator

    if tuple(map(int, onnx.__version__.split(".")[:2])) < (1, 23):
        pytest.skip("the reference evaluator of an older onnx confuses the states and the inputs of a Scan")
    for cell, scan in (
        ("gru", "auto"),
        ("lstm_peephole", "auto"),
        *((cell, "always") for cell in cells.CELLS),
    ):
        with subtests.test(cell=cell, scan=scan):
            layer: Any = randomized(cells.build(cell, 3, 5))
            proto = to_proto(layer, lengths=scan == "always", scan=scan)
            x, lengths = inputs_of(layer, 6, 4), RAGGED if scan == "always" else None
            (y,) = ReferenceEvaluator(proto).run(None, feed_of(x, lengths))
            agree(y, layer(x, lengths=lengths)[0])
