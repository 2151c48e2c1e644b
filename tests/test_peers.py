"""Agreement with other people's code: PyTorch in float64, ONNX Runtime for the peephole LSTM."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import BACKENDS, CASES, CELLS, build, state

TORCH_CLASS = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "lstm": "LSTM", "gru": "GRU"}
SWEEP = [case for case in CASES if case.cell in TORCH_CLASS and case.H in (1, 7, 16)]
CLOSE = {"rtol": 0, "atol": 1e-10}
"""The agreement promised in float64."""


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("case", SWEEP, ids=str)
def test_pytorch_outputs_and_gradients(case, bias, backend):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    torch.set_num_threads(1)
    layer = case.build("float64", backend, bias=bias)
    x, initial = case.x(), case.state()
    y, last, tape = layer.forward(x, initial)
    dy, dlast = _like(y), _map(_like, last)
    dx, dstate = layer.backward(tape, dy, dlast)

    kind = getattr(torch.nn, TORCH_CLASS[case.cell])
    nonlinearity = {"nonlinearity": layer.nonlinearity} if TORCH_CLASS[case.cell] == "RNN" else {}
    options = {"bias": bias, "bidirectional": case.directions == 2, "dtype": torch.float64}
    peer = kind(case.I, case.H, case.layers, **nonlinearity, **options)
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    x_peer = torch.tensor(x, requires_grad=True)
    initial_peer = _map(lambda s: torch.tensor(s, requires_grad=True), initial)
    y_peer, last_peer = peer(x_peer, initial_peer)
    pairs = zip(_parts((y_peer, last_peer)), _parts((dy, dlast)), strict=True)
    sum((value * torch.from_numpy(weight)).sum() for value, weight in pairs).backward()

    np.testing.assert_allclose(y, y_peer.detach(), **CLOSE)
    np.testing.assert_allclose(dx, x_peer.grad, **CLOSE)
    for ours, theirs in zip(_parts(last), _parts(last_peer), strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), **CLOSE)
    for ours, theirs in zip(_parts(dstate), _parts(initial_peer), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, **CLOSE)
    assert {name for name, _ in peer.named_parameters()} == set(layer.gradients)
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(layer.gradients[name], parameter.grad, **CLOSE, err_msg=name)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("bidirectional", [False, True])
@pytest.mark.parametrize(("T", "B", "I", "H"), [(1, 1, 1, 1), (5, 3, 4, 7), (12, 2, 9, 16)])
def test_onnx_runtime_peephole_lstm_forward(T, B, I, H, bidirectional, backend):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the peer of this test")
    onnx = pytest.importorskip("onnx", reason="builds the model that ONNX Runtime runs")
    D = 2 if bidirectional else 1
    layer = build("lstm_peephole", I, H, backend, dtype="float32", bidirectional=bidirectional)
    x = np.random.default_rng(1).standard_normal((T, B, I)).astype(np.float32)
    h0, c0 = (s.astype(np.float32) for s in state("lstm_peephole", (D, B, H)))
    y, (h, c) = layer(x, (h0, c0))

    inputs = {"X": x, "initial_h": h0, "initial_c": c0} | _onnx_weights(layer, D)
    order = ["X", "W", "R", "B", "", "initial_h", "initial_c", "P"]
    direction = "bidirectional" if bidirectional else "forward"
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    node = helper.make_node("LSTM", order, ["Y", "Y_h", "Y_c"], hidden_size=H, direction=direction)
    graph = helper.make_graph(
        [node],
        "peephole",
        [helper.make_tensor_value_info(name, kind, value.shape) for name, value in inputs.items()],
        [helper.make_tensor_value_info(name, kind, None) for name in ("Y", "Y_h", "Y_c")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y_peer, h_peer, c_peer = session.run(None, inputs)

    # Both sides round; activations are of order one; sums are I + H long and pass through T steps.
    atol = 2 * 4 * np.ceil(np.log2(max(2, (I + H) * T))) * np.finfo(np.float32).eps
    np.testing.assert_allclose(y, y_peer.transpose(0, 2, 1, 3).reshape(T, B, D * H), rtol=0, atol=atol)
    np.testing.assert_allclose(h, h_peer, rtol=0, atol=atol)
    np.testing.assert_allclose(c, c_peer, rtol=0, atol=atol * max(1.0, float(np.abs(c_peer).max())))


def _onnx_weights(layer, directions):
    """ONNX's W, R, B and P: gates in the order i, o, f, c, peepholes i, o, f, one block per direction."""

    def stacked(name, rows):
        suffixes = ("", "_reverse")[:directions]
        blocks = [layer.parameters[f"{name}_l0{suffix}"] for suffix in suffixes]
        return np.stack(
            [
                np.concatenate([block.reshape(rows, -1, *block.shape[1:])[k] for k in order])
                for block in blocks
            ]
        )

    order = [0, 3, 1, 2]
    weights = {name: stacked(source, 4) for name, source in (("W", "weight_ih"), ("R", "weight_hh"))}
    weights["B"] = np.concatenate([stacked("bias_ih", 4), stacked("bias_hh", 4)], axis=1)
    order = [0, 2, 1]
    weights["P"] = stacked("weight_peephole", 3).reshape(directions, -1)
    return weights


def test_every_cell_has_a_peer():
    assert set(CELLS) == {*TORCH_CLASS, "lstm_peephole"}


def _like(value):
    return np.random.default_rng(5).standard_normal(value.shape)


def _parts(tree):
    """The arrays of a nested tuple, in order."""
    return [part for branch in tree for part in _parts(branch)] if isinstance(tree, tuple) else [tree]


def _map(function, tree):
    return tuple(_map(function, branch) for branch in tree) if isinstance(tree, tuple) else function(tree)
