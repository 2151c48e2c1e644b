"""Several ranks train as one: ranks in threads of this process, for all but MPI itself."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from tests.ranks import Aborted, ThreadComm, World, returned, run

import bptt
from bptt import runtime
from bptt.callbacks import Callback, TrainerView
from bptt.cli.options import CommandError
from bptt.cli.ranks import find_comm
from bptt.data import Shard
from bptt.files import read_checkpoint
from bptt.files.checkpoint import write
from bptt.optim import NoClip, NonFiniteError
from bptt.ranks import RankError
from bptt.ranks.processes import share_cores
from bptt.train import Trainer
from bptt.train.generators import Generators

SYMBOLS = 5
TEXT = "".join(np.random.default_rng(1).choice(list("abcde"), 400))
SERIES = np.random.default_rng(2).standard_normal((70, 2))


@pytest.fixture(autouse=True)
def _as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bptt.leaving.FORWARDING", 0.0)


def of_symbols(**options: Any) -> bptt.Sequential:
    """In float64: ranks and one process then agree to some 1e-15."""
    return bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1, dtype="float64"),
        bptt.LSTM(4, 8, seed=2, dtype="float64", **options),
        bptt.Linear(8, SYMBOLS, seed=3, dtype="float64"),
    )


def of_numbers(**options: Any) -> bptt.Sequential:
    return bptt.Sequential(
        bptt.GRU(2, 6, seed=1, dtype="float64", **options), bptt.Linear(6, 2, seed=2, dtype="float64")
    )


def symbols(seed: int, rows: int, steps: int = 12) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    return rng.integers(0, SYMBOLS, (steps, rows)), rng.integers(0, SYMBOLS, (steps, rows))


def masked() -> list[dict[str, np.ndarray]]:
    """Every rank has another number of rows that count, and one has none in the last batch."""
    batches = []
    for seed in range(3):
        x, target = symbols(seed, 5)
        mask = np.random.default_rng(seed).random(x.shape) < 0.4
        reset = np.random.default_rng(seed + 9).random(x.shape) < 0.1
        batches.append({"x": x, "target": target, "mask": mask, "reset": reset})
    batches[-1]["mask"][:, 1::2] = False
    return batches


def ragged() -> Any:
    rng = np.random.default_rng(7)
    rows = [rng.integers(0, SYMBOLS, size) for size in rng.integers(1, 12, 13)]
    return bptt.data.Ragged(rows, rows, batch_size=4, per_step=True, shuffle=True, pool=2, seed=8)


def by_row() -> list[tuple[np.ndarray, np.ndarray, list[int]]]:
    rng = np.random.default_rng(3)
    return [(rng.standard_normal((6, 6, 2)), rng.standard_normal((6, 6)), [6, 0, 3, 2, 5, 1])] * 2


@dataclass
class Case:
    """A run: of `model` on `data`, which are made anew for each trainer."""

    data: Callable[[], Any]
    model: Callable[..., bptt.Sequential] = of_symbols
    loss: Callable[[], Any] = bptt.CrossEntropy
    optimizer: Callable[[], Any] = field(default=lambda: bptt.SGD(0.5, momentum=0.5))
    options: Callable[[], dict[str, Any]] = dict
    batch_first: bool = False
    epochs: int = 2

    def trainer(self, comm: Any = None, **options: Any) -> Trainer:
        own = {"progress": False, "comm": comm} | self.options() | options
        return Trainer(self.model(), self.loss(), self.optimizer(), **own)

    def fit(self, trainer: Trainer, comm: Any = None) -> Trainer:
        data, validation = (Shard(self.data(), comm, batch_first=self.batch_first) for _ in range(2))
        trainer.fit(data, self.epochs, validation)
        return trainer

    def resume(self, path: Path, comm: Any = None) -> Trainer:
        own = {"progress": False, "comm": comm} | self.options()
        return self.fit(Trainer.resume(path, self.loss(), self.optimizer(), **own), comm)


CASES = {
    "symbols": Case(lambda: [symbols(seed, 6) for seed in range(3)]),
    "rows that don't divide": Case(lambda: [symbols(seed, rows) for seed, rows in enumerate((5, 4, 1))]),
    "masks and resets": Case(masked),
    "ragged": Case(ragged),
    "rows of unequal length, truncated": Case(
        lambda: [(*symbols(seed, 6), [12, 3, 5, 2, 4, 1]) for seed in range(2)],
        options=lambda: {"truncate": 4},
    ),
    "one target a row": Case(
        by_row,
        lambda: bptt.Sequential(
            bptt.LSTM(2, 5, seed=1, dtype="float64"), bptt.Last(), bptt.Linear(5, 6, seed=2, dtype="float64")
        ),
        bptt.MeanSquaredError,
    ),
    "shuffled windows": Case(
        lambda: bptt.data.Windows(SERIES, steps=6, batch_size=16, shuffle=True, seed=4),
        of_numbers,
        bptt.MeanSquaredError,
    ),
    "read ahead": Case(
        lambda: bptt.data.Prefetch(bptt.data.Windows(SERIES, steps=6, batch_size=16, shuffle=True, seed=4)),
        of_numbers,
        bptt.MeanSquaredError,
    ),
    "batch first": Case(
        lambda: [(SERIES.reshape(7, 5, 4)[..., :2], SERIES.reshape(7, 5, 4)[..., 2:])],
        lambda: of_numbers(batch_first=True),
        bptt.MeanSquaredError,
        batch_first=True,
    ),
    "a text, truncated": Case(
        lambda: bptt.data.TextStream(TEXT, batch_size=5, steps=20), options=lambda: {"truncate": (8, 12)}
    ),
    "a stream": Case(
        lambda: bptt.data.Stream(SERIES, steps=8, batch_size=4), of_numbers, bptt.MeanSquaredError
    ),
    "clipped": Case(
        lambda: [symbols(seed, 6) for seed in range(3)], options=lambda: {"clip": bptt.ClipNorm(0.05)}
    ),
    "clipped by a quantile": Case(
        lambda: [symbols(seed, 6) for seed in range(3)], options=lambda: {"clip": bptt.ClipNorm("auto")}
    ),
    "accumulated": Case(lambda: masked()[::-1], options=lambda: {"accumulate": 2}),
    "accumulated, clipped inside": Case(
        lambda: masked()[::-1], options=lambda: {"accumulate": 2, "clip_state": 1e-3}
    ),
    "clipped inside the recursion": Case(masked, options=lambda: {"clip_state": 1e-3}),
    "clipped there by norm": Case(ragged, options=lambda: {"clip_state": bptt.ClipNorm(2e-3)}),
    "regularised": Case(
        lambda: [symbols(seed, 6) for seed in range(3)],
        lambda: bptt.Sequential(
            bptt.Embedding(SYMBOLS, 4, seed=1, dtype="float64"),
            bptt.RNN(4, 8, seed=2, dtype="float64"),
            bptt.Linear(8, SYMBOLS, seed=3, dtype="float64"),
        ),
        options=lambda: {"regularizer": bptt.PascanuRegularizer(0.1), "clip_state": 1.0},
    ),
}


def assert_same(found: Trainer, expected: Trainer) -> None:
    """To what rounding leaves: a sum over rows has another order."""
    for name in ("loss", "grad_norm", "validation_loss"):
        np.testing.assert_allclose(found.history[name], expected.history[name], rtol=1e-10)
    np.testing.assert_array_equal(found.history["clipped"], expected.history["clipped"])
    np.testing.assert_allclose(
        found.model.flat_parameters, expected.model.flat_parameters, rtol=0, atol=1e-11
    )


@pytest.mark.parametrize("name", CASES)
def test_ranks_do_what_one_process_does(name: str) -> None:
    case = CASES[name]
    expected = case.fit(case.trainer())
    for size in (2, 3):
        for found in returned(run(size, lambda comm: case.fit(case.trainer(comm), comm))):
            assert_same(found, expected)


def test_one_rank_has_the_bits_of_none() -> None:
    case = CASES["a text, truncated"]
    plain, alone = case.fit(case.trainer()), returned(run(1, lambda comm: case.fit(case.trainer(comm), comm)))
    assert alone[0].model.flat_parameters.tobytes() == plain.model.flat_parameters.tobytes()


def test_ranks_have_the_same_bits_and_start_from_the_first_ones() -> None:
    def job(comm: Any) -> bytes:
        case = CASES["symbols"]
        trainer = case.trainer(comm)
        trainer.model.flat_parameters[...] += comm.rank
        velocity = np.full(trainer.model.parameter_count, 1.0 * comm.rank)
        trainer.optimizer.load_state_dict({"kind": "SGD", "steps": comm.rank, "velocity": velocity})
        trainer.clip.nonfinite_steps = comm.rank
        case.fit(trainer, comm)
        assert trainer.clip.nonfinite_steps == 0
        return trainer.model.flat_parameters.tobytes()

    first, *others = returned(run(3, job))
    case = CASES["symbols"]
    assert others == [first, first]
    expected = case.fit(case.trainer()).model.flat_parameters
    np.testing.assert_allclose(np.frombuffer(first), expected, atol=1e-11)


def test_one_sum_an_update() -> None:
    case = CASES["clipped"]
    sums = returned(run(2, lambda comm: (case.fit(case.trainer(comm), comm), comm.world.sums)))
    assert sums[0][1] == case.epochs * (3 + 1)  # the last to see that no rank has more


def test_tokens_and_batches_of_all_ranks() -> None:
    class Tokens(Callback):
        seen = 0

        def update(self, trainer: TrainerView, update: Any) -> None:
            self.seen += update.tokens

    def job(comm: Any) -> int:
        watch = Tokens()
        case.fit(case.trainer(comm, callbacks=[watch]), comm)
        return watch.seen

    case = CASES["ragged"]
    assert len(set(returned(run(3, job)) + returned(run(1, job)))) == 1


def test_data_of_its_own_for_each_rank() -> None:
    """Not through Shard: the ranks' batches need not be alike."""

    def job(comm: Any) -> Trainer:
        x, target = symbols(comm.rank, 2 + comm.rank)
        trainer = Case(list).trainer(comm)
        trainer.fit([(x, target)] * 3)
        assert trainer.evaluate([(x, target)]) < 1.7
        return trainer

    parts = [symbols(0, 2), symbols(1, 3)]
    whole = Case(list).trainer()
    whole.fit([tuple(np.concatenate(arrays, axis=1) for arrays in zip(*parts, strict=True))] * 3)
    for trainer in returned(run(2, job)):
        assert_same(trainer, whole)


