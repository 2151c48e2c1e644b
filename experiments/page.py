"""Write docs/papers.md and its pictures from stored results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bptt.diagnose.pictures import canvas
from bptt.files import atomic
from experiments import picture, table
from experiments.experiment import Experiment
from experiments.results import Results, Run, figures_of

PICTURES = Path("images") / "papers"
"""Folder of the pictures, next to the page."""

HEAD = """\
# Papers

Each section is one published claim about recurrent networks, and what happened when we tested it with `bptt`.
The criterion of each claim was fixed before the runs. Where a claim did not reproduce, the section says so.

    pip install 'bptt[plot]'
    python -m experiments --quick        # small versions of all claims
    python -m experiments NAME           # the runs below, again
    python -m experiments --list         # the names

Run the commands in the root folder of the repository. All runs are seeded: seed 0, 1, and so on. *Solved*
counts runs that reached the criterion. Means are over these runs, unless the section says otherwise.
*Seconds* is the mean time of one run with one thread, often on a busy machine. `experiments/results/` has
each run with its figures, date, version and processor.

"""
WORDS = {"yes": "reproduced", "no": "not reproduced", "partly": "reproduced in part", "-": "not judged"}


def write(experiments: Sequence[Experiment], results: Results, path: Path, *, draw: bool) -> None:
    """Write the page, and with `draw` a picture of each experiment that has runs.

    Raises
    ------
    OSError
        A file cannot be written.
    """
    finished = [(experiment, results.finished(experiment, quick=False)) for experiment in experiments]
    finished = [(experiment, runs) for experiment, runs in finished if any(runs.values())]
    pictures = path.parent / PICTURES
    parts = [HEAD, summary(finished)]
    for experiment, runs in finished:
        file = pictures / f"{experiment.name}.png"
        if draw:
            file.parent.mkdir(parents=True, exist_ok=True)
            picture.write(experiment, figures_of(runs), file)
        parts.append(section(experiment, runs, file.relative_to(path.parent) if file.exists() else None))
    atomic.replace(path, "\n".join(parts).encode(), verify=lambda _: None)


def summary(finished: Sequence[tuple[Experiment, dict[str, list[Run]]]]) -> str:
    """Return the table at the top: one line per claim."""
    lines = ["| claim | verdict | numbers |", "| --- | --- | --- |"]
    for experiment, runs in finished:
        word, sentence = table.verdict(experiment, runs)
        link = f"[{experiment.title}](#{anchor(experiment.title)})"
        lines.append(f"| {link} | {WORDS[word]} | {cell(sentence)} |")
    return "\n".join(lines) + "\n"


def cell(text: str) -> str:
    """Return a text for a cell of a Markdown table, in which a bar would end the cell."""
    return text.replace("|", r"\|")


def anchor(title: str) -> str:
    """Return the anchor that Markdown gives to a title."""
    kept = "".join(letter for letter in title.lower() if letter.isalnum() or letter in " -_")
    return kept.replace(" ", "-")


def section(experiment: Experiment, runs: dict[str, list[Run]], image: Path | None) -> str:
    """Return the section of one experiment."""
    word, sentence = table.verdict(experiment, runs)
    rows = table.rows(experiment, runs)
    lines = [
        f"## {experiment.title}",
        "",
        f"{experiment.paper}",
        "",
        f"**Claim.** {experiment.claim}",
        "",
        f"**Criterion.** {experiment.criterion}",
        "",
        f"**Verdict: {WORDS[word]}.** {sentence}",
        "",
        f"| case | solved | {experiment.figure} (mean) | range | published | seconds |",
        "| --- | ---: | ---: | ---: | --- | ---: |",
        *(
            f"| {row.case} | {row.solved} | {row.mean} | {row.spread} | {cell(row.published)} | "
            f"{row.seconds} |"
            for row in rows
        ),
        "",
    ]
    if image is not None:
        lines += [f"![{experiment.title}: {sentence}]({image.as_posix()})", ""]
    if experiment.notes:
        lines += [experiment.notes.strip(), ""]
    lines += ["| case | settings |", "| --- | --- |"]
    lines += [f"| {case.name} | {cell(case.settings)} |" for case in experiment.cases if runs[case.name]]
    lines += ["", f"    python -m experiments {experiment.name}", ""]
    return "\n".join(lines)


def can_draw() -> bool:
    """Return whether pictures can be drawn."""
    return canvas.available()
