"""Save a model to one safetensors file, alone or with the state of its training.

The file contains no pickle, so loading executes no code. A file is never half-written. The tensors have the
names of the parameters. The metadata hold a JSON text under "bptt". This text has the format, the version,
the kind and configuration of the model, the kind and step of the optimizer, and the caller's extra values.
Files of `Trainer.save` also hold the position of the training run. "sha256" is a checksum of this text and of
all tensors.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import safetensors
import safetensors.numpy

from bptt._version import __version__
from bptt.arguments import short
from bptt.files import atomic as files
from bptt.files.checkpoint_header import (
    FORMAT,
    OPTIMIZER,
    TRAINING,
    build_model,
    byte_size,
    parse_about,
    parse_frozen,
    read_header,
    set_trainable,
)
from bptt.files.checkpoint_header import CheckpointError as CheckpointError
from bptt.files.int8_tensors import shorten, widen
from bptt.files.packing import pack, unpack
from bptt.files.preprocessing import check_preprocessing, describe_preprocessing
from bptt.files.schema import COUNT_LIMIT, Check, record, text, whole
from bptt.files.validate_training import Training, validate_training
from bptt.layers import Module
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.passes.frozen import Frozen
from bptt.optim.optimizer import Optimizer


@dataclass(frozen=True)
class Saved:
    """Contents of a checkpoint.

    Attributes
    ----------
    model : Module
        Model with the saved parameters.
    optimizer : dict or None
        State for `Optimizer.load_state_dict`; None if no optimizer was saved.
    extra : dict
        Extra values that the caller saved.
    training : Training or None
        State of the training run for `Trainer.resume`, checked by `validate_training`. None if only a model
        was saved.
    preprocessing : dict
        JSON values of the preprocessing, checked, for `bptt.load_preprocessing`.
    frozen : bool
        Whether a frozen model was saved. `model` is the model before `freeze()`.
    precision : str or None
        The argument of `freeze`.

    Examples
    --------
    >>> import bptt
    >>> bptt.save("model.safetensors", bptt.LSTM(3, 8).freeze())
    >>> saved = bptt.files.read_checkpoint("model.safetensors")
    >>> saved.frozen, saved.optimizer, saved.extra
    (True, None, {})
    """

    model: Module
    optimizer: dict[str, Any] | None
    extra: dict[str, Any]
    training: Training | None = None
    preprocessing: dict[str, dict[str, Any]] = field(default_factory=dict)
    frozen: bool = False
    precision: str | None = None


def save(
    path: str | os.PathLike[str],
    model: Module | Frozen[Any],
    *,
    optimizer: Optimizer | None = None,
    extra: Mapping[str, Any] | None = None,
    preprocessing: Mapping[str, Any] | None = None,
) -> None:
    """Write a model to one file, completely or not at all.

    The bytes go to a temporary file in the same folder, are flushed to the disk and read back as
    `read_checkpoint` does. Only then the temporary file replaces the old file. If anything fails, at any
    moment, `path` holds the complete old file or the complete new file.

    Parameters
    ----------
    path : str or os.PathLike
        Usually ends in `.safetensors`. A symbolic link is followed. If the file exists, its mode is kept, and
        its owner if permitted. Otherwise the mode follows the umask.
    model : Module or Frozen
        A model of layers that this package defines, or that `bptt.register` has registered. The file of a
        frozen model holds its plain weights, rounded in int8, and `load` freezes the model again.
    optimizer : Optimizer, optional
        The optimizer whose state is saved, too.
    extra : mapping of str to JSON values, optional
        More values to save, for example a note. `read_checkpoint` returns them. Tuples become lists.
    preprocessing : mapping of str to Standardize or Vocabulary, optional
        Preprocessing of the model's data. `bptt.load_preprocessing` returns it.

    Raises
    ------
    TypeError, ValueError
        `model` is not a model, `optimizer` is not an optimizer, `extra` is not a mapping of JSON values, or
        `preprocessing` holds other objects.
    CheckpointError
        The file could not be loaded again: the model has a layer of another package, or more than 1000
        layers. Or `extra` has more than 250,000 names or 1,000,000 values.
    OSError
        The file cannot be written.

    Examples
    --------
    >>> import bptt
    >>> model = bptt.Sequential(bptt.LSTM(3, 8), bptt.Last(), bptt.Linear(8, 2))
    >>> bptt.save("model.safetensors", model, extra={"note": "first try"})
    >>> bptt.files.read_checkpoint("model.safetensors").extra
    {'note': 'first try'}
    """
    write(path, model, optimizer, extra, None, preprocessing)


def write(
    path: str | os.PathLike[str],
    model: Module | Frozen[Any],
    optimizer: Optimizer | None,
    extra: Mapping[str, Any] | None,
    training: Mapping[str, Any] | None,
    preprocessing: Mapping[str, Any] | None = None,
) -> None:
    """Save as `save` does, with the state of a training run."""
    path = _path(path)
    precision = None
    frozen = isinstance(model, Frozen)
    if isinstance(model, Frozen):
        if optimizer is not None:
            raise ValueError(
                "optimizer must be None for a frozen model, which cannot be trained; got an optimizer. "
                "Fix: save the model before freeze(), or leave optimizer out."
            )
        precision, model = model.precision, model.layer
    if not isinstance(model, Module):
        raise TypeError(
            f"model must be a layer or model; got {type(model).__name__}. Fix: call save(path, model)."
        )
    _check_rounding(model, precision)
    if not (optimizer is None or isinstance(optimizer, Optimizer)):
        raise TypeError(
            f"optimizer must be an Optimizer; got {optimizer!r:.60}. "
            "Fix: pass the optimizer that trained the model."
        )
    about: dict[str, Any] = {
        "format": FORMAT,
        "version": __version__,
        "model": {"kind": model.kind, "config": model.config()},
        "optimizer": None,
        "extra": _json_values(extra),
    }
    if (entries := describe_preprocessing(preprocessing)) is not None:
        about["preprocessing"] = entries
    if frozen:
        about["frozen"] = True
    if precision is not None:
        about["precision"] = precision
    trainable = [layer.trainable for layer in iter_layers(model)]
    if not all(trainable):
        about["trainable"] = trainable
    # All parameters are contiguous. For other arrays, safetensors would write wrong bytes (its issue 825).
    tensors = shorten(model) if precision == "int8" else dict(model.parameters)
    if optimizer is not None:
        state = optimizer.state_dict()
        about["optimizer"] = {name: state.pop(name) for name in ("kind", "steps")}
        tensors |= {OPTIMIZER + name: vector for name, vector in state.items()}
    if training is not None:
        training_tensors: dict[str, npt.NDArray[Any]] = {}
        about["training"] = pack(dict(training), training_tensors, "training")
        tensors |= {TRAINING + name: array for name, array in training_tensors.items()}
    text = json.dumps(about)
    content = safetensors.numpy.save(tensors, {"bptt": text, "sha256": _digest(text, tensors)})
    try:
        files.replace(path, content, _read)
    except CheckpointError as error:
        raise CheckpointError(
            f"{path} was not written, because it could not be loaded again: it {error}"
        ) from None


def _check_rounding(model: Module, precision: str | None) -> None:
    """Raise ValueError if only the reference rounds in the dtype of a layer."""
    for layer in iter_layers(model):
        used = precision or getattr(layer, "precision", "highest")
        if used != "highest" and layer.dtype != np.float32:
            raise ValueError(
                f"model must have precision='highest' in {layer.dtype}, because files hold compiled layers; "
                f"got {layer.kind} with {used!r}. Fix: save a compiled model in float32."
            )


def load(path: str | os.PathLike[str]) -> Any:
    """Return the model of a checkpoint.

    Parameters
    ----------
    path : str or os.PathLike
        File that `bptt.save`, `Trainer.save` or a `Checkpoint` has written.

    Returns
    -------
    Module or Frozen
        `Frozen` if a frozen model was saved.

    Raises
    ------
    TypeError, CheckpointError, OSError
        As `read_checkpoint`.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> model, x = bptt.LSTM(3, 8), np.ones((20, 4, 3))
    >>> bptt.save("model.safetensors", model)
    >>> np.array_equal(bptt.load("model.safetensors")(x)[0], model(x)[0])
    True
    """
    saved = read_checkpoint(path)
    if not saved.frozen:
        return saved.model
    return Frozen.taking(saved.model, saved.precision, rounded=saved.precision == "int8")


def read_checkpoint(path: str | os.PathLike[str]) -> Saved:
    """Read all contents of a checkpoint.

    Every value is checked before it is used, so the file may come from an untrusted source. Memory for the
    model is allocated only if the sizes in the configuration agree with the tensors in the file. Only layers
    of this package and registered layers are built.

    Parameters
    ----------
    path : str or os.PathLike
        File that `bptt.save`, `Trainer.save` or a `Checkpoint` has written.

    Returns
    -------
    Saved
        Model, optimizer state, extra values and state of the training run.

    Raises
    ------
    TypeError
        `path` is not a path.
    CheckpointError
        The file is not a checkpoint, is cut short, has changed since it was written, or was written by a
        newer version.
    OSError
        The file cannot be read.

    Examples
    --------
    >>> import bptt
    >>> bptt.save("model.safetensors", bptt.LSTM(3, 8), optimizer=bptt.Adam())
    >>> saved = bptt.files.read_checkpoint("model.safetensors")
    >>> saved.model.hidden_size, saved.optimizer["kind"]
    (8, 'Adam')
    """
    path = _path(path)
    try:
        return _read(path)
    except CheckpointError as error:
        raise CheckpointError(f"{path} {error}") from None


def _path(path: object) -> Path:
    """Convert the path of a checkpoint; raise TypeError if it is not a path."""
    if not isinstance(path, (str, os.PathLike)):
        raise TypeError(f"path must be a str or os.PathLike; got {short(path)}. Fix: pass the file's name.")
    return Path(path)


def _read(path: Path) -> Saved:
    """Read a checkpoint as `read_checkpoint` does. Error messages lack their subject, the path."""
    with files.reading(path) as file:
        prefix, header = read_header(file)
        metadata = header.pop("__metadata__", None)
        if not isinstance(metadata, dict) or not isinstance(metadata.get("bptt"), str):
            raise CheckpointError("is not a checkpoint of bptt: its metadata do not describe a model")
        about = parse_about(metadata["bptt"])
        sizes = {name: byte_size(entry) for name, entry in header.items()}
        if len(prefix) + sum(sizes.values()) != os.fstat(file.fileno()).st_size:
            raise CheckpointError("is cut short or has extra bytes; restore it from a copy")
        model = build_model(about["model"], header)
        set_trainable(model, about.get("trainable"))
        content = prefix + file.read()
    try:
        tensors = safetensors.numpy.load(content)
    except safetensors.SafetensorError as error:
        raise CheckpointError(f"is not a complete safetensors file: {error!s:.200}") from None
    if metadata.get("sha256") != _digest(metadata["bptt"], tensors):
        raise CheckpointError(
            "has changed since it was written: its checksum is wrong; restore it from a copy"
        )
    vectors = _pop_prefix(tensors, OPTIMIZER)
    arrays = _pop_prefix(tensors, TRAINING)
    frozen, precision = parse_frozen(about, model.dtype)
    try:
        model.load_state_dict(widen(tensors, model.int8_weights if precision == "int8" else frozenset()))
    except ValueError as error:
        raise CheckpointError(f"does not fit its own configuration: {error!s:.500}") from None
    state = _optimizer_state(about["optimizer"], vectors, model)
    try:
        preprocessing = check_preprocessing(about.get("preprocessing"))
    except ValueError as error:
        raise CheckpointError(f"is damaged: {error!s:.200}") from None
    try:
        raw = unpack(about.get("training"), arrays)
        if not (raw is None or isinstance(raw, dict)):
            raise CheckpointError("is damaged: the state of its training run is not a mapping")
        training = None if raw is None else validate_training(raw)
    except CheckpointError:
        raise
    except (ValueError, RecursionError) as error:
        raise CheckpointError(
            f"is damaged: the state of its training run cannot be used ({error!s:.200})"
        ) from None
    return Saved(model, state, about["extra"], training, preprocessing, frozen, precision)


_OPTIMIZER_STATE: dict[str, Check] = {"kind": text(), "steps": whole(0, COUNT_LIMIT)}


def _optimizer_state(
    about: object, vectors: dict[str, npt.NDArray[Any]], model: Module
) -> dict[str, Any] | None:
    """Return the optimizer's state: its kind and steps, and vectors with one entry per parameter."""
    if about is None:
        if vectors:
            raise CheckpointError("is damaged: it holds vectors of an optimizer, but no optimizer")
        return None
    try:
        state: dict[str, Any] = record(_OPTIMIZER_STATE)(about, "optimizer")
    except ValueError as error:
        raise CheckpointError(f"is damaged: {error!s:.200}") from None
    for name, vector in vectors.items():
        if name in state or vector.shape != (model.parameter_count,) or vector.dtype != model.dtype:
            raise CheckpointError(f"is damaged: the optimizer's {name:.40} does not fit the model")
    return {**state, **vectors}


