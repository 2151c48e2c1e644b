"""A file that lies: every number and name in a checkpoint replaced by something hostile.

`load`, `resume` and `fit` must work or raise the error that the docs promise, in little memory and without a
crash. The short run takes some seconds. BPTT_FUZZ_CASES sets the number of cases; "all" tries all of them.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import json
import math
import os
import random
import subprocess
import sys
import tempfile
import traceback
import tracemalloc
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy

import bptt
from bptt.callbacks import TrainerView
from bptt.files import CheckpointError, read_checkpoint
from bptt.optim import NonFiniteError
from bptt.train import Trainer

CASES = os.environ.get("BPTT_FUZZ_CASES", "150")
SEED = int(os.environ.get("BPTT_FUZZ_SEED", "1"))
MEMORY = 100e6
"""Bytes that one case may take at most."""
PATIENCE = 60.0
"""Seconds for one case, after which it counts as hung. It takes milliseconds."""
HOSTILE: tuple[Any, ...] = (
    *(-1, 0, 1, 2, 7, 2**31, 2**53 + 1, 2**63, 2**64, 2**128, 10**4000, -(2**63)),
    *(0.5, -1.0, 1e308, 1e-320, math.nan, math.inf, -math.inf),
    *(None, True, False, "", "x", "MT19937", "Sequential", "9" * 5000),
    *([], {}, [[]], [0], [-1], {"mapping": {}}, {"tuple": []}, {"tensor": "0"}, {"float": "inf"}),
    {"integers": "int64", "shape": [2**40, 0], "values": []},
    {"integers": "uint8", "shape": [1], "values": [256]},
)
Change = Callable[[Any, Any], object]
"""What is done to one entry of a list or mapping, given by its index or name."""


# The corpus: files that are valid


@dataclass
class File:
    """A checkpoint, and how a run goes on from it."""

    content: bytes
    resume: Callable[[Path], Trainer] | None = None
    data: Callable[[], Any] | None = None


def _model() -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(5, 3, seed=1), bptt.LSTM(3, 4, 2, dropout=0.5, seed=2), bptt.Linear(4, 5, seed=3)
    )


def _alone(folder: Path) -> File:
    model = bptt.Sequential(
        bptt.GRU(2, 3, bidirectional=True), bptt.Sequential(bptt.Dropout(0.5), bptt.Ends())
    )
    optimizer = bptt.Adam()
    optimizer.step(model)
    preprocessing = {"x": bptt.data.Standardize([0.5], [2.0], ["load"]), "text": bptt.data.Vocabulary("ab")}
    extra = {"step": 3, "names": ["a", "b"]}
    bptt.save(folder / "alone", model, optimizer=optimizer, extra=extra, preprocessing=preprocessing)
    return File((folder / "alone").read_bytes())


def stream_run(folder: Path, kind: str, text: str = "abcdeedcba" * 5) -> File:
    """Carried state, truncation, a clip and a schedule that learn, callbacks, a generator of this kind."""

    def parts() -> tuple[Any, Any, dict[str, Any]]:
        model_rng = np.random.Generator(getattr(np.random, kind)(4))
        options = {
            "clip": bptt.ClipGroups({"0.*": bptt.ClipNorm("auto"), "*": bptt.ClipNorm(1.0)}),
            "truncate": 4,
            "metrics": [bptt.metrics.Accuracy()],
            "callbacks": [
                bptt.EarlyStopping(3, restore_best=True),
                bptt.KeepBest(),
                bptt.Checkpoint(folder / "own-{step}", keep=1),
            ],
            "progress": False,
            "seed": model_rng,
        }
        return bptt.CrossEntropy(), bptt.Adam(bptt.schedules.Plateau(0.01)), options

    def data() -> Any:
        return bptt.data.TextStream(text, batch_size=2, steps=12)

    def resume(path: Path) -> Trainer:
        loss, optimizer, options = parts()
        return Trainer.resume(path, loss, optimizer, **options | {"seed": None})

    loss, optimizer, options = parts()
    trainer = Trainer(_model(), loss, optimizer, **options)
    trainer.callbacks = (*trainer.callbacks, _SaveAt(folder / kind, 8))
    trainer.fit(data(), 2, data())
    return File((folder / kind).read_bytes(), resume, data)


class _SaveAt(bptt.Callback):
    def __init__(self, path: Path, update: int) -> None:
        self.path, self.at = path, update

    def update(self, trainer: TrainerView, update: Any) -> None:
        if len(trainer.history["loss"]) == self.at:
            trainer.callbacks = trainer.callbacks[:-1]  # the file is to be resumed without this one
            trainer.save(self.path)


def windows_run(folder: Path, kind: str) -> File:
    """A generator of this kind in the data."""

    def data() -> Any:
        rng = np.random.Generator(getattr(np.random, kind)(5))
        rng.integers(0, 2**16, 3, np.uint16)
        return bptt.data.Windows(np.sin(np.arange(40)), steps=6, batch_size=4, shuffle=True, seed=rng)

    def resume(path: Path) -> Trainer:
        return Trainer.resume(path, bptt.MeanSquaredError(), bptt.SGD(0.1, momentum=0.5), progress=False)

    model = bptt.Sequential(bptt.RNN(1, 2, seed=1), bptt.Linear(2, 1, seed=2))
    trainer = Trainer(model, bptt.MeanSquaredError(), bptt.SGD(0.1, momentum=0.5), progress=False)
    trainer.callbacks = (_SaveAt(folder / f"windows {kind}", 3),)
    trainer.fit(data(), 1, data())
    return File((folder / f"windows {kind}").read_bytes(), resume, data)


def corpus(folder: Path) -> list[File]:
    """A model alone, and runs in the middle of an epoch."""
    return [
        _alone(folder),
        *(stream_run(folder, kind) for kind in ("MT19937", "PCG64")),
        *(windows_run(folder, kind) for kind in ("MT19937", "Philox", "SFC64", "PCG64DXSM")),
    ]


# Mutations


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to everything inside a JSON value. Of long lists only the ends."""
    entries = (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    )
    last = len(value) - 1 if isinstance(value, list) else 0
    for key, entry in entries:
        if not isinstance(key, int) or key < 2 or key == last:
            yield (*path, key)
            yield from places(entry, (*path, key))


