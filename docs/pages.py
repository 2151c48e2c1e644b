"""Run the Python blocks of a page as printed, and draw the pictures that they write.

python docs/pages.py docs/start.md docs/howto/truncation-and-clipping.md

Each block runs alone, or after the blocks that it continues. Pictures go to docs/images.
"""

from __future__ import annotations

import os
import re
import shutil
import sys
import tempfile
import textwrap
from pathlib import Path

IMAGES = Path(__file__).parent / "images"
BLOCK = re.compile(
    r"^ *```python(?P<continued> continued)?\n(?P<code>.*?)^ *```|^ *<!-- claims\n(?P<claims>.*?)^ *-->",
    re.DOTALL | re.MULTILINE,
)


def blocks(page: str) -> list[tuple[bool, str]]:
    """Return the Python blocks of a page, each with whether it continues the block before.

    Comments `<!-- claims ... -->` hold one expression per line. They are asserted where they stand.
    """
    found = []
    for match in BLOCK.finditer(page):
        code = textwrap.dedent(match["code"] or match["claims"])
        if match["claims"]:
            code = "".join(f"assert {line}, {line!r}\n" for line in code.splitlines())
        found.append((bool(match["continued"] or match["claims"]), code))
    return found


def run(page: str, name: str) -> None:
    """Run the blocks of a page. Only a block that continues the block before has its names."""
    names: dict[str, object] = {}
    for continued, block in blocks(page):
        names = names if continued else {"__name__": "__main__"}
        exec(compile(block, name, "exec"), names)


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    texts = {path: Path(path).read_text(encoding="utf-8") for path in sys.argv[1:]}
    os.environ["MPLBACKEND"] = "agg"
    with tempfile.TemporaryDirectory() as folder:  # pages also write models and tables
        os.chdir(folder)
        for path, text in texts.items():
            run(text, path)
        os.chdir(IMAGES)
        for picture in Path(folder).glob("*.png"):
            shutil.copy(picture, IMAGES)
