"""`ax=` of every picture: drawn into the caller's axes, with nothing else changed in the caller's figure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model, trainer

import bptt
from bptt.diagnose import plot_flows, plot_gates, plot_singular_values
from bptt.diagnose.pictures.forecast import plot_forecast

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
from matplotlib.figure import Figure

X = np.random.default_rng(0).standard_normal((8, 3, 4))
LAYER = bptt.LSTM(4, 5, bidirectional=True, seed=0)
MONITOR = bptt.GradientMonitor(every_updates=1, warn=False)
HISTORY = trainer(model(), callbacks=[MONITOR]).fit([batch()] * 3, validation=[batch()])
FLOW = bptt.gradient_flow(LAYER, X)
TAPE = LAYER.forward(X)[2]
RATES = bptt.learning_rate_range(trainer(model()), [batch()] * 40)

PICTURES: dict[str, tuple[Callable[..., Figure], int]] = {  # and the number of axes
    "history": (HISTORY.plot, 3),
    "loss": (HISTORY.plot, 1),
    "flow": (FLOW.plot, 1),
    "flows": (lambda **options: plot_flows({"a": FLOW, "b": FLOW}, **options), 1),
    "gates": (lambda **options: plot_gates(TAPE, 1, **options), 6),
    "singular values": (lambda **options: plot_singular_values(LAYER, **options), 2),
    "monitor": (MONITOR.plot, len(MONITOR.dh_norm[0])),
    "forecast": (lambda **options: plot_forecast(X[:, 0, :2], X[:3, 0, :2], ["a", "b"], **options), 2),
    "histories": (lambda **options: bptt.plot_histories({"a": HISTORY, "b": HISTORY}, **options), 1),
    "rates": (RATES.plot, 1),
}


def drawn(axes: Any) -> int:
    """Number of things in axes."""
    return len(axes.lines) + len(axes.images) + len(axes.collections) + len(axes.patches)


def test_pictures_in_the_callers_axes(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name, (plot, count) in PICTURES.items():
        with subtests.test(name):
            own = plot()
            figure = Figure(figsize=(7, 12), layout="constrained")
            figure.suptitle("mine")
            other, *axes = figure.subplots(count + 1, 1)
            empty = drawn(other)
            path = tmp_path / f"{name}.png"
            assert plot(ax=axes if count > 1 else axes[0], path=path) is figure
            figure.draw_without_rendering()
            assert path.read_bytes().startswith(b"\x89PNG")
            assert all(drawn(panel) > 0 for panel in axes)
            assert (figure.get_suptitle(), figure.legends, drawn(other)) == ("mine", [], empty)
            panels = [panel for panel in own.axes if panel.get_visible()][:count]
            for panel, right in zip(axes, panels, strict=True):
                assert len(panel.lines) == len(right.lines)
                assert panel.get_ylabel() == right.get_ylabel()
                assert panel.get_yscale() == right.get_yscale()
                for line, same in zip(panel.lines, right.lines, strict=True):
                    np.testing.assert_array_equal(line.get_xydata(), same.get_xydata())


def test_axes_of_a_subfigure_belong_to_the_whole_figure() -> None:
    figure = Figure()
    axes = figure.subfigures(1, 2)[0].subplots()
    assert FLOW.plot(ax=axes) is figure


def test_axes_that_do_not_fit(subtests: pytest.Subtests) -> None:
    for name, (plot, count) in PICTURES.items():
        with subtests.test(name):
            axes = Figure().subplots(count + 4, 1)
            with pytest.raises(ValueError, match=rf"ax must hold .*{count}.* Axes, one per panel; got"):
                plot(ax=axes)
            with pytest.raises(TypeError, match="ax must be matplotlib Axes; got int"):
                plot(ax=3)
            with pytest.raises(TypeError, match="ax must be matplotlib Axes; got Figure"):
                plot(ax=Figure())
            assert not any(map(drawn, axes))
    with pytest.raises(ValueError, match="3 different Axes"):
        HISTORY.plot(ax=[axes[0]] * 3)
