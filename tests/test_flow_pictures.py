"""Pictures of the gradient inside a network: what they show, and that anything can be drawn."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.grids import in_turn, together

import bptt
from bptt.diagnose import plot_flows, plot_gates, plot_singular_values
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.pictures import canvas, report
from bptt.diagnose.pictures.heatmap import plot_records
from bptt.diagnose.rows import Row

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
PNG = b"\x89PNG\r\n\x1a\n"
RNG = np.random.default_rng(0)
X = RNG.standard_normal((30, 2, 3))


def lstm(**options: Any) -> bptt.LSTM:
    return bptt.LSTM(**{"input_size": 3, "hidden_size": 5, "seed": 0} | options)


def flow(*curves: list[float], cell: bool = False) -> GradientFlow:
    stack = (lstm if cell else bptt.RNN)(**({} if cell else {"input_size": 1, "hidden_size": 1}))
    norms = np.array(curves, np.float64)[:, ::-1]
    rows = tuple(Row("", stack, k) for k in range(len(curves)))
    return GradientFlow(norms, norms if cell else None, rows)


def pixels(figure: Any, dpi: int = 60) -> np.ndarray:
    from matplotlib.image import imread

    return imread(BytesIO(canvas.png(figure, dpi)))


def test_flow_shows_lines_limits_and_verdicts() -> None:
    model = bptt.Sequential(bptt.GRU(3, 5, seed=0), lstm(input_size=5), bptt.Linear(5, 2, seed=1))
    found = bptt.gradient_flow(model, X)
    (axes,) = found.plot().axes
    assert axes.get_yscale() == "log"
    assert axes.get_xlabel() == "steps back from the last"
    assert "last step = 1" in axes.get_ylabel()
    lines = [line for line in axes.get_lines() if not line.get_label().startswith("_")]
    for k, line in enumerate(lines[:2]):
        assert line.get_label().startswith(f"layer 0 of model[{k}]: {found.verdict[k]}, ")
        np.testing.assert_allclose(line.get_ydata(), found.ways[k] / found.ways[k][0])
    assert lines[2].get_label() == "layer 0 of model[1]: $dL/dc_t$"
    limits = {float(line.get_ydata()[0]) for line in axes.get_lines() if line.get_label().startswith("_")}
    assert limits == {1e-3, 1e3}
    assert {text.get_text() for text in axes.texts} == {"vanished: below 0.001", "exploded: above 1000"}
    # Told apart without colour.
    assert len({(line.get_linestyle(), line.get_marker()) for line in lines}) == len(lines) == 3
    low, high = axes.get_ylim()
    assert low < 1e-3 < 1e3 < high


def test_flows_on_one_pair_of_axes() -> None:
    flows = {name: bptt.gradient_flow(getattr(bptt, name)(3, 5, 3, seed=0), X) for name in ("RNN", "LSTM")}
    figure = plot_flows(flows)
    labels = [text.get_text() for text in figure.legends[0].get_texts()]
    assert [label.split(":")[0] for label in labels] == [
        f"{name} layer {k}" for name in flows for k in range(3)
    ]
    one = plot_flows({"RNN": bptt.gradient_flow(bptt.RNN(3, 5, seed=0), X)})
    assert one.legends[0].get_texts()[0].get_text().startswith("RNN: ")
    for axes in (*figure.axes, *one.axes):  # inside, a legend hides lines in a small picture
        assert axes.get_legend() is None


def records() -> tuple[Any, ...]:
    norms = np.geomspace(1, 1e-8, 20) ** np.linspace(1, -1, 12)[:, None]
    return np.arange(0, 120, 10), np.arange(20), np.stack([norms, norms**2], axis=1), ("layer 0", "layer 1")


def test_records_are_a_heat_map_for_each_row() -> None:
    figure = plot_records(*records())
    first, second, bar = figure.axes
    assert (first.get_title(), second.get_title()) == ("layer 0", "layer 1")
    assert second.get_xlabel() == "update"
    assert first.get_ylabel() == "steps back"
    assert "last step = 1" in bar.get_ylabel()
    assert [bar.yaxis.get_major_formatter()(tick) for tick in bar.get_yticks()] == [
        f"$10^{{{power}}}$" for power in (-6, -3, 0, 3, 6)
    ]
    mesh = first.collections[0].get_array()
    assert mesh.min() == -6
    assert mesh.max() == 6
    assert len(first.collections) == 3  # and the two limits, which these norms cross


def test_no_limit_is_drawn_where_shorter_batches_end() -> None:
    norms = np.tile([1.0, 1.0, 1e-8, 1e-8, np.nan, np.nan], (3, 1))[:, None]
    figure = plot_records(np.arange(3), np.arange(6), norms, ("layer 0",))
    _, vanished = figure.axes[0].collections
    heights = np.concatenate([path.vertices[:, 1] for path in vanished.get_paths()])
    assert 1 < heights.min() <= heights.max() < 2


def test_gates_of_every_cell() -> None:
    wanted = {
        "LSTM": [
            "input gate i",
            "forget gate f",
            "candidate g",
            "output gate o",
            "cell state c",
            "hidden state h",
        ],
        "GRU": ["reset gate r", "update gate z", "candidate n", "hidden state h"],
        "MGU": ["forget gate f", "candidate n", "hidden state h"],
        "RNN": ["hidden state h"],
    }
    for cell, titles in wanted.items():
        tape = getattr(bptt, cell)(3, 5, seed=0).forward(X)[2]
        figure = plot_gates(tape, sequence=1)
        panels = [axes for axes in figure.axes if axes.get_title(loc="left")]
        assert [axes.get_title(loc="left") for axes in panels] == titles
        assert panels[-1].get_xlabel() == "step"
        assert {axes.get_ylabel() for axes in panels} == {"unit"}
        np.testing.assert_array_equal(panels[-1].get_images()[0].get_array(), tape.h[0][:, 1].T)
        if cell == "LSTM":
            np.testing.assert_array_equal(panels[1].get_images()[0].get_array(), tape.gates[0][:, 1, 5:10].T)
            assert panels[1].get_images()[0].get_clim() == (0, 1)
            np.testing.assert_array_equal(panels[4].get_images()[0].get_array(), tape.c[0][:, 1].T)


def test_gates_of_a_row_in_a_model() -> None:
    model = bptt.Sequential(lstm(bidirectional=True), bptt.GRU(10, 4, seed=1))
    tape = model.forward(X)[2]
    assert "GRU, layer 0 of model[1]" in plot_gates(tape, 2).texts[0].get_text()
    assert "LSTM, layer 0, reverse direction, of model[0]" in plot_gates(tape, 1).texts[0].get_text()


def test_singular_values() -> None:
    layer = bptt.RNN(3, 8, init="orthogonal", seed=0)
    figure = plot_singular_values(bptt.Sequential(layer, lstm(input_size=8, num_layers=2)))
    panels = [axes for axes in figure.axes if axes.get_visible()]
    assert [axes.get_title() for axes in panels] == [
        "RNN, layer 0 of model[0]",
        "LSTM, layer 0 of model[1]",
        "LSTM, layer 1 of model[1]",
    ]
    np.testing.assert_allclose(panels[0].get_lines()[0].get_ydata(), 1, rtol=1e-5)
    assert [text.get_text()[0] for text in panels[1].get_legend().get_texts()] == list("ifgo")
    assert panels[0].get_ylabel() == "singular value (no unit)"
    assert panels[0].get_xlabel()


def test_singular_values_are_all_within_the_axes() -> None:
    """The panels share one axis, and the largest value is in the last."""
    model = bptt.Sequential(*(bptt.RNN(4, 4, seed=0) for _ in range(4)))
    for k in range(4):
        model[k].parameters["weight_hh_l0"][...] *= 2**k
    for axes in plot_singular_values(model).axes:
        assert axes.get_lines()[0].get_ydata().max() < axes.get_ylim()[1]


def test_limits_are_named_where_no_line_passes() -> None:
    def sides(*curves: list[float]) -> list[str]:
        return [text.get_horizontalalignment() for text in flow(*curves).plot().axes[0].texts]

    steps = np.arange(40.0)
    assert sides([1.0] * 40) == ["left", "left"]
    assert sides(list(0.3**steps)) == ["right", "left"]
    assert sides(list(3.0**steps), list(0.3**steps)) == ["right", "right"]
    assert sides(list(0.8**steps)) == ["left", "left"]


def test_steps_and_units_are_whole() -> None:
    figures = (
        flow([1, 0.5, 0.2]).plot(),
        plot_gates(bptt.RNN(3, 2, seed=0).forward(X[:3])[2]),
        plot_singular_values(bptt.RNN(3, 3, seed=0)),
        plot_records(np.arange(3), np.arange(3), np.ones((3, 1, 3)), ("layer 0",)),
    )
    for figure in figures:
        assert all(tick == round(tick) for tick in figure.axes[0].get_xticks())


ODD: dict[str, Callable[[], Any]] = {
    "one step": lambda: flow([1]).plot(),
    "no error": lambda: flow([0, 0, 0]).plot(),
    "not finite": lambda: flow([1, np.inf, np.nan]).plot(),
    "only NaN": lambda: flow([np.nan, np.nan]).plot(),
    "beyond all limits": lambda: flow([1, 1e-200, 1e-300], [1, 1e200, 1e300]).plot(),
    "ten rows": lambda: flow(*[[1, 0.5, 0.25]] * 10, cell=True).plot(),
    "one record": lambda: plot_records(np.array([0]), np.arange(3), np.ones((1, 1, 3)), ("layer 0",)),
    "one step recorded": lambda: plot_records(np.arange(3), np.array([0]), np.ones((3, 1, 1)), ("layer 0",)),
    "records of nothing": lambda: plot_records(np.arange(2), np.arange(3), np.zeros((2, 1, 3)), ("layer 0",)),
    "records of NaN": lambda: plot_records(
        np.arange(2), np.arange(3), np.full((2, 1, 3), np.nan), ("layer 0",)
    ),
    "gates of one step and unit": lambda: plot_gates(bptt.LSTM(3, 1).forward(X[:1])[2]),
    "gates of relu": lambda: plot_gates(lstm(activations=("softplus", "relu", "relu")).forward(X)[2]),
    "gates of NaN": lambda: plot_gates(lstm().forward(X * np.nan)[2]),
    "one unit": lambda: plot_singular_values(bptt.GRU(3, 1)),
    "projection": lambda: plot_singular_values(lstm(proj_size=2)),
    "seven layers": lambda: plot_singular_values(bptt.RNN(3, 2, 7)),
}


@together(in_turn(("name", ODD.keys()), ("file", ["png", "svg"])))
def test_draws_whatever_there_is(name: str, file: str) -> None:
    made = canvas.png(ODD[name](), 40) if file == "png" else canvas.svg(ODD[name]())
    assert made.startswith(PNG if file == "png" else b"<?xml")


def test_files(tmp_path: Path) -> None:
    found = bptt.gradient_flow(lstm(), X)
    for name, start in (("a.png", PNG), ("b.SVG", b"<?xml")):
        found.plot(tmp_path / name)
        assert (tmp_path / name).read_bytes().startswith(start)
    plot_gates(lstm().forward(X)[2], path=tmp_path / "c.svg")
    plot_singular_values(lstm(), str(tmp_path / "d.png"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.png", "b.SVG", "c.svg", "d.png"]
    assert canvas.svg(found.plot()) == canvas.svg(found.plot())


def test_dark_styles_do_not_reach_it() -> None:
    import matplotlib.style

    found = bptt.gradient_flow(lstm(), X)
    plain = pixels(found.plot())
    with matplotlib.style.context("dark_background"):
        dark = pixels(found.plot())
    np.testing.assert_array_equal(plain, dark)
    assert (plain[..., 3] == 1).all()
    assert plain[0, 0].tolist() == [1, 1, 1, 1]


PICTURES: dict[str, Callable[[], Any]] = {
    "flow": lambda: bptt.gradient_flow(lstm(), X).plot(),
    "gates": lambda: plot_gates(lstm().forward(X)[2]),
    "weights": lambda: plot_singular_values(lstm()),
    "records": lambda: plot_records(*records()),
}
SAVES: dict[str, Callable[[Any, BytesIO], None]] = {
    "savefig": lambda figure, file: figure.savefig(file, dpi=60),
    "savefig, transparent": lambda figure, file: figure.savefig(file, dpi=60, transparent=True),
    "as a notebook": lambda figure, file: figure.canvas.print_figure(
        file, dpi=60, facecolor=figure.get_facecolor(), edgecolor=figure.get_edgecolor()
    ),
}


@in_turn(("name", PICTURES.keys()), ("save", SAVES.keys()))
def test_reads_alike_however_it_is_saved(name: str, save: str) -> None:
    """The user's own call, in a dark style and without a background, saves the same picture."""
    import matplotlib.style
    from matplotlib.image import imread

    plain = pixels(PICTURES[name]())
    dark = {"savefig.facecolor": "black", "savefig.transparent": True, "figure.facecolor": "black"}
    file = BytesIO()
    with matplotlib.style.context("dark_background"), matplotlib.rc_context(dark):
        SAVES[save](PICTURES[name](), file)
    np.testing.assert_array_equal(imread(BytesIO(file.getvalue())), plain)


