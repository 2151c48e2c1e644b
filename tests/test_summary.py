"""`model.summary()`: its numbers are those of the parameters, the products and the core's tape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tests.cells import CELLS, build

import bptt

COLUMNS = ("layer", "output", "parameters", "multiply-adds", "tape bytes")


def table(model: bptt.Module, *sizes: Any) -> dict[str, tuple[str, int, int, str]]:
    """The rows of a summary by their names: output, parameters, multiply-adds, tape bytes."""
    lines = model.summary(*sizes).splitlines()
    starts = [lines[0].index(name) for name in COLUMNS[:2]]
    rows: dict[str, tuple[str, int, int, str]] = {}
    for line in lines[2:-1]:
        if set(line) == {"-"}:
            continue
        name, rest = line[: starts[1]].strip(), line[starts[1] :].replace(" (fixed)", "")
        *shape, parameters, products, tape = rest.replace(",", "").split()
        rows[name] = (" ".join(shape), int(parameters), int(products), tape)
    return rows


def test_what_it_prints() -> None:
    model = bptt.Sequential(bptt.Embedding(50, 8), bptt.LSTM(8, 16), bptt.Linear(16, 50))
    model[0].trainable = False
    assert model.summary(T=20, B=4) == (
        "layer               output        parameters  multiply-adds  tape bytes\n"
        "-----------------------------------------------------------------------\n"
        "model[0] Embedding  (20, 4, 8)   400 (fixed)              0       2,560\n"
        "model[1] LSTM       (20, 4, 16)        1,664        122,880      31,744\n"
        "model[2] Linear     (20, 4, 50)          850         64,000      16,000\n"
        "-----------------------------------------------------------------------\n"
        "total                                  2,914        186,880      50,304\n"
        "for 20 steps of 4 rows"
    )
    step = model.summary()
    assert "model[1] LSTM       (T, 1, 16)" in step
    assert step.endswith("for each step of 1 row")
    assert table(model)["total"][2] * 20 * 4 == table(model, 20, 4)["total"][2]


OPTIONS: list[dict[str, Any]] = [
    {},
    {"num_layers": 3, "dropout": 0.3},
    {"num_layers": 2, "bidirectional": True, "bias": False},
    {"layer_norm": True},
    {"zoneout": 0.2, "recurrent_dropout": 0.1},
    {"batch_first": True, "dtype": "float64"},
]


@pytest.mark.parametrize("cell", CELLS)
def test_recurrent_layers(cell: str, subtests: pytest.Subtests) -> None:
    """The tape bytes are those of the core's tape, for any number of threads."""
    threads = bptt.get_num_threads()
    for options in OPTIONS:
        with subtests.test(options=options):
            layer = build(cell, 5, 17, seed=0, **options)
            for T, B in ((1, 1), (2, 3), (37, 24)):
                x = np.zeros((B, T, 5) if layer.batch_first else (T, B, 5))
                for count in (1, 2):
                    bptt.set_num_threads(count)
                    (row, total) = table(layer, T, B).values()
                    tape = layer.forward(x)[2]
                    assert int(row[3]) == tape.core.nbytes
                bptt.set_num_threads(threads)
                y, _ = layer(x)
                assert row[0] == str(y.shape).replace(",", "")
                assert row[1] == total[1] == layer.parameter_count
                weights = [view for name, view in layer.parameters.items() if name.startswith("weight")]
                assert row[2] == T * B * sum(view.size for view in weights)


