"""One row: everyone who can do the case, checked against us, then timed by turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bptt.bench import machine
from bptt.bench.agreement import DisagreementError, check, tolerance
from bptt.bench.clock import Timing, stopwatch, take_turns, timing
from bptt.bench.peers import OTHERWISE, OURS, OWN, NotApplicableError, make
from bptt.bench.problem import Array, Call, problem
from bptt.bench.shapes import Case, case_of

CHECKED = 3
"""Iterations: the second tells whether the first updated the weights alike."""


@dataclass(frozen=True)
class Row:
    """
    Result of one case on one number of threads.

    Attributes
    ----------
    peak : float
        Multiply-add peak of these threads, GFLOP/s.
    times : dict of str to Timing
        Our times under "bptt", and the times of the peers that took part.
    left_out, disagreed : dict of str to str
        Peers that could not run, or whose results disagreed, and the reason.
    valid : float
        Share of the steps of all rows that lie before their ends.
    barrier : float
        Nanoseconds for a barrier of two threads, measured right after the case; 0 with one thread. A virtual
        machine may move its cores nearer to each other or further away.
    """

    case: Case
    threads: int
    peak: float
    times: dict[str, Timing]
    left_out: dict[str, str]
    disagreed: dict[str, str]
    valid: float = 1.0
    barrier: float = 0.0

    @property
    def best_peer(self) -> str | None:
        """The one with the lowest median."""
        peers = [name for name in self.times if name not in (OURS, *OWN)]
        return min(peers, key=lambda name: self.times[name].median, default=None)

    def ratio(self, peer: str) -> float:
        """How many times as fast we are, by medians."""
        return self.times[peer].median / self.times[OURS].median

    def rate(self, name: str) -> float:
        """GFLOP/s by the median."""
        return self.case.gflop / (1e-6 * self.times[name].median)

    def share(self, name: str) -> float:
        """Of the peak."""
        return self.rate(name) / self.peak

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return asdict(self)

    @classmethod
    def of(cls, values: dict[str, Any]) -> Row:
        """Back from JSON values."""
        times = {name: Timing(**figures) for name, figures in values["times"].items()}
        return cls(**values | {"case": case_of(values["case"]), "times": times})


def measure(
    case: Case, peers: Sequence[str], threads: int, seconds: float, peak: float = 1.0, seed: int = 0
) -> Row:
    """Time a case for about `seconds`, and at least three rounds."""
    numbers = problem(case, seed)
    calls = {OURS: make(OURS, numbers, threads)}
    first, expected = _results(calls[OURS], case)
    firsts, left_out, disagreed = {OURS: first}, {}, {}
    for peer in _invited(peers, case, threads):
        try:
            call = make(peer, numbers, threads)
            first, found = _results(call, case)
            for theirs, ours in zip(found, expected, strict=True):
                if peer not in OTHERWISE:
                    check(theirs, ours, tolerance(case))
        except DisagreementError as difference:
            disagreed[peer] = str(difference)
        except NotApplicableError as reason:
            left_out[peer] = str(reason)
        except Exception as error:  # a peer that fails is left out; the others still run
            left_out[peer] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        else:
            calls[peer], firsts[peer] = call, first
    turns = take_turns({name: call.run for name, call in calls.items()}, seconds)
    times = {name: timing(turns[name], firsts[name], case.per_call) for name in calls}
    lengths = getattr(numbers, "lengths", None)
    valid = 1.0 if lengths is None else float(lengths.mean() / case.shape.T)
    return Row(case, threads, peak, times, left_out, disagreed, valid, machine.barrier())


def _results(call: Call, case: Case) -> tuple[float, list[dict[str, Array]]]:
    """Seconds of the first call, and what it and the other checked ones gave."""
    first, result = stopwatch(call.run)
    found = [call.read(result)]
    if case.mode == "iteration":
        found += [call.read(call.run()) for _ in range(CHECKED - 1)]
    return first, found


def _invited(peers: Sequence[str], case: Case, threads: int) -> list[str]:
    """These, and those that join by themselves."""
    more = ["torch-flush"] if case.shape.denormal and "torch" in peers else []
    more += ["plain"] if case.mode == "variants" else []
    more += ["one-thread"] if threads == 2 and case.divides else []
    return list(dict.fromkeys([*peers, *more]))
