"""`bptt export MODEL --onnx F` or `--c F`: write a model for other programs."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

import bptt
from bptt.cli.models import networks
from bptt.cli.options import CommandError, add_common, check_outputs, print_json


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
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read the model and write it."""
    name, out = ("onnx", options.onnx) if options.onnx is not None else ("c", options.c)
    check_outputs((out,), (options.model,))
    model = networks.read(options.model).model
    write = _onnx() if name == "onnx" else _c()
    write(model, out)
    size = out.stat().st_size
    if options.json:
        print_json({"model": str(options.model), name: str(out), "bytes": size})
    else:
        print(f"{'ONNX' if name == 'onnx' else 'C header':<8} {out}   ({size:,} bytes)")


def _onnx() -> Callable[[bptt.Module, Path], object]:
    try:
        save = import_module("bptt.interop.onnx").save
    except ImportError as error:
        raise CommandError(str(error)) from None
    return save  # type: ignore[no-any-return]


def _c() -> Callable[[bptt.Module, Path], object]:
    write = getattr(bptt, "export_c", None)
    if write is None:
        raise CommandError("this version of bptt cannot write C code. Fix: use --onnx.")
    return write  # type: ignore[no-any-return]
