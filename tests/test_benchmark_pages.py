"""The benchmark page, its chart, the speeds in README.md, and the floors come from results of compare.py."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from bptt.bench import results
from bptt.bench.clock import Timing
from bptt.bench.measure import Row
from bptt.bench.memory import MIB, Memory
from bptt.bench.peers import FLOAT32, OURS
from bptt.bench.session import Findings
from bptt.bench.shapes import Case, Shape

ROOT = Path(__file__).parent.parent


def script(name: str) -> ModuleType:
    """A script of benchmarks/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


page, floors, precision_page = script("page"), script("floors"), script("precision_page")

SHAPE = Shape("text", 10, 4, 8, 16)
CASE = Case("lstm", SHAPE, "training")
CHECKPOINT = Case("lstm", Shape("checkpoint", 10, 4, 8, 16), "variants")


def row(case: Case = CASE, threads: int = 1, limit: float = 50.0, **medians: float) -> Row:
    times = {name: Timing(median, 0.9 * median) for name, median in medians.items()}
    return Row(case, threads, times, {} if case.mode == "variants" else {"compute": limit, "memory": 10.0})


def made_up(*rows: Row, processor: str = "A CPU", **machine: Any) -> Findings:
    about = {"processor": processor, "system": "An OS", "isa": "avx2", "peak": 100.0, "load": 0.0}
    versions = {"bptt": "1", "torch": "2.1+cpu", "jax": "3"}
    more = {"versions": versions, "bandwidth": {str(2**15): 140.4, str(2**22): 90.0}}
    return Findings({**about, **more, **machine}, list(rows), [Memory(CASE, 1, 9 * MIB, 6 * MIB, MIB, MIB)])


def all_modes(threads: int) -> list[Row]:
    """A row of each mode: 2, 3 and 4 times as fast as the best competitor."""
    denormal = replace(SHAPE, denormal=True)
    flushed = {"torch-flush": 300.0}
    return [
        row(replace(CASE, mode="inference"), threads, bptt=100, torch=400, onnxruntime=300),
        row(threads=threads, bptt=100, torch=200, jax=900),
        row(replace(CASE, mode="streaming"), threads, bptt=100, torch=400),
        row(replace(CASE, shape=denormal), threads, bptt=100, torch=1e9, **flushed),
        row(CHECKPOINT, threads, bptt=150, plain=100, torch=600),
    ]


# The stored results


def test_the_page_is_what_the_results_give() -> None:
    assert page.page(page.load([])) == page.PAGE.read_text(encoding="utf-8"), "run benchmarks/page.py"


def test_the_speeds_in_readme_are_those_of_the_page() -> None:
    readme = page.README.read_text(encoding="utf-8")
    assert page.with_sentence(readme, page.load([])) == readme, "run benchmarks/page.py"


def test_the_page_of_promises_has_the_form_of_its_script() -> None:
    """Each promise has its tests, which exist, and figures. No test of a promise is left out."""
    promises = script("promises")
    page = (ROOT / "docs/trust.md").read_text(encoding="utf-8")
    (rows,) = promises.MARKS.findall(page)
    head, _, *lines = rows.splitlines()[: 2 + len(promises.PROMISES)]
    figures = [line.rsplit(" | ", 1)[1].removesuffix(" |").split("; ") for line in lines]
    assert [head, *lines] == [
        promises.HEAD,
        *(
            promises.row(k, promise, figures)
            for k, (promise, figures) in enumerate(zip(promises.PROMISES, figures, strict=True), 1)
        ),
    ]
    assert all(figure for row in figures for figure in row)
    tests = {name for promise in promises.PROMISES for name in promise.tests}
    assert [name for name in tests if not (ROOT / name).is_file()] == []
    assert {path.name for path in (ROOT / "tests/promises").glob("test_*.py")} == {
        Path(name).name for name in tests if name.startswith("tests/promises/")
    }