def test_leaves_pyplot_alone() -> None:
    sys.modules.pop("matplotlib.pyplot", None)
    before = set(sys.modules)
    bptt.gradient_flow(lstm(), X).plot()
    plot_gates(lstm().forward(X)[2])
    assert "matplotlib.pyplot" not in set(sys.modules) - before


class Page(HTMLParser):
    """What a page asks for from elsewhere, and what it shows."""

    def __init__(self) -> None:
        super().__init__()
        self.sources: list[str] = []
        self.open: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.sources += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def read(text: str) -> Page:
    page = Page()
    page.feed(text)
    page.close()
    assert not page.open
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    return page


def test_notebooks() -> None:
    found = bptt.gradient_flow(lstm(), X)
    html = found._repr_html_()
    shown = read(html)
    assert len(shown.sources) == 1
    assert "vanishing" in shown.text
    assert "forget_bias=1 or more" in shown.text
    for shown in (found, found.plot(), plot_gates(lstm().forward(X)[2])):
        png = shown._repr_png_()
        assert png is not None
        assert png.startswith(PNG)
    # The page's own colours: a table that a dark notebook styles is not to stand on a ground of ours.
    assert "color" not in re.sub(r'src="[^"]*"', "", html)


def test_a_history_in_a_notebook(monkeypatch: pytest.MonkeyPatch) -> None:
    net = bptt.Sequential(lstm(), bptt.Linear(5, 1))
    run = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    assert read(run.history._repr_html_()).text == repr(run.history)  # nothing to draw yet
    batch = (X, np.zeros((*X.shape[:2], 1)))
    history = run.fit([batch] * 3, validation=[batch])
    page = read(history._repr_html_())
    assert len(page.sources) == 1
    for text in (
        repr(history),
        "validation_loss",
        f"{history['loss'][0]:.4g}",
        f"{history['loss'].min():.4g}",
    ):
        assert text in page.text
    strange = {**history, "validation_<b>": np.full(1, np.nan)}
    assert "validation_<b>" in read(report.history_html(strange, "<i>")).text
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not read(history._repr_html_()).sources


