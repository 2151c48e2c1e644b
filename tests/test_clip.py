"""Clipping by value and by norm, for gradients of any size, and the policies for non-finite ones."""

from __future__ import annotations

import math

import numpy as np
import pytest

import bptt
from bptt.optim import ClipNorm, ClipValue, NoClip, NonFiniteError

DTYPES = ("float32", "float64")


def model(dtype: str = "float32") -> bptt.Sequential:
    """Names with a layer in front, recurrent weights in two layers and directions, a layer without any."""
    return bptt.Sequential(
        bptt.LSTM(3, 5, 2, bidirectional=True, peephole=True, dtype=dtype, seed=1),
        bptt.Linear(10, 2, dtype=dtype, seed=2),
    )


def filled(dtype: str = "float32", size: float = 1.0) -> bptt.Sequential:
    net = model(dtype)
    net.flat_gradients[:] = size * np.random.default_rng(3).uniform(-1, 1, net.parameter_count)
    return net


def exact_norm(*arrays: np.ndarray) -> float:
    """Free of overflow, and rounded once."""
    return math.hypot(*(float(v) for array in arrays for v in array.flat))


def tolerance(dtype: str, count: int) -> float:
    """Relative: one rounding of each entry, and a float64 sum over `count` squares."""
    return 2 * float(np.finfo(dtype).eps) + math.log2(count + 1) * float(np.finfo(np.float64).eps)


@pytest.mark.parametrize("dtype", DTYPES)
def test_by_value(dtype: str) -> None:
    net = filled(dtype)
    before = net.flat_gradients.copy()
    bptt.clip_by_value(net, 0.25)
    np.testing.assert_array_equal(net.flat_gradients, np.clip(before, -0.25, 0.25))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["array", "mapping", "model"])
def test_by_norm_scales_everything_by_one_factor(form: str, dtype: str) -> None:
    net = filled(dtype)
    before = net.flat_gradients.copy()
    gradients = {"array": net.flat_gradients, "mapping": net.gradients, "model": net}[form]
    norm = bptt.clip_by_norm(gradients, 0.5)
    close = tolerance(dtype, before.size)
    assert isinstance(norm, float)
    assert norm == pytest.approx(exact_norm(before), rel=close)
    assert exact_norm(net.flat_gradients) == pytest.approx(0.5, rel=close)
    np.testing.assert_allclose(net.flat_gradients, before * np.float64(0.5 / norm), rtol=close)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_norm_within_the_limit_changes_no_bit(dtype: str) -> None:
    net = filled(dtype)
    before = net.flat_gradients.copy()
    norm = bptt.clip_by_norm(net, 1e9)
    assert bptt.clip_by_norm(net, norm) == norm
    np.testing.assert_array_equal(net.flat_gradients, before)
    clipped = ClipNorm(norm)(net)
    assert (clipped.norm, clipped.clipped, clipped.update) == (norm, False, True)
    clipped = ClipNorm(np.nextafter(norm, 0))(net)
    assert clipped.clipped


# Sizes whose squares, whose sum, or whose factor down to the limit leave the range of the type.
HUGE = [("float32", 1e30), ("float32", 3e38), ("float64", 1e30), ("float64", 1e200), ("float64", 1.7e308)]


@pytest.mark.parametrize(("dtype", "size"), HUGE)
def test_huge_gradients_keep_their_direction(dtype: str, size: float) -> None:
    for limit in [5.0, 1e-3]:
        net = filled(dtype, size)
        direction = net.flat_gradients.astype(np.float64) / size
        norm = bptt.clip_by_norm(net, limit)
        close = tolerance(dtype, direction.size)
        # Beyond the largest float64 the norm reads inf, and the direction is kept all the same.
        assert norm == pytest.approx(exact_norm(direction) * size, rel=2 * close)
        assert (norm == math.inf) == (size == 1.7e308)
        expected = direction / exact_norm(direction) * limit
        np.testing.assert_allclose(net.flat_gradients, expected, rtol=4 * close, atol=np.finfo(dtype).tiny)


@pytest.mark.parametrize(("dtype", "size", "limit"), [("float32", 1e30, 1e-10), ("float64", 1e300, 1e-12)])
def test_a_subnormal_factor_keeps_the_direction(dtype: str, size: float, limit: float) -> None:
    gradients = np.array([3.0, 4.0], dtype) * np.dtype(dtype).type(size)
    bptt.clip_by_norm(gradients, limit)
    close = 8 * np.finfo(dtype).eps
    np.testing.assert_allclose(gradients, np.array([0.6, 0.8]) * limit, rtol=close)


def test_zero_and_empty_gradients() -> None:
    assert bptt.clip_by_norm(np.zeros(5), 1.0) == 0.0
    assert bptt.clip_by_norm({}, 1.0) == 0.0
    assert bptt.clip_by_norm(np.zeros((0, 3), np.float32), 1.0) == 0.0
    bptt.clip_by_value(np.zeros((0, 3), np.float32), 1.0)
    assert ClipValue(1.0)(bptt.Dropout(0.5)).norm == 0.0


