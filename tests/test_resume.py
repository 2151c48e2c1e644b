"""Trainer.save and Trainer.resume: a run that was stopped and goes on has the bits of an unbroken one."""

from __future__ import annotations

import ctypes
import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
from tests.training import SYMBOLS, batch, model, trainer
from tests.waiting import PATIENCE

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.data.batches import Batch
from bptt.files import CheckpointError, read_checkpoint
from bptt.files.checkpoint import _digest
from bptt.optim import NoClip
from bptt.train import Trainer
from bptt.train.feed import checksum

TEXT = "".join(np.random.default_rng(1).choice(list("abcde"), 200))
SERIES = np.random.default_rng(2).standard_normal((60, 2))


class Case:
    """A run, made anew from the same seeds each time: the trainer's arguments, and the data."""

    def __init__(self, epochs: int = 2, **options: Any) -> None:
        self.net, self.loss, self.optimizer = model(), bptt.CrossEntropy(), bptt.SGD(0.5)
        self.data: Any = [batch(seed) for seed in range(4)]
        self.validation: Any = None
        self.epochs, self.options = epochs, options

    def fresh(self, callbacks: list[Callback]) -> Trainer:
        return self._trainer(self.net, callbacks)

    def _trainer(self, net: bptt.Module, callbacks: list[Callback]) -> Trainer:
        own = {"callbacks": [*self.options.get("callbacks", ()), *callbacks], "progress": False}
        return Trainer(net, self.loss, self.optimizer, **self.options | own)

    def resume(self, path: Path, callbacks: list[Callback] | None = None) -> Trainer:
        own = {"callbacks": [*self.options.get("callbacks", ()), *(callbacks or [])], "progress": False}
        return Trainer.resume(path, self.loss, self.optimizer, **self.options | own)

    def fit(self, trainer: Trainer) -> Trainer:
        trainer.fit(self.data, self.epochs, self.validation)
        return trainer


def numbers(rng: Any, **options: Any) -> Case:
    case = Case()
    case.net = bptt.Sequential(bptt.GRU(2, 5, seed=rng, **options), bptt.Linear(5, 2, seed=rng))
    case.loss, case.optimizer = bptt.MeanSquaredError(), bptt.Adam(1e-2)
    return case


def windows() -> Case:
    case = numbers(3)
    case.data = bptt.data.Windows(SERIES, steps=6, batch_size=16, shuffle=True, seed=4)
    case.validation = bptt.data.Windows(SERIES[:30], steps=6, batch_size=8, shuffle=True, seed=5)
    return case


def one_generator() -> Case:
    """For the layers, the data and the validation data."""
    rng = np.random.default_rng(6)
    case = numbers(rng, dropout=0.3, num_layers=2)
    case.data = bptt.data.Windows(SERIES, steps=6, batch_size=16, shuffle=True, seed=rng)
    case.validation = bptt.data.Windows(SERIES[:30], steps=6, batch_size=8, shuffle=True, seed=rng)
    return case


def validated_on_itself() -> Case:
    case = windows()
    case.validation = case.data
    return case


def ragged() -> Case:
    rng, case = np.random.default_rng(7), Case()
    rows = [rng.integers(0, SYMBOLS, size) for size in rng.integers(1, 12, 20)]
    case.data = bptt.data.Ragged(rows, rows, batch_size=4, per_step=True, shuffle=True, pool=2, seed=8)
    return case


def text(**options: Any) -> Case:
    case = Case(**options)
    case.data = bptt.data.TextStream(TEXT, batch_size=2, steps=36)
    case.validation = bptt.data.TextStream(TEXT[:60], batch_size=2, steps=10, vocabulary=case.data.vocabulary)
    return case


def arrays() -> Case:
    case, rng = numbers(3), np.random.default_rng(20)
    x, mask = rng.standard_normal((11, 6, 2)), rng.random((11, 6)) < 0.8
    lengths = rng.integers(1, 7, 11)
    case.data = bptt.data.Arrays(x, x + 1, batch_size=4, lengths=lengths, mask=mask, shuffle=True, seed=4)
    case.validation = bptt.data.Arrays(x, x, batch_size=5, shuffle=True, seed=5)
    return case


def stream() -> Case:
    case = numbers(9)
    case.options = {"truncate": 4}
    case.data = bptt.data.Stream(SERIES, steps=10, batch_size=2)
    return case


def dropped(**options: Any) -> Case:
    case = Case(**options)
    case.net = bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1),
        bptt.LSTM(4, 6, 2, dropout=0.2, recurrent_dropout=0.3, zoneout=0.1, seed=2),
        bptt.Sequential(bptt.Dropout(0.4, seed=3), bptt.Linear(6, SYMBOLS, seed=3)),
    )
    return case


def optimized(optimizer: Any) -> Case:
    case = Case()
    case.optimizer = optimizer
    return case


