"""`bptt export MODEL --onnx F` or `--c F`: write a model for other programs."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import bptt
from bptt.cli.models import networks
from bptt.cli.options import CommandError, add_common, check_outputs, note, print_json
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
    header = command.add_argument_group("C header")
    header.add_argument("--name", metavar="N", help="prefix of the names in the header (default: from F)")
    header.add_argument("--section", metavar="S", help="section of the object file for the weights")
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read the model and write it."""
    name, out = ("onnx", options.onnx) if options.onnx is not None else ("c", options.c)
    check_outputs((out,), (options.model,))
    saved = networks.read(options.model)
    if name == "onnx":
        _write_onnx(saved, out, _given(options, ("lengths", "states", "scan"), ("name", "section")))
    else:
        bptt.export_c(saved.model, out, **_given(options, ("name", "section"), ("lengths", "states", "scan")))
    if any(entry["kind"] == "Standardize" for entry in saved.preprocessing.values()):
        scales = f"bptt.load_preprocessing({str(options.model)!r}) has the scales"
        note(f"{out} reads and writes scaled numbers. {scales}.")
    size = out.stat().st_size
    if options.json:
        print_json({"model": str(options.model), name: str(out), "bytes": size})
        return
    print(f"{'ONNX' if name == 'onnx' else 'C header':<8} {out}   ({size:,} bytes)")


def _write_onnx(saved: Saved, out: Path, options: dict[str, Any]) -> None:
    """Write the network, and the preprocessing and extra values of the model file as metadata."""
    try:
        save = import_module("bptt.interop.onnx").save
    except ImportError as error:
        raise CommandError(str(error)) from None
    about = {"bptt.preprocessing": saved.preprocessing, "bptt.extra": saved.extra}
    metadata = {key: json.dumps(value) for key, value in about.items() if value}
    save(saved.model, out, metadata=metadata, **options)


def _given(options: argparse.Namespace, names: tuple[str, ...], others: tuple[str, ...]) -> dict[str, Any]:
    """Return the options of this format that were given, and refuse those of the other."""
    for name in others:
        if getattr(options, name) is not None:
            own, other = ("--c", "--onnx") if options.onnx is None else ("--onnx", "--c")
            raise CommandError(f"--{name} is for {other}; got {own}. Fix: leave it out, or use {other}.")
    return {name: value for name in names if (value := getattr(options, name)) is not None}
