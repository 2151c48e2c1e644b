"""The runner of experiments: it resumes, survives failing runs, and prints a table."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from experiments import __main__ as command
from experiments import page, registry, table
from experiments.experiment import Case, Experiment, Runs
from experiments.results import Results, finished_run
from experiments.runner import Choice, missing, run_all

from bptt.diagnose.pictures import canvas

MADE: list[tuple[str, int, bool]] = []
"""The runs that `toy` made."""


@pytest.fixture(autouse=True)
def _nothing_made() -> None:
    MADE.clear()


def toy(seed: int, quick: bool, *, name: str, broken: int = -1) -> dict[str, Any]:
    MADE.append((name, seed, quick))
    if seed == broken:
        raise FloatingPointError("this run is broken")
    return {"solved": seed % 2 == 0, "sequences": 1000 * (seed + 1)}


def verdict(runs: Runs) -> tuple[bool, str]:
    count, of = table.solved(runs["a"])
    return count == of, f"{count} of {of} runs are solved."


def experiment(**changes: Any) -> Experiment:
    cases = [
        Case(name, f"net {name}", "2,000", functools.partial(toy, name=name, **changes), 1, 3, 1.0, seconds)
        for name, seconds in (("a", 5.0), ("b", 50.0))
    ]
    return Experiment("toy", "A toy", "Nobody (1997).", "It works.", "All solved.", tuple(cases), verdict)


def calls_of(chosen: Experiment) -> Callable[[str, str, int, bool], Mapping[str, Any]]:
    def call(experiment: str, case: str, seed: int, quick: bool) -> Mapping[str, Any]:
        assert experiment == chosen.name
        return chosen.case(case).run(seed, quick)

    return call


def make(chosen: Experiment, folder: Path, **options: Any) -> list[str]:
    call = calls_of(chosen)
    choices = [Choice(chosen, chosen.cases)]
    failures = run_all(choices, Results(folder), processes=0, call=call, **{"quick": False, **options})
    return [failure.line() for failure in failures]


def test_only_missing_runs_are_made_and_long_ones_first(tmp_path: Path) -> None:
    assert make(experiment(), tmp_path, seeds=2) == []
    assert MADE == [("b", 0, False), ("b", 1, False), ("a", 0, False), ("a", 1, False)]
    MADE.clear()
    make(experiment(), tmp_path)
    assert sorted(MADE) == [("a", 2, False), ("b", 2, False)]
    MADE.clear()
    make(experiment(), tmp_path, quick=True)
    assert sorted(MADE) == [("a", 0, True), ("b", 0, True)]
    MADE.clear()
    make(experiment(broken=9), tmp_path)
    assert len(MADE) == 6, "the settings have changed"
    make(experiment(broken=9), tmp_path, again=True)
    assert len(MADE) == 12


def test_a_failing_run_does_not_stop_the_others(tmp_path: Path) -> None:
    failures = make(experiment(broken=1), tmp_path)
    assert failures == [
        f"toy:{case} failed with seed 1: FloatingPointError: this run is broken" for case in "ba"
    ]
    finished = Results(tmp_path).finished(experiment(broken=1), quick=False)
    assert [run.seed for run in finished["a"]] == [0, 2]
    assert (
        len(missing([Choice(experiment(), experiment().cases)], Results(tmp_path), quick=False, seeds=None))
        == 6
    )


def test_a_figure_that_json_cannot_hold_is_a_failure(tmp_path: Path) -> None:
    case = Case("a", "net", "", lambda seed, quick: {"sequences": object()}, 1, 1)
    chosen = Experiment("toy", "A toy", "Nobody.", "It works.", "All solved.", (case,), verdict)
    (line,) = make(chosen, tmp_path)
    assert "figures must be numbers" in line


def test_the_table_and_the_page_have_ours_and_the_published_figures(tmp_path: Path) -> None:
    make(experiment(), tmp_path)
    results, chosen = Results(tmp_path), experiment()
    text = table.text([(chosen, results.finished(chosen, quick=False))])
    head, first, *_ = text.splitlines()
    assert head.split() == list(table.HEAD)
    assert first.split() == ["toy", "a", "2/3", "2,000", "2,000", "no"], "the mean is over solved runs"
    assert "toy: 2 of 3 runs are solved." in text

    path = tmp_path / "papers.md"
    page.write([chosen], results, path, draw=canvas.available())
    written = path.read_text(encoding="utf-8")
    assert "| a | 2/3 | 2,000 | 1,000 to 3,000 | 2,000 |" in written
    assert "**Verdict: not reproduced.** 2 of 3 runs are solved." in written
    assert (tmp_path / "images/papers/toy.png").exists() == canvas.available()


@pytest.mark.skipif(sys.platform == "win32", reason="no lock there")
def test_commands_that_share_a_folder_lose_no_run(tmp_path: Path) -> None:
    def store(first: int) -> None:
        for seed in range(first, first + 10):
            results.store(chosen, finished_run(chosen, "a", seed, False, {"solved": True}, 1.0))

    results, chosen = Results(tmp_path), experiment()
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(store, range(0, 40, 10)))
    assert [run.seed for run in results.finished(chosen, quick=False)["a"]] == list(range(40))


@pytest.mark.parametrize("content", ['{"runs": [', "[]", '{"runs": [{"case": "a"}]}'])
def test_a_damaged_file_is_named_before_any_run_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], content: str
) -> None:
    monkeypatch.setattr(registry, "EXPERIMENTS", (experiment(),))
    file = tmp_path / "toy.json"
    file.write_text(content, encoding="utf-8")
    for folder, words in ((tmp_path, f"{file} has no results"), (file, f"{file} must be a folder")):
        with pytest.raises(SystemExit):
            command.main(["--results", str(folder), "--processes", "0"])
        assert words in capsys.readouterr().err
    assert MADE == []
    assert file.read_text(encoding="utf-8") == content


def test_a_case_without_runs_is_not_judged(tmp_path: Path) -> None:
    word, sentence = table.verdict(experiment(), Results(tmp_path).finished(experiment(), quick=True))
    assert (word, sentence) == ("-", "Not judged yet, because 2 of 2 cases have no run.")


def test_a_claim_is_judged_without_cases_that_it_does_not_need(tmp_path: Path) -> None:
    known = experiment()
    chosen = replace(known, cases=(known.cases[0], replace(known.cases[1], needed=False)))
    results = Results(tmp_path)
    run_all([Choice(chosen, chosen.cases[:1])], results, quick=True, processes=0, call=calls_of(chosen))
    word, sentence = table.verdict(chosen, results.finished(chosen, quick=True))
    assert word == "yes"
    assert sentence.endswith("Not run: b.")
    halves = replace(chosen, verdict=lambda runs: (None, "Half of it."))
    assert table.verdict(halves, results.finished(chosen, quick=True))[0] == "partly"


def test_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(registry, "EXPERIMENTS", (experiment(broken=1),))
    stored = ["--results", str(tmp_path), "--processes", "0"]
    assert command.main(["toy:b", *stored, "--quick"]) == 0
    assert MADE == [("b", 0, True)]
    assert command.main([*stored, "--seeds", "2"]) == 1
    printed = capsys.readouterr()
    assert "toy:a failed with seed 1" in printed.err
    assert f"results  {tmp_path}" in printed.out
    assert command.main(["--list", *stored]) == 0
    assert "    a: 3 runs, 2 to make, about 0.2 minutes of one core" in capsys.readouterr().out
    assert command.main(["--list", "--again", *stored]) == 0
    assert "    a: 3 runs, 3 to make" in capsys.readouterr().out
    with pytest.raises(SystemExit):
        command.main(["nothing", *stored])
    assert "no experiment or case is called 'nothing'; the experiments are toy" in capsys.readouterr().err


def test_names_of_experiments_and_cases_are_unambiguous() -> None:
    names = [experiment.name for experiment in registry.EXPERIMENTS]
    assert len(set(names)) == len(names)
    for experiment in registry.EXPERIMENTS:
        for case in experiment.cases:
            assert case.digest()
            assert not set("*?[]|") & set(case.name), "such names cannot be chosen, or break the table"
