"""Clipping inside the reference's recursion, the errors that it keeps, and dropout in pieces."""

from __future__ import annotations

import math

import numpy as np
import pytest
from tests.cells import CELLS, build, state
from tests.grids import pairwise

from bptt.layers.passes.backend import Call, Errors
from bptt.layers.passes.clip_state import StateClip
from bptt.reference import stack
from bptt.reference.backend import NumPy
from bptt.reference.clip import limited

EXACT = 1e-13
"""Two routes to one number of order one, each a few hundred float64 operations long: 2.2e-16 times those.
Complex steps take no digits: their error is of the square of the step, 1e-60, and they subtract nothing."""

T, B, I, H = 5, 3, 2, 4
CLIPS = {
    "value": StateClip(value=0.4),
    "norm": StateClip(norm=0.9),
    "both": StateClip(value=0.6, norm=0.8),
}
"""Of errors of order one, each bounds some and leaves others: see `Clipper.counts`."""
LOOSE = StateClip(value=1e3, norm=1e4)
TIGHT = StateClip(value=0.3, norm=0.4)


def numbers(*shape, seed=3):
    return np.random.default_rng(seed).standard_normal(shape)


def parts(value):
    return value if isinstance(value, tuple) else (value,)


def whole(values):
    """A state as the layer takes it."""
    return values if len(values) > 1 else values[0]


def errors_like(values, seed=11):
    return tuple(numbers(*value.shape, seed=seed + k) for k, value in enumerate(parts(values)))


def backward(layer, tape, dy, dstate, clip, steps=None, keep_errors=True):
    """The backend's pass, in its own layout: dx, dstate, and the gradients of the parameters."""
    layer.zero_grad()
    dh, dc = [*dstate, None][:2]
    errors = Errors(dy, dh, dc, steps, True, clip or StateClip(), keep_errors)
    dx, *states = NumPy(layer).backward(tape.core, errors)
    gradients = {name: value.copy() for name, value in layer.gradients.items()}
    return dx, tuple(part for part in states if part is not None), gradients


def assert_close(found, wanted, what=""):
    np.testing.assert_allclose(found, wanted, rtol=EXACT, atol=EXACT, err_msg=what)


# The bounds themselves


class Clipper:
    """What `limited` is to do, number by number, and how often there was something to do."""

    def __init__(self, clip):
        self.clip = clip
        self.counts = {"value": [0, 0], "norm": [0, 0]}  # within, beyond

    def __call__(self, error):
        return np.array([self.row([float(entry) for entry in row]) for row in error])

    def row(self, row):
        for k, entry in enumerate(row):
            beyond = abs(entry) > self.clip.value
            self.counts["value"][beyond] += 1
            if beyond:
                row[k] = math.copysign(self.clip.value, entry)
        length = math.hypot(*row)  # without overflow
        beyond = length > self.clip.norm
        self.counts["norm"][beyond] += 1
        return [entry / length * self.clip.norm for entry in row] if beyond else row

    def assert_both_sides(self):
        for name, counts in self.counts.items():
            assert counts[0], name
            assert counts[1] or getattr(self.clip, name) == math.inf, name


@pytest.mark.parametrize("name", CLIPS)
def test_rows_of_any_size_are_bounded_one_by_one(name):
    for magnitude in [1e-320, 1e-200, 1e-5, 1.0, 1e5, 1e154, 1e200, 1e307]:
        rows = magnitude * numbers(6, 5)
        rows[2] *= 0.1
        rows[4] = 0.0
        clip = StateClip(CLIPS[name].value * magnitude, CLIPS[name].norm * magnitude)
        wanted = Clipper(clip)
        given = rows.copy()
        found = limited(rows, clip)
        np.testing.assert_allclose(found, wanted(rows), rtol=EXACT, atol=5e-324)
        np.testing.assert_array_equal(rows, given)
        wanted.assert_both_sides()
        for row in range(len(rows)):
            np.testing.assert_array_equal(limited(rows[row : row + 1], clip)[0], found[row])


