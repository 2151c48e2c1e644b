"""exp, sigmoid, tanh, GELU and SiLU of every instruction set, against the same in higher precision.

The bounds are those stated in cpp/kernels/math.hpp. float32 is compared with float64 NumPy, float64 with
numpy.longdouble; where that has no more digits than float64 the comparison is one ULP looser, which is
NumPy's own error.
"""

import numpy as np
import pytest
from tests.cells import ISAS

import bptt
from bptt import _core

MAX_ULP = {
    "exp": 1.1,
    "sigmoid": 2.0,
    "tanh": 2.0,
    "gelu": 7.0,
    "gelu_slope": 7.0,
    "silu": 4.0,
    "silu_slope": 4.0,
}
RANGE = {  # of the claim
    ("exp", np.float32): (-87.0, 88.7),
    ("sigmoid", np.float32): (-87.0, 1e30),
    ("tanh", np.float32): (-1e30, 1e30),
    ("exp", np.float64): (-708.0, 709.7),
    ("sigmoid", np.float64): (-708.0, 1e300),
    ("tanh", np.float64): (-1e300, 1e300),
}
TAIL = {  # where GELU and SiLU become subnormal
    ("gelu", np.float32): 15.0,
    ("silu", np.float32): 100.0,
    ("gelu", np.float64): 40.0,
    ("silu", np.float64): 750.0,
}


@pytest.fixture(params=ISAS)
def isa(request):
    bptt.use_isa(request.param)


def function(name, x):
    if name.endswith("_slope"):
        return _core.activation_backward(name.removesuffix("_slope"), np.ones_like(x), x)
    return _core.activation(name, x)


def normal_density(x):
    return np.exp(-x * x / 2) / np.sqrt(2 * np.pi * np.ones((), x.dtype))


def normal_below(x):
    """P(X < x) for a standard normal X: a series near 0, and the continued fraction in the tails."""
    a = np.abs(x)
    near, far = np.minimum(a, 2), np.maximum(a, 2)
    term = total = near
    for k in range(3, 101, 2):
        term = term * near * near / k
        total = total + term
    fraction = far
    for k in range(150, 0, -1):
        fraction = far + k / fraction
    tail = np.where(a < 2, 0.5 - normal_density(near) * total, normal_density(far) / fraction)
    return np.where(x < 0, tail, 1 - tail)


def sigmoid(x):
    e = np.exp(-np.abs(x))
    return np.where(x < 0, e, 1) / (1 + e)


# The terms that each function is the sum of. Its error is small next to the largest of them.
TERMS = {
    "exp": lambda x: [np.exp(x)],
    "tanh": lambda x: [np.tanh(x)],
    "sigmoid": lambda x: [sigmoid(x)],
    "gelu": lambda x: [x * normal_below(x)],
    "gelu_slope": lambda x: [normal_below(x), x * normal_density(x)],
    "silu": lambda x: [x * sigmoid(x)],
    "silu_slope": lambda x: [sigmoid(x), x * sigmoid(x) * sigmoid(-x)],
}


def samples(dtype, low, high, count=200_000):
    """Every size of number: uniform over the range that matters, dense around 0, and each binade."""
    rng = np.random.default_rng(0)
    top = np.log2(min(-low if low < 0 else high, high, 1e4))
    magnitudes = np.exp2(rng.uniform(-100, top, count))
    parts = [
        rng.uniform(max(low, -100), min(high, 100), 2 * count),
        rng.uniform(-1, 1, 2 * count),
        rng.normal(size=count) * 4,
        magnitudes * rng.choice([-1, 1], magnitudes.size),
        [0.0, -0.0, low, high],
    ]
    x = np.concatenate(parts).astype(dtype)
    return x[(x >= low) & (x <= high)]


@pytest.mark.usefixtures("isa")
def test_error_stays_within_the_stated_ulp(subtests):
    for name in list(MAX_ULP):
        with subtests.test(name):
            for dtype in [np.float32, np.float64]:
                if (name, dtype) in RANGE:
                    x = samples(dtype, *RANGE[name, dtype])
                else:
                    tail = TAIL[name.removesuffix("_slope"), dtype]
                    lowest = np.random.default_rng(1).uniform(-tail, -0.8 * tail, 4000).astype(dtype)
                    x = np.concatenate([samples(dtype, -tail, tail, count=4000), lowest])
                wide = np.float64 if dtype == np.float32 else np.longdouble
                terms = np.array(TERMS[name](x.astype(wide)))
                truth, largest = terms.sum(axis=0), np.abs(terms).max(axis=0)
                # Results below the smallest normal number may be flushed: not part of the claim.
                normal = np.abs(truth) >= np.finfo(dtype).tiny
                ulp = np.spacing(largest[normal].astype(dtype)).astype(wide)
                error = np.abs(function(name, x)[normal].astype(wide) - truth[normal]) / ulp
                own = 0 if np.finfo(wide).eps < np.finfo(dtype).eps else 1
                assert error.max() <= MAX_ULP[name] + own, x[normal][error.argmax()]


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_limits(dtype):
    x = np.array([-np.inf, np.inf, np.nan, 0.0, -0.0], dtype)
    np.testing.assert_array_equal(_core.activation("exp", x), np.array([0, np.inf, np.nan, 1, 1], dtype))
    np.testing.assert_array_equal(_core.activation("tanh", x), np.array([-1, 1, np.nan, 0, -0.0], dtype))
    sigmoid = _core.activation("sigmoid", x)
    assert 0 <= sigmoid[0] < 2 * np.finfo(dtype).tiny
    np.testing.assert_array_equal(sigmoid[1:], np.array([1, np.nan, 0.5, 0.5], dtype))
    largest = np.finfo(dtype).max
    x = np.array([-np.inf, -largest, -1e30, np.inf, largest, np.nan, 0.0, -0.0], dtype)
    for name in ("gelu", "silu"):
        expected = np.array([-0.0, -0.0, -0.0, np.inf, largest, np.nan, 0, -0.0], dtype)
        np.testing.assert_array_equal(_core.activation(name, x), expected)
        slopes = np.array([0, 0, 0, 1, 1, np.nan, 0.5, 0.5], dtype)
        np.testing.assert_array_equal(function(f"{name}_slope", x), slopes)


@pytest.mark.usefixtures("isa")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_tails_touch_nothing_else(dtype):
    """Every length up to two vectors and a bit, at every misalignment, with a sentinel on both sides."""
    rng = np.random.default_rng(1)
    whole = rng.normal(size=64).astype(dtype)
    truth = _core.activation("tanh", whole)
    for start in range(4):
        for length in range(34):
            part = whole[start : start + length]
            before = whole.copy()
            np.testing.assert_array_equal(_core.activation("tanh", part), truth[start : start + length])
            np.testing.assert_array_equal(whole, before)
            scaled = whole.copy()
            _core.clip_value(scaled[start : start + length], 0.1)
            np.testing.assert_array_equal(
                scaled[start : start + length], np.clip(part, -0.1, 0.1).astype(dtype)
            )
            np.testing.assert_array_equal(scaled[:start], whole[:start])
            np.testing.assert_array_equal(scaled[start + length :], whole[start + length :])
