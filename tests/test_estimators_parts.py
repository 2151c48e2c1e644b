"""The quantile loss against the formula and central differences; the ends of a bidirectional layer."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import bptt

pytest.importorskip("sklearn", reason="scikit-learn is not installed: pip install 'bptt[sklearn]'")

from bptt.estimators.plan import PATH_LEVELS, draw
from bptt.losses import Quantile

LEVELS = (0.05, 0.5, 0.9)


def pinball(y: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Per row, mean over features and levels."""
    error = target[..., None] - y.reshape(*target.shape, len(LEVELS))
    return np.maximum(np.array(LEVELS) * error, (np.array(LEVELS) - 1) * error).mean(axis=(-1, -2))


@pytest.mark.parametrize("masked", [False, True])
@pytest.mark.parametrize("shape", [(4, 3), (5, 2, 6)], ids=str)
def test_quantile_loss(shape: tuple[int, ...], masked: bool) -> None:
    rng = np.random.default_rng(0)
    y = rng.standard_normal(shape)
    target = rng.standard_normal((*shape[:-1], shape[-1] // 3))
    mask = rng.random(shape[:-1]) < 0.6 if masked else np.ones(shape[:-1], bool)
    mask.flat[0] = True
    loss, given = Quantile(LEVELS), mask if masked else None
    value, dy = loss(y, target, given)
    assert np.isclose(value, pinball(y, target)[mask].mean(), rtol=1e-13)
    assert value == loss.value(y, target, given)

    step = 1e-6  # no error is as small: the loss is linear over the whole step
    assert np.abs(target[..., None] - y.reshape(*target.shape, 3)).min() > step
    differences = np.empty_like(y)
    for at in np.ndindex(shape):
        up, down = y.copy(), y.copy()
        up[at] += step
        down[at] -= step
        differences[at] = (loss.value(up, target, given) - loss.value(down, target, given)) / (2 * step)
    assert np.allclose(dy, differences, rtol=1e-7, atol=1e-9)
    assert np.all(dy[~mask] == 0)

    single, dsingle = loss(y.astype(np.float32), target.astype(np.float32), given)
    assert dsingle.dtype == np.float32
    assert np.isclose(single, value, rtol=1e-6)
    assert np.allclose(dsingle, dy, rtol=1e-6)


def test_quantile_loss_is_least_at_the_quantile() -> None:
    sample = np.random.default_rng(0).exponential(size=(4001, 1))
    loss = Quantile([0.9])
    best = np.quantile(sample, 0.9)
    at = [loss.value(np.full_like(sample, best + shift), sample) for shift in (-0.05, 0, 0.05)]
    assert at[1] < min(at[0], at[2])


def test_quantile_loss_with_every_row_masked() -> None:
    value, dy = Quantile(LEVELS)(np.ones((2, 3)), np.zeros((2, 1)), np.zeros(2, bool))
    assert value == 0
    assert not dy.any()


def test_quantile_loss_errors() -> None:
    with pytest.raises(ValueError, match="levels must hold at least one number"):
        Quantile([])
    with pytest.raises(ValueError, match=r"levels\[1\] must be a number > 0 and < 1"):
        Quantile([0.5, 1.0])
    with pytest.raises(ValueError, match="y must have 3 outputs for each feature"):
        Quantile(LEVELS)(np.ones((2, 4)), np.ones((2, 1)))
    with pytest.raises(ValueError, match="target must have shape"):
        Quantile(LEVELS)(np.ones((2, 6)), np.ones((2, 1)))


@pytest.mark.parametrize("lengths", [None, [4, 1, 3]], ids=str)
def test_ends_are_the_final_states(lengths: list[int] | None) -> None:
    lstm = bptt.LSTM(2, 5, bidirectional=True, seed=0)
    x = np.random.default_rng(0).standard_normal((4, 3, 2))
    y, (h, _) = lstm(x, lengths=lengths)
    assert np.array_equal(bptt.Ends()(y, lengths=lengths)[0], np.concatenate([h[0], h[1]], axis=1))
    unbatched, _ = lstm(x[:, 0])
    assert np.array_equal(bptt.Ends()(unbatched)[0], bptt.Ends()(y[:, :1])[0][0])


@pytest.mark.parametrize("lengths", [None, [4, 1, 0]], ids=str)
@pytest.mark.parametrize("steps", [1, 4])
def test_errors_of_the_ends(steps: int, lengths: list[int] | None) -> None:
    valid = None if lengths is None else np.minimum(lengths, steps)
    layer, rng = bptt.Ends(dtype="float64"), np.random.default_rng(0)
    x = rng.standard_normal((steps, 3, 4))
    if valid is not None:
        x[np.arange(steps)[:, None] >= valid] = 0
    y, _, tape = layer.forward(x, lengths=valid)
    dy = rng.standard_normal(y.shape)
    dx, _ = layer.backward(tape, dy)
    assert dx is not None
    probe = rng.standard_normal(x.shape)
    if valid is not None:
        probe[np.arange(steps)[:, None] >= valid] = 0
    assert np.isclose(np.sum(dx * probe), np.sum(dy * layer(probe, lengths=valid)[0]))  # it is linear
    if valid is not None:
        assert not dx[np.arange(steps)[:, None] >= valid].any()


def test_draws_have_the_quantiles_they_are_drawn_from() -> None:
    quantiles = np.array(PATH_LEVELS) ** 2
    drawn = draw(np.tile(quantiles, (40_000, 1)), np.random.default_rng(0))
    assert np.allclose(np.quantile(drawn, PATH_LEVELS[1:-1]), quantiles[1:-1], atol=0.01)


def test_draws_reach_beyond_the_outermost_quantiles() -> None:
    """The known quantiles are those of a logistic distribution, so draws have this distribution."""
    levels = np.array(PATH_LEVELS)
    quantiles = np.log(levels / (1 - levels))
    drawn = draw(np.tile(quantiles, (400_000, 1)), np.random.default_rng(0))
    for level in (1e-4, 1e-3, 0.02, 0.5, 0.93, 0.999):
        assert np.isclose(np.mean(drawn < np.log(level / (1 - level))), level, rtol=0.25, atol=1e-3)


def test_a_model_with_both_ends_is_saved_and_loaded(tmp_path: Path) -> None:
    model = bptt.Sequential(
        bptt.LSTM(2, 3, bidirectional=True, seed=0), bptt.Ends(), bptt.Linear(6, 2, seed=1)
    )
    bptt.save(tmp_path / "m", model)
    x = np.random.default_rng(0).standard_normal((5, 4, 2))
    assert np.array_equal(bptt.load(tmp_path / "m")(x)[0], model(x)[0])
