"""Copies by pickle and deepcopy: errors survive them, and packed weights refuse them in one sentence."""

from __future__ import annotations

import ast
import copy
import inspect
import pickle
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt

COPIES: dict[str, Callable[[Any], Any]] = {
    "pickle": lambda value: pickle.loads(pickle.dumps(value)),
    "deepcopy": copy.deepcopy,
}
ERRORS = [
    getattr(bptt, name)
    for name in bptt.__all__
    if inspect.isclass(getattr(bptt, name)) and issubclass(getattr(bptt, name), Exception)
]


@pytest.mark.parametrize("by", COPIES)
def test_errors_survive_a_copy(by: str) -> None:
    assert bptt.NonFiniteError in ERRORS
    for kind in ERRORS:
        error = kind("a message", "weight_hh_l0") if kind is bptt.NonFiniteError else kind("a message")
        again = COPIES[by](error)
        assert (type(again), str(again), vars(again)) == (kind, "a message", vars(error))


def test_an_error_leaves_a_worker_process() -> None:
    trainer = bptt.Trainer(bptt.Linear(1, 1), bptt.MeanSquaredError(), bptt.SGD(0.1), progress=False)
    beyond_float32 = [(np.full((1, 1, 1), 1e30), np.zeros((1, 1, 1)))]
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        error = pool.submit(trainer.fit, beyond_float32).exception(timeout=300)
    assert isinstance(error, bptt.NonFiniteError)
    assert error.parameter in str(error)


@pytest.mark.parametrize("by", COPIES)
@pytest.mark.parametrize("method", ["stream"])
def test_packed_weights_cannot_be_copied(by: str, method: str) -> None:
    with pytest.raises(TypeError, match=rf"cannot be copied or pickled.*Fix: .*call {method}\(\) again"):
        COPIES[by](getattr(bptt.LSTM(2, 3), method)())


def test_help_shows_the_arguments_of_batches() -> None:
    assert list(inspect.signature(bptt.data.Batches).parameters) == [
        "make",
        "carries_state",
        "length",
        "seed",
    ]


def test_type_checkers_see_every_public_name() -> None:
    tree = ast.parse(Path(inspect.getfile(bptt)).read_text(encoding="utf-8"))
    imported = {
        alias.asname or alias.name
        for node in ast.walk(tree)
        if isinstance(node, (ast.Import, ast.ImportFrom))
        for alias in node.names
    }
    lazy = set(bptt.__all__) - imported
    assert all(inspect.ismodule(getattr(bptt, name)) or name.startswith("__") for name in lazy)


@pytest.mark.parametrize("value", [3, None, 2.5])
def test_a_path_that_is_none(value: Any) -> None:
    for call in (bptt.CSVLog, bptt.Checkpoint):
        with pytest.raises(TypeError, match=r"path must be a str or os.PathLike; got .*Fix: pass"):
            call(value)
    with pytest.raises(TypeError, match=r"folder must be a str or os.PathLike; got .*Fix: pass"):
        bptt.TensorBoard(value)
