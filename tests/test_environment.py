"""Environment variables: a wrong value is reported when the package is imported, and by `bptt info`."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

import bptt

SHOW = """
import json, bptt
from bptt import runtime
rules = {"isa_rule": runtime.isa_rule(), "thread_rule": runtime.thread_rule()}
print(json.dumps({"isa": bptt.isa(), "threads": bptt.get_num_threads()} | rules))
"""


def start(*options: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A new interpreter that imports the package and prints what it uses, and why."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("BPTT_")}
    return subprocess.run(
        [sys.executable, *(options or ("-c", SHOW))],
        env=clean | variables,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("threads", ["x", "0", "99999999999999999999"])
def test_invalid_numbers_of_threads_are_named(threads):
    done = start(BPTT_NUM_THREADS=threads)
    assert done.stderr.count("RuntimeWarning") == 1
    expected = f"BPTT_NUM_THREADS must be a whole number from 1 to 256; got '{threads}', which bptt ignores."
    assert f"{expected} Fix: set another number, or unset BPTT_NUM_THREADS." in done.stderr
    figures = json.loads(done.stdout)
    assert f"BPTT_NUM_THREADS='{threads}' is not a number from 1 to 256" in figures["thread_rule"]
    assert figures["threads"] >= 1


def test_an_invalid_instruction_set_is_named():
    done = start("-m", "bptt", "info", "--json", BPTT_ISA="avx1024")
    assert done.stderr.count("RuntimeWarning") == 1
    assert "BPTT_ISA must be an instruction set that this machine runs ('generic'" in done.stderr
    assert "got 'avx1024', which bptt ignores. Fix: set another name, or unset BPTT_ISA." in done.stderr
    figures = json.loads(done.stdout)
    assert "BPTT_ISA='avx1024' is not one of them" in figures["isa_rule"]
    assert figures["isa"] == bptt.available_isas()[-1]


def test_both_are_named_and_may_be_errors():
    done = start("-W", "error::RuntimeWarning", "-c", "import bptt", BPTT_ISA="x", BPTT_NUM_THREADS="x")
    assert done.returncode == 1
    assert "RuntimeWarning: BPTT_NUM_THREADS must be" in done.stderr


@pytest.mark.parametrize("variables", [{}, {"BPTT_ISA": "", "BPTT_NUM_THREADS": ""}])
def test_variables_that_are_not_set_are_not_mentioned(variables):
    done = start("-W", "error", "-c", SHOW, **variables)
    assert done.returncode == 0
    assert done.stderr == ""
    assert "BPTT" not in done.stdout


def test_valid_variables_are_used():
    done = start("-W", "error", "-c", SHOW, BPTT_ISA="generic", BPTT_NUM_THREADS="3")
    figures = json.loads(done.stdout)
    assert (figures["isa"], figures["threads"]) == ("generic", 3)
    assert (figures["isa_rule"], figures["thread_rule"]) == ("set by BPTT_ISA", "BPTT_NUM_THREADS")
