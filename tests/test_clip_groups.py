"""Clipping group by group against NumPy, one policy for all groups, and what clips mean in a recursion."""

from __future__ import annotations

import math

import numpy as np
import pytest

import bptt
from bptt import ClipGroups, ClipNorm, ClipValue
from bptt.layers.passes.clip_state import StateClip, parse_clip_state
from bptt.optim import NoClip, NonFiniteError

DTYPES = ("float32", "float64")
BAD = (np.nan, np.inf, -np.inf)


def filled(dtype: str = "float32", size: float = 1.0, seed: int = 3) -> bptt.Sequential:
    net = bptt.Sequential(
        bptt.LSTM(3, 5, 2, bidirectional=True, dtype=dtype, seed=1), bptt.Linear(10, 2, dtype=dtype, seed=2)
    )
    net.flat_gradients[:] = size * np.random.default_rng(seed).uniform(-1, 1, net.parameter_count)
    return net


def group_of(name: str) -> str:
    """As GROUPS say it, in other words."""
    if "weight_hh" in name:
        return "recurrent"
    if name.startswith("1."):
        return "head"
    return "bias" if "bias" in name else "rest"


def groups(nonfinite: str = "raise") -> ClipGroups:
    clips = {"*weight_hh*": ClipNorm(0.5), "1.*": None, "*.bias*": ClipValue(0.25), "*": ClipNorm(0.75)}
    return ClipGroups(clips, nonfinite)


def exact_norm(*arrays: np.ndarray) -> float:
    return math.hypot(*(float(v) for array in arrays for v in array.flat))


def tolerance(dtype: str, count: int) -> float:
    """Relative: one rounding of each entry, and a float64 sum over `count` squares."""
    return 2 * float(np.finfo(dtype).eps) + math.log2(count + 1) * float(np.finfo(np.float64).eps)


def expected(net: bptt.Sequential, unit: float = 1.0) -> dict[str, np.ndarray]:
    """What `groups` make of the gradients; divided by `unit`, their squares stay in range."""
    given = {name: gradient.astype(np.float64) / unit for name, gradient in net.gradients.items()}
    factors = {"head": unit}
    for group, limit in (("recurrent", 0.5), ("rest", 0.75)):
        norm = np.sqrt(sum(np.sum(v**2) for name, v in given.items() if group_of(name) == group))
        factors[group] = min(unit, limit / norm)
    return {
        name: np.clip(v * unit, -0.25, 0.25) if group_of(name) == "bias" else v * factors[group_of(name)]
        for name, v in given.items()
    }


@pytest.mark.parametrize("dtype", DTYPES)
def test_each_group_is_clipped_by_its_own_norm(dtype: str) -> None:
    net = filled(dtype)
    assert {group_of(name) for name in net.gradients} == {"recurrent", "head", "bias", "rest"}
    wanted, whole = expected(net), exact_norm(net.flat_gradients)
    untouched = net.gradients["1.weight"].copy()
    done = groups()(net)
    close = tolerance(dtype, net.parameter_count)
    for name, gradient in net.gradients.items():
        np.testing.assert_allclose(gradient, wanted[name], rtol=close, err_msg=name)
    for group, limit in (("recurrent", 0.5), ("rest", 0.75)):
        members = [gradient for name, gradient in net.gradients.items() if group_of(name) == group]
        assert exact_norm(*members) == pytest.approx(limit, rel=close)
    np.testing.assert_array_equal(net.gradients["1.weight"], untouched)
    assert done.norm == pytest.approx(whole, rel=close)
    assert (done.clipped, done.update) == (True, True)


def test_norms_are_added_in_float64() -> None:
    """Ones beside one large entry: in float32 every one of them would be lost."""
    net = filled()
    net.flat_gradients[:] = 0
    net.gradients["0.weight_hh_l0"][:] = 1
    net.gradients["0.weight_hh_l1"][0, 0] = 2**13
    norm = math.sqrt(2**26 + net.gradients["0.weight_hh_l0"].size)
    ClipGroups({"*weight_hh*": ClipNorm(1.0), "*": None})(net)
    assert net.gradients["0.weight_hh_l1"][0, 0] == np.float32(2**13 / norm)
    assert np.float32(2**13 / norm) != np.float32(1.0)


