"""Skipped steps: a row with skipped steps is the row of its other steps, in every pass and class."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.cells import BACKENDS, VARIANTS
from tests.test_options import assert_same, leaves, mapped, numbers, start_of, step

import bptt
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import packed_rows

T, B, I, H = 8, 6, 4, 9
SKIP = np.random.default_rng(3).random((T, B)) < 0.4
SKIP[:, 1], SKIP[:, 2], SKIP[:5, 3], SKIP[5:, 4] = True, False, True, True  # none, all, left, right padding
LENGTHS = np.array([T, T, T, T, 6, 3])
RESET = np.random.default_rng(4).random((T, B)) < 0.3
CALLS = {
    "skip": {"skip": SKIP},
    "skip_reset": {"skip": SKIP, "reset": RESET},
    "skip_lengths": {"skip": SKIP, "lengths": LENGTHS},
    "all": {"skip": SKIP, "lengths": LENGTHS, "reset": RESET},
}
kinds = pytest.mark.parametrize("kind", VARIANTS)


def build(kind, backend="native", size=H, **options):
    return getattr(BACKENDS[backend], kind)(I, size, **{"dtype": "float64", "seed": 0} | options)


def variants(kind):
    """Options of layers of this class, in turn with directions."""
    for d, (name, options) in enumerate(({"plain": {}} | VARIANTS[kind]).items()):
        yield name, {"num_layers": 2, "bidirectional": d % 2 == 1} | options


def steps_of(call, row):
    """The time steps of a row."""
    length = call.get("lengths", LENGTHS * 0 + T)[row]
    return [t for t in range(length) if not call["skip"][t, row]]


def resets_of(call, row):
    """A reset at a skipped step moves to the next step of the row."""
    kept, pending = [], False
    for t in range(T):
        pending |= call["reset"][t, row] if "reset" in call else False
        if t in steps_of(call, row):
            kept.append(pending)
            pending = False
    return np.array(kept, bool)[:, None]


def of_row(masks, row, times):
    rows = slice(row, row + 1)
    places = {"input": rows, "recurrent": (slice(None), rows)}
    return {name: mask[places.get(name, (slice(None), times, rows))] for name, mask in masks.items()}


@kinds
def test_a_row_has_the_bits_of_its_other_steps_alone(subtests, kind):
    x, clips = numbers(T, B, I), itertools.cycle([{}, {}, {"clip_state": 0.05}])
    for (name, options), call in zip(variants(kind), itertools.cycle(CALLS.values()), strict=False):
        with subtests.test(name):
            layer, clip = build(kind, **options), next(clips)
            start = start_of(layer, B)
            poisoned = x.copy()
            for row in range(B):
                poisoned[np.setdiff1d(np.arange(T), steps_of(call, row)), row] = np.nan
            y, last, tape = layer.forward(poisoned, start, **call)
            dx, dstart = layer.backward(tape, np.cos(y), mapped(np.sin, last), **clip)
            assert np.isfinite(layer.flat_gradients).all()
            for row in range(B):
                times, rows = steps_of(call, row), slice(row, row + 1)
                own = mapped(lambda part, rows=rows: part[:, rows], start)
                masks, reset = of_row(tape.masks, row, times), resets_of(call, row)
                y_row, last_row, tape_row = layer.forward(x[times, rows], own, masks=masks, reset=reset)
                dy = np.cos(y_row)
                dx_row, dstart_row = layer.backward(tape_row, dy, mapped(np.sin, last_row), **clip)
                for whole, alone in ((y, y_row), (dx, dx_row)):
                    np.testing.assert_array_equal(whole[times, rows], alone)
                    assert not np.delete(whole[:, row], times, axis=0).any()
                for whole, alone in zip(
                    (*leaves(last), *leaves(dstart)), (*leaves(last_row), *leaves(dstart_row)), strict=True
                ):
                    np.testing.assert_array_equal(whole[:, rows], alone)


@kinds
def test_truncated_and_clipped_passes_agree_with_the_reference(kind):
    """The reference holds the state step by step; the compiled core leaves the steps out."""
    layer, x = build(kind, num_layers=2, dropout=0.3), numbers(T, B, I)
    for steps in range(0, T + 1, 2):
        bptt.crosscheck(layer, x, start_of(layer, B), steps=steps, **CALLS["all"])
    bptt.crosscheck(layer, x, start_of(layer, B), steps=3, clip_state=0.1, **CALLS["all"])


@kinds
def test_truncation_counts_time_steps(kind):
    """`steps` goes back to time T - steps in every row, however many steps the row has from there on."""
    layer, x, call = build(kind, num_layers=2), numbers(T, B, I), CALLS["skip_reset"]
    start = start_of(layer, B)
    for steps in (0, 1, 3, 5):
        y, last, tape = layer.forward(x, start, **call)
        layer.zero_grad()
        dx, dstart = layer.backward(tape, np.cos(y), mapped(np.sin, last), steps=steps)
        found = layer.flat_gradients.copy()
        layer.zero_grad()
        for row in range(B):
            times, rows = steps_of(call, row), slice(row, row + 1)
            own = mapped(lambda part, rows=rows: part[:, rows], start)
            y_row, last_row, tape_row = layer.forward(x[times, rows], own, reset=resets_of(call, row))
            count = sum(t >= T - steps for t in times)
            expected = layer.backward(tape_row, np.cos(y_row), mapped(np.sin, last_row), steps=count)
            np.testing.assert_allclose(dx[times, rows], expected[0], rtol=1e-12, atol=1e-15)
            for one, other in zip(leaves(dstart), leaves(expected[1]), strict=True):
                np.testing.assert_allclose(one[:, rows], other, rtol=1e-12, atol=1e-15)
        np.testing.assert_allclose(found, layer.flat_gradients, rtol=1e-10, atol=1e-13)


def test_lengths_are_a_skip_of_all_later_steps():
    """With the bits of everything, also of what dropout and zoneout draw."""
    options = {
        "dropout": 0.3,
        "zoneout": 0.2,
        "recurrent_dropout": 0.2,
        "num_layers": 2,
        "bidirectional": True,
    }
    x, later = numbers(T, B, I), np.arange(T)[:, None] >= LENGTHS
    for reset, kind in itertools.product((None, RESET), ("LSTM", "GRU")):
        results = []
        for call in ({"lengths": LENGTHS}, {"skip": later}, {"skip": later, "lengths": LENGTHS}):
            layer = build(kind, **options)
            results.append(step(layer, x, start_of(layer, B), reset=reset, **call)[0])
            results[-1].pop("dh_norm")  # combined in another order, see the test of norms
            results[-1]["draws"] = layer.rng.random(3)
        for other in results[1:]:
            assert_same(other, results[0])


def test_threads_change_no_bit():
    rng = np.random.default_rng(0)
    x, skip = numbers(40, 33, I), rng.random((40, 33)) < 0.5
    for kind, steps in (("LSTM", None), ("LSTM", 17), ("GRU", 17)):
        layer = build(kind, size=40, dtype="float32")

        def run(layer=layer, steps=steps):
            y, _, tape = layer.forward(x, skip=skip)
            layer.zero_grad()
            dx, dstart = layer.backward(tape, np.cos(y), steps=steps)
            return y, dx, *leaves(dstart), layer.flat_gradients.copy(), tape.dh_norm

        bptt.set_num_threads(1)
        expected = run()
        for threads in (2, 3, 7):
            bptt.set_num_threads(threads)
            for one, other in zip(run(), expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_norms_and_views_are_over_time():
    layer = build("LSTM", num_layers=2, bidirectional=True)
    x = numbers(T, B, I)
    y, _, tape = layer.forward(x, **CALLS["all"])
    layer.backward(tape, np.cos(y) * 10.0 ** numbers(T, B, 1), keep_errors=True)
    expected = np.array([np.linalg.norm(errors, axis=(1, 2)) for errors in tape.dh])
    np.testing.assert_allclose(tape.dh_norm, expected, rtol=1e-14)
    assert tape.dh_norm.shape == tape.dc_norm.shape == (4, T)
    none = np.array([[t not in steps_of(CALLS["all"], row) for row in range(B)] for t in range(T)])
    for view in (*tape.h, *tape.c, *tape.gates, *tape.dh):
        assert not view[none].any()
        assert view[~none].all(axis=-1).any()
        assert not view.flags.writeable
    # where squares leave float64, too
    big = build("GRU")
    y, _, tape = big.forward(x, skip=SKIP)
    big.backward(tape, np.full_like(y, 1e200))
    assert np.isfinite(tape.dh_norm).all()
    assert tape.dh_norm.max() > 1e200


def test_recomputation_has_the_same_bits():
    x, start = numbers(70, 50, I), 0.5 * numbers(2, 50, H)
    skip = np.random.default_rng(1).random((70, 50)) < 0.5
    call = {"skip": skip, "reset": numbers(70, 50) > 1.5}
    for steps, clip in ((None, None), (30, None), (13, 0.1)):
        results = []
        for checkpoint in (None, 1, 17, "auto"):
            layer = build("GRU", num_layers=2, dropout=0.3, zoneout=0.2, dtype="float32")
            y, last, tape = layer.forward(x, start, checkpoint=checkpoint, **call)
            backed = layer.backward(
                tape, np.cos(y), np.sin(last), steps=steps, clip_state=clip, keep_errors=True
            )
            results.append((y, last, *backed, layer.flat_gradients, tape.dh_norm, *tape.h, *tape.dh))
        for other in results[1:]:
            for one, wanted in zip(other, results[0], strict=True):
                np.testing.assert_array_equal(one, wanted)


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("kind", ["LSTM", "GRU"])
def test_streams_hold_the_state(kind, backend):
    layer = build(kind, backend, num_layers=2)
    x, start = numbers(T, B, I), start_of(layer, B)
    y, last = layer(x, start, skip=SKIP)
    exact = backend == "native"  # NumPy's products of other numbers of rows round otherwise
    stream, runner = layer.stream(B), layer.stream(B)
    stream.state = runner.state = start
    stepped = np.stack([stream.step(x_t, skip=skip) for x_t, skip in zip(x, SKIP, strict=True)])
    for found in (stepped, runner.run(x, skip=SKIP), layer.freeze()(x, start, skip=SKIP)[0]):
        np.testing.assert_allclose(found, y, rtol=0 if exact else 1e-12, atol=0 if exact else 1e-14)
    for found, wanted in zip(leaves(stream.state), leaves(last), strict=True):
        np.testing.assert_allclose(found, wanted, rtol=0 if exact else 1e-12, atol=0 if exact else 1e-14)
    stream.input[...] = np.nan
    before = stream.state
    assert stream.step(skip=[True] * B) is stream.output
    assert not stream.output.any()
    for found, wanted in zip(leaves(stream.state), leaves(before), strict=True):
        np.testing.assert_array_equal(found, wanted)
    with pytest.raises(TypeError, match=r"skip must be an array of booleans; got dtype int64"):
        stream.step(x[0], skip=[1] * B)
    with pytest.raises(ValueError, match=r"skip must have shape \(6,\); got \(2,\)"):
        stream.step(x[0], skip=[True, False])
    for skip in (SKIP[1:], SKIP.T, True):
        with pytest.raises(ValueError, match=rf"skip must have shape \({T}, {B}\); got .*Fix: reshape"):
            stream.run(x, skip=skip)
    with pytest.raises(TypeError, match=r"skip must be an array .*; got dict.*Fix: "):
        stream.run(x, skip={"x": SKIP})
    for found, wanted in zip(leaves(stream.state), leaves(before), strict=True):
        np.testing.assert_array_equal(found, wanted)


def test_layouts():
    layer, first = build("LSTM"), build("LSTM", batch_first=True)
    x = numbers(T, B, I)
    y, state = layer(x, skip=SKIP, lengths=LENGTHS)
    np.testing.assert_array_equal(first(x.swapaxes(0, 1), skip=SKIP.T, lengths=LENGTHS)[0].swapaxes(0, 1), y)
    np.testing.assert_array_equal(layer(x[:, 0], skip=SKIP[:, 0].tolist())[0], y[:, 0])
    np.testing.assert_array_equal(layer(x, skip=np.zeros((T, B), bool))[0], layer(x)[0])
    held, kept = layer(x, state, skip=np.ones((T, B), bool))
    assert not held.any()
    for found, wanted in zip(kept, state, strict=True):
        np.testing.assert_array_equal(found, wanted)
    for shape in ((0, 3), (3, 0), (0, 0)):
        y, _, tape = layer.forward(np.zeros((*shape, I)), skip=np.ones(shape, bool))
        dx, _ = layer.backward(tape, np.ones_like(y))
        assert y.shape == (*shape, H)
        assert dx.shape == (*shape, I)


WRONG = [
    (
        SKIP.astype(int),
        TypeError,
        "skip must be an array of booleans; got dtype int64. Fix: pass skip.astype",
    ),
    (SKIP.T, ValueError, r"skip must have shape \(8, 6\); got \(6, 8\)"),
    (SKIP[:, 0], ValueError, r"skip must have shape \(8, 6\); got \(8,\)"),
    (SKIP[..., None], ValueError, r"skip must have shape \(8, 6\); got \(8, 6, 1\)"),
    ("none", TypeError, "skip must be an array of real numbers; got str"),
]


def test_errors():
    layer = build("GRU")
    for call in (
        layer,
        layer.forward,
        layer.freeze(),
        bptt.Sequential(build("GRU")),
        bptt.Last(dtype="float64"),
    ):
        for skip, error, message in WRONG:
            with pytest.raises(error, match=message):
                call(numbers(T, B, I), skip=skip)


def test_models_pass_it_on():
    gru, linear = build("GRU"), bptt.Linear(H, I, dtype="float64", seed=1)
    end = {"last": bptt.Last(dtype="float64"), "ends": bptt.Ends(dtype="float64")}
    x = numbers(T, B, I)
    for name, both in (("last", False), ("ends", True)):
        top = build("LSTM", bidirectional=both, seed=2)
        model = bptt.Sequential(*copies(bptt.Sequential(gru, linear), top, end[name]))
        y, _, tape = model.forward(x, **CALLS["all"])
        np.testing.assert_array_equal(y, model(x, **CALLS["all"])[0])
        between = linear(gru(x, **CALLS["all"])[0])[0]
        over_time = top(between, **CALLS["all"])[0]
        for row in range(B):
            times = steps_of(CALLS["all"], row)
            expected = np.zeros(y.shape[1])
            if times:
                expected[:H], expected[H:] = over_time[times[-1], row, :H], over_time[times[0], row, H:]
            np.testing.assert_array_equal(y[row], expected)
        bptt.gradcheck(model, x, entries=4, **CALLS["all"])
        model.backward(tape, np.ones_like(y))
    for pool, reduce in ((bptt.MeanPool, np.mean), (bptt.MaxPool, np.max)):
        pool = pool(dtype="float64")
        filled = np.where(SKIP[..., None], np.nan, x)
        for row in range(B):
            times = steps_of(CALLS["skip"], row)
            expected = reduce(x[times, row], axis=0) if times else np.zeros(I)
            np.testing.assert_allclose(pool(filled, skip=SKIP)[0][row], expected, rtol=1e-12)
            np.testing.assert_allclose(pool(filled[:, row], skip=SKIP[:, row])[0], expected, rtol=1e-12)
        bptt.gradcheck(pool, x, skip=SKIP)
    with pytest.raises(ValueError, match="skip needs a recurrent layer"):
        bptt.Sequential(copies(linear)[0])(numbers(T, B, H), skip=SKIP)
    unbatched = bptt.Last(dtype="float64")
    np.testing.assert_array_equal(
        unbatched(x[:, 0], skip=SKIP[:, 0])[0], x[steps_of(CALLS["skip"], 0)[-1], 0]
    )


def test_models_with_names_take_one_skip_for_each():
    x, inputs = numbers(T, B, I), {"encoder": numbers(T, B, I), "decoder": numbers(3, B, I, seed=4)}
    model = bptt.EncoderDecoder(build("LSTM", seed=1), build("LSTM", seed=2))
    skips = {"encoder": SKIP}
    y = model(inputs, skip=skips)[0]
    final = model["encoder"](inputs["encoder"], skip=SKIP)[1]
    np.testing.assert_array_equal(model.encode(inputs["encoder"], skip=SKIP)[0], final[0])
    np.testing.assert_array_equal(y, model["decoder"](inputs["decoder"], final)[0])
    bptt.gradcheck(model, inputs, entries=3, skip=skips)
    assert bptt.first_nonfinite(model, inputs, skip=skips) is None
    both = bptt.Parallel(one=build("GRU"), two=build("GRU", seed=3))
    for skip in (SKIP, {"one": SKIP, "two": SKIP}):
        expected = np.concatenate([part(x, skip=SKIP)[0] for part in both.parts.values()], axis=-1)
        np.testing.assert_array_equal(both(x, skip=skip)[0], expected)


def copies(*layers):
    return [pickle_copy(layer) for layer in layers]


def pickle_copy(layer):
    return type(layer).from_config(layer.config()) if not layer.parameter_count else _loaded(layer)


def _loaded(layer):
    other = type(layer).from_config(layer.config())
    other.load_state_dict(layer.state_dict())
    return other


def trained(batches, *, batch_first=False, **options):
    """Parameters after training, the history's losses, and the predictions."""
    model = bptt.Sequential(
        bptt.GRU(I, H, dtype="float64", seed=0, batch_first=batch_first),
        bptt.Linear(H, 3, dtype="float64", seed=1),
    )
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.SGD(0.1), progress=False, **options)
    history = trainer.fit(batches, epochs=3)
    return model.flat_parameters, history["loss"], trainer.predict(batches), trainer.evaluate(batches)


