"""A flow as HTML: for a notebook, and as one page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING

from bptt._version import __version__
from bptt.diagnose.pictures import canvas
from bptt.diagnose.pictures.flow import plot_flows
from bptt.diagnose.words import advice, cells

if TYPE_CHECKING:
    from bptt.diagnose.flow_norms import FlowNorms

_STYLE = """
:root { color-scheme: light dark; }
body { font: 15px/1.5 sans-serif; color: #1a1a1a; background: #ffffff; max-width: 60em; margin: 2em auto;
       padding: 0 1em; overflow-wrap: anywhere; }
table { border-collapse: collapse; overflow-wrap: normal; }
th, td { border: 1px solid #b8c4d2; padding: 0.25em 0.6em; text-align: left; }
td + td { white-space: nowrap; }
th { background: #f2f2f2; }
figure { margin: 1.5em 0; }
@media (prefers-color-scheme: dark) {
  body { color: #e6e6e6; background: #16181b; }
  th, td { border-color: #4a4f55; }
  th { background: #24272b; }
}
"""


def flow_html(flow: FlowNorms) -> str:
    """Table, remedies and, with matplotlib, picture, as an element: words in the page's own colours, be it
    light or dark; the picture has its ground."""
    picture = flow_picture(flow) if canvas.available() else ""
    return f"<div>{table_html(flow)}{paragraphs(advice(flow))}{picture}</div>"


def flow_picture(flow: FlowNorms) -> str:
    """`flow.plot()` as an element, that says what it shows."""
    verdicts = "; ".join(f"{name}: {word}" for name, word in zip(flow.names, flow.verdict, strict=True))
    return canvas.inline(
        plot_flows({"": flow}), f"Norm of the error against steps back, on a log scale. {verdicts}."
    )


def table_html(flow: FlowNorms) -> str:
    """The table of `print(flow)`; where it is too wide it scrolls, not the page."""
    head, lines = cells(flow)
    body = "".join(_line("td", line) for line in lines)
    return (
        f'<div style="overflow-x:auto"><table><thead>{_line("th", head)}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def paragraphs(sentences: Sequence[str]) -> str:
    """One for each sentence."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def page(
    title: str,
    about: str,
    flow: FlowNorms,
    pictures: Sequence[tuple[str, str]],
    remarks: Sequence[str] = (),
) -> str:
    """A whole report: opens without a network, all pictures inside.

    Parameters
    ----------
    title, about : str
        The heading, and a sentence on what was measured.
    flow : GradientFlow
    pictures : sequence of (caption, element)
        Elements as `canvas.inline` makes them.
    remarks : sequence of str
        What there is to say besides the advice.
    """
    figures = "".join(
        f"<figure>{element}<figcaption>{html.escape(caption)}</figcaption></figure>"
        for caption, element in pictures
    )
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{_STYLE}</style></head>\n<body><h1>{html.escape(title)}</h1><p>{html.escape(about)}</p>"
        f"{table_html(flow)}{paragraphs([*advice(flow), *remarks])}{figures}"
        f"<p><small>bptt {html.escape(__version__)}</small></p></body></html>\n"
    )


def _line(tag: str, texts: Sequence[str]) -> str:
    return f"<tr>{''.join(f'<{tag}>{html.escape(text)}</{tag}>' for text in texts)}</tr>"
