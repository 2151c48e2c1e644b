"""Learning-rate schedules: from the number of updates made to the rate of the next one."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bptt.arguments import flag, integer, real, size, store
from bptt.train.callbacks import Callback
from bptt.train.optim import Rate, as_rate, rate_at
from bptt.train.watching import check_watched, metric_name, watched

if TYPE_CHECKING:
    from bptt.train.trainer import Trainer


class Schedule(ABC):
    """`schedule(n)` is the learning rate of the update that n updates came before, a float.

    One of your own needs `_rate`; any other callable goes into an optimiser's `lr` just as well.
    """

    def __call__(self, step: int) -> float:
        """The rate after `step` updates.

        Raises
        ------
        TypeError, ValueError
            `step` is not an int >= 0.
        """
        return float(self._rate(integer(step, "step", 0)))

    @abstractmethod
    def _rate(self, step: int) -> float:
        """The rate after `step` updates, 0 or more."""

    def state_dict(self) -> dict[str, Any]:
        """What training has changed, as JSON values: nothing, but for `Plateau`."""
        return {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave. Everything is checked before anything is changed.

        Raises
        ------
        TypeError
            Not a mapping, or a value of another kind.
        ValueError
            A value missing, unknown or out of range.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"state must be a mapping; got {type(state).__name__}. Fix: pass what state_dict() returned."
            )
        if set(state) != set(self.state_dict()):
            raise ValueError(
                f"state of {self!r} must hold {sorted(self.state_dict())}; got {sorted(map(str, state))}. "
                "Fix: load into a schedule made with the same arguments."
            )


@dataclass(frozen=True)
class Constant(Schedule):
    """Always the same rate.

    Parameters
    ----------
    lr : float
        At least 0.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of its range.
    """

    lr: float

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0))

    def _rate(self, step: int) -> float:
        return self.lr


@dataclass(frozen=True)
class Step(Schedule):
    """A staircase down: lr factor^k after k times `every` updates.

    Parameters
    ----------
    lr : float
        At the start, at least 0.
    every : int
        Updates on each stair.
    factor : float
        In (0, 1).

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of its range.
    """

    lr: float
    every: int
    factor: float = 0.1

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0))
        store(self, every=size(self.every, "every"))
        _factor(self.factor)

    def _rate(self, step: int) -> float:
        return self.lr * float(self.factor) ** (step // self.every)


@dataclass(frozen=True)
class Cosine(Schedule):
    """Half a wave down: lr (final + (1 - final) (1 + cos(pi n / steps)) / 2) after n updates.

    Parameters
    ----------
    lr : float
        At the start, at least 0.
    steps : int
        Updates until the end of the fall: epochs times batches, for one. From there on the rate stays.
    final : float
        What is left then, as a share of `lr`, in [0, 1).
    restart : bool
        After every `steps` updates begin again at `lr`.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of its range.

    References
    ----------
    Loshchilov and Hutter 2017, SGDR: Stochastic gradient descent with warm restarts, arXiv:1608.03983,
    equation 5 with cycles of one length.
    """

    lr: float
    steps: int
    final: float = 0.0
    restart: bool = False

    def __post_init__(self) -> None:
        store(self, lr=real(self.lr, "lr", 0.0))
        store(self, steps=size(self.steps, "steps"))
        store(self, final=real(self.final, "final", 0.0, 1.0), restart=flag(self.restart, "restart"))

    def _rate(self, step: int) -> float:
        done = step % self.steps if self.restart else min(step, self.steps)
        falling = (1 + math.cos(math.pi * done / self.steps)) / 2
        return self.lr * (self.final + (1 - self.final) * falling)


@dataclass(frozen=True)
class WarmUp(Schedule):
    """A straight line up to another schedule, which begins where the line ends.

    After n < steps updates the rate is then(0) (n + 1) / (steps + 1), so that the first update moves
    something; from n = steps on it is then(n - steps).

    Parameters
    ----------
    steps : int
        Updates on the way up.
    then : float or callable
        What follows: a rate, or a schedule, `Cosine(...)` or a `Plateau`, for one.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of its range.
    """

    steps: int
    then: Rate

    def __post_init__(self) -> None:
        store(self, steps=size(self.steps, "steps"))
        store(self, then=as_rate(self.then, "then"))

    def _rate(self, step: int) -> float:
        share = min(1.0, (step + 1) / (self.steps + 1))
        after = max(0, step - self.steps)
        return share * rate_at(self.then, after, "then")

    def state_dict(self) -> dict[str, Any]:
        """That of `then`."""
        return self.then.state_dict() if isinstance(self.then, Schedule) else {}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Hand it to `then`; raises as `Schedule.load_state_dict`."""
        super().load_state_dict(state)
        if isinstance(self.then, Schedule):
            self.then.load_state_dict(state)


