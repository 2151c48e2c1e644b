"""Write docs/performance/benchmarks.md, its chart and the speeds in README.md from results of compare.py.

python benchmarks/page.py [FILE ...]

Each FILE has the results of one machine. Without files, all results in benchmarks/results are used.
"""

from __future__ import annotations

import argparse
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path

from bptt.bench import results
from bptt.bench.measure import Row
from bptt.bench.memory import MIB
from bptt.bench.peers import OURS
from bptt.bench.session import Findings
from bptt.bench.shapes import MODES
from bptt.bench.summary import best_ratio, mean, share, torch_ratio

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "performance" / "benchmarks.md"
CHART = ROOT / "docs" / "images" / "benchmarks.svg"
README = ROOT / "README.md"

LIBRARIES = {
    OURS: "bptt",
    "torch": "PyTorch",
    "onnxruntime": "ONNX Runtime",
    "jax": "JAX",
    "torch-compile": "torch.compile",
}
"""Names of the libraries on the page, in the order of the columns."""

TIMED = ("inference", "training", "streaming", "iteration")
"""Modes with a ratio and a limit."""

COLORS = ("tab:blue", "tab:orange", "tab:green", "tab:red")
IDLE = 0.5
"""Load above which another process was running."""

READING = """\
Times are medians of interleaved rounds in microseconds (streaming: per step). The columns and limits mean:

- **ratio**: the time of the best competitor over the time of bptt. Above 1, bptt is faster.
- **share of the limit**: the shortest possible time over the time of bptt.
- **limit**: what determines the shortest possible time, the longer of two times. "compute" is the time of all
  multiply-adds at the measured peak of the threads. "memory" is the time to read the weights.

Each time step reads the recurrent weights again, and training reads them in both passes. The bandwidth is
measured by reading an array as large as these weights, so that both lie in the same cache. The limit leaves
out all other memory traffic and the activations. bptt streams on one core, so on two threads a stream reaches
at most half of the limit. Geometric means leave out denormal values and options."""


def load(paths: Sequence[Path]) -> list[Findings]:
    """Read the results of all machines, fastest machine first."""
    found = [results.load(path) for path in paths or sorted(RESULTS.glob("*.json"))]
    return sorted(found, key=lambda findings: -findings.machine["peak"])


def page(machines: Sequence[Findings]) -> str:
    """Return the whole page."""
    chart = Path(os.path.relpath(CHART, PAGE.parent)).as_posix()
    parts = [
        "# Speed",
        _introduction(machines),
        f"![Ratio to the best competitor for each row]({chart})",
        _folded("Geometric means of all ratios, the lowest ratios, and the limits", _summary_table(machines)),
        _folded("How to read the tables", READING),
    ]
    for findings in machines:
        parts += [f"## {findings.machine['processor']}", _machine(findings), *_blocks(findings)]
    return "\n\n".join(parts) + "\n"


def sentence(machines: Sequence[Findings]) -> str:
    """Return the sentences about speed in README.md."""
    findings = machines[0]
    best, torch = (
        [_number(mean(_rows(findings, mode, 1), figure)) for mode in ("training", "inference", "streaming")]
        for figure in (best_ratio, torch_ratio)
    )
    others = _listed([name for name in LIBRARIES.values() if name != "bptt" and name in _versions(machines)])
    return (
        f"**Training is {torch[0]} times as fast as in PyTorch**, on one core of an"
        f" {findings.machine['processor']}\n"
        f"(geometric mean over all cases). Inference is {torch[1]} times as fast, and a call with a single"
        f" time step is {torch[2]} times as fast.\n"
        f"Compared with the fastest of {others} in each case, training is {best[0]} times,"
        f" inference {best[1]} times and a single step {best[2]} times as fast."
    )


def with_sentence(readme: str, machines: Sequence[Findings]) -> str:
    """Return README.md with these speeds between its two comments."""
    start, end = "<!-- speed -->\n", "\n<!-- end of speed -->"
    assert readme.count(start) == readme.count(end) == 1, f"README.md needs {start!r} and {end!r}"
    return readme.partition(start)[0] + start + sentence(machines) + end + readme.partition(end)[2]