def test_what_is_within_keeps_its_bits():
    rows = numbers(50, 7)
    rows[0, :2] = -0.0, 0.0
    row_norm = np.linalg.norm(rows, axis=1).max()
    assert limited(rows, None) is rows
    for clip in (
        LOOSE,
        StateClip(),
        StateClip(value=np.abs(rows).max()),
        StateClip(norm=row_norm * (1 + 1e-12)),
    ):
        assert limited(rows, clip).tobytes() == rows.tobytes()
    assert limited(rows[:0], TIGHT).shape == (0, 7)
    assert limited(np.array([[3.0, 4.0]]), StateClip(norm=5.0)).tolist() == [[3.0, 4.0]]  # at the bound
    tight = limited(rows, StateClip(norm=2.0))
    short = np.linalg.norm(rows, axis=1) < 1.99
    assert 0 < np.count_nonzero(short) < len(rows)
    np.testing.assert_array_equal(tight[short], rows[short])
    np.testing.assert_allclose(np.linalg.norm(tight[~short], axis=1), 2.0, rtol=0.01)


def test_huge_rows_keep_their_direction():
    huge = np.array(
        [[1e200, -2e200, 0.0], [3.0, 4.0, 0.0], [1.7e308, 1.7e308, -1.7e308], [1e300, 1.0, 1e-300]]
    )
    wanted = [
        np.array([1.0, -2.0, 0.0]) / math.sqrt(5.0),
        [0.6, 0.8, 0.0],
        np.array([1.0, 1.0, -1.0]) / math.sqrt(3.0),
        [1.0, 1e-300, 0.0],
    ]
    np.testing.assert_allclose(limited(huge, StateClip(norm=1.0)), wanted, rtol=1e-15)
    far = 1e308 * math.sqrt(3.0)  # a norm above which there is only infinity
    np.testing.assert_array_equal(limited(huge, StateClip(norm=1.79e308))[[0, 1, 3]], huge[[0, 1, 3]])
    assert limited(huge, StateClip(norm=far))[2] == pytest.approx([1e308, 1e308, -1e308])


def test_value_comes_before_norm():
    assert limited(np.array([[10.0, -1.0]]), StateClip(value=2.0, norm=1.0))[0] == pytest.approx(
        np.array([2.0, -1.0]) / math.sqrt(5.0), rel=1e-15
    )


def test_what_is_not_finite_stays_in_its_row():
    rows = np.array([[np.nan, 5.0], [np.inf, 1.0], [-np.inf, np.inf], [3.0, 4.0]])
    np.testing.assert_array_equal(
        limited(rows, StateClip(value=2.0)), [[np.nan, 2.0], [2.0, 1.0], [-2.0, 2.0], [2.0, 2.0]]
    )
    by_norm = limited(rows, StateClip(norm=1.0))
    assert np.isnan(by_norm[:3]).any(axis=1).all()
    assert by_norm[3] == pytest.approx([0.6, 0.8])
    both = limited(rows, StateClip(value=2.0, norm=1.0))
    assert np.isnan(both[0, 0])
    assert np.linalg.norm(both[1:], axis=1) == pytest.approx(np.ones(3))


# The recursion, by the derivatives of its single functions


def vjp(function, arguments, error):
    """error^T dfunction/dargument for each argument by complex steps: f(a + ih) = f(a) + ih f'(a)."""
    found = {}
    for name, value in arguments.items():
        found[name] = np.zeros_like(value)
        for place in np.ndindex(value.shape):
            moved = value.astype(complex)
            moved[place] += 1e-30j
            found[name][place] = np.sum(error * function(arguments | {name: moved}).imag) / 1e-30
    return found


def logistic(a):
    return 1.0 / (1.0 + np.exp(-a))


def affine(a):
    return a["x"] @ a["weight_ih"].T + a["bias_ih"] + a["h"] @ a["weight_hh"].T + a["bias_hh"]


def rnn_step(a):
    return np.tanh(affine(a))