def test_a_guard_clips_nothing() -> None:
    net = filled()
    before = net.flat_gradients.copy()
    assert not NoClip()(net).clipped
    np.testing.assert_array_equal(net.flat_gradients, before)


@pytest.mark.parametrize(("limit", "clipped"), [(0.25, True), (1.0, False), (1e9, False)])
def test_clip_value_tells_whether_it_clipped(limit: float, clipped: bool) -> None:
    net = filled()
    before = net.flat_gradients.copy()
    told = ClipValue(limit)(net)
    assert told.norm == pytest.approx(exact_norm(before), rel=tolerance("float32", before.size))
    assert (told.clipped, told.update) == (clipped, True)
    np.testing.assert_array_equal(net.flat_gradients, np.clip(before, -limit, limit))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_clip_value_looks_at_entries_not_at_the_norm(dtype: str) -> None:
    for size in [1.0, 1.001, 1.5, 2.0, 10.0]:
        gradient = np.array([0.5, -size, 0.25], dtype)
        assert ClipValue(1.0)(gradient).clipped == (size > 1.0)  # type: ignore[arg-type]
        np.testing.assert_array_equal(gradient, np.array([0.5, -1.0, 0.25], dtype))


CLIPS = {
    "no limit": NoClip,
    "value": lambda **policy: ClipValue(0.1, **policy),
    "norm": lambda **policy: ClipNorm(0.1, **policy),
}
BAD = (np.nan, np.inf, -np.inf)


@pytest.mark.parametrize("bad", BAD)
@pytest.mark.parametrize("clip", CLIPS)
def test_raise_names_every_parameter_and_changes_nothing(clip: str, bad: float) -> None:
    for name in model().gradients:
        net = filled()
        index = tuple(size - 1 for size in net.gradients[name].shape)
        net.gradients[name][index] = bad
        gradients, parameters = net.flat_gradients.copy(), net.flat_parameters.copy()
        with pytest.raises(NonFiniteError, match=f"gradient of {name} .*got {bad} at") as caught:
            CLIPS[clip]()(net)
        assert caught.value.parameter == name
        assert str(index) in str(caught.value)
        np.testing.assert_array_equal(net.flat_gradients, gradients)
        np.testing.assert_array_equal(net.flat_parameters, parameters)


@pytest.mark.parametrize("bad", BAD)
def test_functions_refuse_what_is_not_finite(bad: float) -> None:
    for clip in (bptt.clip_by_norm, bptt.clip_by_value):
        gradients = {"fine": np.full(3, 7.0), "bad": np.array([1.0, bad])}
        with pytest.raises(NonFiniteError, match=r"gradient of bad .* at \(1,\)"):
            clip(gradients, 1.0)
        np.testing.assert_array_equal(gradients["fine"], 7.0)
        np.testing.assert_array_equal(gradients["bad"], [1.0, bad])


@pytest.mark.parametrize("clip", CLIPS)
def test_skip_leaves_the_gradient_and_counts(clip: str) -> None:
    net, told = filled(), CLIPS[clip](nonfinite="skip")
    assert told(net).update
    net.flat_gradients[4] = np.inf
    before = net.flat_gradients.copy()
    for count in (1, 2):
        result = told(net)
        assert (result.norm, result.clipped, result.update) == (math.inf, False, False)
        assert told.nonfinite_steps == count
    np.testing.assert_array_equal(net.flat_gradients, before)


@pytest.mark.parametrize("clip", CLIPS)
def test_zero_drops_the_offending_entries_and_clips_the_rest(clip: str) -> None:
    net, expected = filled(), filled()
    net.flat_gradients[[1, 5, 9]] = BAD
    expected.flat_gradients[[1, 5, 9]] = 0
    result = CLIPS[clip](nonfinite="zero")(net)
    finite = CLIPS[clip]()(expected)
    assert not math.isfinite(result.norm)
    assert (result.clipped, result.update) == (finite.clipped, True)
    np.testing.assert_array_equal(net.flat_gradients, expected.flat_gradients)


@pytest.mark.parametrize("clip", CLIPS)
def test_shrink_is_pascanus_guard(clip: str) -> None:
    net = filled()
    net.flat_gradients[0] = np.nan
    told = CLIPS[clip](nonfinite="shrink")(net)
    assert (math.isnan(told.norm), told.clipped, told.update) == (True, False, True)
    recurrent = {name for name in net.gradients if "weight_hh" in name}
    assert len(recurrent) == 4
    for name, gradient in net.gradients.items():
        expected = np.float32(0.02) * net.parameters[name] if name in recurrent else np.zeros_like(gradient)
        np.testing.assert_array_equal(gradient, expected)


