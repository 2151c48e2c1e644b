"""Rows of unequal length: what each row gets is what it would get alone."""

import numpy as np
import pytest
from tests.cells import CELLS, DTYPES, ISAS, build, state
from tests.grids import pairwise, together

import bptt
from bptt import _core
from bptt.callbacks.callback import Callback
from bptt.layers.passes.ragged import PackedRows

T, B, I, H, L = 9, 6, 5, 17, 2
LENGTHS = {
    "mixed": [3, 9, 0, 7, 7, 1],
    "falling": [9, 8, 5, 5, 2, 0],
    "whole": [9] * 6,
    "none": [0] * 6,
    "short": [1, 2, 1, 0, 2, 2],  # nobody reaches the end
}


def numbers(*shape, dtype="float32", seed=3):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


def leaves(value):
    return value if isinstance(value, tuple) else (value,)


def dstate_like(last, seed=5):
    made = tuple(numbers(*part.shape, dtype=part.dtype, seed=seed + i) for i, part in enumerate(leaves(last)))
    return made if isinstance(last, tuple) else made[0]


def run(layer, x, start, lengths=None, dy=None, dstate=None, **options):
    """Everything that a training step gives."""
    layer.zero_grad()
    y, last, tape = layer.forward(x, start, lengths=lengths)
    dy = numbers(*y.shape, dtype=y.dtype, seed=7) if dy is None else dy
    dx, dstart = layer.backward(tape, dy, dstate_like(last) if dstate is None else dstate, **options)
    return {"y": y, "dx": dx} | {
        f"{name} {i}": part
        for name, value in (("state", last), ("dstate", dstart))
        for i, part in enumerate(leaves(value))
    }, tape


def row_of(values, row):
    return (
        tuple(part[:, row : row + 1] for part in values)
        if isinstance(values, tuple)
        else values[:, row : row + 1]
    )


@pairwise(("cell", CELLS.keys()), ("D", [1, 2]))
def test_a_row_has_the_bits_that_it_has_alone(cell, D):
    for dtype in DTYPES:
        for isa in ISAS:
            for name in LENGTHS:
                bptt.use_isa(isa)
                layer = build(cell, I, H, num_layers=L, bidirectional=D == 2, dtype=dtype)
                lengths = np.array(LENGTHS[name])
                x, start = numbers(T, B, I, dtype=dtype), state(cell, (L * D, B, H))
                dy = numbers(T, B, D * H, dtype=dtype, seed=7)
                y, last = layer(x, start, lengths=lengths)
                dstate = dstate_like(last)
                together, _ = run(layer, x, start, lengths, dy, dstate)
                np.testing.assert_array_equal(together["y"], y)
                for row, n in enumerate(lengths):
                    alone, _ = run(
                        layer,
                        x[:n, row : row + 1],
                        row_of(start, row),
                        None,
                        dy[:n, row : row + 1],
                        row_of(dstate, row),
                    )
                    for what, value in together.items():
                        own = value[:, row : row + 1]
                        if what in ("y", "dx"):
                            np.testing.assert_array_equal(own[:n], alone[what], err_msg=what)
                            assert not own[n:].any(), what
                        else:
                            np.testing.assert_array_equal(own, alone[what], err_msg=what)


@pairwise(("cell", CELLS.keys()), ("D", [1, 2]))
def test_agrees_with_the_reference(cell, D):
    for name in LENGTHS:
        layer = build(cell, I, H, num_layers=L, bidirectional=D == 2, dtype="float64", dropout=0.3)
        reference = bptt.reference.like(layer)
        lengths = LENGTHS[name]
        x, start = numbers(T, B, I, dtype="float64"), state(cell, (L * D, B, H))
        found, tape = run(layer, x, start, lengths)
        wanted, other = run(reference, x, start, lengths)
        views = ("h", "gates", *(["c"] if tape.c is not None else []))
        pairs = [(found[what], wanted[what], what) for what in found]
        pairs += [
            (a, b, view)
            for view in views
            for a, b in zip(getattr(tape, view), getattr(other, view), strict=True)
        ]
        pairs += [(tape.dh_norm, other.dh_norm, "dh_norm")]
        pairs += [(layer.gradients[key], reference.gradients[key], key) for key in layer.gradients]
        if tape.dc_norm is not None:
            pairs.append((tape.dc_norm, other.dc_norm, "dc_norm"))
        for a, b, what in pairs:
            np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12, err_msg=what)


