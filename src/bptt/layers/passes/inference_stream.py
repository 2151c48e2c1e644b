"""One step at a time: what `layer.stream()` gives."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_floats, as_real, check_shape, to_floats
from bptt.layers.passes.backend import State, StreamCore


class InferenceStream:
    """
    Steps through a sequence as it comes. The weights are those of the moment the stream was made, packed
    once; the state is kept inside; a step allocates nothing. Outputs have the bits of `layer(x)`.

    The shortest way through a step is the bound buffers: fill `input`, call `step()`, read `output`.

    A stream of the compiled core serves one thread at a time. While a call steps, every other call that
    steps, or that reads or writes the state, raises RuntimeError and leaves the state as it is.

    Attributes
    ----------
    input : ndarray
        (B, I), of the layer's dtype: what the next `step()` reads.
    output : ndarray
        (B, H): output of the last step. The next step overwrites it.

    Raises
    ------
    ValueError
        The layer is bidirectional: its reverse direction starts at the end of the sequence.
    """

    def __init__(self, layer: str, core: StreamCore) -> None:
        self.input = core.input
        self.output = core.output
        self._layer = layer
        self._core = core
        self._step = core.step
        self._shapes = [None if part is None else part.shape for part in core.state()]

    def step(self, x: npt.ArrayLike | None = None, out: Floats | None = None) -> Floats:
        """
        Run one time step.

        Parameters
        ----------
        x : array-like, optional
            (B, I), or (I,) for a stream of one row. None: read `input`.
        out : ndarray, optional
            (B, H), or (H,) for x of (I,): written and returned.

        Returns
        -------
        ndarray
            (B, H), or (H,) for x of (I,). Without x and out it is `output` itself, which the next step
            overwrites; otherwise `out` or a new array.

        Raises
        ------
        TypeError, ValueError
            Arrays of the wrong kind, dtype (out) or shape; then no step is made.
        RuntimeError
            Another thread is stepping this stream; then no step is made.
        """
        if x is None and out is None:
            self._step()
            return self.output
        squeezed = False
        if x is not None:
            # The array that needs no look at its values is the usual one.
            if not (type(x) is np.ndarray and x.dtype == self.input.dtype and x.shape == self.input.shape):
                array = as_real(x, "x")
                squeezed = array.ndim == 1 and len(self.input) == 1
                check_shape(array, "x", self.input.shape[1:] if squeezed else self.input.shape)
                x = to_floats(array, "x", self.input.dtype).reshape(self.input.shape)
            if out is not None:
                self._check_out(out, squeezed)
            self.input[...] = x
        elif out is not None:
            self._check_out(out, squeezed=False)
        self._step()
        result = self.output[0] if squeezed else self.output
        if out is None:
            new: Floats = result.copy()
            return new
        out[...] = result
        return out

    def run(self, x: npt.ArrayLike) -> Floats:
        """
        Several steps in one call.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (T, I) for a stream of one row.

        Returns
        -------
        ndarray
            (T, B, H), or (T, H).

        Raises
        ------
        TypeError, ValueError
            An array of the wrong kind or shape; then no step is made.
        RuntimeError
            Another thread is stepping this stream; then no step is made.
        KeyboardInterrupt
            Ctrl-C; the stream then continues after the last whole step.
        """
        array = as_real(x, "x")
        B, I = self.input.shape
        squeezed = array.ndim == 2 and B == 1
        steps = len(array) if array.ndim else 0
        check_shape(array, "x", (steps, I) if squeezed else (steps, B, I))
        y: Floats = self._core.run(to_floats(array, "x", self.input.dtype).reshape(steps, B, I))
        if squeezed:
            y = y[:, 0]
        return y

    @property
    def state(self) -> State:
        """A copy of the state after the last step: (L, B, H), for LSTM a pair (h, c). It can be set, too."""
        h, c = self._core.state()
        return h if c is None else (h, c)

    @state.setter
    def state(self, value: Any) -> None:
        h_shape, c_shape = self._shapes
        dtype = self.input.dtype
        if c_shape is None:
            self._core.set_state(as_floats(value, "state", dtype, h_shape), None)
            return
        if not isinstance(value, (tuple, list)) or len(value) != 2:
            raise TypeError(
                f"state must be a pair (h, c); got {type(value).__name__}. Fix: pass a tuple of two arrays."
            )
        h = as_floats(value[0], "state[0]", dtype, h_shape)
        c = as_floats(value[1], "state[1]", dtype, c_shape)
        self._core.set_state(h, c)

    def reset(self) -> None:
        """Start again from a state of zeros."""
        self._core.reset()

    def _check_out(self, out: Floats, squeezed: bool) -> None:
        shape = self.output.shape[1:] if squeezed else self.output.shape
        if not isinstance(out, np.ndarray) or out.dtype != self.output.dtype or not out.flags.writeable:
            got = f"dtype {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            raise TypeError(
                f"out must be a writable ndarray of {self.output.dtype}; got {got}. "
                f"Fix: numpy.empty({shape}, {self.output.dtype.name!r})."
            )
        check_shape(out, "out", shape)

    def __repr__(self) -> str:
        return f"InferenceStream({self._layer}, batch_size={len(self.input)})"
