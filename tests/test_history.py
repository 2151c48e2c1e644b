"""What a run leaves behind: as a table, and as a picture."""

from __future__ import annotations

import math
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model

import bptt
from bptt.optim import Update
from bptt.train import History, Trainer

drawn = pytest.mark.skipif(find_spec("matplotlib") is None, reason="needs the extra 'plot'")
PNG = b"\x89PNG\r\n\x1a\n"


def history(
    losses: Any,
    *,
    validations: dict[int, float] | None = None,
    norm: Any = 1.0,
    clipped: Any = False,
    lr: Any = 0.1,
) -> History:
    """Of these losses; validated after so many updates."""
    losses = np.asarray(losses, np.float64)
    made = History()
    columns = (losses, *(np.broadcast_to(each, losses.shape) for each in (norm, clipped, lr)))
    for k, (loss, own_norm, own_clipped, own_lr) in enumerate(zip(*columns, strict=True), 1):
        made.add(Update(k // 100, loss, own_norm, bool(own_clipped), own_lr, tokens=1, batches=1.0))
        if validations and k in validations:
            made.add_validation(validations[k])
    return made


def trained() -> History:
    data = [batch(4), batch(5)]
    clip, rate = bptt.ClipNorm(0.5), bptt.schedules.Cosine(0.5, 6)
    fit = Trainer(model(), bptt.CrossEntropy(), bptt.SGD(rate), clip=clip, progress=False)
    return fit.fit(data, epochs=3, validation=data)


def test_is_a_mapping_of_arrays() -> None:
    found = trained()
    columns = dict(found)
    assert [*columns] == [*found.keys()]
    assert {name: len(values) for name, values in columns.items()} == {
        "loss": 6,
        "grad_norm": 6,
        "clipped": 6,
        "lr": 6,
        "epoch": 6,
        "validation_loss": 3,
        "validation_step": 3,
    }
    with pytest.raises(KeyError):
        found["accuracy"]


def test_to_pandas() -> None:
    pytest.importorskip("pandas", reason="pandas makes the table")
    found = trained()
    table = found.to_pandas()
    assert [*table.columns] == ["loss", "grad_norm", "clipped", "lr", "epoch", "validation_loss"]
    assert table.index.name == "update"
    assert table.index.tolist() == [1, 2, 3, 4, 5, 6]
    for name in table.columns[:-1]:
        np.testing.assert_array_equal(table[name].to_numpy(), found[name])
        assert table[name].dtype == found[name].dtype
    validated = table["validation_loss"].dropna()
    assert validated.index.tolist() == found["validation_step"].tolist() == [2, 4, 6]
    np.testing.assert_array_equal(validated.to_numpy(), found["validation_loss"])


def test_to_pandas_without_validation_and_without_updates() -> None:
    pytest.importorskip("pandas", reason="pandas makes the table")
    table = history([3.0, 2.0]).to_pandas()
    assert table["validation_loss"].isna().all()
    assert table["validation_loss"].dtype == np.float64
    empty = History().to_pandas()
    assert empty.shape == (0, 6)
    assert empty["clipped"].dtype == np.bool_


def test_without_pandas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(ImportError, match=r"^to_pandas needs pandas: pip install pandas$"):
        history([1.0]).to_pandas()


@drawn
def test_picture_shows_the_columns() -> None:
    clipped = np.arange(200) % 4 == 0
    norm = np.geomspace(10, 0.1, 200)
    rate = np.linspace(0.1, 0.01, 200)
    validations = {100: 2.5, 200: 2.1}
    found = history(np.linspace(4, 2, 200), validations=validations, norm=norm, clipped=clipped, lr=rate)
    loss, gradient, lr = found.plot().axes
    assert [axes.get_title(loc="left") for axes in (loss, gradient, lr)] == [
        "Loss",
        "Gradient norm before clipping",
        "Learning rate",
    ]
    assert lr.get_xlabel() == "update"
    assert [axes.get_yscale() for axes in (loss, gradient, lr)] == ["linear", "log", "linear"]
    lines = {line.get_label(): line for axes in (loss, gradient) for line in axes.get_lines()}
    assert [*lines] == [
        "training, each update",
        "mean of 4",
        "validation",
        "not clipped",
        "clipped: 25% of updates",
    ]
    updates = np.arange(1, 201)
    np.testing.assert_array_equal(lines["training, each update"].get_xydata(), np.c_[updates, found["loss"]])
    np.testing.assert_array_equal(lines["validation"].get_xydata(), [[100, 2.5], [200, 2.1]])
    np.testing.assert_array_equal(lines["not clipped"].get_xydata(), np.c_[updates[~clipped], norm[~clipped]])
    np.testing.assert_array_equal(lr.get_lines()[0].get_xydata(), np.c_[updates, rate])
    assert lr.get_ylim()[0] == 0
    # Told apart without colour: by mark, by width, and the pale line by its grey.
    assert lines["not clipped"].get_marker() != lines["clipped: 25% of updates"].get_marker()
    assert lines["mean of 4"].get_linewidth() > lines["validation"].get_linewidth()
    # Beside the titles, where they hide no line.
    for axes in (loss, gradient):
        assert axes.get_legend().get_window_extent().y0 >= axes.get_window_extent().y1


@drawn
def test_wide_ranges_have_log_scales() -> None:
    def scales(loss: Any, lr: Any) -> list[str]:
        above, _, below = history(loss, lr=lr).plot().axes
        return [above.get_yscale(), below.get_yscale()]

    steps = np.arange(300)
    cosine = [bptt.schedules.Cosine(0.1, 300)(step) for step in range(300)]
    assert scales(4 - steps / 100, cosine) == ["linear", "linear"]
    assert scales(np.exp(-steps / 30), 0.1 ** (1 + steps // 100)) == ["log", "log"]
    assert scales(np.exp(-steps / 30) - 0.1, 0.0 * steps) == ["linear", "linear"]
    assert scales(np.full(300, math.nan), 0.1) == ["linear", "linear"]


@drawn
def test_what_is_not_finite_is_marked() -> None:
    norm = np.ones(50)
    norm[[3, 7]] = math.inf, math.nan
    _, gradient, _ = history(np.full(50, 2.0), norm=norm).plot().axes
    (lost,) = (line for line in gradient.get_lines() if line.get_label() == "not finite: 2")
    assert lost.get_xdata().tolist() == [4, 8]


ODD: dict[str, Any] = {
    "one update": lambda: history([1.0], validations={1: 1.0}),
    "all NaN": lambda: history([math.nan] * 60, norm=math.nan, lr=0.0, validations={60: math.nan}),
    "infinite": lambda: history([math.inf] * 60, norm=math.inf, validations={30: math.inf, 60: 1.0}),
    "diverged": lambda: history(np.geomspace(1, 1e300, 60), norm=np.geomspace(1, 1e300, 60)),
    "no gradient": lambda: history(np.zeros(60), norm=0.0),
    "all clipped": lambda: history(np.ones(60), clipped=True),
    "validated often": lambda: history(np.ones(500), validations=dict.fromkeys(range(1, 501), 1.0)),
    "negative losses": lambda: history(-np.arange(60.0)),
}


@drawn
@pytest.mark.parametrize("name", ODD)
def test_draws_whatever_a_run_leaves(name: str) -> None:
    figure = ODD[name]().plot()
    assert figure._repr_png_().startswith(PNG)


@drawn
def test_files(tmp_path: Path) -> None:
    found = trained()
    found.plot(tmp_path / "a.png")
    found.plot(str(tmp_path / "b.svg"))
    assert (tmp_path / "a.png").read_bytes().startswith(PNG)
    assert (tmp_path / "b.svg").read_bytes().startswith(b"<?xml")
    with pytest.raises(ValueError, match=r"path must end in .png or .svg"):
        found.plot(tmp_path / "c.jpg")


@drawn
def test_a_long_run_has_no_mark_for_each_update_in_its_svg(tmp_path: Path) -> None:
    history(np.ones(6000), norm=np.geomspace(1, 9, 6000)).plot(tmp_path / "a.svg")
    assert (tmp_path / "a.svg").stat().st_size < 300_000


@drawn
def test_nothing_to_draw() -> None:
    with pytest.raises(ValueError, match=r"history must hold at least one update; got none. Fix: "):
        History().plot()


@drawn
def test_dark_styles_do_not_reach_it_nor_pyplot_it() -> None:
    import matplotlib.style

    sys.modules.pop("matplotlib.pyplot", None)
    found = trained()
    plain = found.plot()._repr_png_()
    with matplotlib.style.context("dark_background"):
        assert found.plot()._repr_png_() == plain
    assert "matplotlib.pyplot" not in sys.modules


def test_plot_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install 'bptt\[plot\]'"):
        history([1.0]).plot()
