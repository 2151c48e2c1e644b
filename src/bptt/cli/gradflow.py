"""`bptt gradflow MODEL`: measure how far back an error reaches in a trained model; draw a picture."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

import bptt
from bptt.cli import series
from bptt.cli.csv import format as csvformat
from bptt.cli.csv.format import Format
from bptt.cli.models import networks
from bptt.cli.models import series as seriesmodel
from bptt.cli.options import COUNT, CommandError, add_common, check_output, note, print_json
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.nonfinite import NonFinite
from bptt.diagnose.pictures import canvas, report
from bptt.files import atomic as files
from bptt.layers.containers.traverse import iter_layers

STEPS, ROWS = 200, 16


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "gradflow",
        help="measure how far back gradients reach in a model: do they vanish or explode?",
        description="Backpropagate a gradient of norm 1 from the last step of a saved model. Report for each"
        " layer whether the gradient vanishes or explodes, after how many steps, and what helps.",
    )
    command.add_argument(
        "model", type=Path, metavar="MODEL", help="model file that bptt.save or 'bptt train' wrote"
    )
    data = (
        "input for the model: a text for a model of 'bptt train text', a CSV file for a model of 'bptt train"
        " csv', otherwise numbers (.npy, .npz or .csv) with one row per step (default: random input)"
    )
    command.add_argument("--data", type=Path, metavar="FILE", help=data)
    csvformat.add_options(command)
    command.add_argument(
        "--steps",
        type=COUNT,
        metavar="N",
        default=STEPS,
        help="time steps to go back; compare with the window of the training",
    )
    rows = "number of sequences, taken from evenly spaced places in the data"
    command.add_argument("--rows", type=COUNT, metavar="N", default=ROWS, help=rows)
    out = "picture, a .png or .svg file (default: MODEL-gradflow.png in this folder)"
    command.add_argument("--out", type=Path, metavar="PATH", help=out)
    page = "report in one HTML file: table, picture, recurrent weights, gates"
    command.add_argument("--html", type=Path, metavar="PATH", help=page)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read the model and its input, measure the gradient, draw and print the results."""
    picture_wanted = options.out is not None
    if not picture_wanted:
        options.out = Path(options.model.stem + "-gradflow.png")
    _check_outputs(options)
    if not canvas.available():
        if picture_wanted or options.html is not None:
            raise CommandError("drawing needs matplotlib. Fix: pip install 'bptt[plot]'.")
        note("No picture will be drawn, because matplotlib is missing. Fix: pip install 'bptt[plot]'.")
        options.out = None
    model, vocabulary, task = _load(options.model)
    rng = np.random.default_rng(options.seed)
    for layer in iter_layers(model):  # a file holds no random generator, and dropout needs one
        layer.rng = rng
    if options.data is None:
        x = series.random_input(model, options.steps, options.rows, options.seed)
        about = "random input"
    else:
        form = Format.of(options)
        x = series.read(options.data, model, vocabulary, options.steps, options.rows, task, form)
        about = str(options.data)
    about += f", rows x steps: {x.shape[1]} x {len(x)}"
    x = series.laid_out(model, x)
    flow = bptt.gradient_flow(model, x)
    first = bptt.first_nonfinite(model, x) if "not finite" in flow.verdict else None
    if options.out is not None:
        flow.plot(options.out)
    if options.html is not None:
        page = _page(options.model, about, model, x, flow, first)
        files.replace(options.html, page.encode("utf-8"), verify=lambda path: None)
    written = {"picture": options.out, "report": options.html}
    if options.json:
        paths = {name: str(path) for name, path in written.items() if path is not None}
        nonfinite = {} if first is None else {"first_nonfinite": str(first)}
        print_json({"model": str(options.model), "input": about} | flow.to_dict() | nonfinite | paths)
        return
    print(f"{options.model}, {about}\n{flow}")
    if first is not None:
        print(first)
    for name, path in written.items():
        if path is not None:
            print(f"{name:<8} {path}")


def _check_outputs(options: argparse.Namespace) -> None:
    """Check before the work that the files can be written, are different, and are not inputs."""
    canvas.picture_format(options.out)
    paths = [path for path in (options.out, options.html) if path is not None]
    for path in paths:
        check_output(path)
    taken = [path.resolve() for path in (options.model, options.data) if path is not None]
    for path in paths:
        if path.resolve() in taken:
            raise CommandError(
                f"{path} is an input and cannot be overwritten. Fix: pass other names to --out and --html."
            )
    if len({path.resolve() for path in paths}) < len(paths):
        raise CommandError(f"--out and --html must differ; got {options.out} for both. Fix: pass two names.")


def _load(path: Path) -> tuple[bptt.Module, str | None, seriesmodel.Task | None]:
    """Return the model, the symbols of a text model, and the task of a forecasting model."""
    saved = networks.read(path)
    if not series.recurrent(saved.model):
        raise CommandError(
            f"{path} has no recurrent layer, so no gradient flows back through time. Fix: pass another model."
        )
    symbols, series_model = saved.extra.get("vocabulary"), seriesmodel.of(saved)
    task = None if series_model is None else series_model[1]
    return saved.model, symbols if isinstance(symbols, str) else None, task


def _page(
    path: Path, about: str, model: bptt.Module, x: Any, flow: GradientFlow, first: NonFinite | None
) -> str:
    pictures = [("How far back an error at the last step reaches.", report.flow_picture(flow))]
    remarks = [] if first is None else [f"{first}."]
    if np.isfinite(model.flat_parameters).all():
        weights = bptt.diagnose.plot_singular_values(model)
        pictures.append(
            (
                "The effect of the recurrent weights alone on a state in one step.",
                canvas.inline(weights, "Singular values of the recurrent weights, largest first."),
            )
        )
    tape = model.forward(x)[2]
    for k, name in enumerate(flow.names):
        picture = canvas.inline(bptt.diagnose.plot_gates(tape, k), f"Gates and states over time, {name}.")
        pictures.append((f"Gates and states of the first sequence, {name}.", picture))
    title = f"Gradient flow of {path.name}"
    return report.page(title, f"Measured on {about}. {model!r}", flow, pictures, remarks)
