"""Read the header of a checkpoint, with limits on bytes, values, layers and nesting.

The error messages lack their subject, the path. `read_checkpoint` adds the path.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

import numpy as np

from bptt._version import __version__
from bptt.files.schema import shape
from bptt.layers import KINDS, Module, Sequential
from bptt.layers.containers.named import Named
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.kinds import unknown_kind
from bptt.layers.passes.int8 import SCALES
from bptt.layers.passes.precision import OF_INFERENCE, parse_precision

FORMAT = 1
HEADER_LIMIT = 16 * 2**20
"""Largest header in bytes. This limits the work before anything else is known about a file."""
_JSON_LIMITS = {b",": 1_000_000, b'":': 250_000, b"{": 100_000, b"[": 100_000}
"""How often each character may occur in a JSON text: values, names, objects and lists. An object in memory is
up to a hundred times as large as its text."""
LAYERS_LIMIT = 1000
"""Largest number of layers of a model. Each layer of a stack counts."""
NESTING_LIMIT = 32
"""Largest depth of models inside models."""
OPTIMIZER = "optimizer."
TRAINING = "training."

_REQUIRED = {"format", "version", "model", "optimizer", "extra"}
_OPTIONAL = {"training", "preprocessing", "trainable", "frozen", "precision"}
_ITEM_SIZE = {"F32": 4, "F64": 8, "I8": 1}


class CheckpointError(ValueError):
    """The file is not a complete and unchanged checkpoint that this version can read.

    Examples
    --------
    >>> from pathlib import Path
    >>> import bptt
    >>> size = Path("model.safetensors").write_bytes(b"not a model")
    >>> try:
    ...     bptt.load("model.safetensors")
    ... except bptt.CheckpointError as error:
    ...     print(str(error).split(",")[0])
    model.safetensors is not a safetensors file
    """


def read_header(file: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    """Read the bytes of a safetensors file up to its tensors, and the JSON object in them."""
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else None
    if length is None or not 2 <= length <= HEADER_LIMIT:
        raise CheckpointError(
            f"is not a safetensors file, or its header has more than {HEADER_LIMIT} bytes. Fix: pass a file "
            "that bptt.save wrote."
        )
    text = file.read(length)
    if len(text) < length:
        raise CheckpointError("is cut short inside its header; restore it from a copy")
    return start + text, _json_object(text, "its header")


def parse_about(text: str) -> dict[str, Any]:
    """Parse the file's description of its model, optimizer and training."""
    about = _json_object(text.encode("utf-8", "surrogatepass"), "the description of its model")
    form, version = about.get("format"), about.get("version")
    if form != FORMAT:
        raise CheckpointError(
            f"has format {form!r:.40}, written by version {version!r:.40}; this is version {__version__}, "
            f"which reads format {FORMAT}; upgrade bptt"
        )
    if set(about) - _OPTIONAL != _REQUIRED:
        raise CheckpointError(
            f"is damaged: the description of its model has the fields {sorted(about)!r:.200}"
        )
    optimizer = about["optimizer"]
    if not (isinstance(about["extra"], dict) and (optimizer is None or isinstance(optimizer, dict))):
        raise CheckpointError("is damaged: optimizer and extra must be JSON objects")
    return about


def byte_size(entry: object) -> int:
    """Return the size of a tensor in bytes."""
    dtype = entry.get("dtype") if isinstance(entry, dict) else None
    if not isinstance(dtype, str) or dtype not in _ITEM_SIZE:
        raise CheckpointError(
            f"holds a tensor of type {dtype!r:.40}; only {', '.join(_ITEM_SIZE)} are allowed"
        )
    return _elements(entry) * _ITEM_SIZE[dtype]


def build_model(description: object, header: Mapping[str, object]) -> Module:
    """Build the described model, with at most as many parameters as the header's tensors have."""
    kind, config = _check_model(description)
    count = sum(
        _elements(entry)
        for name, entry in header.items()
        if not name.startswith((SCALES, OPTIMIZER, TRAINING))
    )
    try:
        return KINDS[kind].from_config(config, parameter_count=count)
    except MemoryError:
        raise
    except Exception as error:  # a registered constructor may raise any error
        raise CheckpointError(f"describes a layer {kind} that cannot be built: {error!s:.500}") from None


