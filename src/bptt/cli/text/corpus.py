"""A text that exists on every machine with Python: the source of its standard library."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from bptt.cli.options import CommandError

LIMIT = 4_000_000  # largest number of characters
HELD_OUT = 20  # every 20th file is validation text


def modules(folder: Path | None = None, limit: int = LIMIT) -> dict[str, str]:
    """Return the ASCII texts of the top-level modules, by file name, with at most `limit` characters."""
    folder = Path(sysconfig.get_path("stdlib")) if folder is None else folder
    files: dict[str, str] = {}
    total = 0
    for path in sorted(folder.glob("*.py")):
        try:
            text = path.read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            continue
        if total + len(text) > limit:
            break
        files[path.name] = text
        total += len(text)
    return files


def standard_library(folder: Path | None = None, limit: int = LIMIT) -> tuple[str, str]:
    """Return training and validation text.

    Every 20th module is validation text, so the validation files are not in the training text.

    Raises
    ------
    CommandError
        The source of the library cannot be read. Some distributions contain only compiled files.
    """
    folder = Path(sysconfig.get_path("stdlib")) if folder is None else folder
    files = list(modules(folder, limit).values())
    validation = "".join(files[HELD_OUT - 1 :: HELD_OUT])
    training = "".join(text for position, text in enumerate(files, 1) if position % HELD_OUT)
    if len(validation) < 10_000:
        total = sum(map(len, files))
        raise CommandError(
            f"{folder} has too little Python source to train on ({total:,} characters). Fix: use 'bptt train"
            " text FILE' with your own text."
        )
    return training, validation
