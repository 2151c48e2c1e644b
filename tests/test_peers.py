"""Agreement with others: PyTorch in float64, gradients too; ONNX Runtime for what PyTorch lacks."""

from __future__ import annotations

import numpy as np
import pytest
from tests.cells import BACKENDS, CASES, CELLS
from tests.grids import pairwise, together

TORCH_CLASS = {"rnn_tanh": "RNN", "rnn_relu": "RNN", "lstm": "LSTM", "gru": "GRU"}
SWEEP = [case for case in CASES if case.cell in TORCH_CLASS and case.H in (1, 7, 16)]
CLOSE = {"rtol": 0, "atol": 1e-10}
"""The agreement promised in float64."""


@pairwise(("case", SWEEP), ("bias", [True, False]), ("backend", BACKENDS.keys()))
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


AUTOGRAD = {
    "rnn_gelu": ("RNN", {"nonlinearity": "gelu"}),
    "rnn_silu_clip": ("RNN", {"nonlinearity": "silu", "gate_clip": 0.8}),
    "rnn_linear": ("RNN", {"nonlinearity": "linear"}),
    "gru_silu_gelu": ("GRU", {"activations": ("silu", "gelu")}),
    "gru_gelu_clip": ("GRU", {"activations": ("sigmoid", "gelu"), "gate_clip": 0.7}),
    "gru_before": ("GRU", {"activations": ("softplus", "silu"), "reset_after": False}),
    "mgu": ("MGU", {"activations": ("gelu", "linear"), "gate_clip": 0.9}),
    "lstm_gelu": ("LSTM", {"activations": ("sigmoid", "gelu", "silu")}),
    "lstm_clip": ("LSTM", {"activations": ("silu", "silu", "gelu"), "gate_clip": 0.9, "clip_mode": "spec"}),
}
"""Layers with functions that no layer of PyTorch has; it computes the equations one operation at a time."""


@pytest.mark.parametrize("backend", BACKENDS)
def test_functions_against_autograd(backend, subtests):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    rng = np.random.default_rng(1)
    for name, (kind, options) in AUTOGRAD.items():
        with subtests.test(name):
            layer = getattr(BACKENDS[backend], kind)(3, 7, dtype="float64", seed=0, **options)
            x, h = 2 * rng.standard_normal((6, 4, 3)), rng.standard_normal((1, 4, 7))
            start = (h, 2 * rng.standard_normal(h.shape)) if kind == "LSTM" else h
            y, last, tape = layer.forward(x, start)
            dy, dlast = _like(y), _map(_like, last)
            dx, dstate = layer.backward(tape, dy, dlast)

            leaf = lambda value: torch.tensor(value, requires_grad=True)  # noqa: E731
            parameters = {each: leaf(value) for each, value in layer.state_dict().items()}
            x_peer, start_peer = leaf(x), _map(leaf, start)
            y_peer, last_peer = _unrolled(torch, layer, parameters, x_peer, _parts(start_peer))
            pairs = zip((y_peer, *last_peer), _parts((dy, dlast)), strict=True)
            sum((value * torch.from_numpy(weight)).sum() for value, weight in pairs).backward()
            found = [y, *_parts(last), dx, *_parts(dstate), *layer.gradients.values()]
            wanted = [y_peer.detach(), *(part.detach() for part in last_peer)]
            wanted += [part.grad for part in (x_peer, *_parts(start_peer), *parameters.values())]
            for ours, theirs in zip(found, wanted, strict=True):
                np.testing.assert_allclose(ours, theirs, **CLOSE)


