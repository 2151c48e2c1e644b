"""The libraries of the comparison. Each module has a function per mode that makes a `Call` of a `Problem`."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any

from bptt.bench.problem import Call, ModelProblem, Problem

OURS = "bptt"

PEERS = {
    "torch": ("torch_eager", ("torch",)),
    "onnxruntime": ("onnx_runtime", ("onnxruntime", "onnx")),
    "jax": ("jax_scan", ("jax",)),
    "torch-compile": ("torch_compiled", ("torch",)),
    "torch-flush": ("torch_flush", ("torch",)),
    "plain": ("plain", ()),
    "one-thread": ("one_thread", ()),
}
"""Module of each peer, and the packages that the module imports."""

DEFAULT = ("torch", "onnxruntime", "jax")
"""Peers that take part by default. `torch-compile` compiles for minutes, so it does not.

Some peers join automatically: `torch-flush` if numbers are denormal, `plain` (our layer without its option)
in the mode "variants", and `one-thread` (our layer on one thread) if two threads share a large batch.
"""

OWN = ("plain", "one-thread")
"""Peers that are our own layers, run differently."""

OTHERWISE = ("plain",)
"""Peers that compute other results on purpose."""


class NotApplicableError(Exception):
    """A peer cannot run this case. The message says why."""


def missing(name: str) -> list[str]:
    """Return the packages of a peer that are not installed."""
    return [package for package in PEERS[name][1] if find_spec(package) is None]


def installed() -> list[str]:
    """Return the peers whose packages are installed."""
    return [name for name in PEERS if not missing(name)]


def versions(names: list[str]) -> dict[str, str]:
    """Return the versions of all packages that these peers import, by package."""
    package_versions = {}
    for package in dict.fromkeys(package for name in names for package in PEERS[name][1]):
        try:
            package_versions[package] = version(package)
        except PackageNotFoundError:
            package_versions[package] = "unknown"
    return package_versions


def make(name: str, problem: Problem | ModelProblem, threads: int) -> Call:
    """Return the call with which a peer, or bptt, computes a problem on a number of threads.

    Raises
    ------
    NotApplicableError
        The peer has no such mode, or cannot run this case.
    """
    module = import_module(f"bptt.bench.peers.{'native' if name == OURS else PEERS[name][0]}")
    mode = problem.case.mode
    builder: Callable[[Any, int], Call] | None = getattr(module, mode, None)
    if builder is None:
        raise NotApplicableError(f"has no {mode}")
    return builder(problem, threads)
