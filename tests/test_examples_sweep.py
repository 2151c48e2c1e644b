"""The example of a sweep: the same table however many processes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

EXAMPLE = Path(__file__).parent.parent / "examples" / "sweep.py"


def test_the_table_does_not_depend_on_the_processes(tmp_path: Path) -> None:
    picture = tmp_path / "sweep.png"
    tables = []
    for options in (["--processes", "2", "--picture", str(picture)], ["--processes", "1"]):
        command = [sys.executable, str(EXAMPLE), "--seeds", "1", *options]
        tables.append(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert tables[0] == tables[1]
    head, *rows = tables[0].splitlines()
    assert head.split()[:4] == ["cell", "hidden", "rate", "validation_loss:"]
    assert len(rows) == 12
    medians = [float(row.split()[3]) for row in rows]
    assert medians == sorted(medians)
    assert picture.read_bytes().startswith(b"\x89PNG")
