"""Arrays of other libraries are read in place where their layout allows it, and take our results in place."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import bptt
from bptt.arrays import as_floats, read_only

FLOAT = np.dtype(np.float32)
RNG = np.random.default_rng(0)


class Dlpack:
    """An array of a library that speaks only DLPack."""

    def __init__(self, array: npt.NDArray[Any]) -> None:
        self.array = array

    def __dlpack__(self, **options: Any) -> object:
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self) -> tuple[int, int]:
        return self.array.__dlpack_device__()


def read(value: object) -> npt.NDArray[Any]:
    return as_floats(value, "x", FLOAT)


def test_values_that_are_read_in_place(subtests: pytest.Subtests) -> None:
    array = RNG.random((4, 3, 2)).astype(FLOAT)
    constant = array.copy()
    constant.flags.writeable = False
    for label, value, memory in [
        ("array", array, array),
        ("read-only", constant, constant),
        ("part", array[1:3], array),
        ("DLPack", Dlpack(array), array),
        ("Fortran order", np.asfortranarray(array).T, None),
    ]:
        with subtests.test(label):
            ours = read(value)
            base = value if memory is None else memory
            assert np.shares_memory(ours, base)
            assert ours.flags.c_contiguous
    shifted = np.frombuffer(b"x" + array.tobytes(), np.uint8)[1:].view(FLOAT).reshape(array.shape)
    assert not shifted.flags.aligned
    for label, value in [
        ("other dtype", array.astype(np.float64)),
        ("steps", array[::2]),
        ("Fortran order", np.asfortranarray(array)),
        ("not aligned", shifted),
        ("other byte order", array.astype(">f4")),
        ("half precision", array.astype(np.float16)),
        ("integers", (array * 9).astype(np.int16)),
    ]:
        with subtests.test(label):
            ours = read(value)
            assert not np.shares_memory(ours, value)
            assert ours.flags.c_contiguous
            assert ours.flags.aligned
            assert ours.dtype == FLOAT
            np.testing.assert_array_equal(ours, value.astype(FLOAT))


def test_tensors_of_pytorch(subtests: pytest.Subtests) -> None:
    torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
    x = torch.rand(5, 4, 3)
    for label, value in [
        ("tensor", x),
        ("detached", x.clone().requires_grad_().detach()),
        ("DLPack", Dlpack(x)),
    ]:
        with subtests.test(label):
            assert read(value).ctypes.data == getattr(value, "array", value).data_ptr()
    assert read(x[1:]).ctypes.data == x[1:].data_ptr()
    for label, value in [("strided", x.transpose(0, 1)), ("double", x.double()), ("half", x.half())]:
        with subtests.test(label):
            ours = read(value)
            assert ours.ctypes.data != value.data_ptr()
            np.testing.assert_array_equal(ours, value.float().numpy())
    layer = bptt.GRU(3, 4, seed=0)
    refused = [
        (x.clone().requires_grad_(), r"Fix: pass \.detach\(\)"),
        (x.bfloat16(), r"Fix: convert it with \.float\(\)"),
        (x.to("meta"), r"Fix: copy it to main memory first, with \.cpu\(\)"),
        (x.to_sparse(), r"Fix: pass \.to_dense\(\)"),
        (x.cfloat(), "real and the imaginary part"),
    ]
    for value, words in refused:
        with subtests.test(words), pytest.raises(TypeError, match=f"x must be .*{words}"):
            layer(value)


def test_arrays_of_jax() -> None:
    jax = pytest.importorskip("jax", reason="needs JAX: pip install jax")
    x = jax.numpy.asarray(RNG.random((5, 4, 3)).astype(FLOAT))
    assert read(x).ctypes.data == x.unsafe_buffer_pointer()
    half = x.astype(jax.numpy.bfloat16)
    np.testing.assert_array_equal(read(half), np.asarray(half).astype(FLOAT))
    layer = bptt.LSTM(3, 5, 2, seed=0)
    y, state = layer(x)
    dx, dstate = layer.backward(layer.forward(x)[2], np.ones_like(y))
    ragged = layer(x, lengths=[5, 1, 2, 3])[0]
    for ours in (y, *state, dx, *dstate, ragged, layer.flat_parameters):
        assert ours.ctypes.data % 64 == 0  # otherwise JAX copies
        theirs = jax.dlpack.from_dlpack(ours)
        assert theirs.unsafe_buffer_pointer() == ours.ctypes.data
        np.testing.assert_array_equal(theirs, ours)


def test_tables_of_pandas() -> None:
    pandas = pytest.importorskip("pandas", reason="needs pandas: pip install 'bptt[pandas]'")
    values = RNG.random((5, 3))
    table = pandas.DataFrame(values)
    np.testing.assert_array_equal(read(table), values.astype(FLOAT))
    series = pandas.Series(values[:, 0].astype(FLOAT))
    assert np.shares_memory(read(series), series.to_numpy())


def test_every_argument_takes_dlpack() -> None:
    x, state = RNG.random((6, 4, 3)), RNG.random((1, 4, 5))
    lengths, reset = np.array([6, 0, 3, 2]), RNG.random((6, 4)) < 0.3
    targets = RNG.integers(0, 5, (6, 4))
    layer, loss, embedding = bptt.GRU(3, 5, seed=0), bptt.CrossEntropy(), bptt.Embedding(5, 2, seed=0)

    def run(of: Any) -> list[Any]:
        y, new, tape = layer.forward(of(x), of(state), lengths=of(lengths), reset=of(reset))
        value, dy = loss(of(y.copy()), of(targets), of(~reset))
        dx, dstate = layer.backward(tape, of(dy), of(new))
        skipped = layer(of(x), skip=of(reset))[0]
        step = layer.stream(4).step(of(x[0]))
        return [y, new, value, dy, dx, dstate, skipped, step, embedding(of(targets))[0]]

    def wrapped(array: npt.NDArray[Any]) -> Any:
        known = array.dtype.kind != "b" or np.lib.NumpyVersion(np.__version__) >= "1.25.0"
        return Dlpack(array) if known else array  # DLPack of NumPy 1.24 has no booleans

    for ours, theirs in zip(run(wrapped), run(np.asarray), strict=True):
        np.testing.assert_array_equal(ours, theirs)


def test_a_tape_keeps_what_another_library_may_write(subtests: pytest.Subtests) -> None:
    gru = bptt.GRU(3, 2, seed=0)
    layers = [(bptt.Linear(3, 2, seed=0), {}), (gru, {}), (gru, {"checkpoint": 2})]
    for layer, options in [*layers, (bptt.Sequential(bptt.Linear(3, 2, seed=1)), {})]:
        array = RNG.random((5, 4, 3)).astype(FLOAT)
        constant = array.view()
        constant.flags.writeable = False
        readers: dict[str, Any] = {"array": array, "read-only": constant, "DLPack": Dlpack(array)}
        if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
            readers["read-only DLPack"] = Dlpack(constant)
        readers["read-only buffer"] = np.frombuffer(memoryview(array).toreadonly(), FLOAT).reshape(
            array.shape
        )
        kept = array.copy()
        for label, x in readers.items():
            gradients = []
            for later in (0, 1):
                layer.zero_grad()
                y, _, tape = layer.forward(x, **options)
                array += later  # the memory that x reads
                layer.backward(tape, np.ones_like(y))
                gradients.append(layer.flat_gradients.copy())
                array[...] = kept
            with subtests.test(label, layer=layer.kind, **options):
                np.testing.assert_array_equal(*gradients)


def test_a_copy_for_a_tape_formats_no_array() -> None:
    class Slow(np.ndarray):
        def __repr__(self) -> str:
            raise AssertionError("the text of an array takes longer than its copy")

    kept = read_only(np.ones(3).view(Slow))
    assert not kept.flags.writeable


def test_results_in_place_of_pytorch() -> None:
    torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
    layer = bptt.LSTM(3, 5, 2, seed=0)
    x = RNG.random((6, 4, 3)).astype(FLOAT)
    y, state = layer(x)
    kept, _, tape = layer.forward(x)
    dx, dstate = layer.backward(tape, np.ones_like(y))
    for ours in (y, *state, dx, *dstate, layer.flat_parameters, layer.gradients["weight_hh_l1"]):
        for convert in (torch.from_dlpack, torch.from_numpy, torch.as_tensor):
            assert convert(ours).data_ptr() == ours.ctypes.data
    torch.from_dlpack(layer.flat_parameters).zero_()
    assert not layer.flat_parameters.any()
    tensor = torch.from_dlpack(layer(x)[0])  # it keeps the memory alive
    for _ in range(3):
        layer(x + 1)
    assert not tensor.any()
    assert not kept.flags.writeable
    if np.lib.NumpyVersion(np.__version__) >= "2.1.0":
        assert torch.from_dlpack(kept).data_ptr() == kept.ctypes.data
    else:
        with pytest.raises(BufferError, match="readonly"):
            torch.from_dlpack(kept)
    out = np.empty_like(y)
    own, _, _ = layer.forward(x, out=out)
    assert own is out
    assert torch.from_dlpack(own).data_ptr() == out.ctypes.data