# Random numbers


def test_masks_differ_by_rank_and_orders_do_not() -> None:
    def job(comm: Any) -> tuple[float, float, float, int]:
        shared = np.random.default_rng(5)
        model = bptt.Sequential(
            bptt.GRU(2, 4, 2, dropout=0.5, seed=shared), bptt.Dropout(0.5, seed=shared), bptt.Linear(4, 2)
        )
        data = Shard(bptt.data.Windows(SERIES, steps=6, batch_size=16, shuffle=True, seed=shared), comm)
        trainer = Trainer(
            model, bptt.MeanSquaredError(), bptt.SGD(0.1), comm=comm, progress=False, seed=shared
        )
        trainer.fit(data, 2)
        assert model[0].rng is model[1].rng
        assert model[0].rng is not data.rng
        return model[0].rng.random(), data.rng.random(), float(model.flat_parameters.sum()), len(data)

    masks, orders, weights, lengths = zip(*returned(run(3, job)), strict=True)
    assert len(set(masks)) == 3
    assert len(set(orders)) == len(set(weights)) == len(set(lengths)) == 1


def test_unseeded_data_come_in_one_order() -> None:
    def job(comm: Any) -> list[np.ndarray]:
        data = bptt.data.Windows(np.arange(40.0), steps=3, batch_size=8, shuffle=True)
        return [batch["x"] for _ in range(2) for batch in Shard(data, comm)]

    parts = returned(run(2, job))
    first = np.concatenate([batch[0, :, 0] for part in parts for batch in part[:5]])
    assert sorted(first) == list(np.arange(37.0))


