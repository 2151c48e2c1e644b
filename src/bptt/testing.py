"""Checks of gradients and results, for your own layers and for the layers of bptt.

`gradcheck` compares `backward` with finite differences of `forward`. `crosscheck` compares a native layer
with the NumPy reference. Both return a `Report`, which prints as a table, and raise `CheckError` if an error
exceeds its bound. Both restore the layer's parameters, gradients and random generator.
"""

from bptt.checks.agreement import crosscheck
from bptt.checks.differences import gradcheck
from bptt.checks.report import CheckError, Comparison, Report

__all__ = ["CheckError", "Comparison", "Report", "crosscheck", "gradcheck"]
