"""Random calls that write and read a file of a model. Others change its bytes: test_checkpoint_files.py."""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from tests.fuzz.calls.models import a_container, a_model
from tests.fuzz.calls.target import Target
from tests.fuzz.draw import Draw

import bptt


def _preprocessing(draw: Draw) -> dict[Any, Any]:
    kinds: list[Callable[[], Any]] = [
        lambda: bptt.data.Standardize.fit(np.arange(8.0).reshape(4, 2)),
        lambda: bptt.data.Vocabulary("abc"),
    ]
    return {draw.choose("x", "y", "", 3): draw.arg(lambda: draw.choose(*kinds)()) for _ in range(2)}


def files(draw: Draw, name: str) -> object:
    """Save a model with drawn arguments, and read what the name says."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model"
        model = draw.choose(a_model, a_model, lambda d: a_container(d, "Parallel"))(draw)
        if model is None:
            return None
        bptt.save(
            path,
            draw.arg(lambda: draw.choose(model, model.freeze())),
            **draw.options(
                optimizer=lambda: draw.choose(None, bptt.Adam(0.1)),
                extra=lambda: {"a": draw.wild()},
                preprocessing=lambda: _preprocessing(draw),
            ),
        )
        if name == "save":
            return repr(bptt.load(str(path)))
        if name == "load":
            return bptt.load(draw.choose(path, folder, None, 0.5, [], Path(folder) / "other"))
        return bptt.load_preprocessing(draw.choose(path, path, path, folder, None, 0.5, []))


def header(draw: Draw, name: str) -> object:
    """Write a model as a C header with drawn arguments."""
    with tempfile.TemporaryDirectory() as folder:
        model = draw.choose(a_model, a_model, lambda d: a_container(d, "Parallel"))(draw)
        if model is None:
            return None
        path = Path(folder) / "model.h"
        bptt.export_c(
            draw.arg(lambda: draw.choose(model, model.freeze())),
            draw.choose(path, path, path, folder, None, 0.5, Path(folder) / "other" / "model.h"),
            **draw.options(
                name=lambda: draw.choose("a", "net_2", "2a", "int", ""),
                section=lambda: draw.choose(".flash", "", 'a"b'),
                math=lambda: draw.choose("inline", "libm"),
            ),
        )
        return path.read_text(encoding="ascii")


TARGETS: dict[str, Target] = dict.fromkeys(("save", "load", "load_preprocessing"), files) | {
    "export_c": header
}