# What goes wrong


def test_a_gradient_that_is_not_finite_on_one_rank() -> None:
    def job(comm: Any, policy: str) -> Trainer:
        x, target = np.ones((5, 4, 2)), np.zeros((5, 4, 2))
        bad = np.where(np.arange(4)[:, None] == 1, np.nan, x)
        trainer = Case(list, of_numbers, bptt.MeanSquaredError).trainer(comm, clip=NoClip(policy))
        trainer.fit(Shard([(x, target), (bad, target), (x, target)], comm))
        return trainer

    errors = run(2, lambda comm: job(comm, "raise"))
    for error in errors:
        assert isinstance(error, NonFiniteError)
        assert str(error).startswith("on rank 1, update 1 of epoch 0")
        assert "x of model[0] is not finite" in str(error) or "not finite at step 0" in str(error)
        assert str(error) == str(errors[0])
    for policy in ("skip", "zero", "shrink"):
        expected = job(None, policy)
        for found in returned(run(2, lambda comm, policy=policy: job(comm, policy))):
            assert found.clip.nonfinite_steps == 1
            np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-10)
            np.testing.assert_allclose(
                found.model.flat_parameters, expected.model.flat_parameters, rtol=0, atol=1e-11
            )


def test_a_state_that_is_not_finite_is_dropped_by_all() -> None:
    def job(comm: Any) -> Trainer:
        x, target = np.ones((5, 4, 2)), np.zeros((5, 4, 2))
        bad = np.where(np.arange(4)[:, None] == 1, np.nan, x)
        data = bptt.data.Batches(lambda: iter([(x, target), (bad, target), (x, target)]), carries_state=True)
        case = Case(lambda: data, of_numbers, bptt.MeanSquaredError)
        trainer = case.trainer(comm, clip=NoClip("skip"))
        trainer.fit(Shard(data, comm))
        return trainer

    expected = job(None)
    for found in returned(run(2, job)):
        np.testing.assert_allclose(found.history["loss"], expected.history["loss"], rtol=1e-10)


