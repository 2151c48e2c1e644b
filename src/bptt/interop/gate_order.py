"""The order of the gates in the weights of bptt and of other libraries.

Gates have the letters of bptt: i, f, g, o of an LSTM and r, z, n of a GRU. Some libraries write c for g,
h for n, and u for z. Shapes do not show a wrong order.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

BPTT: Mapping[str, str] = {"rnn": "n", "lstm": "ifgo", "gru": "rzn"}
"""The order of PyTorch, which is that of bptt."""
KERAS: Mapping[str, str] = {"rnn": "n", "lstm": "ifgo", "gru": "zrn"}
"""Keras 2 and 3, for both kinds of GRU. The kernels are transposed."""
ONNX: Mapping[str, str] = {"rnn": "n", "lstm": "iofg", "gru": "zrn"}
EQUINOX: Mapping[str, str] = {"lstm": "ifgo", "gru": "rzn"}
FLAX: Mapping[str, str] = {"rnn": "n", "lstm": "ifgo", "gru": "rzn"}
"""Flax has one kernel for each gate, named by these letters. The kernels are transposed."""

PEEPHOLES_BPTT = "ifo"
"""Rows of `weight_peephole_l0`."""
PEEPHOLES_ONNX = "iof"
"""Blocks of the input P of an ONNX LSTM."""


def reorder(array: npt.NDArray[Any], source: str, target: str, axis: int = 0) -> npt.NDArray[Any]:
    """Move the blocks of gates from one order to another.

    Parameters
    ----------
    array : ndarray
        Its axis `axis` has one block of equal size for each gate of `source`.
    source, target : str
        The gates, one letter each, in the order of `array` and of the result. `target` may leave gates out.
    axis : int
        The axis of the gates.

    Returns
    -------
    ndarray
        `array` itself if the orders are equal, otherwise a new array.

    Raises
    ------
    ValueError
        If the axis cannot be split into blocks of equal size, or `target` has a gate that `source` lacks.

    Examples
    --------
    >>> import numpy as np
    >>> from bptt.interop.gate_order import reorder
    >>> reorder(np.arange(6), "zrn", "rzn")
    array([2, 3, 0, 1, 4, 5])
    """
    if array.shape[axis] % len(source):
        raise ValueError(
            f"axis {axis} must have a size that is a multiple of the {len(source)} gates {source}; "
            f"got shape {array.shape}. Fix: pass the weights of all gates."
        )
    if source == target:
        return array
    blocks = dict(zip(source, np.split(array, len(source), axis), strict=True))
    if not set(target) <= set(source):
        raise ValueError(
            f"target must have only the gates {source}; got {target!r}. Fix: leave out the other gates."
        )
    return np.concatenate([blocks[gate] for gate in target], axis)