def _unrolled(torch, layer, parameters, x, start):
    """Run a layer in PyTorch, step by step. Returns the outputs, and the parts of the last state."""
    functions = {
        "gelu": torch.nn.functional.gelu,
        "silu": torch.nn.functional.silu,
        "linear": lambda a: a,
        "softplus": torch.nn.functional.softplus,
    }
    limit = layer.gate_clip or np.inf

    def function(choice):
        f = functions.get(choice) or getattr(torch, choice)
        return lambda a: f(a.clamp(-limit, limit))

    W, U, b, d = (parameters[f"{name}_l0"] for name in ("weight_ih", "weight_hh", "bias_ih", "bias_hh"))
    chosen = [layer.nonlinearity] if layer.kind == "RNN" else [name for name, *_ in layer.activations]
    sigma, phi, *psi = map(function, [*chosen, "tanh"] if layer.kind == "RNN" else chosen)
    h, *c = (part[0] for part in start)
    ys = []
    for x_t in x:
        a = torch.stack((x_t @ W.T + b).split(7, 1))
        u = torch.stack((h @ U.T + d).split(7, 1))
        if layer.kind == "RNN":
            h = sigma(a[0] + u[0])
        elif layer.kind == "LSTM":
            i, f, o = (sigma(a[k] + u[k]) for k in (0, 1, 3))
            c = [f * c[0] + i * phi(a[2] + u[2])]
            h = o * psi[0](c[0])
        elif layer.kind == "MGU":
            f = sigma(a[0] + u[0])
            n = phi(a[1] + (f * h) @ U[7:].T + d[7:])
            h = (1 - f) * h + f * n
        else:
            r, z = sigma(a[0] + u[0]), sigma(a[1] + u[1])
            n = phi(a[2] + (r * u[2] if layer.reset_after else (r * h) @ U[14:].T + d[14:]))
            h = (1 - z) * n + z * h
        ys.append(h)
    return torch.stack(ys), [part[None] for part in (h, *c)]


ONNX = {
    "lstm": ("LSTM", {}, {}),
    "peephole": ("LSTM", {"peephole": True}, {}),
    "coupled": ("LSTM", {"coupled": True}, {"input_forget": 1}),
    "coupled_peephole": ("LSTM", {"coupled": True, "peephole": True}, {"input_forget": 1}),
    "clip": ("LSTM", {"gate_clip": 0.3}, {"clip": 0.3}),
    "clip_peephole": ("LSTM", {"gate_clip": 0.2, "peephole": True}, {"clip": 0.2}),
    "hard_sigmoid": (
        "LSTM",
        {"activations": ("hard_sigmoid", "softsign", "elu")},
        {"activations": ("HardSigmoid", "Softsign", "Elu"), "activation_alpha": [0.2, 1.0]},
    ),
    "scaled_tanh": (
        "LSTM",
        {"activations": ("sigmoid", ("scaled_tanh", 1.7, 0.6), "relu")},
        {
            "activations": ("Sigmoid", "ScaledTanh", "Relu"),
            "activation_alpha": [1.7],
            "activation_beta": [0.6],
        },
    ),
    "affine": (
        "LSTM",
        {"activations": (("affine", 0.3, 0.4), ("leaky_relu", 0.2), "softplus")},
        {
            "activations": ("Affine", "LeakyRelu", "Softplus"),
            "activation_alpha": [0.3, 0.2],
            "activation_beta": [0.4],
        },
    ),
    "thresholded": (
        "LSTM",
        {"activations": (("hard_sigmoid", 0.3, 0.4), "tanh", ("thresholded_relu", 0.1))},
        {
            "activations": ("HardSigmoid", "Tanh", "ThresholdedRelu"),
            "activation_alpha": [0.3, 0.1],
            "activation_beta": [0.4],
        },
    ),
    "gru": ("GRU", {}, {"linear_before_reset": 1}),
    "gru_reset_before": ("GRU", {"reset_after": False}, {"linear_before_reset": 0}),
    "rnn": ("RNN", {}, {}),
    "rnn_relu": ("RNN", {"nonlinearity": "relu"}, {"activations": ("Relu",)}),
    "gru_clip": ("GRU", {"gate_clip": 0.2}, {"linear_before_reset": 1, "clip": 0.2}),
    "gru_reset_before_clip": ("GRU", {"gate_clip": 0.2, "reset_after": False}, {"clip": 0.2}),
    "gru_activations": (
        "GRU",
        {"activations": (("hard_sigmoid", 0.3, 0.4), ("scaled_tanh", 1.7, 0.6))},
        {
            "linear_before_reset": 1,
            "activations": ("HardSigmoid", "ScaledTanh"),
            "activation_alpha": [0.3, 1.7],
            "activation_beta": [0.4, 0.6],
        },
    ),
    "rnn_clip": ("RNN", {"gate_clip": 0.2}, {"clip": 0.2}),
    "rnn_elu": ("RNN", {"nonlinearity": ("elu", 0.5)}, {"activations": ("Elu",), "activation_alpha": [0.5]}),
}
"""Our class and options, and the attributes of ONNX's operator that say the same."""


