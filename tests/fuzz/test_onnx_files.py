"""An ONNX file that lies: every field replaced by something hostile, and bytes changed, cut and repeated.

`load` must work or raise OnnxError, in little memory and without a crash. BPTT_FUZZ_CASES sets the number of
cases; "all" changes every field in every way, and as many bytes.
"""

from __future__ import annotations

import contextlib
import faulthandler
import itertools
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import traceback
import tracemalloc
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("onnx", reason="needs pip install onnx")

from tests.onnx_graphs import classifier_model, recurrent_model, unrolled_model

import bptt
from bptt.interop.onnx import OnnxError, load, to_proto

CASES = os.environ.get("BPTT_FUZZ_CASES", "400")
SEED = int(os.environ.get("BPTT_FUZZ_SEED", "1"))
MEMORY = 100e6
"""Bytes that one case may take at most."""
PATIENCE = 60.0
"""Seconds for one case, after which it counts as hung. It takes milliseconds."""
MESSAGE = 10_000
"""Longest message of an error: it lists 20 nodes."""

HOSTILE: dict[str, tuple[Any, ...]] = {
    "int": (-1, 0, 1, 2, 7, 255, 2**31 - 1, -(2**31), 2**63 - 1, -(2**63)),
    "float": (0.0, -1.0, 1e38, 1e-40, math.nan, math.inf, -math.inf),
    "str": ("", "x", "W", "h", "y", "LSTM", "Loop", "../x", "/dev/zero", "9" * 5000, "\0"),
    "bytes": (b"", b"\0", b"bidirectional", b"Relu", b"\xff" * 5000),
}
Place = tuple[Any, ...]
"""Names of fields and positions in lists, from the model to a value."""


def large_model() -> Any:
    """A file of more than 1 MiB, whose weights are read from the open file."""
    model = to_proto(bptt.LSTM(300, 200, seed=0))
    model.ClearField("metadata_props")
    return model


def corpus() -> dict[str, Any]:
    rng = np.random.default_rng(0)
    saved = bptt.Sequential(
        bptt.Parallel(a=bptt.MGU(3, 4, seed=0), b=bptt.Linear(3, 2, seed=0)),
        bptt.LayerNorm(6),
        bptt.Dropout(),
    )
    return {
        "LSTM": recurrent_model(
            "LSTM",
            rng,
            peephole=True,
            lengths=True,
            state=True,
            direction="bidirectional",
            clip=3.0,
            activations=["Sigmoid", "Elu", "Tanh"] * 2,
            activation_alpha=[0.5] * 2,
        ),
        "GRU": recurrent_model("GRU", rng, layout=1, linear_before_reset=1, direction="reverse"),
        "classifier": classifier_model(rng),
        "unrolled": unrolled_model(rng),
        "saved layer": to_proto(bptt.GRU(3, 4, 2, zoneout=0.1, layer_norm=True, seed=0)),
        "saved model": to_proto(saved),
        "large": large_model(),
    }


def places(message: Any, before: Place = ()) -> Iterator[tuple[Place, str]]:
    """All fields that are set, each with its kind."""
    for field, value in message.ListFields():
        kind = "message" if field.message_type else ""
        entry = value[0] if _repeated(value) and len(value) else value
        for name, python in (("int", int), ("float", float), ("str", str), ("bytes", bytes)):
            if not kind and isinstance(entry, python):
                kind = name
        if not _repeated(value):
            yield (*before, field.name), kind
            if kind == "message":
                yield from places(value, (*before, field.name))
            continue
        for index, one in enumerate(value):
            yield (*before, field.name, index), kind
            if kind == "message":
                yield from places(one, (*before, field.name, index))


def _repeated(value: Any) -> bool:
    return hasattr(value, "extend")


def changes(kind: str) -> list[str]:
    hostile = [f"= {number}" for number in range(len(HOSTILE.get(kind, ())))]
    return [*hostile, "delete", "twice", "a hundred times", "of another place"]


def change(model: Any, place: Place, kind: str, what: str, rng: random.Random) -> bytes:
    """The bytes of a model with one field changed."""
    mutant = type(model)()
    mutant.CopyFrom(model)
    inner = mutant
    *path, last = place
    if isinstance(last, int):
        path, name = path[:-1], path[-1]
    else:
        name = last
    for key in path:
        inner = inner[key] if isinstance(key, int) else getattr(inner, key)
    value = getattr(inner, name)
    if what == "delete":
        if isinstance(last, int):
            del value[last]
        else:
            inner.ClearField(name)
    elif what.startswith("= "):
        hostile = HOSTILE[kind][int(what[2:])]
        with contextlib.suppress(ValueError, TypeError):  # 2**63 - 1 in a field of 32 bits
            if isinstance(last, int):
                value[last] = hostile
            else:
                setattr(inner, name, hostile)
    elif what == "of another place" and isinstance(last, int) and len(value) > 1:
        other = value[rng.randrange(len(value))]
        if kind == "message":
            value[last].CopyFrom(other)
        else:
            value[last] = other
    elif isinstance(last, int):
        value.extend([value[last]] * (1 if what == "twice" else 100))
    return mutant.SerializeToString()  # type: ignore[no-any-return]


