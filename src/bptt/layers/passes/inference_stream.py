"""The result of `layer.stream()`: a layer that runs step by step."""

from __future__ import annotations

from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_floats, as_real, check_shape, to_floats
from bptt.layers.passes.backend import State, StreamCore
from bptt.layers.passes.ragged import Flags, as_bools


class InferenceStream:
    """Layer that reads a sequence step by step and keeps its state.

    The stream has a packed copy of the layer's weights at the time of `stream()`. A step allocates no memory.
    Outputs have the same bits as those of `layer(x)`.

    The fastest way to run a step is to fill `input`, call `step()` and read `output`.

    Only one thread at a time may use a stream of the compiled core. While a call runs a step, every other
    call that runs a step, or reads or writes the state, raises RuntimeError and does not change the state.

    Attributes
    ----------
    input : ndarray
        (B, I), in the layer's dtype: the input of the next `step()`.
    output : ndarray
        (B, H): output of the last step. The next step overwrites it.

    Raises
    ------
    ValueError
        If the layer is bidirectional, because its reverse direction starts at the end of the sequence.
    """

    def __init__(self, layer: str, core: StreamCore) -> None:
        self.input = core.input
        self.output = core.output
        self._layer = layer
        self._core = core
        self._step = core.step
        self._shapes = [None if part is None else part.shape for part in core.state()]

    def step(
        self,
        x: npt.ArrayLike | None = None,
        out: Floats | None = None,
        *,
        skip: npt.ArrayLike | None = None,
    ) -> Floats:
        """Run one time step.

        Parameters
        ----------
        x : array-like, optional
            (B, I), or (I,) for a stream of one row. None: read `input`.
        out : ndarray, optional
            (B, H), or (H,) for x of shape (I,): the array to write the result into.
        skip : array-like of bool, optional
            (B,). True: the row has no such step. Its state is held, and its result is 0. Default: none.

        Returns
        -------
        ndarray
            (B, H), or (H,) for x of shape (I,). Without x and out it is `output` itself, which the next step
            overwrites. Otherwise it is `out` or a new array.

        Raises
        ------
        TypeError, ValueError
            If an array has the wrong type or shape, or `out` has the wrong dtype. Then no step runs.
        RuntimeError
            If another thread is running a step of this stream. Then no step runs.
        """
        if x is None and out is None and skip is None:
            self._step()
            return self.output
        held = None if skip is None else _bytes(skip, self.input.shape[:1])
        squeezed = False
        if x is not None:
            # An array of the right dtype and shape is the usual case, and needs no further checks.
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
        if held is None:
            self._step()
        else:
            self._core.step_skipping(held)
        result = self.output[0] if squeezed else self.output
        if x is None and out is None:
            return result
        if out is None:
            new: Floats = result.copy()
            return new
        out[...] = result
        return out

    def run(self, x: npt.ArrayLike, *, skip: npt.ArrayLike | None = None) -> Floats:
        """Run several steps in one call.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (T, I) for a stream of one row.
        skip : array-like of bool, optional
            (T, B), or (T,) for x of shape (T, I). True: the row has no such step. Default: none.

        Returns
        -------
        ndarray
            (T, B, H), or (T, H).

        Raises
        ------
        TypeError, ValueError
            If x has the wrong type or shape. Then no step runs.
        RuntimeError
            If another thread is running a step of this stream. Then no step runs.
        KeyboardInterrupt
            After Ctrl-C. The stream then continues after the last complete step.
        """
        array = as_real(x, "x")
        B, I = self.input.shape
        squeezed = array.ndim == 2 and B == 1
        steps = len(array) if array.ndim else 0
        check_shape(array, "x", (steps, I) if squeezed else (steps, B, I))
        held = None
        if skip is not None:
            held = _bytes(skip, (steps,) if squeezed else (steps, B)).reshape(steps, B)
        y: Floats = self._core.run(to_floats(array, "x", self.input.dtype).reshape(steps, B, I), held)
        if squeezed:
            y = y[:, 0]
        return y

    @property
    def state(self) -> State:
        """A copy of the state after the last step: (L, B, H), for LSTM a pair (h, c).

        Can be assigned.
        """
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
            actual = f"dtype {out.dtype}" if isinstance(out, np.ndarray) else type(out).__name__
            raise TypeError(
                f"out must be a writable ndarray of {self.output.dtype}; got {actual}. "
                f"Fix: pass numpy.empty({shape}, {self.output.dtype.name!r})."
            )
        check_shape(out, "out", shape)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a stream cannot be copied or pickled, because it holds packed weights. "
            "Fix: copy or pickle the layer, call stream() again, and set stream.state."
        )

    def __repr__(self) -> str:
        return f"InferenceStream({self._layer}, batch_size={len(self.input)})"


def _bytes(skip: npt.ArrayLike, shape: tuple[int, ...]) -> Flags:
    """Check the argument `skip`, and return it as the backend reads it."""
    return np.ascontiguousarray(as_bools(skip, "skip", shape)).view(np.uint8)