def test_gradients_within_their_limits_keep_their_bits() -> None:
    net = filled()
    before = net.flat_gradients.copy()
    recurrent = {name for name in net.gradients if "weight_hh" in name}
    inside = exact_norm(*(net.gradients[name] for name in recurrent))
    rest = exact_norm(*(net.gradients[name] for name in net.gradients if name not in recurrent))
    whole = bptt.clip_by_norm(net, 1e9)

    def clips(limit: float) -> ClipGroups:
        return ClipGroups({"*weight_hh*": ClipNorm(limit), "*": ClipNorm(1.0001 * rest)})

    assert max(1.0001 * inside, 1.0001 * rest) < whole  # each of the limits would clip the whole
    done = clips(1.0001 * inside)(net)
    assert (done.norm, done.clipped, done.update) == (whole, False, True)
    np.testing.assert_array_equal(net.flat_gradients, before)
    assert clips(0.9999 * inside)(net).clipped
    again = filled()
    for name, gradient in net.gradients.items():
        assert np.array_equal(gradient, again.gradients[name]) == (name not in recurrent), name


@pytest.mark.parametrize(("dtype", "size"), [("float32", 1e30), ("float64", 1e200), ("float64", 1.7e308)])
def test_huge_gradients_keep_their_direction(dtype: str, size: float) -> None:
    net = filled(dtype, size)
    wanted = expected(net, unit=size)
    done = groups()(net)
    assert done.clipped
    assert (done.norm == math.inf) == (size == 1.7e308)
    close = 4 * tolerance(dtype, net.parameter_count)
    for name, gradient in net.gradients.items():
        assert np.count_nonzero(gradient) == gradient.size
        np.testing.assert_allclose(
            gradient, wanted[name], rtol=close, atol=np.finfo(dtype).tiny, err_msg=name
        )


def test_a_group_of_all_is_the_clip_alone() -> None:
    for clip in (lambda: ClipNorm(0.5), lambda: ClipValue(0.25), NoClip):
        one, other = filled(), filled()
        alone, grouped = clip()(one), ClipGroups({"*": clip()})(other)
        close = tolerance("float32", one.parameter_count)
        np.testing.assert_allclose(other.flat_gradients, one.flat_gradients, rtol=close)
        assert (grouped.norm, grouped.clipped) == (alone.norm, alone.clipped)


def test_the_first_pattern_that_fits_takes_a_name() -> None:
    first = ClipGroups({"0.*": ClipValue(0.5), "*weight*": ClipValue(0.125), "*": None})
    second = ClipGroups({"*weight*": ClipValue(0.125), "0.*": ClipValue(0.5), "*": None})
    for clip, limit in ((first, 0.5), (second, 0.125)):
        net = filled()
        before = net.state_dict() | {name: gradient.copy() for name, gradient in net.gradients.items()}
        clip(net)
        for name in ("0.weight_ih_l0", "0.weight_hh_l1_reverse"):
            np.testing.assert_array_equal(net.gradients[name], np.clip(before[name], -limit, limit))
        np.testing.assert_array_equal(net.gradients["1.bias"], before["1.bias"])


def test_the_pattern_of_the_rest_may_be_left_without_any() -> None:
    net = filled()
    before = net.flat_gradients.copy()
    ClipGroups({"*weight*": ClipValue(0.25), "*bias*": ClipValue(0.25), "*": ClipNorm("auto")})(net)
    np.testing.assert_array_equal(net.flat_gradients, np.clip(before, -0.25, 0.25))