def planted() -> Case:
    case = Case(clip=NoClip("skip"))
    case.net = bptt.RNN(2, 2, nonlinearity="relu", seed=1)
    case.loss, case.optimizer = bptt.MeanSquaredError(), bptt.SGD(0.1, momentum=0.5)
    case.data = [(SERIES[:10, None].copy(), SERIES[10:20, None].copy()) for _ in range(4)]
    case.data[1][0][3] = np.nan
    return case


def other_generators() -> Case:
    kinds = (np.random.MT19937, np.random.Philox, np.random.SFC64, np.random.PCG64DXSM)
    case = Case()
    case.net = bptt.Sequential(
        bptt.Embedding(SYMBOLS, 3, seed=1),
        *(bptt.Dropout(0.2, seed=np.random.Generator(kind(5))) for kind in kinds),
        bptt.Linear(3, SYMBOLS, seed=2, dtype="float32"),
    )
    return case


def plateau() -> Case:
    rate = bptt.schedules.Plateau(0.9, patience=1, min_delta=10.0)
    case = optimized(bptt.SGD(rate))
    case.options = {"callbacks": [rate]}
    case.epochs, case.validation = 4, case.data[:1]
    return case


def from_function() -> Case:
    case = Case(truncate=5)
    case.data = bptt.data.Batches(
        lambda epoch, rng: iter([batch(1 + epoch), batch(int(rng.integers(9)))]), carries_state=True, seed=1
    )
    return case


class Noisy:
    """Data that draw from their generator for every batch."""

    def __init__(self, rng: np.random.Generator) -> None:
        self.rng = rng

    def __iter__(self) -> Iterator[Any]:
        for start in range(0, 40, 10):
            x = SERIES[start : start + 10, None]
            yield x + self.rng.standard_normal(x.shape), x


class NoisyWithState(Noisy):
    def state_dict(self) -> dict[str, Any]:
        return {"rng": self.rng.bit_generator.state}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.rng.bit_generator.state = state["rng"]


class NoisyByAnotherName:
    """Noisy data whose generator only their state knows."""

    def __init__(self, seed: int) -> None:
        self._noisy = NoisyWithState(np.random.default_rng(seed))

    def __iter__(self) -> Iterator[Any]:
        return iter(self._noisy)

    def state_dict(self) -> dict[str, Any]:
        return self._noisy.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._noisy.load_state_dict(state)


def noisy_validation() -> Case:
    case = numbers(3)
    case.data = list(Noisy(np.random.default_rng(12)))
    case.validation = NoisyByAnotherName(13)
    return case


class NoisyProperty(Noisy):
    """Its generator cannot be replaced."""

    def __init__(self, rng: np.random.Generator) -> None:
        self._own = rng

    @property
    def rng(self) -> np.random.Generator:  # type: ignore[override]
        return self._own


def noisy(make: Callable[[np.random.Generator], Any], *, shared: bool = False, **options: Any) -> Case:
    """With `shared`, dropout draws from the generator of the data."""
    rng = np.random.default_rng(12)
    case = numbers(rng if shared else 3, num_layers=2, dropout=0.3)
    case.data, case.options = make(rng), options
    return case


def drawing_function(epoch: int, rng: np.random.Generator) -> Iterator[Any]:
    for start in rng.permutation(4)[: 2 + epoch]:
        x = SERIES[10 * start : 10 * start + 10, None]
        yield x + rng.standard_normal(x.shape), x


CASES: dict[str, Callable[[], Case]] = {
    "noisy data": lambda: noisy(Noisy),
    "noisy data that save their state": lambda: noisy(NoisyWithState),
    "noisy data whose state alone has their generator": lambda: noisy(lambda rng: NoisyByAnotherName(12)),
    "noisy validation data": noisy_validation,
    "noisy data whose generator is read-only": lambda: noisy(NoisyProperty),
    "noisy data, truncated": lambda: noisy(Noisy, truncate=4),
    "noisy data, grouped": lambda: noisy(Noisy, truncate=(3, 6), accumulate=3),
    "noisy data, one generator with dropout": lambda: noisy(Noisy, shared=True),
    "noisy data, one generator with dropout, grouped": lambda: noisy(
        NoisyWithState, shared=True, truncate=4, accumulate=2
    ),
    "noisy data, read ahead": lambda: noisy(lambda rng: bptt.data.Prefetch(Noisy(rng))),
    "a function that draws": lambda: noisy(lambda rng: bptt.data.Batches(drawing_function, seed=13)),
    "a function that draws, truncated": lambda: noisy(
        lambda rng: bptt.data.Batches(drawing_function, seed=rng), shared=True, truncate=4
    ),
    "a list": Case,
    "shuffled windows": windows,
    "one generator for all": one_generator,
    "validated on itself": validated_on_itself,
    "ragged": ragged,
    "text, truncated": lambda: text(truncate=10),
    "text, (every, back)": lambda: text(truncate=(5, 12)),
    "text, (every, less back)": lambda: text(truncate=(8, 3), clip_state=0.5),
    "arrays": arrays,
    "stream": stream,
    "a function": from_function,
    "dropout": dropped,
    "dropout, one seed": lambda: dropped(seed=11, truncate=5),
    "other generators": other_generators,
    "momentum": lambda: optimized(bptt.SGD(0.1, momentum=0.9, nesterov=True)),
    "rmsprop": lambda: optimized(bptt.RMSProp(1e-2)),
    "rmsprop with momentum": lambda: optimized(bptt.RMSProp(1e-2, momentum=0.5)),
    "adam with a schedule": lambda: optimized(bptt.Adam(lambda step: 0.1 / (1 + step))),
    "adamw": lambda: optimized(bptt.AdamW(1e-2)),
    "plateau": plateau,
    "clip auto": lambda: Case(clip=bptt.ClipNorm("auto", quantile=0.4, window=5)),
    "clip groups": lambda: Case(
        clip=bptt.ClipGroups({"*weight_hh*": bptt.ClipNorm("auto"), "*": bptt.ClipValue(0.1)})
    ),
    "skipped": planted,
    "recomputed": lambda: Case(checkpoint=4),
}


