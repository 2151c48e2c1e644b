"""State that a trainer saves besides its model and optimizer, and how a new trainer restores it."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, cast

from bptt.callbacks.callback import Callback
from bptt.data.shard import deal
from bptt.files.checkpoint import CheckpointError, Saved
from bptt.files.settings import differences
from bptt.optim.clip import Guard
from bptt.optim.optimizers import Optimizer
from bptt.ranks.ranks import Ranks
from bptt.train.generators import Generators, GeneratorStates, check_generators
from bptt.train.history import History
from bptt.train.run import Run

_COUNTS = ("epoch", "batches", "step", "updates", "validations")
_DAMAGE = (ArithmeticError, AttributeError, LookupError, TypeError, ValueError)


class Resumed(NamedTuple):
    """Where a saved run stood.

    Attributes
    ----------
    run : Run
    history : mapping of str to ndarray
        Columns for `History.load`.
    stopping : bool
        A callback had stopped the run.
    """

    run: Run
    history: Mapping[str, Any]
    stopping: bool


def training_state(
    run: Run,
    *,
    ranks: Ranks,
    checksum: int | None,
    settings: Mapping[str, Any],
    optimizer: Optimizer,
    history: History,
    stopping: bool,
    callbacks: Sequence[Callback],
) -> dict[str, Any]:
    """What a file holds of a run. All ranks call this.

    What differs by rank stands in its usual place for the first rank, and under "others" for the others.

    Raises
    ------
    ValueError
        A random generator that is none of NumPy's.
    """
    check_generators(run.generators.states)
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
        "settings": settings,
        "lr": None if optimizer.schedule else optimizer.lr,
        "next_lr": optimizer.lr,
        "schedule": schedule() if callable(schedule) else None,
        "position": {name: getattr(run, name) for name in _COUNTS},
        "clip": run.clip,
        "data": run.data,
        "validation": run.validation,
        "history": history.columns(run.updates, run.validations),
        "stopping": stopping,
        "callbacks": [[type(callback).__name__, callback.state_dict()] for callback in callbacks],
    }


def restore(
    path: str | os.PathLike[str],
    saved: Saved,
    *,
    ranks: Ranks,
    settings: Mapping[str, Any],
    optimizer: Optimizer,
    clip: Guard,
    callbacks: Sequence[Callback],
) -> Resumed:
    """Give optimizer, clip, callbacks and the generators of the saved model's layers their saved states.

    Raises
    ------
    CheckpointError
        What the file says about its training cannot be used. Nothing was changed then.
    ValueError
        Settings that differ from the saved ones, all of them named. Nothing was changed then.
    """
    training = cast("Mapping[str, Any]", saved.training)
    try:
        own = _own_part(training, ranks.rank, ranks.size)
        run = Run(
            **training["position"],
            optimizer_steps=(saved.optimizer or {})["steps"],
            states=dict(own["states"]),
            generators=GeneratorStates(**own["generators"]),
            generators_before=own["generators_before"] and GeneratorStates(**own["generators_before"]),
            clip=training["clip"],
            data=training["data"],
            validation=training["validation"],
            checksum=own["sum"],
        )
        found = differences(training["settings"], settings)
    except _DAMAGE as error:
        raise _damaged(path, error) from None
    if found:
        raise ValueError(
            f"{path} must be resumed with the settings that it was saved with: {'; '.join(found)}. "
            "Fix: pass the same, or begin a new run with the model of bptt.load(path)."
        )
    with ExitStack() as undo:
        try:
            Generators(saved.model).replace(run.generators)
            undo.callback(clip.load_state_dict, clip.state_dict())
            clip.load_state_dict(run.clip)
            _restore_optimizer(optimizer, saved, training["lr"], training["schedule"], undo)
            _restore_callbacks(callbacks, list(training["callbacks"]), undo)
        except _DAMAGE as error:
            raise _damaged(path, error) from None
        if optimizer.lr != (next_lr := training["next_lr"]):
            raise ValueError(
                f"{path} must be resumed with the settings that it was saved with: optimizer.lr gives "
                f"{optimizer.lr:g} for update {optimizer.steps}, and was {next_lr:g}. Fix: pass the same "
                "schedule, or begin a new run with the model of bptt.load(path)."
            )
        undo.pop_all()
    return Resumed(run, training["history"], training["stopping"])


def _own_part(training: Mapping[str, Any], rank: int, ranks: int) -> Mapping[str, Any]:
    """What differs by rank, for one rank: its own part, or its share where the number of ranks differs."""
    every: list[Mapping[str, Any]] = [training, *training.get("others", ())]
    if len(every) == ranks:
        return every[rank]
    steps = [step for step, _ in training["states"]]
    dealt = [deal([dict(part["states"])[step] for part in every], rank, ranks) for step in steps]
    generators = GeneratorStates(**training["generators"])
    return {
        "states": list(zip(steps, dealt, strict=True)),
        "generators": _as_mapping(generators.by_rank(rank) if ranks > 1 else generators),
        "generators_before": None,  # the batches of one rank are others than before
        "sum": None,
    }


def _as_mapping(generators: GeneratorStates) -> dict[str, Any]:
    return {name: list(values) for name, values in generators._asdict().items()}


def _restore_optimizer(optimizer: Optimizer, saved: Saved, lr: Any, schedule: Any, undo: ExitStack) -> None:
    """Restore its vectors, its step count and its rate."""
    model, state = saved.model, saved.optimizer or {}
    for name, vector in state.items():
        if name in ("kind", "steps"):
            continue
        if vector.shape != (model.parameter_count,) or vector.dtype != model.dtype:
            raise ValueError(f"the optimizer's {name} does not fit the model")
    undo.callback(optimizer.load_state_dict, optimizer.state_dict())
    optimizer.load_state_dict(state)
    load = getattr(optimizer.schedule, "load_state_dict", None)
    if schedule is not None and callable(load):
        undo.callback(load, cast("Any", optimizer.schedule).state_dict())
        load(schedule)
    if lr is not None:
        undo.callback(setattr, optimizer, "lr", optimizer.lr)
        optimizer.lr = lr


def _restore_callbacks(callbacks: Sequence[Callback], kept: list[tuple[str, Any]], undo: ExitStack) -> None:
    """Give the n-th callback of a kind what the n-th callback of that kind saved."""
    for callback in callbacks:
        for index, (kind, state) in enumerate(kept):
            if kind == type(callback).__name__:
                if state:
                    undo.callback(callback.load_state_dict, callback.state_dict())
                    callback.load_state_dict(state)
                del kept[index]
                break


def _damaged(path: str | os.PathLike[str], why: object) -> CheckpointError:
    return CheckpointError(
        f"{path} is damaged: what it says about its training cannot be used ({why!s:.200})"
    )
