"""Save the state of a trainer besides its model and optimizer, and restore it in a new trainer."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol, cast

from bptt.callbacks.callback import Callback, TrainerView
from bptt.data.shard import deal
from bptt.files.checkpoint import CheckpointError, Saved, read_checkpoint
from bptt.files.settings import differences
from bptt.optim.optimizer import Optimizer
from bptt.ranks.ranks import Ranks
from bptt.train.generators import Generators, GeneratorStates, check_generators
from bptt.train.history import History
from bptt.train.run import Run
from bptt.train.settings import settings

_COUNTS = ("epoch", "batches", "step", "updates", "validations")
_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Resumed(NamedTuple):
    """The state of a saved run.

    Attributes
    ----------
    run : Run
    history : mapping of str to ndarray
        Columns for `History.load`.
    stopping : bool
        Whether a callback had stopped the run.
    """

    run: Run
    history: Mapping[str, Any]
    stopping: bool


class Resumable(TrainerView, Protocol):
    """The parts of a `Trainer` that a file holds besides its model."""

    callbacks: tuple[Callback, ...]

    @property
    def history(self) -> History: ...


def training_state(
    trainer: Resumable, run: Run, stopping: bool, ranks: Ranks, checksum: int | None
) -> dict[str, Any]:
    """Return the training part of a checkpoint. All ranks must call this function.

    `stopping`: whether a callback has stopped the run, so that a resumed run does not continue.
    Each entry that differs by rank holds the value of the first rank. "others" holds the values of all other
    ranks.

    Raises
    ------
    ValueError
        A random generator is not one of NumPy's.
    """
    check_generators(run.generators.states)
    optimizer = trainer.optimizer
    schedule = getattr(optimizer.schedule, "state_dict", None)
    first, *others = ranks.gather(
        {
            "states": [[step, state] for step, state in run.states.items()],
            "generators": _as_mapping(run.generators),
            "generators_before": run.generators_before and _as_mapping(run.generators_before),
            "sum": checksum,
        }
    )
    return {
        **first,
        "others": others,
        "settings": settings(trainer),
        "lr": None if optimizer.schedule else optimizer.lr,
        "next_lr": optimizer.lr,
        "schedule": schedule() if callable(schedule) else None,
        "position": {name: getattr(run, name) for name in _COUNTS},
        "clip": run.clip,
        "data": run.data,
        "validation": run.validation,
        "history": trainer.history.columns(run.updates, run.validations),
        "stopping": stopping,
        "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in trainer.callbacks],
    }


def read_training(path: str | os.PathLike[str]) -> Saved:
    """Read a checkpoint that holds a training run.

    Raises
    ------
    CheckpointError
        As `bptt.load`, or the file holds only a model.
    """
    saved = read_checkpoint(path)
    if saved.training is None:
        raise CheckpointError(
            f"{path} holds only a model, without the state of a training run. Fix: pass a file that "
            "Trainer.save or bptt.Checkpoint wrote, or start a new run with bptt.load(path)."
        )
    return saved


def restore(path: str | os.PathLike[str], saved: Saved, trainer: Resumable, ranks: Ranks) -> Resumed:
    """Restore the states of optimizer, clip and callbacks, and of the generators of the model's layers.

    Raises
    ------
    CheckpointError
        The training part of the file cannot be used. Nothing is changed.
    ValueError
        Settings differ from the saved settings. The message names all of them. Nothing is changed.
    """
    training = cast("Mapping[str, Any]", saved.training)
    try:
        rank_state = _rank_state(training, ranks.rank, ranks.size)
        run = Run(
            **training["position"],
            optimizer_steps=(saved.optimizer or {})["steps"],
            states=dict(rank_state["states"]),
            generators=GeneratorStates(**rank_state["generators"]),
            generators_before=rank_state["generators_before"]
            and GeneratorStates(**rank_state["generators_before"]),
            clip=training["clip"],
            data=training["data"],
            validation=training["validation"],
            checksum=rank_state["sum"],
        )
        changed = differences(training["settings"], settings(trainer))
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    if changed:
        raise ValueError(
            f"{path} must be resumed with the settings that it was saved with: {'; '.join(changed)}. "
            "Fix: pass the same settings, or start a new run with the model of bptt.load(path)."
        )
    with ExitStack() as undo:
        try:
            Generators(saved.model).replace(run.generators)
            undo.callback(trainer.clip.load_state_dict, trainer.clip.state_dict())
            trainer.clip.load_state_dict(run.clip)
            _restore_optimizer(trainer.optimizer, saved, training["lr"], training["schedule"], undo)
            _restore_callbacks(trainer.callbacks, list(training["callbacks"]), undo)
        except _DAMAGE as error:
            raise _damaged(path, error) from None
        if (lr := trainer.optimizer.lr) != (next_lr := training["next_lr"]):
            raise ValueError(
                f"{path} must be resumed with the settings that it was saved with: optimizer.lr gives "
                f"{lr:g} for update {trainer.optimizer.steps}, and was {next_lr:g}. Fix: pass the same "
                "schedule, or start a new run with the model of bptt.load(path)."
            )
        undo.pop_all()
    return Resumed(run, training["history"], training["stopping"])


def _rank_state(training: Mapping[str, Any], rank: int, ranks: int) -> Mapping[str, Any]:
    """Return the state of one rank. If the number of ranks has changed, the rows are dealt out again."""
    saved: list[Mapping[str, Any]] = [training, *training.get("others", ())]
    if len(saved) == ranks:
        return saved[rank]
    steps = [step for step, _ in training["states"]]
    states = [deal([dict(part["states"])[step] for part in saved], rank, ranks) for step in steps]
    generators = GeneratorStates(**training["generators"])
    return {
        "states": list(zip(steps, states, strict=True)),
        "generators": _as_mapping(generators.by_rank(rank) if ranks > 1 else generators),
        "generators_before": None,  # a rank no longer gets the batches that it got before
        "sum": None,
    }


def _as_mapping(generators: GeneratorStates) -> dict[str, Any]:
    return {name: list(values) for name, values in generators._asdict().items()}


def _restore_optimizer(optimizer: Optimizer, saved: Saved, lr: Any, schedule: Any, undo: ExitStack) -> None:
    """Restore the optimizer's vectors, step count and learning rate."""
    model, state = saved.model, saved.optimizer or {}
    for name, vector in state.items():
        if name in ("kind", "steps"):
            continue
        if vector.shape != (model.parameter_count,) or vector.dtype != model.dtype:
            raise ValueError(f"the shape or type of the optimizer's {name} does not fit the model")
    undo.callback(optimizer.load_state_dict, optimizer.state_dict())
    optimizer.load_state_dict(state)
    load = getattr(optimizer.schedule, "load_state_dict", None)
    if schedule is not None and callable(load):
        undo.callback(load, cast("Any", optimizer.schedule).state_dict())
        load(schedule)
    if lr is not None:
        undo.callback(setattr, optimizer, "lr", optimizer.lr)
        optimizer.lr = lr


def _restore_callbacks(callbacks: Sequence[Callback], states: list[tuple[str, Any]], undo: ExitStack) -> None:
    """Give the n-th callback of each class the state that the n-th callback of this class saved."""
    for callback in callbacks:
        for index, (kind, state) in enumerate(states):
            if kind == type(callback).__name__:
                if state:
                    undo.callback(callback.load_state_dict, callback.state_dict())
                    callback.load_state_dict(state)
                del states[index]
                break


def _damaged(path: str | os.PathLike[str], why: object) -> CheckpointError:
    return CheckpointError(f"{path} is damaged: the state of its training run cannot be used ({why!s:.200})")
