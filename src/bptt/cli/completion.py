"""`bptt completion SHELL`: print a script with which a shell completes commands, options and their values."""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from bptt.cli.options import Parser, prepare

SHELLS = ("bash", "zsh", "fish")


@dataclass(frozen=True)
class Command:
    """What may follow the words of a command, such as "train csv".

    Attributes
    ----------
    commands : dict
        Subcommands, with the first sentence of their description.
    choices : dict
        The values of each option that has a fixed set of them.
    flags, valued : dict
        Options without and with a value, with their help.
    """

    words: str
    commands: dict[str, str]
    choices: dict[str, list[str]]
    flags: dict[str, str]
    valued: dict[str, str]


def add(commands: Any, top: Parser) -> None:
    """Register the command. `top` is the parser of the whole command line."""
    command = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Print a script with which a shell completes commands, options, their values and file"
        " names. Bash and zsh: put the line 'eval \"$(bptt completion bash)\"' into ~/.bashrc, or the same"
        " with zsh into ~/.zshrc. Fish: put 'bptt completion fish | source' into ~/.config/fish/config.fish.",
    )
    command.add_argument("shell", choices=SHELLS, help="the shell that runs the script")
    command.set_defaults(run=lambda options: run(options, top), prepare=prepare)


def run(options: argparse.Namespace, top: Parser) -> None:
    """Print the script."""
    commands = list(walk(top))
    print(_fish(commands) if options.shell == "fish" else _bash(commands, options.shell))


def walk(parser: Parser, words: str = "") -> Iterator[Command]:
    """Yield a command and all its subcommands."""
    commands: dict[str, Any] = {}
    choices: dict[str, list[str]] = {}
    flags: dict[str, str] = {}
    valued: dict[str, str] = {}
    for action in parser.actions:
        if isinstance(action.choices, Mapping):
            commands = dict(action.choices)
            continue
        names = action.option_strings or [""]  # "": a word without a name
        if action.choices is not None:
            choices |= {name: [str(choice) for choice in action.choices] for name in names}
        if action.option_strings:
            kind = flags if action.nargs == 0 else valued
            kind |= dict.fromkeys(names, "" if action.help is None else action.help.split(" (default")[0])
    sentences = {name: (command.description or "").split(". ")[0] for name, command in commands.items()}
    yield Command(words, sentences, choices, flags, valued)
    for name, command in commands.items():
        yield from walk(command, f"{words} {name}".strip())


def _bash(commands: list[Command], shell: str) -> str:
    """Return a function of Bash. Zsh runs it, too."""
    values, words, names = [], [], []
    for command in commands:
        if command.words:
            names.append(_pattern(command.words))
        for option, choices in command.choices.items():
            if option:
                values.append(f"    {_pattern(command.words, option)}) words={_list(choices)} ;;")
        free = [option for option in command.valued if option not in command.choices]
        if free:
            patterns = "|".join(_pattern(command.words, option) for option in free)
            values.append(f"    {patterns}) return ;;")
        options = [*command.flags, *command.valued]
        first = [*command.commands, *command.choices.get("", [])]
        words.append(f"      {_pattern(command.words)}) words={_list(first)}; options={_list(options)} ;;")
    lines = [
        "_bptt() {",
        '  local current="${COMP_WORDS[COMP_CWORD]}" before="${COMP_WORDS[COMP_CWORD-1]}"',
        '  local command="" words="" options="" word i',
        "  for ((i = 1; i < COMP_CWORD; i++)); do",
        '    word="${COMP_WORDS[i]}"',
        '    case "${command:+$command }$word" in',
        f'      {"|".join(names)}) command="${{command:+$command }}$word" ;;',
        "    esac",
        "  done",
        "  COMPREPLY=()",
        '  case "$command:$before" in',
        *values,
        '    *) case "$command" in',
        *words,
        "    esac ;;",
        "  esac",
        '  [[ $current == -* ]] && words="$options"',
        '  COMPREPLY=($(compgen -W "$words" -- "$current"))',
        "}",
        "complete -o default -F _bptt bptt",
    ]
    if shell == "zsh":
        lines.insert(0, "autoload -U +X compinit && compinit; autoload -U +X bashcompinit && bashcompinit")
    return "\n".join(lines)


def _pattern(words: str, option: str | None = None) -> str:
    """Return a quoted pattern of `case`: the words of a command, and an option after a colon."""
    return f'"{words}"' if option is None else f'"{words}:{option}"'


def _list(words: list[str]) -> str:
    """Return words as one quoted word, in which each is quoted again."""
    return shlex.quote(shlex.join(words))


def _fish(commands: list[Command]) -> str:
    """Return `complete` commands of fish."""
    lines = ["complete -c bptt -e"]
    for command in commands:
        last = command.words.split(" ")[-1]
        condition = f"__fish_seen_subcommand_from {last}" if last else "__fish_use_subcommand"
        for name, sentence in command.commands.items():
            below = "" if not last else f"; and not __fish_seen_subcommand_from {' '.join(command.commands)}"
            text = f"-f -a {name} -d {shlex.quote(sentence)}"
            lines.append(f"complete -c bptt -n {shlex.quote(condition + below)} {text}")
        for word in command.choices.get("", []):
            lines.append(f"complete -c bptt -n {shlex.quote(condition)} -f -a {word}")
        for option, text in {**command.flags, **command.valued}.items():
            name = f"-l {option[2:]}" if option.startswith("--") else f"-s {option[1:]}"
            value = " -r" if option in command.valued else ""
            if option in command.choices:
                value = f" -x -a {_list(command.choices[option])}"
            lines.append(
                f"complete -c bptt -n {shlex.quote(condition)} {name}{value} -d {shlex.quote(text.strip())}"
            )
    return "\n".join(lines)
