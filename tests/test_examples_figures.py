"""The examples with a figure to reach: fair baselines, small versions that run, files that are written."""

from __future__ import annotations

import sys
from collections import defaultdict
from importlib.util import find_spec, module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

EXAMPLES = Path(__file__).parent.parent / "examples"
NAMES = ("sunspots", "source_code", "digits", "heartbeat")


@pytest.fixture
def example(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Loads an example as `python examples/NAME.py` would, in an empty folder."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(EXAMPLES))

    def load(name: str) -> ModuleType:
        spec = spec_from_file_location(name, EXAMPLES / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    for shared in ("results", "ngrams"):
        load(shared)
    return load


def cycle(count: int = 309) -> np.ndarray:
    """Eleven years up and down, never below 0."""
    rng = np.random.default_rng(0)
    wave = 60 * (1 - np.cos(2 * np.pi * np.arange(count) / 10.6)) + 5 * rng.standard_normal(count)
    return np.maximum(wave, 0.0)


def beats(count: int = 2500) -> np.ndarray:
    """A sharp peak about once a second, and noise."""
    rng = np.random.default_rng(0)
    at = np.cumsum(rng.integers(85, 115, count // 85))
    steps = np.arange(count)[:, None]
    return np.exp(-((steps - at) ** 2) / 18).sum(1) + 0.02 * rng.standard_normal(count)


def synthetic(name: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """Data made up in place of what a package holds."""
    if name == "sunspots":
        monkeypatch.setattr(module, "load", lambda: (np.arange(1700, 2009), cycle()))
    elif name == "heartbeat":
        monkeypatch.setattr(module, "load", beats)


def rows(out: str, first: str) -> dict[str, list[str]]:
    """The table in what was printed, from the line that begins with `first`: names to cells."""
    lines = out.splitlines()
    start = next(k for k, line in enumerate(lines) if line.startswith(first))
    found = {}
    for line in lines[start + 1 :]:
        name, *cells = line.split("  ")
        if not cells:
            break
        found[name] = [cell.strip() for cell in cells if cell]
    return found


def run(module: ModuleType, *arguments: str) -> str:
    """The sentence of exit code 1; "" where every baseline was beaten."""
    try:
        module.main(["--quick", "--seeds", "1", *arguments])
    except SystemExit as stop:
        return str(stop.code)
    return ""


HEADS = {
    "sunspots": (
        "RMSE, years ahead",
        ["GRU", "seasonal-naive", "persistence", "autoregression, 9 years", "inside the GRU's 80% interval"],
    ),
    "source_code": (
        "model ",
        ["LSTM, 64 units", "bigram", "3-gram, Kneser-Ney", "5-gram, Kneser-Ney", "7-gram, Kneser-Ney"],
    ),
    "digits": ("right, of unseen", ["LSTM row by row", "GRU pixel by pixel", "logistic regression"]),
    "heartbeat": ("RMSE, ms ahead", ["LSTM", "ridge regression", "persistence"]),
}


@pytest.mark.parametrize("name", NAMES)
def test_small_version(
    name: str, example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib", reason="needs the extra 'plot'")
    if name != "heartbeat" and name != "source_code":
        pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    module = example(name)
    synthetic(name, module, monkeypatch)
    page = Path("page.md")
    page.write_text(f"before\n<!-- {name} -->\nold\n<!-- end of {name} -->\nafter\n", encoding="utf-8")
    said = run(module, "--picture", "made.png", "--markdown", "page.md")
    assert said == "" or said.startswith(f"{name}.py: not beaten: ")
    first, names = HEADS[name]
    table = rows(capsys.readouterr().out, first)
    assert list(table) == names
    assert all(float(cell.rstrip("%")) >= 0 for cells in table.values() for cell in cells if cell)
    assert Path("made.png").read_bytes().startswith(b"\x89PNG")
    text = page.read_text(encoding="utf-8")
    assert "old" not in text
    assert text.startswith(f"before\n<!-- {name} -->\n| ")
    assert text.endswith(f"<!-- end of {name} -->\nafter\n")
    for row, cells in table.items():
        assert f"| {row} | {' | '.join(cells)} |" in text.replace(" |  |", " |")


def test_beaten_or_not_is_the_exit_code(example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    results = example("results")
    errors = {
        "ours": np.array([[1.0, 3.0], [2.0, 3.0]]),
        "easy": np.array([[4.0, 4.0]]),
        "hard": np.array([[1.0, 3.5]]),
        "aside": np.array([[0.5, 0.5]]),
    }
    table, failures = results.error_table("RMSE", errors, {1: "now", 2: "later"}, 1, beside=["aside"])
    assert table.rows[0] == ["ours", "1.5", "3.0", "2.2"]
    assert failures == ["hard (2.2, ours 2.2)"]
    options = results.read_options("name", "what it is", [], seeds=3)
    assert (options.seeds, options.quick, options.picture) == (3, False, Path("name.png"))
    with pytest.raises(SystemExit, match=r"^name.py: not beaten: hard") as stop:
        results.deliver(options, table, lambda figure: None, (1.0, 1.0), failures)
    assert stop.value.code != 0
    results.deliver(options, table, lambda figure: None, (1.0, 1.0), [])
    claims = {"The Sun shines.": True, "The Moon shines.": False}
    with pytest.raises(SystemExit, match=r"^name.py: the page says .* not show: The Moon shines.$"):
        results.deliver(options, table, lambda figure: None, (1.0, 1.0), [], claims)
    options.quick = True
    results.deliver(options, table, lambda figure: None, (1.0, 1.0), [], claims)
    assert capsys.readouterr().out.startswith(
        "RMSE   now  later  mean of all\nours   1.5    3.0          2.2\n"
    )


def test_the_page_says_what_the_scripts_check(example: Any) -> None:
    page = " ".join((EXAMPLES.parent / "docs" / "guide" / "examples.md").read_text(encoding="utf-8").split())
    sunspots, vowels = example("sunspots"), example("japanese_vowels")
    for sentence in (
        *(sunspots.CLOSE, sunspots.BETTER, sunspots.INSIDE, sunspots.ACTIVE, example("heartbeat").HALF),
        f"The network recognises at least {100 * vowels.RIGHT:.0f} % correctly.",
        f"ignores the order of the steps, recognises at least {100 * vowels.SIMPLE:.0f} %.",
    ):
        assert sentence in page
    vowels.check(vowels.RIGHT, vowels.SIMPLE)
    for right, simple in ((vowels.RIGHT - 0.01, 1.0), (1.0, vowels.SIMPLE - 0.01)):
        with pytest.raises(SystemExit, match=r"is right in 9[24]\.0%; the page says 9[35]% or more"):
            vowels.check(right, simple)


def test_no_picture_without_matplotlib(
    example: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    results = example("results")
    monkeypatch.setattr("bptt.diagnose.pictures.canvas.available", lambda: False)
    options = results.read_options("name", "what it is", [], seeds=1)
    results.deliver(options, results.Table(["a"]), lambda figure: None, (1.0, 1.0), [])
    assert "pip install 'bptt[plot]'" in capsys.readouterr().out
    assert not options.picture.exists()


@pytest.mark.parametrize("name", NAMES)
def test_bad_options_take_one_line(name: str, example: Any, capsys: pytest.CaptureFixture[str]) -> None:
    for arguments, says in [
        (["--seeds", "0"], "expected a whole number of at least 1"),
        (["--picture", "x.jpg"], "must end in .png or .svg"),
        (["--picture", "missing/x.png"], "there is no folder missing"),
        (["--markdown", "missing.md"], "there is no such file"),
        (["--markdown", "empty.md"], "has no marks '<!-- "),
        (["--epochs", "3"], "unrecognized arguments"),
    ]:
        Path("empty.md").touch()
        with pytest.raises(SystemExit) as stop:
            example(name).main(arguments)
        assert stop.value.code == 2
        error = capsys.readouterr().err
        assert error.startswith(f"{name}.py: ")
        assert says in error
        assert error.count("\n") == 1


def test_says_which_package_is_missing(example: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "statsmodels.datasets.sunspots", None)
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    for name, package in (("sunspots", "statsmodels"), ("digits", "scikit-learn"), ("heartbeat", "peakdet")):
        module = example(name)
        if name == "heartbeat":
            monkeypatch.setattr(module, "find_spec", lambda name: None)
        with pytest.raises(SystemExit, match=rf"{package}.*pip install 'bptt\[examples\]'"):
            module.main([])
    monkeypatch.setattr("bptt.cli.text.corpus.sysconfig.get_path", lambda name: "nowhere")
    with pytest.raises(SystemExit, match="standard library"):
        example("source_code").main([])


class Counted:
    """Interpolated Kneser-Ney by the book: dictionaries, one probability at a time."""

    def __init__(self, text: list[int], order: int, symbols: int) -> None:
        self.symbols = symbols
        self.counts: list[dict[tuple[int, ...], int]] = [defaultdict(int) for _ in range(order)]
        for at in range(len(text) - order + 1):
            self.counts[-1][tuple(text[at : at + order])] += 1
        for n in range(order - 1, 0, -1):
            for gram in self.counts[n]:
                self.counts[n - 1][gram[1:]] += 1
        self.discounts = []
        for counts in self.counts:
            once, twice = (sum(count == k for count in counts.values()) for k in (1, 2))
            self.discounts.append(once / (once + 2 * twice) if once else 0.5)

    def p(self, context: tuple[int, ...], symbol: int) -> float:
        lower = self.p(context[1:], symbol) if context else 1 / self.symbols
        counts, discount = self.counts[len(context)], self.discounts[len(context)]
        after = {gram: count for gram, count in counts.items() if gram[:-1] == context}
        if not after:
            return lower
        kept = max(after.get((*context, symbol), 0) - discount, 0.0)
        return (kept + discount * len(after) * lower) / sum(after.values())


@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_kneser_ney(order: int, example: Any) -> None:
    rng = np.random.default_rng(order)
    train = np.minimum(rng.geometric(0.4, 400) - 1, 5)
    train[1::2] = (train[::2] + train[1::2]) % 5  # something to learn, and a symbol 5 that is rare
    model, book = example("ngrams").KneserNey(train, order, 7), Counted(train.tolist(), order, 7)
    text = rng.integers(0, 7, 60)
    contexts = [tuple(text[max(0, at - order + 1) : at].tolist()) for at in range(1, 60)]
    wanted = [book.p(context, int(symbol)) for context, symbol in zip(contexts, text[1:], strict=True)]
    np.testing.assert_allclose(np.exp(-model.losses(text)), wanted, rtol=1e-12)
    for context in ([0, 1, 2, 3], [6, 6, 6, 6], [1, 1, 6, 0]):
        nexts = [np.exp(-model.losses(np.array([*context, symbol]))[-1]) for symbol in range(7)]
        assert sum(nexts) == pytest.approx(1.0, rel=1e-12)


def test_kneser_ney_refuses_what_overflows(example: Any) -> None:
    with pytest.raises(ValueError, match="order must be smaller for 100 symbols; got 10"):
        example("ngrams").KneserNey(np.zeros(20, np.int64), 10, 100)


def test_sunspots_forecasts_know_nothing_of_the_future(example: Any) -> None:
    pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    sunspots = example("sunspots")
    values = cycle()
    first = sunspots.forecasts(values, 0, 1)
    assert [part.shape for part in first] == [(50, 11)] * 3
    assert (first[1] <= first[0]).all()
    assert (first[0] <= first[2]).all()
    changed = values.copy()
    at = 30
    changed[sunspots.origins(values)[at] + 1 :] += 40.0
    for old, new in zip(first, sunspots.forecasts(changed, 0, 1), strict=True):
        np.testing.assert_array_equal(old[: at + 1], new[: at + 1])
        assert (old[at + 1 :] != new[at + 1 :]).any()
    np.testing.assert_array_equal(sunspots.truth(values)[0], values[-60:-49])
    np.testing.assert_array_equal(sunspots.truth(values)[-1], values[-11:])
    np.testing.assert_array_equal(sunspots.seasonal_naive(values)[-1], values[-22:-11])
    np.testing.assert_array_equal(sunspots.persistence(values)[-1], np.full(11, values[-12]))
    line = sunspots.autoregression(values)
    np.testing.assert_array_equal(line[: at + 1], sunspots.autoregression(changed)[: at + 1])
    exact = np.sin(np.arange(309) / 3.0) + 2.0
    np.testing.assert_allclose(sunspots.autoregression(exact), sunspots.truth(exact), rtol=0, atol=1e-6)


def test_heartbeat_predictions_know_nothing_of_the_future(example: Any) -> None:
    heartbeat = example("heartbeat")
    values = beats()
    _, end = heartbeat.cut(values)
    came = heartbeat.ahead(values)
    np.testing.assert_array_equal(came[7], values[8 : 8 + heartbeat.AHEAD])
    changed = values.copy()
    changed[end + 100 :] += 1.0
    model = heartbeat.trained(values[:end], 0, 1)
    for predict in (lambda series: heartbeat.predicted(model, series)[end:], heartbeat.ridge):
        old, new = predict(values), predict(changed)
        assert old.shape == came[end:].shape
        np.testing.assert_allclose(old[:100], new[:100], rtol=0, atol=1e-12)
        assert (old[100:] != new[100:]).any()


def test_heartbeat_ridge_is_the_best_line(example: Any) -> None:
    """Of a series that a line continues without error, it finds that line."""
    heartbeat = example("heartbeat")
    values = np.sin(np.arange(3000) / 7.0)
    _, end = heartbeat.cut(values)
    assert np.abs(heartbeat.ridge(values) - heartbeat.ahead(values)[end:]).max() < 1e-3


@pytest.mark.parametrize(("name", "package"), [("sunspots", "statsmodels"), ("heartbeat", "peakdet")])
def test_baselines_are_beaten_on_the_real_data(name: str, package: str, example: Any) -> None:
    if find_spec(package) is None:
        pytest.skip(f"needs {package}, of the extra 'examples'")
    if name == "sunspots":
        pytest.importorskip("sklearn", reason="needs the extra 'sklearn'")
    example(name).main(["--seeds", "1"])  # exits where one is not
