"""`bptt.data`: series split by time, scales learned from a part, windows with the steps that follow them; and
the parameters of the best epoch."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

import bptt
from bptt.callbacks import TrainerView
from bptt.data import Horizons, Standardize, split

RNG = np.random.default_rng(0)


def test_split_keeps_the_order() -> None:
    series = np.arange(100)
    parts = split(series, 0.2, 0.1)
    assert [part.tolist() for part in parts] == [
        [*range(70)],
        [*range(70, 90)],
        [*range(90, 100)],
    ]
    assert parts.training.base is series


def test_context_comes_before_validation_and_test() -> None:
    parts = split(np.arange(50), 0.1, 0.1, context=7)
    assert len(parts.training) == 40
    assert parts.validation.tolist() == [*range(33, 45)]
    assert parts.test.tolist() == [*range(38, 50)]
    windows = Horizons(parts.test, window=7, horizon=1, batch_size=1)
    assert windows.targets()[:, 0, 0].tolist() == [45, 46, 47, 48, 49]


def test_a_share_of_none_is_an_empty_part() -> None:
    parts = split(RNG.random((10, 3)), 0.0, 0.3, context=2)
    assert [part.shape for part in parts] == [(7, 3), (0, 3), (5, 3)]


@pytest.mark.parametrize(
    ("series", "options", "word"),
    [
        (np.zeros(3), {}, "longer series"),
        (np.zeros(10), {"validation": 0.5, "test": 0.5}, "smaller fractions"),
        (np.zeros(10), {"validation": 1.0}, "validation must be"),
        (np.zeros(10), {"test": -0.1}, "test must be"),
        (np.zeros(10), {"context": -1}, "context must be"),
        (np.float64(1), {}, "got 0 steps"),
    ],
)
def test_bad_split(series: npt.NDArray[np.float64], options: dict[str, float], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        split(series, **options)  # type: ignore[arg-type]


def test_standardize_is_learned_by_column() -> None:
    values = RNG.normal((5.0, -200.0), (0.1, 30.0), (500, 2))
    scaling = Standardize.fit(values)
    scaled = scaling.apply(values, "float64")
    np.testing.assert_allclose(scaled.mean(axis=0), 0, atol=1e-12)
    np.testing.assert_allclose(scaled.std(axis=0), 1, rtol=1e-12)
    np.testing.assert_allclose(scaling.undo(scaled), values, rtol=1e-12)
    assert scaling.apply(values).dtype == np.float32
    np.testing.assert_array_equal(scaling.take([1]).apply(values[:, 1:]), scaling.apply(values)[:, 1:])


def test_standardize_of_many_series_is_that_of_all_their_steps() -> None:
    parts = [RNG.random((20, 3)), RNG.random((5, 3))]
    many, one = Standardize.fit(parts), Standardize.fit(np.concatenate(parts))
    np.testing.assert_array_equal(many.mean, one.mean)
    np.testing.assert_array_equal(many.scale, one.scale)


def test_a_constant_column_keeps_its_scale() -> None:
    scaling = Standardize.fit(np.full((10, 1), 0.1))
    assert scaling.scale.tolist() == [1.0]
    np.testing.assert_allclose(scaling.apply([0.1, 1.1]), [0, 1], rtol=1e-6)


def test_standardize_survives_a_file(tmp_path: Path) -> None:
    scaling = Standardize.fit(RNG.random((30, 2)) * 1e-7)
    bptt.save(tmp_path / "m", bptt.Linear(2, 1), extra={"scaling": scaling.to_dict()})
    again = Standardize.from_dict(bptt.files.read_checkpoint(tmp_path / "m").extra["scaling"])
    np.testing.assert_array_equal(again.mean, scaling.mean)
    np.testing.assert_array_equal(again.scale, scaling.scale)
    assert json.dumps(scaling.to_dict())


@pytest.mark.parametrize(
    ("values", "word"),
    [
        (np.zeros((0, 2)), "at least one step"),
        ([[1.0, np.nan]], "finite variance"),
        (np.array([[1e308], [-1e308]]), "finite variance"),
        ([np.zeros((2, 2)), np.zeros((2, 3))], "same columns"),
    ],
)
def test_nothing_to_learn_a_scale_from(values: object, word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Standardize.fit(values)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("mean", "scale"), [([0.0], [0.0]), ([0.0], [np.inf]), ([0.0, 1.0], [1.0]), (0.0, 1.0)]
)
def test_bad_scale(mean: object, scale: object) -> None:
    with pytest.raises(ValueError, match="mean and scale must"):
        Standardize(mean, scale)  # type: ignore[arg-type]


def test_other_columns_than_learned_from() -> None:
    with pytest.raises(ValueError, match=r"x must have 2 columns.*\(5, 3\)"):
        Standardize([0, 0], [1, 1]).apply(np.zeros((5, 3)))


def test_horizons_are_all_steps_that_follow() -> None:
    series = RNG.random((30, 2))
    windows = Horizons(series, window=5, horizon=3, batch_size=4)
    assert len(windows) == -(-(30 - 5 - 3 + 1) // 4)
    at = 0
    for x, target in windows:
        for row in range(x.shape[1]):
            np.testing.assert_array_equal(x[:, row], series[at : at + 5])
            np.testing.assert_array_equal(target[row], series[at + 5 : at + 8].reshape(-1))
            at += 1
    assert at == 23
    assert windows.inputs().shape == (windows.count, 5, 2)
    assert windows.inputs().base is not None


def test_horizons_of_another_target_and_of_many_series() -> None:
    series = [RNG.random((9, 2)), RNG.random((12, 2))]
    target = [part.sum(axis=1) for part in series]
    windows = Horizons(series, window=4, horizon=2, batch_size=100, target=target)
    assert windows.inputs().shape == (4 + 7, 4, 2)
    np.testing.assert_array_equal(windows.inputs()[4], series[1][:4])
    np.testing.assert_array_equal(windows.targets()[4, :, 0], target[1][4:6])
    np.testing.assert_array_equal(windows.targets()[-1, :, 0], target[1][-2:])


def test_shuffled_horizons_come_anew_and_from_a_seed() -> None:
    def passes(seed: int) -> list[list[float]]:
        windows = Horizons(np.arange(20.0), window=3, horizon=1, batch_size=50, shuffle=True, seed=seed)
        return [next(iter(windows))[1][:, 0].tolist() for _ in range(2)]

    first, second = passes(0)
    assert sorted(first) == sorted(second) == [*range(3, 20)]
    assert first != second
    assert passes(0) == [first, second] != passes(1)


@pytest.mark.parametrize(
    ("series", "options", "word"),
    [
        (np.zeros(5), {}, r"series\[0\] must have at least 6 steps"),
        ([np.zeros(9), np.zeros(5)], {}, r"series\[1\] must have at least 6"),
        ([np.zeros((9, 1)), np.zeros((9, 2))], {}, "the same columns"),
        (np.zeros((9, 1, 1)), {}, "one row per step"),
        (np.zeros(9), {"target": np.zeros(8)}, "as many steps as the series"),
    ],
)
def test_bad_horizons(series: object, options: dict[str, object], word: str) -> None:
    with pytest.raises(ValueError, match=word):
        Horizons(series, window=4, horizon=2, batch_size=8, **options)  # type: ignore[arg-type]


def test_keep_best_restores_the_best_epoch() -> None:
    model = bptt.Linear(1, 1, seed=0)
    data = [(np.ones((4, 1)), np.ones((4, 1)))]
    seen: list[npt.NDArray[np.float32]] = []

    class Look(bptt.Callback):
        def validation(self, trainer: TrainerView, epoch: int, loss: float) -> None:
            seen.append(trainer.model.flat_parameters.copy())

    best = bptt.KeepBest()
    optimizer = bptt.SGD(1.9)  # far too much: it overshoots, and the error grows
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), optimizer, callbacks=[best, Look()], progress=False
    )
    losses = trainer.fit(data, 4, validation=[(np.full((4, 1), 2.0), np.zeros((4, 1)))])["validation_loss"]
    assert best.loss == losses.min() < losses[-1]
    best.restore(model)
    np.testing.assert_array_equal(model.flat_parameters, seen[int(losses.argmin())])


def test_keep_best_goes_on_with_a_resumed_run() -> None:
    best, again = bptt.KeepBest(), bptt.KeepBest()
    model = bptt.Linear(1, 1, seed=0)
    trainer = bptt.Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    best.validation(trainer, 0, 0.5)
    kept = model.flat_parameters.copy()
    model.flat_parameters = kept + 1
    again.load_state_dict(best.state_dict())
    again.validation(trainer, 1, 0.6)
    again.restore(model)
    assert again.loss == 0.5
    np.testing.assert_array_equal(model.flat_parameters, kept)
