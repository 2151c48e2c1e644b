"""Kind of fault: a message that names another cause than the real one, or the raw error of a library."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.cli import main
from bptt.data import Batches, Standardize, Windows, split

SERIES = np.sin(np.arange(60) / 5)
TWO = Standardize([1.0, 2.0], [1.0, 1.0], columns=[10, "a"])


def trainer() -> bptt.Trainer:
    model = bptt.Sequential(bptt.LSTM(1, 2), bptt.Linear(2, 1))
    return bptt.Trainer(model, bptt.MeanSquaredError(), bptt.Adam(1e-3), progress=False)


def nested_and_trained() -> bptt.Sequential:
    model = bptt.Sequential(bptt.Linear(2, 2), bptt.GRU(2, 2))
    model.parameters["1.weight_hh_l0"][:] = 1
    return model


CASES: dict[str, tuple[Callable[[], Any], type[Exception], str]] = {
    "a class as layer": (
        lambda: bptt.Sequential(bptt.LSTM(1, 2), bptt.Last),  # type: ignore[arg-type]
        TypeError,
        "got the class Last at 1. Fix: pass an object, Last(...).",
    ),
    "a class that is no initialiser": (
        lambda: bptt.RNN(2, 3, init=int),  # type: ignore[arg-type]
        TypeError,
        "or a callable(name, shape, rng); got <class 'int'>. Fix: pass init=\"default\".",
    ),
    "an initialiser's class": (
        lambda: bptt.RNN(2, 3, init=bptt.init.sparse),  # type: ignore[arg-type]
        TypeError,
        "init must be an initialiser; got the class sparse. Fix: call it, init=sparse().",
    ),
    "a trained layer in a nested model": (
        lambda: bptt.Sequential(bptt.Linear(1, 2), bptt.Dropout(0.1), nested_and_trained(), seed=0),
        ValueError,
        "got GRU at model[2][1] with parameters that were trained, loaded or copied.",
    ),
    "a copy in a model": (
        lambda: bptt.Sequential(bptt.Linear(1, 2), copy.copy(bptt.GRU(2, 2))).initialise(
            np.random.default_rng(0)
        ),
        ValueError,
        "layers must be newly built to be initialised; got a copy, GRU at model[1]. Fix: build a new model.",
    ),
    "an infinite number": (
        lambda: bptt.Adam(1e-3, lr_factors={"*": np.inf}),
        ValueError,
        "lr_factors['*'] must be a finite number >= 0; got inf. Fix: pass a number in this range.",
    ),
    "an index for an int label": (
        lambda: TWO.take([10]),
        ValueError,
        "each index in columns must be an int >= -2 and <= 1; got 10.",
    ),
    "a label of two columns": (
        lambda: Standardize([1.0, 2.0], [1.0, 1.0], columns=["a", "a"]).take(["a"]),
        ValueError,
        "columns must name one column each; got 'a', the label of several columns.",
    ),
    "NaN in one column": (
        lambda: Standardize.fit(np.array([[1.0, 2.0], [3.0, np.nan]])),
        ValueError,
        "column 1 has none",
    ),
    "no model": (lambda: bptt.Adam(1e-3, lr_factors={"*": 0}).fixed(3), TypeError, "model must be a layer"),  # type: ignore[arg-type]
    "Auto for auto": (
        lambda: bptt.ClipNorm("Auto"),  # type: ignore[arg-type]
        TypeError,
        "max_norm must be a number > 0 or \"auto\"; got 'Auto'.",
    ),
    "no path to load": (lambda: bptt.load(None), TypeError, "path must be a str or os.PathLike; got None."),  # type: ignore[arg-type]
    "no path to save": (
        lambda: bptt.save(3, bptt.Linear(1, 1)),  # type: ignore[arg-type]
        TypeError,
        "path must be a str or os.PathLike; got 3.",
    ),
    "many series to split": (
        lambda: split([SERIES] * 20),
        TypeError,
        "series must be one series; got a list of arrays. Fix: split each",
    ),
    "series of other lengths to split": (
        lambda: split([SERIES, SERIES[:9]]),  # type: ignore[list-item]
        TypeError,
        "series must be one series; got a list of arrays.",
    ),
    "many series in windows": (
        lambda: Windows([SERIES] * 20, steps=5, batch_size=4),
        TypeError,
        "series must be one series; got a list of arrays.",
    ),
    "no batches": (
        lambda: trainer().fit(Batches(lambda epoch, rng: []), epochs=1),
        ValueError,
        "got none in epoch 0. Fix: pass at least one batch.",
    ),
    "no batches to measure": (lambda: trainer().measure([]), ValueError, "Fix: pass at least one batch"),
    "int8 on the reference": (
        lambda: bptt.reference.like(bptt.LSTM(2, 3, precision="bfloat16")).freeze("int8"),
        ValueError,
        "Fix: call freeze(precision='int8') of a compiled layer or model.",
    ),
    "a layer of the reference in int8": (
        lambda: bptt.reference.GRU(2, 3, precision="int8"),
        ValueError,
        "Fix: call freeze(precision='int8') of a compiled layer or model.",
    ),
    "int8 of a model on the reference": (
        lambda: bptt.reference.like(nested_and_trained()).freeze("int8"),
        ValueError,
        "Fix: freeze a layer or model of dtype='float32'.",
    ),
    "bfloat16 of a layer in float64": (
        lambda: bptt.GRU(2, 3, dtype="float64").stream(1, "bfloat16"),
        ValueError,
        "Fix: freeze a layer or model of dtype='float32'.",
    ),
    "a file of a rounding copy": (
        lambda: bptt.save("none", bptt.reference.like(bptt.Linear(2, 3, precision="bfloat16"))),
        ValueError,
        "got Linear with 'bfloat16'. Fix: save a compiled model in float32.",
    ),
    "a file of a frozen copy": (
        lambda: bptt.save("none", bptt.reference.LSTM(2, 3).freeze("bfloat16")),
        ValueError,
        "got LSTM with 'bfloat16'. Fix: save a compiled model in float32.",
    ),
    "a precision for the batch size": (
        lambda: nested_and_trained().stream("int8"),  # type: ignore[arg-type]
        TypeError,
        "got 'int8'. Fix: pass the precision by name, stream(precision='int8').",
    ),
    "a precision as dtype": (
        lambda: bptt.LSTM(2, 3, dtype="bfloat16"),
        ValueError,
        'Fix: leave dtype out, and pass precision="bfloat16" to layers with products.',
    ),
    "an integer as dtype": (
        lambda: bptt.LSTM(2, 3, dtype=np.int8),
        ValueError,
        'Fix: leave dtype out, and call layer.freeze(precision="int8") for inference.',
    ),
    "an array of precisions": (
        lambda: bptt.LSTM(2, 3, precision=np.array(["int8", "a"])),  # type: ignore[arg-type]
        TypeError,
        "precision must be 'highest' or 'bfloat16'; got an array of shape (2,)",
    ),
    "an option of a frozen layer": (
        lambda: bptt.Linear(2, 3).freeze("int8")(np.ones((4, 2)), lengths=[1]),
        TypeError,
        "lengths must be None, because Linear does not accept it; got [1]. Fix: leave it out.",
    ),
    "an option of another frozen layer": (
        lambda: bptt.Embedding(2, 3).freeze().error([1], skip=[True]),
        TypeError,
        "skip must be None, because Embedding does not accept it; got [True]. Fix: leave it out.",
    ),
    "a method of a frozen layer": (
        lambda: bptt.GRU(2, 3).freeze().freeze("int8"),
        AttributeError,
        "Fix: use frozen.layer.freeze; frozen.layer is a copy of the layer",
    ),
    "no attribute": (
        lambda: bptt.GRU(2, 3).freeze().unknown,
        AttributeError,
        "a Frozen has no attribute 'unknown'",
    ),
    "braces in a path": (
        lambda: bptt.Checkpoint("run-{date}.safetensors"),
        ValueError,
        "Fix: write {{ and }} for braces that belong to the name.",
    ),
}


def test_message_names_the_cause(subtests: pytest.Subtests) -> None:
    for name in CASES:
        with subtests.test(name):
            call, error, message = CASES[name]
            with pytest.raises(error, match=re.escape(message)):
                call()


@pytest.mark.parametrize("bad", ["1.0,2.0,3.0", "1.0"])
def test_one_line_of_another_width_is_no_preamble(
    bad: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"{i / 7},{i % 5}" for i in range(60)]
    for top in ([], ["made by a logger"]):
        path = tmp_path / "log.csv"
        path.write_text("\n".join([*top, "a,b", *rows[:30], bad, *rows[30:]]) + "\n")
        assert main(["train", "csv", str(path), "--target", "a"]) == 1
        message = capsys.readouterr().err
        assert "lines above the table" not in message
        assert "Fix: correct that line" in message
    path.write_text("\n".join(["made by a logger", "a,b", *rows]) + "\n")
    options = ["--target", "a", "--epochs", "1", "--model", str(tmp_path / "model")]
    assert main(["train", "csv", str(path), *options]) == 0
    assert "the first row in line 2 (--skip)" in capsys.readouterr().err


def test_a_window_longer_than_the_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "log.csv"
    path.write_text("a,b\n" + "".join(f"{i / 7},{i % 5}\n" for i in range(60)))
    assert main(["train", "csv", str(path), "--target", "a", "--window", "500"]) == 1
    assert "must have more rows for --window 500 and three parts; got 60" in capsys.readouterr().err


def test_forecaster_names_what_it_got() -> None:
    pytest.importorskip("sklearn")
    from bptt.estimators import Forecaster

    forecaster = Forecaster(horizon=3, window=10, epochs=1, hidden_size=2)
    for X in ({"a": SERIES}, (one for one in (SERIES, SERIES)), None):
        with pytest.raises(TypeError, match="X must be a series or a list of series; got"):
            forecaster.fit(X)
    with pytest.raises(ValueError, match="series 1 of X must hold at least 13 steps"):
        forecaster.fit([SERIES, SERIES[:5]])


def test_dates_that_come_twice_are_not_to_be_sorted() -> None:
    pandas = pytest.importorskip("pandas")
    dates = list(pandas.date_range("2020", periods=30))
    with pytest.raises(ValueError, match="Fix: pass a list of series: repeated dates look like"):
        split(pandas.DataFrame({"load": SERIES}, index=dates * 2))
    with pytest.raises(ValueError, match=r"Fix: pass series.sort_index\(\)"):
        split(pandas.DataFrame({"load": SERIES[:30]}, index=dates[::-1]))