def raised_by_all(results: list[Any], kind: type[BaseException]) -> str:
    assert all(type(result) is kind for result in results), results
    assert len(set(map(str, results))) == 1
    return str(results[0])


@pytest.mark.parametrize("fewer", [0, 1])
def test_fewer_batches_on_one_rank(fewer: int) -> None:
    def job(comm: Any) -> None:
        batches = [symbols(seed, 2) for seed in range(3 + (comm.rank != fewer))]
        Case(list).trainer(comm).fit(bptt.data.Batches(lambda: batches))

    message = raised_by_all(run(2, job), RankError)
    assert (
        f"got more on rank {1 - fewer} when the epoch had ended on rank {fewer}, after 3 updates" in message
    )


def test_stopped_on_one_rank_alone() -> None:
    class Stop(Callback):
        def update(self, trainer: TrainerView, update: Any) -> None:
            if trainer.rank == 1:
                trainer.stop()

    def job(comm: Any) -> None:
        CASES["symbols"].fit(CASES["symbols"].trainer(comm, callbacks=[Stop()]), comm)

    assert "a callback must call stop() on all ranks" in raised_by_all(run(2, job), RankError)


DIFFERENT: dict[str, tuple[Callable[[int], Any], str]] = {
    "rate": (
        lambda rank: Case(list, optimizer=lambda: bptt.SGD(0.5 + rank)),
        "optimizer.lr on rank 0: 0.5, on",
    ),
    "model": (
        lambda rank: Case(list, lambda: of_symbols(num_layers=1 + rank)),
        "model on rank 0: Sequential(",
    ),
    "clip": (
        lambda rank: Case(list, options=lambda: {"clip": bptt.ClipNorm(1.0 + rank)}),
        "clip.max_norm on rank 0: 1.0, on rank 1: 2.0",
    ),
    "epochs": (lambda rank: Case(list, epochs=1 + rank), "epochs on rank 0: 1, on rank 1: 2"),
    "batches": (
        lambda rank: Case(lambda: [symbols(0, 4)] * (1 + rank)),
        "batches on rank 0: 1, on rank 1: 2",
    ),
}


