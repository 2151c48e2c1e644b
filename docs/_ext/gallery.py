"""Settings of sphinx-gallery: which scripts become pages, how they run, and where their pictures are."""

from __future__ import annotations

import re
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

DOCS = Path(__file__).resolve().parent.parent

FOLDERS = {"../examples": "gallery", "tutorial": "lessons"}
SCRIPTS, PAGES = list(FOLDERS), list(FOLDERS.values())
"""Folders of scripts, and of the pages made of them, both relative to docs/."""

HELPERS = ("results.py", "ngrams.py")
"""Files in examples/ that other scripts import. Their pages would show no result."""

NEEDS = {
    "digits.py": "sklearn",
    "heartbeat.py": "peakdet",
    "japanese_vowels.py": "aeon.datasets",
    "sunspots.py": "statsmodels.api",
}
"""Modules without which a script cannot run."""


def _reasons() -> dict[str, str]:
    """Return the scripts that do not run, each with the reason."""
    found = {"sweep.py": "the processes of a sweep cannot import a script that runs while a page is made"}
    for script, module in NEEDS.items():
        try:
            import_module(module)
        except ImportError as error:
            found[script] = f"{module} cannot be imported where this page was made ({error})"
    return found


NOT_EXECUTED = _reasons()

NOTEBOOK_CELL = "# If bptt is not installed yet, remove the # of the next line.\n# %pip install 'bptt[plot]'"


def folders() -> list[tuple[Path, str]]:
    """Return each folder of scripts, and the name of the folder of its pages."""
    return [((DOCS / scripts).resolve(), pages) for scripts, pages in FOLDERS.items()]


def is_helper(path: Path) -> bool:
    return path.name in HELPERS


IGNORED = r"(^|/)(" + "|".join(name.replace(".", r"\.") for name in HELPERS) + r")$"
EXECUTED = r"/(?!" + "|".join(name.replace(".", r"\.") for name in NOT_EXECUTED) + r")\w+\.py$"


def scrape(block: tuple[Any, ...], variables: dict[str, Any], conf: dict[str, Any]) -> str:
    """Save the picture of a block of a script, and return the text that shows it.

    The picture is the figure that the last line of the block returns, or the file that a script of
    `examples/` wrote: NAME.png next to it, because scripts run in their own folder. Its figures are removed.
    sphinx-gallery's own scraper finds only figures of pyplot.
    """
    paths: list[str] = []
    figure = variables["example_globals"].get("___")
    if hasattr(figure, "savefig") and not hasattr(figure, "number") and figure is not variables.get("shown"):
        variables["shown"] = figure
        paths.append(next(variables["image_path_iterator"]))
        figure.savefig(paths[-1], dpi=150)
    script = Path(variables["src_file"])
    written = script.with_name(f"{script.stem.replace('_', '-')}.png")
    if written.exists():
        paths.append(next(variables["image_path_iterator"]))
        shutil.move(written, paths[-1])
        script.with_suffix(".json").unlink(missing_ok=True)
    return figure_rst(paths, conf["src_dir"])


NOTEBOOK = re.compile(r"    \.\. container:: sphx-glr-download sphx-glr-download-(?:jupyter|zip)\n\n.*\n\n?")
DOWNLOAD = "    .. container:: sphx-glr-download\n\n      :download:`It imports {0} </../examples/{0}>`\n\n"


def finish_page(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say on the page of an example why it did not run, and offer the files that it imports.

    A notebook is offered for the tutorial only: an example imports files that lie next to it.
    """
    folder, _, name = docname.rpartition("/")
    script = DOCS.parent / "examples" / f"{name}.py"
    if folder != "gallery" or not script.is_file():
        return
    text = NOTEBOOK.sub("", source[0])
    imported = re.findall(r"^(?:import|from) (\w+)", script.read_text(encoding="utf-8"), re.MULTILINE)
    text += "\n\n" + "".join(DOWNLOAD.format(helper) for helper in HELPERS if helper[:-3] in imported)
    if reason := NOT_EXECUTED.get(script.name):
        note = f".. note:: This page shows no output: {reason}.\n\n"
        text = re.sub(r"^(=+\n)\n", rf"\1\n{note}", text, count=1, flags=re.MULTILINE)
    source[0] = text


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", finish_page)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
