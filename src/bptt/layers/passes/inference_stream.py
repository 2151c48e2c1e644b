"""The result of `layer.stream()`: a layer or a model that runs step by step."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NoReturn

import numpy as np
import numpy.typing as npt

from bptt.arrays import Floats, as_ids, as_real, check_shape, to_floats
from bptt.layers.passes.backend import State
from bptt.layers.passes.out import check_out
from bptt.layers.passes.ragged import Flags, as_bools
from bptt.layers.passes.stages import Stage


class InferenceStream:
    """Layer or model that reads a sequence step by step and keeps its state.

    The stream has a copy of the weights at the time of `stream()`, packed once. A step of recurrent and
    linear layers allocates no memory. Outputs have the same bits as those of `layer(x)`.

    The fastest way to run a step is to fill `input`, call `step()` and read `output`.

    Only one thread at a time may use a stream of the compiled core. While a call runs a step, every other
    call that runs a step, or reads or writes the state, raises RuntimeError and does not change the state.

    Attributes
    ----------
    input : ndarray, or mapping from names to ndarray
        (B, I), in the layer's dtype, or (B,) for ids: the input of the next `step()`.
    output : ndarray
        (B, H): output of the last step. The next step overwrites it.

    Raises
    ------
    ValueError
        If a layer is bidirectional, because its reverse direction starts at the end of the sequence. Or if a
        layer has no output for each step, as `Last`.
    """

    def __init__(self, layer: str, stage: Stage, precision: str | None = None) -> None:
        self.input = stage.input
        self.output = stage.output
        self._layer = layer
        self._precision = precision
        self._stage = stage
        self._step = stage.step

    def step(self, x: Any = None, out: Floats | None = None, *, skip: npt.ArrayLike | None = None) -> Floats:
        """Run one time step.

        Parameters
        ----------
        x : array-like, optional
            (B, I), or (I,) for a stream of one row. For ids, (B,) or a number. A mapping from names to such
            arrays for a model with several inputs. None: read `input`.
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
        held = None if skip is None else _bytes(skip, self.output.shape[:1])
        squeezed = False
        if x is not None:
            x, squeezed = _read(x, self.input, "x", over_time=False)
            if out is not None:
                self._check_out(out, squeezed)
            _fill(self.input, x)
        elif out is not None:
            self._check_out(out, squeezed=False)
        if held is None:
            self._step()
        else:
            self._stage.step_skipping(held)
        result = self.output[0] if squeezed else self.output
        if x is None and out is None:
            return result
        if out is None:
            new: Floats = result.copy()
            return new
        out[...] = result
        return out

    def run(self, x: Any, *, skip: npt.ArrayLike | None = None) -> Floats:
        """Run several steps in one call.

        Parameters
        ----------
        x : array-like
            (T, B, I), or (T, I) for a stream of one row. For ids, (T, B) or (T,). A mapping from names to
            arrays for a model with several inputs.
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
            After Ctrl-C. A layer then continues after the last complete step, and a model before this call.
        """
        values, squeezed = _read(x, self.input, "x", over_time=True)
        held = None
        if skip is not None:
            steps, B = _steps(values, self.input) or 0, len(self.output)
            held = _bytes(skip, (steps,) if squeezed else (steps, B)).reshape(steps, B)
        y = self._stage.run(values, held)
        return y[:, 0] if squeezed else y

    @property
    def state(self) -> State:
        """A copy of the state after the last step: (L, B, H), for LSTM a pair (h, c), for a model a tuple.

        Can be assigned.
        """
        return self._stage.state  # type: ignore[no-any-return]

    @state.setter
    def state(self, value: Any) -> None:
        self._stage.set_state(value)

    def reset(self) -> None:
        """Start again from a state of zeros."""
        self._stage.reset()

    def _check_out(self, out: Floats, squeezed: bool) -> None:
        shape = self.output.shape[1:] if squeezed else self.output.shape
        check_out(out, self.output.dtype, shape)

    def __reduce__(self) -> NoReturn:
        raise TypeError(
            "a stream cannot be copied or pickled, because it holds packed weights. "
            "Fix: copy or pickle the layer, call stream() again, and set stream.state."
        )

    def __repr__(self) -> str:
        precision = "" if self._precision is None else f", precision={self._precision!r}"
        return f"InferenceStream({self._layer}, batch_size={len(self.output)}{precision})"


def _read(value: Any, buffer: Any, name: str, *, over_time: bool) -> tuple[Any, bool]:
    """Check the input of a step, or of several steps. Return it in the form of the buffer.

    Also return whether the array had no axis of rows.
    """
    # An array of the right dtype and shape is the usual case. Further checks would take longer than a step.
    if type(value) is np.ndarray and type(buffer) is np.ndarray and value.dtype == buffer.dtype:
        flags, row = value.flags, value.shape[over_time:]
        if flags.c_contiguous and flags.aligned:
            if row == buffer.shape:
                return value, False
            if len(buffer) == 1 and row == buffer.shape[1:]:
                return value.reshape(value.shape[:over_time] + buffer.shape), True
    if isinstance(buffer, Mapping):
        return _read_several(value, buffer, name, over_time=over_time), False
    array = as_real(value, name)
    squeezed = len(buffer) == 1 and array.ndim == buffer.ndim - 1 + over_time
    steps = (len(array) if array.ndim else 0,) if over_time else ()
    check_shape(array, name, (*steps, *buffer.shape[squeezed:]))
    array = as_ids(array, name) if buffer.dtype.kind == "i" else to_floats(array, name, buffer.dtype)
    return array.reshape(*steps, *buffer.shape), squeezed


def _read_several(value: Any, buffers: Mapping[str, Any], name: str, *, over_time: bool) -> dict[str, Any]:
    """Check the inputs of a model with several inputs. An array without a time axis holds at every step."""
    named = value if isinstance(value, Mapping) else dict.fromkeys(buffers, value)
    if set(named) != set(buffers):
        example = ", ".join(f"{key!r}: ..." for key in buffers)
        raise ValueError(
            f"{name} must be a mapping with the names {', '.join(buffers)}; got "
            f"{', '.join(map(str, named))}. Fix: pass {{{example}}}."
        )
    values = {}
    for key, buffer in buffers.items():
        at_every_step = isinstance(buffer, np.ndarray) and np.shape(named[key]) == buffer.shape
        values[key], _ = _read(
            named[key], buffer, f"{name}[{key!r}]", over_time=over_time and not at_every_step
        )
    return values


def _steps(values: Any, buffer: Any) -> int | None:
    """Return the number of steps of the values that `_read` returned; None if no array has a time axis."""
    if isinstance(buffer, Mapping):
        counts = (_steps(values[key], part) for key, part in buffer.items())
        return next((count for count in counts if count is not None), None)
    return len(values) if values.ndim > buffer.ndim else None


def _fill(buffer: Any, values: Any) -> None:
    if isinstance(buffer, np.ndarray):
        buffer[...] = values
    else:
        for key, part in buffer.items():
            _fill(part, values[key])


def _bytes(skip: npt.ArrayLike, shape: tuple[int, ...]) -> Flags:
    """Check the argument `skip`, and return it as the backend reads it."""
    return np.ascontiguousarray(as_bools(skip, "skip", shape)).view(np.uint8)