@together(
    pairwise(
        ("name", ONNX.keys()),
        ("T, B, I, H", [(1, 2, 1, 1), (5, 3, 4, 7), (12, 2, 9, 16)]),
        ("bidirectional", [False, True]),
        ("ragged", [False, True]),
        ("backend", BACKENDS.keys()),
    )
)
def test_onnx_runtime_forward(name, T, B, I, H, bidirectional, ragged, backend):
    onnxruntime = pytest.importorskip("onnxruntime", reason="ONNX Runtime is the peer of this test")
    onnx = pytest.importorskip("onnx", reason="builds the model that ONNX Runtime runs")
    D = 2 if bidirectional else 1
    operator, options, attributes = ONNX[name]
    options = options | {"bidirectional": bidirectional, "dtype": "float32", "seed": 0}
    layer = getattr(BACKENDS[backend], operator)(I, H, **options)
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    has_c = operator == "LSTM"
    starts = [0.5 * rng.standard_normal((D, B, H)).astype(np.float32) for _ in range(1 + has_c)]
    # ONNX Runtime takes no length of 0: it gives zeros there, where we give the state back
    lengths = np.array([T, *rng.integers(1, T + 1, B - 1)], np.int32) if ragged else None
    y, last = layer(x, tuple(starts) if has_c else starts[0], lengths=lengths)

    inputs = {"X": x} | _onnx_weights(layer, D)
    inputs |= dict(zip(("initial_h", "initial_c"), starts, strict=False))
    if ragged:
        inputs["sequence_lens"] = lengths
    order = ["X", "W", "R", "B", "sequence_lens", "initial_h", "initial_c", "P"]
    names = [each if each in inputs else "" for each in order]
    while not names[-1]:
        names.pop()
    attributes = {
        key: value * D if isinstance(value, (list, tuple)) else value for key, value in attributes.items()
    }
    outputs = ["Y", "Y_h", "Y_c"][: 2 + has_c]
    direction = "bidirectional" if bidirectional else "forward"
    helper = onnx.helper
    node = helper.make_node(operator, names, outputs, hidden_size=H, direction=direction, **attributes)
    graph = helper.make_graph(
        [node],
        name,
        [
            helper.make_tensor_value_info(
                each, helper.np_dtype_to_tensor_dtype(inputs[each].dtype), inputs[each].shape
            )
            for each in names
            if each
        ],
        [helper.make_tensor_value_info(each, onnx.TensorProto.FLOAT, None) for each in outputs],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 14)], ir_version=8)
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y_peer, *last_peer = session.run(None, inputs)

    # Both sides round; activations are of order one; sums are I + H long and pass through T steps.
    atol = 2 * 4 * np.ceil(np.log2(max(2, (I + H) * T))) * np.finfo(np.float32).eps
    size = max(1.0, *(float(np.abs(part).max()) for part in (y_peer, *last_peer)))
    np.testing.assert_allclose(y, y_peer.transpose(0, 2, 1, 3).reshape(T, B, D * H), rtol=0, atol=atol * size)
    for ours, theirs in zip(_parts(last), last_peer, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=atol * size)


