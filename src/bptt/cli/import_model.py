"""`bptt import FILE -o MODEL`: make a model file from the file of another library."""

from __future__ import annotations

import argparse
import json
from importlib import import_module
from pathlib import Path
from typing import Any

import safetensors

import bptt
from bptt.arguments import quantity
from bptt.cli.options import CELLS, CommandError, add_common, check_outputs, names, print_json
from bptt.data.preprocessing import as_preprocessing
from bptt.files.preprocessing import check_preprocessing
from bptt.interop.weights.state_dicts import from_state_dict

_PICKLES = (".pt", ".pth", ".bin", ".ckpt", ".pkl", ".pickle")
_POOLS = {kind.kind: kind for kind in (bptt.Last, bptt.Ends, bptt.MeanPool, bptt.MaxPool)}
_ACTIVATIONS = {
    kind.kind: kind for kind in (bptt.Tanh, bptt.ReLU, bptt.Sigmoid, bptt.GELU, bptt.SiLU, bptt.Softmax)
}
_CELLS = ("lstm", "gru", "rnn", "rnn-relu")


def add(commands: Any) -> None:
    """Register the command."""
    command = commands.add_parser(
        "import",
        help="make a model from an ONNX file or from PyTorch weights",
        description="Make a model file of bptt from an ONNX file, or from a state dict of PyTorch in a"
        " safetensors file. A state dict gives one recurrent layer, or with --layers a whole model. Its sizes"
        " come from the shapes.",
    )
    command.add_argument("file", type=Path, metavar="FILE", help=".onnx or .safetensors file")
    out = "write the model to this file, usually .safetensors"
    command.add_argument("-o", "--out", type=Path, metavar="MODEL", required=True, help=out)
    group = command.add_argument_group("ONNX")
    output = "make a model of the part that computes this output, or this value inside the graph"
    group.add_argument("--graph-output", metavar="NAME", help=output)
    clip = (
        "what the attribute clip of an LSTM does with the cell state (default: nothing, as in ONNX Runtime)"
    )
    group.add_argument("--clip-mode", choices=("onnxruntime", "spec"), help=clip)
    group = command.add_argument_group("PyTorch state dict")
    prefix = "name of the layer in the PyTorch model, such as encoder.rnn (default: the only layer)"
    group.add_argument("--prefix", metavar="NAME", help=prefix)
    layers = (
        "make a whole model: the names of its layers in their order, such as embedding,rnn,Last,head; between"
        " them Last, Ends, MeanPool, MaxPool, Tanh and other activations"
    )
    group.add_argument("--layers", type=names, metavar="NAMES", help=layers)
    cell = "recurrent cell (default: found from the shapes, which do not tell rnn from rnn-relu)"
    group.add_argument("--cell", choices=_CELLS, help=cell)
    group.add_argument("--batch-first", action="store_true", help="the model reads (batch, time, features)")
    add_common(command, run)


def run(options: argparse.Namespace) -> None:
    """Read the file, build the model and save it."""
    check_outputs((options.out,), (options.file,))
    try:
        model, kept = _read(options)
    except OSError as error:
        raise CommandError(f"cannot read {options.file}: {error.strerror}. Fix: pass a file.") from None
    bptt.save(options.out, model, **kept)
    if options.json:
        about = {"file": str(options.file), "out": str(options.out), "model": repr(model)}
        print_json({**about, "parameters": model.parameter_count})
    else:
        print(f"model    {options.out}   ({quantity(model.parameter_count, 'parameter')})\n{model!r}")


def _read(options: argparse.Namespace) -> tuple[bptt.Module, dict[str, Any]]:
    """Return the model, and what else the file of the model holds: arguments of `save`."""
    suffix = options.file.suffix.lower()
    if suffix == ".onnx":
        return _from_onnx(options)
    if suffix == ".safetensors":
        _refuse(options, ("graph_output", "clip_mode"), "for ONNX files", "a state dict")
        return _from_state_dict(options), {}
    if suffix in _PICKLES:
        raise CommandError(
            f"{options.file} looks like a pickle file, and reading pickles runs their code. Fix: in PyTorch,"
            " safetensors.torch.save_file(module.state_dict(), 'weights.safetensors'), and import that file."
        )
    raise CommandError(f"FILE must end in .onnx or .safetensors; got {options.file}. Fix: pass such a file.")


def _from_state_dict(options: argparse.Namespace) -> bptt.Module:
    if _is_checkpoint(options.file):
        raise CommandError(f"{options.file} is already a model of bptt. Fix: use it as it is.")
    cell: str | None = options.cell
    special = {} if cell is None else CELLS[cell][1]
    return from_state_dict(
        options.file,
        options.prefix,
        layers=None if options.layers is None else [_layer(name, options) for name in options.layers],
        cell=None if cell is None else cell.partition("-")[0],
        batch_first=options.batch_first,
        **special,
    )


def _layer(name: str, options: argparse.Namespace) -> str | bptt.Module:
    """Return the layer of bptt of this name, or the name of a layer with weights."""
    if name in _POOLS:
        return _POOLS[name](batch_first=options.batch_first)
    return _ACTIVATIONS[name]() if name in _ACTIVATIONS else name


def _is_checkpoint(path: Path) -> bool:
    """Return whether a safetensors file describes a model of bptt."""
    try:
        with safetensors.safe_open(path, "np") as file:
            return "bptt" in (file.metadata() or {})
    except (OSError, safetensors.SafetensorError):
        return False


def _from_onnx(options: argparse.Namespace) -> tuple[bptt.Module, dict[str, Any]]:
    _refuse(options, ("prefix", "layers", "cell", "batch_first"), "for PyTorch weights", "an ONNX file")
    try:
        loading = import_module("bptt.interop.onnx.loading")
    except ImportError as error:
        raise CommandError(str(error)) from None
    model = loading.load(
        options.file, clip_mode=options.clip_mode or "onnxruntime", output=options.graph_output
    )
    return model, _kept(loading.read_metadata(options.file), options.file)


def _refuse(options: argparse.Namespace, names: tuple[str, ...], purpose: str, actual: str) -> None:
    """Raise CommandError if an option is for another kind of file."""
    for name in names:
        if getattr(options, name):
            raise CommandError(
                f"--{name.replace('_', '-')} is an option {purpose}, and {options.file} is {actual}."
                " Fix: leave it out."
            )


def _kept(metadata: dict[str, str], path: Path) -> dict[str, Any]:
    """Return the preprocessing and the extra values that 'bptt export' wrote."""
    kept: dict[str, Any] = {}
    try:
        if "bptt.preprocessing" in metadata:
            described = check_preprocessing(json.loads(metadata["bptt.preprocessing"]))
            kept["preprocessing"] = as_preprocessing(described)
        if "bptt.extra" in metadata:
            kept["extra"] = json.loads(metadata["bptt.extra"])
    except (ValueError, RecursionError) as error:
        raise CommandError(
            f"{path} has damaged metadata: {error!s:.200}. Fix: export the model again."
        ) from None
    return kept
