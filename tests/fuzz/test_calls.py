"""Random calls of every public callable: each returns, or raises a typed error that says what to pass.

BPTT_FUZZ_CASES sets how many calls are made, BPTT_FUZZ_FIRST the number of the first. A case is repeated by
its number alone.
"""

from __future__ import annotations

import faulthandler
import os
import re
import sys
import traceback
import warnings
from collections.abc import Iterator

import numpy as np
import pytest
from tests.fuzz.calls.targets import TARGETS
from tests.fuzz.draw import Draw

import bptt

resource = pytest.importorskip("resource", reason="limits the memory of a process, not on Windows")

CASES = int(os.environ.get("BPTT_FUZZ_CASES", "3000"))
FIRST = int(os.environ.get("BPTT_FUZZ_FIRST", "0"))
HANG = 120.0
"""Seconds after which a call counts as hanging; calls take milliseconds."""
MEMORY = 12 * 2**30
"""Bytes of address space: an argument must not make the library ask for more and be killed for it."""
WILDNESS = (0.02, 0.05, 0.15)
"""Probabilities that an argument is a wild one, by turns: few calls get far with many of them."""
TYPED = (TypeError, ValueError, OSError, MemoryError, FloatingPointError)
OURS = re.compile(r"\bmust\b|\bneeds?\b|Fix:")


@pytest.fixture(autouse=True)
def _guarded() -> Iterator[None]:
    """Limited memory, a traceback where a call hangs, and no warnings, which are not this test's subject."""
    soft, hard = resource.getrlimit(resource.RLIMIT_AS)
    if "libasan" not in os.environ.get("LD_PRELOAD", ""):  # which reserves terabytes
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY if hard == resource.RLIM_INFINITY else hard, hard))
    try:
        with warnings.catch_warnings(), np.errstate(all="ignore"):
            warnings.simplefilter("ignore")
            yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (soft, hard))
        faulthandler.cancel_dump_traceback_later()


def fault(name: str, case: int) -> str | None:
    """What was wrong with one call, or None."""
    faulthandler.dump_traceback_later(HANG, exit=True, file=sys.__stderr__)
    try:
        TARGETS[name](Draw(case, WILDNESS[case // len(TARGETS) % len(WILDNESS)]), name)
    except TYPED as error:
        if isinstance(error, (TypeError, ValueError)) and not OURS.search(str(error)):
            return f"case {case}, {name}: untyped {describe(error)}"
    except Exception as error:
        return f"case {case}, {name}: {describe(error)}"
    return None


def describe(error: BaseException) -> str:
    where = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {os.path.basename(where.filename)}:{where.lineno}: {str(error)[:200]}"


def test_random_calls() -> None:
    names = list(TARGETS)
    faults = (fault(names[case % len(names)], case) for case in range(FIRST, FIRST + CASES))
    found = [text for text in faults if text is not None]
    assert not found, f"{len(found)} faults\n" + "\n".join(found[:50])


def test_every_public_callable_is_called() -> None:
    """A new public name needs an entry in TARGETS, or a reason here."""
    elsewhere = {
        *("Callback", "Initialiser", "Loss", "Metric", "Module", "Optimizer", "Schedule"),  # base classes
        *("CheckpointError", "NonFiniteError"),
        *("CSVLog", "TensorBoard"),  # they write files only
        *("History", "LayerTape", "Split"),  # results
        "Trainer",  # by its methods
    }
    public = {name for name in bptt.__all__ if callable(getattr(bptt, name))}
    for module in (bptt.data, bptt.estimators, bptt.init, bptt.metrics, bptt.schedules):
        public |= set(module.__all__)
    called = {part for name in TARGETS for part in name.split(".")}
    assert public - called - elsewhere == set()