def _introduction(machines: Sequence[Findings]) -> str:
    """Return the ten lines that say what all tables come to."""
    versions = _listed([f"{name} {version}" for name, version in _versions(machines).items()])
    count = len({(row.case.cell, row.case.mode, row.case.shape) for row in machines[0].rows})
    lowest = _lowest([row for findings in machines for row in findings.rows if row.case.mode in TIMED])
    lines = [
        f"bptt is compared with {versions} on {count} cases of LSTM, GRU and RNN layers in float32"
        " ([bfloat16 and int8](precision.md) have their own page).",
        "All libraries get the same weights, inputs and threads. Results are checked before they are timed.",
        "",
        "How many times as fast bptt is, as geometric means over the cases:",
        "",
        *(_means(findings, threads) for findings in machines for threads in _threads(findings)),
        "",
        f"The lowest ratio of all is {lowest}.",
        "Each dot of the chart is one case. Right of the line at 1, bptt is faster than every other library.",
        "`bptt bench` compares one cell on your machine in a minute."
        " `python benchmarks/page.py` wrote this page.",
    ]
    return "\n".join(lines)


def _means(findings: Findings, threads: int) -> str:
    """Return a line of the introduction: the means of one machine."""
    modes = {"training": "training", "inference": "inference", "streaming": "a single step"}
    means = {
        name: (mean(rows, best_ratio), mean(rows, torch_ratio))
        for mode, name in modes.items()
        if (rows := _rows(findings, mode, threads))
    }
    best, torch = (
        _listed([f"{name} {_number(pair[k])}" for name, pair in means.items() if pair[k] is not None])
        for k in (0, 1)
    )
    processor = f"{findings.machine['processor']}, {_count(threads)}"
    return f"- {processor}: {torch} against PyTorch; {best} against the fastest of all libraries."


def _versions(machines: Sequence[Findings]) -> dict[str, str]:
    """Return the versions of the competitors, by their names on the page."""
    return {
        LIBRARIES[package]: version.partition("+")[0]
        for findings in reversed(machines)
        for package, version in findings.machine["versions"].items()
        if package in LIBRARIES and package != OURS
    }


def _summary_table(machines: Sequence[Findings]) -> str:
    heads = ["processor", "threads", "inference", "training", "streaming", "lowest ratio"]
    heads.append("share of the limit")
    lines = []
    for findings in machines:
        for threads in _threads(findings):
            cells = []
            for mode in ("inference", "training", "streaming"):
                rows = _rows(findings, mode, threads)
                cells.append(f"{_number(mean(rows, best_ratio))} ({_number(mean(rows, torch_ratio))})")
            rows = [row for mode in TIMED for row in _rows(findings, mode, threads)]
            part = [share(row) for row in rows if share(row) is not None]
            shares = f"{_percent(mean(rows, share))}, up to {_percent(max(part))}" if part else ""
            lines.append([findings.machine["processor"], str(threads), *cells, _lowest(rows), shares])
    note = "Ratios to the best competitor, and in brackets to PyTorch."
    return f"{note}\n\n{_grid(heads, lines, text=(0, 5, 6))}"


def _lowest(rows: Iterable[Row]) -> str:
    compared = [row for row in rows if row.best_peer is not None and not row.case.shape.denormal]
    if not compared:
        return ""
    row = min(compared, key=lambda row: best_ratio(row) or 0.0)
    return f"{_number(best_ratio(row))}, {row.case.cell.upper()} {row.case.mode}, {row.case.shape}"


def _machine(findings: Findings) -> str:
    about = findings.machine
    text = f"{about['system']}, {about['isa']}, {about['peak']:.0f} GFLOP/s of multiply-adds per thread."
    bandwidth = {int(size): rate for size, rate in about["bandwidth"].items()}
    if bandwidth:
        sizes = [size for size in (2**15, 2**18, 2**22, 2**26) if size in bandwidth]
        text += (
            " One thread reads " + _listed([f"{bandwidth[n]:.0f} GB/s from {_bytes(n)}" for n in sizes]) + "."
        )
    else:
        text += " The bandwidth was not measured, so only the arithmetic limits the rows."
    if (about["load"] or 0.0) > IDLE:
        text += f" Other processes were running (load {about['load']:.1f})."
    return text


