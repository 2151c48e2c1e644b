"""The package as seen from outside: what it exports and loads, threads and instruction sets."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

import bptt

IMPORTS = "__future__, numpy, numpy.typing, array, atexit, copy, dataclasses, zlib"
"""What `import bptt` imports from elsewhere."""


def python(code: str, **environment: str) -> str:
    """What the code prints in a fresh interpreter."""
    command, surroundings = [sys.executable, "-c", code], os.environ | environment
    result = subprocess.run(command, capture_output=True, text=True, env=surroundings, check=False)
    assert result.returncode == 0, result.stderr
    return result.stdout


def test_every_exported_name_is_there():
    assert [name for name in bptt.__all__ if getattr(bptt, name, None) is None] == []
    assert set(bptt.__all__) <= set(dir(bptt))
    # `import *` must not replace the packages torch and onnx of the user's script.
    assert python("from bptt.interop import *; print({'onnx', 'torch'} & {*globals()})") == "set()\n"


def test_unknown_names_are_attribute_errors():
    with pytest.raises(AttributeError, match="'bptt' has no attribute 'LTSM'"):
        _ = bptt.LTSM


def test_data_is_importable_by_its_short_name():
    from bptt.data import TextStream

    assert bptt.data.TextStream is TextStream


def test_import_loads_nothing_that_is_not_needed():
    loaded = python("import bptt, sys; print(*sys.modules)").split()
    late = {
        "tqdm",
        "safetensors",
        "bptt.train",
        "bptt.reference",
        "bptt.testing",
        "bptt.cli",
        "bptt.diagnose",
    }
    extras = {"matplotlib", "torch", "onnx", "onnxruntime"}
    assert (late | extras) & set(loaded) == set()


def test_import_adds_little_to_that_of_numpy():
    code = f"import sys, {IMPORTS}; before = set(sys.modules); import bptt; print(*set(sys.modules) - before)"
    added = {tuple(name.split(".")) for name in python(code).split()}
    assert {name[0] for name in added} == {"bptt"}
    parts = {name[1] for name in added if len(name) > 1}
    assert parts == {"_core", "_version", "arguments", "arrays", "layers", "leaving", "runtime"}


def test_threads_are_set_and_told():
    for n in (1, 3):
        bptt.set_num_threads(n)
        assert bptt.get_num_threads() == n


def test_the_environment_sets_threads_and_instruction_set():
    code = "import bptt; print(bptt.get_num_threads(), bptt.isa())"
    for isa in bptt.available_isas():
        assert python(code, BPTT_NUM_THREADS="3", BPTT_ISA=isa).split() == ["3", isa]


def test_every_instruction_set_can_be_chosen():
    assert "generic" in bptt.available_isas()
    for isa in bptt.available_isas():
        bptt.use_isa(isa)
        assert bptt.isa() == isa


def test_build_config_is_told():
    assert bptt.build_config()
    assert bptt.runtime.thread_rule()
    assert bptt.runtime.isa_rule()
