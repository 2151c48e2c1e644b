"""Real text that every machine with Python has: the source of its standard library."""

from __future__ import annotations

import sysconfig
from pathlib import Path

from bptt.cli.options import CommandError

LIMIT = 4_000_000  # characters
HELD_OUT = 20  # one file in so many goes to validation


def modules(folder: Path | None = None, limit: int = LIMIT) -> dict[str, str]:
    """The standard library's top-level modules of plain ASCII by name: file to text, `limit` characters."""
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
    """Training and validation text: every 20th of the modules goes to validation, so that the model is judged
    on files it has never seen.

    Raises
    ------
    CommandError
        Where the library's source isn't there to be read (some distributions ship only compiled files).
    """
    folder = Path(sysconfig.get_path("stdlib")) if folder is None else folder
    files = list(modules(folder, limit).values())
    validation = "".join(files[HELD_OUT - 1 :: HELD_OUT])
    training = "".join(text for at, text in enumerate(files, 1) if at % HELD_OUT)
    if len(validation) < 10_000:
        total = sum(map(len, files))
        raise CommandError(
            f"found too little Python source in {folder} to train on ({total:,} characters);"
            " use 'bptt train text FILE' with a text of your own"
        )
    return training, validation
