"""Shared code of the examples with a baseline: options, table, picture, verdict."""

from __future__ import annotations

import argparse
import importlib
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

import bptt
from bptt.cli.options import COUNT, CommandError, Parser, check_output
from bptt.diagnose.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

Array: TypeAlias = npt.NDArray[np.float64]


@dataclass
class Table:
    """A table of results, with a line about the seeds and the machine."""

    head: Sequence[str]
    rows: list[Sequence[str]] = field(default_factory=list)
    note: str = ""

    def text(self) -> str:
        """For a terminal: the first column to the left, the others to the right."""
        lines = [self.head, *self.rows]
        widths = [max(len(line[k]) for line in lines) for k in range(len(self.head))]
        shown = [
            "  ".join(cell.rjust(width) if k else cell.ljust(width) for k, (cell, width) in enumerate(pairs))
            for pairs in (list(zip(line, widths, strict=True)) for line in lines)
        ]
        return "\n".join([*(line.rstrip() for line in shown), self.note])

    def markdown(self) -> str:
        """For the documentation."""
        rule = ["---", *["---:"] * (len(self.head) - 1)]
        lines = ["| " + " | ".join(line) + " |" for line in (self.head, rule, *self.rows)]
        return "\n".join([*lines, "", self.note])


def need(module: str, package: str) -> Any:
    """Import the package that holds the data. If it is missing, print one line and exit with code 1."""
    try:
        return importlib.import_module(module)
    except ImportError:
        raise SystemExit(f"this example needs the package {package}: pip install 'bptt[examples]'") from None


def read_options(
    name: str, description: str, arguments: Sequence[str] | None, seeds: int, *, picture: bool = True
) -> argparse.Namespace:
    """
    `seeds`, `quick`, `markdown` and with `picture` also `picture`; whatever cannot be written is said before
    the work begins, in one line and with exit code 2.
    """
    parser = Parser(prog=f"{name}.py", description=description)
    parser.add_argument("--seeds", type=COUNT, default=seeds, help="how many: 0, 1, ...")
    parser.add_argument("--quick", action="store_true", help="a small version, to see that it runs")
    if picture:
        parser.add_argument(
            "--picture", type=Path, default=Path(f"{name.replace('_', '-')}.png"), help="a .png or .svg file"
        )
    parser.add_argument(
        "--markdown", type=Path, metavar="FILE", help="put the table between the marks of this example there"
    )
    options = parser.parse_args(arguments)
    options.name = name
    try:
        if picture:
            canvas.picture_format(options.picture)
            check_output(options.picture)
        if options.markdown is not None:
            _marks(options.markdown, name)
    except (CommandError, OSError, ValueError) as error:
        parser.error(str(error))
    return options


def deliver(
    options: argparse.Namespace,
    table: Table,
    draw: Callable[[Figure], None] | None,
    size: tuple[float, float],
    failures: Sequence[str],
    claims: Mapping[str, bool] | None = None,
) -> None:
    """
    Print the table and write the files. Exit with code 1 if a baseline is not beaten or a claim fails.

    Parameters
    ----------
    draw
        Fills a figure of `size` inches. None: no picture.
    failures
        A sentence for each baseline that was not beaten.
    claims
        Sentences of docs/guide/examples.md, and whether each one holds. `--quick` does not check them.
    """
    print(table.text())
    if options.markdown is not None:
        text, marks = _marks(options.markdown, options.name)
        begin, end = marks.span("table")
        options.markdown.write_text(f"{text[:begin]}\n{table.markdown()}\n{text[end:]}", encoding="utf-8")
        print(f"table    {options.markdown}")
    if draw is None:
        pass
    elif canvas.available():
        with canvas.drawing(*size) as figure:
            draw(figure)
        canvas.write(figure, options.picture)
        print(f"picture  {options.picture}")
    else:
        print("no picture: it needs matplotlib, pip install 'bptt[plot]'")
    if failures:
        sys.exit(f"{options.name}.py: not beaten: {'; '.join(failures)}")
    false = [sentence for sentence, holds in (claims or {}).items() if not (holds or options.quick)]
    if false:
        sys.exit(f"{options.name}.py: the page says what this run does not show: {'; '.join(false)}")


def error_table(
    quantity: str,
    errors: dict[str, Array],
    shown: dict[int, str],
    decimals: int,
    beside: Sequence[str] = (),
) -> tuple[Table, list[str]]:
    """
    Means over seeds of errors (seeds, horizons), ours first, then the models to beat; and those that are not,
    over all horizons.

    Parameters
    ----------
    shown
        The horizons of the table, counted from 1, and what they are called.
    beside
        Models that are in the table without being one to beat.
    """
    means = {name: error.mean(0) for name, error in errors.items()}
    table = Table([quantity, *shown.values(), "mean of all"])
    for name, mean in means.items():
        cells = (f"{value:.{decimals}f}" for value in (*(mean[k - 1] for k in shown), mean.mean()))
        table.rows.append([name, *cells])
    (_, ours), *others = means.items()
    failures = [
        f"{name} ({mean.mean():.{decimals}f}, ours {ours.mean():.{decimals}f})"
        for name, mean in others
        if name not in beside and not ours.mean() < mean.mean()
    ]
    return table, failures


def draw_errors(axes: Axes, horizons: npt.NDArray[Any], errors: dict[str, Array]) -> None:
    """Draw mean errors over seeds (seeds, horizons), and for several seeds a band from least to largest."""
    for k, (name, error) in enumerate(errors.items()):
        axes.plot(
            horizons,
            error.mean(0),
            label=name,
            color=canvas.COLOURS[k],
            linestyle=canvas.STYLES[k],
            marker=canvas.MARKERS[k],
            markersize=4,
        )
        if len(error) > 1:
            axes.fill_between(horizons, error.min(0), error.max(0), color=canvas.COLOURS[k], alpha=0.15)
    axes.set_ylim(0)
    canvas.tidy(axes)
    legend_below(axes, 2)


def legend_below(axes: Axes, columns: int = 3) -> None:
    """Draw a legend under the axes: inside, it would hide lines."""
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.17), ncols=columns, frameon=False)


def made_by(options: argparse.Namespace) -> str:
    """Return a line with the seeds, threads and instruction set of a table."""
    seeds = "seed 0" if options.seeds == 1 else f"seeds 0 to {options.seeds - 1}"
    threads = bptt.get_num_threads()
    quick = ", the small version" if options.quick else ""
    return f"{seeds.capitalize()}{quick}, with {threads} thread{'s' * (threads > 1)} ({bptt.isa()})."


def _marks(path: Path, name: str) -> tuple[str, re.Match[str]]:
    """Return the text of a Markdown file, and the position of this example's table in it."""
    if not path.is_file():
        raise CommandError(f"cannot write into {path}: there is no such file")
    check_output(path)
    text = path.read_text(encoding="utf-8")
    found = re.search(rf"<!-- {name} -->(?P<table>.*?)<!-- end of {name} -->", text, re.DOTALL)
    if found is None:
        raise CommandError(
            f"cannot write into {path}: it has no marks '<!-- {name} -->' and '<!-- end of {name} -->'"
        )
    return text, found
