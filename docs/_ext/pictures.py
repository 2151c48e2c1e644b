"""Marks wide pictures, so that the style sheet lets a phone scroll over them and does not shrink them."""

from __future__ import annotations

import re
import struct
from pathlib import Path

from docutils import nodes
from sphinx.application import Sphinx
from sphinx_gallery.directives import imgsgnode

WIDE = 1.9
"""Ratio of width to height above which a picture has several panels side by side."""


def _ratio(path: Path) -> float:
    """Return the width of a .png or .svg file over its height."""
    if path.suffix == ".png":
        width, height = struct.unpack(">II", path.read_bytes()[16:24])
        return float(width / height)
    found = re.search(r'viewBox="[\d.]+ [\d.]+ ([\d.]+) ([\d.]+)"', path.read_text(encoding="utf-8"))
    return float(found[1]) / float(found[2]) if found else 1.0


def mark_wide(app: Sphinx, document: nodes.document) -> None:
    """Add the class `wide` to wide pictures of a page. sphinx-gallery has a separate node for pictures."""
    for image in [*document.findall(nodes.image), *document.findall(imgsgnode)]:
        path = Path(app.srcdir) / image["uri"].lstrip("/")
        if path.suffix not in (".png", ".svg") or not path.is_file() or _ratio(path) <= WIDE:
            continue
        if isinstance(image, imgsgnode):
            image["class"] = [f"{image['class'][0]} wide"]
        else:
            image["classes"].append("wide")
        box = nodes.container(classes=["wide-box"])
        if isinstance(image.parent, nodes.paragraph) and len(image.parent) == 1:
            image = image.parent
        image.replace_self(box)
        box += image


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", mark_wide)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