MODELS: dict[str, tuple[Callable[[], bptt.Module], dict[str, str]]] = {
    "one output per row": (
        lambda: bptt.Sequential(bptt.GRU(3, 4), bptt.Dropout(0.1), bptt.Last(), bptt.Linear(4, 2)),
        {
            "model[0] GRU": "(9 5 4)",
            "model[1] Dropout": "(9 5 4)",
            "model[2] Last": "(5 4)",
            "model[3] Linear": "(5 2)",
        },
    ),
    "batch first": (
        lambda: bptt.Sequential(bptt.GRU(3, 4, batch_first=True), bptt.Linear(4, 2)),
        {"model[0] GRU": "(5 9 4)", "model[1] Linear": "(5 9 2)"},
    ),
    "static": (
        lambda: bptt.Sequential(
            bptt.Parallel(a=bptt.Sequential(bptt.GRU(3, 4), bptt.Last()), b=bptt.Linear(7, 3)),
            bptt.Linear(7, 2),
        ),
        {
            "model[0]['a'][0] GRU": "(9 5 4)",
            "model[0]['a'][1] Last": "(5 4)",
            "model[0]['b'] Linear": "(5 3)",
            "model[1] Linear": "(5 2)",
        },
    ),
    "encoder and decoder": (
        lambda: bptt.EncoderDecoder(bptt.LSTM(3, 4), bptt.Sequential(bptt.LSTM(2, 4), bptt.Linear(4, 6))),
        {
            "model['encoder'] LSTM": "(9 5 4)",
            "model['decoder'][0] LSTM": "(9 5 4)",
            "model['decoder'][1] Linear": "(9 5 6)",
        },
    ),
    "autoencoder": (
        lambda: bptt.Sequential(bptt.GRU(3, 4), bptt.Last(), bptt.Repeat(2), bptt.GRU(4, 3)),
        {
            "model[0] GRU": "(9 5 4)",
            "model[1] Last": "(5 4)",
            "model[2] Repeat": "(2 5 4)",
            "model[3] GRU": "(2 5 3)",
        },
    ),
    "from one vector": (
        lambda: bptt.Sequential(
            bptt.Linear(3, 4), bptt.Repeat(3), bptt.GRU(4, 3), bptt.LayerNorm(3), bptt.Tanh()
        ),
        {
            "model[0] Linear": "(5 4)",
            "model[1] Repeat": "(3 5 4)",
            "model[2] GRU": "(3 5 3)",
            "model[3] LayerNorm": "(3 5 3)",
            "model[4] Tanh": "(3 5 3)",
        },
    ),
    "rows first": (
        lambda: bptt.Sequential(
            bptt.Embedding(6, 3), bptt.GRU(3, 4, batch_first=True), bptt.Last(batch_first=True)
        ),
        {"model[0] Embedding": "(5 9 3)", "model[1] GRU": "(5 9 4)", "model[2] Last": "(5 4)"},
    ),
    "dropout first": (
        lambda: bptt.Sequential(bptt.Dropout(0.1), bptt.Sequential(bptt.Tanh(), bptt.GRU(3, 4)), bptt.Last()),
        {
            "model[0] Dropout": "(9 5 3)",
            "model[1][0] Tanh": "(9 5 3)",
            "model[1][1] GRU": "(9 5 4)",
            "model[2] Last": "(5 4)",
        },
    ),
    "repeat first": (
        lambda: bptt.Sequential(bptt.Repeat(3), bptt.GRU(3, 4)),
        {"model[0] Repeat": "(3 5 3)", "model[1] GRU": "(3 5 4)"},
    ),
    "one input for several layers": (
        lambda: bptt.Sequential(bptt.MaxPool(), bptt.Parallel(a=bptt.Linear(3, 2), b=bptt.Linear(3, 1))),
        {
            "model[0] MaxPool": "(5 3)",
            "model[1]['a'] Linear": "(5 2)",
            "model[1]['b'] Linear": "(5 1)",
        },
    ),
    "no time": (
        lambda: bptt.Sequential(bptt.Linear(3, 4), bptt.Linear(4, 2)),
        {"model[0] Linear": "(5 4)", "model[1] Linear": "(5 2)"},
    ),
}


def test_models(subtests: pytest.Subtests) -> None:
    for name, (make, shapes) in MODELS.items():
        with subtests.test(name):
            model = make()
            before = model.flat_parameters.copy()
            rows = table(model, 9, 5)
            total = rows.pop("total")
            assert {place: row[0] for place, row in rows.items()} == shapes
            assert total[1] == sum(row[1] for row in rows.values()) == model.parameter_count
            assert total[2] == sum(row[2] for row in rows.values())
            for place, row in rows.items():
                if name in ("autoencoder", "from one vector") and place in ("model[2] GRU", "model[3] GRU"):
                    steps = int(row[0].strip("()").split()[0])
                    tape = bptt.GRU(4, 3).forward(np.zeros((steps, 5, 4)))[2]
                    assert int(row[3]) == tape.core.nbytes
            assert int(total[3]) == sum(int(row[3]) for row in rows.values())
            assert np.array_equal(model.flat_parameters, before)
    linear = table(bptt.Sequential(bptt.GRU(3, 4), bptt.Last(), bptt.Linear(4, 2)), 9, 5)["model[2] Linear"]
    assert linear[1:] == (10, 5 * 8, str(5 * 2 * 4))


def test_it_changes_no_random_state() -> None:
    first, second = (
        bptt.LSTM(3, 4, 2, dropout=0.5, zoneout=0.1, recurrent_dropout=0.1, seed=0) for _ in range(2)
    )
    first.summary(T=5)
    x = np.ones((4, 2, 3))
    assert np.array_equal(first.forward(x)[0], second.forward(x)[0])


def test_errors_and_other_backends() -> None:
    layer = bptt.GRU(3, 4)
    for sizes in ((0,), (3, 0)):
        with pytest.raises(ValueError, match="must be an int >= 1"):
            layer.summary(*sizes)
    with pytest.raises(TypeError, match="T must be an int"):
        layer.summary(2.5)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="begin the model with a recurrent layer"):
        bptt.Sequential(bptt.Dropout(0.1), bptt.Tanh()).summary()
    assert table(bptt.reference.like(layer))["total"][3] == "unknown"
