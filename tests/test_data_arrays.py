"""Arrays: batches of sequences (N, T, F); pad and unpad."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.training import trainer

import bptt
from bptt.data import Arrays, Ragged, pad, unpad

RNG = np.random.default_rng(0)
N, T, F = 7, 5, 3
X, LENGTHS = RNG.standard_normal((N, T, F)), RNG.integers(0, T + 1, N)
CLASSES, LABELS = RNG.integers(0, 4, N), RNG.integers(0, 4, (N, T))

TARGETS: dict[str, tuple[Any, dict[str, Any], bool, tuple[int, ...]]] = {
    "classes": (CLASSES, {}, False, ()),
    "a number": (X[:, 0, 0], {}, False, (1,)),
    "numbers": (X[:, 0, :2], {}, False, (2,)),
    "as many numbers as steps": (X[:, :, 0], {}, False, (T,)),
    "classes per step": (LABELS, {}, True, ()),
    "integers, not per step": (LABELS, {"per_step": False}, False, (T,)),
    "a number per step": (X[:, :, 0], {"per_step": True}, True, (1,)),
    "numbers per step": (X, {}, True, (F,)),
}


def test_batches_hold_the_rows_in_order(subtests: pytest.Subtests) -> None:
    for name in TARGETS:
        with subtests.test(name):
            y, options, per_step, last = TARGETS[name]
            mask = RNG.random((N, T) if per_step else N) < 0.5
            weight = RNG.random(mask.shape)
            data = Arrays(X, y, batch_size=3, lengths=LENGTHS, mask=mask, weight=weight, **options)
            batches = list(data)
            assert [batch["x"].shape for batch in batches] == [(T, 3, F), (T, 3, F), (T, 1, F)]
            assert (len(data), data.count, data.per_step) == (3, N, per_step)
            target = np.concatenate([batch["target"] for batch in batches], axis=int(per_step))
            expected = y.reshape(*(N, T)[: 1 + per_step], *last)
            np.testing.assert_array_equal(target, expected.swapaxes(0, 1) if per_step else expected)
            np.testing.assert_array_equal(np.concatenate([batch["lengths"] for batch in batches]), LENGTHS)
            masks = np.concatenate([batch["mask"] for batch in batches], axis=int(per_step))
            np.testing.assert_array_equal(masks, mask.T)
            weights = np.concatenate([batch["weight"] for batch in batches], axis=int(per_step))
            np.testing.assert_array_equal(weights, weight.T)


def test_shuffled_passes_hold_each_sequence_once_and_differ() -> None:
    data = Arrays(X, np.arange(N), batch_size=3, shuffle=True, seed=1)
    orders = [np.concatenate([target for _, target in data]) for _ in range(3)]
    assert all(sorted(order) == list(range(N)) for order in orders)
    assert len({tuple(order) for order in orders}) > 1
    for x, target in data:
        np.testing.assert_array_equal(x, X[target].swapaxes(0, 1))


def test_ids_and_single_values_per_step() -> None:
    assert next(iter(Arrays(LABELS, CLASSES)))[0].shape == (T, N)
    assert next(iter(Arrays(X[:, :, 0], CLASSES)))[0].shape == (T, N, 1)


def test_trains_as_ragged_does() -> None:
    """Padded rows with lengths give the updates of the same rows without padding."""
    rows = [x[: max(1, n)] for x, n in zip(X, LENGTHS, strict=True)]
    x, lengths = pad(rows, batch_first=True)
    order = np.argsort(lengths, kind="stable")  # as Ragged sorts
    losses = []
    for data in (
        Ragged(rows, CLASSES, batch_size=3),
        Arrays(x[order], CLASSES[order], batch_size=3, lengths=lengths[order]),
    ):
        net = bptt.Sequential(
            bptt.GRU(F, 4, seed=1, dtype="float64"), bptt.Last(), bptt.Linear(4, 4, seed=2, dtype="float64")
        )
        losses.append(trainer(net).fit(data, epochs=2)["loss"])
    np.testing.assert_allclose(*losses, rtol=1e-13)


def test_a_weight_counts_as_rows_that_occur_so_often() -> None:
    """Arrays, and Ragged with targets per sequence and per step."""
    times = np.array([2, 0, 1, 3, 1, 1, 2])
    rows, labels = list(X), list(LABELS)
    again = [i for i, n in enumerate(times) for _ in range(n)]
    per_step = [np.full(T, n) for n in times]
    pairs: dict[str, tuple[Any, Any]] = {
        "arrays": (Arrays(X, LABELS, weight=np.array(per_step)), Arrays(X[again], LABELS[again])),
        "ragged": (
            Ragged(rows, labels, batch_size=N, per_step=True, weight=per_step),
            Ragged([rows[i] for i in again], [labels[i] for i in again], batch_size=99, per_step=True),
        ),
        "ragged, one target": (
            Ragged(rows, CLASSES, batch_size=N, weight=times),
            Ragged([rows[i] for i in again], CLASSES[again], batch_size=99),
        ),
    }
    for name, data in pairs.items():
        losses = []
        for each in data:
            last = [bptt.Last()] if "one" in name else []
            gru, linear = bptt.GRU(F, 4, seed=1, dtype="float64"), bptt.Linear(4, 4, seed=2, dtype="float64")
            losses.append(trainer(bptt.Sequential(gru, *last, linear)).fit(each, epochs=3)["loss"])
        np.testing.assert_allclose(*losses, rtol=1e-13)


def test_a_memory_map_is_read_batch_by_batch(tmp_path: Any) -> None:
    np.save(tmp_path / "x.npy", X)
    x = np.load(tmp_path / "x.npy", mmap_mode="r")
    data = Arrays(x, CLASSES, batch_size=3)
    assert np.shares_memory(x, data.arrays["x"])
    np.testing.assert_array_equal(next(iter(data))[0], X[:3].swapaxes(0, 1))


WRONG: dict[str, tuple[tuple[Any, Any], dict[str, Any], str]] = {
    "a series": ((X[0, :, 0], CLASSES), {}, r"x must have shape \(N, T, F\)"),
    "no sequence": ((X[:0], CLASSES[:0]), {}, "at least one sequence"),
    "unequal lists": (([X[0], X[1, :2]], CLASSES[:2]), {}, "Ragged"),
    "too few targets": ((X, CLASSES[:-1]), {}, r"y must have shape .* N = 7"),
    "time first": ((X, X.swapaxes(0, 1)), {}, r"y\.swapaxes\(0, 1\)"),
    "a mask per step": ((X, CLASSES), {"mask": np.ones((N, T), bool)}, r"mask must have shape \(7,\)"),
    "a mask of numbers": ((X, CLASSES), {"mask": np.ones(N)}, "mask must be an array of bool"),
    "weights below 0": (
        (X, CLASSES),
        {"weight": np.arange(-1, N - 1)},
        "weight must hold finite numbers >= 0",
    ),
    "weights per step": ((X, CLASSES), {"weight": np.ones((N, T))}, r"weight must have shape \(7,\)"),
    "too long": ((X, CLASSES), {"lengths": np.full(N, T + 1)}, "lengths must lie between 0 and T = 5"),
    "a flag": ((X, CLASSES), {"per_step": 1}, "per_step must be True or False"),
}


def test_errors_name_the_argument(subtests: pytest.Subtests) -> None:
    for name, (arrays, options, message) in WRONG.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=message):
            Arrays(*arrays, **options)
    for weight in (np.ones(N - 1), np.full(N, np.nan)):
        with pytest.raises(ValueError, match="weight must h"):
            Ragged(list(X), CLASSES, batch_size=2, weight=weight)
    with pytest.raises(ValueError, match=r"weight\[1\] must have shape \(5,\)"):
        Ragged(list(X), list(LABELS), batch_size=2, per_step=True, weight=[np.ones(T), *np.ones((N - 1, 2))])


def test_fit_of_a_pair_of_arrays_names_arrays(subtests: pytest.Subtests) -> None:
    net = bptt.Sequential(bptt.GRU(F, 4, seed=1), bptt.Last(), bptt.Linear(4, 4, seed=2))
    fit = trainer(net)
    before = net.flat_parameters.copy()
    good = Arrays(X, CLASSES)
    for data, options in (((X, CLASSES), {}), (X, {}), (good, {"validation": (X, CLASSES)})):
        with (
            subtests.test(str(options)),
            pytest.raises(TypeError, match=r"bptt\.data\.Arrays\(x, y, batch_size=32\)"),
        ):
            fit.fit(data, **options)
    for call in (fit.evaluate, fit.measure):
        with pytest.raises(TypeError, match=r"bptt\.data\.Arrays"):
            call((X, CLASSES))
    np.testing.assert_array_equal(net.flat_parameters, before)


def test_unpad_undoes_pad(subtests: pytest.Subtests) -> None:
    for batch_first in (False, True):
        with subtests.test(batch_first=batch_first):
            for rows in ([X[0], X[1, :2], X[2, :0]], [LABELS[0], LABELS[1, :1]], [X[:2], X[:5]]):
                x, lengths = pad(rows, batch_first=batch_first)
                longest = max(map(len, rows))
                assert x.shape[:2] == ((len(rows), longest) if batch_first else (longest, len(rows)))
                assert x.flags.c_contiguous
                assert lengths.tolist() == [len(row) for row in rows]
                for row, again in zip(rows, unpad(x, lengths, batch_first=batch_first), strict=True):
                    np.testing.assert_array_equal(row, again)
                for n, row in enumerate(np.moveaxis(x, 0 if batch_first else 1, 0)):
                    assert not row[lengths[n] :].any()


def test_unpad_refuses_other_axes() -> None:
    x, lengths = pad([X[0], X[1, :2]])
    with pytest.raises(ValueError, match="lengths must have shape"):
        unpad(x, lengths, batch_first=True)
    with pytest.raises(ValueError, match=r"y must have the axes \(T, B, \.\.\.\)"):
        unpad(x[0, :, 0], lengths)
