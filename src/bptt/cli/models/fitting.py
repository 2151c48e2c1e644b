"""Shared code of all `bptt train` commands: options of the Trainer, checkpoints, resuming."""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

import bptt
from bptt import schedules
from bptt.callbacks import KeepBest
from bptt.cli import config
from bptt.cli.csv import tables
from bptt.cli.csv.format import Format
from bptt.cli.models.fitted import Fitted, Meter
from bptt.cli.options import COUNT, POSITIVE, CommandError, Parser, number
from bptt.data import Shard
from bptt.files.checkpoint import read_checkpoint
from bptt.files.settings import differences
from bptt.losses import Loss
from bptt.metrics import Metric
from bptt.optim import NoClip, Optimizer

FINAL_RATE = 0.05  # fraction of the learning rate at the end of the cosine schedule
OPTIMIZERS: dict[str, type[Optimizer]] = {
    "adam": bptt.Adam,
    "adamw": bptt.AdamW,
    "rmsprop": bptt.RMSProp,
    "sgd": bptt.SGD,
}
NONFINITE = ("raise", "skip", "zero", "shrink")
SCHEDULES = ("constant", "cosine", "step", "plateau")
_FREE = frozenset(
    {
        *("config", "json", "threads", "help", "file", "model", "plot", "sample", "log", "tensorboard"),
        *("checkpoint", "checkpoint_every_updates", "resume", "epochs", "recompute"),
        *Format.__dataclass_fields__,  # the checksum of the data depends on how they were read
    }
)
"""Options that may change when a run is resumed. All other options affect the bits of the result."""


def add_options(command: Parser, *, rate: float, clip: float, patience: int) -> argparse._ArgumentGroup:
    """Add the options of the Trainer, with these defaults. Return the group "training"."""
    group = command.add_argument_group("training")
    group.add_argument("--optimizer", choices=list(OPTIMIZERS), default="adam", help="optimizer")
    group.add_argument(
        "--learning-rate", type=POSITIVE, metavar="X", default=rate, help="highest learning rate"
    )
    falls = "learning rate over the run: cosine falls to 1/20, step to a tenth after each third, plateau to a"
    falls += " tenth when the validation loss stalls"
    group.add_argument("--schedule", choices=SCHEDULES, default="cosine", help=falls)
    group.add_argument(
        "--warm-up",
        type=COUNT,
        metavar="N",
        help="updates in which the learning rate rises from 0 (default: 0)",
    )
    fraction = number(float, minimum=0, below=1)
    momentum = "momentum of sgd or rmsprop (default: 0)"
    group.add_argument("--momentum", type=fraction, metavar="X", help=momentum)
    decay = number(float, minimum=0)
    shrink = "weight decay (default: 0, for adamw 0.01)"
    group.add_argument("--weight-decay", type=decay, metavar="X", help=shrink)
    limit = "largest norm of the gradient: a number, auto (a running quantile of recent norms), or off"
    group.add_argument("--clip", type=_limit, metavar="X", default=clip, help=limit)
    lost = "what to do when a gradient is not finite: stop the run, skip the update, set the bad entries to"
    lost += " zero, or shrink the recurrent weights"
    group.add_argument("--nonfinite", choices=NONFINITE, default="raise", help=lost)
    inside = "limit every entry of dL/dh and dL/dc at each step back in time to X (default: no limit)"
    group.add_argument("--clip-state", type=POSITIVE, metavar="X", help=inside)
    sparse = "keep only every N-th state: saves memory, costs time, same results (auto: choose N)"
    group.add_argument("--recompute", type=_every, metavar="N", help=sparse)
    regular = "strength of a penalty that keeps gradients from vanishing, for rnn and rnn-relu (try 4)"
    group.add_argument("--pascanu", type=POSITIVE, metavar="X", help=regular)
    more = "batches whose gradients are averaged for one update"
    group.add_argument("--accumulate", type=COUNT, metavar="N", default=1, help=more)
    stop = (
        "stop after N epochs without improvement, and keep the model of the best epoch; 0: never stop early"
    )
    whole = number(int, minimum=0, below=2**31)
    group.add_argument("--patience", type=whole, metavar="N", default=patience, help=stop)
    group.add_argument("--log", type=Path, metavar="FILE", help="write one line per update to this CSV file")
    watch = "write event files for TensorBoard to this folder"
    group.add_argument("--tensorboard", type=Path, metavar="FOLDER", help=watch)

    runs = command.add_argument_group("long runs")
    config.add_option(command)
    command.set_defaults(comm=None)
    kept = "save the run to this file after every epoch and on Ctrl-C; --resume continues from it"
    runs.add_argument("--checkpoint", type=Path, metavar="FILE", help=kept)
    runs.add_argument(
        "--checkpoint-every-updates", type=COUNT, metavar="N", help="also save after every N updates"
    )
    again = "continue the run in the file of --checkpoint, with the same options and data"
    runs.add_argument("--resume", action="store_true", help=again)
    return group


