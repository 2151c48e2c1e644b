"""Position of a training run between two updates."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from bptt.data.batches import Window
from bptt.train.generators import GeneratorStates


@dataclass(frozen=True)
class Run:
    """All that resuming needs besides weights, optimizer and history. Each update makes a new `Run`.

    Attributes
    ----------
    epoch : int
        Number of complete epochs.
    batches, step : int
        Number of complete batches in the current epoch, and of processed time steps in the next batch.
    updates, validations : int
        Number of updates and validations in the history of this run.
    optimizer_steps : int
        `optimizer.steps` at this point.
    states : mapping of int to states
        The model's states, by the time steps of the batch at which a window may start.
    generators : GeneratorStates
    generators_before : GeneratorStates or None
        The generators' states before the last batch was drawn, if data and layers use the same generator.
    clip : Any
        The `state_dict` of the gradient clip.
    data, validation : mapping or None
        `data_state` of the data at the start of the epoch, and of the validation data after the last
        validation.
    checksum : int or None
        For a resumed run: `feed.checksum` of the batch of the last update.
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
        """Index of the batch of the last update; -1 at the start of an epoch."""
        return self.batches if self.step else self.batches - 1

    def after_window(self, window: Window, state: Any, *, carries: bool) -> Run:
        """Return the run after this window, at whose end the model is in `state`.

        With `carries`, the next batch starts from the state at the end of this batch.
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

    def after_pause(self, *, validated: bool) -> Run:
        """Return the same position after a validation inside the epoch.

        The states of generators and data stay those before the validation, so a resumed run has the bits of a
        run without this validation.
        """
        return replace(self, validations=self.validations + validated)

    def after_epoch(self, *, validated: bool, generators: GeneratorStates, data: Any, validation: Any) -> Run:
        """Return the run at the start of the next epoch."""
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
