"""Links to the API reference: in a text, `bptt.LSTM(3, 8)` becomes a link to the page of `bptt.LSTM`."""

from __future__ import annotations

import re
from importlib import import_module
from inspect import getsource

from api_topics import all_names, importable
from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

import bptt

NAMES = frozenset(name for name in all_names() if importable(name))
DOTTED = re.compile(r"bptt(?:\.\w+)+")


def link_names(app: Sphinx, document: nodes.document) -> None:
    """Wrap each piece of code that starts with a public name in a link, but for titles and links."""
    here = app.env.current_document.docname.rpartition("/")[2]
    for literal in list(document.findall(nodes.literal)):
        found = DOTTED.match(literal.astext())
        if found is None or isinstance(literal.parent, (nodes.reference, nodes.title, pending_xref)):
            continue
        name = _public(found.group())
        if name is None or name == here:
            continue
        link = pending_xref(
            "",
            refdomain="py",
            reftype="obj",
            reftarget=name,
            refexplicit=True,
            refdoc=app.env.current_document.docname,
        )
        literal.replace_self(link)
        link += literal


def _public(name: str) -> str | None:
    """Return the longest beginning of a dotted name that is public: a class for the name of a method."""
    while name and name not in NAMES:
        name = name.rpartition(".")[0]
    return name or None


def plain_fields(
    app: Sphinx, env: BuildEnvironment, node: pending_xref, text: nodes.Element
) -> nodes.Element | None:
    """Leave a field of a class without a link: numpydoc refers to each attribute of a docstring's list.

    A field that the class lacks stays a warning.
    """
    owner, _, field = node.get("reftarget", "").rpartition(".")
    owner = owner or f"{node.get('py:module')}.{node.get('py:class')}"
    if owner not in NAMES:
        return None
    module, _, name = owner.rpartition(".")
    found = getattr(import_module(module), name)
    known = hasattr(found, field) or any(
        field in vars(base).get("__annotations__", {}) for base in found.__mro__
    )
    return text if known or field in _assigned(found) else None


def _assigned(found: type) -> set[str]:
    """Return the names that a class assigns to `self` somewhere."""
    source = "".join(getsource(base) for base in found.__mro__ if base.__module__.startswith("bptt"))
    return set(re.findall(r"\bself\.(\w+)\b[^=\n]*=", source))


LAYERS = (
    *("forward", "backward", "freeze", "stream", "summary", "zero_grad", "trainable", "backend", "encode"),
    *("layers", "flat_parameters", "flat_gradients", "parameter_count", "state_dict", "load_state_dict"),
)
"""Members of a layer for its users. The page of `bptt.Module` has the others, for layers of your own."""


def skip_foreign(
    app: Sphinx, what: str, name: str, member: object, skip: bool, options: object
) -> bool | None:
    """Leave out members of PyTorch, scikit-learn or Python, and what only layers of your own need."""
    page = app.env.current_document.docname.rpartition("/")[2]
    owner = (
        getattr(import_module(page.rpartition(".")[0]), page.rpartition(".")[2]) if page in NAMES else None
    )
    if isinstance(owner, type) and issubclass(owner, bptt.Module) and owner is not bptt.Module:
        return None if name in LAYERS else True
    member = getattr(member, "fget", member) or member
    module = getattr(member, "__module__", None)
    return True if module is not None and not module.startswith("bptt") else None


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("doctree-read", link_names)
    app.connect("missing-reference", plain_fields)
    app.connect("autodoc-skip-member", skip_foreign)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