def test_a_bad_figure_of_a_promise_is_an_error(
    monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    promises = script("promises")
    random, skipped = iter(range(1000)), "1 skipped in 0.01s"
    spoiled = {
        "random_calls": ("pytest", lambda *_, **__: skipped, "1 skipped"),
        "central_differences": ("worst_error", lambda *_, **__: 1e-4, "largest error 1e-04"),
        "second_implementation": ("worst_error", lambda *_, **__: 1e-4, "largest difference 1e-04"),
        "same_bits": ("gradients", lambda *_: np.array(next(random)), "0 of 6 cells"),
        "import_cost": ("run", lambda code: "3" if "import bptt, threading" in code else "1", "2 threads"),
        "instruction_sets": ("worst_error", lambda *_, **__: 1e-4, "1e-04 on generic"),
        "planted_values": ("numbers", lambda *shape: np.zeros(shape), "of 50 planted"),
        "count": ("recorded", lambda *_: {"tests/promises/test_memory.py": "few"}, "test_threads.py"),
    }
    monkeypatch.setattr(promises.bptt, "first_nonfinite", lambda *_: None)
    measured = {measure.__name__ for promise in promises.PROMISES for measure in promise.measures}
    assert measured - spoiled.keys() == {"two_processes"}  # a ratio of times has no limit
    for name, (part, replacement, message) in spoiled.items():
        with subtests.test(name), monkeypatch.context() as patch:
            patch.setattr(promises, part, replacement)
            arguments = [None] if name == "count" else []
            with pytest.raises(SystemExit, match=message):
                getattr(promises, name)(*arguments)
    with pytest.raises(SystemExit, match="no figures"):
        promises.row(1, promises.PROMISES[0], [])


def test_the_chart_shows_every_compared_row() -> None:
    tree = ElementTree.parse(page.CHART)
    svg = "{http://www.w3.org/2000/svg}"
    dots = sum(len(group.findall(f"{svg}use")) for group in tree.iter(f"{svg}g") if group.get("clip-path"))
    assert dots == sum(page.is_drawn(each) for findings in page.load([]) for each in findings.rows)


def test_the_page_of_precision_is_what_its_results_give() -> None:
    stored = precision_page.PAGE.read_text(encoding="utf-8")
    found = precision_page.with_text(stored, precision_page.load([]))
    assert found == stored, "run benchmarks/precision_page.py"


# The page of made-up results


def test_the_page_of_precision_has_shares_and_ratios() -> None:
    def reduced(cell: str, **medians: float) -> Row:
        found = row(Case(cell, SHAPE, "training", "bfloat16"), **{OURS: 100.0, FLOAT32: 180.0} | medians)
        return replace(found, errors={OURS: 0.002, "torch-bf16": 0.01})

    wrong = replace(reduced("gru"), disagreed={"torch-bf16": "too far"})
    findings = made_up(reduced("lstm", **{"torch-bf16": 120.0, "jax": 400.0}), wrong)
    findings.machine |= {"date": "2026-11-30", "gains": {"bfloat16": 2.0, "int8": 1.0}}
    text = precision_page.text([findings])
    figures = "16 | 180 | 100 | 1.80 | 50% |"
    assert "| cell | float32, µs | bfloat16, µs | times as fast | share of the compute bound |" in text
    assert f"| LSTM {figures} PyTorch bfloat16 | 120 | 1.20 | 0.20% | 1.00% |" in text
    assert f"| GRU {figures}  |  |  | 0.20% |  |" in text
    assert "1.8 to 1.8 times as fast as our float32, and 1.2 to 1.2 times" in text
    assert "The largest difference is 0.20% of the largest output or gradient." in text
    assert "differ too much from float32: PyTorch bfloat16 (GRU 16)." in text
    assert "float32 (AVX2). The peak is 2 times that in bfloat16. Emulated: int8." in text


def test_page_of_two_machines() -> None:
    old = made_up(*all_modes(1), processor="An old CPU", peak=50.0, bandwidth={}, load=2.0)
    text = page.page([made_up(*all_modes(1), *all_modes(2)), old])
    assert "| A CPU | 1 | 3.00 (4.00) | 2.00 (2.00) | 4.00 (4.00) | 2.00, LSTM training, text: T=10" in text
    assert "| A CPU | 2 | 3.00 (4.00) |" in text
    assert "| An old CPU | 1 |" in text
    assert "| LSTM | text: T=10 B=4 I=8 H=16 | 100 | 200 | 900 | 2.00 | 50% | compute |" in text
    assert "1,000,000,000 (300 with denormals flushed)" in text
    assert "| 1 | LSTM | checkpoint: T=10 B=4 I=8 H=16 | 150 | 100 | 1.50 |  | 600 | 4.00 |" in text
    assert "| 1 | LSTM | text: T=10 B=4 I=8 H=16 | 9.0 | 6.0 | 1.0 | 1.0 |" in text
    assert "One thread reads 140 GB/s from 32 KiB and 90 GB/s from 4 MiB." in text
    assert "The bandwidth was not measured" in text
    assert "Other processes were running (load 2.0)." in text
    assert "PyTorch 2.1 and JAX 3" in text
    assert text.count("<details>") == text.count("</details>") == 2 + 3 + 3 + 2 + 3 + 2


def test_the_summary_of_the_page_is_short() -> None:
    text = page.page(page.load([]))
    summary = text.partition("![")[0].splitlines()
    assert len([line for line in summary if line and not line.startswith("#")]) <= 10
    unfolded = re.sub(r"<details>.*?</details>", "", text, flags=re.DOTALL)
    assert "| ---" not in unfolded


def test_two_threads_are_compared_with_one() -> None:
    found = row(threads=2, bptt=100, **{"one-thread": 190.0})
    text = page.page([made_up(replace(found, barrier=80.4))])
    assert "| LSTM | training | text: T=10 B=4 I=8 H=16 | 190 | 100 | 1.90 | 80 |" in text


def test_readme_gets_the_sentence_between_its_comments() -> None:
    machines = [made_up(*all_modes(1))]
    readme = "before\n<!-- speed -->\nold\n<!-- end of speed -->\nafter\n"
    found = page.with_sentence(readme, machines)
    assert found.startswith("before\n<!-- speed -->\n**Training is 2.00 times as fast as in PyTorch**")
    assert found.endswith(
        "inference 3.00 times and a single step 4.00 times as fast.\n<!-- end of speed -->\nafter\n"
    )
    assert page.with_sentence(found, machines) == found
    with pytest.raises(AssertionError, match=r"README\.md needs"):
        page.with_sentence("no comments", machines)


def test_chart(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib", reason="the chart is drawn with matplotlib")
    paths = tmp_path / "a.svg", tmp_path / "b.svg"
    for path in paths:
        page.draw([made_up(*all_modes(1), *all_modes(2)), made_up(*all_modes(1), processor="Old")], path)
    text = paths[0].read_text(encoding="utf-8")
    assert text == paths[1].read_text(encoding="utf-8")
    assert (
        len(set(re.findall(r"<g clip-path=[^>]*style=\"fill: (#\w+)", text))) == 2
    )  # one colour per thread count
    for words in ("LSTM training", "LSTM streaming", "A CPU", "Old", "2 threads"):
        assert words in text
    assert "variants" not in text


# Floors


def run_floors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new: Findings, old: Findings | None) -> int:
    monkeypatch.setattr(floors, "RESULTS", tmp_path)
    arguments = ["floors.py", str(tmp_path / "new" / "new.json")]
    (tmp_path / "new").mkdir()
    results.save(tmp_path / "new" / "new.json", new, "")
    if old is not None:
        results.save(tmp_path / "old.json", old, "")
    monkeypatch.setattr("sys.argv", arguments)
    code: int = floors.main()
    return code


@pytest.mark.parametrize(
    ("new", "old", "lines"),
    [
        (row(bptt=100, torch=98), None, 0),  # within the noise
        (row(bptt=100, torch=96), None, 1),
        (row(bptt=104, torch=200), row(bptt=100, torch=200), 0),
        (row(bptt=106, torch=200), row(bptt=100, torch=200), 1),
        (row(bptt=106, torch=100), row(bptt=100, torch=200), 2),
        (row(bptt=106, torch=200, limit=53), row(bptt=100, torch=200), 0),  # the machine was slower
        (row(threads=2, bptt=900, torch=1000), row(bptt=100, torch=200), 0),  # another row
        (row(bptt=100), row(bptt=100), 0),
    ],
)
def test_floors(
    new: Row,
    old: Row | None,
    lines: int,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    before = None if old is None else made_up(old)
    assert run_floors(tmp_path, monkeypatch, made_up(new), before) == (lines > 0)
    printed = capsys.readouterr()
    assert printed.out.splitlines()[-1] == f"1 rows, {lines} below a floor"
    assert len(printed.out.splitlines()) == lines + 1
    assert ("no stored results" in printed.err) == (old is None)


def test_floors_compare_the_same_limit() -> None:
    new = row(bptt=100, torch=200, limit=40)
    new = replace(new, limits=new.limits | {"memory": 90.0})
    old = replace(row(bptt=100, torch=200, limit=40), limits={"compute": 40.0})
    assert list(floors.slower_than_before(made_up(new), made_up(old))) == []
    slower = replace(new, times={"bptt": Timing(110.0, 110.0)})
    (message,) = floors.slower_than_before(made_up(slower), made_up(old))
    assert "share of the limit 36.4%, before 40.0%" in message


def test_floors_refuse_another_processor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new, old = tmp_path / "new.json", tmp_path / "old.json"
    results.save(new, made_up(row(bptt=1)), "")
    results.save(old, made_up(row(bptt=1), processor="Another CPU"), "")
    monkeypatch.setattr("sys.argv", ["floors.py", str(new), "--against", str(old)])
    with pytest.raises(SystemExit) as stop:
        floors.main()
    assert stop.value.code == 2
