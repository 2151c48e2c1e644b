"""Forms of a layer for inference: snapshots and streams."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import size
from bptt.layers.blank import blank_copies
from bptt.layers.cost_table import Costed
from bptt.layers.passes.frozen import Frozen
from bptt.layers.passes.inference_stream import InferenceStream
from bptt.layers.passes.stages import CallStage, Inference, Stage

if TYPE_CHECKING:
    from typing_extensions import Self


class Deployed(Costed):
    """Base class of `Module`: inference with weights that are packed once."""

    dtype: np.dtype[Any]

    def freeze(self) -> Frozen[Self]:
        """Make a snapshot for inference, with a packed copy of the current weights.

        Returns
        -------
        Frozen
            Called like the layer or model, it returns the same bits in less time. Training does not change
            it. `bptt.save` and `bptt.load` work with it.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> layer, x = bptt.LSTM(3, 8), np.ones((20, 4, 3))
        >>> frozen = layer.freeze()
        >>> np.array_equal(frozen(x)[0], layer(x)[0])
        True
        """
        return Frozen(self)

    def stream(self, batch_size: int = 1) -> InferenceStream:
        """Make a stream, which runs step by step with a packed copy of the weights.

        Parameters
        ----------
        batch_size : int
            Number of rows in each step.

        Raises
        ------
        TypeError
            If `batch_size` is not an int.
        ValueError
            If `batch_size` is not positive. If a layer is bidirectional, because a reverse direction starts
            at the end of the sequence. If a layer has no output for each step, as `Last`.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> layer, x = bptt.LSTM(3, 8), np.ones((20, 3))
        >>> stream = layer.stream()
        >>> y = [stream.step(x_t) for x_t in x]
        >>> np.array_equal(y, layer(x)[0])
        True
        """
        return InferenceStream(repr(self), self.stage(size(batch_size, "batch_size", 2**31 - 1)))

    def snapshot(self) -> Self:
        """Return a copy for inference, whose gradients are constant zeros."""
        with blank_copies(self):
            twin = copy.deepcopy(self)
        twin.flat_parameters[...] = self.flat_parameters
        return twin

    def packed(self) -> Inference:
        """Return a function that runs inference with the bits of a call, and may pack the weights once."""
        return self.__call__

    def stage(self, batch_size: int, before: npt.NDArray[Any] | None = None) -> Stage:
        """Return the layer with its current weights, for a stream.

        Parameters
        ----------
        batch_size : int
            B.
        before : ndarray, optional
            (B, ...): the array that the layer reads in each step, which is the output of the layer before
            it. Default: the result of `step_input`.
        """
        if before is None:
            before = self.step_input(batch_size)
        return CallStage(self.kind, self.snapshot().packed(), before, skips="skip" in self.call_options)

    def bind(self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any]) -> None:
        """Make the views refer to these two vectors, whose values do not change."""
        raise NotImplementedError