def _twice(inner: Any, key: Any, times: int = 1) -> None:
    if isinstance(inner, list):
        inner[key:key] = [inner[key]] * times
    else:
        inner[f"{key}{TWICE}"] = inner[key]


def _nested(inner: Any, key: Any) -> None:
    for _ in range(100):
        inner[key] = [inner[key]]


def _set(hostile: Any) -> Change:
    return lambda inner, key: inner.__setitem__(key, copy.deepcopy(hostile))


CHANGES: dict[str, Change] = {
    **{f"= {hostile!r:.40}": _set(hostile) for hostile in HOSTILE},
    "deleted": lambda inner, key: inner.__delitem__(key),
    "twice": _twice,
    "a thousand times": lambda inner, key: _twice(inner, key, 1000),
    "nested": _nested,
}
TWICE = "\N{DOUBLE DAGGER}"
"""What marks a name that `dumps` writes a second time."""


def dumps(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False).replace(TWICE, "")


def split(content: bytes) -> tuple[dict[str, Any], bytes]:
    """The header of a safetensors file, and the bytes after it."""
    length = int.from_bytes(content[:8], "little")
    return json.loads(content[8 : 8 + length]), content[8 + length :]


def joined(header: dict[str, Any], rest: bytes) -> bytes:
    text = dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + rest


def signed(about: Any, tensors: dict[str, Any]) -> bytes:
    """A file with a right sum: whoever forges a checkpoint computes one."""
    from bptt.files.checkpoint import _digest

    words = dumps(about)
    return safetensors.numpy.save(tensors, {"bptt": words, "sha256": _digest(words, tensors)})


