"""Writes the source of the API reference: a page per topic, and through autosummary a page per name."""

from __future__ import annotations

from pathlib import Path

from api_topics import TOPICS, Topic, importable
from sphinx.application import Sphinx

INDEX = """\
API reference
=============

{introduction}

.. toctree::
   :hidden:

{pages}

.. list-table::
   :widths: 30 70

{rows}
"""
INTRODUCTION = """\
One page for every public name, with its arguments, shapes, errors and an example. In all docstrings, T is
the number of time steps, B the number of rows of a batch, I the number of inputs and H the number of hidden
units."""


def _topic_page(topic: Topic) -> str:
    parts = [topic.title, "=" * len(topic.title), "", topic.introduction, "", ".. currentmodule:: bptt"]
    for heading, names in topic.names.items():
        parts += [
            "",
            heading,
            "-" * len(heading),
            "",
            ".. autosummary::",
            "   :toctree: names",
            "   :nosignatures:",
            "",
        ]
        parts += [f"   {name}" for name in names if importable(f"bptt.{name}")]
    return "\n".join(parts) + "\n"


def _index() -> str:
    pages = "\n".join(f"   {name}" for name in TOPICS)
    rows = "\n".join(
        f"   * - :doc:`{name}`\n     - {topic.introduction.split('. ')[0].rstrip('.')}."
        for name, topic in TOPICS.items()
    )
    return INDEX.format(introduction=INTRODUCTION, pages=pages, rows=rows)


def write_if_changed(path: Path, text: str) -> None:
    """Write a file. One that has this text already keeps its time, so Sphinx reads it no second time."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def _write(app: Sphinx) -> None:
    folder = Path(app.srcdir) / "api"
    write_if_changed(folder / "index.rst", _index())
    for name, topic in TOPICS.items():
        write_if_changed(folder / f"{name}.rst", _topic_page(topic))


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", _write, priority=100)  # before autosummary looks for its lists
    return {"parallel_read_safe": True, "parallel_write_safe": True}