def add_model_file(command: Parser) -> None:
    """Add --model, for `model_file`."""
    derived = "write the model to this file (default: the name of the data with .safetensors, in this folder)"
    command.add_argument("--model", type=Path, metavar="PATH", help=derived)


def model_file(options: argparse.Namespace) -> Path:
    """Return the path of the model file."""
    return options.model or Path(tables.stem(options.file.resolve()) + ".safetensors")


def fit(
    options: argparse.Namespace,
    model: bptt.Module,
    loss: Loss,
    data: Any,
    validation: Iterable[Any],
    *,
    epochs: int,
    updates: int | None = None,
    about: Mapping[str, Any],
    preprocessing: Mapping[str, Any] | None = None,
    source: str,
    truncate: tuple[int, int] | None = None,
    metrics: Sequence[Metric] = (),
) -> Fitted:
    """Train, or resume the run in the checkpoint.

    Parameters
    ----------
    options : Namespace
        Options of `add_options`.
    model : Module
        A new model. It is not used if a run is resumed.
    epochs : int
        Number of epochs of the whole run.
    updates : int, optional
        Number of updates of the whole run, for schedules. None: all epochs have the length of the data.
    about : mapping of JSON values
        Extra values of the model file. A checkpoint holds them too, so a checkpoint can serve as a model
        file.
    preprocessing : mapping of Standardize, optional
        Preprocessing in the model file and in the checkpoint.
    source : str
        `digest` of the data: a run cannot be resumed with other data.
    metrics : sequence of Metric
        Figures of each validation, for the progress bar and the logs.

    Raises
    ------
    CommandError
        There is no run to resume, or the run has other options or data.
    NonFiniteError
        The gradient became NaN or infinite (see bptt.ClipNorm).
    """
    settings = _settings(options, source)
    updates = updates or epochs * -(-len(data) // options.accumulate)
    optimizer, best, meter = _optimizer(options, updates), KeepBest(), Meter()
    callbacks: list[bptt.Callback] = [meter]
    if options.patience:
        callbacks += [best, bptt.EarlyStopping(options.patience)]
    if options.log is not None:
        callbacks.append(bptt.CSVLog(options.log))
    if options.tensorboard is not None:
        callbacks.append(bptt.TensorBoard(options.tensorboard))
    if options.checkpoint is not None:
        path = str(options.checkpoint).replace("{", "{{").replace("}", "}}")
        extra = {**about, "options": settings}
        every = options.checkpoint_every_updates
        callbacks.append(bptt.Checkpoint(path, every_updates=every, extra=extra, preprocessing=preprocessing))
    keywords: dict[str, Any] = {
        "clip": (
            NoClip(options.nonfinite)
            if options.clip is None
            else bptt.ClipNorm(options.clip, options.nonfinite)
        ),
        "clip_state": options.clip_state,
        "truncate": truncate,
        "regularizer": None if options.pascanu is None else bptt.PascanuRegularizer(options.pascanu),
        "accumulate": options.accumulate,
        "checkpoint": options.recompute,
        "callbacks": callbacks,
        "metrics": metrics,
        "comm": options.comm,
    }
    if options.resume:
        _check_resumable(options.checkpoint, settings)
        trainer = bptt.Trainer.resume(options.checkpoint, loss, optimizer, **keywords)
    else:
        trainer = bptt.Trainer(model, loss, optimizer, **keywords)
    start = time.perf_counter()
    history = trainer.fit(
        Shard(data, options.comm), epochs=epochs, validation=Shard(validation, options.comm)
    )
    seconds = time.perf_counter() - start
    if options.patience:
        best.restore(trainer.model)
    return Fitted(
        model=trainer.model,
        history=history,
        seconds=seconds,
        tokens=meter.tokens,
        updates=meter.updates,
        planned=updates,
        stopped=bool(options.patience) and (trainer.stopping or trainer.epochs_done < epochs),
        keeps_best=bool(options.patience),
        validation_loss=best.loss if options.patience else float(history["validation_loss"][-1]),
    )


def check_run(options: argparse.Namespace) -> None:
    """Raise CommandError before the work if the run could not be saved, or would overwrite another run."""
    if options.checkpoint is None:
        if options.resume or options.checkpoint_every_updates:
            option = "--resume" if options.resume else "--checkpoint-every-updates"
            raise CommandError(
                f"{option} needs --checkpoint, the file that holds the run. Fix: add --checkpoint FILE."
            )
        return
    exists = options.checkpoint.exists()
    if options.resume and not exists:
        raise CommandError(
            f"--resume needs an existing run; there is no {options.checkpoint}. Fix: leave --resume out."
        )
    if exists and not options.resume:
        raise CommandError(
            f"{options.checkpoint} already exists. Fix: continue its run with --resume, or remove the file."
        )


def digest(*arrays: npt.NDArray[Any]) -> str:
    """Return a checksum of the data, as a short text."""
    checksum = hashlib.sha256()
    for array in arrays:
        checksum.update(f"{array.dtype.str} {array.shape}".encode())
        checksum.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return checksum.hexdigest()[:16]


def _settings(options: argparse.Namespace, source: str) -> dict[str, Any]:
    """Return the options that affect the bits of the result, as JSON values."""
    # These schedules depend on the number of epochs, so a resumed run cannot be longer.
    fixed_length = options.schedule in ("cosine", "step")
    free = _FREE - {"epochs"} if fixed_length else _FREE
    names = [action.dest for action in options.command.actions if action.dest not in free]
    values = {f"--{name.replace('_', '-')}": getattr(options, name) for name in names}
    settings: dict[str, Any] = json.loads(json.dumps({**values, "the data's checksum": source}))
    return settings


def _check_resumable(path: Path, settings: Mapping[str, Any]) -> None:
    try:
        saved = read_checkpoint(path).extra.get("options")
    except OSError as error:
        raise CommandError(
            f"cannot read {path}: {error.strerror}. Fix: pass the checkpoint of a run."
        ) from None
    if not isinstance(saved, dict):
        raise CommandError(f"{path} holds no run of 'bptt train'. Fix: pass the --checkpoint file of a run.")
    changed = differences(saved, settings)
    if changed:
        raise CommandError(
            f"{path} must be resumed with the same options and data: {'; '.join(changed)}. Fix: pass"
            " what the run"
            " had, or remove the file to begin a new run."
        )


def _optimizer(options: argparse.Namespace, updates: int) -> Optimizer:
    """Return the optimizer, with its schedule over this number of updates."""
    falling = max(1, updates - (options.warm_up or 0))
    lr = options.learning_rate
    rate: schedules.Schedule = schedules.Constant(lr)
    if options.schedule == "cosine":
        rate = schedules.Cosine(lr, falling, FINAL_RATE)
    elif options.schedule == "step":  # divide the rate by 10 after each third of the run
        rate = schedules.Step(lr, -(-falling // 3))
    elif options.schedule == "plateau":
        rate = schedules.Plateau(lr)
    if options.warm_up:
        rate = schedules.WarmUp(options.warm_up, rate)
    keywords: dict[str, Any] = {}
    if options.weight_decay is not None:
        keywords["weight_decay"] = options.weight_decay
    if options.momentum is not None:
        if options.optimizer not in ("sgd", "rmsprop"):
            raise CommandError(
                f"--momentum needs --optimizer sgd or rmsprop; got {options.optimizer}. Fix: leave it out."
            )
        keywords["momentum"] = options.momentum
    make: Any = OPTIMIZERS[options.optimizer]
    optimizer: Optimizer = make(rate, **keywords)
    return optimizer


def _limit(text: str) -> float | Literal["auto"] | None:
    if text in ("auto", "off"):
        return "auto" if text == "auto" else None
    return POSITIVE(text)


def _every(text: str) -> int | Literal["auto"]:
    return "auto" if text == "auto" else int(COUNT(text))