class Mutants:
    """The changed versions of a file, each by its place and by what is done there."""

    def __init__(self, file: File) -> None:
        self.file = file
        self._header, self._rest = split(file.content)
        self._about = json.loads(self._header["__metadata__"]["bptt"])
        self._tensors = safetensors.numpy.load(file.content)
        self.places: list[tuple[str, Any]] = [
            *(("about", path) for path in places(self._about)),
            *(("header", path) for path in places(self._header)),
            *(("tensor", name) for name in self._tensors),
        ]

    def changes(self, place: tuple[str, Any]) -> tuple[str, ...]:
        part, name = place
        return tuple(_changed_tensors(self._tensors[name]) if part == "tensor" else CHANGES)

    def make(self, place: tuple[str, Any], change: str) -> bytes:
        part, path = place
        if part == "tensor":
            other = _changed_tensors(self._tensors[path])[change]
            tensors = {**self._tensors, path: other}
            return signed(self._about, {name: own for name, own in tensors.items() if own is not None})
        whole = copy.deepcopy(self._about if part == "about" else self._header)
        inner = whole
        for key in path[:-1]:
            inner = inner[key]
        CHANGES[change](inner, path[-1])
        return signed(whole, self._tensors) if part == "about" else joined(whole, self._rest)


def draw(every: list[Mutants], count: str, seed: int) -> Iterator[tuple[Mutants, tuple[str, Any], str]]:
    """As many cases as are asked for, at random, or all."""
    if count == "all":
        for mutants in every:
            for place in mutants.places:
                yield from ((mutants, place, change) for change in mutants.changes(place))
        return
    rng = random.Random(seed)
    for _ in range(int(count)):
        mutants = rng.choice(every)
        place = rng.choice(mutants.places)
        yield mutants, place, rng.choice(mutants.changes(place))


def _changed_tensors(tensor: Any) -> dict[str, Any]:
    flat = tensor.reshape(-1)
    return {
        "NaN": np.full_like(tensor, np.nan),
        "huge": np.full_like(tensor, np.finfo(tensor.dtype).max),
        "negative": -np.ones_like(tensor),
        "of the other type": tensor.astype("float64" if tensor.dtype == np.float32 else "float32"),
        "flat": flat,
        "longer": np.concatenate([flat, flat]),
        "empty": flat[:0],
        "with an empty axis": np.empty((2**40, 0), tensor.dtype),
        "of many axes": tensor.reshape((1,) * 40 + tensor.shape),
        "a number": np.array(1, tensor.dtype),
        "deleted": None,
    }


# The run, in a process of its own: it may crash


def attempt(file: File, path: Path) -> None:
    """Load, resume and train; the errors that are allowed stay in here."""
    try:
        read_checkpoint(path)
        bptt.load_preprocessing(path)
    except CheckpointError as error:
        if not str(error).startswith(str(path)) or len(str(error)) > 2000:
            raise AssertionError("the message must be short and name the file") from error
        return
    if file.resume is None or file.data is None:
        return
    try:
        trainer = file.resume(path)
    except CheckpointError:
        return
    except ValueError as error:
        if not str(error).startswith(f"{path} must be resumed with the settings"):
            raise
        return
    with contextlib.suppress(ValueError, TypeError, NonFiniteError):
        trainer.fit(file.data(), min(trainer.epochs_done, 1) + 1, file.data())


def main(count: str, seed: int) -> int:
    """Try the cases and print those that fail. Return how many did."""
    failures = 0
    with tempfile.TemporaryDirectory() as name:
        files = corpus(Path(name))
        for file in files:  # what is not changed must work
            (Path(name) / "whole").write_bytes(file.content)
            assert read_checkpoint(Path(name) / "whole")
            if file.resume is not None:
                file.resume(Path(name) / "whole").fit(file.data(), 2, file.data())
        tracemalloc.start()
        for number, (mutants, place, change) in enumerate(draw([*map(Mutants, files)], count, seed)):
            what = f"{number}: {place} {change}"
            print(what, flush=True)  # the last line names the case that crashes
            path = Path(name) / f"{number}"
            path.write_bytes(mutants.make(place, change))
            before = tracemalloc.get_traced_memory()[0]
            tracemalloc.reset_peak()
            faulthandler.dump_traceback_later(PATIENCE, exit=True)
            try:
                attempt(mutants.file, path)
                taken = tracemalloc.get_traced_memory()[1] - before
                assert taken < MEMORY, f"{taken:.0f} bytes of memory"
            except BaseException:
                failures += 1
                print(f"FAILED {what}\n{traceback.format_exc(limit=-4)}", file=sys.stderr)
            faulthandler.cancel_dump_traceback_later()
            path.unlink()
    return failures


def test_checkpoints_that_lie() -> None:
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