def changed_bytes(content: bytes, rng: random.Random) -> bytes:
    """A file with a part changed, cut or repeated."""
    changed = bytearray(content)
    start = rng.randrange(len(changed))
    if len(changed) > 2**20 and rng.random() < 0.8:  # next to the weights, which are almost all bytes
        start = rng.choice((start % 500, len(changed) - 1 - start % 20_000))
    stop = min(len(changed), start + rng.choice((1, 1, 1, 2, 8, 100)))
    kind = rng.randrange(5)
    if kind == 0:
        del changed[start:]
    elif kind == 1:
        del changed[start:stop]
    elif kind == 2:
        changed[start:start] = changed[start:stop] * rng.choice((1, 100))
    elif kind == 3:
        changed[start:stop] = bytes(rng.randrange(256) for _ in range(stop - start))
    else:
        changed[start] ^= 1 << rng.randrange(8)
    return bytes(changed)


def changed_description(model: Any, rng: random.Random) -> tuple[str, bytes]:
    """A file whose description of the saved model has one value changed."""
    mutant = type(model)()
    mutant.CopyFrom(model)
    (entry,) = mutant.metadata_props
    about = json.loads(entry.value)
    inner, path = about, []
    while isinstance(inner, (dict, list)) and inner and (not path or rng.random() < 0.9):
        holder, key = inner, rng.choice(list(inner) if isinstance(inner, dict) else range(len(inner)))
        inner = holder[key]
        path.append(key)
    hostile = rng.choice(
        (*itertools.chain(*(HOSTILE[kind] for kind in ("int", "float", "str"))), None, [], {})
    )
    if rng.random() < 0.1:
        del holder[key]
    else:
        holder[key] = hostile
    entry.value = json.dumps(about)
    return f"{path} = {hostile!r:.40}", mutant.SerializeToString()


def cases(count: str, seed: int) -> Iterator[tuple[str, bytes]]:
    """As many cases as are asked for, half of them changed fields and half changed bytes; or all fields."""
    rng = random.Random(seed)
    models = corpus()
    every = {name: list(places(model)) for name, model in models.items()}
    if count == "all":
        for name, model in models.items():
            for place, kind in every[name]:
                for what in changes(kind):
                    yield f"{name} {place} {what}", change(model, place, kind, what, rng)
    for number in range(100_000 if count == "all" else int(count)):
        name = rng.choice([*models])
        if number % 4 == 3 and name.startswith("saved"):
            what, content = changed_description(models[name], rng)
            yield f"{name} {what}", content
            continue
        place, kind = rng.choice(every[name])
        what = rng.choice(changes(kind))
        if number % 2 and count != "all":
            yield f"{name} {place} {what}", change(models[name], place, kind, what, rng)
        else:
            yield f"{name} bytes", changed_bytes(models[name].SerializeToString(), rng)


# The run, in a process of its own: it may crash


def attempt(path: Path) -> None:
    """Load a file and run the model; the errors that are allowed stay in here."""
    try:
        model = load(path)
    except OnnxError as error:
        message = str(error)
        if not message.startswith(str(path)) or len(message) > MESSAGE or not message.endswith("."):
            raise AssertionError("the message must be short and name the file") from error
        return
    runs: tuple[Callable[[], object], ...] = (
        lambda: model(np.zeros((2, 1, 3), np.float32)),
        lambda: model(np.zeros((2, 1), np.int64)),
        lambda: model(np.zeros((1, 3), np.float32)),
    )
    for run in runs:
        with contextlib.suppress(ValueError, TypeError, MemoryError), np.errstate(all="ignore"):
            run()


def main(count: str, seed: int) -> int:
    """Try the cases and print those that fail. Return how many did."""
    failures = 0
    warnings.simplefilter("error")
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "model.onnx"
        for model in corpus().values():  # what is not changed must work
            path.write_bytes(model.SerializeToString())
            load(path)
        tracemalloc.start()
        for number, (what, content) in enumerate(cases(count, seed)):
            print(f"{number}: {what}", flush=True)  # the last line names the case that crashes
            path.write_bytes(content)
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                attempt(path)
                taken = tracemalloc.get_traced_memory()[1] - before
                assert taken < MEMORY, f"{taken:.0f} bytes of memory"
            except BaseException:
                failures += 1
                print(f"FAILED {number}: {what}\n{traceback.format_exc(limit=-6)}", file=sys.stderr)
            faulthandler.cancel_dump_traceback_later()
    return failures


def test_onnx_files_that_lie() -> None:
    root = str(Path(__file__).parents[2])
    path = os.pathsep.join(entry for entry in (os.environ.get("PYTHONPATH"), root) if entry)
    done = subprocess.run(
        [sys.executable, __file__, CASES, str(SEED)],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=False,
    )
    last = done.stdout.splitlines()[-1:]
    assert done.returncode == 0, f"the last case was {last}\n{done.stderr[-6000:]}"


if __name__ == "__main__":
    sys.exit(min(main(sys.argv[1], int(sys.argv[2])), 100))