def _pop_prefix(tensors: dict[str, npt.NDArray[Any]], prefix: str) -> dict[str, npt.NDArray[Any]]:
    """Remove the tensors with a prefix from `tensors`. Return copies, named without the prefix."""
    names = [name for name in tensors if name.startswith(prefix)]
    return {name.removeprefix(prefix): tensors.pop(name).copy() for name in names}


def _digest(text: str, tensors: Mapping[str, npt.NDArray[Any]]) -> str:
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass"))
    for name, tensor in sorted(tensors.items()):
        digest.update(f"\n{name} {tensor.dtype.name} {tensor.shape}\n".encode("utf-8", "surrogatepass"))
        digest.update(tensor.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def _json_values(extra: Mapping[str, Any] | None) -> dict[str, Any]:
    if extra is None:
        return {}
    if not isinstance(extra, Mapping) or not all(isinstance(name, str) for name in extra):
        raise TypeError(
            f"extra must be a mapping of str to JSON values; got {type(extra).__name__} {extra!r:.80}. "
            'Fix: pass a dict, extra={"note": "..."}.'
        )
    try:
        return json.loads(json.dumps(dict(extra), allow_nan=False))  # type: ignore[no-any-return]
    except (TypeError, ValueError, RecursionError) as error:
        raise type(error)(
            f"extra must hold only JSON values; {error}. Fix: convert arrays to lists."
        ) from None