def _blocks(findings: Findings) -> list[str]:
    """Return the folded tables of one machine."""
    blocks = []
    for mode in TIMED:
        for threads in _threads(findings):
            if rows := _rows(findings, mode, threads):
                title = f"{mode.capitalize()}, {_count(threads)}: {MODES[mode]}"
                blocks.append(_folded(title, _times_table(rows)))
    options = [row for row in findings.rows if row.case.mode == "variants"]
    if options:
        blocks.append(_folded("The cost of options in training", _options_table(options)))
    if shared := [row for row in findings.rows if "one-thread" in row.times]:
        blocks.append(_folded("Two threads compared with one thread", _scaling_table(shared)))
    if findings.memory:
        blocks.append(_folded("Peak memory of a training step", _memory_table(findings)))
    return blocks


def _times_table(rows: Sequence[Row]) -> str:
    names = [name for name in LIBRARIES if any(name in row.times for row in rows)]
    heads = ["cell", "shape", *(LIBRARIES[name] for name in names), "ratio", "share of the limit", "limit"]
    lines = [
        [
            row.case.cell.upper(),
            str(row.case.shape),
            *(_time(row, name) for name in names),
            _number(best_ratio(row)),
            _percent(row.share),
            row.limit or "",
        ]
        for row in rows
    ]
    return _grid(heads, lines, text=(0, 1, len(heads) - 1))


def _options_table(rows: Sequence[Row]) -> str:
    heads = ["threads", "cell", "option and shape", "bptt", "without the option", "times as long"]
    heads += ["steps that are not padding", "PyTorch", "ratio"]
    lines = []
    for row in rows:
        cost = row.times[OURS].median / row.times["plain"].median
        valid = "" if row.valid == 1.0 else _percent(row.valid)
        case = [str(row.threads), row.case.cell.upper(), str(row.case.shape)]
        times = [_time(row, OURS), _time(row, "plain"), _number(cost), valid, _time(row, "torch")]
        lines.append([*case, *times, _number(best_ratio(row))])
    return _grid(heads, lines, text=(1, 2))


def _scaling_table(rows: Sequence[Row]) -> str:
    heads = ["cell", "mode", "shape", "one thread", "two threads", "times as fast", "time of a barrier, ns"]
    lines = [
        [
            row.case.cell.upper(),
            row.case.mode,
            str(row.case.shape),
            _time(row, "one-thread"),
            _time(row, OURS),
            _number(row.ratio("one-thread")),
            f"{row.barrier:.0f}",
        ]
        for row in rows
    ]
    return _grid(heads, lines, text=(0, 1, 2))


def _memory_table(findings: Findings) -> str:
    heads = ["threads", "cell", "shape", "peak, MiB", "of it tape", "parameters", "result"]
    lines = []
    for memory in findings.memory:
        sizes = (memory.rise, memory.tape, memory.parameters, memory.result)
        case = [str(memory.threads), memory.case.cell.upper(), str(memory.case.shape)]
        lines.append([*case, *(f"{size / MIB:,.1f}" for size in sizes)])
    return _grid(heads, lines, text=(1, 2))


def _rows(findings: Findings, mode: str, threads: int) -> list[Row]:
    return [row for row in findings.rows if (row.case.mode, row.threads) == (mode, threads)]


def _threads(findings: Findings) -> list[int]:
    return sorted({row.threads for row in findings.rows})


def _time(row: Row, name: str) -> str:
    if name not in row.times:
        return "disagrees" if name in row.disagreed else ""
    median = row.times[name].median
    text = f"{median:,.2f}" if median < 100 else f"{median:,.0f}"
    if name == "torch" and "torch-flush" in row.times:
        text += f" ({row.times['torch-flush'].median:,.0f} with denormals flushed)"
    return text


def _number(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}" if value < 10 else f"{value:.1f}"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.0%}"


def _bytes(size: int) -> str:
    return f"{size // 2**20} MiB" if size >= 2**20 else f"{size // 2**10} KiB"


