"""Checkpoints: what goes in comes out; a damaged file gives the same data or a CheckpointError."""

from __future__ import annotations

import json
import os
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy

import bptt
from bptt.files import CheckpointError, read_checkpoint

MODELS: dict[str, Callable[[], bptt.Module]] = {
    "everything": lambda: bptt.Sequential(
        bptt.Embedding(7, 4),
        bptt.LSTM(4, 5, 2, dropout=0.25, peephole=True),
        bptt.Dropout(0.5),
        bptt.Sequential(bptt.GRU(5, 3, bidirectional=True, bias=False), bptt.Ends()),
        bptt.Linear(6, 2),
    ),
    "relu rnn": lambda: bptt.RNN(3, 4, nonlinearity="relu", batch_first=True, dtype="float64"),
    "linear": lambda: bptt.Linear(3, 1, bias=False),
    "no parameters": lambda: bptt.Dropout(0.125),
    "fewest parameters": lambda: bptt.Sequential(
        bptt.LSTM(1, 9, 2, proj_size=1, coupled=True, bias=False),
        bptt.LSTM(1, 9, 2, proj_size=1, forget_gate=False, bidirectional=True, merge="sum", bias=False),
    ),
}


def small() -> bptt.Sequential:
    return bptt.Sequential(bptt.RNN(1, 1, seed=1), bptt.Linear(1, 1, seed=2))


def stepped(model: bptt.Module, optimizer: Any) -> Any:
    """The optimizer after two steps."""
    for _ in range(2):
        model.flat_gradients = np.random.default_rng(3).standard_normal(model.parameter_count)
        optimizer.step(model)
    return optimizer


def same(a: bptt.Module, b: bptt.Module) -> bool:
    return (
        (a.kind, a.config(), a.dtype) == (b.kind, b.config(), b.dtype)
        and list(a.parameters) == list(b.parameters)
        and a.flat_parameters.tobytes() == b.flat_parameters.tobytes()
    )


@pytest.mark.parametrize("name", MODELS)
def test_model_round_trip(name: str, tmp_path: Path) -> None:
    model, path = MODELS[name](), tmp_path / "model.safetensors"
    bptt.save(path, model)
    loaded = bptt.load(path)
    assert same(loaded, model)
    assert type(loaded) is type(model)
    saved = read_checkpoint(str(path))
    assert same(saved.model, model)
    assert saved.optimizer is None
    assert saved.extra == {}
    assert os.listdir(tmp_path) == ["model.safetensors"]


def test_tensors_have_the_parameters_names_for_other_readers(tmp_path: Path) -> None:
    model = MODELS["everything"]()
    bptt.save(tmp_path / "m", model)
    tensors = safetensors.numpy.load_file(tmp_path / "m")
    assert tensors.keys() == model.parameters.keys()
    for name, tensor in tensors.items():
        np.testing.assert_array_equal(tensor, model.parameters[name])


def test_optimizer_and_extra_round_trip(tmp_path: Path) -> None:
    model = small()
    optimizer = stepped(model, bptt.RMSProp(momentum=0.9))
    extra = {"vocabulary": "aé\n\U0001f600\ud800", "step": 3, "nested": [1.5, None, {"on": True}]}
    bptt.save(tmp_path / "m", model, optimizer=optimizer, extra=extra)
    saved = read_checkpoint(tmp_path / "m")
    assert saved.extra == extra
    resumed = bptt.RMSProp(momentum=0.9)
    resumed.load_state_dict(saved.optimizer)
    stepped(model, optimizer)
    stepped(saved.model, resumed)
    assert same(saved.model, model)


def test_fresh_optimizer_round_trip(tmp_path: Path) -> None:
    bptt.save(tmp_path / "m", small(), optimizer=bptt.Adam())
    assert read_checkpoint(tmp_path / "m").optimizer == {"kind": "Adam", "steps": 0}


def test_values_that_are_not_finite_survive(tmp_path: Path) -> None:
    model = bptt.Linear(2, 2)
    model.flat_parameters = [np.nan, np.inf, -np.inf, -0.0, 1e-45, 1]
    bptt.save(tmp_path / "m", model)
    assert same(bptt.load(tmp_path / "m"), model)


def test_a_link_is_followed_and_permissions_are_the_umask_s(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "real")
    bptt.save(tmp_path / "link", small())
    assert (tmp_path / "link").is_symlink()
    assert bptt.load(tmp_path / "real")
    (tmp_path / "plain").touch()
    assert (tmp_path / "real").stat().st_mode == (tmp_path / "plain").stat().st_mode


LINEAR = {"kind": "Linear", "config": {"in_features": 1, "out_features": 1, "bias": True, "dtype": "float32"}}
ABOUT = {"format": 1, "version": "0", "model": LINEAR, "optimizer": None, "extra": {}}
TENSORS = {"weight": np.ones((1, 1), np.float32), "bias": np.ones(1, np.float32)}


def described(model: Any) -> bytes:
    return whole(ABOUT | {"model": model})


