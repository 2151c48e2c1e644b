"""Write the notebooks of the tutorial, and run them in this environment.

pip install 'bptt[docs]'
python docs/notebooks.py build/notebooks

The notebooks of the site are the same, with one cell more that installs bptt.
"""

from __future__ import annotations

import argparse
import json
import os
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from sphinx_gallery.gen_gallery import DEFAULT_GALLERY_CONF
from sphinx_gallery.notebook import jupyter_notebook
from sphinx_gallery.py_source_parser import split_code_and_text_blocks

TUTORIAL = Path(__file__).parent / "tutorial"


def notebook(script: Path) -> nbformat.NotebookNode:
    """Return a page of the tutorial as a notebook."""
    _, blocks = split_code_and_text_blocks(str(script))
    content = jupyter_notebook(blocks, dict(DEFAULT_GALLERY_CONF), str(script.parent))
    return nbformat.reads(json.dumps(content), as_version=4)


def main() -> None:
    parser = argparse.ArgumentParser(description="Writes and runs the notebooks of the tutorial.")
    parser.add_argument("folder", type=Path, help="where to write the notebooks")
    parser.add_argument("--kernel", default="python3", help="name of the Jupyter kernel (default: python3)")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    os.environ.pop("MPLBACKEND", None)  # another backend than the notebook's would show no picture
    for script in sorted(TUTORIAL.glob("plot_*.py")):
        page = notebook(script)
        NotebookClient(page, kernel_name=options.kernel, timeout=600).execute()
        nbformat.write(page, options.folder / f"{script.stem}.ipynb")
        pictures = sum("image/png" in o.get("data", {}) for c in page.cells for o in c.get("outputs", []))
        print(f"{script.stem}: {len(page.cells)} cells, {pictures} pictures", flush=True)


if __name__ == "__main__":
    main()
