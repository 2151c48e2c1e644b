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
"""The choices of --cell, which `bptt selftest` checks: the class of the layer, and its special arguments."""


class CommandError(Exception):
    """A failure with a message for the user, which is printed as one line. The exit code is 1."""


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    """Help that shows all defaults except None and False."""

    def _get_help_string(self, action: argparse.Action) -> str | None:
        return action.help if action.default in (None, False) else super()._get_help_string(action)


class Parser(argparse.ArgumentParser):
    """An ArgumentParser with errors in one line that name the help, and without abbreviations of options."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(allow_abbrev=False, formatter_class=_Help, **keywords)

    @property
    def actions(self) -> list[argparse.Action]:
        """All options and arguments. argparse has no public list of them."""
        return self._actions

    def rivals(self, action: argparse.Action) -> set[str]:
        """Return the options that exclude this option."""
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
    """Return an argparse type for a finite number: at least (or `above`) `minimum`, and less than `below`."""
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
    """Parse names separated by commas. A name that contains a comma must be in quotes."""
    names = [cell.strip() for cell in next(csv.reader([text], skipinitialspace=True), [])]
    if not names or not all(names) or len(set(names)) < len(names):
        raise argparse.ArgumentTypeError(f"expected names, each once, with commas between them, got {text!r}")
    return names


def joined(entries: Sequence[object]) -> str:
    """Join names to a text that `names` parses."""
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(entries)
    return line.getvalue()


COUNT = number(int, minimum=1, below=2**31)
THREADS = number(int, minimum=1, below=257)  # the limit of the core
POSITIVE = number(float, minimum=0, above=True)
SHARE = number(float, minimum=0, below=1, above=True)


def add_common(command: argparse.ArgumentParser, run: Callable[[Any], None]) -> None:
    """Add the options of every command (--json, --seed, --threads), and set its function `run`."""
    group = command.add_argument_group("common options")
    group.add_argument("--json", action="store_true", help="print the results as one JSON object")
    threads = "number of threads (default: BPTT_NUM_THREADS, or all cores that this process may use)"
    group.add_argument("--threads", type=THREADS, metavar="N", default=argparse.SUPPRESS, help=threads)
    seed = number(int, minimum=0, below=2**63)
    group.add_argument("--seed", type=seed, metavar="N", default=0, help="seed of all random numbers")
    command.set_defaults(run=run, prepare=prepare)


def prepare(options: argparse.Namespace) -> None:
    """Apply the options that configure the process."""
    if "threads" in options:
        bptt.set_num_threads(options.threads)


def plain(value: Any) -> Any:
    """Convert a value to strict JSON values: infinity and NaN become null."""
    if isinstance(value, dict):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def print_json(figures: dict[str, Any]) -> None:
    """Print one JSON object to standard output."""
    print(json.dumps(plain(figures), indent=2))


def note(message: str) -> None:
    """Print a note for the user to standard error."""
    print(message, file=sys.stderr)


def check_output(path: Path) -> None:
    """Raise CommandError if a file cannot be written at `path`. Leave no file.

    Call this function before the work starts, so that a mistyped folder does not cost a minute of training.
    """
    if path.exists() and not path.is_file():  # a new file would replace a device, too
        actual = "a folder" if path.is_dir() else "not a regular file"
        raise CommandError(f"cannot write {path}: it is {actual}. Fix: pass a file name.")
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
    """Raise CommandError unless all paths in `written` can be written, differ, and are not in `read`.

    None stands for a file that is not written.
    """
    paths = [path for path in written if path is not None]
    for path in paths:
        check_output(path)
    inputs, outputs = {path.resolve() for path in read}, set[Path]()
    for path in paths:
        if path.resolve() in inputs:
            raise CommandError(f"{path} is an input and cannot be overwritten. Fix: pass another name.")
        if path.resolve() in outputs:
            raise CommandError(f"{path} would be written twice. Fix: pass two names.")
        outputs.add(path.resolve())