class SaveEach(Callback):
    """A file after every update, and after every epoch."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.files: list[Path] = []

    def save(self, trainer: Trainer) -> None:
        self.files.append(self.folder / str(len(self.files)))
        trainer.save(self.files[-1])

    def settled(self, trainer: TrainerView) -> None:
        self.save(trainer)

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        self.save(trainer)


def outcome(trainer: Trainer) -> dict[str, Any]:
    """All that a run leaves behind, to be compared bit by bit."""
    state = trainer.optimizer.state_dict()
    return {
        "weights": trainer.model.flat_parameters.tobytes(),
        "optimizer": {name: np.asarray(value).tobytes() for name, value in state.items()},
        "history": {name: values.tobytes() for name, values in trainer.history.items()},
        "nonfinite": trainer.clip.nonfinite_steps,
        "limit": getattr(trainer.clip, "max_norm", None),
        "draws": [generator.random() for generator in generators(trainer.model)],
    }


def generators(net: bptt.Module) -> list[np.random.Generator]:
    from bptt.layers.containers.traverse import iter_layers

    return list({id(layer.rng): layer.rng for layer in iter_layers(net)}.values())


@pytest.mark.parametrize("name", CASES)
def test_resumed_has_the_bits_of_unbroken(name: str, tmp_path: Path) -> None:
    """From after every update, and from after every epoch."""
    plain, saving = CASES[name](), CASES[name]()
    expected = outcome(plain.fit(plain.fresh([])))
    saver = SaveEach(tmp_path)
    assert outcome(saving.fit(saving.fresh([saver]))) == expected  # to save changes nothing
    for index, path in enumerate(saver.files):
        case = CASES[name]()
        assert outcome(case.fit(case.resume(path))) == expected, index


OWN = np.random.default_rng(14)


@pytest.mark.parametrize(
    ("make", "kind"),
    [
        (lambda: bptt.data.Batches(lambda: [batch(int(OWN.integers(99)))]), "Batches"),
        (lambda: bptt.data.Prefetch(bptt.data.Batches(lambda: [batch(1)])), "Prefetch"),
        (lambda: Unordered(0), "Unordered"),
    ],
)
def test_data_that_cannot_be_put_back_say_so(make: Any, kind: str, tmp_path: Path) -> None:
    fit = trainer(model())
    fit.fit(make(), epochs=1)
    fit.save(tmp_path / "run")
    again = Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), bptt.SGD(0.5), progress=False)
    with pytest.warns(
        UserWarning, match=rf"data of type {kind} cannot be restored .* def make\(epoch, rng\)"
    ) as caught:
        again.fit(make(), epochs=2)
    assert [warning.filename for warning in caught] == [__file__]  # the line that calls fit


def test_resumed_twice(tmp_path: Path) -> None:
    expected = outcome(dropped(truncate=5).fit(dropped(truncate=5).fresh([])))
    case, path = dropped(truncate=5), tmp_path / "run"
    fit = case.fresh([Stop(2, path)])
    for update in (5, 11, None):
        with pytest.raises(RuntimeError, match="stopped"):
            case.fit(fit)
        case = dropped(truncate=5)
        fit = case.resume(path, [] if update is None else [Stop(update, path)])
    assert outcome(case.fit(fit)) == expected


class Stop(Callback):
    """Saves after an update, and ends the run in disorder."""

    def __init__(self, update: int, path: Path) -> None:
        self.update_, self.path = update, path

    def settled(self, trainer: TrainerView) -> None:
        if len(trainer.history["loss"]) == self.update_:
            trainer.save(self.path, extra={"note": "stopped"})
            raise RuntimeError("stopped")


def stopped(path: Path, case: Case, update: int = 3) -> None:
    with pytest.raises(RuntimeError, match="stopped"):
        case.fit(case.fresh([Stop(update, path)]))


def test_the_file_is_a_model_s_too(tmp_path: Path) -> None:
    case = Case()
    stopped(tmp_path / "run", case)
    np.testing.assert_array_equal(bptt.load(tmp_path / "run").flat_parameters, case.net.flat_parameters)
    assert read_checkpoint(tmp_path / "run").extra == {"note": "stopped"}


def test_more_epochs_than_the_saved_run_had(tmp_path: Path) -> None:
    def longer(epochs: int) -> Case:
        case = windows()
        case.epochs = epochs
        return case

    expected = outcome(longer(5).fit(longer(5).fresh([])))
    first = longer(2)
    first.fit(first.fresh([])).save(tmp_path / "run")
    again = longer(2).resume(tmp_path / "run")
    assert len(longer(2).fit(again).history["validation_loss"]) == 2  # there was nothing left to do
    case = longer(5)
    assert outcome(case.fit(again)) == outcome(case.fit(case.resume(tmp_path / "run")))
    case = longer(5)
    assert outcome(case.fit(case.resume(tmp_path / "run"))) == expected


def test_a_trainer_that_has_not_begun(tmp_path: Path) -> None:
    case = dropped()
    case.fresh([]).save(tmp_path / "run")
    case, plain = dropped(), dropped()
    assert outcome(case.fit(case.resume(tmp_path / "run"))) == outcome(plain.fit(plain.fresh([])))


@pytest.mark.parametrize("name", ["one generator for all", "text, (every, back)"])
def test_saved_again_before_it_goes_on(name: str, tmp_path: Path) -> None:
    plain = CASES[name]()
    expected = outcome(plain.fit(plain.fresh([])))
    stopped(tmp_path / "run", CASES[name]())
    CASES[name]().resume(tmp_path / "run").save(tmp_path / "again")
    case = CASES[name]()
    assert outcome(case.fit(case.resume(tmp_path / "again"))) == expected


def test_a_generator_that_no_file_can_hold(tmp_path: Path) -> None:
    class Own(np.random.PCG64):
        pass

    class State(Own):
        @property
        def state(self) -> Any:
            return {**super().state, "bit_generator": "Own"}

    fit = trainer(bptt.Sequential(model(), bptt.Dropout(0.5, seed=np.random.Generator(State(1)))))
    with pytest.raises(ValueError, match="rng of layers and data must be one of PCG64"):
        fit.save(tmp_path / "run")
    assert os.listdir(tmp_path) == []


def test_stopped_early_stays_stopped(tmp_path: Path) -> None:
    def early() -> Case:
        case = Case(epochs=9, callbacks=[bptt.EarlyStopping(2, min_delta=10.0)])
        case.validation = case.data[:1]
        return case

    plain, saver, saving = early(), SaveEach(tmp_path), early()
    expected = outcome(plain.fit(plain.fresh([])))
    saving.fit(saving.fresh([saver]))
    for path in (saver.files[8], saver.files[-2], saver.files[-1]):
        case = early()
        assert outcome(case.fit(case.resume(path))) == expected


def test_csv_log_goes_on(tmp_path: Path) -> None:
    def logged(name: str) -> Case:
        return Case(callbacks=[bptt.CSVLog(tmp_path / name)])

    plain, case = logged("plain"), logged("log")
    plain.fit(plain.fresh([]))
    stopped(tmp_path / "run", case)
    with open(tmp_path / "log", "a") as file:
        file.write("what came after the file was saved\n")
    case = logged("log")
    case.fit(case.resume(tmp_path / "run"))
    assert (tmp_path / "log").read_text() == (tmp_path / "plain").read_text()
    assert (tmp_path / "log").read_text().count("\n") == 9


# Checkpoint


def test_checkpoint_keeps_the_last(tmp_path: Path) -> None:
    (tmp_path / "run-0001.safetensors").write_text("of another run")
    path = tmp_path / "run-{step:04d}.safetensors"
    case = Case()
    saving = bptt.Checkpoint(path, every_updates=3, keep=2, extra={"vocabulary": "ab"})
    case.fit(case.fresh([saving]))
    names = ["run-0001.safetensors", "run-0006.safetensors", "run-0008.safetensors"]
    assert sorted(os.listdir(tmp_path)) == names
    assert saving.last == tmp_path / names[-1]
    assert read_checkpoint(saving.last).extra == {"vocabulary": "ab", "epochs": 2}
    # A resumed run knows which files are its own.
    case = Case(epochs=3)
    case.fit(case.resume(tmp_path / names[1], [bptt.Checkpoint(path, every_updates=4, keep=2)]))
    assert sorted(os.listdir(tmp_path)) == [names[0], names[2], "run-0012.safetensors"]
    # One with files of another name leaves them alone.
    case = Case(epochs=4)
    other = bptt.Checkpoint(tmp_path / "new-{epoch}", keep=1)
    case.fit(case.resume(tmp_path / names[2], [other]))
    assert sorted(os.listdir(tmp_path)) == ["new-4", names[0], names[2], "run-0012.safetensors"]


BAD_CHECKPOINTS: dict[str, tuple[dict[str, Any], str]] = {
    "keep without a field": ({"path": "run", "keep": 2}, "keep requires a path with {step}"),
    "keep 0": ({"path": "run-{step}", "keep": 0}, "keep must be an int >= 1"),
    "every_updates 0": ({"path": "run", "every_updates": 0}, "every_updates must be an int >= 1"),
    "an unknown field": ({"path": "run-{loss}"}, "got {loss} in 'run-{loss}'"),
    "a field without a name": ({"path": "run-{}"}, "got {} in"),
    "a brace alone": ({"path": "run-{"}, "path may have only the fields {step} and {epoch}"),
    "a format for texts": ({"path": "run-{step:s}"}, "path may have only the fields {step} and {epoch}"),
}


@pytest.mark.parametrize("name", BAD_CHECKPOINTS)
def test_bad_checkpoint_arguments(name: str) -> None:
    arguments, message = BAD_CHECKPOINTS[name]
    with pytest.raises(ValueError) as caught:  # noqa: PT011  compared below
        bptt.Checkpoint(**arguments)
    assert message in str(caught.value)


class InterruptLater(Callback):
    """Another thread sends SIGINT some time after the given number of updates."""

    def __init__(self, updates: int) -> None:
        self.updates, self.reached = updates, threading.Event()
        self.sender = threading.Thread(target=self.send)
        self.sender.start()

    def send(self) -> None:
        self.reached.wait()
        os.kill(os.getpid(), signal.SIGINT)

    def settled(self, trainer: TrainerView) -> None:
        if trainer.run.updates == self.updates:
            self.reached.set()


def test_ctrl_c_at_any_moment_is_resumed_exactly(tmp_path: Path) -> None:
    def long() -> Case:
        case = dropped(epochs=25, truncate=7, clip=bptt.ClipNorm("auto", quantile=0.5, window=20))
        case.optimizer = bptt.Adam(1e-2)
        case.validation = case.data[:1]
        return case

    plain = long()
    expected = outcome(plain.fit(plain.fresh([])))
    total = plain.optimizer.steps
    rng, hits = np.random.default_rng(), set()
    for trial in range(20):
        path = tmp_path / f"run-{trial}"
        case = long()
        later = InterruptLater(int(rng.integers(1, total)))
        fit = case.fresh([bptt.Checkpoint(path, every_epochs=1000), later])
        with suppress(KeyboardInterrupt):
            case.fit(fit)
            later.sender.join()
        later.sender.join()
        if not path.exists():
            continue
        assert not fit.model.flat_gradients.any() or fit.epochs_done == 25
        case = long()
        again = case.resume(path)
        np.testing.assert_array_equal(again.model.flat_parameters, fit.model.flat_parameters)
        hits.add(len(again.history["loss"]))
        assert outcome(case.fit(again)) == expected
    assert len(hits) > 2


class Interrupted(bptt.SGD):
    """Ctrl-C comes while the core changes the parameters."""

    def _update(self, *arguments: Any) -> Any:
        return [*super()._update(*arguments), partial(ctypes.pythonapi.PyErr_SetInterrupt)]


def test_an_update_that_was_made_counts(tmp_path: Path) -> None:
    case, path = Case(epochs=1), tmp_path / "run"
    fit = trainer(case.net, callbacks=[bptt.Checkpoint(path)])
    fit.optimizer = Interrupted(0.5)
    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            fit.fit(case.data)
        assert len(fit.history["loss"]) == 1
    assert fit.optimizer.steps == 3
    saved = read_checkpoint(path)
    assert saved.training is not None
    assert saved.training["position"] == {
        "epoch": 0,
        "batches": 1,
        "step": 0,
        "updates": 1,
        "validations": 0,
    }
    hand = Case(epochs=1)
    for _ in range(3):
        trainer(hand.net).fit(hand.data[:1])
    np.testing.assert_array_equal(saved.model.flat_parameters, hand.net.flat_parameters)


# Killed

KILLED = """
import os, signal, sys, time
from pathlib import Path
import numpy as np
import bptt

