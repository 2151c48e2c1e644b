"""The preprocessing in a model's file: it comes back as it was, and a forged one is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from tests.test_kind_file_that_lies import forge, refused
from tests.training import batch, model, trainer

import bptt
from bptt.data import Standardize, Vocabulary
from bptt.files import CheckpointError

FRAME = pd.DataFrame({"load": [1.5, 2.25, 9.0], "wind": [0.1, 1 / 3, -7.0]})
SCALING, WORDS = Standardize.fit(FRAME), Vocabulary("ab\n\x00\ud800")


def same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and one.to_dict() == other.to_dict()


def test_it_comes_back_as_it_was(tmp_path: Path) -> None:
    given = {"inputs": SCALING, "plain": Standardize([0.1], [1e-300]), "text": WORDS}
    fit = trainer(model(), callbacks=[bptt.Checkpoint(tmp_path / "by callback", preprocessing=given)])
    fit.fit([batch()])
    fit.save(tmp_path / "by trainer", preprocessing=given)
    bptt.save(tmp_path / "by save", model(), preprocessing=given)
    for path in tmp_path.iterdir():
        found = bptt.load_preprocessing(path)
        assert list(found) == list(given)
        assert all(same(found[name], value) for name, value in given.items())
        np.testing.assert_array_equal(found["inputs"].apply(FRAME), SCALING.apply(FRAME))  # type: ignore[union-attr]
    assert found["inputs"].columns == ("load", "wind")  # type: ignore[union-attr]
    with pytest.raises(ValueError, match="columns"):
        found["inputs"].apply(FRAME[["wind", "load"]])  # type: ignore[union-attr]


def test_a_file_without_it(tmp_path: Path) -> None:
    bptt.save(tmp_path / "m", model())
    assert bptt.load_preprocessing(tmp_path / "m") == {}


@pytest.mark.parametrize(
    "value", [[SCALING], {"x": np.ones(2)}, {1: SCALING}, {"x": {"mean": [1]}}, {"x": None}]
)
def test_other_values_are_refused_and_leave_the_file(value: Any, tmp_path: Path) -> None:
    path = tmp_path / "m"
    bptt.save(path, model())
    before = path.read_bytes()
    with pytest.raises(TypeError, match=r"preprocessing must .* Fix: "):
        bptt.save(path, model(), preprocessing=value)
    assert path.read_bytes() == before
    with pytest.raises(TypeError, match="preprocessing must"):
        bptt.Checkpoint(path, preprocessing=value)


LIES: dict[str, Any] = {
    "a list": [],
    "an unknown kind": {"x": {"kind": "Pickle", "mean": [0.0], "scale": [1.0]}},
    "no kind": {"x": {"mean": [0.0], "scale": [1.0]}},
    "a scale of 0": {"x": {"kind": "Standardize", "mean": [0.0], "scale": [0]}},
    "a scale below 0": {"x": {"kind": "Standardize", "mean": [0.0], "scale": [-1.0]}},
    "a mean of text": {"x": {"kind": "Standardize", "mean": ["0"], "scale": [1.0]}},
    "a huge mean": {"x": {"kind": "Standardize", "mean": [10**400], "scale": [1.0]}},
    "fewer scales": {"x": {"kind": "Standardize", "mean": [0.0, 1.0], "scale": [1.0]}},
    "fewer columns": {"x": {"kind": "Standardize", "mean": [0.0], "scale": [1.0], "columns": []}},
    "a column of truth": {"x": {"kind": "Standardize", "mean": [0.0], "scale": [1.0], "columns": [True]}},
    "another field": {"x": {"kind": "Standardize", "mean": [0.0], "scale": [1.0], "call": "os.system"}},
    "no field": {"x": {"kind": "Standardize"}},
    "one symbol": {"x": {"kind": "Vocabulary", "symbols": "a"}},
    "a symbol twice": {"x": {"kind": "Vocabulary", "symbols": "aba"}},
    "symbols in a list": {"x": {"kind": "Vocabulary", "symbols": ["a", "b"]}},
}


def test_lies(tmp_path: Path, subtests: pytest.Subtests) -> None:
    bptt.save(tmp_path / "m", model(), preprocessing={"x": SCALING})
    content = (tmp_path / "m").read_bytes()
    for name, value in LIES.items():
        with subtests.test(name):
            message = refused(
                forge(content, lambda about, value=value: about.update(preprocessing=value)), tmp_path / "f"
            )
            assert "is damaged: preprocessing" in message or "is damaged: a key of preprocessing" in message
            with pytest.raises(CheckpointError):
                bptt.load_preprocessing(tmp_path / "f")


def test_from_dict_refuses_other_mappings() -> None:
    for make, values in [
        (Standardize, {"mean": [0.0]}),
        (Standardize, [1]),
        (Vocabulary, {}),
        (Vocabulary, "ab"),
    ]:
        with pytest.raises(TypeError, match=r"values must be a mapping with .* Fix: "):
            make.from_dict(values)