def _onnx_weights(layer, directions):
    """ONNX's W, R, B and P, one block per direction: gates in the order i, o, f, c, or z, r, h."""
    coupled = getattr(layer, "coupled", False)
    rows = layer.gate_count
    order = {"LSTM": [0, 3, 1, 2], "GRU": [1, 0, 2], "RNN": [0]}[layer.kind]
    peepholes = [0, 2, 1]  # i, o, f

    def stacked(name, rows, order):
        blocks = []
        for suffix in ("", "_reverse")[:directions]:
            gates = list(layer.parameters[f"{name}_l0{suffix}"].reshape(rows, layer.hidden_size, -1))
            if coupled:  # f = 1 - i there, i = 1 - f here: sigmoid(-a) is 1 - sigmoid(a)
                gates = [-gates[0], np.zeros_like(gates[0]), *gates[1:]]
            blocks.append(np.concatenate([gates[k] for k in order]))
        return np.stack(blocks)

    weights = {"W": stacked("weight_ih", rows, order), "R": stacked("weight_hh", rows, order)}
    weights["B"] = np.concatenate(
        [stacked(name, rows, order)[..., 0] for name in ("bias_ih", "bias_hh")], axis=1
    )
    if getattr(layer, "peephole", False):
        weights["P"] = stacked("weight_peephole", 2 if coupled else 3, peepholes)[..., 0]
    return weights


@pairwise(
    ("P", [1, 5, 16]),
    ("layers, D", [(1, 1), (2, 2), (3, 1)]),
    ("bias", [True, False]),
    ("packed", [False, True]),
    ("backend", BACKENDS.keys()),
)
def test_pytorch_projection(P, layers, D, bias, packed, backend):
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    torch.set_num_threads(1)
    T, B, I, H = 6, 4, 5, 17
    layer = BACKENDS[backend].LSTM(
        I, H, layers, proj_size=P, bias=bias, bidirectional=D == 2, dtype="float64", seed=0
    )
    options = {"proj_size": P, "bias": bias, "bidirectional": D == 2, "dtype": torch.float64}
    peer = torch.nn.LSTM(I, H, layers, **options)
    peer.load_state_dict({name: torch.from_numpy(value) for name, value in layer.state_dict().items()})
    rng = np.random.default_rng(1)
    x = rng.standard_normal((T, B, I))
    initial = tuple(0.5 * rng.standard_normal((layers * D, B, width)) for width in (P, H))
    lengths = np.array([3, 6, 1, 6]) if packed else None
    y, last, tape = layer.forward(x, initial, lengths=lengths)
    dy, dlast = _like(y), _map(_like, last)
    dx, dstate = layer.backward(tape, dy, dlast)

    x_peer = torch.tensor(x, requires_grad=True)
    initial_peer = _map(lambda s: torch.tensor(s, requires_grad=True), initial)
    if packed:
        pack, pad = torch.nn.utils.rnn.pack_padded_sequence, torch.nn.utils.rnn.pad_packed_sequence
        out, last_peer = peer(pack(x_peer, torch.tensor(lengths), enforce_sorted=False), initial_peer)
        y_peer, _ = pad(out, total_length=T)
    else:
        y_peer, last_peer = peer(x_peer, initial_peer)
    pairs = zip(_parts((y_peer, last_peer)), _parts((dy, dlast)), strict=True)
    sum((value * torch.from_numpy(weight)).sum() for value, weight in pairs).backward()

    np.testing.assert_allclose(y, y_peer.detach(), **CLOSE)
    np.testing.assert_allclose(dx, x_peer.grad, **CLOSE)
    for ours, theirs in zip(_parts(last), _parts(last_peer), strict=True):
        np.testing.assert_allclose(ours, theirs.detach(), **CLOSE)
    for ours, theirs in zip(_parts(dstate), _parts(initial_peer), strict=True):
        np.testing.assert_allclose(ours, theirs.grad, **CLOSE)
    for name, parameter in peer.named_parameters():
        np.testing.assert_allclose(layer.gradients[name], parameter.grad, **CLOSE, err_msg=name)


def test_every_cell_has_a_peer():
    assert set(CELLS) == {*TORCH_CLASS, "lstm_peephole", "lstm_coupled", "gru_reset_before", "mgu"}


def _like(value):
    return np.random.default_rng(5).standard_normal(value.shape)


def _parts(tree):
    """The arrays of a nested tuple, in order."""
    return [part for branch in tree for part in _parts(branch)] if isinstance(tree, tuple) else [tree]


def _map(function, tree):
    return tuple(_map(function, branch) for branch in tree) if isinstance(tree, tuple) else function(tree)
