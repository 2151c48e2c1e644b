"""Pictures: drawn without a window system, from what a run may hold."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from bptt.diagnose.pictures import plots

pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
PNG = b"\x89PNG\r\n\x1a\n"


def _curves(**changes: object) -> plots.TrainingCurves:
    rng = np.random.default_rng(0)
    given: dict[str, object] = {
        "loss": np.linspace(4, 2, 120),
        "grad_norm": rng.lognormal(size=120),
        "dh_norm": np.geomspace(1e-8, 1, 40) * np.ones((2, 1)),
        "dc_norm": np.geomspace(1e-4, 1, 40) * np.ones((2, 1)),
        "validation": [(60, 3.0), (120, 2.1)],
        "clip_norm": 1.0,
        "truncate": 16,
        "baselines": {"bigram": 2.5},
        "title": "a title",
    }
    return plots.TrainingCurves(**(given | changes))  # type: ignore[arg-type]


def test_panels_show_what_they_should() -> None:
    curves = _curves()
    figure = plots.training_figure(curves)
    loss, norm, flow = figure.axes
    for axes in figure.axes:
        assert axes.get_title()
        assert axes.get_xlabel()
        assert axes.get_ylabel()
    legend = {text.get_text() for axes in (loss, norm) for text in axes.get_legend().get_texts()}
    assert "bigram model, 2.50" in legend
    share = np.mean(curves.grad_norm > 1.0)
    assert f"limit 1: {share:.0%} of steps clipped" in legend
    assert [axes.get_yscale() for axes in figure.axes] == ["linear", "log", "log"]
    assert len(flow.get_lines()) == 5
    assert "truncated here in training, 16 steps" in flow.get_legend().get_texts()[-1].get_text()
    newest_first = flow.get_lines()[0].get_ydata()
    np.testing.assert_array_equal(newest_first, curves.dh_norm[0][::-1])
    # Told apart without colour.
    assert len({line.get_linestyle() for line in flow.get_lines()[:2]}) == 2


def test_numbers_beside_an_axis_do_not_touch() -> None:
    """Of few powers of ten 1, 2 and 5 are named, of many the powers alone."""
    few, many = (
        plots.training_figure(_curves(grad_norm=np.geomspace(1e-2, top, 120))).axes[1] for top in (1, 1e6)
    )
    assert {0.02, 0.05, 0.1} <= set(few.get_yticks().round(9))
    assert len([tick for tick in many.get_yticks() if 1e-2 <= tick <= 1e6]) <= 9


ODD: dict[str, dict[str, object]] = {
    "no cell state": {"dc_norm": None},
    "no validation": {"validation": []},
    "no clipping": {"clip_norm": None},
    "no truncation": {"truncate": None},
    "nothing to beat": {"baselines": {}},
    "one step": {"loss": np.array([1.0]), "grad_norm": np.array([1.0]), "validation": [(1, 2.0)]},
    "no error at all": {"dh_norm": np.zeros((1, 30)), "dc_norm": None},
    "six layers, T = 1": {"dh_norm": np.ones((6, 1)), "dc_norm": np.ones((6, 1))},
    "gradient not finite": {"grad_norm": np.r_[np.inf, np.nan, np.ones(118)]},
    "no gradient": {"grad_norm": np.zeros(120)},
}


@pytest.mark.parametrize("changes", ODD.values(), ids=ODD)
def test_draws_whatever_a_run_leaves(changes: dict[str, object]) -> None:
    assert plots.png(plots.training_figure(_curves(**changes)), 40).startswith(PNG)


def test_smoothed_is_the_mean_of_what_there_is() -> None:
    values = np.arange(10.0) ** 2
    expected = [values[max(0, k - 3) : k + 1].mean() for k in range(10)]
    np.testing.assert_allclose(plots.smoothed(values, 4), expected, rtol=1e-14)
    np.testing.assert_array_equal(plots.smoothed(values, 1), values)


def test_without_matplotlib(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert not plots.available()
    with pytest.raises(ImportError, match=r"pip install 'bptt\[plot\]'"):
        plots.training_figure(_curves())


def test_leaves_pyplot_alone() -> None:
    sys.modules.pop("matplotlib.pyplot", None)
    plots.png(plots.training_figure(_curves()))
    assert "matplotlib.pyplot" not in sys.modules