def lstm_cell(a, coupled=False, limit=None):
    """What comes to be c_t: of x, h, c of the step before and the parameters."""
    *u_i, u_f, u_g, _ = np.split(affine(a), 3 if coupled else 4, axis=1)
    *p_i, p_f, _ = a["weight_peephole"]
    f = logistic(u_f + p_f * a["c"])
    i = 1.0 - f if coupled else logistic(u_i[0] + p_i[0] * a["c"])
    e = f * a["c"] + i * np.tanh(u_g)
    return e if limit is None else np.where(np.abs(e.real) < limit, e, np.sign(e.real) * limit)


def lstm_output(a, coupled=False):
    """What comes to be h_t: of x, h of the step before, c_t, which `a` calls c, and the parameters."""
    o = logistic(np.split(affine(a), 3 if coupled else 4, axis=1)[-1] + a["weight_peephole"][-1] * a["c"])
    return (o * np.tanh(a["c"])) @ a["weight_hr"].T


def own(parameters):
    return {name.removesuffix("_l0"): value for name, value in parameters.items()}


def add(total, found, names):
    for name in names:
        total[name] = total[name] + found[name]


@pytest.mark.parametrize("name", CLIPS)
def test_rnn_is_clipped_between_its_steps(name):
    layer = build("rnn_tanh", I, H, "reference")
    layer.parameters["weight_hh_l0"][...] *= 4.0  # errors that grow on their way back
    x, h0 = numbers(T, B, I), state("rnn_tanh", (1, B, H))
    y, last, tape = layer.forward(x, h0)
    dy, dlast = errors_like(y, 7)[0], errors_like(last)
    dx, dstate, gradients = backward(layer, tape, dy, dlast, CLIPS[name])

    weights = own(layer.parameters)
    h = [h0[0]]
    for t in range(T):
        h.append(rnn_step(weights | {"x": x[t], "h": h[t]}))
    assert_close(np.array(h[1:]), y)
    clip, flow, total = Clipper(CLIPS[name]), dlast[0][0], dict.fromkeys(weights, 0.0)
    for t in reversed(range(T)):
        dh = clip(dy[t] + flow)
        assert_close(tape.core.dh(0, 0)[t], dh)
        assert tape.dh_norm[0, t] == pytest.approx(np.linalg.norm(dh), rel=EXACT)
        found = vjp(rnn_step, weights | {"x": x[t], "h": h[t]}, dh)
        assert_close(dx[t], found["x"])
        add(total, found, weights)
        flow = found["h"]
    assert_close(dstate[0][0], flow)
    assert not np.array_equal(clip(flow), flow)  # nobody bounds the initial state's
    for parameter, value in total.items():
        assert_close(gradients[f"{parameter}_l0"], value, parameter)
    clip.assert_both_sides()


