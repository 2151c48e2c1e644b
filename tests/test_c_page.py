"""The program of docs/howto/c.md compiles as printed, and prints what the page says."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.c_programs import Compiler, run_program

PAGE = Path(__file__).parent.parent / "docs" / "howto" / "c.md"


def test_the_program_of_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = PAGE.read_text(encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    exec(re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0], names)
    program = re.findall(r"^```c\n(.*?)^```", text, re.DOTALL | re.MULTILINE)[0]
    printed = run_program(tmp_path, Compiler(("gcc", "-std=c99", "-O2")), program)
    np.testing.assert_allclose(np.array(printed.split(), float), names["y"].ravel(), rtol=0, atol=2e-6)
