"""The command `bptt`: one short file per subcommand, each with `add(subparsers)` and `run(options)`.

Exit code 0 on success, 2 on a usage error, 130 after Ctrl-C, 1 otherwise; every failure is one line on
standard error. Figures and samples go to standard output, progress to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bptt._version import __version__
from bptt.cli import bench, config, demo, evaluate, forecast, generate, gradflow, info, selftest, train
from bptt.cli.options import CommandError, Parser

__all__ = ["main"]


def parser() -> Parser:
    """The whole command line."""
    top = Parser(
        prog="bptt",
        description="Train, run and inspect recurrent networks on the CPU.",
        epilog="'bptt COMMAND --help' lists the options of a command.",
    )
    top.add_argument("--version", action="version", version=f"bptt {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in (demo, train, evaluate, generate, forecast, gradflow, bench, info, selftest):
        command.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        The arguments after the program's name; those of this process by default.

    Returns
    -------
    int
        0 on success, 1 on a failure, 2 on a usage error, 130 when interrupted from the keyboard.
    """
    try:
        argv = sys.argv[1:] if argv is None else argv
        options = parser().parse_args(argv)
        if getattr(options, "config", None) is not None:
            options = parser().parse_args(config.merged(argv, options.command, options.config))
    except SystemExit as stop:  # argparse has printed help, the version, or what is wrong
        return stop.code if isinstance(stop.code, int) else 1
    try:
        options.prepare(options)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        kept = getattr(options, "checkpoint", None)
        saved = kept is not None and kept.exists()
        after = f"--resume continues from {kept}" if saved else "no file was written after that"
        print(f"bptt: interrupted; {after}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader (`| head`) has left: what is still buffered must not fail again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ValueError, TypeError, OSError) as error:  # their messages say all there is to say
        return _failed(str(error))
    except Exception as error:  # a person at a terminal gets a sentence, whatever broke
        return _failed(f"{type(error).__name__}: {error}")
    return 0


def _failed(message: str) -> int:
    print(f"bptt: {' '.join(message.split())}", file=sys.stderr)
    return 1
