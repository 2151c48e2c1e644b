"""`bptt export MODEL --onnx F` or `--c F`: write a model for other programs."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import bptt
from bptt.cli.models import networks
from bptt.cli.options import CommandError, add_common, check_outputs, print_json
from bptt.files.checkpoint import Saved


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "export",
        help="write a model as an ONNX file or as C code",
        description="Write a saved model for other programs: as an ONNX file, or as one C header without"
        " dependencies.",
    )
    command.add_argument(
        "model", type=Path, metavar="MODEL", help="model file that bptt.save or 'bptt train' wrote"
    )
    form = command.add_argument_group("format").add_mutually_exclusive_group(required=True)
    form.add_argument("--onnx", type=Path, metavar="F", help="write an ONNX file (pip install 'bptt[onnx]')")
    form.add_argument("--c", type=Path, metavar="F", help="write a C header")
    onnx = command.add_argument_group("ONNX files")
    onnx.add_argument(
        "--lengths", action="store_true", default=None, help="add an input with the lengths of the rows"
    )
    onnx.add_argument(
        "--states",
        choices=("none", "required", "optional"),
        help="whether initial states are inputs and final states are outputs (default: none)",
    )
    onnx.add_argument(
        "--scan",
        choices=("auto", "always", "never"),
        help="whether recurrent layers become loops of elementary operators (default: auto, where necessary)",
    )
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read the model and write it."""
    name, out = ("onnx", options.onnx) if options.onnx is not None else ("c", options.c)
    check_outputs((out,), (options.model,))
    given = {key: getattr(options, key) for key in ("lengths", "states", "scan")}
    given = {key: value for key, value in given.items() if value is not None}
    if given and name != "onnx":
        raise CommandError(f"--{next(iter(given))} is for ONNX files; got --c. Fix: leave it out.")
    saved = networks.read(options.model)
    if name == "onnx":
        _write_onnx(saved, out, given)
    else:
        _c()(saved.model, out)
    size = out.stat().st_size
    if options.json:
        print_json({"model": str(options.model), name: str(out), "bytes": size})
        return
    print(f"{'ONNX' if name == 'onnx' else 'C header':<8} {out}   ({size:,} bytes)")
    if any(entry["kind"] == "Standardize" for entry in saved.preprocessing.values()):
        print("scaling  is not in the network: scale x, and scale y back, as in training")


def _write_onnx(saved: Saved, out: Path, options: dict[str, Any]) -> None:
    """Write the network, and the preprocessing and extra values of the model file as metadata."""
    try:
        save = import_module("bptt.interop.onnx").save
    except ImportError as error:
        raise CommandError(str(error)) from None
    about = {"bptt.preprocessing": saved.preprocessing, "bptt.extra": saved.extra}
    metadata = {key: json.dumps(value) for key, value in about.items() if value}
    save(saved.model, out, metadata=metadata, **options)


def _c() -> Callable[[bptt.Module, Path], object]:
    write = getattr(bptt, "export_c", None)
    if write is None:
        raise CommandError("this version of bptt cannot write C code. Fix: use --onnx.")
    return write  # type: ignore[no-any-return]
