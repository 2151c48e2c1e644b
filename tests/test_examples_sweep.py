"""The example of a sweep: one thread each, the same losses however many processes, the best first."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import bptt

joblib = pytest.importorskip("joblib", reason="the example hands its models out by joblib")


@pytest.fixture
def sweep(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    spec = spec_from_file_location("sweep", Path(__file__).parent.parent / "examples" / "sweep.py")
    assert spec is not None
    assert spec.loader is not None
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    monkeypatch.setattr(module, "GRID", {"cell": ["rnn", "lstm"], "hidden": [4], "rate": [1e-2], "seed": [0]})
    return module


def test_the_best_comes_first(sweep: ModuleType) -> None:
    found = sweep.sweep(jobs=1, epochs=1)
    losses = [loss for loss, _ in found]
    assert losses == sorted(losses)
    assert {settings["cell"] for _, settings in found} == {"rnn", "lstm"}
    assert losses[0] == sweep.trial(found[0][1], 1, 1)
    assert bptt.get_num_threads() == 1


def test_worker_processes_find_the_same(sweep: ModuleType) -> None:
    settings = list(sweep.grid())

    def losses(**options: Any) -> list[float]:
        # By value: a worker has no module of this name.
        trial = joblib.wrap_non_picklable_objects(sweep.trial)
        return joblib.Parallel(n_jobs=2, **options)(joblib.delayed(trial)(each, 1, 1) for each in settings)

    assert losses(backend="loky") == [sweep.trial(each, 1, 1) for each in settings]
