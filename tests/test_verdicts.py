"""Verdicts on curves of every shape, and the words that say them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from tests.flows import RNG, X, scaled_identity

import bptt
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.rows import Row


def curve(*norms: float, kind: str = "float64") -> GradientFlow:
    """A flow of these norms, the last step's first."""
    row = Row("", bptt.RNN(1, 1, dtype=kind), 0)
    return GradientFlow(np.array([norms[::-1]], np.float64), None, (row,))


CURVES: dict[str, tuple[tuple[float, ...], float, int, str]] = {
    "no error": ((0, 0, 0), 0, 3, "vanishing"),
    "cut off at once": ((1, 0, 0), 0, 1, "vanishing"),
    "cut off on the way": ((1, 0.5, 0.25, 0), 0, 3, "vanishing"),
    "underflow": ((1, 1e-150, 1e-300, 0, 0), 1e-150, 1, "vanishing"),
    "cut off while small": ((1, 1e-50, 1e-60, 0, 0), 0, 1, "vanishing"),
    "no step": ((), np.nan, 0, "vanishing"),
    "first step of several": ((0, 0, 2), np.nan, 3, "no flow"),
    "near the largest": ((1e307, 1e305, 1e303), 1e-2, 2, "vanishing"),
    "near the smallest": ((1e-306, 1e-304, 1e-302), 1e2, 3, "exploding"),
    "overflow": ((1, 1e100, np.inf, np.nan), 1e100, 4, "exploding"),
    "overflow at once": ((1, np.inf), np.inf, 2, "exploding"),
    "NaN at once": ((np.nan, np.nan), np.nan, 2, "not finite"),
    "NaN on the way": ((1, 2, np.nan, np.nan), 2, 4, "not finite"),
    "up and down": ((1, 1e4, 1e-4), 1e-2, 2, "exploding"),
    "on the limits": ((1, 1e3, 1e-3), 1e-3**0.5, 3, "healthy"),
    "late": ((0, 0, 2, 1), 0.5, 4, "healthy"),
}


def test_odd_curves(subtests: pytest.Subtests) -> None:
    for name in CURVES:
        with subtests.test(name):
            norms, rate, horizon, verdict = CURVES[name]
            flow = curve(*norms)
            np.testing.assert_allclose(flow.rate, [rate], rtol=1e-12)
            assert flow.horizon.tolist() == [horizon]
            assert flow.verdict == (verdict,)
            assert verdict in str(flow)


def test_float32_underflows_sooner() -> None:
    assert curve(1, 1e-35, 0, kind="float32").rate == pytest.approx(1e-35)
    assert curve(1, 1e-35, 0).rate == 0


WORDS: dict[str, tuple[Callable[[], bptt.Module], tuple[str, ...]]] = {
    "tanh": (
        lambda: bptt.RNN(4, 5, seed=0),
        ("vanishes", "LSTM or GRU in its place", "orthogonal", "identity"),
    ),
    "relu": (lambda: scaled_identity(0.5), ("vanishes", 'init="identity"')),
    "lstm": (lambda: bptt.LSTM(4, 5, seed=0), ("vanishes", "forget_bias=1 or more", "chrono(longest=100)")),
    "lstm that tries": (lambda: bptt.LSTM(4, 5, forget_bias=1.0, seed=0), ("forget_bias=2 or more",)),
    "coupled": (lambda: bptt.LSTM(4, 5, coupled=True, seed=0), ("chrono",)),
    "gru": (lambda: bptt.GRU(4, 5, seed=0), ("chrono(longest=100)",)),
    "explodes": (lambda: scaled_identity(1.2), ("explodes", "ClipNorm", "truncate", "spectral_radius=0.95")),
    "a dead relu": (lambda: scaled_identity(-1.0), ("cut off after ", " steps back", "relu units")),
}


@pytest.mark.parametrize("name", WORDS)
def test_words_name_the_remedy(name: str) -> None:
    build, words = WORDS[name]
    text = " ".join(str(bptt.gradient_flow(build(), RNG.random((100, 2, 4)) + 0.1)).split())
    assert "Remedy" in text
    for word in words:
        assert word in text


def test_a_class_of_ones_own_gets_its_cells_remedy() -> None:
    class Mine(bptt.RNN):
        pass

    text = " ".join(str(bptt.gradient_flow(Mine(4, 5, seed=0), X)).split())
    assert "Mine" in text
    assert "LSTM or GRU in its place" in text


def test_saturated_units_are_told_to_cut_the_error_off() -> None:
    layer = bptt.RNN(4, 5, seed=0)
    text = " ".join(str(bptt.gradient_flow(layer, 1e3 * X)).split())
    assert "cut off after 1 step back" in text
    assert "x on a smaller scale" in text


def test_the_table_says_nothing_that_is_not_so() -> None:
    """No horizon of an error that never came or is NaN; no hexadecimal zero, and no plural of one."""

    def line(*norms: float) -> list[str]:
        return str(curve(*norms)).splitlines()[2].split("  ")

    assert [word.strip() for word in line(0, 0) if word][-2:] == ["-", "vanishing"]
    assert [word.strip() for word in line(1, np.nan) if word][-2:] == ["-", "not finite"]
    assert [word.strip() for word in line(1, 2) if word][-2:] == ["all", "healthy"]
    assert [word.strip() for word in line(1, 0) if word][-3:] == ["0", "1 step", "vanishing"]


def test_a_healthy_flow_gives_no_advice() -> None:
    assert "Remedy" not in str(bptt.gradient_flow(scaled_identity(1.0), RNG.random((100, 2, 4))))


def test_cell_state_that_carries_the_error_needs_no_remedy() -> None:
    layer = bptt.LSTM(4, 5, forget_bias=12.0, seed=0)
    for name, weight in layer.parameters.items():
        if name.startswith("weight_hh"):
            weight[...] *= 1e-3
    flow = bptt.gradient_flow(layer, X)
    assert flow.verdict == ("vanishing",)
    assert flow.carried == (True,)
    assert "none needed" in " ".join(str(flow).split())
    assert bptt.gradient_flow(bptt.LSTM(4, 5, seed=0), X).carried == (False,)
