"""Series beyond memory: every step in its place, training as from memory, no more read than asked for."""

from __future__ import annotations

import itertools
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.grids import in_turn, pairwise
from tests.training import SYMBOLS, Watch, by_hand, model, trainer

from bptt.data import Batches, Stream

RNG = np.random.default_rng(0)


class Dataset:
    """What h5py and zarr have: slices are read, the whole is not."""

    def __init__(self, array: np.ndarray) -> None:
        self.shape, self.dtype = array.shape, array.dtype
        self.read: list[tuple[int, int]] = []
        self._array = array

    def __getitem__(self, key: slice) -> np.ndarray:
        start, stop, step = key.indices(len(self._array))
        assert step == 1
        if stop > start:
            self.read.append((start, stop))
        return self._array[key].copy()

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise AssertionError("read whole")

    def __len__(self) -> int:
        return len(self._array)


def mapped(array: np.ndarray, path: Path) -> np.ndarray:
    np.save(path / "series.npy", array)
    return np.load(path / "series.npy", mmap_mode="r")


SOURCES: dict[str, Callable[[np.ndarray, Path], Any]] = {
    "array": lambda array, path: array,
    "list": lambda array, path: array.tolist(),
    "memory map": mapped,
    "dataset": lambda array, path: Dataset(array),
}
SERIES = {
    "values": RNG.standard_normal(101),
    "rows": RNG.standard_normal((101, 3)).astype(np.float32),
    "ids": RNG.integers(0, 200, 101).astype(np.uint8),
    "whole numbers in rows": RNG.integers(-9, 9, (101, 2)),
    "flags": RNG.random(101) < 0.5,
}


def columns(series: np.ndarray) -> np.ndarray:
    """(N, ...) as a batch shows it."""
    return series if series.ndim == 2 or series.dtype.kind in "iu" else series[:, None]


def joined(stream: Stream) -> tuple[np.ndarray, np.ndarray]:
    x, target = zip(*stream, strict=True)
    return np.concatenate(x), np.concatenate(target)


