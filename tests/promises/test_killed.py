"""Promise 5: SIGKILL at any moment of a save leaves the complete old file or the complete new file."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tests.promises.amount import amount

from bptt.files import read_checkpoint

KILLS = amount(2, 100)
LONGEST = 0.03
"""Seconds until the signal. The process saves a few files in that time, one after the other."""
NAMES = ("model", "int8", "run", "header.h")

OVERWRITE = """
import itertools, pathlib, sys
import numpy as np, bptt
folder = pathlib.Path(sys.argv[1])
model = bptt.Linear(60, 60)
trainer = bptt.Trainer(bptt.Linear(60, 60), bptt.MeanSquaredError(), bptt.Adam(), progress=False)
trainer.fit([(np.zeros((1, 1, 60)), np.zeros((1, 1, 60)))], 1)
for n in itertools.count(1):
    model.flat_parameters.fill(n)
    trainer.model.flat_parameters.fill(n)
    bptt.save(folder / "model", model, extra={"n": n})
    bptt.save(folder / "int8", model.freeze("int8"), extra={"n": n})
    trainer.save(folder / "run", extra={"n": n})
    bptt.export_c(model, folder / "header.h", name=f"n{n}")
    print(n, flush=True)
"""


def number(path: Path) -> int:
    """Check that the file is complete, and return the number of the save that wrote it."""
    if path.suffix == ".h":
        text = path.read_text(encoding="ascii")
        n = int(text.split("#ifndef BPTT_HEADER_n")[1].split()[0])
        assert text.endswith(f"#endif /* BPTT_HEADER_n{n} */\n")
        assert text.count(f"{float(n)}f") >= 3600
        return n
    saved = read_checkpoint(path)
    net: Any = getattr(saved.model, "layer", saved.model)
    n = saved.extra["n"]
    assert (abs(net.flat_parameters - n) <= 1e-6 * n).all()
    return int(n)


def killed(folder: Path, pause: float) -> tuple[int, set[str]]:
    """Start the process and kill it. Return its last complete round, and the files of a save cut off."""
    process = subprocess.Popen([sys.executable, "-c", OVERWRITE, folder], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    with process.stdout:
        last = int(process.stdout.readline())
        time.sleep(pause)
        process.send_signal(signal.SIGKILL)
        last = max([last, *map(int, process.stdout.read().split())])
    process.wait()
    return last, set(os.listdir(folder)) - set(NAMES)


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="there is no SIGKILL")
def test_killed_while_overwriting(tmp_path: Path, record_property: Callable[[str, object], None]) -> None:
    rng = random.Random()
    cut_off = 0
    for _ in range(KILLS):
        last, leftovers = killed(tmp_path, rng.uniform(0.0, LONGEST))
        numbers = [number(tmp_path / name) for name in NAMES]
        assert numbers == sorted(numbers, reverse=True)  # they are written in this order
        assert {*numbers} <= {last, last + 1}
        assert len(leftovers) <= 1
        cut_off += len(leftovers)
    record_property("figure", f"{KILLS} of {KILLS} kills left complete files; {cut_off} cut off a save")