@pytest.mark.parametrize("name", DIFFERENT)
def test_ranks_that_set_out_to_do_different_things(name: str) -> None:
    make, expected = DIFFERENT[name]

    def job(comm: Any) -> None:
        case = make(comm.rank)
        data = case.data() or [symbols(0, 4)]
        case.trainer(comm).fit(data, case.epochs)

    message = raised_by_all(run(2, job), RankError)
    assert message.startswith("all ranks must begin the same run; got ")
    assert expected in message


def test_ranks_with_other_instruction_sets(monkeypatch: pytest.MonkeyPatch) -> None:
    names = iter(["avx2", "avx512"])
    monkeypatch.setattr(runtime, "isa", lambda: next(names))
    message = raised_by_all(run(2, lambda comm: Case(list).trainer(comm).fit([symbols(0, 4)])), RankError)
    assert "instruction set on rank 0: avx" in message


def test_weights_that_drift_apart_are_noticed() -> None:
    class Tamper(Callback):
        def update(self, trainer: TrainerView, update: Any) -> None:
            if trainer.rank == 2:
                trainer.model.flat_parameters[0] += 1e-12

    def job(comm: Any) -> None:
        CASES["symbols"].fit(CASES["symbols"].trainer(comm, callbacks=[Tamper()]), comm)

    message = raised_by_all(run(3, job), RankError)
    expected = "weights must be the same on all ranks; got other weights on rank 2 than on rank 0 after 3"
    assert expected in message


def test_weights_are_compared_inside_a_long_epoch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bptt.ranks.ranks.COMPARE_EVERY", 2)
    test_weights = test_weights_that_drift_apart_are_noticed
    with pytest.raises(AssertionError, match="after 2 updates"):
        test_weights()


class Fails(Callback):
    def update(self, trainer: TrainerView, update: Any) -> None:
        if trainer.rank == 1:
            raise LookupError("the disk is on fire")


class FailsToJudge(Callback):
    """In what `fit` calls, not in `fit` itself."""

    def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
        if trainer.rank == 1:
            trainer.evaluate([(np.zeros((2, 2), int), np.full((2, 2), SYMBOLS))])


class Ended(Callback):
    """Whether the job had been ended when this rank's callbacks were."""

    def __init__(self) -> None:
        self.aborted: list[bool] = []

    def fit_end(self, trainer: TrainerView) -> None:
        if trainer.rank == 1:
            self.aborted.append(trainer._ranks._comm.world.aborted)  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("fails", "message"),
    [(Fails, "LookupError: the disk is on fire"), (FailsToJudge, "ValueError: target must hold classes")],
)
def test_an_exception_on_one_rank_ends_the_job(
    fails: type[Callback], message: str, capfd: pytest.CaptureFixture[str]
) -> None:
    ended = Ended()

    def job(comm: Any) -> None:
        CASES["symbols"].fit(CASES["symbols"].trainer(comm, callbacks=[fails(), ended]), comm)

    assert all(isinstance(result, Aborted) for result in run(2, job))
    told = capfd.readouterr().err
    assert f"rank 1 of 2 failed and ends the job: {message}" in told
    assert "Traceback" in told
    assert ended.aborted == [False]  # files were closed first


def test_ctrl_c_saves_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    class Interrupt(Callback):
        def update(self, trainer: TrainerView, update: Any) -> None:
            raise KeyboardInterrupt

    def job(comm: Any) -> None:
        callbacks = [Interrupt(), bptt.Checkpoint(tmp_path / "run")]
        CASES["symbols"].fit(CASES["symbols"].trainer(comm, callbacks=callbacks), comm)

    assert all(isinstance(result, Aborted) for result in run(2, job))
    told = capfd.readouterr().err
    assert "ends the job: KeyboardInterrupt\n" in told
    assert "Traceback" not in told
    assert os.listdir(tmp_path) == []


