"""`reverse` and `merge`: layers that read from the end, and outputs of two directions in one."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from tests.cells import BACKENDS, VARIANTS
from tests.test_options import leaves, mapped, numbers, start_of

import bptt

T, B, I, H = 12, 5, 4, 7
LENGTHS = np.array([12, 4, 0, 7, 1])
MERGES = {"sum": np.add, "mean": lambda f, r: (f + r) * 0.5, "mul": np.multiply}
kinds = pytest.mark.parametrize("kind", VARIANTS)


def build(kind, backend="native", **options):
    return getattr(BACKENDS[backend], kind)(
        I, options.pop("size", H), **{"dtype": "float64", "seed": 0} | options
    )


def same_weights(layer, **options):
    """A layer of the class with other options, and with the weights of the layer as far as they fit."""
    config = layer.config() | options
    other = type(layer).from_config(config)
    other.load_state_dict(layer.state_dict())
    return other


def flipped(array, lengths=None):
    """The valid steps of each row in the other order."""
    out = np.zeros_like(array)
    for row in range(array.shape[1]):
        n = len(array) if lengths is None else lengths[row]
        out[:n, row] = array[:n, row][::-1]
    return out


@kinds
@pytest.mark.parametrize("backend", BACKENDS)
def test_reverse_reads_the_flipped_input(kind, backend):
    """With the bits of outputs, states and dx; gradients of weights sum the steps in another order."""
    forward = build(kind, backend, num_layers=2)
    layer = same_weights(forward, reverse=True)
    assert list(layer.parameters) == list(forward.parameters)
    x, start = numbers(T, B, I), start_of(forward, B)
    for call in ({}, {"lengths": LENGTHS}):
        y, last, tape = layer.forward(x, start, **call)
        back, back_last, back_tape = forward.forward(flipped(x, **call), start, **call)
        dy = np.cos(y)
        results = []
        for one, its_tape, error in ((layer, tape, dy), (forward, back_tape, flipped(dy, **call))):
            one.zero_grad()
            results.append(one.backward(its_tape, error, mapped(np.sin, last), clip_state=0.5))
        (dx, dstart), (back_dx, back_dstart) = results
        np.testing.assert_array_equal(y, flipped(back, **call))
        np.testing.assert_array_equal(layer(x, start, **call)[0], y)
        np.testing.assert_array_equal(dx, flipped(back_dx, **call))
        for found, wanted in zip(
            (*leaves(last), *leaves(dstart)), (*leaves(back_last), *leaves(back_dstart)), strict=True
        ):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_allclose(layer.flat_gradients, forward.flat_gradients, rtol=1e-11, atol=1e-13)
        for found, wanted in zip(tape.h, back_tape.h, strict=True):
            np.testing.assert_array_equal(found, flipped(wanted, **call))
    np.testing.assert_allclose(
        layer.forward(x)[2].h[0], flipped(forward.forward(flipped(x))[2].h[0]), rtol=1e-13
    )


def test_reverse_in_large_batches():
    """Two threads store the halves of a batch separately. No bit changes."""
    forward = build("LSTM", size=24, dtype="float32")
    layer = same_weights(forward, reverse=True)
    x, dy = numbers(150, 64, I).astype("f4"), numbers(150, 64, 24).astype("f4")
    for threads in (1, 2, 4):
        bptt.set_num_threads(threads)
        y, last, tape = layer.forward(x)
        back, back_last, back_tape = forward.forward(x[::-1])
        np.testing.assert_array_equal(y, back[::-1])
        np.testing.assert_array_equal(layer(x)[0], y)
        dx, dstart = layer.backward(tape, dy)
        back_dx, back_dstart = forward.backward(back_tape, dy[::-1])
        np.testing.assert_array_equal(dx, back_dx[::-1])
        for found, wanted in zip((*last, *dstart), (*back_last, *back_dstart), strict=True):
            np.testing.assert_array_equal(found, wanted)
        np.testing.assert_array_equal(tape.dh_norm[:, ::-1], back_tape.dh_norm)


@pytest.mark.parametrize("backend", BACKENDS)
def test_merged_outputs_are_those_of_both_directions(subtests, backend):
    x = numbers(T, B, I)
    for kind, (merge, join) in zip(VARIANTS, [*MERGES.items(), ("mul", np.multiply)], strict=True):
        with subtests.test(kind, merge=merge):
            both = build(kind, backend, bidirectional=True)
            layer = same_weights(both, merge=merge)
            for call in ({}, {"lengths": LENGTHS}):
                (y, last), (wide, wide_last) = layer(x, **call), both(x, **call)
                np.testing.assert_array_equal(y, join(wide[..., :H], wide[..., H:]))
                np.testing.assert_array_equal(layer.freeze()(x, **call)[0], y)
                for found, wanted in zip(leaves(last), leaves(wide_last), strict=True):
                    np.testing.assert_array_equal(found, wanted)
            y, _, tape = layer.forward(x)
            assert not y.flags.writeable
            assert layer.y_size == y.shape[-1] == H
            assert [view.shape for view in tape.h] == [(T, B, H)] * 2
            stack = build(kind, backend, num_layers=3, bidirectional=True, merge=merge, dropout=0.3)
            assert stack.parameters["weight_ih_l2_reverse"].shape[1] == H
            for shape in ((0, 3), (3, 0), (0, 0)):
                y, _, tape = stack.forward(np.zeros((*shape, I)))
                assert y.shape == stack(np.zeros((*shape, I)))[0].shape == (*shape, H)
                assert stack.backward(tape, np.ones_like(y))[0].shape == (*shape, I)


def test_agreement_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    x = numbers(T, B, I)

    def peer_of(kind, layer, number, size, directions):
        peer = getattr(torch.nn, kind)(size, H, bidirectional=directions == 2, dtype=torch.float64)
        weights = {
            n.replace(f"_l{number}", "_l0"): torch.tensor(v)
            for n, v in layer.state_dict().items()
            if f"_l{number}" in n
        }
        peer.load_state_dict(weights)
        return peer

    for kind in ("LSTM", "GRU", "RNN"):
        for options in ({"reverse": True}, *({"bidirectional": True, "merge": merge} for merge in MERGES)):
            layer = build(kind, num_layers=2, **options)
            peers = [peer_of(kind, layer, k, I if k == 0 else H, layer.num_directions) for k in range(2)]
            y, _, tape = layer.forward(x)
            dx, _ = layer.backward(tape, np.cos(y))
            given = value = torch.tensor(x, requires_grad=True)
            for peer in peers:
                if "reverse" in options:
                    value = peer(value.flip(0))[0].flip(0)
                else:
                    f, r = peer(value)[0].split(H, 2)
                    value = {"sum": f + r, "mean": (f + r) / 2, "mul": f * r}[options["merge"]]
            value.backward(torch.cos(value.detach()))
            np.testing.assert_allclose(y, value.detach().numpy(), rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(dx, given.grad.numpy(), rtol=1e-10, atol=1e-12)
            expected = [p.grad.numpy().ravel() for peer in peers for p in peer.parameters()]
            np.testing.assert_allclose(layer.flat_gradients, np.concatenate(expected), rtol=1e-10, atol=1e-12)


def test_contradictions_are_refused():
    for options, message in (
        ({"reverse": True, "bidirectional": True}, "reverse and bidirectional must not go together"),
        (
            {"merge": "sum"},
            "merge needs two directions; got merge='sum' with bidirectional=False. Fix: pass bid",
        ),
        ({"merge": "sum", "reverse": True}, "merge needs two directions"),
        (
            {"merge": "average", "bidirectional": True},
            "merge must be 'concat' or 'sum' or 'mean' or 'mul'; got 'average'",
        ),
    ):
        with pytest.raises(ValueError, match=message):
            build("GRU", **options)
    with pytest.raises(TypeError, match="reverse must be True or False; got 1"):
        build("GRU", reverse=1)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_needs_a_forward_layer_refuses_reverse(backend):
    layer, x = build("LSTM", backend, reverse=True), numbers(T, B, I)
    y, _, tape = layer.forward(x)
    bptt.lyapunov_spectrum(same_weights(layer, reverse=False), x[:, :1])
    before = layer.flat_gradients.copy()
    for call, what in (
        (layer.stream, "stream needs a layer"),
        (lambda: layer.forward(x, checkpoint=3), "checkpoint needs a layer"),
        (lambda: layer.backward(tape, np.ones_like(y), steps=3), "steps needs a layer"),
    ):
        with pytest.raises(
            ValueError, match=f"{what} that reads forward only; got reverse=True.*Fix: pass reverse=False"
        ):
            call()
    np.testing.assert_array_equal(layer.flat_gradients, before)
    layer.backward(tape, np.ones_like(y), steps=T)
    with pytest.raises(ValueError, match="layer must read forward only; got reverse=True"):
        bptt.lyapunov_spectrum(layer, x)
    for options in ({"truncate": 3}, {"checkpoint": 3}):
        with pytest.raises(
            ValueError, match=r"needs a model that reads forward only; got a layer with bid.*reverse=True"
        ):
            bptt.Trainer(
                bptt.Sequential(same_weights(layer)), bptt.MeanSquaredError(), bptt.SGD(0.1), **options
            )


def test_order_in_a_model():
    reverse, merged = build("GRU", reverse=True), build("GRU", bidirectional=True, merge="sum")
    for layer, words in (
        (reverse, "GRU with reverse=True.*Fix: use Ends"),
        (merged, 'Fix: pass merge="concat" to GRU'),
    ):
        with pytest.warns(UserWarning, match=rf"Last\(\) after .*{words}"):
            bptt.Sequential(same_weights(layer), bptt.Last(dtype="float64"))
    with pytest.raises(ValueError, match="got GRU with merge='sum', which joins them step by step"):
        bptt.Sequential(same_weights(merged), bptt.Ends(dtype="float64"))
    ends = bptt.Ends(dtype="float64")
    linear = bptt.Linear(H, 2, dtype="float64", seed=1)
    with pytest.raises(ValueError, match="different objects"):
        bptt.Sequential(same_weights(reverse), ends, linear, linear)
    assert ends.reverse is False  # a model that cannot be built changes nothing
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        model = bptt.Sequential(bptt.Sequential(same_weights(reverse), bptt.Dropout(0.0)), ends, linear)
    assert ends.reverse is True
    x = numbers(T, B, I)
    for call in ({}, {"lengths": LENGTHS}):
        y = model.forward(x, **call)[0]
        np.testing.assert_allclose(y, linear(reverse(x, **call)[0][0])[0], rtol=1e-12)
        bptt.gradcheck(model, x, entries=4, **call)
    skip = np.zeros((T, B), bool)
    skip[:3] = True
    np.testing.assert_allclose(model(x, skip=skip)[0], linear(reverse(x, skip=skip)[0][3])[0], rtol=1e-12)


def test_files_keep_the_options(tmp_path):
    x = numbers(T, B, I)
    for options, end in (
        ({"reverse": True}, [bptt.Ends(dtype="float64")]),
        ({"bidirectional": True, "merge": "mul"}, []),
    ):
        model = bptt.Sequential(build("LSTM", **options), *end)
        bptt.save(tmp_path / "model.safetensors", model)
        loaded = bptt.load(tmp_path / "model.safetensors")
        assert {name: getattr(loaded[0], name) for name in options} == options
        np.testing.assert_array_equal(loaded(x)[0], model(x)[0])
    config = build("GRU").config()
    assert (config["reverse"], config["merge"]) == (False, "concat")


def test_gradient_flow_of_a_reverse_layer():
    forward = build("GRU", num_layers=2)
    layer, x = same_weights(forward, reverse=True), numbers(30, B, I)
    flow, back = bptt.gradient_flow(layer, x), bptt.gradient_flow(forward, flipped(x))
    np.testing.assert_allclose(flow.dh_norm[:, ::-1], back.dh_norm, rtol=1e-12)
    assert flow.verdict == back.verdict
    np.testing.assert_allclose(flow.rate, back.rate, rtol=1e-9)
    assert all(row.reverse and row.suffix == f"_l{row.layer}" for row in flow.rows)
    x[7, 2] = np.nan
    assert bptt.first_nonfinite(layer, x).step == 7


def test_training_with_a_reverse_encoder():
    """The class is the sign of a row's first number, which a reverse layer reads last."""
    x = numbers(20, 64, 1)
    target = (x[0, :, 0] > 0).astype(int)
    model = bptt.Sequential(bptt.GRU(1, 8, reverse=True, seed=0), bptt.Ends(), bptt.Linear(8, 2, seed=1))
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(0.03), progress=False)
    trainer.fit([(x, target)], epochs=60)
    assert (model(x)[0].argmax(axis=-1) == target).mean() > 0.95
