"""How much the tests of promises do: a sample, or all of it with BPTT_FUZZ_CASES=all (`nox -s promises`)."""

from __future__ import annotations

import os
from typing import TypeVar

LONG = os.environ.get("BPTT_FUZZ_CASES") == "all"

Amount = TypeVar("Amount")


def amount(short: Amount, long: Amount) -> Amount:
    """Return the amount of work for this run."""
    return long if LONG else short
