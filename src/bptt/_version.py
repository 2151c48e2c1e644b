"""The package version. CITATION.cff repeats it, and `tests/test_release_papers.py` compares them."""

__version__ = "0.2.0"
