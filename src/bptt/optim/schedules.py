"""Learning-rate schedules: functions from the number of updates to the rate of the next update."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bptt.arguments import flag, integer, real, size, store
from bptt.optim.optimizer import Rate, as_rate, rate_at


class Schedule(ABC):
    """Base class of schedules. `schedule(n)` is the learning rate of the next update after n updates.

    A subclass defines `rate`. The `lr` of an optimizer also accepts any other callable.

    Examples
    --------
    >>> import bptt
    >>> class InverseRoot(bptt.Schedule):
    ...     def rate(self, step):
    ...         return 0.1 / (1 + step) ** 0.5
    >>> optimizer = bptt.Adam(InverseRoot())
    >>> optimizer.lr, InverseRoot()(99)
    (0.1, 0.01)
    """

    def __call__(self, step: int) -> float:
        """Return the learning rate after `step` updates.

        Raises
        ------
        TypeError, ValueError
            `step` is not an int >= 0.
        """
        return float(self.rate(integer(step, "step", 0)))

    @abstractmethod
    def rate(self, step: int) -> float:
        """Return the learning rate after `step` updates, an int >= 0. The rate is at least 0."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state that training has changed, as JSON values. Only `Plateau` has a state."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned. All values are checked before any is changed.

        Raises
        ------
        TypeError
            `state` is not a mapping, or a value has the wrong type.
        ValueError
            A value is missing, unknown or out of range.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"state must be a mapping; got {type(state).__name__}. Fix: pass what state_dict() returned."
            )
        if set(state) != set(self.state_dict()):
            raise ValueError(
                f"state of {self!r} must hold {sorted(self.state_dict())}; got {sorted(map(str, state))}. "
                "Fix: load it into a schedule with the same arguments."
            )


@dataclass(frozen=True)
class Constant(Schedule):
    """A constant learning rate.

    Parameters
    ----------
    lr : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> import bptt
    >>> bptt.schedules.Constant(0.1)(1000)
    0.1
    """

    lr: float

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0))

    def rate(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step(Schedule):
    """Step decay: multiply the learning rate by `factor` after every `every_updates` updates.

    Parameters
    ----------
    lr : float
        Initial learning rate, at least 0.
    every_updates : int
        Number of updates between two changes of the rate.
    factor : float
        In (0, 1).

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> import bptt
    >>> schedule = bptt.schedules.Step(0.1, every_updates=10)
    >>> [round(schedule(n), 6) for n in (0, 9, 10, 20)]
    [0.1, 0.1, 0.01, 0.001]
    """

    lr: float
    every_updates: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0))
        store(self, every_updates=size(self.every_updates, "every_updates"))
        factor_below_one(self.factor)

    def rate(self, step: int) -> float:
        return self.lr * float(self.factor) ** (step // self.every_updates)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Cosine decay: lr (final + (1 - final) (1 + cos(pi n / steps)) / 2) after n updates.

    Parameters
    ----------
    lr : float
        Initial learning rate, at least 0.
    steps : int
        Number of updates until the decay ends, for example epochs times batches. The rate is constant after
        that.
    final : float
        Final rate as a fraction of `lr`, in [0, 1).
    restart : bool
        Restart at `lr` after every `steps` updates.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    References
    ----------
    Loshchilov and Hutter 2017, SGDR: Stochastic gradient descent with warm restarts, arXiv:1608.03983,
    equation 5 with cycles of one length.

    Examples
    --------
    >>> import bptt
    >>> schedule = bptt.schedules.Cosine(0.1, steps=100)
    >>> [round(schedule(n), 6) for n in (0, 50, 100)]
    [0.1, 0.05, 0.0]
    """

    lr: float
    steps: int
    final: float = 0.0
    restart: bool = False

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0))
        store(self, steps=size(self.steps, "steps"))
        store(self, final=real(self.final, "final", 0.0, 1.0), restart=flag(self.restart, "restart"))

    def rate(self, step: int) -> float:
        done = step % self.steps if self.restart else min(step, self.steps)
        falling = (1 + math.cos(math.pi * done / self.steps)) / 2
        return self.lr * (self.final + (1 - self.final) * falling)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """Linear warm-up, followed by another schedule.

    After n < steps updates the rate is then(0) (n + 1) / (steps + 1), so the rate of the first update is not
    0. From n = steps on, the rate is then(n - steps).

    Parameters
    ----------
    steps : int
        Number of updates of the warm-up.
    then : float or callable
        Rate or schedule after the warm-up, for example `Cosine(...)` or a `Plateau`.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    Examples
    --------
    >>> import bptt
    >>> schedule = bptt.schedules.WarmUp(3, bptt.schedules.Cosine(0.1, steps=100))
    >>> [round(schedule(n), 6) for n in (0, 1, 3, 53)]
    [0.025, 0.05, 0.1, 0.05]
    """

    steps: int
    then: Rate

    def __post_init__(self) -> None:
        store(self, steps=size(self.steps, "steps"))
        store(self, then=as_rate(self.then, "then"))

    def rate(self, step: int) -> float:
        progress = min(1.0, (step + 1) / (self.steps + 1))
        after = max(0, step - self.steps)
        return progress * rate_at(self.then, after, "then")

    def state_dict(self) -> dict[str, Any]:
        """Return the state of `then`."""
        return self.then.state_dict() if isinstance(self.then, Schedule) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore the state of `then`; raise as `Schedule.load_state_dict`."""
        super().load_state_dict(state)
        if isinstance(self.then, Schedule):
            self.then.load_state_dict(state)


def factor_below_one(value: float) -> float:
    """Return `value` if it is in (0, 1); raise TypeError or ValueError otherwise."""
    return real(value, "factor", 0.0, 1.0, above=True)
