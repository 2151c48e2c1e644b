"""Sizes that could be swapped without an error must be passed by name."""

from collections.abc import Callable

import numpy as np
import pytest

from bptt.data import Horizons, Ragged, Stream, TextStream, Windows
from bptt.estimators import Forecaster, SequenceClassifier, SequenceRegressor

SERIES = np.arange(50.0)

BY_POSITION: dict[str, Callable[[], object]] = {
    "Windows": lambda: Windows(SERIES, 5, 4),  # type: ignore[misc]
    "Windows, one of two": lambda: Windows(SERIES, 5, batch_size=4),  # type: ignore[misc]
    "Stream": lambda: Stream(SERIES, SERIES, 5, 4),  # type: ignore[misc]
    "TextStream": lambda: TextStream("abc" * 20, 5, 4),  # type: ignore[misc]
    "Ragged": lambda: Ragged([SERIES, SERIES], [0, 1], 2),  # type: ignore[misc]
    "Horizons": lambda: Horizons(SERIES, 5, 3, 4),  # type: ignore[misc]
    "Forecaster": lambda: Forecaster(3, 10),  # type: ignore[misc]
    "SequenceClassifier": lambda: SequenceClassifier("gru", 8, 2),  # type: ignore[misc]
    "SequenceRegressor": lambda: SequenceRegressor("gru", 8, 2),  # type: ignore[misc]
}

MISSING: dict[str, Callable[[], object]] = {
    "Windows": lambda: Windows(SERIES, steps=5),  # type: ignore[call-arg]
    "TextStream": lambda: TextStream("abc" * 20, batch_size=4),  # type: ignore[call-arg]
    "Ragged": lambda: Ragged([SERIES, SERIES], [0, 1]),  # type: ignore[call-arg]
    "Horizons": lambda: Horizons(SERIES, window=5, batch_size=4),  # type: ignore[call-arg]
}


@pytest.mark.parametrize("name", BY_POSITION)
def test_sizes_by_position_raise(name: str) -> None:
    with pytest.raises(TypeError, match="positional argument"):
        BY_POSITION[name]()


@pytest.mark.parametrize("name", MISSING)
def test_a_size_left_out_raises(name: str) -> None:
    with pytest.raises(TypeError, match="missing 1 required keyword-only argument"):
        MISSING[name]()
