"""Everything in the package that replaces a file of the user, one writer per format."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
from tests.commandline import weather, write_csv
from tests.promises.amount import LONG

import bptt
from bptt.cli import main


@dataclass(frozen=True)
class Writer:
    """`write(path, seed)` writes a file whose content depends on the seed, which is 1 or 2.

    `read(content)` returns what equal files have in common.
    """

    write: Callable[[Path, int], object]
    ending: str = ""
    needs: str = "numpy"
    read: Callable[[bytes], object] = bytes
    slow: bool = False

    @property
    def available(self) -> bool:
        return find_spec(self.needs) is not None and (LONG or not self.slow)


def tensors(content: bytes) -> object:
    """Header and data of a safetensors file. The library writes the metadata in any order."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


@lru_cache
def model(seed: int) -> bptt.Sequential:
    return bptt.Sequential(bptt.GRU(1, 2, seed=seed), bptt.Linear(2, 1, seed=seed))


@lru_cache
def trainer(seed: int) -> bptt.Trainer:
    """A trainer after two updates."""
    data = [(np.ones((3, 2, 1)), np.zeros((3, 2, 1)))] * 2
    net = bptt.Sequential(bptt.GRU(1, 2, seed=seed), bptt.Linear(2, 1, seed=seed))
    run = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.Adam(), progress=False)
    run.fit(data, 1)
    return run


def _callback(path: Path, seed: int) -> None:
    """The first epoch of a run, with the callback that saves it."""
    net = bptt.Sequential(bptt.GRU(1, 2, seed=seed), bptt.Linear(2, 1, seed=seed))
    options = {"callbacks": [bptt.Checkpoint(path)], "progress": False}
    run = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.SGD(0.1), **options)
    run.fit([(np.ones((3, 2, 1)), np.zeros((3, 2, 1)))], 1)


def _onnx(path: Path, seed: int) -> None:
    import bptt.interop.onnx

    bptt.interop.onnx.save(model(seed), path)


def _command(*arguments: object) -> None:
    """Run the program `bptt`, whose exit code says that it failed."""
    code = main([str(argument) for argument in arguments])
    if code:
        raise OSError(f"exit code {code}")


def _predict(path: Path, seed: int) -> None:
    """A model of the command line and its data lie next to the folder of the predictions."""
    inputs = path.parent.parent / "inputs"
    data, trained = inputs / f"{seed}.csv", inputs / f"{seed}.safetensors"
    if not trained.exists():
        inputs.mkdir(exist_ok=True)
        write_csv(data, weather(30, seed))
        small = ("--hidden", 2, "--epochs", 1, "--window", 4, "--seed", seed)
        _command("train", "csv", data, "--model", trained, *small)
    _command("predict", trained, data, "--out", path)


def _findings(path: Path, seed: int) -> None:
    from bptt.bench import results
    from bptt.bench.session import Findings

    results.save(path, Findings({"seed": seed, "text": "x" * 50}, [], []), "bptt bench")


@lru_cache
def _figure(seed: int) -> Any:
    from bptt.diagnose.pictures import canvas

    with canvas.drawing(1.0, 1.0) as figure:
        figure.subplots().set_title(f"{seed}")
    return figure


def _picture(path: Path, seed: int) -> None:
    from bptt.diagnose.pictures import canvas

    canvas.write(_figure(seed), path)


WRITERS = {
    "bptt.save": Writer(lambda path, seed: bptt.save(path, model(seed)), read=tensors),
    "bptt.save of int8": Writer(lambda path, seed: bptt.save(path, model(seed).freeze("int8")), read=tensors),
    "Trainer.save": Writer(lambda path, seed: trainer(seed).save(path), read=tensors),
    "Checkpoint": Writer(_callback, read=tensors),
    "ONNX": Writer(_onnx, ".onnx", "onnx"),
    "C header": Writer(lambda path, seed: bptt.export_c(model(seed), path, name="m"), ".h"),
    "predictions in CSV": Writer(_predict, ".csv", slow=True),
    "predictions in npz": Writer(_predict, ".npz", slow=True),
    "results of bptt bench": Writer(_findings, ".json"),
    "picture": Writer(_picture, ".svg", "matplotlib", slow=True),
}