def set_trainable(model: Module, flags: object) -> None:
    """Set `trainable` of each layer, in the order of a pass. None: all layers are trainable."""
    layers = list(iter_layers(model))
    if flags is None:
        return
    if (
        not isinstance(flags, list)
        or len(flags) != len(layers)
        or not all(isinstance(f, bool) for f in flags)
    ):
        raise CheckpointError("is damaged: trainable must hold true or false for each layer")
    for layer, trainable in zip(layers, flags, strict=True):
        layer.trainable = trainable


def parse_frozen(about: Mapping[str, Any], dtype: np.dtype[Any]) -> tuple[bool, str | None]:
    """Return whether a frozen model was saved, and its precision."""
    frozen = about.get("frozen", False)
    if not isinstance(frozen, bool):
        raise CheckpointError("is damaged: frozen must be true or false")
    if "precision" not in about:
        return frozen, None
    if not frozen:
        raise CheckpointError("is damaged: precision must belong to a frozen model")
    try:
        return frozen, parse_precision(about["precision"], dtype, OF_INFERENCE)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"is damaged: {error!s:.200}") from None


def _check_model(description: object) -> tuple[str, dict[str, Any]]:
    """Check that all layers inside are of known kinds. Return the model's kind and configuration.

    A layer costs time and memory even if it has no parameters, so the number of layers is limited.
    """
    layers, waiting = 0, [(description, 0)]
    while waiting:
        entry, depth = waiting.pop()
        if not isinstance(entry, dict) or set(entry) != {"kind", "config"}:
            raise CheckpointError("is damaged: it does not describe a model")
        kind, config = entry["kind"], entry["config"]
        if not isinstance(kind, str) or kind not in KINDS or not isinstance(config, dict):
            raise CheckpointError(
                f"describes a model with a layer of kind {kind!r:.40}; {unknown_kind(kind)}"
            )
        if config.get("dtype", "float32") not in ("float32", "float64"):
            raise CheckpointError(f"describes a {kind} whose type is neither float32 nor float64")
        inner = _inner(kind, config)
        stack = config.get("num_layers", 1)
        layers += max(1, stack) if isinstance(stack, int) else 1
        if layers + len(inner) > LAYERS_LIMIT or depth > NESTING_LIMIT:
            raise CheckpointError(
                f"describes a model of more than {LAYERS_LIMIT} layers, or {NESTING_LIMIT} models in models"
            )
        waiting += [(layer, depth + 1) for layer in inner]
    model: Any = description
    return model["kind"], model["config"]


def _inner(kind: str, config: Mapping[str, Any]) -> list[Any]:
    """Return the descriptions of the layers inside a model."""
    if issubclass(KINDS[kind], Sequential):
        inner = config.get("layers", [])
        if not isinstance(inner, list):
            raise CheckpointError("is damaged: layers must be a list")
        return inner
    if issubclass(KINDS[kind], Named):
        parts = config.get("parts", {})
        if not isinstance(parts, dict):
            raise CheckpointError("is damaged: parts must be a mapping")
        return list(parts.values())
    return []


def _elements(entry: object) -> int:
    sizes = entry.get("shape") if isinstance(entry, dict) else None
    try:
        return math.prod(shape(sizes, "the shape of a tensor"))
    except ValueError as error:
        raise CheckpointError(f"is damaged: {error}") from None


def _json_object(text: bytes, name: str) -> dict[str, Any]:
    for mark, limit in _JSON_LIMITS.items():
        if text.count(mark) > limit:
            raise CheckpointError(f"holds too many values in {name}: more than {limit} times {mark.decode()}")
    try:
        value = json.loads(
            text.decode("utf-8", "surrogatepass"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"is damaged: {name} is not JSON ({error!s:.200})") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"is damaged: {name} is not a JSON object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name occurs twice")
    return value
