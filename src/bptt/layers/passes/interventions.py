"""Resets, and the masks of dropout and zoneout, for a recurrent layer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

import numpy as np

from bptt import _core
from bptt.arguments import probability
from bptt.arrays import Floats, as_floats, read_only
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import Flags, PackedRows, parse_flags

Masks: TypeAlias = dict[str, Floats]

NAMES = ("input", "recurrent", "zoneout_h", "zoneout_c")
FIELDS = ("input_mask", "recurrent_mask", "keep_h", "keep_c")
"""The names of masks for the user, and in a `Call`."""

FACTORS = ("input", "recurrent")
"""The masks that multiply a value, by 0 or 1 / (1 - p). Other masks say how much of the old state stays."""


def parse_reset(value: object, layout: Layout, T: int, B: int, ragged: PackedRows | None) -> Flags:
    """Check resets, and return them as bytes in the layout of x.

    The result does not change if the caller's array changes later.

    Raises
    ------
    TypeError, ValueError
        As `parse_flags`.
    """
    flags = parse_flags(value, "reset", layout, T, B)
    packed = flags.view(np.uint8) if ragged is None else ragged.gather_resets(flags)
    return read_only(np.ascontiguousarray(packed))


class Outline(Protocol):
    """The layer that the masks are for."""

    input_size: int
    num_layers: int
    num_directions: int
    hidden_size: int
    output_size: int
    y_size: int
    dtype: np.dtype[Any]
    rng: np.random.Generator


@dataclass(frozen=True)
class RandomMasks:
    """Draws what is random in a training step: dropout masks and zoneout masks.

    Parameters
    ----------
    dropout : float
        Probability of dropping a unit between two layers.
    recurrent : float
        Probability of dropping a unit of h from the recurrent product, for the whole sequence.
    input : float
        Probability of dropping an input of a layer, for the whole sequence.
    zoneout : tuple of two floats
        Probability of keeping the old h, and the old c, at each step.
    """

    dropout: float
    recurrent: float
    input: float
    zoneout: tuple[float, float]

    def __bool__(self) -> bool:
        """Return whether there is anything to draw."""
        return any((self.dropout, self.recurrent, self.input, *self.zoneout))

    def draw(self, layer: Outline, user_masks: object, T: int, B: int) -> tuple[int, Masks]:
        """Return the key of the dropout between layers, and the masks, which are read-only.

        `user_masks` holds masks that the user passed, or None. Errors are those of `parse_masks`.
        """
        if not self and user_masks is None:
            return 0, {}
        shapes = self._shapes(layer, T, B)
        masks = None if user_masks is None else parse_masks(user_masks, shapes, layer.dtype)
        key = _key(layer.rng) if self.dropout else 0
        if masks is None:
            masks = {name: self._mask(name, shape, layer) for name, shape in shapes.items()}
        return key, masks

    def _shapes(self, layer: Outline, T: int, B: int) -> dict[str, tuple[int, ...]]:
        used = dict(zip(NAMES, (self.input, self.recurrent, *self.zoneout), strict=True))
        directions = layer.num_layers * layer.num_directions
        upper = (layer.num_layers - 1) * layer.y_size
        shapes = {
            "input": (B, layer.input_size + upper),
            "recurrent": (directions, B, layer.output_size),
            "zoneout_h": (directions, T, B, layer.output_size),
            "zoneout_c": (directions, T, B, layer.hidden_size),
        }
        return {name: shapes[name] for name in NAMES if used[name]}

    def _mask(self, name: str, shape: tuple[int, ...], layer: Outline) -> Floats:
        if name in FACTORS:
            dropped = self.input if name == "input" else self.recurrent
            p, value = 1.0 - dropped, 1.0 / (1.0 - dropped)
        else:
            p, value = self.zoneout[name == "zoneout_c"], 1.0
        mask = _core.bernoulli(shape, p, value, _key(layer.rng), layer.dtype.name)
        mask.flags.writeable = False
        return mask


def _key(rng: np.random.Generator) -> int:
    return int(rng.integers(0, 2**64, dtype=np.uint64))


def parse_masks(value: object, shapes: dict[str, tuple[int, ...]], dtype: np.dtype[Any]) -> Masks:
    """Check the masks of the caller, and return read-only copies.

    Raises
    ------
    TypeError
        If `value` is not a mapping, or an array does not hold real numbers.
    ValueError
        If the names do not match the layer's options, shapes are wrong, zoneout is outside 0..1, or a number
        is not finite.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"masks must map names to arrays; got {type(value).__name__}. Fix: pass an earlier tape.masks."
        )
    if set(value) != set(shapes):
        raise ValueError(
            f"masks must hold {', '.join(shapes) or 'nothing'} for this layer's input_dropout, "
            f"recurrent_dropout and zoneout; got {', '.join(map(str, value)) or 'nothing'}. "
            "Fix: pass an earlier tape.masks."
        )
    masks: Masks = {}
    for name, shape in shapes.items():
        mask: Floats = as_floats(value[name], f"masks[{name!r}]", dtype, shape).copy()
        is_fraction = name not in FACTORS
        if not np.isfinite(mask).all() or (is_fraction and ((mask < 0) | (mask > 1)).any()):
            raise ValueError(
                f"masks[{name!r}] must hold {'numbers in 0..1' if is_fraction else 'finite numbers'}; "
                "got other values. Fix: pass 1 for units that keep their old value, and 0 for other units."
            )
        mask.flags.writeable = False
        masks[name] = mask
    return masks


def packed(masks: Masks, ragged: PackedRows | None) -> dict[str, Any]:
    """Return the masks as the fields of a `Call`.

    Masks of input dropout have the shape (B, N) and of recurrent dropout (L*D, B, P). Masks of zoneout are
    packed over time.
    """
    if ragged is not None:
        masks = {name: _packed_mask(name, mask, ragged) for name, mask in masks.items()}
    return {field: masks.get(name) for field, name in zip(FIELDS, NAMES, strict=True)}


def _packed_mask(name: str, mask: Floats, ragged: PackedRows) -> Floats:
    if name in FACTORS:
        return cast("Floats", np.take(mask, ragged.order, axis=0 if name == "input" else 1))
    return cast("Floats", np.stack([ragged.gather(part) for part in mask]))


def parse_zoneout(value: Any, has_cell_state: bool) -> tuple[float, float]:
    """Check the argument `zoneout`, and return the probabilities of h and of c.

    Raises
    ------
    TypeError, ValueError
        If `value` is not a probability. With a cell state, a pair of probabilities is also valid.
    """
    if not has_cell_state:
        return probability(value, "zoneout"), 0.0
    if not isinstance(value, (tuple, list)):
        p = probability(value, "zoneout")
        return p, p
    if len(value) != 2:
        raise ValueError(
            f"zoneout must be a number or a pair (h, c); got {len(value)} entries. Fix: pass two."
        )
    return probability(value[0], "zoneout[0]"), probability(value[1], "zoneout[1]")