@pytest.mark.parametrize("name", CLIPS)
@pytest.mark.parametrize("options", [{}, {"cell_clip": 0.5}, {"coupled": True}], ids=str)
def test_lstm_is_clipped_between_its_steps_and_where_the_error_of_c_is_whole(options, name):
    P, coupled, limit = 3, options.get("coupled", False), options.get("cell_clip")
    layer = build("lstm", I, H, "reference", peephole=True, proj_size=P, **options)
    layer.flat_parameters[:] *= 2.0  # errors large enough to be bounded far from the end, too
    x = numbers(T, B, I)
    (h0,), (c0,) = initial = numbers(1, B, P), numbers(1, B, H, seed=4)
    y, last, tape = layer.forward(x, initial)
    dy, dlast = errors_like(y, 7)[0], errors_like(last)
    dx, dstate, gradients = backward(layer, tape, dy, dlast, CLIPS[name])

    def cell(a):
        return lstm_cell(a, coupled, limit)

    def output(a):
        return lstm_output(a, coupled)

    weights = own(layer.parameters)
    h, c = [h0], [c0]
    for t in range(T):
        a = weights | {"x": x[t], "h": h[t]}
        c.append(cell(a | {"c": c[t]}))
        h.append(output(a | {"c": c[-1]}))
    assert_close(np.array(h[1:]), y)
    if limit is not None:
        assert 0 < np.count_nonzero(np.abs(c[1:]) == limit) < T * B * H
    clip_h, clip_c = Clipper(CLIPS[name]), Clipper(CLIPS[name])
    flow_h, flow_c, total = dlast[0][0], dlast[1][0], dict.fromkeys(weights, 0.0)
    for t in reversed(range(T)):
        a = weights | {"x": x[t], "h": h[t]}
        dh = clip_h(dy[t] + flow_h)
        through_h = vjp(output, a | {"c": c[t + 1]}, dh)
        dc = clip_c(flow_c + through_h["c"])
        through_c = vjp(cell, a | {"c": c[t]}, dc)
        assert_close(tape.core.dh(0, 0)[t], dh)
        assert tape.dh_norm[0, t] == pytest.approx(np.linalg.norm(dh), rel=EXACT)
        assert tape.dc_norm[0, t] == pytest.approx(np.linalg.norm(dc), rel=EXACT)
        assert_close(dx[t], through_h["x"] + through_c["x"])
        add(total, through_h, weights)
        add(total, through_c, weights)
        flow_h, flow_c = through_h["h"] + through_c["h"], through_c["c"]
    assert_close(dstate[0][0], flow_h)
    assert_close(dstate[1][0], flow_c)
    for parameter, value in total.items():
        assert_close(gradients[f"{parameter}_l0"], value, parameter)
    clip_h.assert_both_sides()
    clip_c.assert_both_sides()


def test_lstm_by_hand_and_what_flows_into_the_initial_state_is_not_clipped():
    """One unit, one step; f = 1/2 by a bias that takes the peephole's argument away again."""
    layer = build("lstm_peephole", 1, 1, "reference")
    layer.flat_parameters[:] = 0.0
    p_f, p_o, u_f = 8.0, 3.0, 16.0
    layer.parameters["weight_peephole_l0"][1:, 0] = p_f, p_o
    layer.parameters["bias_ih_l0"][1] = -p_f
    layer.parameters["weight_hh_l0"][1] = u_f
    one = np.ones((1, 1, 1))
    _, _, tape = layer.forward(0 * one, (0 * one, one))
    c1 = 0.5
    o = logistic(p_o * c1)
    # dh = 0.2 of 5; through o, p_o and tanh it adds to dc, neither of which is over the bound by itself
    of_h = 0.2 * (np.tanh(c1) * o * (1 - o) * p_o + o * (1 - np.tanh(c1) ** 2))
    assert 0.15 < of_h < 0.2
    _, (dh0, dc0), _ = backward(layer, tape, 5.0 * one, (0 * one, 0.19 * one), StateClip(value=0.2))
    assert tape.dh_norm.item() == tape.dc_norm.item() == 0.2
    assert dc0.item() == pytest.approx(0.2 * (0.5 + p_f * 0.25), rel=EXACT)
    assert dh0.item() == pytest.approx(0.2 * u_f * 0.25, rel=EXACT)
    assert min(dh0.item(), dc0.item()) > 0.2


# The recursion, by calls of one step without bounds

STEPPED = {
    **{cell: {} for cell in CELLS if not cell.startswith("lstm")},
    "lstm": {"zoneout": (0.0, 0.4)},  # the whole dL/dc_t is then what comes in from outside the step
    "lstm_peephole": {"zoneout": (0.3, 0.4), "proj_size": 3},
    "lstm_coupled": {"zoneout": (0.0, 1e-9)},  # zoneout that keeps nothing clips there all the same
}
AROUND = {"recurrent_dropout": 0.3, "zoneout": 0.3}


