"""Header of a checkpoint, read with limits on bytes, values, layers and nesting.

The messages lack their subject, the path, which `read_checkpoint` puts in front.
"""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Mapping
from typing import Any, BinaryIO, NoReturn

from bptt._version import __version__
from bptt.files.schema import shape
from bptt.layers import KINDS, Module

FORMAT = 1
HEADER_LIMIT = 16 * 2**20
"""Bytes of the header. They bound the work before anything else is known about a file."""
_JSON_LIMITS = {b",": 1_000_000, b'":': 250_000, b"{": 100_000, b"[": 100_000}
"""How often each mark may be in a JSON text: values, names, objects and lists. An object in memory is up to
a hundred times as large as its text."""
LAYERS_LIMIT = 1000
"""Layers of a model, and time steps of depth in a stack."""
NESTING_LIMIT = 32
"""Models inside each other."""
OPTIMIZER = "optimizer."
TRAINING = "training."

_ITEM_SIZE = {"F32": 4, "F64": 8}


class CheckpointError(ValueError):
    """The file is no whole, unchanged checkpoint that this version can read."""


def read_header(file: BinaryIO) -> tuple[bytes, dict[str, Any]]:
    """Read the bytes of a safetensors file up to its tensors, and the JSON object in them."""
    start = file.read(8)
    length = struct.unpack("<Q", start)[0] if len(start) == 8 else None
    if length is None or not 2 <= length <= HEADER_LIMIT:
        raise CheckpointError(
            f"is no safetensors file, or one with a header of more than {HEADER_LIMIT} bytes"
        )
    text = file.read(length)
    if len(text) < length:
        raise CheckpointError("is cut short inside its header; restore it from a copy")
    return start + text, _json_object(text, "its header")


def parse_about(text: str) -> dict[str, Any]:
    """Read what the file says about its model, optimizer and training."""
    about = _json_object(text.encode("utf-8", "surrogatepass"), "what it says about its model")
    form, version = about.get("format"), about.get("version")
    if form != FORMAT:
        raise CheckpointError(
            f"has format {form!r:.40}, written by version {version!r:.40}; this is version {__version__}, "
            f"which reads format {FORMAT}; upgrade bptt"
        )
    if set(about) - {"training"} != {"format", "version", "model", "optimizer", "extra"}:
        raise CheckpointError(f"is damaged: it tells {sorted(about)!r:.200} about its model")
    optimizer = about["optimizer"]
    if not (isinstance(about["extra"], dict) and (optimizer is None or isinstance(optimizer, dict))):
        raise CheckpointError("is damaged: optimizer and extra must be JSON objects")
    return about


def byte_size(entry: object) -> int:
    """Return the bytes of a tensor."""
    dtype = entry.get("dtype") if isinstance(entry, dict) else None
    if not isinstance(dtype, str) or dtype not in _ITEM_SIZE:
        raise CheckpointError(
            f"holds a tensor of type {dtype!r:.40}; only {', '.join(_ITEM_SIZE)} belong in it"
        )
    return _elements(entry) * _ITEM_SIZE[dtype]


def build_model(description: object, header: Mapping[str, object]) -> Module:
    """Build the model described, with no more parameters than the header has tensors for."""
    kind, config = _check_model(description)
    count = sum(
        _elements(entry) for name, entry in header.items() if not name.startswith((OPTIMIZER, TRAINING))
    )
    try:
        return KINDS[kind].from_config(config, parameter_count=count)
    except (TypeError, ValueError, OverflowError, RecursionError) as error:
        raise CheckpointError(f"describes a {kind} that cannot be built: {error!s:.500}") from None


def _check_model(description: object) -> tuple[str, dict[str, Any]]:
    """Return the kind and the configuration, once every layer inside is known to be of one of the kinds.

    A layer costs time and memory even if it has no parameters, so their number is limited.
    """
    layers, waiting = 0, [(description, 0)]
    while waiting:
        entry, depth = waiting.pop()
        if not isinstance(entry, dict) or set(entry) != {"kind", "config"}:
            raise CheckpointError("is damaged: it describes no model")
        kind, config = entry["kind"], entry["config"]
        if not isinstance(kind, str) or kind not in KINDS or not isinstance(config, dict):
            raise CheckpointError(f"describes a model of kind {kind!r:.40}; known are {', '.join(KINDS)}")
        if config.get("dtype", "float32") not in ("float32", "float64"):
            raise CheckpointError(f"describes a {kind} of another type than float32 or float64")
        inner = config.get("layers", ()) if kind == "Sequential" else ()
        if not isinstance(inner, (list, tuple)):
            raise CheckpointError("is damaged: layers must be a list")
        stack = config.get("num_layers", 1)
        layers += max(1, stack) if isinstance(stack, int) else 1
        if layers + len(inner) > LAYERS_LIMIT or depth > NESTING_LIMIT:
            raise CheckpointError(
                f"describes a model of more than {LAYERS_LIMIT} layers, or {NESTING_LIMIT} models in models"
            )
        waiting += [(one, depth + 1) for one in inner]
    whole: Any = description
    return whole["kind"], whole["config"]


def _elements(entry: object) -> int:
    sizes = entry.get("shape") if isinstance(entry, dict) else None
    try:
        return math.prod(shape(sizes, "the shape of a tensor"))
    except ValueError as error:
        raise CheckpointError(f"is damaged: {error}") from None


def _json_object(text: bytes, what: str) -> dict[str, Any]:
    for mark, limit in _JSON_LIMITS.items():
        if text.count(mark) > limit:
            raise CheckpointError(f"holds too many values in {what}: more than {limit} times {mark.decode()}")
    try:
        value = json.loads(
            text.decode("utf-8", "surrogatepass"), parse_constant=_no_constant, object_pairs_hook=_unique
        )
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"is damaged: {what} is not JSON ({error!s:.200})") from None
    if not isinstance(value, dict):
        raise CheckpointError(f"is damaged: {what} is not a JSON object")
    return value


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) < len(pairs):
        raise ValueError("a name is there twice")
    return value