def test_auto_learns_from_the_norms_of_its_group() -> None:
    recurrent, rest = ClipNorm("auto", quantile=0.4, window=5), ClipNorm("auto", quantile=0.7)
    clip = ClipGroups({"*weight_hh*": recurrent, "*": rest})
    seen: dict[bool, list[float]] = {True: [], False: []}
    rng = np.random.default_rng(0)
    for step in range(12):
        net = filled(seed=step)
        for name, gradient in net.gradients.items():
            gradient *= np.float32(rng.uniform(1, 9) if "weight_hh" in name else 1)
        for inside, norms in seen.items():
            members = [g for name, g in net.gradients.items() if ("weight_hh" in name) == inside]
            norms.append(exact_norm(*members))
        limits = {True: np.quantile(seen[True][-5:], 0.4), False: np.quantile(seen[False], 0.7)}
        done = clip(net)
        close = tolerance("float32", net.parameter_count)
        assert recurrent.max_norm == pytest.approx(limits[True], rel=close)
        assert rest.max_norm == pytest.approx(limits[False], rel=close)
        assert done.clipped == any(seen[inside][-1] > limits[inside] for inside in seen)
        members = [g for name, g in net.gradients.items() if "weight_hh" in name]
        assert exact_norm(*members) == pytest.approx(min(seen[True][-1], limits[True]), rel=close)


# Gradients that are not finite: one policy for the whole


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("name", ["0.weight_hh_l0", "0.bias_ih_l1", "1.weight"])
def test_raise_names_the_parameter_and_changes_nothing(name: str, bad: float) -> None:
    """That of the group that is not clipped, too."""
    net = filled()
    net.gradients[name][-1] = bad
    before = net.flat_gradients.copy()
    with pytest.raises(NonFiniteError, match=f"gradient of {name} .*got {bad}") as caught:
        groups()(net)
    assert caught.value.parameter == name
    np.testing.assert_array_equal(net.flat_gradients, before)


def test_skip_leaves_all_groups_and_counts_once() -> None:
    net, clip = filled(), groups("skip")
    auto = ClipNorm("auto")
    clip.groups["*"] = auto
    net.flat_gradients[4] = np.inf
    before = net.flat_gradients.copy()
    done = clip(net)
    assert (done.norm, done.clipped, done.update, clip.nonfinite_steps) == (math.inf, False, False, 1)
    assert auto.max_norm == math.inf  # it learnt nothing
    np.testing.assert_array_equal(net.flat_gradients, before)


def test_zero_drops_the_offending_entries_and_clips_the_groups() -> None:
    net, zeroed = filled(), filled()
    net.flat_gradients[[1, 60, -1]] = BAD
    zeroed.flat_gradients[[1, 60, -1]] = 0
    done, clip = groups("zero")(net), groups()(zeroed)
    assert not math.isfinite(done.norm)
    assert (done.clipped, done.update) == (clip.clipped, True)
    np.testing.assert_array_equal(net.flat_gradients, zeroed.flat_gradients)


def test_shrink_is_that_of_the_guard() -> None:
    net, plain = filled(), filled()
    for model, clip in ((net, groups("shrink")), (plain, NoClip("shrink"))):
        model.flat_gradients[0] = np.nan
        assert clip(model).update
    np.testing.assert_array_equal(net.flat_gradients, plain.flat_gradients)


def test_a_trainer_takes_it() -> None:
    rng = np.random.default_rng(0)
    data = [(rng.standard_normal((7, 4, 3)), 90 * rng.standard_normal((7, 4, 2))) for _ in range(5)]
    net, hand = filled(), filled()
    trainer = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), clip=groups(), progress=False)
    history = trainer.fit(data)
    loss, optimizer, norms = bptt.MeanSquaredError(), bptt.SGD(0.1), []
    for x, target in data:
        hand.zero_grad()
        y, _, tape = hand.forward(x)
        hand.backward(tape, loss(y, target)[1])
        norms.append(exact_norm(hand.flat_gradients))
        for name, value in expected(hand).items():
            hand.gradients[name] = value
        optimizer.step(hand)
    assert history["clipped"].all()
    close = 64 * float(np.finfo(np.float32).eps)  # five updates, their factors rounded otherwise
    np.testing.assert_allclose(history["grad_norm"], norms, rtol=close)
    np.testing.assert_allclose(net.flat_parameters, hand.flat_parameters, rtol=close, atol=close)


