"""Models that run step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from bptt.arrays import Floats
from bptt.layers.containers.parts import Key
from bptt.layers.passes.ragged import Flags
from bptt.layers.passes.stages import Stage


class ModelStage:
    """The stages of a model's layers.

    Parameters
    ----------
    stages : dict
        Stages by the names of their layers. Each reads the `output` of stages before it.
    input : ndarray or mapping
        The input of the model.
    output : ndarray
        The output of the model.
    finish : callable or None
        Writes `output` after all stages have run, if it is not the output of the last stage.
    run : callable
        Runs several steps, given x and a function that runs the steps of one layer: run(x, part).
    per_part : callable
        Returns a state with one entry per layer, or raises an error.
    """

    def __init__(
        self,
        stages: dict[Key, Stage],
        input: Any,
        output: Floats,
        *,
        finish: Callable[[], Any] | None = None,
        run: Callable[[Any, Callable[[Key, Any], Floats]], Floats],
        per_part: Callable[[Any], tuple[Any, ...]],
    ) -> None:
        self.input, self.output = input, output
        self._stages = stages
        self._steps = [stage.step for stage in stages.values()] + ([finish] if finish else [])
        self._run, self._per_part = run, per_part
        self._finish = finish
        from threading import Lock  # `import bptt` does not need it

        self._busy = Lock()

    def step(self) -> None:
        with self._alone():
            for step in self._steps:
                step()

    def step_skipping(self, skip: Flags) -> None:
        with self._alone():
            for stage in self._stages.values():
                stage.step_skipping(skip)
            if self._finish is not None:
                self._finish()

    def run(self, x: Any, skip: Flags | None = None) -> Floats:
        with self._alone():
            before = self.state
            try:
                return self._run(x, lambda key, part: self._stages[key].run(part, skip))
            except BaseException:  # some layers have made all steps, and others none
                self._write(before)
                raise

    @property
    def state(self) -> tuple[Any, ...]:
        return tuple(stage.state for stage in self._stages.values())

    def set_state(self, value: Any) -> None:
        states = self._per_part(value)
        before = self.state
        try:
            self._write(states)
        except BaseException:
            self._write(before)
            raise

    def reset(self) -> None:
        for stage in self._stages.values():
            stage.reset()

    def _write(self, states: tuple[Any, ...]) -> None:
        for stage, state in zip(self._stages.values(), states, strict=True):
            if state is None:
                stage.reset()
            else:
                stage.set_state(state)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Refuse a second call while one runs, because it would mix the states of two steps."""
        if not self._busy.acquire(blocking=False):
            raise RuntimeError(
                "stream must serve one call at a time; got a call while another one runs. Fix: wait for the "
                "other call, or give each thread its own model.stream()."
            )
        try:
            yield
        finally:
            self._busy.release()
