"""Position of a training run between two updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bptt.data.batches import Window
from bptt.train.generators import GeneratorStates


@dataclass(frozen=True)
class Run:
    """All that resuming needs besides weights, optimizer and history. Immutable: each update makes the next.

    Attributes
    ----------
    epoch : int
        Epochs done.
    batches, step : int
        Batches done of the current epoch; time steps done of the next batch.
    updates, validations : int
        Rows of the history that belong to this run.
    optimizer_steps : int
        `optimizer.steps` at this point.
    states : mapping of int to states
        The model's states, by the time step of the batch at which a window may start.
    generators : GeneratorStates
    generators_before : GeneratorStates or None
        Before the last batch was drawn, where data and layers draw from the same generator.
    clip : Any
        What the gradient clip has learnt.
    data, validation : mapping or None
        `feed.data_state` of the data when the epoch began, and of the validation data after the last
        validation.
    checksum : int or None
        Of a resumed run: `feed.checksum` of the batch that its last update read.
    """

    epoch: int = 0
    batches: int = 0
    step: int = 0
    updates: int = 0
    validations: int = 0
    optimizer_steps: int = 0
    states: Mapping[int, Any] = field(default_factory=lambda: {0: None})
    generators: GeneratorStates = field(default_factory=GeneratorStates)
    generators_before: GeneratorStates | None = None
    clip: Any = None
    data: Any = None
    validation: Any = None
    checksum: int | None = None

    @property
    def inside(self) -> bool:
        """Whether the current epoch has begun."""
        return self.batches > 0 or self.step > 0

    @property
    def last(self) -> int:
        """Index of the batch that the last update read; -1 when an epoch begins."""
        return self.batches if self.step else self.batches - 1

    def after_window(self, window: Window, state: Any, *, carries: bool) -> Run:
        """The run once this window has been read and has left the model in `state`.

        With `carries`, the next batch starts from the state after this one.
        """
        if window.fraction >= 1.0:
            batches, step, states = self.batches + 1, 0, {0: state if carries else None}
        else:
            # Keep earlier states unchanged, because later windows start from them.
            earlier = {start: old for start, old in self.states.items() if start >= window.start}
            batches, step, states = self.batches, window.stop, earlier | {window.stop: state}
        return replace(
            self,
            batches=batches,
            step=step,
            states=states,
            generators_before=window.generators_before,
            checksum=None,
        )

    def after_epoch(self, *, validated: bool, generators: GeneratorStates, data: Any, validation: Any) -> Run:
        """The run at the start of the next epoch."""
        return replace(
            self,
            epoch=self.epoch + 1,
            batches=0,
            step=0,
            states={0: None},
            validations=self.validations + validated,
            generators=generators,
            generators_before=None,
            data=data,
            validation=validation,
            checksum=None,
        )
