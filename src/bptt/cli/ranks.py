"""Run a command on several ranks: `mpiexec -n N bptt train ...`."""

from __future__ import annotations

import argparse
import functools
import os
import sys
from collections.abc import Callable
from contextlib import ExitStack, redirect_stderr, redirect_stdout
from importlib import import_module

from bptt.cli.options import CommandError
from bptt.leaving import abort, is_launched, processes_started
from bptt.ranks.communicator import Comm
from bptt.ranks.processes import check_comm


def find_comm() -> Comm | None:
    """Return the communicator of the ranks that `mpiexec` started.

    For a single process, return None and do not import mpi4py.

    Raises
    ------
    CommandError
        There are several processes, but mpi4py is missing or belongs to another MPI.
    """
    if not is_launched():
        return None
    started = processes_started()
    try:
        comm: Comm = import_module("mpi4py.MPI").COMM_WORLD
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is installed without an MPI
        raise CommandError(
            f"mpiexec needs mpi4py ({error}). Fix: pip install 'bptt[mpi]', and if there is no MPI, "
            "pip install mpich."
        ) from None
    if comm.size < started:
        raise CommandError(
            f"mpiexec started {started} processes, but mpi4py sees {comm.size}: they use different MPIs. "
            "Fix: use the mpiexec of the MPI that mpi4py uses ('pip install mpich' installs one)."
        )
    return check_comm(comm) if comm.size > 1 else None


def on_ranks(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """Make a command's `run` work on several ranks.

    `options.comm` becomes their communicator, or None for a single process. Only the first rank prints. If a
    rank fails, all ranks end.
    """

    @functools.wraps(run)
    def run_on_ranks(options: argparse.Namespace) -> None:
        comm = options.comm = find_comm()
        if comm is None:
            run(options)
            return
        with ExitStack() as quiet:
            if comm.rank > 0:
                devnull = quiet.enter_context(open(os.devnull, "w", encoding="utf-8"))
                quiet.enter_context(redirect_stdout(devnull))
                quiet.enter_context(redirect_stderr(devnull))
            try:
                run(options)
            except BaseException as error:
                message = " ".join(str(error).split()) or type(error).__name__
                print(f"bptt: rank {comm.rank} of {comm.size}: {message}", file=sys.__stderr__)
                abort(comm)

    return run_on_ranks


def is_first(options: argparse.Namespace) -> bool:
    """Return whether this rank is the first rank, which writes the results."""
    return options.comm is None or options.comm.rank == 0
