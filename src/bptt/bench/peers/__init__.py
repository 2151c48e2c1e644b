"""Who takes part: one module each, with a function per mode that makes a `Call` of a `Problem`."""

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
"""Name -> module, and the packages that it imports."""

DEFAULT = ("torch", "onnxruntime", "jax")
"""`torch-compile` takes minutes to compile what it then runs; `torch-flush` joins by itself where numbers
are denormal, and `plain`, our own layer without its options, beside variants, and `one-thread`, ourselves,
beside two where the batch is large enough."""

OWN = ("plain", "one-thread")
"""We ourselves, done differently."""

OTHERWISE = ("plain",)
"""Compute something else on purpose."""


class NotApplicableError(Exception):
    """A peer cannot do this case; the message says why."""


def missing(name: str) -> list[str]:
    """The packages that a peer needs and that are not installed."""
    return [package for package in PEERS[name][1] if find_spec(package) is None]


def installed() -> list[str]:
    """The peers whose packages are there."""
    return [name for name in PEERS if not missing(name)]


def versions(names: list[str]) -> dict[str, str]:
    """Package -> version, of all that these peers import."""
    found = {}
    for package in dict.fromkeys(package for name in names for package in PEERS[name][1]):
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = "unknown"
    return found


def make(name: str, problem: Problem | ModelProblem, threads: int) -> Call:
    """
    Return the call with which a peer, or bptt, computes a problem on a number of threads.

    Raises
    ------
    NotApplicableError
        It has no such mode, or cannot do this case.
    """
    module = import_module(f"bptt.bench.peers.{'native' if name == OURS else PEERS[name][0]}")
    mode = problem.case.mode
    builder: Callable[[Any, int], Call] | None = getattr(module, mode, None)
    if builder is None:
        raise NotApplicableError(f"has no {mode}")
    return builder(problem, threads)
