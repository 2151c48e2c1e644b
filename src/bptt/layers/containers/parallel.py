"""Layers side by side, each with its own input or all with the same one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, cast

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed
from bptt.arrays import Floats, as_floats
from bptt.layers.containers.container import Run, RunBack
from bptt.layers.containers.joins import check_layers, check_layouts
from bptt.layers.containers.named import Named
from bptt.layers.containers.parts import Key, per_part
from bptt.layers.containers.stages import ModelStage
from bptt.layers.module import Module
from bptt.layers.passes.stages import Stage
from bptt.layers.passes.tape import ModelTape


class Parallel(Named):
    """Layers side by side, whose outputs are joined on the last axis.

    Use it for a sequence with static features, or for several sequences. x is a mapping from the names of
    the layers to their inputs. If x is one array, every layer reads it.

    An output without a time axis, (B, F), is repeated at every step if another output has one, (T, B, G).

    Parameters
    ----------
    **layers : Module
        At least one layer. The keywords are their names, with which parameter names begin:
        `sequence.0.weight_ih_l0`. A layer may be a model, and belongs to one model at a time.
    seed : int, numpy.random.Generator or None
        As for `Sequential`.

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ValueError
        If there are no layers, or a name is not an identifier. If a layer occurs twice or belongs to another
        living model, or if dtypes or `batch_first` differ. With `seed`: as for `Sequential`.

    Notes
    -----
    The state is a tuple with one entry per layer. `lengths`, `reset` and `skip` reach every layer that
    accepts them. They may also be mappings from names to arrays, if sequences differ in length.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> sequence = bptt.Sequential(bptt.LSTM(3, 8), bptt.Last())
    >>> model = bptt.Parallel(sequence=sequence, static=bptt.Linear(5, 2))
    >>> y, state = model({"sequence": np.ones((20, 4, 3)), "static": np.ones((4, 5))})
    >>> y.shape
    (4, 10)
    """

    def __init__(self, *, seed: Seed = None, **layers: Module) -> None:
        parts = cast("dict[Key, Module]", layers)
        check_layers(parts, "Parallel(sequence=LSTM(8, 16), static=Linear(4, 16))")
        check_layouts(parts.values())
        self._join(parts, seed)

    def connect(self, x: Any, state: Any, run: Run) -> tuple[Floats, tuple[Any, ...]]:
        inputs = self.inputs(x)
        states = list(self.per_part(state, "state"))
        outputs: list[Floats] = []
        for index, key in enumerate(self.parts):
            y, states[index] = run(key, inputs[key], states[index])
            outputs.append(y)
        return self._concatenated(outputs, batch_first=self.batch_first), tuple(states)

    def connect_back(
        self, tape: ModelTape, dy: Any, dstate: Any, run: RunBack, need_dx: bool
    ) -> tuple[Any, tuple[Any, ...]]:
        dstates = list(self.per_part(dstate, "dstate"))
        axis, lead = self._joined(tape.y_shapes, batch_first=self.batch_first)
        widths = [shape[-1] for shape in tape.y_shapes]
        if dy is not None:
            dy = as_floats(dy, "dy", self.dtype, (*lead, sum(widths)))
        stops = np.cumsum(widths)
        dxs: dict[Key, Any] = {}
        for index, key in enumerate(self.parts):
            error = None if dy is None else dy[..., stops[index] - widths[index] : stops[index]]
            if error is not None and len(tape.y_shapes[index]) <= len(lead):
                error = error.sum(axis=axis)
            dxs[key], dstates[index] = run(key, error, dstates[index], need_dx)
        return self.joined_errors(tape, dxs, need_dx), tuple(dstates)

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> ModelStage:
        stages: dict[Key, Stage] = {}
        for key, layer in self.parts.items():
            with self.naming(key):
                stages[key] = layer.stage(batch_size, before, precision=precision)
        inputs = {key: stage.input for key, stage in stages.items()} if before is None else before
        parts = [stage.output for stage in stages.values()]
        output = self._concatenated(parts, batch_first=False)

        def run(x: Any, part: Callable[[Key, Any], Floats]) -> Floats:
            own = x if isinstance(x, Mapping) else dict.fromkeys(stages, x)
            return self._concatenated([part(key, own[key]) for key in stages], batch_first=False)

        return ModelStage(
            stages,
            inputs,
            output,
            finish=lambda: np.concatenate(parts, axis=-1, out=output),
            run=run,
            per_part=partial(per_part, self.parts, name="state", pattern=self.state_pattern),
        )

    def _concatenated(self, outputs: list[Floats], *, batch_first: bool) -> Floats:
        axis, lead = self._joined(tuple(y.shape for y in outputs), batch_first=batch_first)
        whole = [
            y if y.ndim > len(lead) else np.broadcast_to(np.expand_dims(y, axis), (*lead, y.shape[-1]))
            for y in outputs
        ]
        return np.concatenate(whole, axis=-1)

    def _joined(
        self, shapes: tuple[tuple[int, ...], ...], *, batch_first: bool
    ) -> tuple[int, tuple[int, ...]]:
        """Return the time axis at which outputs are repeated, and the joined shape without its last axis."""
        lead = max((shape[:-1] for shape in shapes), key=len, default=())
        axis = 1 if batch_first and len(lead) == 2 else 0
        without_time = (*lead[:axis], *lead[axis + 1 :])
        if any(len(shape) == 0 or shape[:-1] not in (lead, without_time) for shape in shapes):
            actual = ", ".join(f"{key} {shape}" for key, shape in zip(self.parts, shapes, strict=True))
            raise ValueError(
                "layers must return the same steps and rows, to be joined on the last axis; got outputs "
                f"{actual}. Fix: end layers over different numbers of steps with Last(), and pass the same "
                "rows to all layers."
            )
        return axis, lead

    def __repr__(self) -> str:
        return f"Parallel({', '.join(f'{key}={layer!r}' for key, layer in self.parts.items())})"
