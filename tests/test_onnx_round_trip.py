"""A file of `bptt.interop.onnx.save` loads as the model that was saved."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests import cells
from tests.onnx_files import models, onnx, randomized

import bptt
from bptt.interop.onnx import UnsupportedOnnxError, load, to_proto
from bptt.interop.onnx.own_files import KEY


def assert_same(loaded: bptt.Module, model: bptt.Module) -> None:
    assert type(loaded) is type(model)
    assert loaded.config() == model.config()
    np.testing.assert_array_equal(loaded.flat_parameters, model.flat_parameters)


FORMS: tuple[dict[str, Any], ...] = (
    {},
    {"states": "required"},
    {"states": "optional", "lengths": True, "scan": "always"},
)


REDUCED: tuple[dict[str, Any], ...] = (
    {},
    {"tape_dtype": "bfloat16"},
    {"precision": "bfloat16"},
    {"precision": "bfloat16", "tape_dtype": "bfloat16"},
)


def test_every_option(subtests: pytest.Subtests) -> None:
    stacks = ({}, {"bidirectional": True, "num_layers": 2}, {"reverse": True, "batch_first": True})
    for index, (name, (kind, options)) in enumerate((cells.SINGLE | cells.COMBINED).items()):
        with subtests.test(name):
            options = options | stacks[index % 3] | REDUCED[index % 4]
            layer = randomized(getattr(bptt, kind)(3, 5, **options))
            assert_same(load(to_proto(layer, **FORMS[index // 3 % 3])), layer)
            if "gelu" in repr(layer):  # ONNX has no function for it in float64
                continue
            wide = load(to_proto(layer, dtype="float64"))
            same = {"dtype": "float64", "precision": "highest", "tape_dtype": None}
            assert wide.config() == layer.config() | same


def test_models(subtests: pytest.Subtests) -> None:
    for index, (name, model, options) in enumerate(models()):
        with subtests.test(name):
            randomized(model)
            if name == "translator":  # no output needs the last layer of the encoder
                for key in ("encoder.2.weight", "encoder.2.bias"):
                    model.parameters[key][...] = 0
            form = {"states": "optional", "scan": ("auto", "always")[index % 2]}
            assert_same(load(to_proto(model, **options, **form)), model)


def test_another_type() -> None:
    model = randomized(bptt.Sequential(bptt.MGU(3, 5, dtype="float64"), bptt.Dropout(0.2)))
    loaded = load(to_proto(model, dtype="float32"))
    assert loaded.dtype == np.float32
    assert loaded[1].p == 0.2
    np.testing.assert_array_equal(loaded.flat_parameters, model.flat_parameters.astype(np.float32))
    own: dict[str, Any] = {"precision": "bfloat16"}
    rounding = bptt.Sequential(
        bptt.MGU(3, 5, **own), bptt.LSTM(5, 5, **own), bptt.Linear(5, 2, **own), seed=0
    )
    x = np.random.default_rng(0).standard_normal((4, 2, 3))
    loaded = load(to_proto(rounding))
    assert [layer.precision for layer in loaded] == ["bfloat16"] * 3
    np.testing.assert_array_equal(loaded(x)[0], rounding(x)[0])
    wide = load(to_proto(rounding, dtype="float64"))
    assert [layer.precision for layer in wide] == ["highest"] * 3
    np.testing.assert_allclose(wide(x)[0], rounding.freeze("highest")(x)[0], atol=1e-6)


def weight(proto: Any, name: str) -> Any:
    """A writeable copy of a constant, and its message."""
    tensor = next(each for each in proto.graph.initializer if each.name == name)
    return onnx.numpy_helper.to_array(tensor).copy(), tensor


def test_a_file_with_other_weights_has_these_weights() -> None:
    layer = randomized(bptt.GRU(3, 5, zoneout=0.1))
    proto = to_proto(layer)
    values, tensor = weight(proto, "weight_ih.T_l0")
    values[1, 2] = 7.0
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    loaded = load(proto)
    assert loaded.config() == layer.config()
    assert loaded.parameters["weight_ih_l0"][2, 1] == 7.0


def test_a_changed_file_is_read_as_any_other_file() -> None:
    layer = randomized(bptt.MGU(3, 5))
    x = np.random.default_rng(0).standard_normal((6, 4, 3)).astype(np.float32)
    proto = to_proto(layer)
    values, tensor = weight(proto, "W_l0")
    values[:, :5] = 0.0  # z is no longer the complement of r
    tensor.CopyFrom(onnx.numpy_helper.from_array(values, tensor.name))
    gru = load(proto)
    assert isinstance(gru, bptt.GRU)
    assert not np.allclose(gru(x)[0], layer(x)[0])
    other = to_proto(bptt.GRU(3, 5, zoneout=0.1))
    next(node for node in other.graph.node if node.op_type == "Scan").attribute[0].g.node[0].op_type = "Exp"
    with pytest.raises(UnsupportedOnnxError, match="cannot represent"):
        load(other)


def norm(size: int) -> dict[str, Any]:
    return bptt.LayerNorm(2, elementwise_affine=False).config() | {"normalized_shape": size}


LIES: dict[str, Callable[[dict[str, Any]], Any]] = {
    "layer norm": lambda about: {**about, "kind": "LayerNorm", "config": norm(2**40), "parameters": 0},
    "layer norms": lambda about: {
        **about,
        "kind": "Parallel",
        "config": {"parts": {f"p{i}": {"kind": "LayerNorm", "config": norm(2**24)} for i in range(9)}},
        "parameters": 0,
    },
    "no object": lambda about: [1],
    "no kind": lambda about: {},
    "unknown kind": lambda about: about | {"kind": "Mystery"},
    "kind of another type": lambda about: about | {"kind": ["MGU"]},
    "another model": lambda about: about | {"config": bptt.MGU(3, 6).config()},
    "huge": lambda about: about | {"config": about["config"] | {"hidden_size": 2**31}},
    "many parameters": lambda about: about | {"parameters": 10**12},
    "no number": lambda about: about | {"parameters": 1e3},
    "negative": lambda about: about | {"parameters": -1},
    "another dtype": lambda about: about | {"dtype": "float64"},
    "no dtype": lambda about: about | {"dtype": {}},
    "other options": lambda about: about | {"options": {"lengths": 1}},
    "wrong options": lambda about: about | {"options": {**about["options"], "states": [3]}},
    "deep": lambda about: json.loads("[" * 900 + "]" * 900),
}


def test_a_description_that_lies_changes_nothing(subtests: pytest.Subtests) -> None:
    proto = to_proto(randomized(bptt.MGU(3, 5)))
    (entry,) = [each for each in proto.metadata_props if each.key == KEY]
    about = json.loads(entry.value)
    entry.value = "no JSON"
    expected = load(proto)
    for name, lie in LIES.items():
        with subtests.test(name):
            entry.value = json.dumps(lie(about))
            assert_same(load(proto), expected)
    entry.value = "[" * 100_000
    assert_same(load(proto), expected)
