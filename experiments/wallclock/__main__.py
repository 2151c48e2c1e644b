"""The command `python -m experiments.wallclock`."""

from __future__ import annotations

import importlib.util
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from tqdm import tqdm

import bptt
from bptt.bench.machine import processor
from bptt.cli.options import COUNT, Parser
from bptt.files import atomic
from experiments.wallclock.race import Finish, race
from experiments.wallclock.recipes import RECIPES

COLLECTION = "https://github.com/cybertronai/schmidhuber-problems"
HEAD = (
    "task", "updates", "NumPy, published (s)", "PyTorch (s)", "bptt (s)", "PyTorch / bptt",
    "NumPy reaches", "PyTorch reaches", "bptt reaches",
)  # fmt: skip
MARKS = re.compile(r"(?<=<!-- wallclock -->\n).*?(?=<!-- end of wallclock -->)", re.DOTALL)
NOTE = f"""\
*NumPy, published*: the time that [a public collection of NumPy replications]({COLLECTION}) reports,
**on another machine**, a laptop with an Apple M processor. Use this column as a rough comparison only.
*PyTorch* and *bptt* trained the same network on this machine in turns, with one thread each, and with the
same weights, batches and optimizer. Their times include the data. Sizes, learning rates and budgets are those
of the collection. The networks have forget gates.

"""


def rows(finishes: Sequence[Finish]) -> list[list[str]]:
    """Return a row of the table for each race."""
    return [
        [
            finish.recipe.name,
            f"{finish.updates:,}",
            f"{finish.recipe.seconds:g}",
            f"{finish.torch:.1f}",
            f"{finish.ours:.1f}",
            f"{finish.torch / finish.ours:.1f}",
            finish.recipe.result,
            finish.torch_result,
            finish.our_result,
        ]
        for finish in finishes
    ]


def text(finishes: Sequence[Finish]) -> str:
    """Return the table for a terminal."""
    lines = [list(HEAD), *rows(finishes)]
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEAD))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip()
        for line in lines
    )


def markdown(finishes: Sequence[Finish], seed: int) -> str:
    """Return the table and its note for the documentation."""
    import torch

    lines = [HEAD, ["---", *["---:"] * 5, *["---"] * 3], *rows(finishes)]
    table = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    made = f"Seed {seed}, {processor()}, bptt {bptt.__version__}, PyTorch {torch.__version__}."
    return f"\n{table}\n\n{NOTE}{made}\n\n"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command. Return its exit code."""
    parser = Parser(
        prog="python -m experiments.wallclock",
        description="Times bptt and PyTorch on tasks of public NumPy replications, next to their times.",
    )
    parser.add_argument("--updates", type=COUNT, help="a smaller budget for every task, to see that it runs")
    parser.add_argument("--seed", type=int, default=0, help="seed of weights and data")
    parser.add_argument(
        "--markdown",
        type=Path,
        metavar="PAGE",
        help="write the table between the marks 'wallclock' there",
    )
    options = parser.parse_args(arguments)
    if importlib.util.find_spec("torch") is None:
        parser.error("PyTorch is not installed: pip install 'bptt[peers]'")
    if options.markdown is not None and (
        not options.markdown.is_file() or not MARKS.search(options.markdown.read_text(encoding="utf-8"))
    ):
        parser.error(
            f"{options.markdown} must be a page with the lines '<!-- wallclock -->' and "
            "'<!-- end of wallclock -->'"
        )
    import torch

    torch.set_num_threads(1)
    bptt.set_num_threads(1)
    recipes = tqdm(RECIPES, desc="wallclock", unit="task", file=sys.stderr)
    finishes = [race(recipe, options.seed, options.updates) for recipe in recipes]
    print(text(finishes))
    if options.markdown is not None:
        page = options.markdown.read_text(encoding="utf-8")
        table = markdown(finishes, options.seed)
        atomic.replace(options.markdown, MARKS.sub(lambda _: table, page).encode(), verify=lambda _: None)
        print(f"page     {options.markdown}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
