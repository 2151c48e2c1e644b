"""`bptt predict MODEL DATA -o OUT`: write what a trained model predicts for data."""

from __future__ import annotations

import argparse
import csv
import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.arguments import quantity
from bptt.cli.csv import format as csvformat
from bptt.cli.csv import tables
from bptt.cli.csv.format import Format
from bptt.cli.models import networks
from bptt.cli.models import sequence_files as sequencefiles
from bptt.cli.models import sequences as sequencemodel
from bptt.cli.models import series as seriesmodel
from bptt.cli.models import text as textmodel
from bptt.cli.options import CommandError, add_common, check_outputs, print_json
from bptt.files import atomic as files

Arrays = dict[str, npt.NDArray[Any]]
Rows = Iterable[Sequence[object]]


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "predict",
        help="write the predictions of a trained model for a file of data",
        description="Write the predictions of a model of 'bptt train' for data of the same kind. For a CSV"
        " file: forecasts of its rows, each from the rows before. For an .npz file: the class or the numbers"
        " of each sequence. Inputs are scaled as in training, and predictions are in the units of the data."
        " 'bptt forecast' predicts the rows after the end of a file.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="model file that 'bptt train' wrote")
    command.add_argument("data", type=Path, metavar="DATA", help="CSV file, or .npz file with the array x")
    out = "write the predictions to this file, .csv or .npz (default: print them as CSV)"
    command.add_argument("-o", "--out", type=Path, metavar="OUT", help=out)
    csvformat.add_options(command)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read model and data, predict, write or print the predictions."""
    out: Path | None = options.out
    check_outputs((out,), (options.model, options.data))
    if out is not None and out.suffix.lower() not in (".csv", ".npz"):
        raise CommandError(f"--out must end in .csv or .npz; got {out}. Fix: pass such a name.")
    saved = networks.read(options.model)
    series, sequences = seriesmodel.of(saved), sequencemodel.of(saved)
    if series is not None:
        header, rows, arrays = _series(*series, options)
    elif sequences is not None:
        header, rows, arrays = _sequences(*sequences, options)
    elif textmodel.of(saved) is not None:
        raise CommandError(
            f"{options.model} is a text model, which predicts the next character. Fix: use 'bptt generate"
            f" {options.model}', or measure it with 'bptt evaluate {options.model} TEXT'."
        )
    else:
        raise CommandError(
            f"{options.model} does not say what data it needs. Fix: make the model with 'bptt train'."
        )
    count = len(next(iter(arrays.values())))
    if out is not None:
        content = _npz(arrays) if out.suffix.lower() == ".npz" else _csv(header, rows).encode("utf-8")
        files.replace(out, content, verify=lambda path: None)
    about = {"model": str(options.model), "data": str(options.data), "predictions": count}
    if options.json:
        written = {} if out is None else {"out": str(out)}
        print_json({**about, **written, **{name: array.tolist() for name, array in arrays.items()}})
    elif out is None:
        print(_csv(header, rows), end="")
    else:
        print(f"predictions {out}   ({quantity(count, 'forecast' if series else 'sequence')})")


def _series(
    model: bptt.Module, task: seriesmodel.Task, options: argparse.Namespace
) -> tuple[list[str], Rows, Arrays]:
    """Return the forecasts of a CSV file: header, rows, and the same as arrays."""
    if options.data.is_dir():
        raise CommandError(f"{options.data} is a folder. Fix: pass one of its CSV files.")
    table = tables.read(options.data, task.columns, Format.of(options))
    need = task.window + task.horizon
    if len(table.values) < need:
        raise CommandError(
            f"{options.data} must have at least {need} rows, the window and the horizon of the model; got"
            f" {len(table.values)}. Fix: pass a longer file, or forecast its next rows with 'bptt forecast'."
        )
    forecasts = seriesmodel.predict_all(model, task, table.values)
    # Row of the table that each forecast is about: (windows, horizon).
    about = task.window + np.add.outer(np.arange(len(forecasts)), np.arange(task.horizon))
    times = table.stamps or {"row": [str(row) for row in range(1, len(table.values) + 1)]}
    rows = (
        [step + 1, *(texts[row] for texts in times.values()), *map(repr, forecast)]
        for window, forecasts_of_window in zip(about.tolist(), forecasts.tolist(), strict=True)
        for step, (row, forecast) in enumerate(zip(window, forecasts_of_window, strict=True))
    )
    arrays: Arrays = {"forecast": forecasts, "target": np.array(task.target)}
    arrays |= {"row": about + 1}
    if table.stamps:
        joined = np.array([" ".join(texts) for texts in zip(*table.stamps.values(), strict=True)])
        arrays["time"] = joined[about]
    return ["step", *times, *task.target], rows, arrays


def _sequences(
    model: bptt.Module, task: sequencemodel.Task, options: argparse.Namespace
) -> tuple[list[str], Rows, Arrays]:
    """Return the predictions for an .npz file: header, rows, and the same as arrays."""
    x, ndim = sequencefiles.read_x(options.data)
    task.check_x(x, ndim, options.data)
    arrays = task.predict(model, x)
    y = arrays["y"]
    columns = y[:, None] if y.ndim == 1 else y
    header = ["sequence", *(["y"] if y.ndim == 1 else [f"y[{k}]" for k in range(y.shape[1])])]
    if "classes" in arrays:
        header += [f"probability of {label}" for label in arrays["classes"].tolist()]
        columns = np.concatenate((columns.astype(object), arrays["probabilities"]), axis=1)
    rows = ([n, *map(repr, row)] for n, row in enumerate(columns.tolist()))
    return header, rows, arrays


def _csv(header: Sequence[str], rows: Rows) -> str:
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return lines.getvalue()


def _npz(arrays: Arrays) -> bytes:
    content = io.BytesIO()
    np.savez(content, **arrays)  # type: ignore[arg-type]
    return content.getvalue()
