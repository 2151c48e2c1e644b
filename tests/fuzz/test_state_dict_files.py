"""State dicts from strangers: safetensors files with hostile headers, or cut short.

`from_state_dict` must build a layer or raise ValueError or TypeError, in little memory and without a crash.
The short run takes about a second. BPTT_FUZZ_CASES sets the number of cases.
"""

from __future__ import annotations

import contextlib
import copy
import faulthandler
import json
import os
import random
import struct
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import safetensors.numpy

import bptt
from bptt.interop import from_state_dict

CASES = os.environ.get("BPTT_FUZZ_CASES", "300")
SEED = int(os.environ.get("BPTT_FUZZ_SEED", "1"))
MEMORY = 20e6
"""Bytes that one case may take at most. The files have 2 KB."""
PATIENCE = 60.0
"""Seconds for one case, after which it counts as hung. It takes milliseconds."""
HOSTILE: tuple[Any, ...] = (
    *(
        -1,
        0,
        1,
        2,
        7,
        20,
        2**31,
        2**40,
        2**63,
        2**64,
        1e308,
        None,
        True,
        "",
        "x",
        [],
        {},
        [[]],
        [0],
        [2**40, 0],
    ),
    *("F64", "F16", "BF16", "I64", "BOOL", "F8_E4M3", "C64", [20], [5, 20], [0, 5], [20, 0], [1, 1, 60]),
)
NAMES = (
    *(
        "weight_ih_l99999",
        "weight_ih",
        "weight_hr_l0",
        "weight_ih_l0_reverse",
        "weight_peephole_l0",
        "kernel",
    ),
    *("a.weight_ih_l0", "module.weight_ih_l0", "__metadata__", "", ".", "weight_ih_l" + "1" * 5000),
)


def files() -> list[tuple[dict[str, Any], bytes]]:
    """Headers and data of valid files."""
    layers = (
        bptt.LSTM(3, 5, 2, proj_size=2, seed=0),
        bptt.GRU(3, 5, bidirectional=True, seed=1),
        bptt.LSTM(1, 1, 3, bias=False, seed=2),
    )
    found = []
    for layer in layers:
        content = safetensors.numpy.save(dict(layer.parameters))
        (length,) = struct.unpack("<Q", content[:8])
        found.append((json.loads(content[8 : 8 + length]), content[8 + length :]))
    return found


def written(header: Any, data: bytes) -> bytes:
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + data


def changed(rng: random.Random, header: dict[str, Any], data: bytes) -> bytes:
    """A file with up to three things wrong."""
    for _ in range(rng.randint(0, 3)):
        name = rng.choice(list(header))
        entry = header[name]
        way = rng.randrange(6)
        if way == 0:
            header[rng.choice(NAMES)] = header.pop(name)
        elif way == 1:
            header[rng.choice(NAMES)] = copy.deepcopy(entry)
        elif way == 2:
            header[name] = copy.deepcopy(rng.choice(HOSTILE))
        elif isinstance(entry, dict) and entry:
            field = rng.choice(list(entry))
            value = entry[field]
            if isinstance(value, list) and value and rng.random() < 0.6:
                value[rng.randrange(len(value))] = copy.deepcopy(rng.choice(HOSTILE))
            else:
                entry[field] = copy.deepcopy(rng.choice(HOSTILE))
    content = written(header, data)
    if rng.random() < 0.2:
        content = content[: rng.randrange(len(content))]
    if rng.random() < 0.2:
        place = rng.randrange(len(content))
        content = content[:place] + bytes((rng.randrange(256),)) + content[place + 1 :]
    return content


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Fails if the block takes too much memory, and ends the process if it hangs."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < MEMORY
    finally:
        tracemalloc.stop()
        faulthandler.cancel_dump_traceback_later()


def test_a_hostile_file_is_refused_or_read(tmp_path: Path) -> None:
    rng = random.Random(SEED)
    valid = files()
    path = tmp_path / "weights.safetensors"
    outcomes = {"layer": 0, "error": 0}
    for case in range(10**5 if CASES == "all" else int(CASES)):
        header, data = copy.deepcopy(rng.choice(valid))
        path.write_bytes(changed(rng, header, data))
        message = ""
        with limited():
            try:
                layer = from_state_dict(path, rng.choice((None, "", "a", "module.")))
            except (ValueError, TypeError) as error:
                message = str(error)
            else:
                assert layer.parameter_count <= len(data)
        outcomes["error" if message else "layer"] += 1
        assert len(message) < 3000, f"case {case}"
    assert min(outcomes.values()) > 0, outcomes


def test_headers_that_are_no_table_of_tensors(tmp_path: Path, subtests: pytest.Subtests) -> None:
    path = tmp_path / "weights.safetensors"
    for header in (b"", b"{}", b"[1]", b"null", b'{"a": {}}'):
        for length in (len(header), 2**62, 2**64 - 1):
            path.write_bytes(struct.pack("<Q", length) + header)
            with (
                subtests.test(str(header), length=length),
                limited(),
                pytest.raises(ValueError, match="Fix: "),
            ):
                from_state_dict(path)
