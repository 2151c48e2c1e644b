"""`--config FILE`: read options from a TOML file. The command line overrides the file."""

from __future__ import annotations

import argparse
import difflib
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bptt.cli.options import Parser, joined

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


def add_option(command: Parser) -> None:
    """Add --config to a command."""
    command.add_argument(
        "--config",
        type=Path,
        metavar="FILE",
        help="TOML file of options with the names below, such as hidden = 64; the command line overrides it",
    )
    command.set_defaults(command=command)


def merged(arguments: Sequence[str], command: Parser, path: Path) -> list[str]:
    """Return the command line with the options of the file inserted in front, so that later options win.

    An unknown key, or a value that its option does not accept, is a usage error. The message names the file
    and the key.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        command.error(f"cannot read {path}: {error.strerror}")
    except ValueError as error:  # includes UnicodeDecodeError and TOMLDecodeError
        command.error(f"{path} is not TOML: {error}")
    actions = {
        action.option_strings[-1].removeprefix("--"): action
        for action in command.actions
        if action.option_strings and action.dest not in ("help", "config")
    }
    given = {argument.split("=")[0] for argument in arguments}
    words = len(command.prog.split()) - 1  # the words of the subcommand, such as "train text"
    options = []
    for key, value in table.items():
        name = key.replace("_", "-")
        if name not in actions:
            nearest = difflib.get_close_matches(name, actions, n=1, cutoff=0.0)[0]
            command.error(f"{path} has the unknown key {key!r}. Fix: did you mean {nearest!r}?")
        if not given.isdisjoint(command.rivals(actions[name])):
            continue
        options += _argument(command, path, name, actions[name], value)
    return [*arguments[:words], *options, *arguments[words:]]


def _argument(command: Parser, path: Path, name: str, action: argparse.Action, value: Any) -> list[str]:
    """Return one key as arguments. A false switch becomes the opposite switch, or no argument."""
    if action.nargs == 0:
        if not isinstance(value, bool):
            command.error(f"{path}: {name} must be true or false, got {value!r}")
        wanted = action.const if value else not action.const
        if action.default == wanted:
            return []
        switches = (switch for switch in command.actions if switch.dest == action.dest)
        return [next(switch for switch in switches if switch.const == wanted).option_strings[-1]]
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        value = joined(value)
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        command.error(f"{path}: {name} must be a number, a text or a list of texts, got {value!r}")
    try:
        parsed = action.type(str(value)) if callable(action.type) else value
    except (argparse.ArgumentTypeError, ValueError) as error:
        command.error(f"{path}: {name}: {error}")
    if action.choices is not None and parsed not in action.choices:
        command.error(f"{path}: {name}: expected one of {', '.join(action.choices)}, got {value!r}")
    return [f"--{name}={value}"]
