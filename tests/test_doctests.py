"""The examples in docstrings print what they show, each docstring alone, on every instruction set."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from tests.docstring_examples import NEEDS, Checker, examples, missing, modules, report


def test_examples_in_docstrings(
    folder: Path, monkeypatch: pytest.MonkeyPatch, subtests: pytest.Subtests
) -> None:
    monkeypatch.setenv("MPLBACKEND", "agg")
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    shown = 0
    for name in modules():
        for test in examples(name):
            shown += 1
            with subtests.test(test.name):
                if package := missing(test):
                    pytest.skip(f"needs {package}")
                with np.printoptions():
                    problem = report(test)
                if needs := NEEDS.search(problem):
                    pytest.skip(needs.group(1))
                assert not problem, problem
    assert shown > 5


SAME = [
    ("array([0.25 , 1.  ])", "array([0.2501, 1.    ])"),
    ("0.1235", "np.float64(0.12354)"),
    ("2.95e-05", "2.951e-05"),
    ("loss 0.01, healthy", "loss 0.02, healthy"),
]
DIFFERENT = [
    ("array([0.25, 1.  ])", "array([0.25, 1.1 ])"),
    ("0.1235", "0.1251"),
    ("2.95e-05", "3.1e-05"),
    ("(3, 16)", "(3, 17)"),
    ("5", "5.0"),
    ("'healthy'", "'vanishing'"),
    ("array([0.25])", "array([0.25], dtype=float32)"),
    ("0.5", "nan"),
    ("-0.5", "0.5"),
]


def test_numbers_have_a_tolerance_and_words_have_none() -> None:
    checker = Checker()
    assert [pair for pair in SAME if not checker.check_output(*pair, 0)] == []
    assert [pair for pair in DIFFERENT if checker.check_output(*pair, 0)] == []
