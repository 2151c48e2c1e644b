"""Pages for files of the repository to which pages of docs/ link.

A link such as `[dates.py](../../examples/recipes/dates.py)` works as it stands where Markdown is shown next
to the files. For the site, this extension makes a page of each such file, and points the link to this page.
A link to a script of the gallery or of the tutorial points to its page there, and a link such as
`../api/data.md` to the page of this topic in the API reference.
"""

from __future__ import annotations

import os
import posixpath
import re
from pathlib import Path

import gallery
from api_pages import write_if_changed
from sphinx.application import Sphinx

LINK = re.compile(r"(?<=\]\()(?P<target>[\w./-]+)(?=[)#])")
LANGUAGES = {".py": "python", ".h": "c", ".c": "c", ".hpp": "cpp", ".cpp": "cpp", ".toml": "toml"}
FOLDER = "files"
"""Folder of the generated pages, under docs/."""


def page_of(path: Path, root: Path) -> str | None:
    """Return the name of the page that shows a file, or None for a page of docs/ and for pictures."""
    docs = root / "docs"
    for scripts, pages in gallery.folders():
        if path.parent == scripts and path.suffix in (".py", ".rst") and not gallery.is_helper(path):
            return f"{pages}/index" if path.name == "GALLERY_HEADER.rst" else f"{pages}/{path.stem}"
    if path.parent == docs / "api":
        return f"api/{path.stem}"
    if path.is_relative_to(docs) or not path.is_file() or not path.is_relative_to(root):
        return None
    return f"{FOLDER}/{path.relative_to(root).as_posix()}"


def _pages(root: Path) -> dict[Path, set[Path]]:
    """Return the files outside docs/ that each page of docs/ links to."""
    return {
        page: {(page.parent / target).resolve() for target in LINK.findall(page.read_text(encoding="utf-8"))}
        for page in sorted((root / "docs").rglob("*.md"))
    }


def _suffix(path: Path) -> str:
    """Return the suffix of the page that shows a file: a Markdown file outside docs/ stays Markdown."""
    return ".md" if path.suffix == ".md" and path.parent.name != "api" else ".rst"


def _text(path: Path, root: Path) -> str:
    name = path.relative_to(root).as_posix()
    source = posixpath.join(*[".."] * (len(Path(page_of(path, root) or "").parts)), name)
    title = f"{name}\n{'=' * len(name)}\n"
    language = LANGUAGES.get(path.suffix, "text")
    return f":orphan:\n\n{title}\n.. literalinclude:: {source}\n   :language: {language}\n"


def _markdown(path: Path, folder: Path) -> str:
    """Return the text of a Markdown file, with its links as seen from another folder."""

    def moved(match: re.Match[str]) -> str:
        target = path.parent / match["target"]
        return Path(os.path.relpath(target, folder)).as_posix() if target.exists() else match["target"]

    return "---\norphan: true\n---\n\n" + LINK.sub(moved, path.read_text(encoding="utf-8"))


def write_pages(app: Sphinx) -> None:
    """Write a page for each file that some page links to."""
    docs = Path(app.srcdir)
    for targets in _pages(docs.parent).values():
        for target in targets:
            page = page_of(target, docs.parent)
            if page is not None and page.startswith(f"{FOLDER}/"):
                file = docs / f"{page}{_suffix(target)}"
                markdown = target.suffix == ".md"
                write_if_changed(
                    file, _markdown(target, file.parent) if markdown else _text(target, docs.parent)
                )


def point_to_pages(app: Sphinx, docname: str, source: list[str]) -> None:
    """Change the links of a page that has just been read."""
    docs = Path(app.srcdir)
    folder = (docs / docname).parent

    def changed(match: re.Match[str]) -> str:
        target = (folder / match["target"]).resolve()
        page = page_of(target, docs.parent)
        return f"/{page}{_suffix(target)}" if page is not None else match["target"]

    if app.env.doc2path(docname).suffix == ".md":
        source[0] = LINK.sub(changed, source[0])


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", write_pages, priority=100)
    app.connect("source-read", point_to_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
