"""Sweeps: the runs, their order, errors, dead processes and Ctrl-C; and what is drawn of several runs."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.waiting import wait_until

import bptt
from bptt.diagnose import plot_histories
from bptt.train import Sweep

ROOT = Path(__file__).parent.parent
X = np.random.default_rng(0).standard_normal((6, 4, 2))


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Processes get the path of this one, and import the functions of this file from it."""
    monkeypatch.setattr(sys, "path", [str(ROOT), *sys.path])


def run(seed: int, hidden: int = 3, updates: int = 4) -> bptt.History:
    net = bptt.Sequential(bptt.GRU(2, hidden, seed=seed), bptt.Linear(hidden, 2, seed=seed))
    trainer = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.Adam(0.1), progress=False)
    return trainer.fit([(X, X)] * 2, validation=[(X, X)], max_updates=updates)


def figures(seed: int, fail: tuple[int, ...] = (), die: tuple[int, ...] = ()) -> dict[str, float]:
    if seed in fail:
        raise ValueError(f"planted {seed}")
    if seed in die:
        os._exit(7)
    return {"score": 10.0 * seed, "threads": bptt.get_num_threads()}


def unpicklable(seed: int) -> Any:
    return {"f": lambda: seed}


def quiet(*args: Any, **options: Any) -> Sweep:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        return bptt.sweep(*args, progress=False, **options)


def test_runs_have_the_bits_of_runs_alone_in_the_order_of_the_settings() -> None:
    settings = [{"hidden": 4}, {"hidden": 2, "updates": 3}]
    results = [quiet(run, seeds=[5, 1, 2], settings=settings, processes=count) for count in (0, 1, 2)]
    for result in results:
        assert [(trial.seed, trial.setting) for trial in result.trials] == [
            (seed, setting) for setting in settings for seed in (5, 1, 2)
        ]
        for trial in result.trials:
            expected = run(trial.seed, **trial.setting)
            assert trial.history is not None
            for name, column in expected.items():
                np.testing.assert_array_equal(trial.history[name], column)
            last = expected["loss"][expected["epoch"] == expected["epoch"][-1]].mean()
            assert trial.figures == {"loss": last, "validation_loss": expected["validation_loss"][-1]}
        assert result.table() == results[0].table() == repr(result)
        assert result.metric == "validation_loss"


def test_the_table_has_median_and_quartiles_and_the_best_setting_first() -> None:
    result = quiet(figures, seeds=5, settings=[{"fail": (0, 1)}, {}], processes=0, metric="score")
    assert [line.split() for line in result.table().splitlines()] == [
        ["fail", "score:", "median", "25", "%", "75", "%", "best", "runs"],
        ["20", "10", "30", "0", "5"],
        ["(0,", "1)", "30", "25", "35", "20", "3", "of", "5"],
    ]
    assert result.best.seed == 0
    higher = quiet(figures, seeds=3, processes=0, metric="score", better="higher")
    assert higher.table().splitlines()[1].split() == ["10", "5", "15", "20", "3"]
    assert higher.best.seed == 2
    frame = result.to_pandas()
    assert frame["score"].tolist()[2:] == [20, 30, 40, 0, 10, 20, 30, 40]
    assert [bool(error) for error in frame["error"]] == [True] * 2 + [False] * 8


def test_errors_and_dead_processes_lose_no_other_run() -> None:
    with pytest.warns(UserWarning, match=r"3 of 6 runs raised an error, the first with seed 1 .* planted 1"):
        result = bptt.sweep(
            figures, seeds=6, settings=[{"fail": (1,), "die": (2, 4)}], processes=2, threads=1, progress=False
        )
    assert [trial.figures.get("score") for trial in result.trials] == [0, None, None, 30, None, 50]
    assert {trial.figures["threads"] for trial in result.trials if not trial.error} == {1}
    assert "ValueError: planted 1" in result.trials[1].error
    assert "exit code 7" in result.trials[2].error


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "no function": ({"run": 3}, "run must be a function"),
    "a lambda": ({"run": lambda seed: 1.0, "processes": 1}, "run must be a function that can be pickled"),
    "no seeds": ({"seeds": 0}, "seeds must be an int >= 1"),
    "a seed of text": ({"seeds": ["0"]}, r"seeds\[0\] must be an int"),
    "no settings": ({"settings": []}, "must not be empty"),
    "one setting": ({"settings": {"hidden": 3}}, "settings must be a list of dicts"),
    "a seed twice": ({"settings": [{"seed": 1}]}, "must not hold a seed"),
    "no such metric": ({"metric": "accuracy"}, "metric must be one of loss, validation_loss"),
    "another word": ({"better": "up"}, "better must be 'lower' or 'higher'"),
    "a setting of a lock": (
        {"settings": [{"hidden": lambda: 3}], "processes": 1},
        "settings must hold values",
    ),
    "errors only": (
        {"run": figures, "settings": [{"fail": (0, 1)}]},
        "every run of the sweep raised an error",
    ),
    "no result": ({"run": print}, "every run"),
    "no number": ({"run": unpicklable, "processes": 1}, "every run"),
}


def test_wrong_arguments(subtests: pytest.Subtests) -> None:
    for name, (options, message) in WRONG.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError, RuntimeError), match=message):
            bptt.sweep(**{"run": run, "seeds": 2, "processes": 0, "progress": False} | options)


