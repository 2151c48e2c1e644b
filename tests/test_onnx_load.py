"""`bptt.interop.onnx.load`: recurrent nodes with every attribute, and errors for what has no layer."""

from __future__ import annotations

import copy
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs pip install onnx")

from tests.commandline import CommandLine  # noqa: E402
from tests.onnx_graphs import (  # noqa: E402
    GATES,
    B,
    H,
    I,
    T,
    model_of,
    node,
    onnxruntime_outputs,
    recurrent_model,
    tensor,
)

import bptt  # noqa: E402
from bptt.interop.onnx import OnnxError, UnsupportedOnnxError, load, to_proto  # noqa: E402

FLOAT = 1
"""The type of a tensor."""
TOLERANCE = 2e-6
"""Both sides compute in float32: a hundred roundings of values below 4."""

LENGTHS = np.array([7, 3, 1, 5], np.int32)


def onnx_layout(layer: Any, y: Any, state: Any) -> list[Any]:
    """Y, Y_h and Y_c from the outputs of a recurrent layer."""
    D = layer.num_directions
    y = y.reshape(*y.shape[:2], D, -1)
    if not layer.batch_first:
        y = y.transpose(0, 2, 1, 3)
    parts = state if isinstance(state, tuple) else (state,)
    return [y, *(part.transpose(1, 0, 2) if layer.batch_first else part for part in parts)]