def test_a_file_that_one_rank_lacks(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    case = CASES["symbols"]
    stop(case, tmp_path / "0", 1)
    assert all(isinstance(end, Aborted) for end in run(2, lambda c: case.resume(tmp_path / str(c.rank), c)))
    assert "rank 1 of 2 failed and ends the job: FileNotFoundError" in capfd.readouterr().err


@pytest.mark.parametrize("comm", ["COMM_WORLD", 2, object()])
def test_what_is_no_communicator(comm: Any) -> None:
    with pytest.raises(TypeError, match="comm must be a communicator of mpi4py, or None; got "):
        Case(list).trainer(comm)


# Evaluation, callbacks, files


def test_evaluate_is_over_all_ranks() -> None:
    case = CASES["ragged"]
    expected = case.trainer().evaluate(case.data())
    for found in returned(run(2, lambda comm: case.trainer(comm).evaluate(Shard(case.data(), comm)))):
        np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_metrics_are_over_all_ranks() -> None:
    def job(comm: Any) -> dict[str, float]:
        metrics = [bptt.metrics.Accuracy(), bptt.metrics.Perplexity()]
        return case.trainer(comm, metrics=metrics).measure(Shard(case.data(), comm))

    case = CASES["masks and resets"]
    expected = job(None)
    assert set(expected) == {"loss", "accuracy", "perplexity"}
    for found in returned(run(3, job)):
        assert found == pytest.approx(expected, rel=1e-12)


def test_the_first_rank_alone_writes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    other = tmp_path / "of another machine"
    other.mkdir()
    (other / "run-2").write_text("of another run")

    def job(comm: Any) -> None:
        folder = tmp_path if comm.rank == 0 else other
        callbacks = [
            bptt.CSVLog(folder / "log.csv"),
            bptt.Checkpoint(folder / "run-{step}", every_updates=2, keep=2),
        ]
        CASES["symbols"].fit(CASES["symbols"].trainer(comm, callbacks=callbacks, progress=True), comm)

    returned(run(2, job))
    assert sorted(os.listdir(tmp_path)) == ["log.csv", "of another machine", "run-4", "run-6"]
    assert os.listdir(other) == ["run-2"]
    assert (tmp_path / "log.csv").read_text().count("\n") == 1 + 6 + 2
    assert capsys.readouterr().err.count("epoch 2/2 100%") == 1


def test_a_saved_file_is_there_for_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def slow(*arguments: Any) -> None:
        time.sleep(0.1)
        write(*arguments)

    def job(comm: Any) -> None:
        Case(list).trainer(comm).save(tmp_path / "run")
        bptt.load(tmp_path / "run")

    monkeypatch.setattr("bptt.train.trainer.write", slow)
    returned(run(2, job))


class Stopped(Callback):
    """Saves after an update, and ends the run there, on all ranks."""

    def __init__(self, update: int, path: Path) -> None:
        self.at, self.path = update, path

    def settled(self, trainer: TrainerView) -> None:
        if len(trainer.history["loss"]) == self.at:
            trainer.save(self.path)
            raise trainer._ranks._agree(KeyboardInterrupt())


def stop(case: Case, path: Path, size: int, update: int = 3) -> None:
    def job(comm: Any) -> None:
        own = comm if size > 1 else None
        with pytest.raises(KeyboardInterrupt):
            case.fit(case.trainer(own, callbacks=[Stopped(update, path)]), own)

    returned(run(size, job))


def dropped() -> bptt.Sequential:
    return bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1),
        bptt.LSTM(4, 6, 2, dropout=0.2, recurrent_dropout=0.3, zoneout=0.1, seed=2),
        bptt.Sequential(bptt.Dropout(0.4, seed=3), bptt.Linear(6, SYMBOLS, seed=3)),
    )


RESUMED = {
    "dropout": Case(CASES["a text, truncated"].data, dropped, options=lambda: {"truncate": 7}),
    "one seed": Case(CASES["ragged"].data, dropped, options=lambda: {"seed": 4}),
    "shuffled windows": CASES["shuffled windows"],
    "read ahead": CASES["read ahead"],
    "a stream": CASES["a stream"],
    "clipped by a quantile": CASES["clipped by a quantile"],
}