@together(
    pairwise(
        ("cell", CELLS.keys()),
        ("D", [1, 2]),
        ("name", ["mixed", "short"]),
        ("module", {"native": bptt, "reference": bptt.reference}),
    )
)
def test_gradients_agree_with_differences(cell, D, name, module):
    layer = build(cell, I, 7, num_layers=L, bidirectional=D == 2, dtype="float64")
    if module is bptt.reference:
        layer = bptt.reference.like(layer)
    start = state(cell, (L * D, B, 7))
    bptt.gradcheck(layer, numbers(T, B, I, dtype="float64"), start, lengths=LENGTHS[name], entries=3)


@pairwise(("cell", CELLS.keys()), ("D", [1, 2]), ("H", [1, 16, 33]), ("isa", ISAS), ("dtype", DTYPES))
def test_crosscheck(cell, D, H, isa, dtype):
    bptt.use_isa(isa)
    layer = build(cell, I, H, num_layers=L, bidirectional=D == 2, dtype=dtype, dropout=0.4)
    start = state(cell, (L * D, B, H))
    bptt.crosscheck(layer, numbers(T, B, I, dtype=dtype), start, lengths=LENGTHS["mixed"])


def test_checks_of_models_and_of_layers_without_time():
    x = numbers(T, B, I)
    bptt.gradcheck(classifier(), x, lengths=LENGTHS["mixed"])
    bptt.crosscheck(per_step(), x, lengths=LENGTHS["mixed"])
    for check in (bptt.gradcheck, bptt.crosscheck):
        with pytest.raises(TypeError, match="lengths must be None for a Linear"):
            check(bptt.Linear(I, 2, seed=0), x, lengths=[1] * B)


@pytest.mark.parametrize("cell", CELLS)
def test_truncated_backward_counts_from_the_batchs_last_step(cell):
    for steps in [0, 1, 4, 9]:
        layer = build(cell, I, H, num_layers=L, dtype="float64")
        reference = bptt.reference.like(layer)
        x, start = numbers(T, B, I, dtype="float64"), state(cell, (L, B, H))
        found, _ = run(layer, x, start, LENGTHS["mixed"], steps=steps)
        wanted, _ = run(reference, x, start, LENGTHS["mixed"], steps=steps)
        for what, value in found.items():
            np.testing.assert_allclose(value, wanted[what], rtol=1e-10, atol=1e-12, err_msg=what)


@pytest.mark.parametrize("cell", CELLS)
def test_what_lies_past_a_rows_end_does_not_matter(cell):
    for D in [1, 2]:
        layer = build(cell, I, H, num_layers=L, bidirectional=D == 2)
        lengths = np.array(LENGTHS["mixed"])
        x, start, dy = numbers(T, B, I), state(cell, (L * D, B, H)), numbers(T, B, D * H, seed=7)
        expected, tape = run(layer, x, start, lengths, dy)
        gradients, norms = layer.flat_gradients.copy(), tape.dh_norm
        past = np.arange(T)[:, None] >= lengths
        for filler in (np.nan, np.inf, 1e30):
            x[past] = filler
            dy[past] = filler
            found, tape = run(layer, x, start, lengths, dy)
            for what, value in expected.items():
                np.testing.assert_array_equal(found[what], value, err_msg=what)
            np.testing.assert_array_equal(layer.flat_gradients, gradients)
            np.testing.assert_array_equal(tape.dh_norm, norms)


