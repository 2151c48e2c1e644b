"""`bptt forecast MODEL FILE`: forecast the rows after the last row of a CSV file."""

from __future__ import annotations

import argparse
import csv
import io
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.cli.csv import following, tables
from bptt.cli.csv import format as csvformat
from bptt.cli.csv.format import Format
from bptt.cli.models import series as seriesmodel
from bptt.cli.options import COUNT, CommandError, add_common, check_outputs, print_json
from bptt.diagnose.pictures import canvas
from bptt.files import atomic as files


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "forecast",
        help="forecast the next values of a series with a trained model",
        description="Forecast the rows after the last row of a CSV file with a model of 'bptt train csv', and"
        " print them as CSV.",
    )
    command.add_argument("model", type=Path, metavar="MODEL", help="model file that 'bptt train csv' wrote")
    command.add_argument("file", type=Path, metavar="FILE", help="CSV file with the columns of the model")
    csvformat.add_options(command)
    steps = "rows to forecast (default: the horizon of the model)"
    command.add_argument("--steps", type=COUNT, metavar="N", help=steps)
    command.add_argument("-o", "--out", type=Path, metavar="PATH", help="write the forecast to this CSV file")
    picture = "draw the series and its forecast: a .png or .svg file"
    command.add_argument("--plot", type=Path, metavar="PATH", help=picture)
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read model and data, forecast, write or print the forecast."""
    check_outputs((options.out, options.plot), (options.model, options.file))
    if options.plot is not None:
        canvas.picture_format(options.plot)
        if not canvas.available():
            raise CommandError("drawing needs matplotlib. Fix: pip install 'bptt[plot]'.")
    model, task = seriesmodel.load(options.model)
    if options.file.is_dir():
        raise CommandError(f"{options.file} is a folder. Fix: pass one of its CSV files.")
    # A target that is not an input may be missing in the file, but the picture needs its past values.
    columns = task.columns if options.plot is None else task.names
    table = tables.read(options.file, columns, Format.of(options))
    steps = options.steps or task.horizon
    try:
        forecast = seriesmodel.forecast(model, task, table.values, steps)
    except CommandError as error:
        raise CommandError(f"{options.file}: {error}") from None
    times = following.times(table, steps)
    text = _text(task.target, forecast, times)
    if options.plot is not None:
        from bptt.diagnose.pictures.forecast import plot_forecast

        plot_forecast(table.values[:, task.targets], forecast, task.target, options.plot)
    if options.out is not None:
        files.replace(options.out, text.encode("utf-8"), verify=lambda path: None)
    if options.json:
        written = {"out": options.out, "plot": options.plot}
        paths = {name: str(path) for name, path in written.items() if path is not None}
        by_column = {name: forecast[:, k].tolist() for k, name in enumerate(task.target)}
        figures = {"model": str(options.model), "rows": len(table.values), "times": times}
        print_json({**figures, "forecast": by_column, **paths})
    elif options.out is None:
        print(text, end="")
    else:
        print(f"forecast {options.out}")
    if options.plot is not None and not options.json:
        print(f"picture  {options.plot}")


def _text(names: list[str], forecast: npt.NDArray[np.float64], times: dict[str, list[str]]) -> str:
    """Return the forecast as CSV: number of steps after the last row, times, and values."""
    lines = io.StringIO()
    writer = csv.writer(lines, lineterminator="\n")
    writer.writerow(["step", *times, *names])
    for step, row in enumerate(forecast.tolist(), 1):
        writer.writerow([step, *(column[step - 1] for column in times.values()), *map(repr, row)])
    return lines.getvalue()