@pytest.mark.parametrize("name", RESUMED)
def test_resumed_on_as_many_ranks_has_the_same_bits(name: str, tmp_path: Path) -> None:
    case = RESUMED[name]
    expected = returned(run(2, lambda comm: case.fit(case.trainer(comm), comm)))
    stop(case, tmp_path / "run", 2)
    found = returned(run(2, lambda comm: case.resume(tmp_path / "run", comm)))
    for one, other in zip(found, expected, strict=True):
        assert one.model.flat_parameters.tobytes() == other.model.flat_parameters.tobytes()
        assert one.history["loss"].tobytes() == other.history["loss"].tobytes()
        drawn = [[rng["state"] for rng in Generators(each.model).get().states] for each in (one, other)]
        assert drawn[0] == drawn[1]


@pytest.mark.parametrize("name", ["shuffled windows", "a text, truncated", "ragged", "a stream"])
def test_resumed_on_another_number_of_ranks(name: str, tmp_path: Path) -> None:
    case = CASES[name]
    expected = case.fit(case.trainer())
    for before, after in ((2, 1), (1, 2), (2, 3), (3, 2)):
        stop(case, tmp_path / "run", before)

        def job(comm: Any, alone: bool = after == 1) -> Trainer:
            return case.resume(tmp_path / "run", None if alone else comm)

        for found in returned(run(after, job)):
            assert_same(found, expected)


def test_masks_differ_by_rank_after_a_run_of_one(tmp_path: Path) -> None:
    case = RESUMED["one seed"]
    stop(case, tmp_path / "run", 1)
    first, second = returned(run(2, lambda comm: case.resume(tmp_path / "run", comm)))
    assert first.model[1].rng.random() != second.model[1].rng.random()


def test_the_file_of_one_rank_is_as_it_was(tmp_path: Path) -> None:
    stop(CASES["a stream"], tmp_path / "run", 1)
    saved = read_checkpoint(tmp_path / "run").training
    assert saved is not None
    assert saved["others"] == []


def test_rows_that_cannot_be_dealt_anew(tmp_path: Path) -> None:
    """Ranks whose data are their own: as many of them as before can go on."""

    def data(rank: int) -> Any:
        rows = [symbols(seed + 10 * rank, 1 + 2 * rank) for seed in range(4)]
        return bptt.data.Batches(lambda epoch, rng: rows, carries_state=True)

    def job(comm: Any) -> None:
        with pytest.raises(KeyboardInterrupt):
            Case(list).trainer(comm, callbacks=[Stopped(2, tmp_path / "run")]).fit(data(comm.rank))

    def again(comm: Any) -> Trainer:
        trainer = Trainer.resume(
            tmp_path / "run", bptt.CrossEntropy(), Case(list).optimizer(), comm=comm, progress=False
        )
        trainer.fit(data(comm.rank))
        return trainer

    returned(run(2, job))
    assert [len(trainer.history["loss"]) for trainer in returned(run(2, again))] == [4, 4]
    with pytest.raises(ValueError, match=r"rows \[1, 3\] of 2 ranks cannot be divided among 1 ranks"):
        Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), Case(list).optimizer())


# Shard


BAD_BATCHES: dict[str, tuple[Any, dict[str, Any], str]] = {
    "unbatched": ((np.zeros((5, 2)), np.zeros((5, 2))), {}, "x must have a batch axis"),
    "a number": (np.zeros(()), {}, "x must have a batch axis"),
    "target rows": ((np.zeros((5, 4, 2)), np.zeros((3, 2))), {}, "target must have 4 rows on axis 0"),
    "lengths": ((np.zeros((5, 4, 2)), np.zeros((5, 4, 2)), [5, 5]), {}, "lengths must have 4 rows on axis 0"),
    "the other way round": (
        (np.zeros((4, 5, 2)), np.zeros((4, 2))),
        {},
        r"target must have 5 rows on axis 0, like x .*; got shape \(4, 2\)\. Fix: .*batch_first=True",
    ),
}


