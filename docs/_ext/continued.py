"""Say which blocks of a page need the block before: those that begin with ```python continued."""

from __future__ import annotations

import re

from sphinx.application import Sphinx

FENCE = re.compile(r"^( *)```python continued$", re.MULTILINE)


def say_so(app: Sphinx, docname: str, source: list[str]) -> None:
    source[0] = FENCE.sub(r"\1```{code-block} python\n\1:class: continued", source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", say_so)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