folder = Path(sys.argv[1])
text = "".join(np.random.default_rng(1).choice(list("abcdef"), 2000))

def parts():
    data = bptt.data.TextStream(text, batch_size=4, steps=100)
    return data, bptt.CrossEntropy(), bptt.Adam(1e-2), {
        "truncate": (10, 25), "clip": bptt.ClipNorm("auto"), "progress": False,
    }

def fresh(callbacks):
    data, loss, optimizer, options = parts()
    lstm = bptt.LSTM(4, 8, recurrent_dropout=0.2, seed=2)
    model = bptt.Sequential(bptt.Embedding(6, 4, seed=1), lstm, bptt.Linear(8, 6, seed=3))
    return data, bptt.Trainer(model, loss, optimizer, callbacks=callbacks, **options)

def checkpoint(trial):
    if trial % 2:
        return bptt.Checkpoint(folder / f"{trial}-{{step:06d}}", every_updates=1, keep=2)
    return bptt.Checkpoint(folder / f"{trial}-", every_updates=2)

def weights(data, trainer):
    trainer.fit(data, epochs=2)
    return trainer.model.flat_parameters.tobytes()

def found(trial):
    return sorted(folder.glob(f"{trial}-*"))

def resume(trial, callbacks):
    files = found(trial)
    if not files:
        return fresh(callbacks)
    data, loss, optimizer, options = parts()
    return data, bptt.Trainer.resume(files[-1], loss, optimizer, callbacks=callbacks, **options)