@pairwise(("cell", STEPPED.keys()), ("around", [False, True]), ("name", CLIPS.keys()))
def test_clipped_steps_are_steps_of_clipped_errors(cell, around, name):
    """Zoneout's kept share and recurrent dropout's see what is left of an error; a reset stops it."""
    layer = build(cell, I, H, "reference", **((AROUND if around else {}) | STEPPED[cell]))
    x, P = numbers(T, B, I), layer.output_size
    reset = numbers(T, B, seed=8) > (0.8 if around else 9.0)
    assert reset[1:].any() == around
    before = parts(state(cell, (1, B, H)))
    before = (before[0][:, :, :P], *before[1:])
    y, last, tape = layer.forward(x, whole(before), reset=reset)
    dy, dlast = errors_like(y, 7)[0], errors_like(last)
    dx, dstate, gradients = backward(layer, tape, dy, dlast, CLIPS[name])

    tapes, now = [], whole(before)
    for t in range(T):
        options = {"reset": reset[t : t + 1]}
        if tape.masks:
            options["masks"] = {
                key: mask if key == "recurrent" else mask[:, t : t + 1] for key, mask in tape.masks.items()
            }
        y_t, now, one = layer.forward(x[t : t + 1], now, **options)
        np.testing.assert_array_equal(y_t[0], y[t])
        tapes.append(one)
    clip_h, clip_c = Clipper(CLIPS[name]), Clipper(CLIPS[name])
    flow, total = dlast, dict.fromkeys(layer.parameters, 0.0)
    for t in reversed(range(T)):
        dh = clip_h(dy[t] + flow[0][0])
        assert_close(tape.core.dh(0, 0)[t], dh)
        errors = (dh[np.newaxis], *(clip_c(dc[0])[np.newaxis] for dc in flow[1:]))
        for norms, error in zip((tape.dh_norm, tape.dc_norm), errors, strict=False):
            assert norms[0, t] == pytest.approx(np.linalg.norm(error), rel=EXACT)
        dx_t, flow, found = backward(layer, tapes[t], None, errors, None)
        assert_close(dx[t], dx_t[0])
        add(total, found, total)
    for found, wanted in zip(dstate, flow, strict=True):
        assert_close(found, wanted)
    for parameter, value in total.items():
        assert_close(gradients[parameter], value, parameter)
    clip_h.assert_both_sides()
    if len(flow) > 1:
        clip_c.assert_both_sides()


# Around the recursion


@pytest.mark.parametrize("cell", CELLS)
def test_every_layer_and_direction_is_clipped_as_it_is_alone(cell):
    layer = build(cell, I, H, "reference", num_layers=2, bidirectional=True)
    x, before = numbers(T, B, I), parts(state(cell, (4, B, H)))
    y, last, tape = layer.forward(x, whole(before))
    dy, dlast = errors_like(y, 7)[0], errors_like(last)
    free = backward(layer, tape, dy, dlast, None)[0]
    dx, dstate, gradients = backward(layer, tape, dy, dlast, TIGHT)
    assert np.abs(dx - free).max() > 0.1

    for k in (1, 0):
        dx_k = 0.0
        below = x if k == 0 else np.concatenate([tape.h[0], tape.h[1]], axis=2)
        for d in range(2):
            alone = build(cell, below.shape[2], H, "reference")
            for name, value in alone.parameters.items():
                value[...] = layer.parameters[name.replace("_l0", f"_l{k}") + "_reverse" * d]
            order = slice(None, None, -1 if d else 1)
            index = slice(2 * k + d, 2 * k + d + 1)
            _, _, own_tape = alone.forward(below[order], whole(tuple(part[index] for part in before)))
            own_dy = dy[order, :, d * H : (d + 1) * H]
            dx_d, dstate_d, own_gradients = backward(
                alone, own_tape, own_dy, tuple(part[index] for part in dlast), TIGHT
            )
            dx_k = dx_k + dx_d[order]
            for found, wanted in zip(dstate, dstate_d, strict=True):
                assert_close(found[index], wanted)
            assert_close(tape.core.dh(k, d), own_tape.core.dh(0, 0)[order])
            assert_close(tape.dh_norm[index], own_tape.dh_norm[:, order])
            if own_tape.dc_norm is not None:
                assert_close(tape.dc_norm[index], own_tape.dc_norm[:, order])
            for name, value in own_gradients.items():
                assert_close(gradients[name.replace("_l0", f"_l{k}") + "_reverse" * d], value, name)
        dy = dx_k
    assert_close(dx, dy)


