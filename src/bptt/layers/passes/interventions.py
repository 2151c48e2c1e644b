"""What a caller adds to the equations of a recursion: resets, and the masks of dropout and zoneout."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import probability
from bptt.arrays import Floats, as_floats, as_real, check_shape, read_only
from bptt.layers.passes.layout import Layout
from bptt.layers.passes.ragged import PackedRows

Flags: TypeAlias = npt.NDArray[np.uint8]
Masks: TypeAlias = dict[str, Floats]

NAMES = ("recurrent", "zoneout_h", "zoneout_c")


def parse_reset(value: object, layout: Layout, T: int, B: int, ragged: PackedRows | None) -> Flags:
    """Resets as the core reads them: bytes, laid out as x is. The caller's array may change afterwards.

    Raises
    ------
    TypeError
        Not an array of booleans.
    ValueError
        Not one for every step of every row.
    """
    array = as_real(value, "reset")
    if array.dtype != np.bool_:
        raise TypeError(
            f"reset must be an array of booleans; got dtype {array.dtype}. Fix: reset.astype(bool)."
        )
    check_shape(array, "reset", layout.sequence_shape(T, B, 1)[:-1])
    flags = layout.sequence_in(array[..., np.newaxis]).view(np.uint8)
    packed = flags if ragged is None else ragged.gather(flags)
    return read_only(np.ascontiguousarray(packed[..., 0]))


class Outline(Protocol):
    """The sizes of a layer that decide the shapes of its masks."""

    num_layers: int
    num_directions: int
    hidden_size: int
    output_size: int


@dataclass(frozen=True)
class Drawn:
    """What a layer draws for each training step, or is given.

    Parameters
    ----------
    recurrent : float
        Probability of dropping a unit of h where it enters the recurrent product, for the whole sequence.
    zoneout : tuple of two floats
        Probability of keeping the old h, and the old c, at each step.
    """

    recurrent: float
    zoneout: tuple[float, float]

    def __bool__(self) -> bool:
        """Return whether there is anything to draw."""
        return bool(self.recurrent or self.zoneout[0] or self.zoneout[1])

    def shapes(self, layer: Outline, T: int, B: int) -> dict[str, tuple[int, ...]]:
        """Shapes of the masks that this layer uses."""
        used = dict(zip(NAMES, (self.recurrent, *self.zoneout), strict=True))
        directions = layer.num_layers * layer.num_directions
        shapes = {
            "recurrent": (directions, B, layer.output_size),
            "zoneout_h": (directions, T, B, layer.output_size),
            "zoneout_c": (directions, T, B, layer.hidden_size),
        }
        return {name: shapes[name] for name in NAMES if used[name]}

    def draw(
        self, shapes: dict[str, tuple[int, ...]], rng: np.random.Generator, dtype: np.dtype[Any]
    ) -> Masks:
        """Draw masks, which are read-only, from the layer's generator."""
        masks: Masks = {}
        for name, shape in shapes.items():
            key = int(rng.integers(0, 2**64, dtype=np.uint64))
            if name == "recurrent":
                p, value = 1.0 - self.recurrent, 1.0 / (1.0 - self.recurrent)
            else:
                p, value = self.zoneout[name == "zoneout_c"], 1.0
            mask = _core.bernoulli(shape, p, value, key, dtype.name)
            mask.flags.writeable = False
            masks[name] = mask
        return masks


def parse_masks(value: object, shapes: dict[str, tuple[int, ...]], dtype: np.dtype[Any]) -> Masks:
    """The masks that a caller gives, in read-only copies.

    Raises
    ------
    TypeError
        Not a mapping; arrays that are not of real numbers.
    ValueError
        Other names than the layer's options call for; wrong shapes; zoneout outside 0..1, or what is not
        finite.
    """
    if not isinstance(value, Mapping):
        raise TypeError(
            f"masks must map names to arrays; got {type(value).__name__}. Fix: pass an earlier tape.masks."
        )
    if set(value) != set(shapes):
        raise ValueError(
            f"masks must hold {', '.join(shapes) or 'nothing'}, as the layer's recurrent_dropout and zoneout "
            f"say; got {', '.join(map(str, value)) or 'nothing'}. Fix: pass an earlier tape.masks."
        )
    masks: Masks = {}
    for name, shape in shapes.items():
        mask: Floats = as_floats(value[name], f"masks[{name!r}]", dtype, shape).copy()
        is_fraction = name != "recurrent"
        if not np.isfinite(mask).all() or (is_fraction and ((mask < 0) | (mask > 1)).any()):
            raise ValueError(
                f"masks[{name!r}] must hold {'numbers in 0..1' if is_fraction else 'finite numbers'}; "
                "got others. Fix: 0 and 1 say which units keep their old value."
            )
        mask.flags.writeable = False
        masks[name] = mask
    return masks


def packed(masks: Masks, ragged: PackedRows | None) -> tuple[Floats | None, Floats | None, Floats | None]:
    """As the core reads them: recurrent (L*D, B, P), then zoneout's over time."""
    if ragged is not None:
        masks = {name: _packed_mask(name, mask, ragged) for name, mask in masks.items()}
    recurrent, zoneout_h, zoneout_c = (masks.get(name) for name in NAMES)
    return recurrent, zoneout_h, zoneout_c


def _packed_mask(name: str, mask: Floats, ragged: PackedRows) -> Floats:
    if name == "recurrent":
        return cast("Floats", np.take(mask, ragged.order, axis=1))
    return cast("Floats", np.stack([ragged.gather(each) for each in mask]))


def parse_zoneout(value: Any, has_cell_state: bool) -> tuple[float, float]:
    """The probabilities of h and of c.

    Raises
    ------
    TypeError, ValueError
        Neither a probability nor, for a cell state, a pair of them.
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
