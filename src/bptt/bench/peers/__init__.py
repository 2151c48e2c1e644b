"""The libraries of the comparison. Each module has a function per mode that makes a `Call` of a `Problem`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from importlib import import_module
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from typing import Any, NamedTuple

from bptt.bench.problem import Call, ModelProblem, Problem

OURS, FLOAT32 = "bptt", "bptt-float32"


class Peer(NamedTuple):
    """Module of a peer, the packages that the module imports, and the precision; None: that of the case."""

    module: str
    packages: tuple[str, ...] = ()
    precision: str | None = "highest"


_ONNX = ("onnxruntime", "onnx")
_LITERT = ("ai_edge_litert", "flatbuffers")

PEERS = {
    "torch": Peer("torch_eager", ("torch",)),
    "onnxruntime": Peer("onnx_runtime", _ONNX),
    "jax": Peer("jax_scan", ("jax",)),
    "torch-compile": Peer("torch_compiled", ("torch",)),
    "torch-flush": Peer("torch_flush", ("torch",)),
    "litert": Peer("litert", _LITERT),
    "torch-bf16": Peer("torch_eager", ("torch",), "bfloat16"),
    "openvino-bf16": Peer("openvino", ("openvino", *_ONNX), "bfloat16"),
    "torch-int8": Peer("torch_eager", ("torch",), "int8"),
    "onnxruntime-int8": Peer("onnx_runtime", _ONNX, "int8"),
    "litert-int8": Peer("litert", _LITERT, "int8"),
    "plain": Peer("plain", (), None),
    "one-thread": Peer("one_thread", (), None),
    FLOAT32: Peer("native"),
}

DEFAULT = ("torch", "onnxruntime", "jax")
"""Peers that take part by default. `torch-compile` compiles for minutes, so it does not.

Some peers join automatically: `torch-flush` if numbers are denormal, `plain` (our layer without its option)
in the mode "variants", and `one-thread` (our layer on one thread) if two threads share a large batch.
"""

STREAMING = (*DEFAULT, "litert")
"""Peers that stream."""

REDUCED = {
    "bfloat16": (FLOAT32, "torch-bf16", "openvino-bf16", "onnxruntime", "litert"),
    "int8": (FLOAT32, "torch-int8", "onnxruntime-int8", "litert-int8", "torch-bf16", "openvino-bf16"),
}
"""Peers by the precision of the case. A peer may be more precise, because users would take the fastest."""

OWN = ("plain", "one-thread", FLOAT32)
"""Peers that are our own layers, run differently."""

OTHERWISE = ("plain",)
"""Peers that compute other results on purpose."""


class NotApplicableError(Exception):
    """A peer cannot run this case. The message says why."""


def missing(name: str) -> list[str]:
    """Return the packages of a peer that are not installed."""
    return [package for package in PEERS[name].packages if find_spec(package) is None]


def installed() -> list[str]:
    """Return the peers whose packages are installed."""
    return [name for name in PEERS if not missing(name)]


def versions(names: list[str]) -> dict[str, str]:
    """Return the versions of all packages that these peers import, by package."""
    package_versions = {}
    for package in dict.fromkeys(package for name in names for package in PEERS[name].packages):
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
    peer = Peer("native", (), None) if name == OURS else PEERS[name]
    module = import_module(f"bptt.bench.peers.{peer.module}")
    mode = problem.case.mode
    if peer.precision is not None:
        problem = replace(problem, case=replace(problem.case, precision=peer.precision))
    builder: Callable[[Any, int], Call] | None = getattr(module, mode, None)
    if builder is None:
        raise NotApplicableError(f"has no {mode}")
    return builder(problem, threads)