SLEEPER = """
import os, sys, time
import bptt

def run(seed):
    with open(os.path.join(sys.argv[1], str(os.getpid())), "w"):
        time.sleep(600)

{guard}bptt.sweep(run, seeds=4, processes=2, progress=False)
"""


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def test_an_interrupt_ends_the_processes(tmp_path: Path) -> None:
    script, folder = tmp_path / "sleeper.py", tmp_path / "pids"
    folder.mkdir()
    script.write_text(SLEEPER.format(guard='if __name__ == "__main__": '))
    with subprocess.Popen(
        [sys.executable, str(script), str(folder)], stderr=subprocess.PIPE, text=True
    ) as parent:
        wait_until(lambda: len(list(folder.iterdir())) == 2)
        parent.send_signal(signal.SIGINT)
        _, errors = parent.communicate()
    assert errors.rstrip().endswith("KeyboardInterrupt")
    assert errors.count("Traceback") == 1
    for path in folder.iterdir():
        wait_until(lambda path=path: not alive(int(path.name)))


def test_a_script_without_a_guard_gets_one_error_that_says_so(tmp_path: Path) -> None:
    script = tmp_path / "unguarded.py"
    script.write_text(SLEEPER.format(guard=""))
    done = subprocess.run([sys.executable, str(script), str(tmp_path)], capture_output=True, text=True)
    assert done.returncode == 1
    assert "call sweep under `if __name__ == '__main__':`" in done.stderr.splitlines()[-1]


@pytest.mark.skipif(sys.platform != "linux", reason="only there, functions of a session without a file work")
def test_functions_of_an_interactive_session() -> None:
    code = "import bptt\ndef run(seed): return seed * 2.0\nprint(bptt.sweep(run, seeds=3, processes=2))"
    done = subprocess.run([sys.executable], input=code, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[1].split() == ["2", "1", "3", "0", "3"]


# Pictures


def test_histories_are_drawn_with_median_and_quartiles() -> None:
    pytest.importorskip("matplotlib")
    histories = [run(seed, updates=4) for seed in range(5)]
    figure = plot_histories({"five": histories, "one": histories[0]}, "validation_loss")
    (axes,) = figure.axes
    five, one = axes.lines
    values = np.array([history["validation_loss"] for history in histories])
    np.testing.assert_array_equal(five.get_xdata(), [2, 4])
    np.testing.assert_allclose(five.get_ydata(), np.median(values, axis=0), rtol=1e-15)
    np.testing.assert_array_equal(one.get_ydata(), values[0])
    (band,) = axes.collections
    heights = band.get_paths()[0].vertices[:, 1]
    for quartile in np.quantile(values, (0.25, 0.75), axis=0).ravel():
        assert np.isclose(heights, quartile, rtol=1e-14).any()
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["five", "one"]


def test_histories_of_unequal_lengths() -> None:
    """Each run counts where it has values."""
    pytest.importorskip("matplotlib")
    short, long = run(0, updates=2), run(1, updates=6)
    (axes,) = plot_histories({"both": [short, long]}).axes
    expected = long["loss"].copy()
    expected[:2] = (expected[:2] + short["loss"]) / 2
    np.testing.assert_array_equal(axes.lines[0].get_xdata(), np.arange(1, 7))
    np.testing.assert_allclose(axes.lines[0].get_ydata(), expected, rtol=1e-15)


def test_pictures_in_given_axes_and_files(tmp_path: Path) -> None:
    matplotlib = pytest.importorskip("matplotlib.figure")
    result = quiet(run, seeds=2, settings=[{"hidden": 2}, {"hidden": 3}], processes=0)
    points = quiet(figures, seeds=3, settings=[{"fail": (0,)}, {"fail": (0, 1, 2)}], processes=0)
    curve = bptt.train.RateCurve(np.geomspace(1e-5, 1, 30), np.linspace(2, 1, 30))
    histories = {"a$b": run(0), "_c": run(1)}
    for name, plot in {
        "curves": result.plot,
        "points": points.plot,
        "rates": curve.plot,
        "histories": lambda path=None, ax=None: plot_histories(histories, path=path, ax=ax),
    }.items():
        figure = matplotlib.Figure()
        left, right = figure.subplots(1, 2)
        assert plot(ax=right) is figure
        assert not left.lines
        assert right.lines
        plot(tmp_path / f"{name}.png")
        assert (tmp_path / f"{name}.png").stat().st_size > 5000
    with pytest.raises(ValueError, match=r"path must end in \.png or \.svg"):
        result.plot(tmp_path / "sweep.pdf")


NO_HISTORIES: dict[str, tuple[Any, str]] = {
    "a history": (run(0), "mapping of names to histories"),
    "a list": ([run(0)], "mapping of names to histories"),
    "nothing": ({}, "mapping of names to histories"),
    "an empty mapping": ({}, "got none. Fix: "),
    "a number": ({"a": 3}, "must be a history or a list of histories; got int. Fix: "),
    "an empty list": ({"a": []}, "must hold a history"),
    "a column less": ({"a": {"validation_loss": np.ones(2)}}, "must have the column 'loss'"),
    "no update": ({"a": bptt.History()}, "at least one value of loss"),
}


def test_other_histories(subtests: pytest.Subtests) -> None:
    pytest.importorskip("matplotlib")
    for name, (histories, message) in NO_HISTORIES.items():
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=message):
            plot_histories(histories)
    with pytest.raises(TypeError, match="metric must be the name of a column; got 3"):
        plot_histories({"a": run(0)}, 3)  # type: ignore[arg-type]


def many_figures(seed: int) -> Any:
    return {"loss": [1.0, 2.0]}


def test_a_run_returns_one_number_for_each_name() -> None:
    with pytest.raises(RuntimeError, match=r"run must return .* got \[1.0, 2.0\] for 'loss'. Fix: "):
        bptt.sweep(many_figures, seeds=2, processes=0, progress=False)
    with pytest.raises(RuntimeError, match="int too large to convert to float"):
        bptt.sweep(lambda seed: 10**400, seeds=2, processes=0, progress=False)
