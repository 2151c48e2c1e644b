"""Event files for TensorBoard, read back as TensorBoard's own format has them."""

from __future__ import annotations

import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.training import batch, model, trainer

import bptt
from bptt.train import Trainer

pytest.importorskip("tensorboardX", reason="tensorboardX is not installed")


def scalars(folder: Path) -> list[tuple[str, int, float]]:
    """(name, step, value) of all files, oldest first."""
    from tensorboardX.proto.event_pb2 import Event

    found = []
    for path in sorted(folder.iterdir()):
        content, at = path.read_bytes(), 0
        while at < len(content):
            (length,) = struct.unpack_from("<Q", content, at)
            event = Event.FromString(content[at + 12 : at + 12 + length])  # between two checksums
            at += 16 + length
            found += [(value.tag, event.step, value.simple_value) for value in event.summary.value]
    return found


def test_curves(tmp_path: Path) -> None:
    board = bptt.TensorBoard(tmp_path / "new" / "run")
    fit = trainer(model(), callbacks=[board], metrics=[bptt.metrics.Accuracy()])
    history = fit.fit([batch(1), batch(2)], epochs=2, validation=[batch(3)])
    found = scalars(tmp_path / "new" / "run")
    for group, steps in (("train", [1, 2, 3, 4]), ("validation", [2, 4])):
        names = ("loss", "grad_norm", "lr", "clipped") if group == "train" else ("loss", "accuracy")
        for name in names:
            curve = [(step, value) for tag, step, value in found if tag == f"{group}/{name}"]
            expected = history[name if group == "train" else f"validation_{name}"]
            assert [step for step, _ in curve] == steps
            assert [value for _, value in curve] == np.float32(expected).tolist()
    assert {tag.split("/")[0] for tag, _, _ in found} == {"train", "validation"}


def test_every_so_often(tmp_path: Path) -> None:
    fit = trainer(model(), callbacks=[bptt.TensorBoard(tmp_path, every_updates=3)])
    fit.fit([batch(seed) for seed in range(7)])
    assert [step for tag, step, _ in scalars(tmp_path) if tag == "train/loss"] == [3, 6]


def test_a_resumed_run_goes_on_in_the_folder(tmp_path: Path) -> None:
    def options() -> dict[str, Any]:
        return {"callbacks": [bptt.TensorBoard(tmp_path / "events")], "progress": False}

    first = Trainer(model(), bptt.CrossEntropy(), bptt.SGD(0.5), **options())
    first.fit([batch(1), batch(2)], epochs=1)
    first.save(tmp_path / "run")
    again = Trainer.resume(tmp_path / "run", bptt.CrossEntropy(), bptt.SGD(0.5), **options())
    again.fit([batch(1), batch(2)], epochs=2)
    assert [step for tag, step, _ in scalars(tmp_path / "events") if tag == "train/loss"] == [1, 2, 3, 4]


def test_without_the_package(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(ImportError, match=r"pip install 'bptt\[tensorboard\]'"):
        bptt.TensorBoard(tmp_path)


def test_bad_input(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="every_updates must"):
        bptt.TensorBoard(tmp_path, every_updates=0)
    (tmp_path / "file").write_text("kept")
    fit = trainer(model(), callbacks=[bptt.TensorBoard(tmp_path / "file")])
    before = fit.model.flat_parameters.copy()
    with pytest.raises(OSError, match="file"):
        fit.fit([batch()])
    assert np.array_equal(fit.model.flat_parameters, before)
    assert (tmp_path / "file").read_text() == "kept"
