"""`crosscheck(against=)`: functions, PyTorch modules, other layers; and the first difference in a report."""

from __future__ import annotations

import numpy as np
import pytest
from tests.backends import Wrapped

import bptt
from bptt.testing import CheckError


def _sigmoid(a):
    return 1 / (1 + np.exp(-a))


def own_lstm(order="ifgo", clip=np.inf, candidate=np.tanh, output_bias=1.0):
    """An LSTM as a user might write it, with the blocks of the weights read as gates in this order."""

    def function(parameters, x, state):
        h, c = state[0][0], state[1][0]
        bias = parameters["bias_ih_l0"] + parameters["bias_hh_l0"]
        outputs = []
        for x_t in x:
            a = x_t @ parameters["weight_ih_l0"].T + h @ parameters["weight_hh_l0"].T + bias
            gates = dict(zip(order, np.split(a, 4, axis=-1), strict=True))
            gates["o"] = gates["o"] - (1 - output_bias) * np.split(bias, 4)[order.index("o")]
            c = _sigmoid(gates["f"]) * c + _sigmoid(gates["i"]) * candidate(gates["g"])
            c = np.clip(c, -clip, clip)
            h = _sigmoid(gates["o"]) * np.tanh(c)
            outputs.append(h)
        return np.array(outputs), (h[None], c[None])

    return function


def own_linear(parameters, x, state):
    return x @ parameters["weight"].T + parameters["bias"], None


def own_model(parameters, x, state):
    lstm = {name.removeprefix("0."): value for name, value in parameters.items()}
    y, last = own_lstm()(lstm, x, state[0])
    return y @ parameters["1.weight"].T + parameters["1.bias"], (last, None)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_correct_function_agrees_in_outputs_and_gradients(dtype, subtests):
    lstm = bptt.LSTM(3, 4, seed=0, dtype=dtype)
    linear = bptt.Linear(3, 4, seed=0, dtype=dtype)
    model = bptt.Sequential(bptt.LSTM(3, 4, dtype=dtype), bptt.Linear(4, 2, dtype=dtype), seed=0)
    state = (_normal(1, 2, 4), _normal(1, 2, 4))
    for layer, function, start in (
        (lstm, own_lstm(), state), (lstm, own_lstm(), None), (linear, own_linear, None),
        (model, own_model, None),
    ):  # fmt: skip
        with subtests.test(layer=layer):
            report = bptt.crosscheck(layer, _normal(5, 2, 3), start, against=function, gradients=True)
            names = {row.name for row in report.rows}
            assert {"y", "dx"} <= names
            assert {f"gradients[{name}]" for name in layer.parameters} <= names
            assert report.first is None
            only_outputs = bptt.crosscheck(layer, _normal(5, 2, 3), start, against=function)
            assert not any(row.name.startswith(("dx", "gradients")) for row in only_outputs.rows)


def test_the_report_names_step_gate_and_unit_of_a_wrong_function(subtests):
    layer = bptt.LSTM(3, 4, seed=0)
    x, state = _normal(6, 2, 3), (_normal(1, 2, 4), _normal(1, 2, 4))
    for function, gate in (
        (own_lstm("ifog"), "gates read in the order i, f, o, g instead of i, f, g, o"),
        (own_lstm("fogi"), "gates read in the order f, o, g, i instead of i, f, g, o"),
        (own_lstm(candidate=np.sin), "gate g"),
        (own_lstm(output_bias=0.5), "gate o"),
        (lambda parameters, x, state: own_lstm()(parameters, 1.1 * x, state), ""),
    ):
        with subtests.test(gate=gate):
            with pytest.raises(CheckError) as caught:
                bptt.crosscheck(layer, x, state, against=function)
            first = caught.value.report.first
            assert (first.place, first.step, first.row, first.unit) == ("y", 0, 0, 0)
            assert first.gate == gate
            assert f"first difference: {first}" in str(caught.value)
    with subtests.test("a fault that shows after some steps"):
        c = np.array([own_lstm()(layer.parameters, x[: t + 1], state)[1][1][0] for t in range(6)])
        limit = np.sort(np.abs(c).max(axis=(1, 2)))[-2]  # the largest step alone, and what follows it
        step = int(np.argmax(np.abs(c).max(axis=(1, 2)) > limit))
        report = bptt.crosscheck(layer, x, state, against=own_lstm(clip=limit * 0.999), raises=False)
        assert report.first.step <= step
        row, unit = report.first.row, report.first.unit
        assert abs(c[report.first.step, row, unit]) > limit * 0.999


def test_wrong_gradients_of_a_layer_show_against_a_function():
    layer = Wrong(3, 4, seed=0)
    report = bptt.crosscheck(layer, _normal(5, 2, 3), against=own_lstm(), gradients=True, raises=False)
    assert [row.name for row in report.failures] == ["gradients[bias_ih_l0]"]
    assert report.first is None  # the forward pass agrees


class Wrong(bptt.LSTM):
    """Its backward pass adds too little to the gradient of a bias."""

    def _backend(self):
        return Wrapped(super()._backend(), backward=self._spoiled)

    def _spoiled(self, backward, *arguments):
        found = backward(*arguments)
        self.gradients["bias_ih_l0"][-1] *= 0.999
        return found