@pytest.mark.parametrize("cell", CELLS)
def test_bounds_that_nothing_exceeds_change_no_bit(cell):
    for lengths in [None, [3, 5, 0]]:
        layer = build(cell, I, H, "reference", num_layers=2, bidirectional=True, zoneout=0.3)
        _, last, tape = layer.forward(numbers(T, B, I), lengths=lengths)
        dy, dlast = numbers(*tape.core.y_shape, seed=7), errors_like(last)
        expected = backward(layer, tape, dy, dlast, None)
        norms, errors = (tape.dh_norm, tape.dc_norm), seen(tape)
        for clip in (LOOSE, StateClip()):
            dx, dstate, gradients = backward(layer, tape, dy, dlast, clip)
            assert dx.tobytes() == expected[0].tobytes()
            for found, wanted in zip(dstate, expected[1], strict=True):
                assert found.tobytes() == wanted.tobytes()
            for name, value in expected[2].items():
                assert gradients[name].tobytes() == value.tobytes()
            for found, wanted in zip((tape.dh_norm, tape.dc_norm), norms, strict=True):
                np.testing.assert_array_equal(found, wanted)
            np.testing.assert_array_equal(seen(tape), errors)


@pytest.mark.parametrize("cell", CELLS)
def test_huge_errors_come_out_bounded(cell):
    layer = build(cell, I, H, "reference")
    y, last, tape = layer.forward(numbers(T, B, I))
    dy, dlast = errors_like(y, 7)[0], errors_like(last)
    huge = 1e200 * dy, tuple(1e200 * error for error in dlast)
    dx, dstate, gradients = backward(layer, tape, *huge, StateClip(norm=2.0))
    for value in (dx, *dstate, *gradients.values()):
        assert np.abs(value).max() < 1e3
    assert tape.dh_norm == pytest.approx(np.full((1, T), 2.0 * math.sqrt(B)))
    direction = dy[:-1] / np.linalg.norm(dy[:-1], axis=2, keepdims=True)
    assert_close(tape.core.dh(0, 0)[:-1], 2.0 * direction)  # what flows back is nothing beside 1e200


@pytest.mark.parametrize("cell", CELLS)
def test_truncation_clips_the_steps_that_it_reaches(cell):
    for steps in [0, 1, 3]:
        layer = build(cell, I, H, "reference", num_layers=2)
        x, before = numbers(T, B, I), state(cell, (2, B, H))
        y, last, tape = layer.forward(x, before)
        dy, dlast = errors_like(y, 7)[0], errors_like(last)
        dx, dstate, gradients = backward(layer, tape, dy, dlast, TIGHT, steps)
        first = T - steps
        _, carried = layer(x[:first], before)
        _, _, rest = layer.forward(x[first:], carried)
        dx_rest, _, gradients_rest = backward(layer, rest, dy[first:], dlast, TIGHT)
        np.testing.assert_array_equal(dx[first:], dx_rest)
        for name, value in gradients_rest.items():
            np.testing.assert_array_equal(gradients[name], value)
        for found, wanted in zip(seen(tape), seen(rest), strict=True):
            np.testing.assert_array_equal(found[first:], wanted)
            assert not found[:first].any()
        assert not any(part.any() for part in dstate)
        np.testing.assert_array_equal(tape.dh_norm[:, first:], rest.dh_norm)


# What is kept


def seen(tape):
    """dL/dh_t of all layers and directions, (L * D, T, B, P), as the layer's user is to see it."""
    owner = tape.owner
    places = [(k, d) for k in range(owner.num_layers) for d in range(owner.num_directions)]
    views = [tape.core.dh(*place) for place in places]
    return np.array([view if tape.ragged is None else tape.ragged.scatter(view) for view in views])


