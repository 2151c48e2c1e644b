"""Threads and instruction sets of the compiled core."""

from __future__ import annotations

import warnings
from typing import Any

from bptt import _core
from bptt.arguments import choice, size

for _complaint in _core.environment_complaints():
    warnings.warn(_complaint, RuntimeWarning, stacklevel=3)  # at the line that imports the package


def set_num_threads(n: int) -> None:
    """Use at most `n` threads from the next call on.

    Results have the same bits for any number of threads. The environment variable `BPTT_NUM_THREADS` sets the
    initial number. If its value is not a valid number, importing the package warns and ignores the value.

    Parameters
    ----------
    n : int
        At least 1.

    Raises
    ------
    TypeError, ValueError
        If `n` is not an int, is below 1, or is more than the core supports.

    Examples
    --------
    >>> import bptt
    >>> before = bptt.get_num_threads()
    >>> bptt.set_num_threads(1)
    >>> bptt.get_num_threads()
    1
    >>> bptt.set_num_threads(before)
    """
    # This maximum is the largest integer that the core can read. The core also checks a lower limit.
    _core.set_num_threads(size(n, "n", maximum=2**31 - 1))


def get_num_threads() -> int:
    """Return the number of threads that the next call may use.

    Returns
    -------
    int
        At least 1. By default, the number of cores that this process may use.

    Examples
    --------
    >>> import bptt
    >>> bptt.get_num_threads() >= 1
    True
    """
    return _core.get_num_threads()


def thread_rule() -> str:
    """Return which rule set the number of threads, in words."""
    return _core.thread_rule()


def threads_chosen() -> bool:
    """Return whether the environment or `set_num_threads` set the number."""
    return thread_rule() in ("BPTT_NUM_THREADS", "set_num_threads")


def available_isas() -> list[str]:
    """Return the instruction sets that this build and this CPU have in common.

    Returns
    -------
    list of str
        "generic" first, the widest last.

    Examples
    --------
    >>> import bptt
    >>> bptt.available_isas()[0]
    'generic'
    """
    return _core.available_isas()


def isa() -> str:
    """Return the instruction set in use.

    `use_isa` and the environment variable `BPTT_ISA` choose it.

    Returns
    -------
    str
        A name of `available_isas()`.

    Examples
    --------
    >>> import bptt
    >>> bptt.isa() in bptt.available_isas()
    True
    """
    return _core.isa()


def isa_rule() -> str:
    """Return why this instruction set is in use, in words."""
    return _core.isa_rule()


def instructions() -> dict[str, str]:
    """Return the instruction in use for products of each reduced precision, or "emulated"."""
    return {precision: _core.instruction_of(precision) for precision in ("bfloat16", "int8")}


def use_isa(name: str) -> None:
    """Use the instruction set `name` from the next call on.

    The environment variable `BPTT_ISA` sets the initial instruction set. If this machine cannot run it,
    importing the package warns and ignores the value.

    Parameters
    ----------
    name : str
        A name of `available_isas()`.

    Raises
    ------
    TypeError, ValueError
        If `name` is not a string, or not an instruction set that can run on this machine.

    Examples
    --------
    >>> import bptt
    >>> before = bptt.isa()
    >>> bptt.use_isa("generic")
    >>> bptt.isa()
    'generic'
    >>> bptt.use_isa(before)
    """
    _core.use_isa(choice(name, "name", available_isas()))


def build_config() -> dict[str, Any]:
    """Return how the core was built.

    Reports of errors should contain it.

    Returns
    -------
    dict
        Compiler, build type, instruction sets, and versions of C++ and pybind11.

    Examples
    --------
    >>> import bptt
    >>> sorted(bptt.build_config())
    ['assertions', 'build_type', 'compiler', 'cxx_standard', 'isas', 'pybind11', 'system']
    """
    return _core.build_config()