class Tell(bptt.Callback):
    def __init__(self, pipe):
        self.pipe = pipe

    def settled(self, trainer):
        os.write(self.pipe, b".")

expected = weights(*fresh([]))
data, trainer = fresh([checkpoint(100)])
assert weights(data, trainer) == expected
updates = trainer.optimizer.steps
rng = np.random.default_rng()
steps = []
for trial in range(20):
    for _ in range(1 + trial % 3 // 2):  # every third is killed again after it was resumed
        seen, told = os.pipe()
        child = os.fork()
        if child == 0:
            os.close(seen)
            weights(*resume(trial, [checkpoint(trial), Tell(told)]))
            os._exit(0)
        os.close(told)
        for _ in range(rng.integers(updates)):
            if not os.read(seen, 1):
                break  # it came to the end
        time.sleep(rng.uniform(0.0, 0.002))  # anywhere in the next update or two
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        os.close(seen)
    files = found(trial)
    assert len(files) <= (3 if trial % 2 else 1), files
    for path in files:
        bptt.load(path)
    data, trainer = resume(trial, [])
    steps.append(trainer.optimizer.steps)
    assert weights(data, trainer) == expected, trial
print(len(set(steps)), max(steps))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_killed_at_random_moments(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", KILLED, tmp_path],
        capture_output=True,
        text=True,
        timeout=5 * PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    different, furthest = map(int, done.stdout.split())
    assert different > 5
    assert furthest > 10


# What cannot be resumed


def damaged(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    """Changes what the file says about itself, with a sum that is right again."""

    def damage(path: Path) -> None:
        content = path.read_bytes()
        length = int.from_bytes(content[:8], "little")
        metadata = json.loads(content[8 : 8 + length])["__metadata__"]
        tensors, about = safetensors.numpy.load(content), json.loads(metadata["bptt"])
        change(about)
        words = json.dumps(about)
        path.write_bytes(safetensors.numpy.save(tensors, {"bptt": words, "sha256": _digest(words, tensors)}))

    return damage


def in_training(name: str, value: Any) -> Callable[[Path], None]:
    return damaged(lambda about: about["training"]["mapping"].update({name: value}))


BAD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "cut in half": (
        lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
        "is cut short",
    ),
    "no file of ours": (
        lambda path: path.write_text("Once upon a time there was a file"),
        "or its header has more than 16777216 bytes. Fix: pass a file that bptt.save wrote",
    ),
    "newer": (damaged(lambda about: about.update(format=2, version="9.0.0")), "written by version '9.0.0'"),
    "a model alone": (lambda path: bptt.save(path, model()), "holds only a model"),
    "a model and an optimiser": (
        lambda path: bptt.save(path, model(), optimizer=bptt.SGD(0.5)),
        "holds only a model",
    ),
    "training a number": (damaged(lambda about: about.update(training=3)), "is not a mapping"),
    "training of nothing": (damaged(lambda about: about.update(training={"mapping": {}})), "cannot be used"),
    "training of a tag unknown": (damaged(lambda about: about.update(training={"run": "os"})), "is damaged"),
    "a tensor missing": (in_training("states", {"tensor": "77"}), "is damaged"),
    "integers that are none": (
        in_training("clip", {"integers": "int64", "shape": [2], "values": ["a", "b"]}),
        "is damaged",
    ),
    "a position of texts": (in_training("position", {"mapping": {"epoch": "0"}}), "cannot be used"),
    "generators a list": (in_training("generators", []), "cannot be used"),
    "generators too few": (
        in_training("generators", {"mapping": {"shared": [], "states": []}}),
        "cannot be used",
    ),
    "a generator unknown": (
        in_training(
            "generators", {"mapping": {"shared": [0], "states": [{"mapping": {"bit_generator": "os"}}]}}
        ),
        "cannot be used",
    ),
    "states a number": (in_training("states", 3), "cannot be used"),
    "a history of texts": (in_training("history", {"mapping": {"loss": "abc"}}), "cannot be used"),
    "a clip of nothing": (in_training("clip", {"mapping": {}}), "cannot be used"),
    "callbacks a number": (in_training("callbacks", 3), "cannot be used"),
    "no optimiser": (damaged(lambda about: about.update(optimizer=None)), "cannot be used"),
}


def test_bad_file(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for name in BAD_FILES:
        with subtests.test(name):
            path, (damage, message) = tmp_path / "run", BAD_FILES[name]
            stopped(path, Case())
            damage(path)
            before, optimizer = path.read_bytes(), bptt.SGD(0.5)
            with pytest.raises(CheckpointError) as caught:
                Trainer.resume(path, bptt.CrossEntropy(), optimizer)
            assert message in str(caught.value)
            assert str(caught.value).startswith(str(path))
            assert "\n" not in str(caught.value)
            assert path.read_bytes() == before
            assert optimizer.state_dict() == {"kind": "SGD", "steps": 0}


OTHER_SETTINGS: dict[str, tuple[Callable[[], tuple[Any, Any, dict[str, Any]]], str]] = {
    "another rate": (lambda: (bptt.CrossEntropy(), bptt.SGD(0.1), {}), "optimizer.lr was 0.5, now 0.1"),
    "a schedule": (
        lambda: (bptt.CrossEntropy(), bptt.SGD(lambda n: 0.5), {}),
        "optimizer.lr was 0.5, now <lam",
    ),
    "momentum": (
        lambda: (bptt.CrossEntropy(), bptt.SGD(0.5, momentum=0.9), {}),
        "optimizer.momentum was 0.0, now 0.9",
    ),
    "another optimizer": (lambda: (bptt.CrossEntropy(), bptt.Adam(0.5), {}), "optimizer was SGD, now Adam"),
    "another loss": (
        lambda: (bptt.MeanSquaredError(), bptt.SGD(0.5), {}),
        "loss was CrossEntropy, now MeanSquaredError",
    ),
    "no clip": (lambda: (bptt.CrossEntropy(), bptt.SGD(0.5), {"clip": None}), "clip was ClipNorm, now None"),
    "another clip": (
        lambda: (bptt.CrossEntropy(), bptt.SGD(0.5), {"clip": bptt.ClipNorm(3.0)}),
        "clip.max_norm was 5.0, now 3.0",
    ),
    "another window": (
        lambda: (bptt.CrossEntropy(), bptt.SGD(0.5), {"clip": bptt.ClipNorm(5.0, window=2)}),
        "clip.window was 1000, now 2",
    ),
    "truncate": (
        lambda: (bptt.CrossEntropy(), bptt.SGD(0.5), {"truncate": (4, 8)}),
        "truncate was 5, now [4, 8]",
    ),
    "clip_state": (
        lambda: (bptt.CrossEntropy(), bptt.SGD(0.5), {"clip_state": 1.0}),
        "clip_state was None, now",
    ),
}


@pytest.mark.parametrize("name", OTHER_SETTINGS)
def test_other_settings_are_named(name: str, tmp_path: Path) -> None:
    stopped(tmp_path / "run", Case(truncate=5, clip=bptt.ClipNorm(5.0)))
    make, message = OTHER_SETTINGS[name]
    loss, optimizer, options = make()
    before = optimizer.state_dict()
    with pytest.raises(ValueError, match="must be resumed with the settings") as caught:
        Trainer.resume(
            tmp_path / "run", loss, optimizer, **{"truncate": 5, "clip": bptt.ClipNorm(5.0)} | options
        )
    assert message in str(caught.value)
    assert optimizer.state_dict() == before


def test_a_refused_resume_leaves_callbacks_as_they_were(tmp_path: Path) -> None:
    """A run of the same `Checkpoint` afterwards removes nothing that an earlier run has written."""

    def checkpoint() -> bptt.Checkpoint:
        return bptt.Checkpoint(tmp_path / "k-{step}", keep=2)

    trainer(model(), callbacks=[checkpoint()]).fit([batch()], 2)
    again = checkpoint()
    with pytest.raises(ValueError, match="must be resumed with the settings"):
        Trainer.resume(
            tmp_path / "k-2",
            bptt.CrossEntropy(),
            bptt.SGD(lambda step: 0.1),
            progress=False,
            callbacks=[again],
        )
    trainer(model(), callbacks=[again]).fit([batch()] * 5, 2)
    assert sorted(path.name for path in tmp_path.glob("k-*")) == ["k-1", "k-10", "k-2", "k-5"]


def test_a_tuple_that_begins_with_an_array_can_be_saved(tmp_path: Path) -> None:
    class Keeps(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"pair": (np.array([1.0, 2.0]), 3)}

    trainer(model(), callbacks=[Keeps()]).save(tmp_path / "run")
    saved = read_checkpoint(tmp_path / "run").training
    assert saved is not None
    np.testing.assert_array_equal(saved["callbacks"][0][1]["pair"][0], [1.0, 2.0])


def test_another_schedule_is_noticed_by_its_rate(tmp_path: Path) -> None:
    stopped(tmp_path / "run", optimized(bptt.SGD(lambda step: 0.1 / (1 + step))))
    optimizer = bptt.SGD(lambda step: 0.2 / (1 + step))
    with pytest.raises(ValueError, match=r"gives 0\.05 for update 3, and was 0\.025"):
        Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), optimizer)
    assert optimizer.steps == 0


def test_a_rate_that_was_set_while_training(tmp_path: Path) -> None:
    class Lower(Callback):
        def settled(self, trainer: TrainerView) -> None:
            trainer.optimizer.lr = 0.9 * trainer.optimizer.lr

    def lowered() -> Case:
        return Case(callbacks=[Lower()])

    plain = lowered()
    expected = outcome(plain.fit(plain.fresh([])))
    stopped(tmp_path / "run", lowered())
    case = lowered()
    assert outcome(case.fit(case.resume(tmp_path / "run"))) == expected


class Unordered:
    """Gives its batches in an order that nobody can put back."""

    def __init__(self, first: int) -> None:
        self.first = first

    def __iter__(self) -> Iterator[Any]:
        return iter([batch(self.first + n) for n in range(4)])


OTHER_DATA: dict[str, tuple[Callable[[], Case], Any, str]] = {
    "other batches": (Case, lambda: [batch(seed) for seed in range(9, 13)], "got another batch 2 of epoch 0"),
    "more batches": (Case, lambda: [batch(seed) for seed in range(5)], "data must give 4 batches"),
    "fewer batches": (
        Case,
        lambda: iter([batch(0)]),
        "data must give more than 2 batches, because the saved run has read them; got 1. Fix: pass the data",
    ),
    "a list instead of data with a generator": (
        lambda: noisy(Noisy),
        lambda: list(Noisy(np.random.default_rng(0))),
        "got another batch 2 of epoch 0",
    ),
    "data with a generator instead of a list": (
        lambda: noisy(lambda rng: list(Noisy(rng))),
        lambda: Noisy(np.random.default_rng(0)),
        "got another batch 2 of epoch 0",
    ),
    "another order": (
        windows,
        lambda: bptt.data.Windows(SERIES[::-1], steps=6, batch_size=16, shuffle=True, seed=4),
        "another batch",
    ),
    "another kind": (windows, lambda: [batch()], "must be Windows data, as in the saved run; got list"),
}


@pytest.mark.filterwarnings("ignore:data of type list_iterator cannot be restored")
@pytest.mark.parametrize("name", OTHER_DATA)
def test_other_data_are_refused(name: str, tmp_path: Path) -> None:
    make, other, message = OTHER_DATA[name]
    plain, case = make(), make()
    stopped(tmp_path / "run", make())
    expected = outcome(plain.fit(plain.fresh([])))
    again = case.resume(tmp_path / "run")
    before, data = again.model.flat_parameters.copy(), case.data
    epochs, case.epochs = case.epochs, 1 if name == "fewer batches" else case.epochs
    case.data = other()
    with pytest.raises(ValueError, match=message):
        case.fit(again)
    np.testing.assert_array_equal(again.model.flat_parameters, before)
    case.data, case.epochs = data, epochs  # and the right ones can still be given
    assert outcome(case.fit(again)) == expected


def test_checksums_tell_batches_apart() -> None:
    """Batches with equal bytes but another shape, dtype or part have another checksum."""
    x, mask = np.zeros((4, 6)), np.zeros((4, 6), bool)
    batches = [
        Batch(x),
        Batch(x.T),
        Batch(x.view(np.int64)),
        Batch(x, target=x),
        Batch(x, mask=mask),
        Batch(x, reset=mask),
        Batch(x + 1),
    ]
    assert len({checksum(one) for one in batches}) == len(batches)
    assert checksum(Batch(x.T.copy())) == checksum(Batch(x.T))  # strides do not count


def test_validation_data_that_went_missing(tmp_path: Path) -> None:
    stopped(tmp_path / "run", windows())
    case = windows()
    case.validation = None
    with pytest.raises(ValueError, match=r"validation must be .* got none"):
        case.fit(case.resume(tmp_path / "run"))


def test_validation_data_with_fewer_batches(tmp_path: Path) -> None:
    stopped(tmp_path / "run", windows())
    case = windows()
    count = len(case.validation)
    case.validation = bptt.data.Windows(SERIES[:20], steps=6, batch_size=8, shuffle=True, seed=5)
    left = len(case.validation)
    words = f"^validation must give {count} batches, as in the saved run; got {left}. Fix: pass"
    with pytest.raises(ValueError, match=words):
        case.fit(case.resume(tmp_path / "run"))


def test_validation_data_that_were_added(tmp_path: Path) -> None:
    case = windows()
    case.validation = None
    stopped(tmp_path / "run", case)
    case = windows()
    case.fit(case.resume(tmp_path / "run"))
    assert len(windows().validation) > 0


def test_what_no_file_can_hold_leaves_the_old_one(tmp_path: Path) -> None:
    class Odd(Callback):
        def state_dict(self) -> dict[str, Any]:
            return {"lock": threading.Lock()}

    fit = trainer(model())
    fit.fit([batch()])
    fit.save(tmp_path / "run")
    before = (tmp_path / "run").read_bytes()
    odd = trainer(model(), callbacks=[Odd()])
    with pytest.raises(TypeError, match=r"training\['callbacks'\]\[0\]\[1\]\['lock'\] must be .*got lock"):
        odd.save(tmp_path / "run")
    assert (tmp_path / "run").read_bytes() == before
    assert os.listdir(tmp_path) == ["run"]
