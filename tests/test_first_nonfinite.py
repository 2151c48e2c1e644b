"""The first NaN or infinity of a pass: what was planted is what is found."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.diagnose import NonFinite
from bptt.diagnose.nonfinite import origin
from bptt.layers.passes.gates import gate_names, step_values
from bptt.layers.passes.tape import RecurrentTape

T, B = 9, 3
X = np.random.default_rng(0).standard_normal((T, B, 4))
NAN, INF = float("nan"), float("inf")


def model() -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Linear(4, 5, seed=1),
        bptt.LSTM(5, 6, 2, bidirectional=True, seed=2),
        bptt.GRU(12, 4, seed=3),
        bptt.Linear(4, 2, seed=4),
    )


def planted(values: np.ndarray, index: tuple[int, ...], bad: float = NAN) -> np.ndarray:
    values = values.copy()
    values[index] = bad
    return values


def relu_stack(layers: int = 3) -> bptt.RNN:
    """Each layer hands x on, scaled by 1e12: what overflows float32 does so in a layer that can be told."""
    stack = bptt.RNN(4, 4, layers, nonlinearity="relu", bias=False, seed=0)
    for name, weight in stack.parameters.items():
        weight[...] = 1e12 * np.eye(4) if name.startswith("weight_ih") else 0
    return stack


def test_nothing_to_find() -> None:
    assert bptt.first_nonfinite(model(), X) is None
    assert bptt.first_nonfinite(bptt.Linear(4, 2), X) is None
    assert bptt.first_nonfinite(bptt.Embedding(5, 2), [[1, 2]]) is None


@pytest.mark.parametrize("step", [0, 4, T - 1])
@pytest.mark.parametrize("layer", [0, 1, 2])
def test_overflow_at_a_step_of_a_layer(layer: int, step: int) -> None:
    x = planted(np.abs(X), (step, 2, 3), 10.0 ** (32 - 12 * layer))
    found = bptt.first_nonfinite(relu_stack(), x)
    assert found == NonFinite("h", layer, False, "", step, (2, 3), INF)
    assert str(found) == f"h of layer {layer} is not finite at step {step} (inf in row 2, entry 3)"


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "LSTM coupled", "GRU", "GRU before", "MGU"])
def test_planted_on_a_tape(cell: str) -> None:
    """The reference's tapes are plain arrays, into which anything can be planted."""
    for index in [0, 1, 2, 3]:
        for step in [0, 5, T - 1]:
            kind, _, variant = cell.partition(" ")
            options = {"coupled": {"coupled": True}, "before": {"reset_after": False}, "": {}}[variant]
            layer = getattr(bptt.reference, kind)(4, 5, 2, bidirectional=True, seed=1, **options)
            wanted = {"h": NonFinite("h", index // 2, index % 2 == 1, "", step, (1, 2), NAN)}
            if kind == "LSTM":
                wanted["c"] = NonFinite("c", index // 2, index % 2 == 1, "", step, (1, 2), NAN)
            if kind != "RNN":
                for gate in gate_names(layer):
                    wanted[gate] = NonFinite(
                        f"gate {gate}", index // 2, index % 2 == 1, "", step, (1, 2), NAN
                    )
            for place, expected in wanted.items():
                tape = layer.forward(X)[2]
                values = {"h": tape.h, "c": tape.c}.get(place) or tape.gates
                block = 0 if place in "hc" else gate_names(layer).index(place) * 5
                _write(values[index], (step, 1, block + 2))
                found = bptt.first_nonfinite(tape)
                assert found is not None
                assert repr(found) == repr(expected)  # NaN equals nothing
                assert bptt.first_nonfinite(tape) is not None


def _write(view: np.ndarray, at: tuple[int, ...]) -> None:
    """Into the array behind a read-only view."""
    base = view
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    assert isinstance(base, np.ndarray)
    offset = view.__array_interface__["data"][0] - base.__array_interface__["data"][0]
    np.ndarray(view.shape, view.dtype, base.data, offset, view.strides)[at] = NAN


class Infinite(bptt.MeanSquaredError):
    """A loss that overflows though its gradient does not."""

    def __call__(self, *arguments: Any) -> Any:
        return INF, super().__call__(*arguments)[1]


PLANTED: dict[str, tuple[Callable[[bptt.Sequential], NonFinite | None], str]] = {
    "x": (
        lambda net: bptt.first_nonfinite(net, planted(X, (7, 2, 1))),
        "x is not finite at step 7 (nan in row 2, entry 1)",
    ),
    "dy": (
        lambda net: bptt.first_nonfinite(net, X, dy=planted(np.zeros((T, B, 2)), (5, 1, 0), -INF)),
        "dy is not finite at step 5 (-inf in row 1, entry 0)",
    ),
    "target": (
        lambda net: bptt.first_nonfinite(
            net, X, loss=bptt.MeanSquaredError(), target=planted(np.zeros((T, B, 2)), (3, 0, 1))
        ),
        "target is not finite at step 3 (nan in row 0, entry 1)",
    ),
    "loss": (
        lambda net: bptt.first_nonfinite(net, X, loss=Infinite(), target=np.zeros((T, B, 2))),
        "loss is not finite",
    ),
    "state": (
        lambda net: bptt.first_nonfinite(
            net, X, (None, (None, planted(np.zeros((4, B, 6)), (3, 2, 1))), None, None)
        ),
        "initial c of layer 1, reverse direction, of model[1] is not finite (nan at (2, 1))",
    ),
}


@pytest.mark.parametrize("name", PLANTED)
def test_planted_in_what_goes_in(name: str) -> None:
    call, words = PLANTED[name]
    found = call(model())
    assert str(found).startswith(words)


def test_planted_in_a_parameter(subtests: pytest.Subtests) -> None:
    for name in list(model().parameters):
        with subtests.test(name):
            net = model()
            net.parameters[name].flat[1] = NAN
            found = bptt.first_nonfinite(net, X)
            assert found is not None
            place, _, tensor = name.partition(".")
            assert (found.tensor, found.place, found.step) == (tensor, f"model[{place}]", None)
            if "_l" in tensor:
                assert found.layer == int(tensor.split("_l")[1][0])
                assert found.reverse == tensor.endswith("_reverse")
            else:
                assert found.layer is None
            assert f"of model[{place}] is not finite (nan at " in str(found)


def test_outputs_of_a_layer_without_time() -> None:
    net = bptt.Sequential(bptt.Linear(4, 4, seed=0), bptt.Linear(4, 4, seed=0), bptt.GRU(4, 3, seed=0))
    net.parameters["1.weight"][...] = 1e38
    net.parameters["0.bias"][...] = 100
    assert str(bptt.first_nonfinite(net, X)).startswith("y of model[1] is not finite at step 0 (")


def test_errors_that_explode() -> None:
    """Errors grow by 1e6 a step, states start too small to do so: seven steps back 1e42 overflows."""
    layer = bptt.RNN(4, 4, nonlinearity="relu", bias=False, seed=0)
    layer.parameters["weight_hh_l0"][...] = 1e6 * np.eye(4)
    layer.parameters["weight_ih_l0"][...] = 1e-30
    found = bptt.first_nonfinite(layer, np.ones((T, B, 4)))
    assert found is not None
    assert (found.tensor, found.layer, found.step, found.value) == ("dL/dh", 0, T - 1 - 7, INF)
    assert str(found) == "dL/dh of layer 0 is not finite at step 1"


def test_gradient_that_overflows_though_errors_do_not() -> None:
    layer = bptt.Linear(2, 1, seed=0)
    layer.parameters["weight"][...] = 0
    found = bptt.first_nonfinite(layer, np.full((4, 2), 1e30), dy=np.full((4, 1), 1e30))
    assert found is not None
    assert (found.tensor, found.value) == ("gradient of weight", INF)


def test_every_name_is_documented() -> None:
    """`NonFinite.tensor` lists all names; a gate and a parameter stand for the others."""
    doc = NonFinite.__doc__ or ""
    listed = set(re.findall('"([^"]+)"', doc.partition("tensor : str")[2].partition("layer :")[0]))
    tapes = [
        kind(4, 5, seed=1, **options).forward(X)[2]
        for kind, options in (
            (bptt.RNN, {}),
            (bptt.LSTM, {}),
            (bptt.LSTM, {"coupled": True}),
            (bptt.GRU, {}),
            (bptt.MGU, {}),
        )
    ]
    of_a_step = {name for tape in tapes for name in step_values(tape, 0)}
    found = [call(model()) for call, _ in PLANTED.values()]
    found.append(bptt.first_nonfinite(bptt.GRU(4, 5, seed=1), X, planted(np.zeros((1, B, 5)), (0, 1, 2))))
    layer = bptt.LSTM(4, 5, seed=1)
    y, _, tape = layer.forward(X)
    layer.backward(tape, y, (None, planted(np.zeros((1, B, 5)), (0, 1, 2))))
    found.append(bptt.first_nonfinite(tape))
    layer = bptt.Linear(4, 5, seed=1)
    layer.parameters["weight"][...] = 1e30
    found.append(bptt.first_nonfinite(layer, 0 * X, dy=np.full((T, B, 5), 1e30)))
    names = {one.tensor for one in found if one is not None} | of_a_step
    names = {"gate i" if name.startswith("gate ") else name for name in names}
    assert names - listed == set()
    assert listed - names <= {
        "weight_hh_l0",
        "gradient of weight_hh_l0",
        "dL/dh",
        "y",
    }  # other tests have them


def test_reverse_direction_meets_it_from_the_end() -> None:
    layer = bptt.RNN(4, 4, nonlinearity="relu", bidirectional=True, bias=False, seed=0)
    for weight in layer.parameters.values():
        weight[...] = np.eye(4)
    layer.parameters["weight_ih_l0_reverse"][...] = 1e20
    x = np.abs(X)
    x[5] = 1e20
    found = bptt.first_nonfinite(layer, x)
    assert found is not None
    assert (found.layer, found.reverse, found.step) == (0, True, 5)
    assert str(found).startswith("h of layer 0, reverse direction, is not finite at step 5")


def test_what_lies_past_a_rows_end_is_not_looked_at() -> None:
    x = planted(X, (7, 2, 1))
    layer = bptt.LSTM(4, 5, seed=0)
    assert bptt.first_nonfinite(layer, x, lengths=[T, T, 7]) is None
    assert bptt.first_nonfinite(layer, x, lengths=[T, T, 8]) is not None
    assert "step 7" in str(bptt.first_nonfinite(model(), x, lengths=[T, T, 7]))  # a Linear reads it all


def test_batch_first_and_unbatched() -> None:
    layer = bptt.LSTM(4, 5, batch_first=True, seed=0)
    found = bptt.first_nonfinite(layer, planted(X.swapaxes(0, 1), (2, 7, 1)))
    assert found is not None
    assert (found.step, found.index) == (7, (2, 1))
    found = bptt.first_nonfinite(layer, planted(X[:, 0], (6, 3)))
    assert found is not None
    assert (found.step, found.index) == (6, (0, 3))


def test_leaves_the_model_as_it_was() -> None:
    net = bptt.Sequential(bptt.LSTM(4, 5, 2, dropout=0.5, seed=0), bptt.Dropout(0.5, seed=1))
    net.flat_gradients[:] = 3
    before = net.flat_parameters.copy(), net[0].rng.bit_generator.state
    assert bptt.first_nonfinite(net, X) is None
    assert bptt.first_nonfinite(net, planted(X, (0, 0, 0))) is not None
    np.testing.assert_array_equal(net.flat_parameters, before[0])
    assert (net.flat_gradients == 3).all()
    assert net[0].rng.bit_generator.state == before[1]


def test_origin_counts_from_the_start_it_is_given() -> None:
    tape = relu_stack().forward(planted(np.abs(X), (4, 2, 3), 1e32))[2]
    assert isinstance(tape, RecurrentTape)
    found = origin(tape, 100)
    assert found is not None
    assert found.step == 104
    assert origin(bptt.Linear(2, 3).forward(np.full((2, 2), NAN))[2], 0) is None


WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no layer": (lambda: bptt.first_nonfinite(X, X), TypeError, "layer must be a layer"),
    "lengths by names": (
        lambda: bptt.first_nonfinite(model(), X, lengths={"a": [1]}),
        TypeError,
        "lengths must be an array of integers",
    ),
    "no x": (lambda: bptt.first_nonfinite(model()), TypeError, "x must be the input of the layer"),
    "x beside a tape": (
        lambda: bptt.first_nonfinite(relu_stack().forward(X)[2], X),
        ValueError,
        "x must be None if a tape is passed",
    ),
    "an error beside a tape": (
        lambda: bptt.first_nonfinite(relu_stack().forward(X)[2], dy=X),
        ValueError,
        "dy must be None if a tape is passed",
    ),
    "x ragged": (
        lambda: bptt.first_nonfinite(model(), [[1, 2], [3]]),
        ValueError,
        "x must be a rectangular array",
    ),
    "lengths too few, and NaN": (
        lambda: bptt.first_nonfinite(bptt.GRU(4, 5), planted(X, (0, 0, 0)), lengths=[1, 2]),
        ValueError,
        r"lengths must have shape \(3,\)",
    ),
    "a state of more layers, and NaN": (
        lambda: bptt.first_nonfinite(bptt.GRU(4, 5), X, planted(np.zeros((2, B, 5)), (1, 0, 0))),
        ValueError,
        "state must have shape",
    ),
    "a state of one NaN": (
        lambda: bptt.first_nonfinite(bptt.GRU(4, 5), X, NAN),
        ValueError,
        "state must have",
    ),
    "x too wide": (lambda: bptt.first_nonfinite(model(), X[..., :3]), ValueError, "x must"),
    "a state too short": (
        lambda: bptt.first_nonfinite(model(), X, (None,)),
        ValueError,
        "state must be a tuple with one entry per layer",
    ),
    "loss without target": (
        lambda: bptt.first_nonfinite(model(), X, loss=bptt.CrossEntropy()),
        ValueError,
        "come together",
    ),
    "lengths for none": (
        lambda: bptt.first_nonfinite(bptt.Linear(4, 2), X, lengths=[1]),
        TypeError,
        "lengths must be",
    ),
}


def test_bad_input(subtests: pytest.Subtests) -> None:
    for name in WRONG:
        with subtests.test(name):
            call, error, message = WRONG[name]
            with pytest.raises(error, match=message):
                call()
