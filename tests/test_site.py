"""The site: the API reference has every public name, and links between files lead somewhere."""

from __future__ import annotations

import re
import runpy
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = [*ROOT.glob("*.md"), *sorted(DOCS.rglob("*.md"))]

MODULES = [
    *("bptt", "bptt.callbacks", "bptt.data", "bptt.diagnose", "bptt.estimators", "bptt.files", "bptt.init"),
    *("bptt.interop", "bptt.interop.onnx", "bptt.interop.torch", "bptt.losses", "bptt.metrics", "bptt.optim"),
    *("bptt.ranks", "bptt.reference", "bptt.schedules", "bptt.testing", "bptt.train"),
]
GENERATED = ("api", "files", "gallery", "lessons")
"""Folders of docs/ that the build of the site writes."""

api = SimpleNamespace(**runpy.run_path(str(DOCS / "_ext" / "api_topics.py")))


def _found(name: str) -> object:
    module, _, attribute = name.rpartition(".")
    return getattr(import_module(module), attribute)


def _public(module: str) -> dict[str, object]:
    """Return the public names of a module that are no modules."""
    if module == "bptt.interop.torch":
        pytest.importorskip("torch")
    if module == "bptt.estimators":
        pytest.importorskip("sklearn")
    objects = {f"{module}.{name}": _found(f"{module}.{name}") for name in import_module(module).__all__}
    return {name: found for name, found in objects.items() if not isinstance(found, ModuleType)}


def test_the_api_reference_has_every_public_name(subtests: pytest.Subtests) -> None:
    names = api.all_names()
    assert len(names) == len(set(names))
    for module in MODULES:
        with subtests.test(module):
            public = _public(module)
            public.pop("bptt.__version__", None)
            listed = {id(_found(name)) for name in names if api.importable(name)}
            missing = [name for name, found in public.items() if id(found) not in listed]
            assert missing == [], "add these names to docs/_ext/api_topics.py"


def test_the_api_reference_has_public_names_only() -> None:
    public = {name for module in MODULES if api.importable(f"{module}.x") for name in _public(module)}
    unknown = [name for name in api.all_names() if api.importable(name) and name not in public]
    assert unknown == []


def _anchors(page: Path) -> set[str]:
    """Return the anchors of the headings of a page, by the rules of GitHub and MyST."""
    text = re.sub(r"^ *```.*?^ *```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    titles = re.findall(r"^#+ (.*)", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).strip().replace(" ", "-") for title in titles}


def test_links_between_files_lead_somewhere(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        text = re.sub(
            r"^ *```.*?^ *```|`[^`\n]*`", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE
        )
        for target, anchor in re.findall(r"\]\((?!\w+:)([^)#\s]*)(?:#([^)\s]+))?\)", text):
            with subtests.test(f"{page.relative_to(ROOT)}: {target}#{anchor}"):
                file = (page.parent / target).resolve() if target else page
                if file.is_relative_to(DOCS) and file.relative_to(DOCS).parts[0] in GENERATED:
                    continue  # Sphinx checks these links
                assert file.exists(), target
                assert not anchor or anchor in _anchors(file)
