"""Forms of a layer for inference: snapshots and streams."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import short, size
from bptt.layers.blank import blank_copies
from bptt.layers.cost_table import Costed
from bptt.layers.passes.frozen import Frozen
from bptt.layers.passes.inference_stream import InferenceStream
from bptt.layers.passes.precision import OF_INFERENCE, parse_precision
from bptt.layers.passes.stages import CallStage, Inference, Stage

if TYPE_CHECKING:
    from typing_extensions import Self


class Deployed(Costed):
    """Base class of `Module`: inference with weights that are packed once."""

    kind: ClassVar[str]
    call_options: ClassVar[frozenset[str]]
    dtype: np.dtype[Any]
    rounding_dtypes: ClassVar[tuple[str, ...]] = ("float32",)
    """The dtypes with a precision other than "highest"."""

    def freeze(self, precision: str | None = None) -> Frozen[Self]:
        """Make a snapshot for inference, with a packed copy of the current weights.

        Parameters
        ----------
        precision : {"highest", "bfloat16", "int8"}, optional
            Precision of the products of all layers inside. Default: the precision of each layer. Notes say
            what "int8" does.

        Returns
        -------
        Frozen
            Called like the layer or model, it returns the same bits in less time, unless `precision` differs
            from that of the layers. Training does not change it. `bptt.save` and `bptt.load` work with it.

        Raises
        ------
        TypeError, ValueError
            If `precision` is not one of these names. If it is not "highest" and the dtype is float64.

        Notes
        -----
        In int8, each row of a weight matrix, and each row that the matrix multiplies, is rounded to multiples
        of 1/127 of its largest magnitude. Sums are exact integers. States, gates and biases stay float32.
        A sum of n products x w is off by at most
        (max|w| sum|x| + max|x| sum|w| + n max|w| max|x| / 254) / 253. For inputs of similar scale, a step
        usually adds a root-mean-square error of 0.5% of the outputs. The tests allow 2% with initial weights,
        also after 1,000 steps of layers that forget, 4% for a trained GRU, and 8% for models of several
        layers. Other layers, such as those with layer norm, can let errors grow: `Frozen.error` measures
        them. NaN or infinity in the inputs makes the outputs of its row NaN, even where those of float32 are
        finite.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> layer, x = bptt.LSTM(3, 8), np.ones((20, 4, 3))
        >>> frozen = layer.freeze()
        >>> np.array_equal(frozen(x)[0], layer(x)[0])
        True
        """
        return Frozen(self, self._of_inference(precision))

    def stream(self, batch_size: int = 1, precision: str | None = None) -> InferenceStream:
        """Make a stream, which runs step by step with a packed copy of the weights.

        Parameters
        ----------
        batch_size : int
            Number of rows in each step.
        precision : {"highest", "bfloat16", "int8"}, optional
            As for `freeze`.

        Raises
        ------
        TypeError
            If `batch_size` is not an int.
        ValueError
            If `batch_size` is not positive. If a layer is bidirectional, because a reverse direction starts
            at the end of the sequence. If a layer has no output for each step, as `Last`. Or as for `freeze`.

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
        if isinstance(batch_size, str):
            raise TypeError(
                f"batch_size must be an int; got {short(batch_size)}. Fix: pass the precision by name, "
                f"stream(precision={short(batch_size)})."
            )
        rows = size(batch_size, "batch_size", 2**31 - 1)
        precision = self._of_inference(precision)
        return InferenceStream(repr(self), self.stage(rows, precision=precision), precision)

    def _of_inference(self, precision: object) -> str | None:
        if precision is None:
            return None
        return parse_precision(precision, self.dtype, OF_INFERENCE, self.rounding_dtypes)

    @property
    def state_pattern(self) -> str:
        """The form of the layer's state, for messages."""
        return "state"

    def snapshot(self) -> Self:
        """Return a copy for inference, whose gradients are constant zeros."""
        with blank_copies(self):
            twin = copy.deepcopy(self)
        twin.flat_parameters[...] = self.flat_parameters
        return twin

    def packed(self, precision: str | None = None) -> Inference:
        """Return a function that runs inference, and may pack the weights once.

        Without `precision`, it returns the bits of a call. A layer without products ignores `precision`.
        """
        return self.__call__

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> Stage:
        """Return the layer with its current weights, for a stream.

        Parameters
        ----------
        batch_size : int
            B.
        before : ndarray, optional
            (B, ...): the array that the layer reads in each step, which is the output of the layer before
            it. Default: the result of `step_input`.
        precision : str, optional
            As for `packed`.
        """
        if before is None:
            before = self.step_input(batch_size)
        call = self.snapshot().packed(precision)
        return CallStage(self.kind, call, before, skips="skip" in self.call_options)

    @property
    def int8_weights(self) -> frozenset[str]:
        """Names of the parameters that `freeze(precision="int8")` rounds."""
        return frozenset()

    def bind(self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any]) -> None:
        """Make the views refer to these two vectors, whose values do not change."""
        raise NotImplementedError
