"""The ranks that a command runs on: `mpiexec -n N bptt train ...`."""

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
    """The communicator of the ranks that `mpiexec` started; None for a process on its own, without looking
    for mpi4py.

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
    except (ImportError, RuntimeError) as error:  # RuntimeError: mpi4py is there, its MPI is not
        raise CommandError(
            f"mpiexec needs mpi4py ({error}); pip install 'bptt[mpi]', and an MPI if there is none: "
            "pip install mpich"
        ) from None
    if comm.size < started:
        raise CommandError(
            f"mpiexec started {started} processes, and mpi4py sees {comm.size}: they are of different MPIs; "
            "use the mpiexec of mpi4py's own ('pip install mpich' puts one beside python)"
        )
    return check_comm(comm) if comm.size > 1 else None


def on_ranks(run: Callable[[argparse.Namespace], None]) -> Callable[[argparse.Namespace], None]:
    """A command's `run` that may go on several ranks at once: `options.comm` is theirs, or None for one. Only
    the first one talks; the failure of one is that of all."""

    @functools.wraps(run)
    def running(options: argparse.Namespace) -> None:
        comm = options.comm = find_comm()
        if comm is None:
            run(options)
            return
        with ExitStack() as quiet:
            if comm.rank > 0:
                nobody = quiet.enter_context(open(os.devnull, "w", encoding="utf-8"))
                quiet.enter_context(redirect_stdout(nobody))
                quiet.enter_context(redirect_stderr(nobody))
            try:
                run(options)
            except BaseException as error:
                what = " ".join(str(error).split()) or type(error).__name__
                print(f"bptt: rank {comm.rank} of {comm.size}: {what}", file=sys.__stderr__)
                abort(comm)

    return running


def is_first(options: argparse.Namespace) -> bool:
    """Whether this is the rank that writes."""
    return options.comm is None or options.comm.rank == 0