@pytest.mark.parametrize("name", BAD_BATCHES)
def test_batches_that_cannot_be_shared(name: str) -> None:
    batch, options, message = BAD_BATCHES[name]
    with pytest.raises(ValueError, match=message):
        list(Shard([batch], None, **options))


def test_shard_says_what_its_data_say() -> None:
    stream = Shard(bptt.data.TextStream(TEXT, batch_size=4, steps=20), None)
    assert stream.carries_state
    assert len(stream) == 5

    def endless() -> Iterator[Any]:
        yield symbols(0, 4)

    unsized = Shard(bptt.data.Batches(endless), None)
    assert not unsized.carries_state
    with pytest.raises(TypeError, match="has no len"):
        len(unsized)
    assert len(list(unsized)) == 1
    assert len(Case(list).trainer().fit(Shard(bptt.data.Prefetch(unsized), None))["loss"]) == 1
    with pytest.raises(TypeError, match="data must be an iterable of batches"):
        Shard(np.zeros((3, 4)), None)  # type: ignore[arg-type]


# Threads


@pytest.mark.parametrize(
    ("cores", "threads"), [([range(8), range(8)], [4, 4]), ([range(4), range(4, 8)], [8, 8])]
)
def test_ranks_share_the_cores(
    cores: list[range], threads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    chosen: dict[int, int] = {}

    def job(comm: ThreadComm) -> None:
        share_cores(comm)

    here = {"count": -1}

    def affinity(pid: int) -> set[int]:
        here["count"] += 1
        return set(cores[here["count"]])

    monkeypatch.setattr(os, "sched_getaffinity", affinity, raising=False)
    monkeypatch.setattr(runtime, "get_num_threads", lambda: 8)
    monkeypatch.setattr(runtime, "threads_chosen", lambda: False)
    monkeypatch.setattr(runtime, "set_num_threads", lambda n: chosen.update({len(chosen): n}))
    returned(run(2, job))
    assert list(chosen.values()) == threads


def test_a_chosen_number_of_threads_stays() -> None:
    bptt.set_num_threads(3)
    returned(run(2, share_cores))
    assert bptt.get_num_threads() == 3


# The command line's ranks


@pytest.fixture
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE", "PMIX_RANK"):
        monkeypatch.delenv(name, raising=False)


def imported(monkeypatch: pytest.MonkeyPatch, found: Any) -> None:
    """Let `import mpi4py.MPI` find a world of so many ranks, or raise."""

    def import_module(name: str) -> Any:
        assert name == "mpi4py.MPI"
        if isinstance(found, Exception):
            raise found
        return SimpleNamespace(COMM_WORLD=ThreadComm(World(found), 0))

    monkeypatch.setattr("bptt.cli.ranks.import_module", import_module)


@pytest.mark.parametrize("size", [None, "1", "many"])
def test_a_command_on_its_own_does_not_look_for_mpi4py(
    size: str | None, no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if size is not None:
        monkeypatch.setenv("PMI_SIZE", size)
    imported(monkeypatch, AssertionError("it was imported"))
    assert find_comm() is None


@pytest.mark.parametrize("name", ["PMI_SIZE", "OMPI_COMM_WORLD_SIZE", "MV2_COMM_WORLD_SIZE"])
def test_a_command_under_mpiexec(name: str, no_launcher: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(name, "2")
    imported(monkeypatch, 2)
    comm = find_comm()
    assert comm is not None
    assert comm.size == 2
    imported(monkeypatch, 1)
    with pytest.raises(CommandError, match="mpiexec started 2 processes, but mpi4py sees 1"):
        find_comm()
    for error in (ModuleNotFoundError("No module named 'mpi4py'"), RuntimeError("cannot load MPI library")):
        imported(monkeypatch, error)
        with pytest.raises(CommandError, match=r"mpiexec needs mpi4py .*pip install 'bptt\[mpi\]'"):
            find_comm()


def test_a_launcher_that_says_only_which_rank_it_is(
    no_launcher: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PMIX_RANK", "0")
    imported(monkeypatch, 3)
    assert find_comm() is not None
    imported(monkeypatch, 1)
    assert find_comm() is None