@together(pairwise(("cell", CELLS.keys()), ("shape", [(40, 50, 16, 48), (200, 3, 20, 160)]), ("D", [1, 2])))
def test_threads_change_no_bit(cell, shape, D):
    T, B, I, H = shape
    layer = build(cell, I, H, bidirectional=D == 2)
    lengths = np.random.default_rng(0).integers(0, T + 1, B)
    x, start = numbers(T, B, I), state(cell, (D, B, H))
    bptt.set_num_threads(1)
    expected, _ = run(layer, x, start, lengths)
    gradients = layer.flat_gradients.copy()
    for threads in (2, 3, 4, 7):
        bptt.set_num_threads(threads)
        found, _ = run(layer, x, start, lengths)
        for what, value in expected.items():
            np.testing.assert_array_equal(found[what], value, err_msg=what)
        np.testing.assert_array_equal(layer.flat_gradients, gradients)


def test_layouts_dtypes_and_frozen_layers():
    layer = bptt.LSTM(I, H, batch_first=True, seed=0)
    lengths = LENGTHS["mixed"]
    x = numbers(B, T, I)
    y, last = layer(x, lengths=lengths)
    again, _ = layer(x.astype(np.float64), lengths=np.array(lengths, np.uint8))
    frozen, _ = layer.freeze()(x, lengths=tuple(lengths))
    assert y.shape == (B, T, H)
    np.testing.assert_array_equal(again, y)
    np.testing.assert_array_equal(frozen, y)
    np.testing.assert_array_equal(last[0][0, 1], y[1, 8])


def test_whole_lengths_are_none():
    layer = bptt.GRU(I, H, seed=0)
    x = numbers(T, B, I)
    expected, _ = run(layer, x, None)
    gradients = layer.flat_gradients.copy()
    found, _ = run(layer, x, None, [T] * B)
    for what, value in expected.items():
        np.testing.assert_array_equal(found[what], value, err_msg=what)
    np.testing.assert_array_equal(layer.flat_gradients, gradients)


@pytest.mark.parametrize(
    ("lengths", "error", "message"),
    [
        ([1, 2], ValueError, r"lengths must have shape \(6,\)"),
        ([1, 2, 3, 4, 5, -1], ValueError, "got -1 for row 5"),
        ([1, 2, 3, 10, 5, 6], ValueError, "between 0 and T = 9.*got 10 for row 3"),
        ([1.5] * 6, TypeError, "lengths must be an array of integers"),
        ("text", TypeError, "lengths must be an array of integers"),
    ],
)
def test_bad_lengths(lengths, error, message):
    layer = bptt.LSTM(I, H, seed=0)
    for call in (layer, layer.forward, layer.freeze()):
        with pytest.raises(error, match=message):
            call(numbers(T, B, I), lengths=lengths)


def test_lengths_need_a_batch():
    with pytest.raises(ValueError, match="lengths needs a batch"):
        bptt.LSTM(I, H, seed=0)(numbers(T, I), lengths=[3])


@pytest.mark.parametrize("cell", ["lstm", "gru", "rnn_tanh"])
@pytest.mark.parametrize("D", [1, 2])
def test_agrees_with_packed_sequences_of_pytorch(cell, D):
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    layer = build(cell, I, H, num_layers=L, bidirectional=D == 2, dtype="float64")
    name = {"lstm": "LSTM", "gru": "GRU", "rnn_tanh": "RNN"}[cell]
    peer = getattr(torch.nn, name)(I, H, num_layers=L, bidirectional=D == 2, dtype=torch.float64)
    peer.load_state_dict({key: torch.tensor(value) for key, value in layer.state_dict().items()})
    lengths = [3, 9, 1, 7, 7, 2]  # PyTorch wants at least one step
    x, dy = numbers(T, B, I, dtype="float64"), numbers(T, B, D * H, dtype="float64", seed=7)
    there = torch.tensor(x, requires_grad=True)
    packed = torch.nn.utils.rnn.pack_padded_sequence(there, lengths, enforce_sorted=False)
    out, _ = peer(packed)
    y, _ = torch.nn.utils.rnn.pad_packed_sequence(out, total_length=T)
    y.backward(torch.tensor(dy))
    layer.zero_grad()
    ours, _, tape = layer.forward(x, lengths=lengths)
    dx, _ = layer.backward(tape, dy)
    np.testing.assert_allclose(ours, y.detach().numpy(), rtol=0, atol=1e-10)
    np.testing.assert_allclose(dx, there.grad.numpy(), rtol=0, atol=1e-10)
    for key, parameter in peer.named_parameters():
        np.testing.assert_allclose(layer.gradients[key], parameter.grad.numpy(), rtol=0, atol=1e-10)


