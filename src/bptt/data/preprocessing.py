"""Read the preprocessing that a model's file holds."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any, TypeAlias

from bptt.data.scaling import Standardize
from bptt.data.text import Vocabulary
from bptt.files.checkpoint import Saved, read_checkpoint

Preprocessing: TypeAlias = "Standardize | Vocabulary"

_CLASSES: dict[str, type[Standardize] | type[Vocabulary]] = {
    "Standardize": Standardize,
    "Vocabulary": Vocabulary,
}


def load_preprocessing(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Return the preprocessing that was saved with a model, by name.

    Parameters
    ----------
    path : str or os.PathLike
        File that `bptt.save`, `Trainer.save` or a `Checkpoint` has written.

    Returns
    -------
    dict of str to Standardize or Vocabulary
        Empty if the file holds no preprocessing.

    Raises
    ------
    TypeError, CheckpointError, OSError
        As `bptt.load`.

    Examples
    --------
    >>> import bptt
    >>> scaling = bptt.data.Standardize(mean=[2.0], scale=[5.0])
    >>> bptt.save("load.safetensors", bptt.GRU(1, 8), preprocessing={"x": scaling})
    >>> bptt.load_preprocessing("load.safetensors")["x"].apply([[7.0]])
    array([[1.]], dtype=float32)
    """
    return preprocessing_of(read_checkpoint(path))


def preprocessing_of(saved: Saved) -> dict[str, Preprocessing]:
    """Return the preprocessing of a file that was read, by name."""
    return as_preprocessing(saved.preprocessing)


def as_preprocessing(described: Mapping[str, dict[str, Any]]) -> dict[str, Preprocessing]:
    """Return the preprocessing that a file describes, by name. The description must have been checked."""
    return {name: _CLASSES[entry["kind"]].from_dict(_arguments(entry)) for name, entry in described.items()}


def _arguments(entry: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in entry.items() if name != "kind"}
