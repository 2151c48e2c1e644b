"""Stale saved state: a gradient belongs to the network that forward ran, whatever is written after it."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS, build

import bptt
from bptt.layers.recurrent import Recurrent

T, B, I, H = 5, 3, 4, 6
RNG = np.random.default_rng(0)
X = RNG.standard_normal((T, B, I))

Write = Callable[[bptt.Module], None]


def step_of_an_optimizer(model: bptt.Module) -> None:
    gradients = model.flat_gradients.copy()
    model.flat_gradients[:] = 1.0
    bptt.SGD(lr=0.5).step(model)
    model.flat_gradients[:] = gradients


def load(model: bptt.Module) -> None:
    model.load_state_dict({name: value + 0.5 for name, value in model.state_dict().items()})


def write_one_element(model: bptt.Module) -> None:
    name = next(name for name in reversed(list(model.parameters)) if "weight" in name)
    model.parameters[name].flat[-1] += 0.5


def assign(model: bptt.Module) -> None:
    model.flat_parameters = model.flat_parameters + 0.5


def write_in_place(model: bptt.Module) -> None:
    model.flat_parameters[:] = 0.25


WRITES: dict[str, Write] = {
    write.__name__: write for write in (step_of_an_optimizer, load, write_one_element, assign, write_in_place)
}

MODELS: dict[str, tuple[Callable[[], bptt.Module], dict[str, Any]]] = {
    **{cell: (lambda cell=cell: build(cell, I, H, dtype="float64"), {}) for cell in CELLS},
    **{
        f"{cell} recomputed": (lambda cell=cell: build(cell, I, H, dtype="float64"), {"checkpoint": 2})
        for cell in ("lstm", "gru")
    },
    **{
        f"{cell} reference": (lambda cell=cell: build(cell, I, H, "reference"), {})
        for cell in ("rnn_tanh", "lstm_peephole", "gru", "mgu")
    },
    "reference recomputed": (lambda: build("lstm", I, H, "reference"), {"checkpoint": 2}),
    "reference ragged": (lambda: build("gru", I, H, "reference"), {"lengths": [2, 5, 3]}),
    "ragged": (lambda: build("lstm", I, H, num_layers=2), {"lengths": [2, 5, 3]}),
    "ragged recomputed": (lambda: build("gru", I, H), {"lengths": [2, 5, 3], "checkpoint": 2}),
    "every option": (
        lambda: build("lstm_peephole", I, H, num_layers=2, bidirectional=True, layer_norm=True, proj_size=3),
        {},
    ),
    "linear": (lambda: bptt.Linear(I, H, seed=0), {}),
    "model": (
        lambda: bptt.Sequential(
            bptt.Linear(I, 5, seed=0),
            bptt.LSTM(5, H, seed=1),
            bptt.Dropout(0.3, seed=2),
            bptt.Linear(H, 2, seed=3),
        ),
        {},
    ),
    "model recomputed": (
        lambda: bptt.Sequential(bptt.GRU(I, H, seed=1), bptt.Last(), bptt.Linear(H, 2, seed=3)),
        {"checkpoint": 2},
    ),
}


def gradients(model: bptt.Module, options: dict[str, Any], write: Write | None) -> dict[str, Any]:
    y, _, tape = model.forward(X, **options)
    if write is not None:
        write(model)
    model.zero_grad()
    dx, dstate = model.backward(tape, np.cos(np.arange(y.size).reshape(y.shape)))
    return {"flat": model.flat_gradients.copy(), "dx": dx, "dstate": dstate}


def test_gradients_belong_to_the_weights_of_forward(subtests):
    for name in MODELS:
        with subtests.test(name):
            make, options = MODELS[name]
            expected = gradients(make(), options, None)
            assert np.any(expected["flat"])
            for write in WRITES.values():
                found = gradients(make(), options, write)
                np.testing.assert_equal(found, expected, err_msg=write.__name__)


@pytest.mark.parametrize("write", WRITES)
def test_views_of_a_tape_that_recomputes_show_the_forward_pass(write):
    layer = build("lstm", I, H)
    *_, tape = layer.forward(X, checkpoint=2)
    before = [view.copy() for view in (*tape.h, *tape.c, *tape.gates)]
    WRITES[write](layer)
    np.testing.assert_equal([*tape.h, *tape.c, *tape.gates], before)


def test_several_tapes_each_keep_their_own_weights():
    layer = build("gru", I, H)
    before = layer.flat_parameters.copy()
    tapes = []
    for k in range(3):
        layer.flat_parameters[:] = before * (1 - 0.2 * k)
        tapes.append(layer.forward(X)[2])
    for k, tape in reversed(list(enumerate(tapes))):
        layer.zero_grad()
        layer.backward(tape, np.ones((T, B, H)))
        found = layer.flat_gradients.copy()
        layer.flat_parameters[:] = before * (1 - 0.2 * k)
        layer.zero_grad()
        layer.backward(layer.forward(X)[2], np.ones((T, B, H)))
        np.testing.assert_array_equal(found, layer.flat_gradients)


LAYOUTS: dict[str, tuple[tuple[int, ...], bool]] = {
    "time first": ((T, B), False),
    "batch first": ((B, T), True),
    "one row, time first": ((T, 1), False),
    "one row, batch first": ((1, T), True),
    "one step": ((1, B), False),
    "unbatched": ((T,), False),
}
"""The shape of x without its last axis, and `batch_first`."""

STOCHASTIC = {"recurrent_dropout": 0.3, "zoneout": 0.2}
LAYERS: dict[str, Callable[..., bptt.Module]] = {
    **{cell: partial(build, cell, I, H, **STOCHASTIC) for cell in CELLS},
    **{
        f"{cell} reference": partial(build, cell, I, H, "reference", **STOCHASTIC) for cell in ("lstm", "gru")
    },
    "float64 stack": partial(build, "lstm", I, H, num_layers=2, layer_norm=True, dtype="float64"),
    "Linear": lambda batch_first, **options: bptt.Linear(I, H, seed=0, **options),
    "Embedding": lambda batch_first, **options: bptt.Embedding(9, H, seed=0, **options),
    "Dropout": lambda batch_first, **options: bptt.Dropout(0.3, seed=0, **options),
    "Last": bptt.Last,
    "Ends": bptt.Ends,
    "Sequential": lambda **options: bptt.Sequential(
        bptt.LSTM(I, H, seed=0, **options), bptt.GRU(H, H, seed=1, **options), bptt.Last(**options)
    ),
}


def arrays_for(
    layer: bptt.Module, leading: tuple[int, ...], batch_first: bool, ragged: bool
) -> dict[str, Any]:
    """Every argument of the layer's `forward` that may hold arrays, each as the layer would store it."""
    rng = np.random.default_rng(3)
    rows = {1: (), 2: leading[:1] if batch_first else leading[1:]}[len(leading)]
    steps = leading[-1] if batch_first else leading[0]

    def recurrent_state(part: bptt.Module) -> Any:
        if not isinstance(part, Recurrent):
            return None
        runs = part.num_layers * part.num_directions
        h, c = (rng.standard_normal((runs, *rows, H)).astype(part.dtype) for _ in range(2))
        return (h, c) if part.has_cell_state else h

    x: Any = rng.standard_normal((*leading, I)).astype(layer.dtype)
    if isinstance(layer, bptt.Embedding):
        x = rng.integers(2, 9, leading)
    values = {
        "x": x,
        "state": tuple(map(recurrent_state, layer))
        if isinstance(layer, bptt.Sequential)
        else recurrent_state(layer),
        "lengths": rng.integers(min(2, steps), steps + 1, rows) if rows and ragged else None,
        "reset": rng.random(leading) < 0.3,
        "skip": rng.random(leading) < 0.3 if ragged else None,
    }
    names = list(inspect.signature(layer.forward).parameters)
    if "masks" in names:
        masks = copy.deepcopy(layer).forward(x)[2].masks  # type: ignore[attr-defined]
        values["masks"] = {name: np.array(mask) for name, mask in masks.items()}
    return {name: values[name] for name in names if name not in ("checkpoint", "out")}


