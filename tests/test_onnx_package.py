"""`bptt.interop.onnx` says which package it needs."""

from __future__ import annotations

import sys

import pytest


def test_without_onnx_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("bptt.interop.onnx")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'bptt\[onnx\]'"):
        __import__("bptt.interop.onnx")