@pairwise(
    ("batch_size, steps, ahead", [(1, 7, 1), (4, 6, 1), (3, 33, 2), (7, 5, 30)]),
    ("kind", SERIES.keys()),
    ("source", SOURCES.keys()),
)
def test_each_row_is_read_on_where_it_stopped(
    batch_size: int, steps: int, ahead: int, kind: str, source: str, tmp_path: Path
) -> None:
    series = SERIES[kind]
    stream = Stream(SOURCES[source](series, tmp_path), steps=steps, batch_size=batch_size, ahead=ahead)
    row = (101 - ahead) // batch_size
    for _ in range(2):  # once per epoch
        batches = list(stream)
        assert len(batches) == len(stream) == -(-row // steps)
        assert all(len(x) == len(target) == steps for x, target in batches[:-1])
        x, target = joined(stream)
        assert x.shape == target.shape == (row, batch_size, *columns(series).shape[1:])
        if source != "list":
            assert x.dtype == target.dtype == series.dtype
        for b in range(batch_size):
            begin = b * row
            np.testing.assert_array_equal(x[:, b], columns(series)[begin : begin + row])
            later = columns(series)[begin + ahead :]
            np.testing.assert_array_equal(target[:, b], later[:row])
    # The docstring: fewer than batch_size steps are left over.
    assert 101 - ahead - row * batch_size < batch_size
    assert stream.carries_state


@in_turn(("kind", SERIES.keys()), ("source", SOURCES.keys()))
def test_a_given_target_lies_beside_its_step(kind: str, source: str, tmp_path: Path) -> None:
    target = SERIES[kind]
    stream = Stream(np.arange(101.0), SOURCES[source](target, tmp_path), steps=10, batch_size=3)
    x, found = joined(stream)
    assert x.shape == (33, 3, 1)
    for b in range(3):
        np.testing.assert_array_equal(x[:, b, 0], np.arange(33 * b, 33 * b + 33))
        np.testing.assert_array_equal(found[:, b], columns(target)[33 * b : 33 * b + 33])


@pytest.mark.parametrize("ahead", [1, 3])
def test_the_shortest_series_is_one_batch(ahead: int) -> None:
    series = np.arange(4 * 5 + ahead)
    ((x, target),) = Stream(series, steps=5, batch_size=4, ahead=ahead)
    np.testing.assert_array_equal(x, np.arange(20).reshape(4, 5).T)
    np.testing.assert_array_equal(target, x + ahead)


def test_batches_are_copies(tmp_path: Path) -> None:
    series = np.arange(40.0)
    before = series.copy()
    for x, target in Stream(series, steps=5, batch_size=2):
        kept = target.copy()
        x[...] = -1
        np.testing.assert_array_equal(target, kept)
    np.testing.assert_array_equal(series, before)


def test_a_batch_is_read_when_it_is_asked_for() -> None:
    x, target = Dataset(np.arange(1000.0)), Dataset(np.arange(1000))
    stream = Stream(x, target, steps=20, batch_size=4)
    assert x.read == target.read == []
    batches = iter(stream)
    for number in range(3):
        next(batches)
        pieces = [(250 * b + 20 * n, 250 * b + 20 * n + 20) for n in range(number + 1) for b in range(4)]
        assert x.read == target.read == pieces


# Training


def ids(path: Path) -> np.ndarray:
    """Five symbols in a memory map, one always three after the one before but for some noise."""
    noise = np.random.default_rng(1).random(333) < 0.1
    return mapped(((3 * np.arange(333) + noise) % SYMBOLS).astype(np.uint16), path)


def windows(series: np.ndarray, steps: int, rows: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """In memory, written out by hand."""
    row = (len(series) - 1) // rows
    x = np.array([[series[b * row + t] for b in range(rows)] for t in range(row)])
    target = np.array([[series[b * row + t + 1] for b in range(rows)] for t in range(row)])
    return [(x[start : start + steps], target[start : start + steps]) for start in range(0, row, steps)]


class Carried(list):
    carries_state = True


def test_training_from_a_memory_map_is_training_from_memory(tmp_path: Path) -> None:
    net, hand = model(), model()
    trainer(net).fit(Stream(ids(tmp_path), steps=20, batch_size=3), epochs=2)
    parts = [(x, target, None) for x, target in windows(np.array(ids(tmp_path)), 20, 3)]
    assert [len(x) for x, *_ in parts] == [20] * 5 + [10]
    by_hand(hand, parts * 2, ([True] + [False] * 5) * 2)
    np.testing.assert_array_equal(net.flat_parameters, hand.flat_parameters)


@pytest.mark.parametrize("truncate", [None, 5, 7, 50, (5, 10), (5, 3), (7, 21)])
def test_truncation_inside_the_batches(truncate: Any, tmp_path: Path) -> None:
    net, other = model(), model()
    history = trainer(net, truncate=truncate).fit(Stream(ids(tmp_path), steps=20, batch_size=3), epochs=2)
    trainer(other, truncate=truncate).fit(Carried(windows(np.array(ids(tmp_path)), 20, 3)), epochs=2)
    np.testing.assert_array_equal(net.flat_parameters, other.flat_parameters)
    assert history["loss"][-3:].mean() < history["loss"][:3].mean()


@pytest.mark.parametrize("back", [None, 3, 5])
def test_where_the_truncation_divides_the_steps_the_batches_are_not_felt(
    back: int | None, tmp_path: Path
) -> None:
    truncate = 5 if back is None else (5, back)
    net, whole = model(), model()
    trainer(net, truncate=truncate).fit(Stream(ids(tmp_path), steps=20, batch_size=3))
    trainer(whole, truncate=truncate).fit(windows(np.array(ids(tmp_path)), 1000, 3))
    np.testing.assert_array_equal(net.flat_parameters, whole.flat_parameters)


@pytest.mark.parametrize("truncate", [5, (5, 12)])
@pytest.mark.parametrize("mode", ["r", "r+"])
def test_a_single_batch_of_memory_maps_trains_as_one_in_memory(
    mode: str, truncate: Any, tmp_path: Path
) -> None:
    net, other = model(), model()
    (whole,) = windows(np.array(ids(tmp_path)), 1000, 3)
    for name, array in zip(("x", "target"), whole, strict=True):
        np.save(tmp_path / f"{name}.npy", array)
    x, target = (np.load(tmp_path / f"{name}.npy", mmap_mode=mode) for name in ("x", "target"))
    trainer(net, truncate=truncate).fit([(x, target)])
    trainer(other, truncate=truncate).fit([whole])
    np.testing.assert_array_equal(net.flat_parameters, other.flat_parameters)


def test_evaluate_and_predict_carry_the_state(tmp_path: Path) -> None:
    series, net = ids(tmp_path), model()
    pieces, whole = (Stream(series, steps=steps, batch_size=2) for steps in (9, 166))
    np.testing.assert_array_equal(
        np.concatenate(trainer(net).predict(pieces)), trainer(net).predict(whole)[0]
    )
    close = 8 * float(np.finfo(np.float64).eps)
    assert trainer(net).evaluate(pieces) == pytest.approx(trainer(net).evaluate(whole), rel=close)


# Memory

STATUS = Path("/proc/self/status")
FEATURES, ROWS, STEPS, UPDATES = 256, 8, 100, 4
LENGTH = 2**19
FILE = 4 * FEATURES * LENGTH
MEMORY = f"""
import sys
from pathlib import Path
import numpy as np
import bptt

def resident(name):
    lines = Path("{STATUS}").read_text().splitlines()
    return next(1024 * int(line.split()[1]) for line in lines if line.startswith(name + ":"))

class Watch(bptt.Callback):
    def __init__(self, limit):
        self.limit, self.made, self.anonymous = limit, 0, 0
    def update(self, trainer, update):
        self.made += 1
        self.anonymous = max(self.anonymous, resident("RssAnon"))
        if self.made == self.limit:
            trainer.stop()

small = [(np.zeros(({STEPS}, {ROWS}, {FEATURES}), np.float32), np.zeros(({STEPS}, {ROWS}, 1), np.float32))]
layer = bptt.RNN({FEATURES}, 1, seed=0)

def fit(data, limit):
    watch = Watch(limit)
    loss, optimizer = bptt.MeanSquaredError(), bptt.SGD(0.1)
    bptt.Trainer(layer, loss, optimizer, truncate={STEPS}, callbacks=[watch], progress=False).fit(data)
    return watch

fit(small * {UPDATES}, 10**9)  # what a few updates from memory take is there already
before, anonymous = resident("VmRSS"), resident("RssAnon")
kind, path = sys.argv[1:]
files = [np.memmap(Path(path) / name, np.float32, "r") for name in ("x", "target")]
if kind == "stream":
    x, target = (file.reshape({LENGTH}, -1) for file in files)
    data = bptt.data.Stream(x, target, steps={STEPS}, batch_size={ROWS})
elif kind == "batch":
    data = [tuple(file.reshape({LENGTH // ROWS}, {ROWS}, -1) for file in files)]
else:
    x, target = (file.reshape({LENGTH // ROWS}, {ROWS}, -1) for file in files)
    def pieces():
        for start in range(0, len(x), {STEPS}):
            yield x[start : start + {STEPS}], target[start : start + {STEPS}]
    data = bptt.data.Batches(pieces, carries_state=True)
fit(data, {UPDATES})
print(resident("VmHWM") - before)
every = fit(data, 10**9)
print(every.made, every.anonymous - anonymous)
"""


@pytest.mark.skipif(
    not STATUS.exists() or "RssAnon" not in STATUS.read_text(encoding="ascii"),
    reason="the system does not tell a process how much of its memory is resident, and of what kind",
)
@pytest.mark.parametrize("kind", ["stream", "batch", "pieces"])
def test_the_file_is_not_loaded(kind: str, tmp_path: Path) -> None:
    for name, size in (("x", FILE), ("target", 4 * LENGTH)):
        with open(tmp_path / name, "wb") as file:
            file.truncate(size)  # sparse: on disk it is empty
    assert FILE >= 400e6
    done = subprocess.run(
        [sys.executable, "-c", MEMORY, kind, tmp_path], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    rise, made, anonymous = map(int, done.stdout.split())
    # Of x and of the target, UPDATES pieces of each row, one after the other, mapped in pages of up to 2 MiB;
    # beside them the last two batches, the tape's copy, and the copy that is being made; and 8 MiB for the
    # allocator and code that was not needed before.
    batch, page = 4 * ROWS * STEPS * (FEATURES + 1), 2**21
    memory = 4 * batch + 2**23
    assert rise < UPDATES * batch + 2 * ROWS * 2 * page + memory < FILE / 4
    # In a whole pass, all else being pages of the file, that the system may take back.
    assert made == -(-LENGTH // (ROWS * STEPS))
    assert anonymous < memory < FILE / 20


# Batches from a function


def test_batches_of_a_generator_function_come_anew_in_every_pass(tmp_path: Path) -> None:
    whole = windows(np.array(ids(tmp_path)), 20, 3)
    for i, (x, target) in enumerate(whole):
        np.savez(tmp_path / f"{i}.npz", x=x, target=target)
    opened = []

    def read() -> Iterator[tuple[np.ndarray, np.ndarray]]:
        for i in range(len(whole)):
            with np.load(tmp_path / f"{i}.npz") as piece:
                opened.append(i)
                yield piece["x"], piece["target"]

    for carries, data in ((True, Carried(whole)), (False, whole)):
        net, other = model(), model()
        batches = Batches(read, carries_state=carries)
        assert batches.carries_state == carries
        assert opened == []  # nothing is read before the first pass
        trainer(net).fit(batches, epochs=3, validation=batches)
        assert opened == list(range(6)) * 6
        trainer(other).fit(data, epochs=3)
        np.testing.assert_array_equal(net.flat_parameters, other.flat_parameters)
        opened.clear()


@pytest.mark.parametrize("length", [None, 2])
def test_batches_say_how_many_they_are_if_they_know(length: int | None) -> None:
    x = np.zeros((4, 3), int)
    batches = Batches(lambda: [(x, x)] * 2, length=length)
    watch = Watch()
    trainer(model(), callbacks=[watch]).fit(batches)
    assert watch.seen[0] == ("begin", 0, 1, length)
    if length is None:
        with pytest.raises(TypeError, match="len"):
            len(batches)
    else:
        assert len(batches) == 2
    assert isinstance(batches, Batches)
    assert len(list(batches)) == len(list(batches)) == 2


def test_a_pass_that_is_broken_off_has_read_no_more_and_closes_its_generator() -> None:
    made, closed = [], []

    def read() -> Iterator[int]:
        try:
            for number in range(10):
                made.append(number)
                yield number
        finally:
            closed.append(True)

    batches = Batches(read)
    assert list(itertools.islice(batches, 3)) == made == [0, 1, 2]
    assert closed == [True]
    assert list(batches) == list(range(10))


def a_generator() -> Iterator[int]:
    yield 1


ONCE = iter([(np.zeros((4, 3), int),) * 2] * 2)
STREAM_ERRORS = {
    "three axes": (
        lambda: Stream(np.zeros((9, 2, 2)), steps=2),
        ValueError,
        r"x must have shape \(N,\) or \(N, F\)",
    ),
    "a number": (lambda: Stream(1.0, steps=2), ValueError, r"x must have shape .*got \(\)"),
    "a dataset of three axes": (
        lambda: Stream(Dataset(np.zeros((9, 2, 2))), steps=2),
        ValueError,
        r"x must have shape .*got \(9, 2, 2\)",
    ),
    "text": (lambda: Stream("abc", steps=2), TypeError, "x must be an array of real numbers"),
    "a dataset of text": (lambda: Stream(Dataset(np.array(["a"] * 9)), steps=2), TypeError, "x must be"),
    "an iterator": (lambda: Stream(iter([1.0, 2.0]), steps=1), TypeError, "x must be"),
    "a masked array": (lambda: Stream(np.ma.zeros(9), steps=2), TypeError, "x must be a plain array"),
    "a target of three axes": (
        lambda: Stream(np.zeros(9), np.zeros((9, 1, 1)), steps=2),
        ValueError,
        r"target must have shape \(N,\) or \(N, K\)",
    ),
    "another length": (
        lambda: Stream(np.zeros(9), np.zeros(8), steps=2),
        ValueError,
        "target must have 9 steps, as many as x; got 8",
    ),
    "a target and a ahead": (
        lambda: Stream(np.zeros(9), np.zeros(9), steps=2, ahead=3),
        ValueError,
        r"ahead must be left out .*got 3.*x\[:-3\] and target\[3:\]",
    ),
    "too short": (
        lambda: Stream(np.zeros(11), steps=5, batch_size=2, ahead=2),
        ValueError,
        r"batch_size \* steps \+ ahead = 12 steps; got 11",
    ),
    "too short with a target": (
        lambda: Stream(np.zeros(9), np.zeros(9), steps=5, batch_size=2),
        ValueError,
        r"batch_size \* steps = 10 steps; got 9",
    ),
    "empty": (lambda: Stream(np.zeros(0), steps=1), ValueError, "= 2 steps; got 0"),
    "no rows": (lambda: Stream(np.zeros(9), steps=2, batch_size=0), ValueError, "batch_size must"),
    "steps a float": (lambda: Stream(np.zeros(9), steps=2.0), TypeError, "steps must"),
    "ahead 0": (lambda: Stream(np.zeros(9), steps=2, ahead=0), ValueError, "ahead must"),
}
BATCHES_ERRORS = {
    "a generator": (
        lambda: Batches(a_generator()),
        TypeError,
        r"make must be a function .*got generator, used up after one pass\. Fix: pass the function",
    ),
    "a list": (lambda: Batches([1, 2]), TypeError, r"make must be a function .*got list\. "),
    "no flag": (lambda: Batches(a_generator, carries_state=1), TypeError, "carries_state must"),
    "length 0": (lambda: Batches(a_generator, length=0), ValueError, "length must"),
    "length a float": (lambda: Batches(a_generator, length=2.0), TypeError, "length must"),
    "nothing": (
        lambda: list(Batches(lambda: None)),
        TypeError,
        "make must return an iterable .*got NoneType",
    ),
    "an array": (lambda: list(Batches(lambda: np.zeros(3))), TypeError, "make must return .*got ndarray"),
    "one batch": (lambda: list(Batches(lambda: {"x": 1})), TypeError, "make must return .*got dict"),
    "the same iterator twice": (
        lambda: trainer(model()).fit(Batches(lambda: ONCE), epochs=2),
        ValueError,
        "make must return a new iterator in every pass; got the same list_iterator as in the last pass",
    ),
}


def test_bad_streams(subtests: pytest.Subtests) -> None:
    for name in STREAM_ERRORS:
        with subtests.test(name):
            call, error, message = STREAM_ERRORS[name]
            with pytest.raises(error, match=message):
                call()


def test_bad_batches(subtests: pytest.Subtests) -> None:
    for name in BATCHES_ERRORS:
        with subtests.test(name):
            call, error, message = BATCHES_ERRORS[name]
            with pytest.raises(error, match=message):
                call()


def test_data_that_change_while_they_are_read() -> None:
    series = Dataset(np.zeros((20, 3)))
    batches = iter(Stream(series, steps=5, batch_size=2))
    next(batches)
    series._array = np.zeros((12, 3))
    with pytest.raises(ValueError, match=r"x\[14:18\] must have shape \(4, 3\), .*got \(0, 3\)"):
        list(batches)