def leaves(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif value is not None:
        for part in value.values() if isinstance(value, dict) else value:
            yield from leaves(part)


def pass_options(name: str, layout: str) -> Iterator[tuple[bool, dict[str, int]]]:
    """Ragged or not, and the options of `forward` that hold no array."""
    names = inspect.signature(LAYERS[name](batch_first=False).forward).parameters
    for ragged in (False, True) if "lengths" in names and layout != "unbatched" else (False,):
        yield ragged, {}
        if "checkpoint" in names:
            yield ragged, {"checkpoint": 2}


def test_every_array_argument_may_be_overwritten_after_forward(subtests):
    for name in LAYERS:
        with subtests.test(name):
            for layout, (leading, batch_first) in LAYOUTS.items():
                for ragged, options in pass_options(name, layout):
                    results = []
                    for overwrite in (False, True):
                        layer = LAYERS[name](batch_first=batch_first)
                        arrays = arrays_for(layer, leading, batch_first, ragged)
                        y, _, tape = layer.forward(**arrays, **options)
                        dy = np.cos(np.arange(y.size, dtype=y.dtype).reshape(y.shape))
                        if overwrite:
                            for array in leaves(arrays):
                                array[...] = 1
                        dx, dstate = layer.backward(tape, dy)
                        results.append({"flat": layer.flat_gradients, "dx": dx, "dstate": dstate})
                    np.testing.assert_equal(*results, err_msg=f"{layout}, ragged={ragged}, {options}")


def test_ids_and_dropout_probability_may_change_after_forward():
    ids = np.array([[0, 2], [1, 2]])
    embedding, dropout = bptt.Embedding(3, 4, seed=0), bptt.Dropout(0.5, seed=0)
    *_, ids_tape = embedding.forward(ids)
    y, _, dropout_tape = dropout.forward(np.ones((4, 8), np.float32))
    ids[...] = 0
    dropout.p = 0.9
    embedding.backward(ids_tape, np.ones((2, 2, 4)))
    np.testing.assert_array_equal(embedding.gradients["weight"][:, 0], [1, 1, 2])
    dx, _ = dropout.backward(dropout_tape, np.ones((4, 8)))
    np.testing.assert_array_equal(dx, y)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_frozen_copies_and_streams_keep_the_weights_of_their_moment(cell):
    for write in WRITES:
        layer = build(cell, I, H)
        expected, _ = layer(X)
        frozen, stream, twin = layer.freeze(), layer.stream(B), copy.deepcopy(layer)
        WRITES[write](layer)
        for found in (frozen(X)[0], stream.run(X), twin(X)[0]):
            np.testing.assert_array_equal(found, expected)


def test_truncated_training_reads_the_new_weights_in_every_window():
    """Two windows of one batch: the second one's gradient is that of the weights after the first update."""
    x, target = X.astype(np.float32), RNG.standard_normal((T, B, 1)).astype(np.float32)

    def make() -> bptt.Sequential:
        return bptt.Sequential(bptt.LSTM(I, H, seed=0), bptt.Linear(H, 1, seed=1))

    trained, by_hand = make(), make()
    bptt.Trainer(trained, bptt.MeanSquaredError(), bptt.SGD(lr=0.1), truncate=3).fit([(x, target)], epochs=1)
    optimizer, loss, carried = bptt.SGD(lr=0.1), bptt.MeanSquaredError(), None
    for window in (slice(0, 3), slice(3, 5)):
        by_hand.zero_grad()
        y, carried, tape = by_hand.forward(x[window], carried)
        by_hand.backward(tape, loss(y, target[window])[1])
        optimizer.step(by_hand)
    np.testing.assert_allclose(trained.flat_parameters, by_hand.flat_parameters, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("cell", ["lstm", "gru"])
def test_a_borrowing_tape_keeps_its_arrays_alive_without_a_copy(cell):
    """The caller promises to change neither x nor the parameters, so a later change shows in the gradient."""
    core = bptt._core.Recurrent(cell, "float64", 3, 4, 1, False, True)
    rng = np.random.default_rng(0)
    x, dh = rng.standard_normal((5, 2, 3)), rng.standard_normal((1, 2, 4))
    parameters = rng.uniform(-0.5, 0.5, core.parameter_count)
    results = []
    for borrow in (False, True):
        vector, inputs = parameters.copy(), x.copy()
        tape = core.forward(vector, inputs, None, None, 0.0, 0, borrow=borrow)[3]
        gradients = [np.zeros_like(vector) for _ in range(2)]
        core.backward(gradients[0], tape, None, dh, None)
        inputs *= 2
        del inputs, vector
        dx = core.backward(gradients[1], tape, None, dh, None)[0]
        results.append((*gradients, dx))
    (kept, again, dx), (borrowed, changed, borrowed_dx) = results
    np.testing.assert_array_equal(kept, again)
    np.testing.assert_array_equal(kept, borrowed)
    np.testing.assert_array_equal(dx, borrowed_dx)  # dx does not depend on x, if the weights are the same
    weight_ih = slice(0, core.parameters[0][1][0] * 3)
    np.testing.assert_array_equal(changed[weight_ih], 2 * kept[weight_ih])
