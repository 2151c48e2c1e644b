"""Checks of gradients and of agreement, for your own layers and for the layers of bptt.

`gradcheck` compares `backward` with differences of `forward`; `crosscheck` compares a native layer with the
NumPy reference. Both return a `Report`, which prints as a table, and raise `CheckError` if an entry misses
its bound. Both leave the layer as they found it: parameters, gradients and random generator.
"""

from bptt.checks.agreement import crosscheck
from bptt.checks.differences import gradcheck
from bptt.checks.report import CheckError, Comparison, Report

__all__ = ["CheckError", "Comparison", "Report", "crosscheck", "gradcheck"]