def _count(threads: int) -> str:
    return f"{threads} thread{'s' * (threads > 1)}"


def _listed(words: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(words[:-1]), *words[-1:]]))


def _folded(title: str, table: str) -> str:
    return f"<details><summary>{title}</summary>\n\n{table}\n\n</details>"


def _grid(heads: Sequence[str], rows: Iterable[Sequence[str]], text: Sequence[int]) -> str:
    """Return a Markdown table. The columns of numbers are those that are not in `text`."""
    rule = ["---" if column in text else "---:" for column in range(len(heads))]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in (heads, rule, *rows))


def draw(machines: Sequence[Findings], path: Path) -> None:
    """Draw the ratio of each row to its best competitor, one panel per machine, one below the other."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    groups = list(dict.fromkeys(_group(row) for row in machines[0].rows if is_drawn(row)))
    style = {"svg.fonttype": "none", "svg.hashsalt": "bptt", "font.size": 11}
    with plt.rc_context(style):
        # One panel below the other: side by side, nobody could read them on a phone.
        size = (6.0, (0.9 + 0.36 * len(groups)) * len(machines))
        figure, axes = plt.subplots(
            len(machines), 1, figsize=size, sharex=True, sharey=True, squeeze=False, layout="constrained"
        )
        for panel, findings in zip(axes[:, 0], machines, strict=True):
            _panel(panel, findings, groups)
            panel.tick_params(labelbottom=True)
        axes[0][0].set_yticks(range(len(groups)), groups)
        axes[0][0].invert_yaxis()
        axes[0][0].legend(loc="lower right", frameon=False)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
        plt.close(figure)
    path.write_text(_compact(path.read_text(encoding="utf-8")), encoding="utf-8")


def _compact(svg: str) -> str:
    """Shorten numbers and fonts, and give the style of the dots once for each group of dots."""
    svg = re.sub(r"(\d\.\d)\d+", r"\1", svg)
    svg = re.sub(r"font-family: [^;\"]*", "font-family: sans-serif", svg)
    svg = re.sub(r'<g( [^>]*)?>(?=\s*<use [^>]*?( style="[^"]*"))', r"<g\1\2>", svg)
    svg = re.sub(r'(<use [^>]*?) style="[^"]*"', r"\1", svg)
    return "\n".join(line.rstrip() for line in svg.splitlines()) + "\n"


def _panel(panel: object, findings: Findings, groups: Sequence[str]) -> None:
    """Draw one dot per row, one line of dots per cell and mode, and threads one below the other."""
    counts = _threads(findings)
    for place, threads in enumerate(counts):
        rows = [
            row for row in findings.rows if row.threads == threads and is_drawn(row) and _group(row) in groups
        ]
        heights = [groups.index(_group(row)) + 0.3 * (place - (len(counts) - 1) / 2) for row in rows]
        ratios = [best_ratio(row) for row in rows]
        color = COLORS[place % len(COLORS)]
        panel.plot(ratios, heights, "o", markersize=4, alpha=0.6, mew=0, color=color, label=_count(threads))
    panel.axvline(1.0, color="black", linewidth=1)
    panel.set_xscale("log")
    ticks = [0.8, 1, 1.5, 2, 3, 5, 10, 20]
    panel.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    panel.set_xticks([], minor=True)
    panel.grid(axis="x", linewidth=0.4)
    panel.set_title(f"{findings.machine['processor']}: times as fast as the best competitor", fontsize=11)


def is_drawn(row: Row) -> bool:
    return row.case.mode in TIMED and row.best_peer is not None and not row.case.shape.denormal


def _group(row: Row) -> str:
    return f"{row.case.cell.upper()} {row.case.mode}"


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("files", nargs="*", type=Path, metavar="FILE", help="results of compare.py --json")
    machines = load(parser.parse_args().files)
    PAGE.write_text(page(machines), encoding="utf-8")
    draw(machines, CHART)
    README.write_text(with_sentence(README.read_text(encoding="utf-8"), machines), encoding="utf-8")


if __name__ == "__main__":
    try:
        main()
    except (OSError, ValueError) as error:
        raise SystemExit(f"page.py: {error}") from None
