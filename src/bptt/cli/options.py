"""Shared options of the commands: argument types with checks, groups of options, checks of paths."""

from __future__ import annotations

import argparse
import csv
import io
import json
import math
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import bptt

CELLS: dict[
    str, tuple[type[bptt.RNN] | type[bptt.LSTM] | type[bptt.GRU] | type[bptt.MGU], dict[str, Any]]
] = {
    "rnn": (bptt.RNN, {}),
    "rnn-relu": (bptt.RNN, {"nonlinearity": "relu"}),
    "lstm": (bptt.LSTM, {}),
    "lstm-peephole": (bptt.LSTM, {"peephole": True}),
    "lstm-coupled": (bptt.LSTM, {"coupled": True}),
    "lstm-layer-norm": (bptt.LSTM, {"layer_norm": True}),
    "gru": (bptt.GRU, {}),
    "gru-reset-before": (bptt.GRU, {"reset_after": False}),
    "mgu": (bptt.MGU, {}),
}
"""What --cell offers and `bptt selftest` checks: the layer and what is special about it."""


class CommandError(Exception):
    """A failure that its message explains: printed as one line, exit code 1."""


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Shows defaults, where there is something to show."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """Like argparse's, with errors of one line that say where the help is, and no guessed abbreviations."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **keywords)

    @property
    def actions(self) -> list[argparse.Action]:
        """All options and arguments, of which argparse has no public list."""
        return self._actions

    def rivals(self, action: argparse.Action) -> set[str]:
        """The options that cannot be given together with this one."""
        return {
            option
            for group in self._mutually_exclusive_groups
            if action in group._group_actions
            for other in group._group_actions
            if other is not action
            for option in other.option_strings
        }

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see '{self.prog} --help')\n")


def number(
    kind: type[int] | type[float], *, minimum: float, below: float = math.inf, above: bool = False
) -> Callable[[str], float]:
    """An argparse type: a finite number of `kind`, at least (or `above`) `minimum` and less than `below`."""
    words = "a whole number" if kind is int else "a number"
    words += f" {'above' if above else 'of at least'} {minimum:g}"
    if below < math.inf:
        words += f" and below {below:.15g}"

    def parse(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            raise argparse.ArgumentTypeError(f"expected {words}, got {text!r}") from None
        too_small = value <= minimum if above else value < minimum
        if not math.isfinite(value) or too_small or value >= below:
            raise argparse.ArgumentTypeError(f"expected {words}, got {text!r}")
        return value

    return parse


def names(text: str) -> list[str]:
    """Argparse type: names separated by commas. A name that contains a comma must be in quotes."""
    names = [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]
    if not names or not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected names, each once, with commas between them, got {text!r}")
    return names


def joined(entries: Sequence[object]) -> str:
    """What `names` reads."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(entries)
    return line.getvalue()


COUNT = number(int, minimum=1, below=2**31)
THREADS = number(int, minimum=1, below=257)  # the core's own limit: beyond it, a usage error too
POSITIVE = number(float, minimum=0, above=True)
SHARE = number(float, minimum=0, below=1, above=True)


def add_common(command: argparse.ArgumentParser, run: Callable[[Any], None]) -> None:
    """Add the options of every command, --json, --seed and --threads, and the function that it runs."""
    group = command.add_argument_group("common options")
    group.add_argument("--json", action="store_true", help="print the results as one JSON object")
    threads = "number of threads (default: BPTT_NUM_THREADS, or all cores that this process may use)"
    group.add_argument("--threads", type=THREADS, metavar="N", default=argparse.SUPPRESS, help=threads)
    seed = number(int, minimum=0, below=2**63)
    group.add_argument("--seed", type=seed, metavar="N", default=0, help="random seed")
    command.set_defaults(run=run, prepare=prepare)


def prepare(options: argparse.Namespace) -> None:
    """Apply the options that set the process up."""
    if "threads" in options:
        bptt.set_num_threads(options.threads)


def plain(value: Any) -> Any:
    """JSON values of what is almost that: null for the numbers that JSON lacks, infinity and NaN."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(figures: dict[str, Any]) -> None:
    """One JSON object on standard output."""
    print(json.dumps(plain(figures), indent=2))


def note(message: str) -> None:
    """Print a remark for the user to standard error, not into the output."""
    print(message, file=sys.stderr)


def check_output(path: Path) -> None:
    """Raise CommandError unless a file can be written at `path`; leave no file.

    Call this before the work starts, so that a mistyped folder does not cost a minute of training.
    """
    if path.exists() and not path.is_file():  # a new file would take the place of a device, too
        what = "a folder" if path.is_dir() else "no ordinary file"
        raise CommandError(f"cannot write {path}: it is {what}. Fix: pass a file name.")
    if not path.parent.is_dir():
        raise CommandError(f"cannot write {path}: there is no folder {path.parent}. Fix: create the folder.")
    try:
        with tempfile.TemporaryFile(dir=path.parent):
            pass
    except OSError as error:
        raise CommandError(
            f"cannot write into {path.parent}: {error.strerror}. Fix: choose another folder."
        ) from None
    if path.exists() and not os.access(path, os.W_OK):
        raise CommandError(f"cannot write {path}: the file is read-only. Fix: choose another name.")


def check_outputs(written: Iterable[Path | None], read: Iterable[Path] = ()) -> None:
    """Raise CommandError unless all of these paths can be written, are different, and are not also read.

    A path of None means that the file is not wanted.
    """
    paths = [path for path in written if path is not None]
    for path in paths:
        check_output(path)
    taken = {
        path.resolve(): "is an input and cannot be overwritten. Fix: pass another name." for path in read
    }
    for path in paths:
        if path.resolve() in taken:
            raise CommandError(f"{path} {taken[path.resolve()]}")
        taken[path.resolve()] = "would be written twice. Fix: pass two names."
