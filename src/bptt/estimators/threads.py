"""Respect the thread limits of threadpoolctl, and the limits that joblib sets in its worker processes."""

from __future__ import annotations

import multiprocessing
import os
from typing import Any

import threadpoolctl

from bptt import _core, runtime
from bptt._version import __version__


class Controller(threadpoolctl.LibController):
    """Interface of the compiled core for `threadpool_limits(n)` and `threadpool_info()`."""

    user_api = "bptt"
    internal_api = "bptt"
    filename_prefixes = ("_core",)
    check_symbols = ("PyInit__core",)
    dynlib: Any

    def set_additional_attributes(self) -> None:
        if os.path.realpath(self.filepath) != os.path.realpath(_core.__file__):
            self.dynlib = None  # the _core of another package: threadpoolctl finds no symbol and skips it

    def get_num_threads(self) -> int:
        return runtime.get_num_threads()

    def set_num_threads(self, num_threads: int) -> None:
        runtime.set_num_threads(num_threads)

    def get_version(self) -> str:
        return __version__


def register() -> None:
    """Register the core with threadpoolctl."""
    threadpoolctl.register(Controller)


def share_cores() -> None:
    """Limit the threads of a worker process to its fraction of the cores.

    joblib sets `OMP_NUM_THREADS` in its worker processes. A number of threads that the user chose, by
    `BPTT_NUM_THREADS`, `set_num_threads` or threadpoolctl, takes precedence.
    """
    if multiprocessing.parent_process() is None:
        return
    if runtime.threads_chosen():
        return
    cores = os.environ.get("OMP_NUM_THREADS", "")
    if cores.isdecimal() and 0 < int(cores) < runtime.get_num_threads():
        runtime.set_num_threads(int(cores))