class Late(bptt.LSTM):
    """Reads another x at step 3, or has another bias of one gate."""

    step, block = None, None

    def _backend(self):
        return Wrapped(super()._backend(), forward=self._changed)

    def _changed(self, forward, call):
        if self.step is not None:
            x = call.x.copy()
            x[self.step, 1] += 0.5
            return forward(call._replace(x=x))
        kept = self.flat_parameters.copy()
        self.parameters["bias_ih_l0"][self.block * self.hidden_size + 2] += 0.5
        try:
            return forward(call)
        finally:
            self.flat_parameters = kept


def test_a_report_on_the_reference_names_the_first_wrong_value(subtests):
    x = _normal(6, 2, 3)
    for step, block, expected in (
        (3, None, ("layer 0", 3, 1, 0, "gate i")), (None, 1, ("layer 0", 0, 0, 2, "gate f")),
        (None, 3, ("layer 0", 0, 0, 2, "gate o")),
    ):  # fmt: skip
        with subtests.test(step=step, block=block):
            layer = Late(3, 4, seed=0)
            assert bptt.crosscheck(bptt.LSTM(3, 4, seed=0), x).passed
            layer.step, layer.block = step, block
            for checked, place in (
                (layer, ""),
                (bptt.Sequential(layer, bptt.Linear(4, 2, seed=1)), "model[0], "),
            ):
                first = bptt.crosscheck(checked, x, raises=False).first
                assert tuple(first)[:5] == (place + expected[0], *expected[1:])
                assert first.value != first.expected


def test_another_layer_is_compared_with_its_own_parameters():
    layer, other = bptt.GRU(3, 4, seed=0), bptt.GRU(3, 4, seed=0)
    assert bptt.crosscheck(layer, _normal(5, 2, 3), against=other).passed
    other.parameters["bias_hh_l0"][5] += 1e-3
    report = bptt.crosscheck(layer, _normal(5, 2, 3), against=other, raises=False)
    assert not report["parameters[bias_hh_l0]"].passed
    assert report.first.gate == "gate z"
    assert report.first.unit == 1


def test_a_torch_module_agrees(subtests):
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.embedding, self.rnn, self.head = (
                torch.nn.Embedding(6, 3),
                torch.nn.LSTM(3, 4),
                torch.nn.Linear(4, 2),
            )

        def forward(self, x):
            return self.head(self.rnn(self.embedding(x))[0])

    own = bptt.Sequential(bptt.Embedding(6, 3), bptt.LSTM(3, 4), bptt.Linear(4, 2))
    x, ids = _normal(5, 2, 3), np.random.default_rng(0).integers(0, 6, (5, 2))
    for layer, module, data in (
        (bptt.LSTM(3, 4, 2, bidirectional=True), torch.nn.LSTM(3, 4, 2, bidirectional=True), x),
        (bptt.GRU(3, 4, batch_first=True), torch.nn.GRU(3, 4, batch_first=True), x),
        (bptt.LSTM(3, 4, proj_size=2), torch.nn.LSTM(3, 4, proj_size=2), x[:, 0]),
        (own, Model(), ids),
    ):  # fmt: skip
        with subtests.test(module=module):
            copied = dict(zip(layer.parameters, module.state_dict().values(), strict=True))
            layer.load_state_dict({name: value.numpy() for name, value in copied.items()})
            report = bptt.crosscheck(layer, data, against=module)
            assert {f"gradients[{name}]" for name in layer.parameters} <= {row.name for row in report.rows}
            next(module.parameters()).data[0, 0] += 0.5
            assert not bptt.crosscheck(layer, data, against=module, raises=False).passed
            assert all(parameter.grad is None for parameter in module.parameters())


def test_bad_arguments_name_the_fix(subtests):
    layer, x = bptt.LSTM(3, 4, seed=0), _normal(5, 2, 3)
    dropout = bptt.Sequential(bptt.LSTM(3, 4, seed=0), bptt.Dropout(0.5, seed=1))
    for error, message, checked, against, options in (
        (TypeError, "against must be None, a function", layer, 3, {}),
        (TypeError, "got the class LSTM itself", layer, bptt.LSTM, {}),
        (TypeError, r"callable as f\(parameters, x, state\)", layer, lambda x, state: (x, state), {}),
        (TypeError, "must return a pair", layer, lambda parameters, x, state: x, {}),
        (TypeError, r"must return y, state\[0\]", layer, lambda parameters, x, state: (x, None), {}),
        (ValueError, "y of shape", layer, lambda parameters, x, state: (x, state), {}),
        (ValueError, "layer's parameters", layer, bptt.LSTM(3, 5), {}),
        (ValueError, "no dropout", dropout, own_model, {}),
        (ValueError, "lengths must be None", layer, own_lstm(), {"lengths": [5, 4]}),
    ):
        with subtests.test(message), pytest.raises(error, match=message) as caught:
            bptt.crosscheck(checked, x, against=against, **options)
        assert "Fix: " in str(caught.value)


def _normal(*shape):
    return np.random.default_rng(1).standard_normal(shape)