# Models


def classifier(D=1, batch_first=False):
    return bptt.Sequential(
        bptt.GRU(I, H, bidirectional=D == 2, batch_first=batch_first, dtype="float64", seed=0),
        bptt.Last(batch_first=batch_first, dtype="float64"),
        bptt.Linear(D * H, 4, dtype="float64", seed=1),
    )


@pytest.mark.parametrize("batch_first", [False, True])
def test_last_takes_each_rows_last_valid_step(batch_first):
    model = classifier(batch_first=batch_first)
    lengths = np.array(LENGTHS["mixed"])
    x, dy = numbers(T, B, I, dtype="float64"), numbers(B, 4, dtype="float64", seed=9)

    def step(x, dy, lengths=None):
        model.zero_grad()
        y, _, tape = model.forward(x.swapaxes(0, 1) if batch_first else x, lengths=lengths)
        dx, _ = model.backward(tape, dy)
        return y, dx.swapaxes(0, 1) if batch_first else dx, model.flat_gradients.copy()

    y, dx, gradients = step(x, dy, lengths)
    total = np.zeros_like(gradients)
    for row, n in enumerate(lengths):
        if n == 0:  # the bias is all there is
            np.testing.assert_array_equal(y[row], model.parameters["2.bias"])
            total[-4:] += dy[row]
            continue
        own_y, own_dx, own = step(x[:n, row : row + 1], dy[row : row + 1])
        np.testing.assert_allclose(y[row], own_y[0], rtol=1e-13)
        np.testing.assert_allclose(dx[:n, row], own_dx[:, 0], rtol=1e-12, atol=1e-15)
        assert not dx[n:, row].any()
        total += own
    np.testing.assert_allclose(gradients, total, rtol=1e-11, atol=1e-13)


def per_step(seed=0):
    return bptt.Sequential(
        bptt.LSTM(I, H, dtype="float64", seed=seed), bptt.Linear(H, 3, dtype="float64", seed=seed + 1)
    )


class Counter(Callback):
    tokens = 0

    def update(self, trainer, update):
        self.tokens += update.tokens


@pytest.mark.parametrize("truncate", [None, 4])
def test_training_with_lengths_is_training_with_a_mask(truncate):
    """The mask takes the padded steps' losses away, but their errors could only come from there."""
    lengths = np.array(LENGTHS["mixed"])
    x = numbers(T, B, I, dtype="float64")
    target = np.random.default_rng(1).integers(0, 3, (T, B))
    valid = np.arange(T)[:, None] < lengths
    padded = {"x": x.copy(), "target": np.where(valid, target, -1), "lengths": lengths}
    padded["x"][~valid] = np.nan
    masked = {"x": x, "target": target, "mask": valid}
    results = []
    for batch in (padded, masked):
        model = per_step()
        counter = Counter()
        trainer = bptt.Trainer(
            model,
            bptt.CrossEntropy(),
            bptt.SGD(0.1),
            truncate=truncate,
            callbacks=[counter],
            progress=False,
        )
        history = trainer.fit([batch], epochs=3)
        assert counter.tokens == 3 * (lengths.sum() if batch is padded else T * B)
        results.append((model.flat_parameters.copy(), history["loss"], trainer.evaluate([batch])))
    for one, other in zip(*results, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-9)


def test_tuples_predictions_and_sequences_in_pieces():
    lengths = np.array(LENGTHS["mixed"])
    x = numbers(T, B, I, dtype="float64")
    model = classifier()
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(1e-2), progress=False)
    labels = np.arange(B) % 4
    history = trainer.fit([(x, labels, lengths)], epochs=30)
    assert history["loss"][-1] < 0.5 * history["loss"][0]
    (found,) = trainer.predict([(x, labels, lengths)])
    np.testing.assert_array_equal(found, model(x, lengths=lengths)[0])


