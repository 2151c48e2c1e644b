"""What models reach that are trained in bfloat16, beside the same models in float32, over several seeds.

Three tasks: `bptt demo`, examples/japanese_vowels.py and examples/source_code.py. ::

    pip install '.[examples]'
    python benchmarks/precision_losses.py --json benchmarks/results/losses/bfloat16.json

A run that the JSON file has is not made again. `--markdown docs/guide/precision.md` writes the table into
this page, between the lines that mark its place.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import math
import statistics
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np

import bptt
from bptt.cli import main as run_command
from bptt.data import TextStream, Vocabulary

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "examples"))
import japanese_vowels
import source_code

Results: TypeAlias = dict[str, dict[str, dict[str, float]]]
"""Task, precision, seed: the figure that the run reached."""

PRECISIONS = ("highest", "bfloat16")
BEGIN, END = "<!-- losses: benchmarks/precision_losses.py -->", "<!-- end of losses -->"


def demo(seed: int, precision: str, quick: bool) -> float:
    """Return the bits per character that `bptt demo` reaches on other modules."""
    output = io.StringIO()
    with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(output):
        command = ["demo", "--json", "--seed", str(seed), "--precision", precision]
        command += ["--model", f"{folder}/model.safetensors", "--plot", f"{folder}/plot.png"]
        run_command([*command, *(["--steps", "50"] if quick else [])])
    return float(json.loads(output.getvalue())["validation_bits"]["model"])


def vowels(seed: int, precision: str, quick: bool) -> float:
    """Return the cross-entropy, in nats, on the test utterances of JapaneseVowels."""
    (train, speakers), (test, test_speakers) = japanese_vowels.load("train"), japanese_vowels.load("test")
    train, test = japanese_vowels.standardised(train, test)
    epochs = 2 if quick else japanese_vowels.EPOCHS
    model = japanese_vowels.trained(train, speakers, epochs, np.random.default_rng(seed), precision)
    trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.SGD(0.1), progress=False)
    return trainer.evaluate(bptt.data.Ragged(test, test_speakers, batch_size=japanese_vowels.BATCH))


def characters(seed: int, precision: str, quick: bool) -> float:
    """Return the bits per character of the model of source code, on the test files."""
    text = source_code.texts(200_000 if quick else source_code.CHARACTERS)
    vocabulary = Vocabulary.of("".join(text.values()))
    train, validation, test = (
        TextStream(part, batch_size=source_code.ROWS, steps=source_code.STEPS, vocabulary=vocabulary)
        for part in text.values()
    )
    hidden, epochs = (16, 1) if quick else (source_code.HIDDEN, source_code.EPOCHS)
    run = source_code.trained(train, validation, seed, hidden, epochs, precision)
    return run.evaluate(test) / math.log(2)


TASKS: dict[str, tuple[str, Callable[[int, str, bool], float]]] = {
    "demo": ("`bptt demo`: bits per character", demo),
    "japanese-vowels": ("JapaneseVowels: cross-entropy of the test, nats", vowels),
    "characters": ("characters of Python source: bits per character", characters),
}


def table(results: Results) -> str:
    """Return the means over seeds, with standard deviations, as a Markdown table."""
    lines = ["| task, and what is measured | float32 | bfloat16 | difference |", "|---|---|---|---|"]
    for name, (title, _) in TASKS.items():
        if name not in results:
            continue
        full, short = (results[name][precision] for precision in PRECISIONS)
        seeds = sorted(full.keys() & short.keys())
        cells = [[runs[seed] for seed in seeds] for runs in (full, short)]
        cells.append([b - a for a, b in zip(*cells, strict=True)])
        texts = [f"{statistics.mean(cell):.4f} ± {statistics.stdev(cell):.4f}" for cell in cells]
        lines.append(f"| {title} | {' | '.join(texts)} |")
    return "\n".join(lines)


def write_table(page: Path, results: Results) -> None:
    """Replace the lines of the page between the two marks."""
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    page.write_text(f"{before}{BEGIN}\n{table(results)}\n{END}{after}", encoding="utf-8")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Trains three models in float32 and in bfloat16.")
    parser.add_argument("tasks", nargs="*", metavar="TASK", help=f"of {', '.join(TASKS)} (default: all)")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds (default: 5)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="where results are kept")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    parser.add_argument("--quick", action="store_true", help="short runs, which only show that they run")
    options = parser.parse_args(arguments)
    if unknown := set(options.tasks) - TASKS.keys():
        parser.error(f"TASK must be one of {', '.join(TASKS)}; got {', '.join(sorted(unknown))}")
    results: Results = {}
    if options.json and options.json.exists():
        results = json.loads(options.json.read_text(encoding="utf-8"))
    for name in options.tasks or TASKS:
        for seed in range(options.seeds):
            for precision in PRECISIONS:
                runs = results.setdefault(name, {}).setdefault(precision, {})
                if str(seed) in runs:
                    continue
                runs[str(seed)] = TASKS[name][1](seed, precision, options.quick)
                print(f"{name}, {precision}, seed {seed}: {runs[str(seed)]:.4f}", flush=True)
                if options.json:
                    options.json.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))
    if options.markdown:
        write_table(options.markdown, results)


if __name__ == "__main__":
    main()
