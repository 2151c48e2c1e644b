"""How far back errors reach: against what is known exactly, in words, and on whatever models there are."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.flows import RNG, X, scaled_identity

import bptt


@pytest.mark.parametrize("T", [2, 40, 100])
@pytest.mark.parametrize("rho", [0.9, 1.0, 1.1])
def test_identity_scaled(rho: float, T: int) -> None:
    layer = scaled_identity(rho)
    flow = bptt.gradient_flow(layer, RNG.random((T, 3, 4)))
    np.testing.assert_allclose(flow.dh_norm, rho ** (T - 1 - np.arange(T))[None], rtol=1e-12)
    np.testing.assert_allclose(flow.rate, [rho], atol=1e-6)
    assert flow.dc_norm is None
    far = T == 100
    assert flow.verdict == ({0.9: "vanishing", 1.0: "healthy", 1.1: "exploding"}[rho] if far else "healthy",)
    # 0.9^66 is the first power below 1e-3.
    assert flow.horizon.tolist() == [66 if far and rho == 0.9 else T]


@pytest.mark.parametrize("seed", range(3))
def test_tanh_agrees_with_the_exact_jacobians(seed: int) -> None:
    H, T = 7, 25
    layer = bptt.RNN(4, H, dtype="float64", seed=seed)
    x = np.random.default_rng(seed).standard_normal((T, 1, 4))
    y, _ = layer(x)
    W = layer.parameters["weight_hh_l0"]
    error = np.full(H, H**-0.5)
    norms = [np.linalg.norm(error)]
    for t in range(T - 1, 0, -1):
        jacobian = (1 - y[t, 0] ** 2)[:, None] * W  # dh_t / dh_{t-1}
        error = error @ jacobian
        norms.append(np.linalg.norm(error))
    flow = bptt.gradient_flow(layer, x)
    np.testing.assert_allclose(flow.ways[0], norms, rtol=1e-10)
    np.testing.assert_allclose(flow.rate, (norms[-1] / norms[0]) ** (1 / (T - 1)), rtol=1e-10)


@pytest.mark.parametrize("cell", ["RNN", "LSTM", "GRU", "MGU"])
@pytest.mark.parametrize("bidirectional", [False, True])
def test_is_what_a_backward_pass_leaves_on_the_tape(cell: str, bidirectional: bool) -> None:
    layer = getattr(bptt, cell)(4, 6, 2, bidirectional=bidirectional, dtype="float64", seed=1)
    y, _, tape = layer.forward(X)
    for step, reverse in ((len(X) - 1, 0), (0, 1))[: layer.num_directions]:
        dy = np.zeros_like(y)
        dy[step] = 1 / np.sqrt(dy[step].size)
        layer.backward(tape, dy)
        flow = bptt.gradient_flow(layer, X)
        np.testing.assert_array_equal(
            flow.dh_norm[reverse :: layer.num_directions], tape.dh_norm[reverse :: layer.num_directions]
        )
    assert flow.dh_norm.shape == (2 * layer.num_directions, len(X))
    assert flow.dh_norm.dtype == np.float64
    assert (flow.dc_norm is None) == (cell != "LSTM")


def test_reverse_direction_goes_forward_in_time() -> None:
    both = scaled_identity(0.9, bidirectional=True)
    for name, weight in both.parameters.items():
        if name.endswith("_reverse"):
            weight[...] *= 1.1 / 0.9 if name.startswith("weight_hh") else 1
    flow = bptt.gradient_flow(both, RNG.random((100, 2, 4)))
    assert flow.names == ("layer 0", "layer 0, reverse direction")
    assert flow.verdict == ("vanishing", "exploding")
    np.testing.assert_allclose(flow.rate, [0.9, 1.1], atol=1e-6)
    assert np.argmax(flow.dh_norm[1]) == 99


def test_sequential_has_the_rows_of_all_its_layers() -> None:
    model = bptt.Sequential(
        bptt.Linear(4, 6, seed=0),
        bptt.LSTM(6, 5, 2, seed=1),
        bptt.Sequential(bptt.Dropout(0.2, seed=2), bptt.GRU(5, 3, bidirectional=True, seed=3)),
        bptt.Linear(6, 2, seed=4),
    )
    flow = bptt.gradient_flow(model, X)
    assert flow.names == (
        "layer 0 of model[1]",
        "layer 1 of model[1]",
        "layer 0 of model[2][1]",
        "layer 0, reverse direction, of model[2][1]",
    )
    assert flow.dh_norm.shape == (4, len(X))
    assert flow.dc_norm is not None
    assert np.isfinite(flow.dc_norm[:2]).all()
    assert np.isnan(flow.dc_norm[2:]).all()
    assert len(flow.verdict) == len(flow.rate) == len(flow.horizon) == 4


def test_last_takes_the_error_at_the_end() -> None:
    layer = bptt.GRU(4, 6, dtype="float64", seed=1)
    plain = bptt.gradient_flow(layer, X)
    flow = bptt.gradient_flow(bptt.Sequential(layer, bptt.Last(dtype="float64")), X)
    np.testing.assert_allclose(flow.dh_norm, plain.dh_norm, rtol=1e-12)


def test_reverse_direction_before_last_is_told_to_see_one_step() -> None:
    with pytest.warns(UserWarning, match="use Ends"):
        model = bptt.Sequential(bptt.GRU(4, 6, bidirectional=True), bptt.Last())
    flow = bptt.gradient_flow(model, X)
    assert np.isnan(flow.rate[1])
    assert flow.horizon[1] == len(X)
    assert flow.verdict[1] == "no flow"
    assert "first step it reads" in str(flow)
    assert "bptt.Ends() right after the bidirectional layer" in " ".join(str(flow).split())


LAYOUTS: dict[str, tuple[dict[str, Any], Callable[[Any], Any]]] = {
    "batch first": ({"batch_first": True}, lambda x: x.swapaxes(0, 1)),
    "a list": ({}, lambda x: x.tolist()),
    "float32": ({}, lambda x: x.astype(np.float32)),
}


@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str) -> None:
    options, change = LAYOUTS[name]
    x = X.astype(np.float32).astype(np.float64)
    plain = bptt.gradient_flow(bptt.LSTM(4, 5, seed=1), x)
    flow = bptt.gradient_flow(bptt.LSTM(4, 5, seed=1, **options), change(x))
    np.testing.assert_array_equal(flow.dh_norm, plain.dh_norm)


def test_unbatched_is_a_batch_of_one() -> None:
    layer = bptt.LSTM(4, 5, seed=1)
    np.testing.assert_array_equal(
        bptt.gradient_flow(layer, X[:, 0]).dh_norm, bptt.gradient_flow(layer, X[:, :1]).dh_norm
    )
    model = bptt.Sequential(layer, bptt.Last())
    assert bptt.gradient_flow(model, X[:, 0]).dh_norm.shape == (1, len(X))


def test_ragged_rows_of_greatest_length_alone() -> None:
    """Rows of rho = 1 that end sooner would make the error of all rows grow on the way back."""
    layer = scaled_identity(1.0)
    for model in (layer, bptt.Sequential(scaled_identity(1.0), bptt.Last(dtype="float64"))):
        flow = bptt.gradient_flow(model, RNG.random((50, 4, 4)), lengths=[40, 3, 0, 40])
        assert not flow.dh_norm[:, 40:].any()
        np.testing.assert_allclose(flow.dh_norm[:, :40], 1, rtol=1e-12)
        np.testing.assert_allclose(flow.rate, 1, atol=1e-12)
        assert len(flow.ways[0]) == 40


def test_given_errors_and_losses() -> None:
    layer = bptt.GRU(4, 3, dtype="float64", seed=1)
    y, _, tape = layer.forward(X)
    target = RNG.standard_normal(y.shape)
    dy = bptt.MeanSquaredError()(y, target)[1]
    layer.backward(tape, dy)
    for found in (
        bptt.gradient_flow(layer, X, dy=dy),
        bptt.gradient_flow(layer, X, loss=bptt.MeanSquaredError(), target=target),
    ):
        np.testing.assert_array_equal(found.dh_norm, tape.dh_norm)
    early = np.zeros_like(y)
    early[10] = 1
    flow = bptt.gradient_flow(layer, X, dy=early)
    assert len(flow.ways[0]) == 11
    assert flow.ways[0][0] == pytest.approx(np.linalg.norm(early))


def test_loss_past_the_rows_ends_counts_no_more_than_in_training() -> None:
    layer, lengths = bptt.GRU(4, 3, dtype="float64", seed=1), np.array([len(X), 5, 12])
    y, _, tape = layer.forward(X, lengths=lengths)
    target = np.where(np.arange(len(X))[:, None] < lengths, 2, -1)  # no class past a row's end
    dy = bptt.CrossEntropy()(y, target, target >= 0)[1]
    layer.backward(tape, dy)
    options = {"loss": bptt.CrossEntropy(), "target": target, "lengths": lengths}
    np.testing.assert_array_equal(bptt.gradient_flow(layer, X, **options).dh_norm, tape.dh_norm)
    assert bptt.first_nonfinite(layer, X, **options) is None


def test_leaves_the_model_as_it_was() -> None:
    rng = np.random.default_rng(5)
    model = bptt.Sequential(
        bptt.LSTM(4, 5, 2, dropout=0.3, zoneout=0.2, seed=rng), bptt.Dropout(0.5, seed=rng), bptt.Linear(5, 2)
    )
    model.flat_gradients[:] = 7
    before = (model.flat_parameters.copy(), model.flat_gradients.copy(), rng.bit_generator.state)
    first = bptt.gradient_flow(model, X)
    np.testing.assert_array_equal(model.flat_parameters, before[0])
    np.testing.assert_array_equal(model.flat_gradients, before[1])
    assert rng.bit_generator.state == before[2]
    np.testing.assert_array_equal(bptt.gradient_flow(model, X).dh_norm, first.dh_norm)


def test_reference_layers_flow_too() -> None:
    layer = bptt.LSTM(4, 5, bidirectional=True, dtype="float64", seed=1)
    flow = bptt.gradient_flow(bptt.reference.like(layer), X)
    np.testing.assert_allclose(flow.dh_norm, bptt.gradient_flow(layer, X).dh_norm, rtol=1e-9)


def test_one_step() -> None:
    flow = bptt.gradient_flow(bptt.LSTM(4, 5), X[:1])
    assert np.isnan(flow.rate).all()
    assert flow.horizon.tolist() == [1]
    assert flow.verdict == ("no flow",)
    assert "1 step:" in str(flow)
    assert "no error flows back through time. Remedy: more steps" in " ".join(str(flow).split())


def test_to_dict() -> None:
    flow = bptt.gradient_flow(bptt.LSTM(4, 5, 2, seed=0), X)
    found = flow.to_dict()
    np.testing.assert_array_equal(found["dh_norm"], flow.dh_norm)
    assert found["verdict"] == list(flow.verdict)
    assert repr(flow).startswith("GradientFlow(layer 0: ")


LAYER = bptt.GRU(4, 5, seed=0)
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "no layer": (lambda: bptt.gradient_flow("lstm", X), TypeError, "layer must be a layer"),
    "a class": (
        lambda: bptt.gradient_flow(bptt.LSTM, X),
        TypeError,
        "layer must be .*; got the class LSTM itself",
    ),
    "a loss's class": (
        lambda: bptt.gradient_flow(LAYER, X, loss=bptt.CrossEntropy, target=X),
        TypeError,
        "loss must be .*; got the class CrossEntropy itself",
    ),
    "no recurrent layer": (
        lambda: bptt.gradient_flow(bptt.Linear(4, 2), X),
        ValueError,
        "recurrent layer; got Lin",
    ),
    "x of text": (lambda: bptt.gradient_flow(LAYER, "abc"), TypeError, "x must be"),
    "x too wide": (lambda: bptt.gradient_flow(LAYER, X[..., :3]), ValueError, "x must have shape"),
    "no steps": (lambda: bptt.gradient_flow(LAYER, X[:0]), ValueError, "at least one step"),
    "no rows": (lambda: bptt.gradient_flow(LAYER, X[:, :0]), ValueError, "at least one step and one row"),
    "no steps, with an error": (
        lambda: bptt.gradient_flow(LAYER, X[:0], dy=np.zeros((0, 3, 5))),
        ValueError,
        "at least one step",
    ),
    "no valid step, with a loss": (
        lambda: bptt.gradient_flow(
            LAYER, X, loss=bptt.MeanSquaredError(), target=np.zeros((40, 3, 5)), lengths=[0, 0, 0]
        ),
        ValueError,
        "0 valid steps",
    ),
    "no valid step": (lambda: bptt.gradient_flow(LAYER, X, lengths=[0, 0, 0]), ValueError, "0 valid steps"),
    "dy of another shape": (lambda: bptt.gradient_flow(LAYER, X, dy=X), ValueError, "dy must have shape"),
    "dy and loss": (
        lambda: bptt.gradient_flow(LAYER, X, dy=X, loss=bptt.CrossEntropy(), target=X),
        ValueError,
        "dy must be None if a loss is passed",
    ),
    "loss without target": (
        lambda: bptt.gradient_flow(LAYER, X, loss=bptt.CrossEntropy()),
        ValueError,
        "must come together",
    ),
    "loss a function": (
        lambda: bptt.gradient_flow(LAYER, X, loss=abs, target=X),
        TypeError,
        "loss must be a bptt",
    ),
    "lengths too long": (
        lambda: bptt.gradient_flow(LAYER, X, lengths=[41] * 3),
        ValueError,
        "lengths must lie",
    ),
}


def test_bad_input(subtests: pytest.Subtests) -> None:
    for name in WRONG:
        with subtests.test(name):
            call, error, message = WRONG[name]
            with pytest.raises(error, match=message) as raised:
                call()
            assert "Fix: " in str(raised.value)
            assert not LAYER.flat_gradients.any()


def test_import_loads_no_pictures() -> None:
    code = (
        "import sys, bptt; heavy = ('matplotlib', 'bptt.diagnose', 'bptt.train');"
        "assert not [name for name in heavy if name in sys.modules];"
        "bptt.gradient_flow(bptt.GRU(1, 1), [[1.0]]); bptt.GradientMonitor; bptt.first_nonfinite;"
        "assert 'matplotlib' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