@pairwise(
    ("cell", ["rnn_tanh", "lstm", "gru"]),
    ("lengths", [None, [3, 5, 0], [5, 5, 5], [1, 2, 0], [0, 0, 0]]),
    ("clip", [None, TIGHT]),
)
def test_kept_errors_are_those_that_dh_norm_measures(cell, lengths, clip):
    projection = {"proj_size": 3} if cell == "lstm" else {}
    layer = build(cell, I, H, "reference", num_layers=2, bidirectional=True, **projection)
    _, last, tape = layer.forward(numbers(T, B, I), lengths=lengths)
    assert tape.core.dh(0, 0) is None
    dy, dlast = numbers(*tape.core.y_shape, seed=7), errors_like(last)
    backward(layer, tape, dy, dlast, clip, keep_errors=False)
    assert tape.core.dh(1, 1) is None
    norms = tape.dh_norm
    backward(layer, tape, dy, dlast, clip)
    assert tape.core.dh(1, 0).shape == (*tape.core.y_shape[:-1], layer.output_size)
    for k in range(2):
        for d in range(2):
            assert not tape.core.dh(k, d).flags.writeable
    kept = seen(tape)
    assert_close(np.linalg.norm(kept, axis=(2, 3)), norms)
    np.testing.assert_array_equal(tape.dh_norm, norms)
    if clip is not None:
        assert (np.linalg.norm(kept, axis=3) <= TIGHT.norm * (1 + EXACT)).all()
        assert (np.abs(kept) <= TIGHT.value).all()
    if lengths is not None:
        past = np.arange(T)[:, None] >= lengths
        assert not kept[:, past].any()
    backward(layer, tape, dy, dlast, clip, keep_errors=False)
    assert tape.core.dh(0, 0) is None


@pairwise(("cell", CELLS.keys()), ("D", [1, 2]))
def test_ragged_rows_are_clipped_as_they_are_alone(cell, D):
    for lengths in [[3, 5, 0], [1, 2, 5]]:
        layer = build(cell, I, H, "reference", num_layers=2, bidirectional=D == 2)
        x, before = numbers(T, B, I), parts(state(cell, (2 * D, B, H)))
        _, last, tape = layer.forward(x, whole(before), lengths=lengths)
        rows = tape.ragged
        dy, dlast = numbers(T, B, D * H, seed=7), errors_like(last)
        dx, dstate, gradients = backward(
            layer, tape, rows.gather(dy), tuple(rows.state_in(part) for part in dlast), TIGHT
        )
        # room that no row runs in
        packed = tape.core.dh(0, 0)
        assert np.count_nonzero(packed.any(axis=1)) == sum(lengths) <= len(packed)
        dx, kept, total = rows.scatter(dx), seen(tape), dict.fromkeys(gradients, 0.0)
        norms = np.zeros((B, 2 * D, T))
        for row, n in enumerate(lengths):
            one = slice(row, row + 1)
            _, _, alone = layer.forward(x[:n, one], whole(tuple(part[:, one] for part in before)))
            dx_row, dstate_row, found = backward(
                layer, alone, dy[:n, one], tuple(part[:, one] for part in dlast), TIGHT
            )
            np.testing.assert_array_equal(dx[:n, one], dx_row)
            np.testing.assert_array_equal(kept[:, :n, one], seen(alone))
            for mine, wanted in zip(dstate, dstate_row, strict=True):
                np.testing.assert_array_equal(rows.state_out(mine)[:, one], wanted)
            norms[row, :, :n] = alone.dh_norm
            add(total, found, total)
        assert_close(tape.dh_norm, np.linalg.norm(norms, axis=0))
        for name, value in total.items():
            assert_close(gradients[name], value, name)


