"""The command `bptt`: one short file per subcommand, each with `add(subparsers)` and `run(options)`.

The exit code is 0 on success, 2 on a usage error, 130 after Ctrl-C, and 1 on any other failure. Every failure
is one line on standard error. Figures and samples go to standard output, progress to standard error.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from bptt._version import __version__
from bptt.cli import (
    bench,
    completion,
    config,
    demo,
    evaluate,
    export,
    forecast,
    generate,
    gradflow,
    import_model,
    info,
    predict,
    selftest,
    train,
)
from bptt.cli.options import CommandError, Parser

__all__ = ["main"]


def parser() -> Parser:
    """Return the parser of the whole command line."""
    top = Parser(
        prog="bptt",
        description="Train, run and inspect recurrent networks on the CPU.",
        epilog="'bptt COMMAND --help' lists the options of a command.",
    )
    top.add_argument("--version", action="version", version=f"bptt {__version__}")
    commands = top.add_subparsers(title="commands", metavar="COMMAND", required=True)
    models = (evaluate, generate, forecast, predict, gradflow, import_model, export)
    for command in (demo, train, *models, bench, info, selftest):
        command.add(commands)
    completion.add(commands, top)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line and return its exit code.

    Parameters
    ----------
    argv : sequence of str, optional
        Arguments after the name of the program. Default: the arguments of this process.

    Returns
    -------
    int
        0 on success, 1 on a failure, 2 on a usage error, 130 after Ctrl-C.
    """
    try:
        argv = sys.argv[1:] if argv is None else argv
        options = parser().parse_args(argv)
        if getattr(options, "config", None) is not None:
            options = parser().parse_args(config.merged(argv, options.command, options.config))
    except SystemExit as stop:  # argparse has printed help, the version, or an error
        return stop.code if isinstance(stop.code, int) else 1
    try:
        options.prepare(options)
        options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt:
        checkpoint = getattr(options, "checkpoint", None)
        saved = checkpoint is not None and checkpoint.exists()
        after = f"--resume continues from {checkpoint}" if saved else "no file was written after that"
        print(f"bptt: interrupted; {after}", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # The reader of the output (`| head`) has exited. The buffered output must not raise again at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (CommandError, ValueError, TypeError, OSError) as error:  # these messages need no error type
        return _failed(str(error))
    except Exception as error:  # print one line for any other error, too, without a traceback
        return _failed(f"{type(error).__name__}: {error}")
    return 0


def _failed(message: str) -> int:
    print(f"bptt: {' '.join(message.split())}", file=sys.stderr)
    return 1
