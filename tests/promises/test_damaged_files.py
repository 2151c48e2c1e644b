"""Promise 5: a file that is cut or changed at any byte is refused, or read, in little memory.

A file that `bptt.save` writes has a checksum: the file is refused, or its data are the old ones. Other
formats have no checksum, so a changed byte may be a changed number.
"""

from __future__ import annotations

import faulthandler
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tests.promises.amount import LONG
from tests.promises.writers import WRITERS, model

import bptt
from bptt.cli.csv import tables
from bptt.cli.csv.format import Format as Dialect
from bptt.cli.models import sequence_files
from bptt.cli.options import CommandError
from bptt.files import CheckpointError, read_checkpoint

MEMORY = 20e6
"""Bytes that a case may take at most. The files have a few KB."""
PATIENCE = 900.0
"""Seconds for one format, after which it counts as hung. It takes seconds."""
FLIPS = (0xFF, 0x01, 0x80)
BEGINNING, STRIDE = 64, 29
"""A short run damages every byte of a model file, and the first bytes of other files, which have the length
of the header. After them, the run damages one byte in `STRIDE`."""
MEASURED = 50
"""Memory is measured in every 50th case, because that makes a case ten times slower."""

Arrays = dict[str, Any]


@dataclass(frozen=True)
class Kind:
    """A format: how a small file is made and read, and the error that refuses one."""

    make: Callable[[Path], object]
    read: Callable[[Path], Arrays]
    error: type[Exception] | tuple[type[Exception], ...]
    signed: bool = True
    needs: str = "numpy"
    slow: bool = False


def _checkpoint(path: Path) -> Arrays:
    saved = read_checkpoint(path)
    rest = repr((type(saved.model), saved.extra, saved.training))
    return {**_network(getattr(saved.model, "layer", saved.model)), **(saved.optimizer or {}), "rest": rest}


def _network(net: Any) -> Arrays:
    return {**net.parameters, "config": repr((net.kind, net.config()))}


def _onnx(path: Path) -> Arrays:
    return _network(import_module("bptt.interop.onnx").load(path))


def _operators(path: Path) -> None:
    proto = import_module("bptt.interop.onnx").to_proto(model(1))
    proto.ClearField("metadata_props")  # the nodes are read, as from another library
    path.write_bytes(proto.SerializeToString())


def _state_dict(path: Path) -> None:
    path.write_bytes(safetensors.numpy.save(dict(bptt.LSTM(1, 2, seed=0).parameters)))


def _read_state_dict(path: Path) -> Arrays:
    return _network(bptt.interop.from_state_dict(path))


def _npz(path: Path) -> None:
    with path.open("wb") as file:
        np.savez(file, x=np.arange(12.0).reshape(4, 3), y=np.arange(4) % 2)


def _read_npz(path: Path) -> Arrays:
    data = sequence_files.read(path)
    return {"x": np.concatenate(data.x), "y": data.y}


def _csv(path: Path) -> None:
    path.write_text(
        "day,a,b\n" + "".join(f"2021-01-{n:02},{n * n % 7},{n / 7 % 1:.3f}\n" for n in range(1, 25))
    )


def _read_csv(path: Path) -> Arrays:
    table = tables.read_features(path, [], Dialect())
    return {"names": table.names, "values": table.values}


def _saved(name: str) -> Kind:
    return Kind(lambda path: WRITERS[name].write(path, 1), _checkpoint, CheckpointError)


KINDS = {
    "model": _saved("bptt.save"),
    "checkpoint": _saved("Trainer.save"),
    "frozen": Kind(lambda path: bptt.save(path, model(1).freeze()), _checkpoint, CheckpointError),
    "int8": _saved("bptt.save of int8"),
    "state dict": Kind(_state_dict, _read_state_dict, (ValueError, TypeError), signed=False),
    "ONNX": Kind(lambda path: WRITERS["ONNX"].write(path, 1), _onnx, ValueError, False, "onnx"),
    "ONNX operators": Kind(_operators, _onnx, ValueError, False, "onnx"),
    "npz": Kind(_npz, _read_npz, CommandError),
    "CSV": Kind(_csv, _read_csv, CommandError, signed=False, slow=True),  # tests/fuzz/test_csv.py reads more
}


def same(one: Arrays, other: Arrays) -> bool:
    return one.keys() == other.keys() and all(
        np.array_equal(np.asarray(one[name]), np.asarray(other[name]), equal_nan=False) for name in one
    )


@contextmanager
def limited(measured: bool) -> Iterator[None]:
    """Fail if the block takes too much memory."""
    if measured:
        tracemalloc.start()
    try:
        yield
        assert not measured or tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()


def damaged(content: bytes, every: bool) -> Iterator[bytes]:
    """The file cut at each byte, and with each byte flipped."""
    places = [at for at in range(len(content)) if every or at < BEGINNING or at % STRIDE == 0]
    for number, at in enumerate(places):
        yield content[:at]
        for flip in FLIPS if LONG else (FLIPS[number % len(FLIPS)],):
            yield content[:at] + bytes((content[at] ^ flip,)) + content[at + 1 :]
    yield content + b"\0"


def outcome(kind: Kind, path: Path, whole: Arrays) -> str:
    """Return what reading the file leads to. Errors of the wrong type go to the caller."""
    try:
        found = kind.read(path)
    except kind.error as error:
        message = str(error)
    else:
        return "same" if same(found, whole) else "other"
    assert str(path) in message or message.startswith("state must h")
    return "refused"


def check_kind(kind: Kind, path: Path, every: bool = True) -> dict[str, int]:
    """Damage a file everywhere, and return how often each outcome came."""
    kind.make(path)
    content = path.read_bytes()
    whole = kind.read(path)
    outcomes = {"refused": 0, "same": 0, "other": 0}
    for number, case in enumerate(damaged(content, every)):
        path.unlink()
        path.write_bytes(case)
        with limited(number % MEASURED == 0):
            outcomes[outcome(kind, path, whole)] += 1
    return outcomes


def test_every_byte(
    tmp_path: Path, subtests: pytest.Subtests, record_property: Callable[[str, object], None]
) -> None:
    sums = {"refused": 0, "same": 0, "other": 0}
    kinds = 0
    for name, kind in KINDS.items():
        if find_spec(kind.needs) is None or (kind.slow and not LONG):
            continue
        with subtests.test(name):
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            outcomes = check_kind(kind, tmp_path / "file", LONG or name == "model")
            assert outcomes["refused"] > sum(outcomes.values()) / 4
            assert not (kind.signed and outcomes["other"])
            sums = {outcome: sums[outcome] + count for outcome, count in outcomes.items()}
            kinds += 1
    faulthandler.cancel_dump_traceback_later()
    cases = sum(sums.values())
    record_property(
        "figure",
        f"{kinds} formats cut and flipped at every byte, {cases:,} files: {sums['refused']:,} refused, "
        f"{sums['same']:,} with the old data, {sums['other']:,} with other data (no checksum)",
    )
