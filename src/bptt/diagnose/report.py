"""A flow as HTML: for a notebook, and as one page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bptt._version import __version__
from bptt.diagnose import canvas
from bptt.diagnose.words import advice, cells

if TYPE_CHECKING:
    from bptt.diagnose.flow import GradientFlow

_STYLE = """
body { font: 15px/1.5 sans-serif; color: #1a1a1a; background: #ffffff; max-width: 60em; margin: 2em auto;
       padding: 0 1em; }
table { border-collapse: collapse; }
th, td { border: 1px solid #b8c4d2; padding: 0.25em 0.7em; text-align: left; }
th { background: #f2f2f2; }
figure { margin: 1.5em 0; }
"""


def flow_html(flow: GradientFlow) -> str:
    """Table, remedies and, with matplotlib, picture: an element on an opaque ground, for dark pages too."""
    picture = canvas.inline(flow.plot(), "norm of the error against steps back") if canvas.available() else ""
    return (
        f'<div style="background:#ffffff;color:#1a1a1a;padding:0.5em">{table_html(flow)}'
        f"{advice_html(flow)}{picture}</div>"
    )


def table_html(flow: GradientFlow) -> str:
    """The table of `print(flow)`."""
    head, lines = cells(flow)
    body = "".join(_line("td", line) for line in lines)
    return f"<table>{_line('th', head)}{body}</table>"


def advice_html(flow: GradientFlow) -> str:
    """The sentences of `print(flow)`."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in advice(flow))


def page(title: str, about: str, flow: GradientFlow, pictures: Sequence[tuple[str, str]]) -> str:
    """A whole report: opens without a network, all pictures inside.

    Parameters
    ----------
    title, about : str
        The heading, and a sentence on what was measured.
    flow : GradientFlow
    pictures : sequence of (caption, element)
        Elements as `canvas.inline` makes them.
    """
    figures = "".join(
        f"<figure>{element}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, element in pictures
    )
    return (
        f'<!doctype html>\n<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>'
        f"<style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>"
        f"{table_html(flow)}{advice_html(flow)}{figures}"
        f"<p><small>bptt {html.escape(__version__)}</small></p></body></html>\n"
    )


def _line(tag: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(text)}</{tag}>' for text in texts)}</tr>"
