"""Settings of the site. `nox -s docs` builds it; CONTRIBUTING.md says how to build one page."""

from __future__ import annotations

import os
import re
import sys
from pathlib import Path

import bptt

DOCS = Path(__file__).parent
sys.path += [str(DOCS / "_ext"), str(DOCS.parent / "examples")]
os.environ.setdefault("MPLBACKEND", "agg")

import gallery  # noqa: E402  (in _ext)
from api_topics import TOPICS, all_names  # noqa: E402

project = "bptt"
author = "the authors of bptt"
copyright = "the authors of bptt"
version = release = bptt.__version__

extensions = [
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "numpydoc",
    "myst_parser",
    "sphinx_design",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
    "mathml",
    "api_pages",
    "api_links",
    "source_pages",
    "continued",
    "pictures",
    "gallery",
]
templates_path = ["_templates"]
exclude_patterns = ["_ext", "tutorial", "**/*.ipynb", "**/sg_execution_times.rst", "sg_execution_times.rst"]
default_role = "code"
nitpicky = True
show_warning_types = True

# Markdown

myst_enable_extensions = ["colon_fence", "deflist", "dollarmath", "attrs_inline"]
myst_heading_anchors = 4
suppress_warnings = ["config.cache"]  # the gallery's settings have functions, so Sphinx cannot store them

# API pages: the types stand in the docstrings, so signatures stay short

autodoc_typehints = "none"
autodoc_default_options = {"members": True, "inherited-members": True}
autodoc_member_order = "groupwise"
autosummary_generate = [f"api/{topic}.rst" for topic in TOPICS]
numpydoc_show_class_members = False
numpydoc_validation_checks = {"EX01"}  # every public name has an example; its methods need none
numpydoc_validation_exclude = {rf"^(?!(?:{'|'.join(map(re.escape, all_names()))})$)"}
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

# Tutorial and gallery. Both are folders of scripts, from which sphinx-gallery makes pages and notebooks.

sphinx_gallery_conf = {
    "examples_dirs": gallery.SCRIPTS,
    "gallery_dirs": gallery.PAGES,
    "filename_pattern": gallery.EXECUTED,
    "ignore_pattern": gallery.IGNORED,
    "image_scrapers": (gallery.scrape, "matplotlib"),
    "within_subsection_order": "FileNameSortKey",
    "abort_on_example_error": True,
    "capture_repr": ("_repr_html_", "__repr__"),
    # A string below a constant describes it, and is no output.
    "ignore_repr_types": r"matplotlib\.(text|axes|figure|lines)|bptt\.diagnose\.pictures|'str'",
    "first_notebook_cell": gallery.NOTEBOOK_CELL,
    "download_all_examples": False,
    "min_reported_time": 1e9,
    "show_memory": False,
    "show_signature": False,
    "remove_config_comments": True,
    "copyfile_regex": r".*\.rst",
    "backreferences_dir": "api/examples",
    "doc_module": ("bptt",),
}

# Look

html_theme = "pydata_sphinx_theme"
html_title = "bptt"
html_static_path = ["_static"]
html_css_files = ["site.css"]
html_context = {"default_mode": "auto"}
html_sidebars = {"*": [], "performance/*": [], "search": []}
html_show_sphinx = False
html_copy_source = False
html_show_sourcelink = False
html_theme_options = {
    "navbar_align": "left",
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 8,
    "secondary_sidebar_items": ["page-toc"],
    "footer_start": ["copyright"],
    "footer_end": [],
    "back_to_top_button": False,
}
