"""What a trainer saves beside its model and optimiser, and how a new one is made from it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np

from bptt.train.callbacks import Callback
from bptt.train.checkpoint import CheckpointError, Saved, read_checkpoint
from bptt.train.optim import Optimizer
from bptt.train.position import (
    Position,
    by_rank,
    check_generators,
    checksum,
    guard_state,
    history_state,
    load_guard,
    load_history,
)
from bptt.train.settings import describe, differences
from bptt.train.shard import deal

if TYPE_CHECKING:
    from bptt.train.losses import Loss
    from bptt.train.trainer import Trainer

AnyTrainer = TypeVar("AnyTrainer", bound="Trainer")

_COUNTS = ("epoch", "batches", "step", "updates", "validations")
_SETTINGS = ("loss", "optimizer", "clip", "clip_state", "truncate", "regularizer", "accumulate", "metrics")
"""What decides the bits, and the columns of the history; `checkpoint` does not."""


def training_state(trainer: Trainer) -> dict[str, Any]:
    """For `checkpoint.write`. What differs by rank comes from all of them: the first one's at the place where
    a run on its own has it, the others' as "others".

    Raises
    ------
    ValueError
        A random generator that is none of NumPy's.
    """
    at, (index, batch) = trainer._position, trainer._batch
    check_generators(at.generators)
    schedule = getattr(trainer.optimizer.schedule, "state_dict", None)
    first, *others = trainer._ranks.gather(
        {
            "states": [[step, state] for step, state in at.states.items()],
            "generators": {
                "shared": trainer._shared if trainer._going_on else trainer._generators.shared,
                "states": at.generators,
            },
            "sum": checksum(batch) if batch is not None and index == at.last else trainer._sum,
        }
    )
    return {
        **first,
        "others": others,
        "settings": training_settings(trainer),
        "lr": None if trainer.optimizer.schedule else trainer.optimizer.lr,
        "next_lr": trainer.optimizer.lr,
        "schedule": schedule() if callable(schedule) else None,
        "position": {name: getattr(at, name) for name in _COUNTS},
        "clip": at.clip,
        "data": at.data,
        "validation": at.validation,
        "history": history_state(trainer.history, at),
        "stopping": trainer.stopping,
        "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in trainer.callbacks],
    }


def resumed(
    kind: type[AnyTrainer],
    path: str | os.PathLike[str],
    loss: Loss,
    optimizer: Optimizer,
    options: Mapping[str, Any],
) -> AnyTrainer:
    """As `Trainer.resume`."""
    saved = read_checkpoint(path)
    training = saved.training
    if training is None:
        raise CheckpointError(
            f"{path} holds a model alone, and no training to go on with. Fix: take a file that Trainer.save "
            "or bptt.Checkpoint wrote, or begin a new run with bptt.load(path)."
        )
    trainer = kind(saved.model, loss, optimizer, **options)
    try:
        own = _own_part(training, trainer.rank, trainer.ranks)
        position = Position(
            **{name: _count(training["position"][name]) for name in _COUNTS},
            states={_count(step): state for step, state in own["states"]},
            generators=own["generators"]["states"],
            clip=training["clip"],
            data=training["data"],
            validation=training["validation"],
        )
        found = differences(training["settings"], training_settings(trainer))
        kept = [(str(name), state) for name, state in training["callbacks"]]
        check_generators(position.generators)
        history = {name: np.asarray(column, np.float64) for name, column in training["history"].items()}
        lr, schedule, next_lr = (training[name] for name in ("lr", "schedule", "next_lr"))
        stopping, last = bool(training["stopping"]), own["sum"]
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise _damaged(path, error) from None
    if found:
        raise ValueError(
            f"{path} must be resumed with the settings that it was saved with: {'; '.join(found)}. "
            "Fix: pass the same, or begin a new run with bptt.load(path), the model alone."
        )
    trainer._position, trainer._stopping, trainer._sum = position, stopping, last
    trainer._shared, trainer._going_on = own["generators"]["shared"], True
    with ExitStack() as undo:
        try:
            trainer._generators = trainer._generators.replace(trainer._shared, position.generators)
            load_history(trainer.history, history)
            undo.callback(load_guard, trainer.clip, guard_state(trainer.clip))
            load_guard(trainer.clip, position.clip)
            _restore_optimizer(trainer, saved, lr, schedule, undo)
            _restore_callbacks(trainer.callbacks, kept, undo)
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
            raise _damaged(path, error) from None
        if optimizer.lr != next_lr:
            raise ValueError(
                f"{path} must be resumed with the settings that it was saved with: optimizer.lr gives "
                f"{optimizer.lr:g} for update {optimizer.steps}, and was {next_lr:g}. Fix: pass the same "
                "schedule, or begin a new run with bptt.load(path), the model alone."
            )
        undo.pop_all()
    return trainer


def _own_part(training: Mapping[str, Any], rank: int, ranks: int) -> Mapping[str, Any]:
    """What differs by rank, for one of them: its own, or where there were more or fewer ranks, its part."""
    every: list[Mapping[str, Any]] = [training, *training.get("others", ())]
    if len(every) == ranks:
        return every[rank]
    steps = [step for step, _ in training["states"]]
    dealt = [deal([dict(part["states"])[step] for part in every], rank, ranks) for step in steps]
    shared, states = training["generators"]["shared"], training["generators"]["states"]
    if ranks > 1:
        shared, states = by_rank(shared, states, rank)
    return {
        "states": list(zip(steps, dealt, strict=True)),
        "generators": {"shared": shared, "states": states},
        "sum": None,  # batches are others
    }


def _restore_optimizer(trainer: Trainer, saved: Saved, lr: Any, schedule: Any, undo: ExitStack) -> None:
    """Its vectors, its step and its rate."""
    optimizer, model, state = trainer.optimizer, trainer.model, saved.optimizer or {}
    for name, vector in state.items():
        if name in ("kind", "steps"):
            continue
        if vector.shape != (model.parameter_count,) or vector.dtype != model.dtype:
            raise ValueError(f"the optimiser's {name} does not fit the model")
    undo.callback(optimizer.load_state_dict, optimizer.state_dict())
    optimizer.load_state_dict(state)
    load = getattr(optimizer.schedule, "load_state_dict", None)
    if schedule is not None and callable(load):
        undo.callback(load, cast("Any", optimizer.schedule).state_dict())
        load(schedule)
    if lr is not None:
        undo.callback(setattr, optimizer, "lr", optimizer.lr)
        optimizer.lr = lr


def _restore_callbacks(callbacks: tuple[Callback, ...], kept: list[tuple[str, Any]], undo: ExitStack) -> None:
    """The n-th of a kind gets what the n-th of that kind had kept."""
    for callback in callbacks:
        for index, (kind, state) in enumerate(kept):
            if kind == type(callback).__name__:
                if state:
                    undo.callback(callback.load_state_dict, callback.state_dict())
                    callback.load_state_dict(state)
                del kept[index]
                break


def training_settings(trainer: Trainer) -> dict[str, Any]:
    """What must be the same when a run goes on, and on every rank."""
    return {name: describe(getattr(trainer, name)) for name in _SETTINGS}


def _count(value: object) -> int:
    if type(value) is not int or value < 0:
        raise ValueError(f"{value!r:.40} is no number of anything")
    return value


def _damaged(path: str | os.PathLike[str], why: object) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged: what it says about its training cannot be used ({why!s:.200})"
    )
