"""Every plot at its smallest and emptiest: what is drawn can be seen, and what is missing is named."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.grids import in_turn

import bptt
from bptt.diagnose import plot_flows, plot_gates, plot_singular_values
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.pictures import canvas, plots
from bptt.diagnose.pictures.forecast import plot_forecast
from bptt.diagnose.pictures.heatmap import plot_records
from bptt.diagnose.pictures.history import plot_history
from bptt.diagnose.rows import Row

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
X = np.random.default_rng(0).standard_normal((6, 2, 3))


def flow(*curves: list[float], cell: bool = False) -> GradientFlow:
    stack = bptt.LSTM(1, 1) if cell else bptt.RNN(1, 1)
    norms = np.array(curves, np.float64)[:, ::-1]
    rows = tuple(Row("", stack, k) for k in range(len(curves)))
    return GradientFlow(norms, norms if cell else None, rows)


def history(updates: int, validation: list[float] | None = None, **columns: Any) -> Any:
    found = validation or []
    usual = {"loss": np.linspace(2, 1, updates), "grad_norm": np.linspace(3, 1, updates)}
    other = {"lr": np.full(updates, 0.1), "clipped": np.zeros(updates, bool)}
    steps = {
        "validation_loss": np.array(found, float),
        "validation_step": np.arange(1, len(found) + 1),
    }
    return plot_history(usual | other | steps | {name: np.array(each) for name, each in columns.items()})


def curves(updates: int, steps: int, **changes: Any) -> Any:
    usual: dict[str, Any] = {
        "loss": np.linspace(2, 1, updates),
        "grad_norm": np.linspace(3, 1, updates),
        "dh_norm": np.ones((2, steps)),
        "dc_norm": np.ones((2, steps)),
    }
    return plots.training_figure(plots.TrainingCurves(**(usual | changes)))


def records(values: Any) -> Any:
    norms = np.array(values, np.float64)[:, None]
    return plot_records(np.arange(len(norms)), np.arange(norms.shape[2]), norms, ("layer 0",))


def gates(layer: bptt.Module, x: Any = X, **options: Any) -> Any:
    return plot_gates(layer.forward(x, **options)[2], sequence=x.shape[1] - 1)


def column(*values: float) -> np.ndarray:
    return np.array(values, np.float64).reshape(-1, 1)


NAN, INF = np.nan, np.inf
SMALL: dict[str, Callable[[], Any]] = {
    "flow of one step": lambda: flow([1]).plot(),
    "flow of one step with a cell state": lambda: flow([1], cell=True).plot(),
    "flow of nothing": lambda: flow([0, 0], cell=True).plot(),
    "flow of NaN": lambda: flow([NAN, NAN]).plot(),
    "flow that starts at inf": lambda: flow([INF, 1]).plot(),
    "flow cut off at once": lambda: flow([1, 0, 0]).plot(),
    "flows of one step": lambda: flow(*[[1.0]] * 9).plot(),
    "flows cut off, of many steps": lambda: flow(*[[1.0] + [NAN] * 40] * 5).plot(),
    "flows, one of them of nothing": lambda: plot_flows({"a": flow([1, 0.5]), "b": flow([0, 0])}),
    "history of one update": lambda: history(1),
    "history of one update, validated": lambda: history(1, [1.5]),
    "history of one update, not finite": lambda: history(1, loss=[NAN], grad_norm=[INF]),
    "history without gradient": lambda: history(5, grad_norm=[0.0] * 5),
    "history of NaN": lambda: history(5, loss=[NAN] * 5, grad_norm=[NAN] * 5, lr=[NAN] * 5),
    "history of NaN and zero gradients": lambda: history(3, grad_norm=[NAN, 0, 0]),
    "history of rate 0": lambda: history(3, lr=[0.0] * 3),
    "history with holes": lambda: history(5, loss=[1, NAN, 2, NAN, 3], lr=[0.1, NAN, 0.1, NAN, 0.1]),
    "history of NaN validations": lambda: history(3, [NAN, NAN]),
    "history of validations with holes": lambda: history(120, [1.0, NAN] * 60),
    "history of clipped updates": lambda: history(3, clipped=[True] * 3),
    "curves of one update and step": lambda: curves(1, 1),
    "curves of one update, against a baseline": lambda: curves(
        1, 1, baselines={"bigram": 2.5}, clip_norm=1.0
    ),
    "curves of nothing": lambda: curves(
        2, 3, grad_norm=np.zeros(2), loss=np.zeros(2), dh_norm=np.zeros((1, 3)), dc_norm=None, truncate=1
    ),
    "curves of NaN": lambda: curves(
        2,
        3,
        grad_norm=column(NAN, NAN)[:, 0],
        loss=column(NAN, NAN)[:, 0],
        dh_norm=np.full((1, 3), NAN),
        dc_norm=None,
    ),
    "one record of one step": lambda: records([[1]]),
    "one record": lambda: records([[1, 1, 1]]),
    "records of one step": lambda: records([[1], [1]]),
    "records of nothing": lambda: records([[0, 0], [0, 0]]),
    "records of NaN": lambda: records([[NAN, NAN], [NAN, NAN]]),
    "gates of one step and unit": lambda: gates(bptt.LSTM(3, 1), X[:1, :1]),
    "gates of an RNN of one step and unit": lambda: gates(bptt.RNN(3, 1), X[:1, :1]),
    "gates of NaN": lambda: gates(bptt.GRU(3, 2), X * NAN),
    "gates of a row of length 0": lambda: gates(bptt.LSTM(3, 2), lengths=[6, 0]),
    "singular value of one unit": lambda: plot_singular_values(bptt.RNN(3, 1)),
    "forecast of one step from one": lambda: plot_forecast(column(1), column(2), ["a"]),
    "forecast from nothing": lambda: plot_forecast(np.ones((0, 1)), column(1, 2), ["a"]),
    "forecast of NaN": lambda: plot_forecast(column(NAN, NAN), column(NAN), ["a"]),
    "forecast of NaN from numbers": lambda: plot_forecast(column(1, NAN, 2), column(NAN), ["a"]),
    "forecast of numbers from NaN": lambda: plot_forecast(column(1, NAN), column(1), ["a"]),
    "forecast of a constant": lambda: plot_forecast(column(3, 3), column(3, 3), ["a"]),
}


def finite(line: Any) -> np.ndarray:
    return np.isfinite(np.asarray(line.get_xydata(), np.float64)).all(-1)


def marked(line: Any) -> list[int]:
    """Positions at which a line has marks."""
    every, positions = line.get_markevery(), np.arange(len(line.get_xdata()))
    if line.get_marker() in ("None", "", None):
        return []
    if isinstance(every, int):
        every = slice(0, None, every)
    if isinstance(every, tuple):
        every = slice(every[0], None, every[1])
    return list(positions if every is None else positions[every])


def check_every_point_can_be_seen(small: Any) -> None:
    """A point is joined to a finite neighbour, or has a mark."""
    for axes in small.axes:
        for line in axes.get_lines():
            there = finite(line)
            joined = np.zeros_like(there)
            if line.get_linestyle() != "None":
                pairs = there[1:] & there[:-1]
                joined[1:] |= pairs
                joined[:-1] |= pairs
            hidden = set(np.flatnonzero(there & ~joined)) - set(marked(line))
            assert not hidden, (line.get_label(), hidden)


def check_every_entry_of_a_legend_is_drawn(small: Any) -> None:
    legends = [*small.legends, *(axes.get_legend() for axes in small.axes if axes.get_legend())]
    drawn = {line.get_label() for axes in small.axes for line in axes.get_lines() if finite(line).any()}
    assert {text.get_text() for legend in legends for text in legend.get_texts()} <= drawn


def check_an_empty_panel_says_why(small: Any) -> None:
    for axes in (axes for axes in small.axes if axes.get_label() != "<colorbar>"):
        lines = [
            line
            for line in axes.get_lines()
            if line.get_color() != canvas.RED or line.get_marker() != "None"  # no limit
            if not str(line.get_label()).startswith(("zero:", "not finite:"))
        ]
        filled = [np.isfinite(np.ma.filled(mesh.get_array(), NAN)).any() for mesh in axes.collections]
        told = [text for text in axes.texts if text.get_text()[:9] not in ("vanished:", "exploded:")]
        assert any(filled) or any(finite(line).any() for line in lines) or axes.images or told


def check_steps_updates_and_units_have_whole_ticks(small: Any) -> None:
    for axes in (axes for axes in small.axes if axes.get_label() != "<colorbar>"):
        for axis in (axes.xaxis, axes.yaxis) if axes.images or axes.collections else (axes.xaxis,):
            low, high = sorted(axis.get_view_interval())
            ticks = np.asarray(axis.get_majorticklocs())
            assert (ticks == np.round(ticks)).all()
            assert ((ticks >= low) & (ticks <= high)).any()


def test_a_small_picture_shows_all_there_is(subtests: pytest.Subtests) -> None:
    for name in SMALL:
        with subtests.test(name):
            figure = SMALL[name]()
            check_every_point_can_be_seen(figure)
            check_every_entry_of_a_legend_is_drawn(figure)
            check_an_empty_panel_says_why(figure)
            check_steps_updates_and_units_have_whole_ticks(figure)


def notes(axes: Any) -> list[str]:
    return [text.get_text() for text in axes.texts]


def test_notes_name_the_reason() -> None:
    assert notes(history(3, grad_norm=[0.0] * 3).axes[1]) == ["every gradient norm is 0"]
    assert notes(history(3, grad_norm=[NAN] * 3).axes[1]) == ["no gradient norm is finite"]
    assert notes(history(3, grad_norm=[NAN, 0, 0]).axes[1]) == ["no gradient norm is finite and above 0"]
    assert notes(history(3, loss=[NAN] * 3).axes[0]) == ["no loss is finite"]
    assert notes(history(3, loss=[NAN] * 3, validation=[1.0]).axes[0]) == []
    assert notes(history(3, lr=[NAN] * 3).axes[2]) == ["no learning rate is finite"]
    assert notes(records([[0, 0]]).axes[0]) == ["no error arrives: every norm is 0"]
    assert notes(curves(1, 2, dh_norm=np.zeros((1, 2)), dc_norm=None).axes[2]) == ["every norm is 0"]
    (note,) = notes(plot_flows({"_a": flow([1, 1]), "b": flow([0, 0])}).axes[0])[:1]
    assert note.split("\n") == ["Not drawn: no finite error arrives", "b: vanishing, 0 per step"]
    many = notes(flow(*[[0.0, 0.0]] * 9).plot().axes[0])[0].split("\n")
    assert len(many) == 8
    assert many[-1] == "and 3 more"


def test_an_axis_of_nothing_has_no_ticks() -> None:
    figure = history(3, grad_norm=[0.0] * 3, loss=[NAN] * 3, lr=[NAN] * 3)
    for axes in figure.axes:
        assert not len(axes.yaxis.get_majorticklocs())
        assert not len(axes.yaxis.get_minorticklocs())


def test_ticks_of_one_norm_do_not_touch() -> None:
    axes = curves(1, 1, clip_norm=1.0).axes[1]
    low, high = axes.get_ylim()
    ticks = [tick for tick in axes.get_yticks() if low <= tick <= high]
    assert 2 <= len(ticks) <= 8


def test_norms_off_the_scale_are_counted() -> None:
    axes = history(6, grad_norm=[0, 0, INF, 1, 2, 3]).axes[1]
    lines = {line.get_label(): line for line in axes.get_lines()}
    assert [*lines] == ["before clipping", "not finite: 1", "zero: 2"]
    assert lines["zero: 2"].get_xdata().tolist() == [1, 2]
    assert lines["not finite: 1"].get_xdata().tolist() == [3]
    assert [text.get_text() for text in axes.get_legend().get_texts()] == [*lines]


@pytest.mark.parametrize("direction", [0, 1])
def test_steps_past_the_end_are_hatched(direction: int) -> None:
    from matplotlib.patches import Rectangle

    layer = bptt.MGU(3, 2, bidirectional=True, seed=0)
    x = np.random.default_rng(1).standard_normal((6, 3, 3))
    tape = layer.forward(x, lengths=[2, 6, 4])[2]
    for sequence, length in ((0, 2), (1, 6), (2, 4)):
        figure = plot_gates(tape, direction, sequence=sequence)
        alone = plot_gates(layer.forward(x[:length, sequence : sequence + 1])[2], direction)
        panels, wanted = ([axes for axes in each.axes if axes.images] for each in (figure, alone))
        assert len(panels) == len(wanted) == 3
        for axes, own in zip(panels, wanted, strict=True):
            hatched = [patch for patch in axes.patches if isinstance(patch, Rectangle) and patch.get_hatch()]
            assert [(each.get_x(), each.get_width()) for each in hatched] == (
                [(length - 0.5, 6 - length)] if length < 6 else []
            )
            shown, expected = axes.images[0], own.images[0]
            np.testing.assert_allclose(shown.get_array()[:, :length], expected.get_array(), atol=1e-6)
            np.testing.assert_allclose(shown.get_clim(), expected.get_clim(), atol=1e-6)
        says = f"hatched: past its end, after {length} of 6 steps"
        assert (says in figure.texts[0].get_text()) == (length < 6)


def test_values_that_are_not_finite_are_red() -> None:
    from matplotlib.colors import to_rgba

    figure = gates(bptt.RNN(3, 2), X * NAN)
    assert figure.texts[0].get_text().endswith("red: not finite")
    assert figure.axes[0].images[0].get_cmap().get_bad().tolist() == list(to_rgba(canvas.RED))
    assert "red" not in gates(bptt.RNN(3, 2)).texts[0].get_text()


def test_a_flow_that_is_cut_off_leaves_the_axes() -> None:
    """A line that breaks off would mean NaN."""
    for way, below in (([1, 0.5, 0, 0], True), ([1, 2, INF, INF], False)):
        (axes,) = flow(way).plot().axes
        low, high = axes.get_ylim()
        drawn = axes.get_lines()[0].get_ydata()
        np.testing.assert_array_equal(drawn[:2], way[:2])
        assert (drawn[2:] < low).all() if below else (drawn[2:] > high).all()
        assert 1e-5 < low < high < 1e5


def test_a_forecast_from_nothing_starts_at_step_one() -> None:
    (axes,) = plot_forecast(np.ones((0, 1)), column(5, 6), ["a"]).axes
    forecast = axes.get_lines()[-1]
    assert forecast.get_xydata().tolist() == [[1, 5], [2, 6]]
    assert marked(forecast) == [0, 1]


def test_forecasts_beyond_all_limits_can_be_drawn() -> None:
    figure = plot_forecast(column(-1e308, INF, 1e308), column(1e308, -INF), ["a"])
    assert canvas.png(figure, 20)


@in_turn(("size", [1e90, 1e160, 1e308]), ("kind", ["ReLU", "LSTM", "LSTM, not finite"]))
def test_states_beyond_all_limits_can_be_drawn(size: float, kind: str) -> None:
    """Cell states of both signs, and the states of a ReLU."""
    lstm = bptt.LSTM(1, 2, dtype="float64", seed=0)
    relu = bptt.RNN(1, 2, nonlinearity="relu", bias=False, dtype="float64", seed=0)
    relu.parameters["weight_ih_l0"][:] = 1
    relu.parameters["weight_hh_l0"][:] = 0
    x = np.full((3, 1, 1), size)
    cells = np.array([[[size, INF if "not finite" in kind else -size]]])
    call = relu.forward(x) if kind == "ReLU" else lstm.forward(0 * x, (np.zeros((1, 1, 2)), cells))
    figure = plot_gates(call[2])
    assert canvas.png(figure, 20)
    assert ("red: not finite" in figure.texts[0].get_text()) == ("not finite" in kind)


NAMES = ["_a", "__", "$a^$", "costs $5 and $6", r"\$\alpha$", "$", "_$x_1$"]


def test_names_are_drawn_letter_by_letter() -> None:
    """Nothing in them is a formula, and a leading underscore hides none of them."""
    flows = plot_flows({name: flow([1, 0.5], cell=k == 0) for k, name in enumerate(NAMES)})
    texts = flows.legends[0].get_texts()
    assert len(texts) == len(NAMES)
    losses = curves(1, 1, baselines=dict.fromkeys(NAMES[:3], 2.0), title=NAMES[3])
    assert len(losses.axes[0].get_legend().get_texts()) == 1 + 3
    series = plot_forecast(np.ones((2, 4)), np.ones((2, 4)), NAMES[:4])
    for shown, name in zip((text.get_text() for text in texts), NAMES, strict=True):
        assert shown.removeprefix("\u200b").startswith(name.replace("$", r"\$") + ": ")
    titles = [axes.get_title(loc="left").removeprefix("\u200b") for axes in series.axes]
    assert titles == [name.replace("$", r"\$") for name in NAMES[:4]]
    for figure in (flows, losses, series):
        assert canvas.svg(figure)  # matplotlib reads formulas only now


def test_a_name_and_a_formula_in_one_label() -> None:
    figure = plot_flows({"$a^$": flow([1, 0.5], cell=True)})
    assert [text.get_text() for text in figure.legends[0].get_texts()] == [
        r"\$a^\$: healthy, 0.5 per step",
        r"\$a^\$: $dL/dc_t$",
    ]
    assert canvas.png(figure, 20)
