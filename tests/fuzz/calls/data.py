"""Random calls of data classes."""

from __future__ import annotations

import os
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
from tests.fuzz.calls.target import Target
from tests.fuzz.draw import Draw

import bptt


def arrays(draw: Draw) -> Any:
    N, T = draw.size(0 if draw.chance(0.1) else 1, 4), draw.size(0 if draw.chance(0.1) else 1, 3)
    per_step = draw.flag()
    rows = (N, T) if per_step else (N,)
    return bptt.data.Arrays(
        draw.arg(lambda: draw.choose(draw.numbers(N, T, 2), draw.numbers(N, T), draw.ids(3, N, T))),
        draw.arg(lambda: draw.choose(draw.ids(3, *rows), draw.numbers(*rows, 2))),
        **draw.options(
            batch_size=lambda: draw.size(1, 3),
            lengths=lambda: draw.rng.integers(0, T + 1, N),
            mask=lambda: draw.bools(*rows),
            weight=lambda: draw.rng.random(rows),
            per_step=lambda: draw.choose(None, per_step),
            shuffle=draw.flag,
            seed=lambda: draw.size(0, 5),
        ),
    )


def padding(draw: Draw, name: str) -> object:
    first = draw.options(batch_first=draw.flag)
    rows = [draw.arg(lambda: draw.numbers(draw.size(0, 4), 2)) for _ in range(draw.size(0, 3))]
    x, lengths = bptt.data.pad(draw.arg(lambda: rows), **first)
    if name == "pad":
        return x
    return bptt.data.unpad(draw.arg(lambda: x), draw.arg(lambda: lengths), **first)


def a_table(draw: Draw) -> Any:
    """A table of pandas with a time column and groups; an array where pandas is not installed."""
    N = draw.size(0, 12)
    if find_spec("pandas") is None:
        return draw.numbers(N, 2)
    pandas = import_module("pandas")
    days = pandas.date_range("2020-01-01", periods=N).to_series(index=range(N))
    return pandas.DataFrame(
        {
            "date": draw.choose(days, days[::-1].to_numpy(), np.arange(N)),
            "shop": draw.rng.integers(0, 2, N),
            "a": np.asarray(draw.numbers(N), "f8"),
            draw.choose("b", 3, ("x", "y")): draw.choose(np.arange(N) * 1.0, ["text"] * N),
        }
    )


def tables(draw: Draw, name: str) -> object:
    """Tables with names of columns."""
    table = draw.arg(lambda: a_table(draw))
    names = draw.options(time=lambda: draw.choose("date", None), group=lambda: draw.choose("shop", None))
    if name == "split.table":
        return bptt.data.split(table, **names)
    if name == "Standardize.table":
        scaling = bptt.data.Standardize.fit(
            table, **draw.options(columns=lambda: draw.choose(["a"], ["a", "b"]))
        )
        return scaling.undo(scaling.apply(draw.arg(lambda: table)), **draw.options(columns=lambda: ["a"]))
    small = lambda: draw.size(1, 3)  # noqa: E731
    return list(
        bptt.data.Horizons(
            table,
            window=draw.arg(small),
            horizon=draw.arg(small),
            batch_size=2,
            **names,
            **draw.options(
                target=lambda: draw.choose("a", ["a"], ["a", "b"]),
                columns=lambda: draw.choose(["a"], ["a", "a"], ["a", "b"]),
                scaling=lambda: bptt.data.Standardize.fit(table),
            ),
        )
    )


def data(draw: Draw, name: str) -> object:
    count, small = draw.size(0, 12), (lambda: draw.size(1, 3))
    series = draw.arg(lambda: draw.choose(draw.numbers(count), draw.numbers(count, 2)))
    shuffle = {"shuffle": draw.flag, "seed": lambda: draw.size(0, 5)}
    made: Any
    if name == "Windows":
        made = bptt.data.Windows(
            series,
            steps=draw.arg(small),
            batch_size=draw.arg(small),
            **draw.options(ahead=small, stride=small, last=draw.flag, **shuffle),
        )
    elif name == "Horizons":
        several = draw.arg(lambda: draw.choose(series, [draw.numbers(draw.size(0, 9)) for _ in range(2)]))
        made = bptt.data.Horizons(
            several,
            window=draw.arg(small),
            horizon=draw.arg(small),
            batch_size=draw.arg(small),
            **draw.options(**shuffle),
        )
    elif name == "Stream":
        target = draw.options(target=lambda: draw.choose(None, draw.numbers(count)), ahead=small)
        made = bptt.data.Stream(series, steps=draw.arg(small), batch_size=draw.arg(small), **target)
    elif name == "Ragged":
        rows = [draw.arg(lambda: draw.numbers(draw.size(0, 4), 2)) for _ in range(draw.size(0, 3))]
        targets = draw.arg(lambda: [draw.arg(lambda: 1) for _ in rows])
        made = bptt.data.Ragged(
            draw.arg(lambda: rows),
            targets,
            batch_size=draw.arg(small),
            **draw.options(
                per_step=draw.flag, pool=small, weight=lambda: draw.rng.random(len(rows)), **shuffle
            ),
        )
    elif name == "Arrays":
        made = arrays(draw)
    elif name in ("pad", "unpad"):
        return padding(draw, name)
    elif name == "TextStream":
        text = draw.arg(lambda: draw.choose("abcabcabcabc", "a" * 30, "", "äöü" * 9))
        if isinstance(text, (str, bytes, os.PathLike)) and len(os.fspath(text)) < 10:
            return None  # a path: other tests are about files
        made = bptt.data.TextStream(text, batch_size=draw.arg(small), steps=draw.arg(small))
    elif name == "Vocabulary":
        vocabulary = bptt.data.Vocabulary(draw.arg(lambda: "abc"))
        return vocabulary.decode(draw.arg(lambda: vocabulary.encode(draw.arg(lambda: "cab"))))
    elif name == "Batches":
        made = bptt.data.Batches(
            draw.arg(lambda: draw.choose(lambda: [1], lambda epoch, rng: [epoch])),
            **draw.options(carries_state=draw.flag, length=small, seed=small),
        )
    elif name == "Prefetch":
        made = bptt.data.Prefetch(draw.arg(lambda: [1, 2]), **draw.options(count=small))
    elif name == "Shard":
        batch = (draw.numbers(2, 3, 4), draw.ids(2, 2, 3))
        made = bptt.data.Shard(
            draw.arg(lambda: [draw.arg(lambda: batch)]),
            draw.arg(lambda: None),
            **draw.options(batch_first=draw.flag),
        )
    elif name == "split":
        share = lambda: draw.choose(0.0, 0.1, 0.4)  # noqa: E731
        return bptt.data.split(series, **draw.options(validation=share, test=share, context=small))
    else:
        scaling = bptt.data.Standardize.fit(series)
        scaling.undo(draw.arg(lambda: scaling.apply(draw.arg(lambda: series))))
        return bptt.data.Standardize(
            **{name: draw.arg(lambda v=v: v) for name, v in scaling.to_dict().items()}
        )  # type: ignore[misc]
    return list(made)


TARGETS: dict[str, Target] = {
    **dict.fromkeys(("Windows", "Horizons", "Stream", "Ragged", "TextStream", "Vocabulary"), data),
    **dict.fromkeys(("Batches", "Prefetch", "Shard", "split", "Standardize"), data),
    **dict.fromkeys(("Arrays", "pad", "unpad"), data),
    **dict.fromkeys(("Horizons.table", "split.table", "Standardize.table"), tables),
}