@pytest.mark.parametrize("cell", CELLS)
def test_rows_of_a_batch_do_not_see_each_other(cell):
    layer = build(cell, I, H, "reference", num_layers=2)
    x, before = numbers(T, B, I), parts(state(cell, (2, B, H)))
    y, last, tape = layer.forward(x, whole(before))
    dy, dlast = errors_like(y, 7)[0], errors_like(last)
    dx, dstate, _ = backward(layer, tape, dy, dlast, TIGHT)
    for row in range(B):
        one = slice(row, row + 1)
        _, _, alone = layer.forward(x[:, one], whole(tuple(part[:, one] for part in before)))
        dx_row, dstate_row, _ = backward(
            layer, alone, dy[:, one], tuple(part[:, one] for part in dlast), TIGHT
        )
        assert_close(dx[:, one], dx_row)
        assert_close(seen(tape)[:, :, one], seen(alone))
        for found, wanted in zip(dstate, dstate_row, strict=True):
            assert_close(found[:, one], wanted)


# Dropout in pieces


def test_a_mask_may_begin_anywhere():
    mask = stack.dropout_mask((7, 3, 5), 0.4, 2**64 - 3)
    np.testing.assert_array_equal(stack.dropout_mask((7, 3, 5), 0.4, 2**64 - 3, 0), mask)
    for first in (1, 15, 37, 104, 105):
        rest = stack.dropout_mask((105 - first,), 0.4, 2**64 - 3, first)
        np.testing.assert_array_equal(rest, mask.ravel()[first:])
    # beyond 32 bits: a mask that begins later has the numbers of one that began before it
    far = 2**33 + 5
    np.testing.assert_array_equal(
        stack.dropout_mask((50,), 0.4, 1, far)[20:], stack.dropout_mask((30,), 0.4, 1, far + 20)
    )


@pytest.mark.parametrize("cuts", [[2], [1, 4], [1, 2, 3, 4]], ids=str)
@pytest.mark.parametrize("cell", ["rnn_tanh", "lstm_peephole", "gru"])
def test_dropout_in_pieces_is_that_of_the_whole(cell, cuts):
    projection = {"proj_size": 3} if cell.startswith("lstm") else {}
    layer = build(cell, I, H, "reference", num_layers=3, dropout=0.4, **projection)
    x, key = numbers(T, B, I), 12345

    def forward(piece, states, first):
        return NumPy(layer).forward(Call(piece, *states, dropout_key=key, first_row=first))

    (y, *last), tape = forward(x, (None, None), 0)
    ys, masks, states, first = [], [], (None, None), 0
    for piece in np.split(x, cuts):
        (y_piece, *states), own_tape = forward(piece, states, first)
        ys.append(y_piece)
        masks.append(own_tape.masks)
        first += len(piece) * B
    np.testing.assert_array_equal(np.concatenate(ys), y)
    for found, wanted in zip(states, last, strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert len(tape.masks) == 2
    for k, mask in enumerate(tape.masks):
        np.testing.assert_array_equal(np.concatenate([each[k] for each in masks]), mask)
        assert set(np.unique(mask)) == {0.0, 1 / 0.6}


def test_rows_before_count_the_whole_width_of_a_mask():
    layer = build("gru", I, H, "reference", num_layers=2, dropout=0.4, bidirectional=True)
    x, key, first = numbers(T, B, I), 12345, 7
    _, tape = NumPy(layer).forward(Call(x, dropout_key=key, first_row=first))
    (mask,) = tape.masks
    longer = stack.dropout_mask((first + T * B, 2 * H), 0.4, key)
    np.testing.assert_array_equal(mask.reshape(-1, 2 * H), longer[first:])

    active = np.array([3, 2, 2, 1])  # packed with room for 3, 3, 2, 2 rows
    packed = numbers(10, I)
    call = Call(packed, active=active, batch=3, dropout_key=key, first_row=first)
    _, tape = NumPy(layer).forward(call)
    for steps, row in zip(tape.steps, tape.rows, strict=True):
        np.testing.assert_array_equal(row.masks[0][:, 0], longer[first:][steps.positions])
