"""Check new results of compare.py: no row is slower than a competitor, and no row is slower than before.

python benchmarks/floors.py NEW.json [--against OLD.json]

Without --against, the results in benchmarks/results of the same processor and instruction set are used, if
there are any. The exit code is 1 if a row is below a floor, and each such row has a line.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

from bptt.bench import results
from bptt.bench.measure import Row
from bptt.bench.peers import OURS
from bptt.bench.session import Findings
from bptt.bench.summary import best_ratio, describe

RESULTS = Path(__file__).resolve().parent / "results"
NOISE = 0.03
"""Medians of the same row differ by this fraction from run to run, so a ratio of 0.97 passes as 1."""
DROP = 0.05
"""The share of the limit may be lower than before by this fraction."""


def slower_than_competitor(new: Findings) -> Iterator[str]:
    """Yield a message for each row in which the best competitor is faster than bptt."""
    for row in new.rows:
        ratio = best_ratio(row)
        if ratio is not None and ratio < 1.0 - NOISE:
            yield f"{describe(row)}: ratio to {row.best_peer} {ratio:.2f}, floor 1 (noise {NOISE:.0%})"


def slower_than_before(new: Findings, old: Findings) -> Iterator[str]:
    """Yield a message for each row whose share of the limit is lower than in the old results."""
    before = {describe(row): row for row in old.rows}
    for row in new.rows:
        stored = before.get(describe(row))
        shares = _shares(row, stored) if stored else None
        if shares and shares[0] < (1.0 - DROP) * shares[1]:
            yield f"{describe(row)}: share of the limit {shares[0]:.1%}, before {shares[1]:.1%}"


def _shares(new: Row, old: Row) -> tuple[float, float] | None:
    """Return the shares of the same limit, because old results may lack the bandwidth."""
    limit = old.limit if old.limit in new.limits else None
    if limit is None:
        return None
    return new.limits[limit] / new.times[OURS].median, old.limits[limit] / old.times[OURS].median


def processor(findings: Findings) -> str:
    """Return the processor and the instruction set."""
    return f"{findings.machine['processor']}, {findings.machine['isa']}"


def stored(name: str) -> Path | None:
    """Return the stored results of a processor."""
    paths = sorted(RESULTS.glob("*.json"))
    return next((path for path in paths if processor(results.load(path)) == name), None)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("new", type=Path, metavar="NEW.json", help="results of compare.py --json")
    parser.add_argument("--against", type=Path, metavar="OLD.json", help="results of the last release")
    options = parser.parse_args()
    new = results.load(options.new)
    against = options.against or stored(processor(new))
    failures = list(slower_than_competitor(new))
    if against is None:
        print(f"no stored results of {processor(new)}: only the ratios are checked", file=sys.stderr)
    else:
        old = results.load(against)
        if processor(old) != processor(new):
            parser.error(f"{against} has results of {processor(old)}, and {options.new} of {processor(new)}")
        failures += slower_than_before(new, old)
    print("\n".join([*failures, f"{len(new.rows)} rows, {len(failures)} below a floor"]))
    return int(bool(failures))


if __name__ == "__main__":
    try:
        raise SystemExit(main())
    except (OSError, ValueError) as error:
        raise SystemExit(f"floors.py: {error}") from None
