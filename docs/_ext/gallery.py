"""Settings of sphinx-gallery: which scripts become pages, how they run, and where their pictures are."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib import import_module
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx
from sphinx_gallery.scrapers import figure_rst

DOCS = Path(__file__).resolve().parent.parent
PICTURES = Path(tempfile.mkdtemp())
"""Folder in which scripts write their pictures while they run."""

FOLDERS = {"../examples": "gallery", "tutorial": "lessons"}
SCRIPTS = [scripts for scripts in FOLDERS if (DOCS / scripts).is_dir()]
PAGES = [FOLDERS[scripts] for scripts in SCRIPTS]
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

FIGURES = ("exploding.py", "vanishing.py")
"""Scripts that write their figures into a file."""


def folders() -> list[tuple[Path, str]]:
    """Return each folder of scripts, and the name of the folder of its pages."""
    return [((DOCS / scripts).resolve(), pages) for scripts, pages in FOLDERS.items()]


def is_helper(path: Path) -> bool:
    return path.name in HELPERS


IGNORED = r"(^|/)(" + "|".join(name.replace(".", r"\.") for name in HELPERS) + r")$"
EXECUTED = r"/(?!" + "|".join(name.replace(".", r"\.") for name in NOT_EXECUTED) + r")\w+\.py$"


def arguments(conf: dict[str, Any], variables: dict[str, Any]) -> list[str]:
    """Return the command-line arguments of a script: the files that it writes."""
    script = Path(variables["src_file"])
    if script.parent.name != "examples":
        return []
    figures = ["--figures", str(PICTURES / "figures.json")] if script.name in FIGURES else []
    return [*figures, "--picture", str(_picture(script))]


def _picture(script: Path) -> Path:
    return PICTURES / f"{script.stem}.png"


def scrape(block: tuple[Any, ...], variables: dict[str, Any], conf: dict[str, Any]) -> str:
    """Save the picture of a block of a script, and return the text that shows it.

    The picture is the figure that the last line of the block returns, or the file that the script wrote.
    sphinx-gallery's own scraper finds only figures of pyplot.
    """
    paths: list[str] = []
    figure = variables["example_globals"].get("___")
    if hasattr(figure, "savefig") and not hasattr(figure, "number"):
        paths.append(next(variables["image_path_iterator"]))
        figure.savefig(paths[-1], dpi=150)
    written = _picture(Path(variables["src_file"]))
    if written.exists():
        paths.append(next(variables["image_path_iterator"]))
        shutil.move(written, paths[-1])
    return figure_rst(paths, conf["src_dir"])


def say_why(app: Sphinx, docname: str, source: list[str]) -> None:
    """Say on the page of a script that it did not run, and why."""
    folder, _, name = docname.rpartition("/")
    reason = NOT_EXECUTED.get(f"{name}.py") if folder == "gallery" else None
    if reason:
        note = f".. note:: This page shows no output: {reason}.\n\n"
        source[0] = re.sub(r"^(=+\n)\n", rf"\1\n{note}", source[0], count=1, flags=re.MULTILINE)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("source-read", say_why)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