READ_ONLY = np.ones(3)
READ_ONLY.flags.writeable = False
ERRORS = {
    "limit 0": (lambda: bptt.clip_by_norm(np.ones(3), 0.0), ValueError, "max_norm must"),
    "limit 0 of entries": (lambda: bptt.clip_by_value(np.ones(3), 0.0), ValueError, "max_value must"),
    "limit 0 of a clip": (lambda: ClipValue(0.0), ValueError, "max_value must"),
    "norm 0 of a clip": (lambda: ClipNorm(0.0), ValueError, "max_norm must"),
    "limit negative": (lambda: bptt.clip_by_value(np.ones(3), -1.0), ValueError, "max_value must"),
    "limit NaN": (lambda: ClipNorm(math.nan), ValueError, "max_norm must"),
    "limit infinite": (lambda: ClipValue(math.inf), ValueError, "max_value must"),
    "limit a text": (lambda: ClipNorm("5"), TypeError, "max_norm must"),
    "a list": (lambda: bptt.clip_by_norm([1.0, 2.0], 1.0), TypeError, "gradients must"),
    "integers": (lambda: bptt.clip_by_value(np.ones(3, int), 1.0), TypeError, "got dtype int64"),
    "half precision": (lambda: bptt.clip_by_norm({"w": np.ones(3, np.float16)}, 1.0), TypeError, "w must"),
    "a transposed view": (lambda: bptt.clip_by_norm(np.ones((3, 4)).T, 1.0), ValueError, "contiguous"),
    "a read-only array": (lambda: bptt.clip_by_value(READ_ONLY, 1.0), ValueError, "writable"),
    "unknown policy": (lambda: ClipNorm(1.0, nonfinite="ignore"), ValueError, "nonfinite must"),
}


def test_bad_arguments(subtests: pytest.Subtests) -> None:
    for name in ERRORS:
        with subtests.test(name):
            call, error, message = ERRORS[name]
            with pytest.raises(error, match=message):
                call()


# A limit taken from the run


def test_auto_limits_to_a_quantile_of_the_norms_so_far():
    rng = np.random.default_rng(0)
    clip = bptt.ClipNorm("auto", quantile=0.3, window=20)
    assert clip.max_norm == np.inf
    seen = []
    for scale in np.exp(rng.standard_normal(60)):
        gradient = scale * rng.standard_normal(7)
        norm = float(np.linalg.norm(gradient))
        seen.append(norm)
        limit = np.quantile(seen[-20:], 0.3)
        given = gradient.copy()
        done = clip(gradient)
        assert clip.max_norm == pytest.approx(limit, rel=1e-12)
        assert done.norm == pytest.approx(norm, rel=1e-12)
        assert done.clipped == (norm > limit)
        np.testing.assert_allclose(gradient, given * min(1.0, limit / norm), rtol=1e-12)


def test_auto_takes_the_lowest_tenth_of_the_last_thousand():
    clip = bptt.ClipNorm("auto")
    norms = np.random.default_rng(0).permutation(np.arange(1.0, 1101.0))
    for norm in norms:
        clip(np.array([norm]))
    assert clip.max_norm == pytest.approx(np.quantile(norms[-1000:], 0.1), rel=1e-12)


def test_a_window_must_fit_into_a_checkpoint():
    with pytest.raises(ValueError, match="window must be an int >= 1 and <= 100000"):
        bptt.ClipNorm("auto", window=100_001)


def test_auto_leaves_the_first_gradient_and_equal_ones_alone():
    clip = bptt.ClipNorm("auto")
    for _ in range(3):
        gradient = np.array([3.0, 4.0])
        assert not clip(gradient).clipped
        np.testing.assert_array_equal(gradient, [3.0, 4.0])


def test_auto_does_not_remember_what_is_not_finite():
    clip = bptt.ClipNorm("auto", nonfinite="skip")
    clip(np.array([1.0, 0.0]))
    assert not clip(np.array([np.nan, 1.0])).update
    assert clip.max_norm == 1.0
    assert clip(np.array([1.0, 0.0])).norm == 1.0
    assert clip.max_norm == 1.0


@pytest.mark.parametrize(
    ("arguments", "error", "message"),
    [
        ({"max_norm": "often"}, TypeError, "max_norm must be a number > 0 or \"auto\"; got 'often'"),
        ({"max_norm": "auto", "quantile": 1.0}, ValueError, "quantile must be a number > 0 and < 1"),
        ({"max_norm": "auto", "window": 0}, ValueError, "window must be an int >= 1"),
        ({"max_norm": None}, TypeError, "max_norm must be a number > 0"),
    ],
)
def test_bad_arguments_of_auto(arguments, error, message):
    with pytest.raises(error, match=message):
        bptt.ClipNorm(**arguments)