def configured(**config: Any) -> bytes:
    return described({"kind": "Linear", "config": LINEAR["config"] | config})


def nested(depth: int) -> bytes:
    """Models in models, deeper than json.dumps itself can write them."""
    begin, end = '{"kind": "Sequential", "config": {"layers": [', "]}}"
    return whole(
        json.dumps(ABOUT).replace(json.dumps(LINEAR), begin * depth + json.dumps(LINEAR) + end * depth)
    )


def whole(about: Any, tensors: dict[str, np.ndarray] = TENSORS) -> bytes:
    """A well-formed file, its sum included."""
    from bptt.files.checkpoint import _digest

    text = about if isinstance(about, str) else json.dumps(about)
    return safetensors.numpy.save(tensors, {"bptt": text, "sha256": _digest(text, tensors)})


def header(value: Any, data: bytes = b"") -> bytes:
    text = value if isinstance(value, bytes) else json.dumps(value).encode()
    return struct.pack("<Q", len(text)) + text + data


def entry(dtype: str, shape: Any, offsets: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


META = {"__metadata__": {"bptt": json.dumps(ABOUT), "sha256": ""}}
TWO = {"weight": entry("F32", [1, 1], [0, 4]), "bias": entry("F32", [1], [4, 8])}
HOSTILE: dict[str, Callable[[], bytes]] = {
    "nothing": lambda: b"",
    "text": lambda: b"This is not a checkpoint at all.",
    "a header without end": lambda: struct.pack("<Q", 2**63) + b"{}",
    "a header that is a list": lambda: header([]),
    "a header nested without end": lambda: header(b"[" * 100_000),
    "a number without end": lambda: header(b'{"a": ' + b"9" * 10_000 + b"}"),
    "bytes that are no UTF-8": lambda: header(b'{"\xff": 1}'),
    "someone else's file": lambda: safetensors.numpy.save(TENSORS),
    "metadata that are a number": lambda: header(TWO | {"__metadata__": 3}, bytes(8)),
    "nothing about the model": lambda: header(TWO | {"__metadata__": {"bptt": 3}}, bytes(8)),
    "about is no JSON": lambda: whole("{"),
    "about is a list": lambda: whole([]),
    "a newer format": lambda: whole(ABOUT | {"format": 2}),
    "more than is known": lambda: whole(ABOUT | {"run": "os.system"}),
    "less than is needed": lambda: whole({"format": 1}),
    "extra is a list": lambda: whole(ABOUT | {"extra": []}),
    "optimizer is a list": lambda: whole(ABOUT | {"optimizer": []}),
    "model is a text": lambda: described("Linear"),
    "kind unknown": lambda: described({"kind": "os.system", "config": {}}),
    "kind a list": lambda: described({"kind": ["Linear"], "config": {}}),
    "kind abstract": lambda: described({"kind": "Module", "config": {}}),
    "config a list": lambda: described({"kind": "Linear", "config": []}),
    "config key unknown": lambda: configured(init="os.system"),
    "config key missing": lambda: described({"kind": "Linear", "config": {}}),
    "size a text": lambda: configured(in_features="1"),
    "size a float": lambda: configured(in_features=1.0),
    "size negative": lambda: configured(in_features=-1),
    "size huge": lambda: configured(in_features=2**40),
    "sizes that overflow": lambda: configured(in_features=2**62, out_features=2**62),
    "size beyond 64 bits": lambda: configured(in_features=10**4000),
    "size too small": lambda: described(LINEAR | {"config": LINEAR["config"] | {"bias": False}}),
    "LSTM huge": lambda: described({"kind": "LSTM", "config": {"input_size": 1, "hidden_size": 10**7}}),
    "LSTM deep": lambda: described(
        {"kind": "LSTM", "config": {"input_size": 1, "hidden_size": 1, "num_layers": 10**9}}
    ),
    "models in models": lambda: nested(5_000),
    "a layer twice as often": lambda: described({"kind": "Sequential", "config": {"layers": [LINEAR] * 2}}),
    "layers a text": lambda: described({"kind": "Sequential", "config": {"layers": "ab"}}),
    "another name": lambda: whole(ABOUT, {"weight": TENSORS["weight"], "b": TENSORS["bias"]}),
    "another shape": lambda: whole(ABOUT, {"weight": np.ones((1, 2), np.float32)}),
    "integers": lambda: whole(ABOUT, {"weight": np.ones((1, 1), np.int32), "bias": np.ones(1, np.int32)}),
    "a type nobody has": lambda: header(META | {"w": entry("F7", [2], [0, 8])}, bytes(8)),
    "a type that is a list": lambda: header(META | {"w": entry(["F32"], [2], [0, 8])}, bytes(8)),
    "a tensor that is a number": lambda: header(META | {"w": 3}, bytes(8)),
    "a shape that is a number": lambda: header(META | {"w": entry("F32", 2, [0, 8])}, bytes(8)),
    "a negative shape": lambda: header(META | {"w": entry("F32", [-2, -1], [0, 8])}, bytes(8)),
    "a shape without end": lambda: header(META | {"w": entry("F32", [2**40, 2**40], [0, 8])}, bytes(8)),
    "overlapping tensors": lambda: header(META | TWO | {"bias": entry("F32", [1], [0, 4])}, bytes(8)),
    "offsets beyond the end": lambda: header(META | TWO | {"bias": entry("F32", [1], [96, 100])}, bytes(8)),
    "offsets that are texts": lambda: header(META | TWO | {"bias": entry("F32", [1], ["4", "8"])}, bytes(8)),
    "no sum": lambda: header({"__metadata__": {"bptt": json.dumps(ABOUT)}} | TWO, bytes(8)),
    "a wrong sum": lambda: header(META | TWO, bytes(8)),
}


def test_the_hostile_files_start_from_a_good_one(tmp_path: Path) -> None:
    (tmp_path / "m").write_bytes(whole(ABOUT))
    np.testing.assert_array_equal(bptt.load(tmp_path / "m").flat_parameters, [1, 1])


def test_hostile_file(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in HOSTILE:
        with subtests.test(name):
            path = tmp_path / "m"
            path.write_bytes(HOSTILE[name]())
            with pytest.raises(CheckpointError) as caught:
                read_checkpoint(path)
            assert str(caught.value).startswith(str(path))
            assert len(str(caught.value)) < 1000


def fails_at(call: int, function: Any, error: BaseException) -> Any:
    """`function`, whose `call`-th call from now raises."""
    calls = 0

    def wrapped(*arguments: Any, **named: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls == call:
            raise error
        return function(*arguments, **named)

    return wrapped


PLACES = [("open", 1), ("write", 1), ("write", 3), ("fsync", 1), ("close", 1), ("replace", 1)]


def test_ctrl_c_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    """tests/promises/test_failing_calls.py has the errors of a disk."""
    path = tmp_path / "m"
    bptt.save(path, small())
    before, real_write = path.read_bytes(), os.write
    for function, call in PLACES:
        with subtests.test(function, call=call), monkeypatch.context() as patch:
            # In small pieces, as a disk that is nearly full takes them.
            patch.setattr(os, "write", lambda descriptor, data: real_write(descriptor, bytes(data[:100])))
            patch.setattr(os, function, fails_at(call, getattr(os, function), KeyboardInterrupt()))
            with pytest.raises(KeyboardInterrupt):
                bptt.save(path, MODELS["everything"]())
        assert path.read_bytes() == before
        assert os.listdir(tmp_path) == ["m"]


def test_what_the_disk_got_wrong_does_not_replace_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, model = tmp_path / "m", small()
    bptt.save(path, model)
    real_write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda fd, data: real_write(fd, bytes(data)[:-1] + b"\x55"))
        with pytest.raises(CheckpointError, match="was not written"):
            bptt.save(path, MODELS["everything"]())
    assert same(bptt.load(path), model)
    assert os.listdir(tmp_path) == ["m"]


class Mine(bptt.Linear):
    """A kind that no file may name."""


def test_a_model_that_could_not_be_loaded_is_not_saved(tmp_path: Path) -> None:
    bptt.save(tmp_path / "m", small())
    before = (tmp_path / "m").read_bytes()
    for model in (Mine(1, 1), bptt.Sequential(bptt.Linear(1, 1), Mine(1, 1))):
        with pytest.raises(CheckpointError, match="Mine"):
            bptt.save(tmp_path / "m", model)
    assert (tmp_path / "m").read_bytes() == before


BAD_CALLS = {
    "no model": (lambda tmp: bptt.save(tmp / "m", {"weight": 1}), TypeError, "model must"),
    "extra a list": (lambda tmp: bptt.save(tmp / "m", small(), extra=[1]), TypeError, "extra must"),
    "extra of arrays": (
        lambda tmp: bptt.save(tmp / "m", small(), extra={"a": np.ones(2)}),
        TypeError,
        "JSON",
    ),
    "extra of NaN": (lambda tmp: bptt.save(tmp / "m", small(), extra={"a": np.nan}), ValueError, "JSON"),
    "extra of numbers": (lambda tmp: bptt.save(tmp / "m", small(), extra={1: 2}), TypeError, "extra must"),
    "a missing folder": (lambda tmp: bptt.save(tmp / "no" / "m", small()), FileNotFoundError, "no folder"),
    "a folder": (lambda tmp: bptt.save(tmp, small()), IsADirectoryError, "is a folder"),
    "a device": (lambda tmp: bptt.save(os.devnull, small()), OSError, "is a device"),
    "a missing file": (lambda tmp: bptt.load(tmp / "m"), FileNotFoundError, "m"),
}


def test_bad_calls(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in BAD_CALLS:
        with subtests.test(name):
            call, error, message = BAD_CALLS[name]
            with pytest.raises(error, match=message):
                call(tmp_path)
            assert os.listdir(tmp_path) == []
