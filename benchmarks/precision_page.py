"""Write the tables of docs/performance/precision.md from results of precision.py.

python benchmarks/precision_page.py [FILE ...]

Each FILE has the results of one machine. Without files, all results in benchmarks/results/precision are used.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable, Sequence
from pathlib import Path

from bptt.bench import results
from bptt.bench.measure import Row
from bptt.bench.peers import FLOAT32, OURS
from bptt.bench.session import Findings

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "precision"
PAGE = ROOT / "docs" / "performance" / "precision.md"
START, END = "<!-- precision -->\n", "\n<!-- end of precision -->"

NAMES = {
    "torch": "PyTorch float32",
    "torch-bf16": "PyTorch bfloat16",
    "torch-int8": "PyTorch int8",
    "openvino-bf16": "OpenVINO bfloat16",
    "onnxruntime": "ONNX Runtime float32",
    "onnxruntime-int8": "ONNX Runtime int8",
    "litert": "LiteRT float32",
    "litert-int8": "LiteRT int8",
    "jax": "JAX float32",
}
"""Peers on the page."""

PACKAGES = {"torch": "PyTorch", "openvino": "OpenVINO", "onnxruntime": "ONNX Runtime"} | {
    "ai_edge_litert": "LiteRT",
    "jax": "JAX",
}

MODES = {
    "inference": "inference with 32 rows",
    "training": "training with 32 rows",
    "streaming": "streaming of one row",
}

ISAS = {"avx2": "AVX2", "avx512": "AVX-512"}

TEXT = ("cell", "best other library")
"""Columns of words."""


def load(paths: Sequence[Path]) -> list[Findings]:
    """Read the results of all machines."""
    return [results.load(path) for path in paths or sorted(RESULTS.glob("*.json"))]


def text(machines: Sequence[Findings]) -> str:
    """Return all that stands between the comments of the page."""
    return "\n\n".join(part for findings in machines for part in _parts(findings))


def with_text(page: str, machines: Sequence[Findings]) -> str:
    """Return the page with this text between its comments."""
    assert page.count(START) == page.count(END) == 1, f"{PAGE.name} needs {START!r} and {END!r}"
    return page.partition(START)[0] + START + text(machines) + END + page.partition(END)[2]


def _parts(findings: Findings) -> Iterable[str]:
    about, groups = findings.machine, _groups(findings.rows)
    yield f"## {about['processor']}"
    yield _machine(findings)
    yield "\n".join(_gain(*group, rows) for group, rows in groups.items())
    for (precision, mode), rows in groups.items():
        yield f"### {precision}, {MODES[mode]}"
        yield _table(precision, rows)
        yield from _disagreed(rows)


def _groups(rows: Iterable[Row]) -> dict[tuple[str, str], list[Row]]:
    groups: dict[tuple[str, str], list[Row]] = {}
    for row in rows:
        groups.setdefault((row.case.precision, row.case.mode), []).append(row)
    return groups


def _machine(findings: Findings) -> str:
    about = findings.machine
    versions = [
        f"{name} {about['versions'][package].partition('+')[0]}"
        for package, name in PACKAGES.items()
        if package in about["versions"]
    ]
    gains = [f"{gain:g} times that in {precision}" for precision, gain in about["gains"].items() if gain > 1]
    emulated = [precision for precision, gain in about["gains"].items() if gain == 1]
    sentences = [
        f"Measured on {about['date']} with one thread.",
        f"It reaches {about['peak']:.0f} GFLOP/s in float32 ({ISAS.get(about['isa'], about['isa'])}).",
        f"The peak is {_listed(gains)}." if gains else "",
        f"Emulated: {_listed(emulated)}." if emulated else "",
        f"The other libraries are {_listed(versions)}.",
    ]
    return " ".join(filter(None, sentences))


def _gain(precision: str, mode: str, rows: Sequence[Row]) -> str:
    """Return a line of the summary. There is no mean, because the bounds of the rows differ."""
    gains = [row.ratio(FLOAT32) for row in rows if FLOAT32 in row.times]
    ratios = [row.ratio(row.best_peer) for row in rows if row.best_peer is not None]
    line = f"- **{precision}, {MODES[mode]}**: {_range(gains)} times as fast as our float32"
    if ratios:
        line += f", and {_range(ratios)} times as fast as the best other library"
    errors = [row.errors[OURS] for row in rows if OURS in row.errors]
    what = "output or gradient" if mode == "training" else "output"
    found = f". The largest difference is {_percent(max(errors), 2)} of the largest {what}" if errors else ""
    return f"{line}{found}."


def _table(precision: str, rows: Sequence[Row]) -> str:
    heads = _heads(precision, {row.limit for row in rows})
    rule = ["---" if head in TEXT else "---:" for head in heads]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *map(_cells, rows)))


def _heads(precision: str, bounds: set[str | None]) -> list[str]:
    bound = " or ".join(sorted(filter(None, bounds)))
    return [
        *("cell", "float32, µs", f"{precision}, µs", "times as fast", f"share of the {bound} bound"),
        *("best other library", "its time, µs", "best other / bptt", "difference", "its difference"),
    ]


def _cells(row: Row) -> list[str]:
    best = row.best_peer
    return [
        f"{row.case.cell.upper()} {row.case.shape.H}",
        _time(row, FLOAT32),
        _time(row, OURS),
        f"{row.ratio(FLOAT32):.2f}" if FLOAT32 in row.times else "",
        _percent(row.share, 0),
        "" if best is None else NAMES.get(best, best),
        "" if best is None else _time(row, best),
        "" if best is None else f"{row.ratio(best):.2f}",
        _percent(row.errors.get(OURS), 2),
        "" if best is None else _percent(row.errors.get(best), 2),
    ]


def _disagreed(rows: Sequence[Row]) -> Iterable[str]:
    """Name the libraries whose results were too far from float32 to be timed."""
    found: dict[str, list[str]] = {}
    for row in rows:
        for peer in row.disagreed:
            found.setdefault(NAMES.get(peer, peer), []).append(f"{row.case.cell.upper()} {row.case.shape.H}")
    for name, where in found.items():
        yield f"Not timed, because its results differ too much from float32: {name} ({', '.join(where)})."


def _time(row: Row, name: str) -> str:
    if name not in row.times:
        return ""
    median = row.times[name].median
    return f"{median:.2f}" if median < 100 else f"{median:,.0f}"


def _range(values: Sequence[float]) -> str:
    return f"{min(values):.1f} to {max(values):.1f}" if values else "?"


def _percent(fraction: float | None, digits: int) -> str:
    return "" if fraction is None else f"{fraction:.{digits}%}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path)
    machines = load(parser.parse_args().files)
    PAGE.write_text(with_text(PAGE.read_text(encoding="utf-8"), machines), encoding="utf-8")
    print(text(machines))


if __name__ == "__main__":
    main()
