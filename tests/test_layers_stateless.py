"""Layers without state against their definitions, their gradients against differences."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product

import numpy as np
import pytest
from tests.cells import DTYPES, ISAS

import bptt
from bptt.reference.stack import dropout_mask

T, B = 4, 3


def normal(*shape: int, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(shape)


def ids(*shape: int, n: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, n, shape)


ACTIVATIONS = (bptt.Tanh, bptt.ReLU, bptt.Sigmoid, bptt.GELU, bptt.SiLU, bptt.Softmax)

LAYERS: dict[str, tuple[Callable[..., bptt.Module], Callable[..., np.ndarray]]] = {
    "Linear": (lambda **o: bptt.Linear(5, 7, seed=0, **o), lambda *axes: normal(*axes, 5)),
    "Linear, no bias": (
        lambda **o: bptt.Linear(5, 7, bias=False, seed=0, **o),
        lambda *axes: normal(*axes, 5),
    ),
    "Embedding": (lambda **o: bptt.Embedding(6, 5, seed=0, **o), lambda *axes: ids(*axes, n=6)),
    "Dropout": (lambda **o: bptt.Dropout(0.4, seed=0, **o), lambda *axes: normal(*axes, 5)),
    "Last": (lambda **o: bptt.Last(**o), lambda *axes: normal(*axes, 5)),
    "Last, batch first": (lambda **o: bptt.Last(batch_first=True, **o), lambda *axes: normal(*axes, 5)),
    **{
        kind.__name__: (lambda kind=kind, **o: kind(**o), lambda *axes: normal(*axes, 5))
        for kind in (*ACTIVATIONS, bptt.MeanPool, bptt.MaxPool)
    },
    "MeanPool, batch first": (
        lambda **o: bptt.MeanPool(batch_first=True, **o),
        lambda *axes: normal(*axes, 5),
    ),
    "MaxPool, batch first": (lambda **o: bptt.MaxPool(batch_first=True, **o), lambda *axes: normal(*axes, 5)),
    "LayerNorm": (lambda **o: bptt.LayerNorm(5, **o), lambda *axes: normal(*axes, 5)),
    "LayerNorm, no bias": (
        lambda **o: bptt.LayerNorm(5, bias=False, eps=0.1, **o),
        lambda *axes: normal(*axes, 5),
    ),
    "LayerNorm, plain": (
        lambda **o: bptt.LayerNorm(5, elementwise_affine=False, **o),
        lambda *axes: normal(*axes, 5),
    ),
    "Repeat": (lambda **o: bptt.Repeat(3, **o), lambda *axes: normal(axes[-1], 5)),
    "Repeat, batch first": (
        lambda **o: bptt.Repeat(3, batch_first=True, **o),
        lambda *axes: normal(axes[-1], 5),
    ),
}


def changed(layer):
    """The layer, with parameters that are neither zeros nor ones."""
    layer.flat_parameters += 0.1 * normal(layer.parameter_count, seed=9).astype(layer.dtype)
    return layer


def test_gradients_agree_with_differences(subtests):
    for name, (build, x) in LAYERS.items():
        with subtests.test(name):
            bptt.gradcheck(changed(build(dtype="float64")), x(T, B), entries=None)


@pytest.mark.parametrize("dtype", DTYPES)
def test_one_protocol(dtype, subtests):
    for name, (build, make) in LAYERS.items():
        with subtests.test(name):
            check_protocol(changed(build(dtype=dtype)), make(T, B), dtype)


def check_protocol(layer, x, dtype):
    y, state = layer(x)
    y_train, state_train, tape = layer.forward(x)
    assert state is state_train is None
    assert y.dtype == y_train.dtype == dtype
    assert y.shape == y_train.shape
    assert not y_train.flags.writeable
    assert tape.owner is layer
    if not isinstance(layer, bptt.Dropout):
        assert np.array_equal(y, y_train)
    dy = normal(*y.shape)
    dx, dstate = layer.backward(tape, dy)
    assert dstate is None
    once = layer.flat_gradients.copy()
    assert (dx is None) == isinstance(layer, bptt.Embedding)
    assert dx is None or (dx.shape, dx.dtype) == (x.shape, np.dtype(dtype))
    none, _ = layer.backward(tape, dy, need_dx=False)
    assert none is None
    # g + g is exact; what is added in parts may round at every part.
    bound = T * B * np.finfo(dtype).eps * max(abs(once), default=0)
    assert np.allclose(layer.flat_gradients, 2 * once, rtol=0, atol=bound)
    layer.zero_grad()
    silent, _ = layer.backward(tape)
    assert not layer.flat_gradients.any()
    assert silent is None or not silent.any()


# Without steps, Last and pools return zeros: tests/test_kind_empty_axes.py.
OVER_TIME = ("Last", "Pool", "Repeat")
NO_ROWS = [
    (name, axes)
    for name in LAYERS
    if not any(part in name for part in OVER_TIME)
    for axes in ((0, 3), (3, 0), (0, 0))
]
NO_ROWS += [
    (name, (0, 3) if "batch first" in name and "Repeat" not in name else (3, 0))
    for name in LAYERS
    if any(part in name for part in OVER_TIME)
]


def test_no_rows(subtests):
    for name, axes in NO_ROWS:
        with subtests.test(name=name):
            build, make = LAYERS[name]
            layer, x = build(), make(*axes)
            y, _, tape = layer.forward(x)
            assert y.size == 0
            layer.backward(tape, y)
            assert not layer.flat_gradients.any()


WIDE = (1100, 257, 512)
"""Rows, inputs, outputs: the weight gradients are taken from a copy of dy, in two blocks of rows."""
WIDER = (1100, 33, 1400)
"""A block of dy is more than the weight gradients take at once: they go by parts of the outputs, too."""

PRODUCTS = [
    *product([1, 2, 7, 33], [1, 17, 130], [1, 2, 16, 33]),
    WIDE,
    WIDER,
]


@pytest.mark.parametrize("isa", ISAS)
@pytest.mark.parametrize("dtype", DTYPES)
def test_linear_is_a_matrix_product(dtype, isa):
    bptt.use_isa(isa)
    eps = np.finfo(dtype).eps
    for rows, I, O in PRODUCTS:
        layer = bptt.Linear(I, O, dtype=dtype, seed=0)
        weight, bias = (layer.parameters[name].astype(np.float64) for name in ("weight", "bias"))
        x, dy = normal(rows, I).astype(dtype), normal(rows, O).astype(dtype)
        y, _, tape = layer.forward(x)
        dx, _ = layer.backward(tape, dy)
        x, dy = x.astype(np.float64), dy.astype(np.float64)
        for what, got, left, right, offset in (
            ("y", y, x, weight.T, bias),
            ("dx", dx, dy, weight, 0.0),
            ("dW", layer.gradients["weight"], dy.T, x, 0.0),
            ("db", layer.gradients["bias"][None], np.ones((1, rows)), dy, 0.0),
        ):
            # n products and additions, each off by at most half an eps of the terms' absolute sum.
            n = left.shape[1] + 1
            bound = n * eps * (abs(left) @ abs(right) + abs(offset))
            assert (abs(got - (left @ right + offset)) <= bound).all(), f"{what} of {rows} x {I} -> {O}"


@pytest.mark.parametrize("threads", [2, 3])
@pytest.mark.parametrize(("rows", "I", "O"), [WIDE, WIDER])
def test_wide_linear_gradients_are_the_same_on_any_number_of_threads(rows, I, O, threads):
    layer, x, dy = bptt.Linear(I, O, seed=0), normal(rows, I), normal(rows, O)
    _, _, tape = layer.forward(x.astype(np.float32))
    found = []
    for n in (1, threads):
        bptt.set_num_threads(n)
        layer.zero_grad()
        dx, _ = layer.backward(tape, dy.astype(np.float32))
        found.append([dx, layer.flat_gradients.copy()])
    assert all(np.array_equal(one, many) for one, many in zip(*found, strict=True))


@pytest.mark.parametrize("shape", [(5,), (2, 5), (2, 3, 5), (2, 3, 4, 5)], ids=str)
def test_linear_keeps_leading_axes(shape):
    layer = bptt.Linear(5, 7, seed=0)
    x = normal(*shape)
    y, _, tape = layer.forward(x)
    rows, _ = layer(x.reshape(-1, 5))
    assert np.array_equal(y, rows.reshape(*shape[:-1], 7))
    assert layer.backward(tape, y)[0].shape == shape


@pytest.mark.parametrize("shape", [(), (4,), (2, 4), (2, 3, 4)], ids=str)
def test_embedding_takes_integers_of_any_shape(shape):
    layer = bptt.Embedding(6, 5, seed=0)
    x = ids(*shape, n=6)
    y, _, tape = layer.forward(x)
    assert np.array_equal(y, layer.parameters["weight"][x])
    dy = np.round(4 * normal(*y.shape))
    layer.backward(tape, dy)
    expected = np.zeros((6, 5))
    np.add.at(expected, x, dy)
    assert np.array_equal(layer.gradients["weight"], expected)


@pytest.mark.parametrize("p", [0.0, 0.1, 0.9])
@pytest.mark.parametrize("dtype", DTYPES)
def test_dropout_masks_are_those_of_their_key(p, dtype):
    layer = bptt.Dropout(p, dtype=dtype, seed=np.random.default_rng(5))
    x = normal(100, 70).astype(dtype)
    key = int(np.random.default_rng(5).integers(0, 2**64, dtype=np.uint64))
    mask = dropout_mask(x.shape, p, key)
    y, _, tape = layer.forward(x)
    # The scale is rounded to the dtype, and so is the product.
    assert np.allclose(y, x * mask, rtol=2 * np.finfo(dtype).eps, atol=0)
    assert np.array_equal(layer.backward(tape, x)[0], y)
    deviation = np.sqrt(p * (1 - p) / mask.size)
    assert abs((mask == 0).mean() - p) <= 6 * deviation


def test_dropout_draws_anew_each_time_and_again_from_the_seed():
    x = np.ones((40, 40))
    draws = [bptt.Dropout(0.5, seed=seed) for seed in (1, 1, 2)]
    first, again, other = ([layer.forward(x)[0] for _ in range(2)] for layer in draws)
    assert all(map(np.array_equal, first, again))
    assert not np.array_equal(first[0], first[1])
    assert not np.array_equal(first[0], other[0])


def test_dropout_leaves_inference_alone():
    x = normal(3, 4).astype(np.float32)
    layer = bptt.Dropout(0.5, seed=0)
    before = layer.rng.bit_generator.state
    assert np.array_equal(layer(x)[0], x)
    assert layer.rng.bit_generator.state == before


def test_last_takes_the_last_step():
    x = normal(T, B, 5).astype(np.float32)
    dy = normal(B, 5).astype(np.float32)
    for layer, given in ((bptt.Last(), x), (bptt.Last(batch_first=True), x.swapaxes(0, 1))):
        y, _, tape = layer.forward(given)
        assert np.array_equal(y, x[-1])
        dx = layer.backward(tape, dy)[0]
        time_first = dx.swapaxes(0, 1) if layer.batch_first else dx
        assert np.array_equal(time_first[-1], dy)
        assert not time_first[:-1].any()
        alone, _, tape = layer.forward(x[:, 0])
        assert np.array_equal(alone, x[-1, 0])
        assert layer.backward(tape, dy[0])[0].shape == (T, 5)


def test_pools_never_read_the_padding(subtests):
    for dtype, batch_first in product(DTYPES, (False, True)):
        x = normal(T, B, 5).astype(dtype)
        lengths = np.array([T, 0, 2])
        ragged = x.copy()
        for row, length in enumerate(lengths):
            ragged[length:, row] = np.nan
        wanted = {"MeanPool": np.zeros((B, 5), dtype), "MaxPool": np.zeros((B, 5), dtype)}
        for row, length in enumerate(lengths):
            if length:
                wanted["MeanPool"][row] = x[:length, row].mean(axis=0, dtype=np.float64)
                wanted["MaxPool"][row] = x[:length, row].max(axis=0)
        for name, y in wanted.items():
            with subtests.test(name, dtype=dtype, batch_first=batch_first):
                layer = getattr(bptt, name)(batch_first=batch_first, dtype=dtype)
                given = ragged.swapaxes(0, 1) if batch_first else ragged
                found, _, tape = layer.forward(given, lengths=lengths)
                assert np.array_equal(found, y)
                assert np.array_equal(found, layer(given, lengths=lengths)[0])
                dx, _ = layer.backward(tape, y)
                dx = dx.swapaxes(0, 1) if batch_first else dx
                assert not dx[np.isnan(ragged)].any()
                np.testing.assert_allclose(dx.sum(axis=0), y, rtol=4 * np.finfo(dtype).eps)


def test_the_error_of_a_maximum_goes_to_its_first_step():
    layer = bptt.MaxPool()
    x = np.array([[1, 5, 2], [3, 5, np.nan], [3, 4, 9]], np.float32)
    y, _, tape = layer.forward(x)
    assert np.array_equal(y, np.array([3, 5, np.nan], np.float32), equal_nan=True)
    dx, _ = layer.backward(tape, [1, 2, 3])
    assert dx.tolist() == [[0, 2, 0], [1, 0, 3], [0, 0, 0]]


def test_repeat_gives_the_vector_at_every_step():
    x = normal(B, 5).astype(np.float32)
    for layer, axis in ((bptt.Repeat(T), 0), (bptt.Repeat(T, batch_first=True), 1)):
        y, _, tape = layer.forward(x)
        assert np.array_equal(y, np.stack([x] * T, axis))
        assert np.array_equal(layer.backward(tape, y)[0], T * x)
        alone, _ = layer(x[0])
        assert np.array_equal(alone, np.stack([x[0]] * T))


def test_many_rows_have_the_same_bits_on_any_number_of_threads(subtests):
    rows, F = 700, 300  # more elements than one thread takes
    x, dy = (normal(rows, F, seed=seed).astype(np.float32) for seed in (0, 1))
    for kind in (*ACTIVATIONS, bptt.LayerNorm, bptt.MeanPool, bptt.MaxPool):
        with subtests.test(kind.__name__):
            layer = changed(kind(F) if kind is bptt.LayerNorm else kind())
            found = []
            for threads in (1, 2, 3):
                bptt.set_num_threads(threads)
                layer.zero_grad()
                y, _, tape = layer.forward(x.reshape(7, 100, F))
                dx, _ = layer.backward(
                    tape, dy.reshape(7, 100, F)[: len(y)].reshape(-1)[: y.size].reshape(y.shape)
                )
                found.append([y, dx, layer.flat_gradients.copy()])
            for again in found[1:]:
                assert all(map(np.array_equal, found[0], again))


def test_an_autoencoder_is_one_chain():
    model = bptt.Sequential(
        bptt.LSTM(3, 4, dtype="float64", seed=0),
        bptt.Last(),
        bptt.LayerNorm(4, dtype="float64"),
        bptt.Repeat(T),
        bptt.LSTM(4, 4, dtype="float64", seed=1),
        bptt.Tanh(),
        bptt.Linear(4, 3, dtype="float64", seed=2),
    )
    assert model(normal(T, B, 3))[0].shape == (T, B, 3)
    bptt.gradcheck(model, normal(T, B, 3), entries=None)


@pytest.mark.parametrize("batch_first", [False, True])
def test_options_of_x_do_not_reach_other_steps_silently(batch_first, subtests):
    """After `Repeat` with another number of steps, lengths of x would cut off steps of the decoder."""

    def model(steps, *after):
        encoder = bptt.Sequential(bptt.GRU(3, 4, batch_first=batch_first), bptt.Last(batch_first=batch_first))
        return bptt.Sequential(encoder, bptt.Repeat(steps, batch_first=batch_first), *after)

    x, lengths = normal(*((B, T) if batch_first else (T, B)), 3), [T, 0, *[1] * (B - 2)]
    skip = np.zeros(x.shape[:2], bool)
    for options in ({"lengths": lengths}, {"skip": skip}, {"reset": skip}):
        (name,) = options
        decoder = model(T + 2, bptt.Sequential(bptt.GRU(4, 4, batch_first=batch_first)))
        for call in (decoder, decoder.forward, decoder.freeze()):
            message = rf"{name} must be None .* the GRU after Repeat; got {T} steps in x and {T + 2} of"
            with subtests.test(name), pytest.raises(ValueError, match=message):
                call(x, **options)
        assert model(T, bptt.GRU(4, 4, batch_first=batch_first))(x, **options)[0].shape[:2] == x.shape[:2]
        model(T + 2, bptt.Linear(4, 2))(x, **options)
    rows = bptt.Sequential(bptt.Repeat(T, batch_first=batch_first), bptt.GRU(3, 4, batch_first=batch_first))
    assert rows(normal(B, 3), lengths=lengths)[0].shape == (*x.shape[:2], 4)


@pytest.mark.parametrize("batch_first", [False, True])
def test_batches_add_up_if_repeat_makes_the_steps_of_the_output(batch_first, subtests):
    """Two batches of unequal size in one update have the gradient of one batch: every step counts once."""
    x, target, mask = normal(T, 6, 3), normal(T + 2, 6, 2), normal(T + 2, 6) < 0.3
    lengths = np.array([T, 1, 0, 2, 2, 1])

    def trained(options, parts, **settings):
        layout = {"batch_first": batch_first}
        model = bptt.Sequential(
            bptt.GRU(3, 4, dtype="float64", **layout),
            bptt.MeanPool(**layout),
            bptt.Repeat(T + 2, **layout),
            bptt.Linear(4, 2, dtype="float64"),
            seed=0,
        )
        data = []
        for part in parts:
            batch = {"x": x[:, part], "target": target[:, part]}
            batch |= {"mask": mask[:, part]} if "mask" in options else {}
            batch = {key: array.swapaxes(0, 1) if batch_first else array for key, array in batch.items()}
            data.append(batch | ({"lengths": lengths[part]} if "lengths" in options else {}))
        bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(1.0), progress=False, **settings).fit(data)
        return model.flat_parameters

    for options in ((), ("mask",), ("lengths",), ("mask", "lengths")):
        with subtests.test(options=options):
            one = trained(options, [slice(6)])
            two = trained(options, [slice(4), slice(4, 6)], accumulate=2)
            np.testing.assert_allclose(two, one, rtol=0, atol=1e-14)