def test_a_model_without_recurrent_layers_takes_no_lengths():
    model = bptt.Sequential(bptt.Linear(I, 3, seed=0))
    with pytest.raises(ValueError, match="lengths needs a recurrent layer"):
        model(numbers(T, B, I), lengths=[1] * B)


def rearranged(array, lengths, fill):
    """As cpp/core/addressing.hpp has it, row by row."""
    order = sorted(range(len(lengths)), key=lambda row: -lengths[row])
    room, rows = len(lengths), []
    for t in range(len(array)):
        active = sum(n > t for n in lengths)
        rows += [array[t, row] for row in order[:active]]
        rows += [np.full_like(array[t, 0], fill)] * (room - active)
        room = active
    return np.array(rows, array.dtype).reshape(-1, array.shape[2])


@together(
    pairwise(
        (
            "steps, width, dtype",
            [  # Within the caches, past them in whole lines (some 6 MB), and past them in parts of lines.
                (7, 5, "float32"),
                (7, 1, "uint8"),
                (300, 128, "float32"),
                (300, 64, "float64"),
                (300, 67, "float64"),
            ],
        ),
        ("layout", ["time first", "batch first", "every other element"]),
        ("threads", [1, 3]),
    )
)
def test_rows_go_where_they_run_and_back(steps, width, dtype, layout, threads):
    bptt.set_num_threads(threads)
    rng = np.random.default_rng(0)
    array = rng.integers(1, 100, (steps, 41, width)).astype(dtype)
    if layout == "batch first":
        array = np.ascontiguousarray(array.swapaxes(0, 1)).swapaxes(0, 1)
    elif layout == "every other element":
        array = np.repeat(array, 2, axis=2)[..., ::2]
    lengths = rng.integers(0, steps + 1, 41)
    ragged = PackedRows(lengths, steps)
    packed = ragged.gather(array)
    np.testing.assert_array_equal(packed, rearranged(array, lengths, 0))
    assert packed.dtype == array.dtype
    valid = np.arange(steps)[:, None] < lengths
    np.testing.assert_array_equal(ragged.scatter(packed), np.where(valid[..., None], array, 0))


def test_the_core_refuses_rows_that_do_not_fit():
    x, order, active = numbers(3, 2, 4), np.array([1, 0]), np.array([2, 1, 1])
    with pytest.raises(ValueError, match="order"):
        _core.gather_rows(x, np.array([1, 1]), active)
    with pytest.raises(ValueError, match="active"):
        _core.gather_rows(x, order, np.array([2, 1]))
    with pytest.raises(ValueError, match="active"):
        _core.gather_rows(x, order, np.array([1, 2, 1]))
    with pytest.raises(ValueError, match="packed"):
        _core.scatter_rows(x[0], order, active)
    with pytest.raises(TypeError, match="objects"):
        _core.gather_rows(x.astype(object), order, active)


@pytest.mark.parametrize("cell", CELLS)
def test_rows_change_hands_without_a_bit(cell):
    """Threads divide the rows that still run, not those of the batch."""
    for D in [1, 2]:
        layer = build(cell, 16, 32, bidirectional=D == 2)
        lengths = np.array([40, 40, 33, 32, 32, 30, 21, 20, 12, 11, 5, 5, 5, 2, 1, 0, 17, 18, 39, 7])
        x, start = numbers(40, 20, 16), state(cell, (D, 20, 32))
        bptt.set_num_threads(1)
        one, _ = run(layer, x, start, lengths)
        gradients = layer.flat_gradients.copy()
        for threads in (2, 3, 4, 7):
            bptt.set_num_threads(threads)
            several, _ = run(layer, x, start, lengths)
            for what, value in several.items():
                np.testing.assert_array_equal(value, one[what], err_msg=what)
            np.testing.assert_array_equal(layer.flat_gradients, gradients)