def node_cases(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The node tests of recurrent operators, as `load_model_tests(kind="node")` collects them."""
    from onnx.backend.test.case import node

    def import_recurrent(_: Any) -> None:  # the modules of all operators take ten seconds
        for name in ("rnn", "gru", "lstm"):
            import_module(f"{node.__name__}.{name}")

    monkeypatch.setattr(node, "import_recursive", import_recurrent)
    return [case for case in node.collect_testcases(None) if case.model.graph.node[0].op_type in GATES]


def test_the_node_tests_of_onnx(monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests) -> None:
    cases = node_cases(monkeypatch)
    assert len(cases) >= 12  # those of onnx 1.15; newer versions have more
    for case in cases:
        with subtests.test(case.name):
            node = case.model.graph.node[0]
            inputs, expected = case.data_sets[0]
            names = ("X", "W", "R", "B", "lengths", "h", "c", "P")
            values = {
                name: inputs[[entry.name for entry in case.model.graph.input].index(source)]
                for name, source in zip(names, node.input, strict=False)
                if source
            }
            model = copy.deepcopy(case.model)
            for name, source in zip(names, node.input, strict=False):
                if source and name in "WRBP":
                    model.graph.initializer.append(onnx.numpy_helper.from_array(values[name], source))
            layer = load(model)
            state = [values[name] for name in "hc" if name in values]
            if layer.batch_first:
                state = [part.transpose(1, 0, 2) for part in state]
            y, final = layer(
                values["X"],
                None if not state else state[0] if len(state) == 1 else tuple(state),
                lengths=values.get("lengths"),
            )
            actual = onnx_layout(layer, y, final)
            present = [k for k, name in enumerate(node.output) if name]
            assert len(present) == len(expected)
            for k, array in zip(present, expected, strict=True):
                np.testing.assert_allclose(actual[k], array, rtol=0, atol=TOLERANCE)


DIRECTIONS = ("forward", "reverse", "bidirectional")
OPTIONS: list[tuple[str, dict[str, Any]]] = [
    *((kind, {"direction": d, "lengths": True, "state": True}) for kind in GATES for d in DIRECTIONS),
    *((kind, {"bias": False, "clip": 0.4, "direction": "bidirectional"}) for kind in GATES),
    ("GRU", {"linear_before_reset": 1, "clip": 0.3, "lengths": True, "direction": "reverse"}),
    ("GRU", {"linear_before_reset": 1, "direction": "bidirectional", "state": True}),
    ("LSTM", {"peephole": True, "lengths": True, "state": True, "direction": "bidirectional"}),
    ("LSTM", {"peephole": True, "clip": 0.5, "bias": False}),
    ("LSTM", {"input_forget": 1, "peephole": True, "clip": 0.5, "direction": "reverse"}),
    (
        "LSTM",
        {
            "input_forget": 1,
            "activations": ["HardSigmoid", "Tanh", "Softsign"],
            "activation_alpha": [0.3],
            "activation_beta": [0.5],
        },
    ),
    (
        "LSTM",
        {
            "activations": ["HardSigmoid", "ScaledTanh", "Elu"],
            "activation_alpha": [0.3, 1.1, 0.5],
            "activation_beta": [0.4, 0.8],
        },
    ),
    (
        "GRU",
        {
            "activations": ["HardSigmoid", "LeakyRelu"] * 2,
            "activation_alpha": [0.3, 0.1] * 2,
            "activation_beta": [0.4] * 2,
            "direction": "bidirectional",
        },
    ),
    *(
        ("RNN", {"activations": [name], "activation_alpha": [0.4], "activation_beta": [0.2], "clip": 2.0})
        for name in ("Affine", "ScaledTanh", "HardSigmoid")
    ),
    *(
        ("RNN", {"activations": [name], "activation_alpha": [0.4], "clip": 2.0})
        for name in ("LeakyRelu", "ThresholdedRelu", "Elu")
    ),
    *(("RNN", {"activations": [name], "clip": 2.0}) for name in ("Relu", "Softsign", "Softplus", "Sigmoid")),
]


def run_both(
    kind: str, options: dict[str, Any], rng: np.random.Generator
) -> tuple[Any, list[Any], list[Any]]:
    """The loaded layer, its outputs and those of ONNX Runtime."""
    model = recurrent_model(kind, rng, **options)
    D = 2 if options.get("direction") == "bidirectional" else 1
    x = rng.standard_normal((T, B, I)).astype(np.float32)
    feeds: dict[str, Any] = {"x": x}
    states = [rng.standard_normal((D, B, H)).astype(np.float32) for _ in range(2 if kind == "LSTM" else 1)]
    state = None
    if options.get("state"):
        feeds |= dict(zip(("h0", "c0"), states, strict=False))
        state = tuple(states) if kind == "LSTM" else states[0]
    lengths = LENGTHS if options.get("lengths") else None
    if lengths is not None:
        feeds["lengths"] = lengths
    layer = load(model)
    return layer, onnx_layout(layer, *layer(x, state, lengths=lengths)), onnxruntime_outputs(model, feeds)


def test_random_weights_against_onnxruntime(subtests: pytest.Subtests) -> None:
    rng = np.random.default_rng(1)
    for kind, options in OPTIONS:
        with subtests.test(kind=kind, **options):
            _, actual, expected = run_both(kind, options, rng)
            for ours, theirs in zip(actual, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=TOLERANCE, atol=TOLERANCE)


def test_the_command_imports_a_file(bptt_command: CommandLine, folder: Path) -> None:
    model = recurrent_model("LSTM", np.random.default_rng(11), clip=0.3)
    (folder / "cell.onnx").write_bytes(model.SerializeToString())
    assert bptt_command("import", "cell.onnx", "-o", "a.safetensors").code == 0
    assert bptt.load(folder / "a.safetensors").clip_mode == "onnxruntime"
    options = ("--clip-mode", "spec", "--graph-output", "y")
    assert bptt_command("import", "cell.onnx", "-o", "b.safetensors", *options).code == 0
    layer = bptt.load(folder / "b.safetensors")
    assert (layer.clip_mode, layer.gate_clip) == ("spec", 0.3)
    (folder / "cell.onnx").write_bytes(b"no model")
    failed = bptt_command("import", "cell.onnx", "-o", "c.safetensors")
    assert (failed.code, (folder / "c.safetensors").exists()) == (1, False)
    assert "cell.onnx is not an ONNX model" in failed.err


def test_both_readings_of_clip() -> None:
    model = recurrent_model("LSTM", np.random.default_rng(2), clip=0.3)
    x = np.random.default_rng(3).standard_normal((T, B, I))
    spec, runtime = load(model, clip_mode="spec"), load(model)
    assert (spec.clip_mode, runtime.clip_mode) == ("spec", "onnxruntime")
    assert np.abs(spec(x)[0] - runtime(x)[0]).max() > 1e-3  # the cell state exceeds the bound
    own = bptt.LSTM(I, H, gate_clip=0.3, clip_mode="spec")
    own.load_state_dict(runtime.state_dict())
    np.testing.assert_allclose(own(x)[0], spec(x)[0], atol=TOLERANCE)
    with pytest.raises(ValueError, match="clip_mode must be 'onnxruntime' or 'spec'"):
        load(model, clip_mode="both")


def test_layout_1_float64_and_no_hidden_size() -> None:
    rng = np.random.default_rng(4)
    model = recurrent_model("LSTM", rng, layout=1, dtype=np.float64, state=True, direction="bidirectional")
    node = model.graph.node[0]
    node.attribute.remove(next(entry for entry in node.attribute if entry.name == "hidden_size"))
    layer = load(model)
    assert (layer.batch_first, layer.dtype, layer.hidden_size) == (True, np.float64, H)
    weights = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    forget = weights["W"][1, 2 * H : 3 * H]  # ONNX has the order i, o, f, c
    np.testing.assert_array_equal(layer.parameters["weight_ih_l0_reverse"][H : 2 * H], forget)
    same = load(
        recurrent_model("LSTM", np.random.default_rng(4), dtype=np.float64, direction="bidirectional")
    )
    x = rng.standard_normal((T, B, I))
    np.testing.assert_array_equal(layer(x.swapaxes(0, 1))[0].swapaxes(0, 1), same(x)[0])


def test_a_loaded_model_trains_saves_freezes_and_streams(tmp_path: Path) -> None:
    path = tmp_path / "cell.onnx"
    path.write_bytes(recurrent_model("GRU", np.random.default_rng(5)).SerializeToString())
    layer = load(path)
    x = np.random.default_rng(6).standard_normal((T, B, I)).astype(np.float32)
    before, _ = layer(x)
    np.testing.assert_allclose(layer.freeze()(x)[0], before, atol=TOLERANCE)
    frozen = load(path, frozen=True)
    np.testing.assert_array_equal(frozen(x)[0], layer.freeze()(x)[0])
    np.testing.assert_array_equal(frozen.layer.flat_parameters, layer.flat_parameters)
    np.testing.assert_allclose(layer.stream(B).run(x), before, atol=TOLERANCE)
    assert bptt.gradcheck(load(recurrent_model("GRU", np.random.default_rng(5), dtype=np.float64)), x).passed
    bptt.save(tmp_path / "cell.safetensors", layer)
    np.testing.assert_array_equal(bptt.load(tmp_path / "cell.safetensors")(x)[0], before)
    trainer = bptt.Trainer(layer, bptt.MeanSquaredError(), bptt.Adam(0.01), progress=False)
    history = trainer.fit([(x, np.zeros_like(before))], epochs=5)
    assert history["loss"][-1] < history["loss"][0]
    assert not layer.is_initial


def test_a_large_file_is_read_in_place(tmp_path: Path) -> None:
    """The weights of a file of more than 1 MiB go from the file into the parameters."""
    layer = bptt.LSTM(300, 200, bidirectional=True, seed=0)
    model = to_proto(layer)
    model.ClearField("metadata_props")
    path = tmp_path / "large.onnx"
    path.write_bytes(model.SerializeToString())
    for loaded in (load(path), load(path, frozen=True).layer, load(model)):
        np.testing.assert_array_equal(loaded.flat_parameters, layer.flat_parameters)
    coupled = copy.deepcopy(model)
    for part in coupled.graph.node:
        if part.op_type == "LSTM":
            part.attribute.append(onnx.helper.make_attribute("input_forget", 1))
    path.write_bytes(coupled.SerializeToString())
    np.testing.assert_array_equal(load(path).flat_parameters, load(coupled).flat_parameters)
    path.write_bytes(model.SerializeToString()[:-1000])
    with pytest.raises(OnnxError, match=r"large\.onnx is not an ONNX model, or is cut short\.$"):
        load(path)


def test_weights_next_to_the_file(tmp_path: Path) -> None:
    """Large models keep their weights in other files."""
    model = recurrent_model("LSTM", np.random.default_rng(7))
    expected = load(model).state_dict()
    onnx.save_model(
        model,
        tmp_path / "model.onnx",
        save_as_external_data=True,
        location="weights.bin",
        size_threshold=0,
    )
    for name, value in load(tmp_path / "model.onnx").state_dict().items():
        np.testing.assert_array_equal(value, expected[name])
    with pytest.raises(OnnxError, match="pass the path of the file, not its content"):
        load((tmp_path / "model.onnx").read_bytes())


# What has no layer


def graph_of(*nodes: Any, outputs: tuple[str, ...] = ("y",), **tensors: Any) -> Any:
    info = onnx.helper.make_tensor_value_info
    values = {"A": np.ones((I, H)), "b": np.ones(H)} | tensors
    return model_of(
        list(nodes),
        [info("x", FLOAT, ("t", "b", I))],
        [info(name, FLOAT, None) for name in outputs],
        [tensor(name, value) for name, value in values.items()],
        17,
    )


def test_all_nodes_without_a_layer_are_listed_at_once() -> None:
    model = graph_of(
        node("MatMul", "x A", "p"),
        node("Erf", "p", "q"),
        node("Add", "q b", "r"),
        node("CumSum", "x axis", "s"),
        node("MatMul", "s A", "t"),
        node("Add", "r t", "y"),
        axis=np.array(0),
    )
    with pytest.raises(UnsupportedOnnxError) as caught:
        load(model)
    message = str(caught.value)
    assert message.startswith("model has 2 nodes that bptt cannot represent:")
    assert "node 'to r' (Add, output 'r'): it reads node 'to q' (Erf, output 'q'), a function" in message
    assert "node 'to s' (CumSum, output 's')" in message
    layer = load(model, output="p")
    assert isinstance(layer, bptt.Linear)
    np.testing.assert_array_equal(layer.parameters["weight"], np.ones((H, I)))
    with pytest.raises(OnnxError, match=r"has no value 'z'. Fix: pass output= one of its outputs, 'y'"):
        load(model, output="z")


def refusals() -> dict[str, tuple[Any, str]]:
    rng = np.random.default_rng(8)
    split = recurrent_model("LSTM", rng)
    split.graph.node[0].input[1] = "x"
    ragged = recurrent_model("GRU", rng, lengths=True)
    ragged.graph.node.append(node("Gather", "y last", "z", axis=0))
    ragged.graph.initializer.append(onnx.numpy_helper.from_array(np.array(-1), "last"))
    ragged.graph.output[0].name = "z"
    started = recurrent_model("RNN", rng, state=True)
    del started.graph.input[1]
    started.graph.initializer.append(onnx.numpy_helper.from_array(np.ones((1, 1, H), np.float32), "h0"))
    return {
        "another activation": (
            recurrent_model("RNN", rng, activations=["Sine"]),
            "RNN, output 'y'\\): bptt has no activation 'Sine'",
        ),
        "no default": (
            recurrent_model("RNN", rng, activations=["Affine"]),
            "Affine has no activation_alpha, and runtimes have different defaults",
        ),
        "two functions": (
            recurrent_model("RNN", rng, activations=["Tanh", "Relu"], direction="bidirectional"),
            "its directions have different activations",
        ),
        "a gate without complement": (
            recurrent_model("LSTM", rng, input_forget=1, activations=["Relu", "Tanh", "Tanh"]),
            "input_forget with the gate function relu",
        ),
        "weights at run time": (split, "its input W must be an initializer or a constant"),
        "the last step of padded rows": (ragged, "Gather, output 'z'\\): it reads the padding"),
        "an initial state": (started, "its initial_h is a constant other than zero"),
        "another order of axes": (
            graph_of(node("MatMul", "x A", "p"), node("Transpose", "p", "y", perm=[1, 0, 2])),
            "the output 'y' with the axes .* in another order than the input",
        ),
        "features of several steps": (
            graph_of(node("Flatten", "x", "p", axis=1), node("MatMul", "p A", "y")),
            "MatMul, output 'y'\\): it needs all features of a layer on the last axis",
        ),
        "two outputs": (
            graph_of(node("Relu", "x", "y"), node("Tanh", "x", "z"), outputs=("y", "z")),
            "has 2 outputs, 'y', 'z', and a bptt model has one output and states. Fix: pass output='y'",
        ),
        "a residual": (
            graph_of(
                node("MatMul", "x A", "p"),
                node("Relu", "p", "q"),
                node("MatMul", "q C", "r"),
                node("Add", "p r", "y"),
                C=np.ones((H, H)),
            ),
            "Add, output 'y'\\): it computes with outputs of two layers",
        ),
        "a node after the layers": (
            graph_of(node("MatMul", "x A", "p"), node("LogSoftmax", "p", "y", axis=-1)),
            "LogSoftmax, output 'y'\\): no layer of bptt does this. Fix: pass output='p' for the model",
        ),
        "another domain": (
            graph_of(onnx.helper.make_node("Thing", ["x"], ["y"], domain="my.own")),
            "my.own.Thing, output 'y'\\): bptt reads only the standard operators",
        ),
        "a layer norm of several nodes": (
            graph_of(node("ReduceMean", "x", "m", axes=[-1]), node("Sub", "x m", "y")),
            "ReduceMean, output 'm'\\): .*Fix: if it is part of a layer norm, export .* version 17",
        ),
        "the axis of the batch": (
            graph_of(
                node("LSTM", "x W R", "p", hidden_size=H),
                node("Squeeze", "p one", "q"),
                node("ReduceMean", "q", "y", axes=[1], keepdims=0),
                W=rng.standard_normal((1, 4 * H, I)),
                R=rng.standard_normal((1, 4 * H, H)),
                one=np.array([1]),
            ),
            "ReduceMean, output 'y'\\): it works on an axis that is not time",
        ),
    }


def test_refusals_name_the_node_and_the_reason(subtests: pytest.Subtests) -> None:
    for name, (model, message) in refusals().items():
        with subtests.test(name), pytest.raises(UnsupportedOnnxError, match=message):
            load(model)


def test_arguments_of_wrong_types(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"model must be a path, bytes or an onnx.ModelProto; got 3"):
        load(3)
    with pytest.raises(TypeError, match=r"output must be a str or None; got 3"):
        load(recurrent_model("RNN", np.random.default_rng(0)), output=3)  # type: ignore[arg-type]
    with pytest.raises(FileNotFoundError):
        load(tmp_path / "missing.onnx")
    with pytest.raises(IsADirectoryError):
        load(tmp_path)
