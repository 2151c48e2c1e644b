"""What watches a training run: callbacks and the progress bar."""

from __future__ import annotations

import csv
import io
import os
import struct
import sys
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tqdm
from tests.training import Watch, batch, model, trainer

import bptt
from bptt.callbacks import Callback, TrainerView
from bptt.files import read_checkpoint
from bptt.train import Trainer


def test_callbacks_are_called_in_order() -> None:
    watch, data = Watch(), [batch()]
    trainer(model(), truncate=5, callbacks=[watch]).fit(data, epochs=2, validation=data)
    epochs = [
        [
            ("begin", epoch, 2, 1),
            ("update", epoch, round(5 / 12, 3), 15),
            ("update", epoch, round(10 / 12, 3), 15),
            ("update", epoch, 1.0, 6),
            ("validation", epoch),
            ("end", epoch),
        ]
        for epoch in range(2)
    ]
    assert watch.seen == [*epochs[0], *epochs[1], "fit end"]


def test_stop_ends_the_run_after_the_update() -> None:
    watch, data = Watch(lambda trainer: trainer.stop()), [batch(), batch()]
    fit = trainer(model(), callbacks=[watch])
    for _ in range(2):  # a second fit is not stopped by the first one's request
        watch.seen.clear()
        history = fit.fit(data, epochs=3, validation=data)
        assert len(history["loss"]) == len(history["validation_loss"]) == 1
        assert watch.seen[-2:] == [("end", 0), "fit end"]


class Breaks(Callback):
    """Raises in one of its methods."""

    def __init__(self, where: str, error: type[BaseException]) -> None:
        def fail(*details: Any) -> None:
            raise error("planted")

        setattr(self, where, fail)


@pytest.mark.parametrize("where", ["update", "settled", "validation", "epoch_end", "fit_end"])
def test_an_exception_in_one_callback_hides_nothing_from_the_next(where: str) -> None:
    for error in [KeyboardInterrupt, OSError]:
        watch = Watch()
        fit = trainer(model(), callbacks=[Breaks(where, error), watch])
        with pytest.raises(error, match="planted"):
            fit.fit([batch()], validation=[batch()])
        last = {"update": "update", "settled": "update", "validation": "validation", "epoch_end": "end"}
        seen = [entry[0] if isinstance(entry, tuple) else entry for entry in watch.seen]
        assert seen[-1] == "fit end"
        assert last.get(where, "end") in seen


def test_a_schedule_hears_of_a_validation_that_a_callback_interrupts(tmp_path: Path) -> None:
    def run(*callbacks: Callback) -> Trainer:
        rate = bptt.schedules.Plateau(0.1, patience=0, min_delta=10.0)
        return Trainer(model(), bptt.CrossEntropy(), bptt.SGD(rate), progress=False, callbacks=callbacks)

    whole, part = run(), run(Breaks("validation", KeyboardInterrupt))
    whole.fit([batch()], 4, [batch()])
    with pytest.raises(KeyboardInterrupt):
        part.fit([batch()], 4, [batch()])
    part.save(tmp_path / "run")
    rate = bptt.schedules.Plateau(0.1, patience=0, min_delta=10.0)
    again = Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), bptt.SGD(rate), progress=False)
    again.fit([batch()], 4, [batch()])
    np.testing.assert_array_equal(again.history["lr"], whole.history["lr"])
    np.testing.assert_array_equal(again.model.flat_parameters, whole.model.flat_parameters)


@pytest.mark.parametrize("make", [bptt.Checkpoint, bptt.CSVLog])
def test_a_refused_run_leaves_the_history_of_the_last(make: Any, tmp_path: Path) -> None:
    fit = trainer(model())
    fit.fit([batch()])
    fit.callbacks = (make(tmp_path / "absent" / "file"),)
    with pytest.raises(FileNotFoundError):
        fit.fit([batch()])
    assert len(fit.history["loss"]) == 1


def test_a_log_goes_on_after_a_run_that_was_saved_at_its_end(tmp_path: Path) -> None:
    fit = trainer(model(), callbacks=[bptt.CSVLog(tmp_path / "log.csv")])
    fit.fit([batch()], 2)
    fit.save(tmp_path / "run")
    again = Trainer.resume(
        tmp_path / "run",
        bptt.CrossEntropy(),
        bptt.SGD(0.5),
        progress=False,
        callbacks=[bptt.CSVLog(tmp_path / "log.csv")],
    )
    again.fit([batch()], 3)
    with (tmp_path / "log.csv").open(newline="") as file:
        assert [row["epoch"] for row in csv.DictReader(file)] == ["0", "1", "2"]


def test_checkpoint_callback(tmp_path: Path) -> None:
    class EpochsSaved(Callback):
        def __init__(self) -> None:
            self.seen: list[int] = []

        def epoch_end(self, trainer: TrainerView, epoch: int) -> None:
            self.seen.append(
                read_checkpoint(tmp_path / "m").extra["epochs"] if (tmp_path / "m").exists() else 0
            )

    net, watch = model(), EpochsSaved()
    fit = trainer(net, callbacks=[bptt.Checkpoint(tmp_path / "m", every_epochs=2), watch])
    fit.fit([batch()], epochs=5)
    assert watch.seen == [0, 2, 2, 4, 5]
    saved = read_checkpoint(tmp_path / "m")
    np.testing.assert_array_equal(saved.model.flat_parameters, net.flat_parameters)
    assert saved.optimizer == {"kind": "SGD", "steps": 5}


