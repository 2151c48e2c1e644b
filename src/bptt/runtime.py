"""Threads and instruction sets: what the compiled core uses on this machine, and how to change it."""

from __future__ import annotations

import warnings
from typing import Any

from bptt import _core
from bptt.arguments import choice, size

for _complaint in _core.environment_complaints():
    warnings.warn(_complaint, RuntimeWarning, stacklevel=3)  # at the line that imports the package


def set_num_threads(n: int) -> None:
    """
    Use at most `n` threads from the next call on.

    `BPTT_NUM_THREADS` in the environment sets the number at start. Importing the package warns of a value
    that is not such a number, and ignores it. Results are the same bits for any number of threads.

    Raises
    ------
    TypeError, ValueError
        `n` is not an int, below 1, or more than the core can manage.
    """
    # The core has its own, lower limit; this one is that of its integers.
    _core.set_num_threads(size(n, "n", maximum=2**31 - 1))


def get_num_threads() -> int:
    """The number of threads that the next call may use."""
    return _core.get_num_threads()


def thread_rule() -> str:
    """In words: which rule set the number of threads."""
    return _core.thread_rule()


def threads_chosen() -> bool:
    """Whether somebody chose the number of threads, by `BPTT_NUM_THREADS` or `set_num_threads`."""
    return thread_rule() in ("BPTT_NUM_THREADS", "set_num_threads")


def available_isas() -> list[str]:
    """The instruction sets that were built and that can run on this machine, narrowest first."""
    return _core.available_isas()


def isa() -> str:
    """The instruction set in use."""
    return _core.isa()


def isa_rule() -> str:
    """In words: why this instruction set is in use."""
    return _core.isa_rule()


def use_isa(name: str) -> None:
    """
    Use one of `available_isas()` from the next call on.

    `BPTT_ISA` in the environment sets the name at start. Importing the package warns of a name that cannot
    run here, and ignores it.

    Raises
    ------
    TypeError, ValueError
        `name` is not a string, or not an instruction set that can run here.
    """
    _core.use_isa(choice(name, "name", available_isas()))


def build_config() -> dict[str, Any]:
    """How the core was built: compiler, flags, instruction sets."""
    return _core.build_config()
