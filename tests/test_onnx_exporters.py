"""Models that PyTorch's two ONNX exporters wrote load, and agree with PyTorch."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

onnx = pytest.importorskip("onnx", reason="needs pip install onnx")
torch = pytest.importorskip("torch", reason="needs pip install torch")

import bptt  # noqa: E402
from bptt.interop.onnx import UnsupportedOnnxError, load  # noqa: E402

T, B, I, H, WORDS, CLASSES = 6, 2, 3, 4, 11, 5
TOLERANCE = 1e-5
"""PyTorch and bptt sum in another order, in float32; outputs after a layer norm are up to 4."""


def layer(kind: str, **arguments: Any) -> Any:
    """The outputs of a recurrent module."""

    class Layer(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = getattr(torch.nn, kind)(I, H, **arguments)

        def forward(self, x: Any) -> Any:
            return self.rnn(x)[0]

    return Layer()


def with_states(kind: str, **arguments: Any) -> Any:
    """A recurrent module with all its outputs and, if it is called so, with initial states."""
    return getattr(torch.nn, kind)(I, H, **arguments)


def classifier(kind: str, head: str, **arguments: Any) -> Any:
    """Embedding, recurrent module, one vector per row or all steps, layer norm and a linear layer."""

    class Classifier(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.embedding = torch.nn.Embedding(WORDS, I)
            self.rnn = getattr(torch.nn, kind)(I, H, batch_first=True, **arguments)
            width = H * (2 if arguments.get("bidirectional") and head != "sum" else 1)
            self.head = torch.nn.Sequential(
                torch.nn.LayerNorm(width),
                torch.nn.Dropout(0.5),
                torch.nn.Linear(width, H),
                torch.nn.GELU() if head == "all" else torch.nn.SiLU() if head == "mean" else torch.nn.Tanh(),
                torch.nn.Linear(H, CLASSES, bias=head != "max"),
                torch.nn.Softmax(-1),
            )

        def forward(self, ids: Any) -> Any:
            y, state = self.rnn(self.embedding(ids))
            h = state[0] if isinstance(state, tuple) else state
            heads: dict[str, Callable[[], Any]] = {
                "all": lambda: y,
                "last": lambda: y[:, -1, :],
                "h": lambda: h[-1],
                "squeezed": lambda: h.squeeze(0),
                "both h": lambda: torch.cat((h[-2], h[-1]), dim=1),
                "both ends": lambda: torch.cat((y[:, -1, :H], y[:, 0, H:]), dim=-1),
                "mean": lambda: y.mean(dim=1),
                "max": lambda: y.max(dim=1).values,
                "sum": lambda: y[..., :H] + y[..., H:],
            }
            return self.head(heads[head]())

    return Classifier()


X, IDS = (T, B, I), (B, T)
LAYERS: dict[str, tuple[Callable[[], Any], tuple[int, ...], Any]] = {
    "LSTM": (lambda: layer("LSTM"), X, bptt.LSTM),
    "GRU, batch first, two layers": (lambda: layer("GRU", num_layers=2, batch_first=True), X, bptt.GRU),
    "LSTM, bidirectional, two layers": (
        lambda: layer("LSTM", num_layers=2, bidirectional=True),
        X,
        bptt.LSTM,
    ),
    "RNN, bidirectional": (
        lambda: layer("RNN", nonlinearity="relu", bidirectional=True, bias=False),
        X,
        bptt.RNN,
    ),
    "RNN, two layers, with states": (lambda: with_states("RNN", num_layers=2), X, bptt.RNN),
    "LSTM, with states": (lambda: with_states("LSTM", num_layers=2, bidirectional=True), X, bptt.LSTM),
    "all steps": (lambda: classifier("LSTM", "all"), IDS, bptt.Sequential),
    "last step": (lambda: classifier("GRU", "last"), IDS, bptt.Sequential),
    "h": (lambda: classifier("LSTM", "h", num_layers=2), IDS, bptt.Sequential),
    "squeezed h": (lambda: classifier("GRU", "squeezed"), IDS, bptt.Sequential),
    "both h": (lambda: classifier("LSTM", "both h", bidirectional=True, num_layers=2), IDS, bptt.Sequential),
    "both ends": (lambda: classifier("GRU", "both ends", bidirectional=True), IDS, bptt.Sequential),
    "mean": (lambda: classifier("GRU", "mean", bidirectional=True), IDS, bptt.Sequential),
    "max": (lambda: classifier("RNN", "max"), IDS, bptt.Sequential),
    "sum of directions": (lambda: classifier("LSTM", "sum", bidirectional=True), IDS, bptt.Sequential),
}

EXPORTERS = {"new": (True, False), "old": (False, False), "old, free sizes": (False, True)}


def export(module: Any, arguments: tuple[Any, ...], path: Path, *, new: bool, free: bool) -> None:
    options: dict[str, Any] = {"dynamo": new}
    if new:
        options |= {"external_data": False, "verbose": False}
        if free:
            sizes = [torch.export.Dim("first"), torch.export.Dim("second")]
            options["dynamic_shapes"] = (dict(enumerate(sizes)),)
    elif free:
        options |= {"input_names": ["x"], "dynamic_axes": {"x": {0: "first", 1: "second"}}}
    logging.disable(logging.ERROR)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")  # the exporters use deprecated functions of PyTorch
            torch.onnx.export(module, arguments, str(path), **options)
    finally:
        logging.disable(logging.NOTSET)


def some_input(shape: tuple[int, ...], rng: np.random.Generator) -> Any:
    if len(shape) == 2:
        return torch.from_numpy(rng.integers(0, WORDS, shape))
    return torch.from_numpy(rng.standard_normal(shape).astype(np.float32))


def flat(values: Any) -> list[Any]:
    """All arrays of nested tuples."""
    if isinstance(values, tuple):
        return [array for value in values for array in flat(value)]
    return [] if values is None else [np.asarray(values)]


IN_SUITE = {
    "new": ["both h"],
    "old": list(LAYERS)[::2],
    "old, free sizes": list(LAYERS)[1::2],
}
"""The models that the suite exports. An export with the new exporter takes a second or more."""


@pytest.mark.parametrize(
    ("exporter", "models"),
    [
        *IN_SUITE.items(),
        *(
            pytest.param(exporter, [name for name in LAYERS if name not in names], marks=pytest.mark.grid)
            for exporter, names in IN_SUITE.items()
        ),
    ],
)
def test_exported_models(exporter: str, models: list[str], tmp_path: Path, subtests: pytest.Subtests) -> None:
    new, free = EXPORTERS[exporter]
    if new:
        pytest.importorskip("onnxscript", reason="needs pip install onnxscript")
    rng = np.random.default_rng(0)
    torch.manual_seed(0)
    for name in models:
        make, shape, kind = LAYERS[name]
        with subtests.test(name):
            module = make().eval()
            path = tmp_path / "model.onnx"
            export(module, (some_input(shape, rng),), path, new=new, free=free)
            model = load(path)
            assert isinstance(model, kind)
            # The loaded model has no fixed sizes, whatever the graph has.
            x = some_input((shape[0] + 2, shape[1] + 1, *shape[2:]), rng)
            with torch.no_grad():
                expected = flat(module(x))
            y, state = model(x.numpy())
            actual = [y, *flat(state)][: len(expected)]
            for ours, theirs in zip(actual, expected, strict=True):
                np.testing.assert_allclose(ours, theirs, rtol=0, atol=TOLERANCE)


def test_padded_sequences_of_the_old_exporter(tmp_path: Path) -> None:
    """The lengths of `pack_padded_sequence` become the argument `lengths`."""

    class Padded(torch.nn.Module):  # type: ignore[misc, name-defined]
        def __init__(self) -> None:
            super().__init__()
            self.rnn = torch.nn.GRU(I, H, bidirectional=True, batch_first=True)
            self.head = torch.nn.Linear(2 * H, CLASSES)

        def forward(self, x: Any, lengths: Any) -> Any:
            packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, batch_first=True)
            y, _ = torch.nn.utils.rnn.pad_packed_sequence(self.rnn(packed)[0], batch_first=True)
            return self.head(y)

    module, rng, path = Padded().eval(), np.random.default_rng(3), tmp_path / "model.onnx"
    x, lengths = some_input((B, T, I), rng), torch.tensor([T, 2])
    export(module, (x, lengths), path, new=False, free=False)
    with torch.no_grad():
        expected = module(x, lengths)
    y, _ = load(path)(x.numpy(), lengths=lengths.numpy())
    np.testing.assert_allclose(y, expected, atol=TOLERANCE)


@pytest.mark.grid
def test_free_sizes_of_the_new_exporter(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs pip install onnxscript")
    rng = np.random.default_rng(1)
    path = tmp_path / "model.onnx"
    module = layer("LSTM", bidirectional=True, batch_first=True)
    export(module, (some_input((B, T, I), rng),), path, new=True, free=True)
    x = some_input((B + 1, T + 2, I), rng)
    with torch.no_grad():
        np.testing.assert_allclose(load(path)(x.numpy())[0], module(x), atol=TOLERANCE)


@pytest.mark.grid
def test_initial_states_of_the_new_exporter(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    path = tmp_path / "model.onnx"
    stack = with_states("LSTM", num_layers=2)
    state = tuple(some_input((2, B, H), rng) for _ in "hc")
    x = some_input(X, rng)
    export(stack, (x, state), path, new=True, free=False)
    model = load(path)
    assert (model.kind, model.num_layers) == ("LSTM", 2)
    with torch.no_grad():
        expected = flat(stack(x, state))
    actual = flat(model(x.numpy(), tuple(part.numpy() for part in state)))
    for ours, theirs in zip(actual, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, atol=TOLERANCE)


@pytest.mark.grid
def test_a_projection_that_the_exporter_drops_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("onnxscript", reason="needs pip install onnxscript")
    path = tmp_path / "model.onnx"
    export(layer("LSTM", proj_size=2), (some_input(X, np.random.default_rng(2)),), path, new=True, free=False)
    with pytest.raises(
        UnsupportedOnnxError, match=r"proj_size, take its weights with bptt\.interop\.from_torch"
    ):
        load(path)