def test_early_stopping() -> None:
    stopping, net, losses = (
        bptt.EarlyStopping(2, min_delta=0.1),
        model(),
        [5.0, 4.0, 3.95, 3.5, 3.45, 3.41, 1.0],
    )

    class Scripted(Trainer):
        def measure(self, data: Any) -> dict[str, float]:
            return {"loss": losses[len(self.history["validation_loss"])]}

    fit = Scripted(net, bptt.CrossEntropy(), bptt.SGD(0.1), callbacks=[stopping], progress=False)
    history = fit.fit([batch()], epochs=7, validation=[batch()])
    assert history["validation_loss"].tolist() == losses[:6]
    assert stopping.best == 3.5  # the last improvement: 3.41 is less than min_delta below it
    with pytest.raises(ValueError, match="validation="):
        fit.fit([batch()])


def test_csv_log(tmp_path: Path) -> None:
    fit = trainer(model(), callbacks=[bptt.CSVLog(tmp_path / "log.csv")])
    for _ in range(2):  # begun anew
        history = fit.fit([batch(4), batch(5)], epochs=2, validation=[batch()])
    with open(tmp_path / "log.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    updates = [row for row in rows if row["loss"]]
    assert [float(row["loss"]) for row in updates] == history["loss"].tolist()
    assert [float(row["grad_norm"]) for row in updates] == history["grad_norm"].tolist()
    assert [float(row["validation_loss"]) for row in rows if not row["loss"]] == history[
        "validation_loss"
    ].tolist()
    assert [row["validation_loss"] == "" for row in rows] == [True, True, False] * 2


def test_progress_in_a_log_is_lines(capsys: pytest.CaptureFixture[str]) -> None:
    trainer(model(), progress=True, clip=bptt.ClipNorm(1e-3)).fit(
        [batch()] * 4, epochs=2, validation=[batch()]
    )
    captured = capsys.readouterr()
    assert captured.out == ""
    assert "\r" not in captured.err
    assert captured.err.endswith("\n")
    lines = captured.err.splitlines()
    assert all(line.startswith("epoch ") for line in lines)
    final = [line for line in lines if "100%" in line]
    assert len(final) == len(lines) == 2
    for epoch, line in enumerate(final, 1):
        assert line.startswith(f"epoch {epoch}/2 100%")
        for part in ("loss ", "|g| ", "clipped 100%", "tokens/s", "validation cross-entropy "):
            assert part in line


@pytest.mark.parametrize("columns", [0, 80, 200])
def test_progress_in_a_terminal_is_one_line_overwritten(
    columns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    fcntl, termios = pytest.importorskip("fcntl"), pytest.importorskip("termios")
    outer, inner = os.openpty()
    fcntl.ioctl(inner, termios.TIOCSWINSZ, struct.pack("4H", 24, columns, 0, 0))
    with os.fdopen(inner, "w", encoding="utf-8") as terminal:
        monkeypatch.setattr(sys, "stderr", terminal)
        trainer(model(), progress=True).fit(iter([batch()] * 4))
        terminal.write("END")
        terminal.flush()
        shown = ""
        while not shown.endswith("END"):
            shown += os.read(outer, 65536).decode()
    shown = shown.removesuffix("END")
    os.close(outer)
    assert shown.count("\r") > 1
    assert shown.rstrip().count("\n") == 0
    assert "epoch 1/1" in shown
    assert "tokens/s" in shown
    assert max(map(len, shown.split("\r"))) <= (columns or 80)


def test_progress_in_a_notebook_is_tqdms_own_bar(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    bars: list[Any] = []

    class Bar(tqdm.tqdm):  # type: ignore[type-arg]
        """Stands for the widget."""

        def __init__(self, **options: Any) -> None:
            bars.append(self)
            super().__init__(**options | {"file": io.StringIO()})

    notebook, auto = types.ModuleType("tqdm.notebook"), types.ModuleType("tqdm.auto")
    notebook.tqdm = auto.tqdm = Bar  # type: ignore[attr-defined]
    for name, module in (("IPython", types.ModuleType("IPython")), ("notebook", notebook), ("auto", auto)):
        monkeypatch.setitem(sys.modules, name if name == "IPython" else f"tqdm.{name}", module)
    trainer(model(), progress=True).fit([batch()] * 4, epochs=2, validation=[batch()])
    assert [(bar.n, bar.total) for bar in bars] == [(4, 4)] * 2
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(auto, "tqdm", tqdm.tqdm)  # without ipywidgets, tqdm.auto falls back
    trainer(model(), progress=True).fit([batch()] * 4)
    assert capsys.readouterr().err.startswith("epoch 1/1 100%")


def test_a_broken_standard_error_does_not_hurt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stderr", io.StringIO())
    assert len(trainer(model(), progress=True).fit([batch()])["loss"]) == 1
