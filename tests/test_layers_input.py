"""Inputs of any real kind and layout give the plain array's bits; the right array is read in place."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.arrays import ALIGNMENT, aligned_zeros, as_floats, as_ids

T, B, I = 4, 2, 3
WHOLE = np.random.default_rng(0).integers(-4, 5, (T, B, I)).astype(np.float32)
"""Whole numbers, which every numeric type holds exactly."""


class Speaks:
    """An object of another library that knows one protocol."""

    def __init__(self, array: np.ndarray) -> None:
        self._array = array


class SpeaksArray(Speaks):
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self._array if dtype is None else self._array.astype(dtype)


class SpeaksDlpack(Speaks):
    def __dlpack__(self, **options: Any) -> object:
        return self._array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self._array.__dlpack_device__()


def misaligned(array: np.ndarray) -> np.ndarray:
    raw = np.zeros(array.nbytes + 1, np.uint8)
    shifted = raw[1:].view(array.dtype).reshape(array.shape)
    shifted[...] = array
    assert not shifted.flags.aligned
    return shifted


def every_other(array: np.ndarray) -> np.ndarray:
    return np.repeat(array, 2, axis=0)[::2]


def read_only(array: np.ndarray) -> np.ndarray:
    array = array.copy()
    array.flags.writeable = False
    return array


FORMS: dict[str, Callable[[np.ndarray], Any]] = {
    **{kind: lambda a, kind=kind: a.astype(kind) for kind in ("f2", "f4", "f8", "g", "i1", "i2", "i4", "i8")},
    "big endian": lambda a: a.astype(">f4"),
    "lists": np.ndarray.tolist,
    "Fortran order": np.asfortranarray,
    "reversed": lambda a: a[::-1].copy()[::-1],
    "every other": every_other,
    "transposed": lambda a: a.transpose(2, 1, 0).copy().transpose(2, 1, 0),
    "misaligned": misaligned,
    "read-only": read_only,
    "__array__": SpeaksArray,
    "__dlpack__": SpeaksDlpack,
}


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_every_form_of_the_same_numbers_gives_the_same_bits(dtype):
    layer = bptt.GRU(I, 5, dtype=dtype, seed=0)
    plain = layer(WHOLE.astype(dtype))[0]
    for form, convert in FORMS.items():
        np.testing.assert_array_equal(layer(convert(WHOLE))[0], plain, err_msg=form)


@pytest.mark.parametrize("argument", ["state", "dy", "dstate"])
def test_every_form_is_read_by_every_argument(argument):
    layer = bptt.GRU(I, 3, seed=0)
    errors = {"dy": WHOLE[..., :3], "dstate": WHOLE[:1]}

    def run(convert: Callable[[np.ndarray], Any]) -> np.ndarray:
        given = {name: convert(value) if name == argument else value for name, value in errors.items()}
        state = convert(WHOLE[:1]) if argument == "state" else WHOLE[:1]
        layer.zero_grad()
        dx, _ = layer.backward(layer.forward(WHOLE, state)[-1], **given)
        return np.concatenate([dx.ravel(), layer.flat_gradients])

    for form, convert in FORMS.items():
        np.testing.assert_array_equal(run(convert), run(np.copy), err_msg=form)


@pytest.mark.parametrize("form", ["b1", "u1", "u8"])
def test_unsigned_and_boolean_arrays_are_numbers(form):
    positive = np.abs(WHOLE).astype(form)
    layer = bptt.RNN(I, 2, seed=0)
    assert np.array_equal(layer(positive)[0], layer(positive.astype(np.float32))[0])


def test_bfloat16_of_another_package_is_read():
    bfloat16 = pytest.importorskip(
        "ml_dtypes", reason="needs the optional test dependency ml_dtypes"
    ).bfloat16
    layer = bptt.RNN(I, 2, seed=0)
    assert np.array_equal(layer(WHOLE.astype(bfloat16))[0], layer(WHOLE)[0])


def test_torch_tensors_are_read_and_one_that_records_gradients_is_refused():
    torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
    layer = bptt.RNN(I, 2, seed=0)
    x = torch.from_numpy(WHOLE.copy())
    assert np.array_equal(layer(x)[0], layer(WHOLE)[0])
    with pytest.raises(TypeError, match=r"x must be .*requires grad"):
        layer(x.requires_grad_())


def test_the_right_array_is_not_copied():
    for dtype in ("float32", "float64"):
        array = np.ones((T, B, I), dtype)
        assert as_floats(array, "x", np.dtype(dtype)) is array
        empty = array[:0]
        assert as_floats(empty, "x", np.dtype(dtype)) is empty
    ids = np.zeros(3, np.int64)
    assert as_ids(ids, "x") is ids


@pytest.mark.parametrize("form", ["f8", "Fortran order", "misaligned", "big endian"])
def test_what_is_converted_is_contiguous_aligned_and_new(form):
    given = FORMS[form](WHOLE)
    converted = as_floats(given, "x", np.dtype(np.float32))
    assert converted.flags.c_contiguous
    assert converted.flags.aligned
    assert converted.dtype == np.float32
    assert converted.dtype.isnative
    assert not np.shares_memory(converted, given)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("given", ["float32", "float64"])
def test_non_finite_inputs_go_through(value, given):
    converted = as_floats(np.array([0, value], given), "x", np.dtype(np.float32))
    assert np.array_equal(converted, np.array([0, value], np.float32), equal_nan=True)


def test_the_limit_of_the_dtype_is_the_limit():
    """What rounds to the largest float32 passes; from half a unit in the last place above, it overflows."""
    float32 = np.dtype(np.float32)
    largest = np.finfo(float32).max
    tie = 2.0**128 * (1 - 2.0**-25)
    assert as_floats([np.nextafter(tie, 0)], "x", float32)[0] == largest
    with pytest.raises(ValueError, match="x must hold values"):
        as_floats([tie], "x", float32)
    assert as_floats([tie], "x", np.dtype(np.float64))[0] == tie
    assert as_floats([1e-300], "x", float32)[0] == 0


def test_the_caller_keeps_its_array():
    layer = bptt.LSTM(I, 3, seed=0)
    x, h, c, dy = (WHOLE.copy() for _ in range(4))
    *_, tape = layer.forward(x, (h[:1], c[:1]))
    layer.backward(tape, dy, (h[:1], c[:1]))
    for array in (x, h, c, dy):
        assert np.array_equal(array, WHOLE)


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (bptt.GRU(3, 5, seed=0), np.ones((T, B, 3), np.float32)),
        (bptt.Linear(3, 5, seed=0), np.ones((T, B, 3), np.float32)),
        (bptt.Embedding(3, 5, seed=0), np.ones((T, B), np.int64)),
    ],
    ids=["GRU", "Linear", "Embedding"],
)
@pytest.mark.parametrize("through", ["the array", "a read-only view"])
def test_the_caller_may_reuse_its_array_before_backward(layer, x, through):
    def gradients(overwrite: bool) -> np.ndarray:
        given = x.copy()
        seen = given.view()
        seen.flags.writeable = through == "the array"
        layer.zero_grad()
        y, _, tape = layer.forward(seen)
        if overwrite:
            given[...] = 0
        layer.backward(tape, np.ones_like(y))
        return layer.flat_gradients.copy()

    assert np.array_equal(gradients(overwrite=True), gradients(overwrite=False))


@pytest.mark.parametrize("dtype", ["f4", "f8"])
@pytest.mark.parametrize("count", [1, 7, 1000])
def test_flat_vectors_are_aligned(dtype, count):
    vector = aligned_zeros(count, np.dtype(dtype))
    assert vector.shape == (count,)
    assert vector.ctypes.data % ALIGNMENT == 0
    assert not vector.any()


@pytest.mark.parametrize("kind", ["i1", "u1", "i4", "u4", "i8", "u8", ">i4"])
def test_integers_of_any_width_index_an_embedding(kind):
    layer = bptt.Embedding(7, 3, seed=0)
    ids = np.array([[0, 6, 3], [2, 2, 1]])
    y, _ = layer(ids.astype(kind))
    assert np.array_equal(y, layer.parameters["weight"][ids])
    assert np.array_equal(layer(ids[:, ::-1].astype(kind)[:, ::-1])[0], y)