def test_a_model_in_a_notebook() -> None:
    inner = bptt.Sequential(lstm(), bptt.Dropout(0.1), bptt.Linear(5, 2))
    net = bptt.Sequential(inner, bptt.Linear(2, 1))
    page = read(net._repr_html_())
    for text in (
        "model[0][0] LSTM",
        "LSTM(input_size=3, hidden_size=5)",
        "weight_hh_l0 (20, 5)",
        "(T, 1, 5)",
    ):
        assert text in page.text
    assert "Dropout(p=0.1)" in read(bptt.Dropout(0.1)._repr_html_()).text  # which has no input size
    assert f"float32{net.parameter_count:,}" in page.text
    assert f"{lstm().parameter_count:,}" in read(lstm()._repr_html_()).text
    assert repr(net) == f"Sequential({inner!r}, {net.layers[1]!r})"

    class Odd(bptt.Linear):
        def __repr__(self) -> str:
            return "<script>"

    assert "<script>" in read(Odd(2, 1)._repr_html_()).text  # escaped


def test_page_is_one_file() -> None:
    found = bptt.gradient_flow(lstm(), X)
    picture = canvas.inline(found.plot(), 'a "picture"')
    text = report.page("<model> & more", "about <it>", found, [("caption < one", picture)], ["so < so"])
    page = read(text)
    assert "<model> & more" in page.text
    assert "caption < one" in page.text
    assert "so < so" in page.text
    assert 'name="viewport" content="width=device-width' in text
    assert "prefers-color-scheme: dark" in text
    assert "layer 0: vanishing" in report.flow_picture(found).partition("src=")[0]  # to those who cannot see
    assert not re.search(r"https?://", text)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    found = bptt.gradient_flow(lstm(), X)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    for call in (found.plot, lambda: plot_gates(lstm().forward(X)[2]), lambda: plot_singular_values(lstm())):
        with pytest.raises(ImportError, match=r"pip install 'bptt\[plot\]'"):
            call()
    assert found._repr_png_() is None
    assert not read(found._repr_html_()).sources


