"""Where a model has its time axis, and which rows of its outputs count."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.data.batches import Batch, Window
from bptt.layers import EncoderDecoder, Module, RecurrentCalls
from bptt.layers.containers.inputs import Inputs, Path, arrays_of, main_array, map_inputs, ports
from bptt.layers.containers.traverse import iter_layers, iter_models
from bptt.layers.passes.directions import reads_from_end
from bptt.layers.passes.ragged import parse_lengths
from bptt.losses.rows import row_mask


class ModelAxes:
    """The time axis of a model's inputs, and the rows of its outputs that count.

    Parameters
    ----------
    model : Module

    Attributes
    ----------
    forward_only : bool
        Whether no layer reads from the end, so that the model's state may be carried forward.
    batch_first : bool
        Whether the model reads batches (B, T, ...).
    """

    def __init__(self, model: Module) -> None:
        parts = list(iter_layers(model))
        recurrent = [part for part in parts if isinstance(part, RecurrentCalls)]
        self.forward_only = not any(map(reads_from_end, recurrent))
        self.batch_first = any(part.batch_first for part in recurrent)
        self._ports = ports(model)
        self._model = model

    def refuse_uncarried(self, what: str) -> None:
        """Raise ValueError if the model's state cannot be carried from one window or batch to the next."""
        self.refuse_from_end(what)
        if any(isinstance(model, EncoderDecoder) for model in iter_models(self._model)):
            raise ValueError(
                f"{what} needs a model whose state can be carried forward; got an EncoderDecoder, whose "
                f"encoder reads the whole input first. Fix: leave {what} out and pass whole sequences."
            )

    def refuse_from_end(self, what: str) -> None:
        """Raise ValueError if a layer reads from the end: `what` carries the state forward."""
        if not self.forward_only:
            raise ValueError(
                f"{what} needs a model that reads forward only; got a layer with bidirectional=True or "
                f"reverse=True, which starts at the end. Fix: leave out this option, or leave {what} out and "
                "pass whole sequences."
            )

    def main(self, x: Inputs) -> npt.NDArray[Any]:
        """Return the input whose time axis is that of the model.

        Raises
        ------
        ValueError
            The names in x are not those of the model's layers.
        """
        return main_array(x, self._ports[0].path, "x")  # type: ignore[no-any-return]

    def time_axis(self, x: Inputs) -> int:
        """Return 1 for a batch (B, T, ...), otherwise 0: an unbatched sequence has its time axis first."""
        return 1 if self.batch_first and self._batched(x) else 0

    def tokens(self, batch: Batch) -> int:
        """Return the number of time steps of all rows, without skipped steps and padding."""
        if batch.skip is None and self._main_option(batch.lengths, "lengths") is None:
            return math.prod(self._lead(batch.x))
        return int(np.count_nonzero(self._valid(batch)))

    def per_step(self, batch: Batch, y: npt.NDArray[Any]) -> bool:
        """Return whether the model's output `y` has one row per time step, not one per sequence."""
        return y.shape[:-1] == self._lead(batch.x)

    def mask(self, batch: Batch, y: npt.NDArray[Any]) -> npt.NDArray[Any] | None:
        """Return a mask of the rows of the model's output `y` that count; None if all rows count.

        Skipped steps, steps after the end of a row, rows without a step, and masked rows do not count.
        """
        return self.counted(batch, per_step=self.per_step(batch, y), made=self.made(batch, y))

    def made(self, batch: Batch, y: npt.NDArray[Any]) -> int | None:
        """Return the number of steps of the output `y` if `Repeat` made them; None if they are those of x."""
        others = y.ndim == 3 and not self.per_step(batch, y)
        return int(y.shape[self.batch_first]) if others else None

    def counted(self, batch: Batch, *, per_step: bool, made: int | None) -> npt.NDArray[Any] | None:
        """Return the mask of rows that count: one per time step, or per sequence, or `made` per sequence."""
        mask = batch.mask
        lengths, skip = self._main_option(batch.lengths, "lengths"), self._main_option(batch.skip, "skip")
        if skip is None and (lengths is None or not self._batched(batch.x)):
            return mask
        rows: tuple[int, ...] = self._lead(batch.x)
        valid = self._valid(batch)
        if not per_step:
            axis = self.time_axis(batch.x)
            rows = self.rows(batch, per_step=False, made=made)
            valid = np.asarray(valid.any(axis=axis))
            if made is not None:
                valid = np.broadcast_to(np.expand_dims(valid, axis), rows)
            if valid.all():  # the loss is faster without a mask
                return mask
        return valid if mask is None else valid & row_mask(mask, rows).reshape(rows)

    def _valid(self, batch: Batch) -> npt.NDArray[np.bool_]:
        """Return which time steps rows have, in the order of axes of x."""
        rows, axis = self._lead(batch.x), self.time_axis(batch.x)
        valid = np.ones(rows, np.bool_)
        lengths, skip = self._main_option(batch.lengths, "lengths"), self._main_option(batch.skip, "skip")
        # If an array has the wrong shape or type, the layer raises the error.
        if skip is not None and skip.dtype == np.bool_ and skip.shape == rows:
            valid &= ~skip
        if lengths is not None and self._batched(batch.x) and lengths.shape == (rows[1 - axis],):
            within = np.arange(rows[axis])[:, None] < lengths
            valid &= within.T if axis == 1 else within
        return valid

    def rows(self, batch: Batch, *, per_step: bool, made: int | None) -> tuple[int, ...]:
        """Return the shape of the model's output without its last axis."""
        lead = self._lead(batch.x)
        if per_step:
            return lead
        if made is not None:
            B = lead[1 - self.time_axis(batch.x)] if self._batched(batch.x) else lead[0]
            return (B, made) if self.batch_first else (made, B)
        return (lead[1 - self.time_axis(batch.x)],) if self._batched(batch.x) else ()

    def with_batch_first(self, batch: Batch, *, per_step: bool) -> Batch:
        """Return views (B, T, ...) of a batch (T, B, ...). `per_step`: the target has a time axis, too."""

        def swapped(array: npt.NDArray[Any] | None, swap: bool = True) -> npt.NDArray[Any] | None:
            return array.swapaxes(0, 1) if swap and array is not None else array

        return Batch(
            x=self._over_time(batch.x, lambda _, array: array.swapaxes(0, 1)),
            target=swapped(batch.target, per_step),
            mask=swapped(batch.mask, per_step),
            weight=swapped(batch.weight, per_step),
            lengths=batch.lengths,
            reset=map_inputs(lambda _, array: swapped(array), batch.reset),
            skip=map_inputs(lambda _, array: swapped(array), batch.skip),
        )

    def _lead(self, x: Inputs) -> tuple[int, ...]:
        """Return the sizes of the axes of time and batch."""
        array = self.main(x)
        return array.shape[: array.ndim - self._ports[0].features]

    def _batched(self, x: Inputs) -> bool:
        return len(self._lead(x)) == 2

    def _main_option(self, option: Inputs | None, name: str) -> Any:
        """Return lengths or skips of the rows of the main input, or None."""
        if not isinstance(option, Mapping):
            return option
        path = self._ports[0].path  # empty without names: then the layer raises the error
        return main_array(option, path, name) if path and path[0] in option else None

    def _over_time(self, x: Inputs, function: Callable[[Path, Any], Any]) -> Inputs:
        """Return the inputs with `function` applied to each array that has a time axis."""
        axes = len(self._lead(x))

        def apply(path: Path, array: npt.NDArray[Any]) -> Any:
            port = next((port for port in self._ports if port.path[: len(path)] == path), self._ports[0])
            return function(path, array) if array.ndim - port.features >= axes else array

        return map_inputs(apply, x)

    def _arrays_over_time(self, x: Inputs) -> list[npt.NDArray[Any]]:
        """Return the arrays of x that have a time axis."""
        arrays: dict[Path, npt.NDArray[Any]] = {}
        self._over_time(x, arrays.__setitem__)
        return list(arrays.values())

    def windows(
        self, batch: Batch, k1: int | None, k2: int | None = None, *, padding: bool = False
    ) -> Iterator[Window]:
        """Cut a batch into windows of `k1` time steps. The last window may be shorter. None: no cut.

        Windows after the end of every row are left out, unless `padding` is True. Ranks need `padding` for an
        equal number of windows if their longest rows differ. With `k2` above `k1`, a window starts `k2` steps
        before its end, or slightly earlier: at the end of an earlier window, where the state is known.

        Raises
        ------
        ValueError
            The batch has more than one window, and its target, mask or weight has no time axis.
        """
        axis, x = self.time_axis(batch.x), self.main(batch.x)
        T = x.shape[axis] if x.ndim else 1  # x is a number: the model raises the error
        lengths, longest = self._main_option(batch.lengths, "lengths"), T
        if lengths is not None and self._batched(batch.x):
            lengths = parse_lengths(lengths, T, x.shape[1 - axis])
            longest = T if padding else int(np.max(lengths, initial=1))
        skipped = self._main_option(batch.skip, "skip") is not None
        if skipped and not padding and len(self._lead(batch.x)) > axis:
            valid = np.moveaxis(self._valid(batch), axis, 0)
            steps = np.flatnonzero(valid.any(axis=tuple(range(1, valid.ndim))))
            longest = int(np.max(steps, initial=0)) + 1
        over_time = {
            "target": batch.target,
            "mask": batch.mask,
            "weight": batch.weight,
            "reset": batch.reset,
            "skip": batch.skip,
        }
        arrays = [(name, array) for name, value in over_time.items() for array in arrays_of(value).values()]
        arrays += [("x", array) for array in self._arrays_over_time(batch.x)]
        without = [
            (name, array)
            for name, array in arrays
            if array is not None and (array.ndim <= axis or array.shape[axis] != T)
        ]
        if k1 is None or k1 >= (longest if without else T):
            yield Window(batch, batch, 0, T, 0, 1.0)
            return
        if without:
            name, array = without[0]
            raise ValueError(
                f"{name} must have {T} steps on axis {axis}, like x, to be cut into windows of {k1}; "
                f"got shape {array.shape}. Fix: leave truncate out, or pass a {name} for every step."
            )

        def part(begin: int, end: int) -> Batch:
            cut = (slice(None),) * axis + (slice(begin, end),)

            def inside(_: Path, array: Any) -> Any:
                return None if array is None else array[cut]

            def shorter(_: Path, rows: Any) -> Any:
                return None if rows is None else np.clip(np.asarray(rows) - begin, 0, end - begin)

            return Batch(
                self._over_time(batch.x, inside),
                lengths=map_inputs(shorter, batch.lengths),
                **{name: map_inputs(inside, value) for name, value in over_time.items()},
            )

        for start in range(0, longest, k1):
            stop = min(start + k1, T)
            begin = start
            if k2 is not None and k2 > k1:
                begin = min(start, max(0, stop - k2) // k1 * k1)
            counted = part(start, stop)
            read = part(begin, stop) if begin < start else counted
            yield Window(read, counted, begin, stop, start - begin, 1.0 if stop >= longest else stop / T)

    def after(self, y: npt.NDArray[Any], window: Window) -> npt.NDArray[Any]:
        """Return a view of the outputs whose losses count."""
        if window.context == 0:
            return y
        return y[(slice(None),) * self.time_axis(window.read.x) + (slice(window.context, None),)]
