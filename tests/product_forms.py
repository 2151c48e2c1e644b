"""The forms of products of reduced precision that this machine runs."""

from __future__ import annotations

from collections.abc import Iterator

import bptt
from bptt import _core


def forms() -> Iterator[dict[str, str | bool]]:
    """Use each instruction set, emulated and by its instruction if it has one."""
    before = bptt.isa()
    try:
        for isa in bptt.available_isas():
            bptt.use_isa(isa)
            for emulate in (True, False):
                _core.emulate_reduced_precision(emulate)
                yield {"isa": isa, "emulate": emulate}
    finally:
        _core.emulate_reduced_precision(False)
        bptt.use_isa(before)