TAPE = lstm().forward(X)[2]
WRONG: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a path to a PDF": (
        lambda: flow([1, 1]).plot("x.pdf"),
        ValueError,
        r"path must end in .png or .svg; got 'x.pdf'",
    ),
    "a path without ending": (lambda: flow([1, 1]).plot("png"), ValueError, "path must end in"),
    "a path to nowhere": (lambda: flow([1, 1]).plot("/no/such/folder/x.png"), OSError, "no folder"),
    "a path that is a number": (
        lambda: flow([1, 1]).plot(3),
        TypeError,
        "path must be a str or a Path; got int",
    ),
    "a path of bytes": (lambda: flow([1, 1]).plot(b"x.png"), TypeError, "path must be a str .*; got bytes"),
    "flows that are none": (lambda: plot_flows([flow([1, 1])]), TypeError, "flows must map"),
    "no flows": (lambda: plot_flows({}), ValueError, "got none"),
    "flows of numbers": (lambda: plot_flows({"a": 1}), TypeError, "flows must map .*; got 'a': int"),
    "flows without names": (
        lambda: plot_flows({1: flow([1])}),
        TypeError,
        "flows must map .*; got 1: GradientFlow",
    ),
    "gates of a layer": (lambda: plot_gates(lstm()), TypeError, "tape must come from forward"),
    "gates of all that forward returns": (
        lambda: plot_gates(lstm().forward(X)),
        TypeError,
        "tape must come from forward of a recurrent layer; got tuple. Fix: pass the tape of y, state, tape",
    ),
    "gates of no rows": (
        lambda: plot_gates(lstm().forward(X[:, :0])[2]),
        ValueError,
        "tape must hold a step and a row; got 30 steps of 0 rows",
    ),
    "gates of no steps": (
        lambda: plot_gates(lstm().forward(X[:0])[2]),
        ValueError,
        "tape must hold a step and a row; got 0 steps of 2 rows",
    ),
    "gates of a Linear": (lambda: plot_gates(bptt.Linear(3, 2).forward(X)[2]), ValueError, "tape must come"),
    "no such row": (lambda: plot_gates(TAPE, 1), ValueError, "row must be an int >= 0 and <= 0"),
    "no such sequence": (lambda: plot_gates(TAPE, sequence=2), ValueError, "sequence must"),
    "singular values of an array": (lambda: plot_singular_values(X), TypeError, "layer must"),
    "singular values of a Linear": (lambda: plot_singular_values(bptt.Linear(3, 2)), ValueError, "recurrent"),
}


def test_bad_input(subtests: pytest.Subtests) -> None:
    for name in WRONG:
        with subtests.test(name):
            call, error, message = WRONG[name]
            with pytest.raises(error, match=message):
                call()
