"""A model as an HTML table, for notebooks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class Described(Protocol):
    """What the table says about a layer."""

    @property
    def kind(self) -> str: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    @property
    def parameters(self) -> Mapping[str, npt.NDArray[Any]]: ...
    @property
    def parameter_count(self) -> int: ...


def model_html(layers: Iterable[tuple[str, Described]], outputs: Mapping[str, str]) -> str:
    """Return a table with one row per layer: options, output, parameters with their shapes; and the total.

    Parameters
    ----------
    layers : iterable of (place, layer)
    outputs : mapping of str
        The shape of the output of each layer, by its place and kind.
    """
    rows, total, dtype = [], 0, ""
    for place, layer in layers:
        shapes = (f"{name} {values.shape}" for name, values in layer.parameters.items())
        name = f"{place} {layer.kind}".strip()
        output = outputs.get(name, "")
        rows.append((name, repr(layer), output, f"{layer.parameter_count:,}", ", ".join(shapes)))
        total += layer.parameter_count
        dtype = layer.dtype.name if layer.parameter_count or not dtype else dtype
    head = ("layer", "options", "output", "parameters", "shapes")
    body = "".join(_line("td", row) for row in [*rows, ("total", dtype, "", f"{total:,}", "")])
    table = f"<table><thead>{_line('th', head)}</thead><tbody>{body}</tbody></table>"
    return f'<div style="overflow-x:auto">{table}</div>'


def _line(tag: str, texts: Iterable[str]) -> str:
    import html  # `import bptt` does not need it

    style = ' style="text-align:left"'
    return f"<tr>{''.join(f'<{tag}{style}>{html.escape(text)}</{tag}>' for text in texts)}</tr>"
