"""Results of `bptt demo` and `bptt train text`: a model, a picture, figures, a sample."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterable
from pathlib import Path

import numpy as np

import bptt
from bptt.cli.models import fitting
from bptt.cli.models import text as textmodel
from bptt.cli.options import COUNT, Parser, check_outputs, note, print_json
from bptt.cli.text.training import Run
from bptt.data import TextStream, Vocabulary
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.pictures import plots
from bptt.files import atomic as files

LOOK_BACK = 200  # number of steps of the gradient in the picture
TEMPERATURE = 0.7  # temperature of the sample: prefers probable characters a little


def add_options(command: Parser, *, model: str | None, plot: str | None, sample: int | None) -> None:
    """Add options for the results, with these defaults.

    `model=None` derives the name from the data. None for the other arguments means no such result.
    """
    group = command.add_argument_group("results")
    derived = (
        None
        if model
        else "write the model to this file (default: the name of the text with .safetensors, in this folder)"
    )
    group.add_argument(
        "--model", type=Path, metavar="PATH", default=model, help=derived or "write the model to this file"
    )
    group.add_argument(
        "--plot",
        type=Path,
        metavar="PATH",
        default=plot,
        help="write a picture of the training to this PNG file",
    )
    group.add_argument(
        "--sample",
        type=COUNT,
        metavar="N",
        default=sample,
        help="print N characters that the trained model generates",
    )


def check(options: argparse.Namespace, read: Iterable[Path] = ()) -> None:
    """Check before the work that all files can be written, are different, and are not inputs.

    If matplotlib is missing, print a note and draw no picture.
    """
    fitting.check_run(options)
    check_outputs((options.model, options.plot, options.checkpoint, options.log), read)
    if options.plot is not None and not plots.available():
        note("No picture will be drawn, because matplotlib is missing. Fix: pip install 'bptt[plot]'.")
        options.plot = None


def deliver(options: argparse.Namespace, run: Run) -> None:
    """Write the files, and print the figures and the sample."""
    textmodel.save(options.model, run.fitted.model, run.training.vocabulary, run.figures())
    if options.plot is not None:
        picture = plots.png(plots.training_figure(_curves(run)))
        files.replace(options.plot, picture, verify=lambda path: None)
    text = _sample(options, run) if options.sample else None
    if options.json:
        names = {"model_file": options.model, "plot_file": options.plot}
        written = {name: str(path) for name, path in names.items() if path is not None}
        print_json(run.figures() | written | ({} if text is None else {"sample": text}))
        return
    print(run.table())
    if text is not None:
        print(f"\n{text}\n")
    print(f"model    {options.model}")
    if options.plot is not None:
        print(f"picture  {options.plot}")
    print(f"next     {shlex.join(['bptt', 'generate', str(options.model)])}")


def first_prompt(vocabulary: Vocabulary) -> str:
    """Return the first character for a sample: a line break, if the vocabulary has one."""
    return "\n" if "\n" in vocabulary.symbols else vocabulary.symbols[0]


def _sample(options: argparse.Namespace, run: Run) -> str:
    rng = np.random.default_rng(options.seed)
    vocabulary = run.training.vocabulary
    start = options.prompt or first_prompt(vocabulary)
    text = textmodel.sample(run.fitted.model, vocabulary, start, options.sample, TEMPERATURE, rng)
    return (options.prompt or "") + "".join(text)


def _curves(run: Run) -> plots.TrainingCurves:
    history = run.fitted.history
    flow = _reach(run.fitted.model, run.validation, LOOK_BACK)
    return plots.TrainingCurves(
        loss=history["loss"],
        grad_norm=history["grad_norm"],
        dh_norm=flow.dh_norm,
        dc_norm=flow.dc_norm,
        validation=list(
            zip(history["validation_step"].tolist(), history["validation_loss"].tolist(), strict=True)
        ),
        clip_norm=run.clip,
        truncate=run.training.steps,
        baselines={"bigram": run.losses["bigram"]},
        title=f"{run.name}, characters, truncated backpropagation through time",
    )


def _reach(model: bptt.Module, stream: TextStream, steps: int) -> GradientFlow:
    """Measure how far back an error at the last of `steps` steps reaches.

    The same number of earlier steps first brings the model into a typical state. Both together use at most
    the whole stream.
    """
    symbols = len(stream.ids)
    steps = min(steps, symbols // 2)
    rows = min(stream.batch_size, symbols // (2 * steps))
    x = stream.ids[: rows * 2 * steps].reshape(rows, 2 * steps).T
    _, state = model(x[:steps])
    return bptt.gradient_flow(model, x[steps:], state)