class Plateau(Schedule, Callback):
    """Lower the rate when the validation loss, or a metric, no longer improves::

        trainer = bptt.Trainer(model, loss, bptt.Adam(bptt.schedules.Plateau(1e-3)))

    A Trainer passes each validation to the schedule of its optimizer. In your own training loop, call
    `validation`. The state is saved with a run, and kept from one `fit` to the next, as the optimizer's state
    is. With EarlyStopping, give EarlyStopping a patience at least 2 larger, or the rate is never lowered.

    Parameters
    ----------
    lr : float
        At the start, at least 0.
    factor : float
        In (0, 1): what the rate is multiplied by.
    patience : int
        How many validations in a row may fail to improve on the best. The next failure lowers the rate and
        restarts the count, as in PyTorch. A loss that is not finite is a failure.
    min_delta : float
        An improvement is a fall by more than this below the last improvement.
    min_lr : float
        Lower than this it does not go; at most `lr`.
    metric : str, optional
        Name of one of the trainer's metrics to watch instead of the loss: "accuracy".

    Attributes
    ----------
    cuts : int
        How many times it was lowered: the rate is max(lr factor^cuts, min_lr).
    best : float
        The last improvement's validation loss, or metric, with its sign turned where higher is better;
        infinity before the first.
    waited : int
        Failures since the last improvement or cut.

    Raises
    ------
    TypeError, ValueError
        An argument of the wrong kind or out of its range. From `fit`: no validation data, or no metric of
        that name.
    """

    def __init__(
        self,
        lr: float,
        *,
        factor: float = 0.1,
        patience: int = 2,
        min_delta: float = 0.0,
        min_lr: float = 0.0,
        metric: str | None = None,
    ) -> None:
        self.metric = metric_name(metric)
        self.lr = real(lr, "lr", 0.0)
        self.factor = _factor(factor)
        self.patience = integer(patience, "patience", 0)
        self.min_delta = real(min_delta, "min_delta", 0.0)
        self.min_lr = real(min_lr, "min_lr", 0.0)
        if self.min_lr > self.lr:
            raise ValueError(
                f"min_lr must be at most lr, {self.lr:g}; got {self.min_lr:g}. Fix: pass a lower min_lr."
            )
        self.cuts, self.best, self.waited = 0, math.inf, 0

    def _rate(self, step: int) -> float:
        return max(self.lr * self.factor**self.cuts, self.min_lr)

    def fit_begin(self, trainer: Trainer, epochs: int, validation: bool) -> None:
        """Check that there is a validation, and the metric."""
        check_watched("Plateau", trainer, self.metric, validation)

    def validation(self, trainer: Trainer, epoch: int, loss: float) -> None:
        """Lower the rate if this is one failure more than `patience`."""
        found = watched(trainer, self.metric, loss)
        if found < self.best - self.min_delta:
            self.best, self.waited = float(found), 0
            return
        self.waited += 1
        if self.waited > self.patience:
            self.cuts, self.waited = self.cuts + 1, 0

    def state_dict(self) -> dict[str, Any]:
        """`cuts`, `best` (None before the first) and `waited`."""
        return {
            "cuts": self.cuts,
            "best": None if self.best == math.inf else self.best,
            "waited": self.waited,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave; raises as `Schedule.load_state_dict`."""
        super().load_state_dict(state)
        best = state["best"]
        found = (
            integer(state["cuts"], "state['cuts']", 0),
            math.inf if best is None else real(best, "state['best']", -math.inf),
            integer(state["waited"], "state['waited']", 0),
        )
        self.cuts, self.best, self.waited = found

    def __repr__(self) -> str:
        names = ("factor", "patience", "min_delta", "min_lr", "metric")
        options = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"Plateau(lr={self.lr!r}, {options})"


def _factor(value: float) -> float:
    return real(value, "factor", 0.0, 1.0, above=True)