AUTO = ClipNorm("auto")
ERRORS = {
    "no mapping": (lambda: ClipGroups(ClipNorm(1.0)), TypeError, "groups must be a mapping .*got ClipNorm"),
    "empty": (lambda: ClipGroups({}), ValueError, "groups must be a mapping .*got an empty mapping"),
    "a number": (
        lambda: ClipGroups({"*": 1.0}),
        TypeError,
        r"groups\['\*'\] must be ClipNorm.*got 1.0 of type",
    ),
    "a class": (lambda: ClipGroups({"*": ClipNorm}), TypeError, r"groups\['\*'\] must be ClipNorm"),
    "groups in groups": (lambda: ClipGroups({"*": groups()}), TypeError, r"groups\['\*'\] must .*ClipGroups"),
    "a pattern of no text": (lambda: ClipGroups({1: None}), TypeError, "groups must .*got the pattern 1"),
    "a policy inside": (
        lambda: ClipGroups({"*": ClipNorm(1.0, nonfinite="skip")}),
        ValueError,
        r"groups\['\*'\] must leave out nonfinite.*got 'skip'.*ClipGroups\(\.\.\., nonfinite='skip'\)",
    ),
    "one that learns, twice": (
        lambda: ClipGroups({"0.*": AUTO, "*": AUTO}),
        ValueError,
        r"groups\['\*'\] must learn",
    ),
    "unknown policy": (lambda: ClipGroups({"*": None}, "ignore"), ValueError, "nonfinite must"),
    "a parameter that fits none": (
        lambda: ClipGroups({"*weight*": None})(filled()),
        ValueError,
        "a pattern for every parameter; got none that matches '0.bias_ih_l0'",
    ),
    "a pattern that fits none": (
        lambda: ClipGroups({"*wieght*": ClipNorm(1.0), "*": None})(filled()),
        ValueError,
        r"groups\['\*wieght\*'\] must match a parameter; got none among 0.weight_ih_l0",
    ),
    "another case": (
        lambda: ClipGroups({"*WEIGHT*": ClipNorm(1.0), "*": None})(filled()),
        ValueError,
        r"groups\['\*WEIGHT\*'\] must match",
    ),
    "a pattern that comes too late": (
        lambda: ClipGroups({"*": None, "*weight_hh*": ClipNorm(1.0)})(filled()),
        ValueError,
        r"groups\['\*weight_hh\*'\] must match a parameter that no earlier pattern matches",
    ),
}


def test_bad_groups(subtests: pytest.Subtests) -> None:
    for name in ERRORS:
        with subtests.test(name):
            call, error, message = ERRORS[name]
            with pytest.raises(error, match=message):
                call()


def test_names_are_looked_at_before_anything_is_changed() -> None:
    net = filled()
    net.flat_gradients[0] = np.nan
    before = net.flat_gradients.copy()
    for clips in ({"*weight*": ClipValue(0.1)}, {"*wieght*": None, "*": ClipValue(0.1)}):
        clip = ClipGroups(clips, nonfinite="zero")
        with pytest.raises(ValueError, match="groups"):
            clip(net)
        assert clip.nonfinite_steps == 0
    np.testing.assert_array_equal(net.flat_gradients, before)


def test_one_clip_may_serve_two_groups_that_learn_nothing() -> None:
    clip, net = ClipNorm(0.5), filled()
    ClipGroups({"*weight*": clip, "*": clip})(net)
    for part in ("weight", "bias"):
        members = [gradient for name, gradient in net.gradients.items() if part in name]
        assert exact_norm(*members) == pytest.approx(0.5, rel=tolerance("float32", net.parameter_count))


# Inside the recursion


def test_what_clips_mean_inside_the_recursion() -> None:
    assert ClipValue(0.5).state_clip() == parse_clip_state(ClipValue(0.5)) == StateClip(value=0.5)
    assert ClipNorm(2.0).state_clip() == parse_clip_state(ClipNorm(2.0)) == StateClip(norm=2.0)


def test_clips_that_mean_nothing_inside_the_recursion() -> None:
    clip = ClipNorm("auto")
    clip(filled())  # the limit that it has by now makes no difference
    for call in (clip.state_clip, lambda: parse_clip_state(clip)):
        with pytest.raises(
            ValueError, match=r"norm of the whole gradient, not yet known during .*Fix: pass a number"
        ):
            call()
    for other in (groups(), NoClip()):
        with pytest.raises(TypeError, match="clip_state must"):
            parse_clip_state(other)
