"""The kind "silently another axis": a pair of layers is right, or refused with the fix, or warned of once."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import pytest

import bptt

H = 4  # every layer reads H numbers a step, or ids below H

PARTS: dict[str, Callable[[], bptt.Module]] = {
    "forward": lambda: bptt.LSTM(H, H, seed=0),
    "both": lambda: bptt.GRU(H, H // 2, bidirectional=True, seed=1),
    "Linear": lambda: bptt.Linear(H, H, seed=2),
    "Embedding": lambda: bptt.Embedding(H, H, seed=3),
    "Dropout": lambda: bptt.Dropout(0.5, seed=4),
    "Last": bptt.Last,
    "Ends": bptt.Ends,
    "MeanPool": bptt.MeanPool,
    "Repeat": lambda: bptt.Repeat(2),
    "LayerNorm": lambda: bptt.LayerNorm(H),
    "Tanh": bptt.Tanh,
}

ONE_VECTOR = ("Last", "Ends", "MeanPool")
MOVE = "Fix: move {end}() after the last recurrent layer"
REFUSED = {
    **{(end, cell): MOVE.format(end=end) for end in ONE_VECTOR for cell in ("forward", "both")},
    **{(end, last): f"Fix: remove {last}()" for end in ONE_VECTOR for last in ONE_VECTOR},
    **{(cell, "Repeat"): "Fix: put Last() between them" for cell in ("forward", "both", "Repeat")},
    ("Repeat", "Ends"): "got Ends after Repeat, which has no directions",
    **{(first, "Embedding"): "Fix: put Embedding before" for first in PARTS},
    ("forward", "Ends"): "Fix: use Last() in place of Ends()",
    ("Linear", "Ends"): "Fix: put Ends() right after a bidirectional layer, or use Last()",
    ("Embedding", "Ends"): "Fix: put Ends() right after a bidirectional layer, or use Last()",
}
WARNED = {("both", "Last"): "Fix: use Ends() right after GRU"}
LONGER = {
    ("forward", "Last", "Linear", "forward"): MOVE.format(end="Last"),
    ("both", "Ends", "Dropout", "both"): MOVE.format(end="Ends"),
    ("both", "Linear", "Ends"): "Fix: put Ends() ",
    ("both", "forward", "Ends"): "Fix: use Last() in place of Ends()",
    ("forward", "Dropout", "Ends"): "Fix: use Last() in place of Ends()",
    ("forward", "Tanh", "LayerNorm", "Ends"): "Fix: use Last() in place of Ends()",
}
WARNED_LONGER = {
    ("both", "Dropout", "Last"): "Fix: use Ends() right after GRU",
    ("both", "Linear", "Last", "Linear"): "Fix: use Ends() right after GRU",
    ("forward", "both", "Last"): "Fix: use Ends() right after GRU",
}
RIGHT = [
    ("both", "Dropout", "Ends", "Linear"),
    ("both", "forward", "Last", "Linear"),
    ("Embedding", "both", "forward", "both", "Ends", "Dropout", "Linear"),
    ("both", "Tanh", "MeanPool", "LayerNorm"),
    ("forward", "Last", "Repeat", "both", "Linear"),
    ("forward", "MeanPool", "Linear", "Repeat", "forward", "Tanh", "Last"),
    ("Dropout", "Ends"),  # what comes in may be a bidirectional layer's output
]
PAIRS = [(first, second) for first in PARTS for second in PARTS]
ALL = [*PAIRS, *LONGER, *WARNED_LONGER, *RIGHT]


def build(names: tuple[str, ...]) -> bptt.Sequential:
    return bptt.Sequential(*(PARTS[name]() for name in names))


def nested(names: tuple[str, ...]) -> bptt.Sequential:
    first, *others = (PARTS[name]() for name in names)
    return bptt.Sequential(bptt.Sequential(first), bptt.Sequential(*others))


def rows_are_independent(model: bptt.Sequential, names: tuple[str, ...]) -> bool:
    """Each row alone gives what it gives in the batch, so no layer takes rows for steps."""
    rng = np.random.default_rng(0)
    ids, numbers = rng.integers(0, H, (5, 3)), rng.standard_normal((5, 3, H)).astype(np.float32)
    x = ids if names[0] == "Embedding" else numbers
    batch_axis = 1
    if "Repeat" in names and not set(ONE_VECTOR) & set(names[: names.index("Repeat")]):
        x, batch_axis = x[0], 0  # one vector per row
    y, _ = model(x)
    for row in range(3):
        alone, _ = model(np.take(x, [row], batch_axis))
        if not np.allclose(alone[..., 0, :], y[..., row, :], atol=1e-6):
            return False
    return True


@pytest.mark.parametrize("make", [build, nested])
def test_kind_joins_are_right_or_refused_or_warned_of(make, subtests):
    for names in ALL:
        with subtests.test("-".join(names)):
            check_a_join(names, make)


def check_a_join(names, make):
    refused, warned = (REFUSED | LONGER).get(names), (WARNED | WARNED_LONGER).get(names)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        if refused is not None:
            with pytest.raises(ValueError, match="layers must ") as error:
                make(names)
            assert refused in str(error.value)
        else:
            assert rows_are_independent(make(names), names)
    assert [str(warning.message).count(warned or "") for warning in caught] == ([1] if warned else [])


@pytest.mark.parametrize("names", [("both", "Last"), ("forward", "both", "Dropout", "Last", "Linear")])
def test_kind_joins_warn_where_the_model_is_built_and_not_again(names, tmp_path):
    with pytest.warns(UserWarning, match="use Ends") as caught:
        model = build(names)
    assert [warning.filename for warning in caught] == [__file__]
    bptt.save(tmp_path / "m", model)
    for again in (
        bptt.load(tmp_path / "m"),
        bptt.reference.like(model),
        bptt.Sequential.from_config(model.config()),
    ):
        assert [layer.kind for layer in again] == [layer.kind for layer in model]


def test_kind_joins_of_dropout_in_one_layer():
    for kind in (bptt.RNN, bptt.LSTM, bptt.GRU, bptt.MGU, bptt.reference.LSTM):
        with pytest.warns(UserWarning, match=r"dropout=0.5 does nothing in one layer") as caught:
            layer = kind(2, 3, dropout=0.5)
        assert [warning.filename for warning in caught] == [__file__]
    assert bptt.reference.like(layer).dropout == 0.5
    assert type(layer).from_config(layer.config()).dropout == 0.5
    bptt.LSTM(2, 3, 2, dropout=0.5)


def test_kind_joins_with_a_layer_of_the_users_own():
    """Nobody knows what it returns: nothing is refused after it."""

    class Repeat(bptt.Last):
        pass

    class Own(bptt.Module):
        def __init__(self) -> None:
            super().__init__("float32", None)
            self.allocate()

        def __call__(self, x, state=None):
            return np.stack([x, x]), None

        def forward(self, x, state=None):
            raise NotImplementedError

        def backward(self, tape, dy=None, dstate=None, *, need_dx=True):
            raise NotImplementedError

        def config(self):
            return {}

    with pytest.raises(ValueError, match="Fix: move Repeat"):
        bptt.Sequential(bptt.LSTM(2, 3), Repeat(), bptt.LSTM(3, 3))
    model = bptt.Sequential(bptt.LSTM(2, 3), bptt.Last(), Own(), bptt.LSTM(3, 3))
    assert model(np.ones((5, 4, 2)))[0].shape == (2, 4, 3)
