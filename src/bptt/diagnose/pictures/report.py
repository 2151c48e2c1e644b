"""A flow or a history as HTML: an element for a notebook, and a page that needs no other file."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from bptt._version import __version__
from bptt.diagnose.pictures import canvas
from bptt.diagnose.pictures.flow import plot_flows
from bptt.diagnose.pictures.history import plot_history
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
    """Return table, remedies and (with matplotlib) picture as one HTML element.

    The text has the colours of the page, light or dark. The picture has a white background.
    """
    picture = flow_picture(flow) if canvas.available() else ""
    return f"<div>{table_html(flow)}{paragraphs(advice(flow))}{picture}</div>"


def flow_picture(flow: FlowNorms) -> str:
    """Return `flow.plot()` as an HTML element with a description."""
    verdicts = "; ".join(f"{name}: {word}" for name, word in zip(flow.names, flow.verdict, strict=True))
    return canvas.inline(
        plot_flows({"": flow}), f"Norm of the error against steps back, on a log scale. {verdicts}."
    )


def history_html(history: Mapping[str, npt.NDArray[Any]], text: str) -> str:
    """Return the last and the best value of each column, and (with matplotlib) the curves, as one element.

    `text` is the history in words.
    """
    if not history["loss"].size:
        return f"<div>{html.escape(text)}</div>"
    lines = []
    for name in history:
        values = np.asarray(history[name], np.float64)
        if values.size and name not in ("epoch", "clipped", "validation_step"):
            finite = values[np.isfinite(values)]
            ends = (f"{end:.4g}" for end in (finite.min(), finite.max())) if finite.size else ("", "")
            lines.append((name, f"{values[0]:.4g}", f"{values[-1]:.4g}", *ends))
    head = ("", "first", "last", "lowest", "highest")
    picture = ""
    if canvas.available():
        picture = canvas.inline(plot_history(history), f"Loss, gradient norm and learning rate. {text}.")
    return f"<div><p>{html.escape(text)}</p>{table(head, lines)}{picture}</div>"


def table_html(flow: FlowNorms) -> str:
    """Return the table of `print(flow)`.

    If it is too wide, the table scrolls and the page does not.
    """
    return table(*cells(flow))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Return texts as an HTML table that scrolls if it is too wide."""
    body = "".join(_line("td", line) for line in lines)
    return (
        f'<div style="overflow-x:auto"><table><thead>{_line("th", head)}</thead>'
        f"<tbody>{body}</tbody></table></div>"
    )


def paragraphs(sentences: Sequence[str]) -> str:
    """Return one HTML paragraph for each sentence."""
    return "".join(f"<p>{html.escape(sentence)}</p>" for sentence in sentences)


def page(
    title: str,
    about: str,
    flow: FlowNorms,
    pictures: Sequence[tuple[str, str]],
    remarks: Sequence[str] = (),
) -> str:
    """Return a report as one HTML page, with all pictures inside.

    The page needs no network.

    Parameters
    ----------
    title, about : str
        The heading, and a sentence on what was measured.
    flow : GradientFlow
    pictures : sequence of (caption, element)
        Elements from `canvas.inline`.
    remarks : sequence of str
        Sentences that follow the advice.
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
