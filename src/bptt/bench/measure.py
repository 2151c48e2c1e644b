"""Measure one row: check the results of all peers that can run the case, then time them in turns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bptt.bench import machine
from bptt.bench.agreement import DisagreementError, check, tolerance
from bptt.bench.clock import Timing, take_turns, timing
from bptt.bench.limits import Speed, limits
from bptt.bench.peers import FLOAT32, OTHERWISE, OURS, OWN, NotApplicableError, make
from bptt.bench.problem import Array, Call, problem
from bptt.bench.shapes import Case, case_of

CHECKED = 3
"""Number of iterations that are checked: the second shows whether the first made the same update."""


@dataclass(frozen=True)
class Row:
    """Result of one case on one number of threads.

    Attributes
    ----------
    times : dict of str to Timing
        Times of bptt, under "bptt", and of all peers that took part.
    limits : dict of str to float
        Shortest possible times in microseconds: "compute" and "memory", as far as they are known.
    left_out, disagreed : dict of str to str
        Peers that could not run, or whose results disagreed, and the reason.
    valid : float
        Fraction of the time steps that are not padding.
    errors : dict of str to float
        In reduced precision: the largest difference from float32, as a fraction of the largest entry.
    barrier : float
        Nanoseconds for a barrier of two threads, measured right after the case; 0 with one thread. A virtual
        machine may move its cores nearer to each other or further away.
    """

    case: Case
    threads: int
    times: dict[str, Timing]
    limits: dict[str, float] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    disagreed: dict[str, str] = field(default_factory=dict)
    errors: dict[str, float] = field(default_factory=dict)
    valid: float = 1.0
    barrier: float = 0.0

    @property
    def best_peer(self) -> str | None:
        """The peer with the lowest median time."""
        peers = [name for name in self.times if name not in (OURS, *OWN)]
        return min(peers, key=lambda name: self.times[name].median, default=None)

    def ratio(self, peer: str) -> float:
        """Return the median time of a peer over the median time of bptt."""
        return self.times[peer].median / self.times[OURS].median

    @property
    def limit(self) -> str | None:
        """The limit with the longest time, "compute" or "memory"."""
        return max(self.limits, key=lambda name: self.limits[name], default=None)

    @property
    def share(self) -> float | None:
        """The limit over the time of bptt: 1 if no implementation can be faster."""
        return None if self.limit is None else self.limits[self.limit] / self.times[OURS].median

    def plain(self) -> dict[str, Any]:
        """Return JSON values; times are pairs of median and minimum, in microseconds."""
        best = self.best_peer
        figures = {
            "threads": self.threads,
            "times": {
                name: [_digits(time.median), _digits(time.minimum)] for name, time in self.times.items()
            },
            "limits": {name: _digits(time) for name, time in self.limits.items()},
            "best": best,
            "ratio": None if best is None else round(self.ratio(best), 3),
            "limit": self.limit,
            "share": None if self.share is None else round(self.share, 3),
        }
        more = {
            "left_out": self.left_out,
            "disagreed": self.disagreed,
            "errors": {name: float(f"{error:.2g}") for name, error in self.errors.items()},
            "valid": None if self.valid == 1.0 else round(self.valid, 4),
            "barrier": round(self.barrier),
        }
        return self.case.plain() | figures | {name: value for name, value in more.items() if value}

    @classmethod
    def of(cls, values: dict[str, Any]) -> Row:
        """Return the row that `plain` described. Times and limits determine the other figures."""
        times = {name: Timing(*figures) for name, figures in values["times"].items()}
        known = ("limits", "left_out", "disagreed", "errors", "valid", "barrier")
        more = {name: values[name] for name in known if name in values}
        return cls(case_of(values), values["threads"], times, **more)


def _digits(microseconds: float) -> float:
    """Round to five significant digits."""
    return float(f"{microseconds:.5g}")


def measure(
    case: Case,
    peers: Sequence[str],
    threads: int,
    seconds: float,
    speed: Speed | None = None,
    seed: int = 0,
) -> Row:
    """Time a case for about `seconds`, in at least three rounds."""
    numbers = problem(case, seed)
    calls = {OURS: make(OURS, numbers, threads)}
    reduced, allowed = case.precision != "highest", tolerance(case)
    expected = _results(make(FLOAT32, numbers, threads) if reduced else calls[OURS], case)
    left_out, disagreed, errors = {}, {}, {}
    for peer in [OURS] * reduced + _invited(peers, case, threads):
        try:
            call = calls.get(peer) or make(peer, numbers, threads)
            for theirs, ours in zip(_results(call, case), expected, strict=True):
                if peer not in OTHERWISE:
                    errors[peer] = allowed * check(theirs, ours, allowed)
        except DisagreementError as difference:
            disagreed[peer] = str(difference)
        except NotApplicableError as reason:
            left_out[peer] = str(reason)
        except Exception as error:  # a peer that fails is left out; the others still run
            left_out[peer] = f"failed: {type(error).__name__}: {' '.join(str(error).split())[:200]}"
        else:
            calls[peer] = call
    turns = take_turns({name: call.run for name, call in calls.items()}, seconds)
    times = {name: timing(turns[name], case.per_call) for name in calls}
    lengths = getattr(numbers, "lengths", None)
    valid = 1.0 if lengths is None else float(lengths.mean() / case.shape.T)
    bounds = {} if speed is None else limits(case, threads, speed)
    errors = errors if reduced else {}
    return Row(case, threads, times, bounds, left_out, disagreed, errors, valid, machine.barrier())


def _results(call: Call, case: Case) -> list[dict[str, Array]]:
    """Return the results of all calls that are checked."""
    return [call.read(call.run()) for _ in range(CHECKED if case.mode == "iteration" else 1)]


def _invited(peers: Sequence[str], case: Case, threads: int) -> list[str]:
    """Return these peers, and the peers that the case adds."""
    more = ["torch-flush"] if case.shape.denormal and "torch" in peers else []
    more += ["plain"] if case.mode == "variants" else []
    more += ["one-thread"] if threads == 2 and case.divides else []
    return list(dict.fromkeys([*peers, *more]))
