"""Layers of the user's own: the protocol of `Module`, and `register`."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_checkpoint import described

import bptt
from bptt.files import CheckpointError
from bptt.layers import KINDS

X = np.random.default_rng(0).standard_normal((4, 2, 3))


@pytest.fixture(autouse=True)
def _registered() -> Iterator[None]:
    before = dict(KINDS)
    yield
    KINDS.clear()
    KINDS.update(before)


class Offset(bptt.Module):
    """The shortest layer with a parameter."""

    def __init__(self, size: int, dtype: str = "float32", seed: Any = None) -> None:
        super().__init__(dtype, seed)
        if not isinstance(size, int) or not 0 < size < 100:
            raise KeyError(size)  # an error that no layer of the package raises
        self.size = size
        self.allocate()

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"offset": (self.size,)}

    def forward(self, x: Any, state: Any = None) -> Any:
        return np.asarray(x, self.dtype) + self.parameters["offset"], None, bptt.LayerTape(self, None)

    def backward(self, tape: Any, dy: Any = None, dstate: Any = None, *, need_dx: bool = True) -> Any:
        self.gradients["offset"] += dy.reshape(-1, self.size).sum(axis=0)
        return dy, None


def test_the_protocol() -> None:
    layer = Offset(3, seed=0)
    assert layer.config() == {"size": 3, "dtype": "float32"}
    bound = 1 / np.sqrt(3)
    assert np.abs(layer.parameters["offset"]).max() <= bound
    assert np.array_equal(layer(X)[0], layer.forward(X)[0])
    assert repr(layer) == "Offset(size=3)"
    assert not np.array_equal(layer.flat_parameters, Offset(3, seed=1).flat_parameters)
    for twin in (copy.deepcopy(layer), pickle.loads(pickle.dumps(layer))):
        assert np.array_equal(twin(X)[0], layer(X)[0])
    model = bptt.Sequential(bptt.GRU(3, 3), layer, bptt.Last(), bptt.Linear(3, 1), seed=0)
    assert bptt.gradcheck(model, X, entries=8)
    data = [(X.astype(np.float32), np.ones((2, 1), np.float32))]
    history = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False).fit(data, 20)
    assert history["loss"][-1] < history["loss"][0] / 2


def test_a_layer_without_its_argument_as_attribute() -> None:
    class Lost(Offset):
        def __init__(self, size: int, scale: float = 1.0) -> None:
            super().__init__(size)

    with pytest.raises(AttributeError, match=r"Lost must have an attribute scale.*Fix: write self.scale"):
        Lost(3).config()


def test_registered_layers_are_saved_and_loaded(tmp_path: Path) -> None:
    path = tmp_path / "m"
    model = bptt.Sequential(bptt.GRU(3, 3, seed=0), bptt.Sequential(Offset(3, seed=1)))
    with pytest.raises(CheckpointError, match=r"(?s)kind 'Offset'.*put @bptt.register above it"):
        bptt.save(path, model)
    assert not path.exists()
    assert bptt.register(Offset) is Offset
    assert bptt.register(Offset) is Offset  # a cell of a notebook that runs again
    bptt.save(path, model)
    loaded = bptt.load(path)
    assert isinstance(loaded[1][0], Offset)
    assert np.array_equal(loaded(X)[0], model(X)[0])
    del KINDS["Offset"]
    with pytest.raises(CheckpointError, match=r"kind 'Offset'.*import its module first"):
        bptt.load(path)


def test_what_cannot_be_registered() -> None:
    class Half(bptt.Module):
        pass

    def named(name: str) -> type[bptt.Module]:
        return type(name, (Offset,), {})

    cases: list[tuple[Any, type[Exception], str]] = [
        (
            Offset(3),
            TypeError,
            r"cls must be a subclass of bptt.Module; got Offset\(size=3\)",
        ),
        (dict, TypeError, "cls must be a subclass"),
        (Half, TypeError, "got Half without backward, forward. Fix: define"),
        (named("LSTM"), ValueError, r"got LSTM, the name of bptt.layers.lstm.LSTM. Fix: rename"),
        (named("Offset"), ValueError, r"the name of tests.test_own_layers.Offset"),
    ]
    bptt.register(Offset)
    before = dict(KINDS)
    for cls, error, message in cases:
        with pytest.raises(error, match=message):
            bptt.register(cls)
        assert before == KINDS


def test_a_file_that_lies_about_a_registered_layer(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """The constructor of the user's layer may raise anything."""
    bptt.register(Offset)
    for size in (10**9, 99, -1, None, [3], 3.5, "3"):
        with subtests.test(size=size):
            (tmp_path / "m").write_bytes(described({"kind": "Offset", "config": {"size": size}}))
            with pytest.raises(CheckpointError, match="describes a layer Offset that cannot be built"):
                bptt.load(tmp_path / "m")