def test_training_leaves_skipped_steps_out():
    """Rows with the same number of steps at different times train like the rows without the other times."""
    x, target = numbers(12, 4, I), np.random.default_rng(1).integers(0, 3, (12, 4))
    order = np.argsort(np.random.default_rng(2).random((16, 4)), axis=0)[:12]
    times = np.sort(order, axis=0)
    wide, wide_target, skip = np.full((16, 4, I), 1e30), np.full((16, 4), 2), np.ones((16, 4), bool)
    for row in range(4):
        wide[times[:, row], row], wide_target[times[:, row], row] = x[:, row], target[:, row]
        skip[times[:, row], row] = False
    padded = {"x": wide, "target": wide_target, "skip": skip}
    swapped = {"x": wide.swapaxes(0, 1), "target": wide_target.T, "skip": skip.T}
    expected = trained([(x, target)])
    for batch, options in (
        (padded, {}),
        (padded, {"checkpoint": 5}),
        (padded, {"truncate": 16}),
        (swapped, {"batch_first": True}),
    ):
        found = trained([batch], **options)
        np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
        np.testing.assert_allclose(found[1], expected[1], rtol=1e-10)
        np.testing.assert_allclose(found[3], expected[3], rtol=1e-10)


def test_windows_cut_skips():
    """A window without a step makes no update, and the state is carried over it."""
    x, target = numbers(12, 1, I), np.random.default_rng(1).integers(0, 3, (12, 1))
    skip = np.zeros((12, 1), bool)
    skip[[1, 4, 5, 6, 7, 9]] = True
    kept = np.flatnonzero(~skip[:, 0])
    assert [np.count_nonzero(kept // 4 == window) for window in range(3)] == [3, 0, 3]
    found = trained([{"x": x, "target": target, "skip": skip}], truncate=4)
    expected = trained([(x[kept], target[kept])], truncate=3)
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)
    # (k1, k2): errors go back k2 time steps, of which this row has fewer
    found = trained([{"x": x, "target": target, "skip": skip}], truncate=(4, 12))
    expected = trained([(x[kept], target[kept])], truncate=(3, 6))
    np.testing.assert_allclose(found[0], expected[0], rtol=1e-10)


def test_diagnoses_leave_skipped_steps_out():
    x = numbers(30, 3, I)
    wide, skip = np.full((41, 3, I), np.nan), np.ones((41, 3), bool)
    for row in range(3):
        times = np.sort(np.random.default_rng(row).permutation(41)[:30])
        wide[times, row], skip[times, row] = x[:, row], False
    for model in (
        build("LSTM"),
        build("GRU", bidirectional=True),
        bptt.Sequential(build("RNN"), bptt.Last(dtype="float64")),
    ):
        plain, gaps = bptt.gradient_flow(model, x), bptt.gradient_flow(model, wide, skip=skip)
        np.testing.assert_allclose(gaps.dh_norm, plain.dh_norm, rtol=1e-12)
        assert gaps.verdict == plain.verdict
        assert bptt.first_nonfinite(model, wide, skip=skip) is None
    bad = wide.copy()
    time = np.flatnonzero(~skip[:, 1])[4]
    bad[time, 1] = np.inf
    assert bptt.first_nonfinite(build("LSTM"), bad, skip=skip).step == time


def test_the_core_runs_valid_steps_only():
    """Skipped steps cost nothing: the core gets as many rows as there are steps, and at most B of padding."""
    skip = np.random.default_rng(0).random((100, 32)) < 0.5
    rows = packed_rows(None, skip, Layout(False, False), 100, 32)
    valid = np.count_nonzero(~skip)
    assert rows.active.sum() == valid
    assert valid <= len(rows.gather(np.zeros((100, 32, 1)))) <= valid + 32
    assert (np.diff(rows.active) <= 0).all()


def test_rows_agree_with_pytorch():
    torch = pytest.importorskip("torch", reason="PyTorch is the oracle of this test")
    x = numbers(T, B, I)
    for kind in ("LSTM", "GRU", "RNN"):
        layer = build(kind, num_layers=2, bidirectional=True)
        peer = getattr(torch.nn, kind)(I, H, 2, bidirectional=True, dtype=torch.float64)
        peer.load_state_dict({name: torch.tensor(value) for name, value in layer.state_dict().items()})
        y, _, tape = layer.forward(x, skip=SKIP)
        dx, _ = layer.backward(tape, np.cos(y))
        for row in range(B):
            times = steps_of(CALLS["skip"], row)
            if not times:
                continue
            x_row = torch.tensor(x[times, row], requires_grad=True)
            y_row = peer(x_row)[0]
            y_row.backward(torch.cos(y_row.detach()))
            np.testing.assert_allclose(y[times, row], y_row.detach().numpy(), rtol=1e-10, atol=1e-12)
            np.testing.assert_allclose(dx[times, row], x_row.grad.numpy(), rtol=1e-10, atol=1e-12)
        expected = np.concatenate([parameter.grad.numpy().ravel() for parameter in peer.parameters()])
        np.testing.assert_allclose(layer.flat_gradients, expected, rtol=1e-10, atol=1e-12)
