"""One step of an exported C header, beside the form of RTNeural and a Python stream, in turns on one thread.

    python benchmarks/c_header.py                       # a minute on a quiet machine
    python benchmarks/c_header.py --markdown docs/howto/c.md  # writes the table into the page

RTNeural has sizes that are known at compile time and one matrix for each gate, in vectors of xsimd or Eigen.
`native/audio_forms.hpp` is a program of this form. It needs the headers of xsimd or Eigen: `apt install
libxsimd-dev libeigen3-dev`. All programs are compiled with the same flags, and their outputs are compared
before they are timed. Each figure is the median over rounds in which all programs run.
"""

from __future__ import annotations

import argparse
import ctypes
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

import bptt
from bptt.bench import machine

SIZES = (8, 16, 24, 32)
FLAGS = ("-O3", "-march=native", "-std=gnu++17")
STEPS = 4096
"""Steps of one run: a block of samples."""
ROUNDS = 41
MARKS = re.compile(r"(?<=<!-- c_header -->\n).*?(?=<!-- end of c_header -->)", re.DOTALL)
FORMS = Path(__file__).parent / "native" / "audio_forms.hpp"
TARGET = 1.3
"""How many times as long as the fastest program of RTNeural's form a step may take."""

Array = npt.NDArray[np.float32]


class Case(NamedTuple):
    name: str
    units: int
    model: bptt.Sequential[Any]

    @property
    def prefix(self) -> str:
        return f"{self.name.lower()}{self.units}"


class Parameters(ctypes.Structure):
    _fields_ = [
        *((name, ctypes.c_void_p) for name in ("ih", "hh", "bias_ih", "bias_hh", "out")),
        ("out_bias", ctypes.c_float),
    ]


def cases() -> list[Case]:
    found = []
    for name, layer in (("LSTM", bptt.LSTM), ("GRU", bptt.GRU)):
        for units in SIZES:
            model = bptt.Sequential(layer(1, units), bptt.Linear(units, 1), seed=units)
            found.append(Case(name, units, model))
    return found


def source(forms: list[str]) -> str:
    """A library with one function for each program and model: steps of x into y."""
    lines = [f"#define FORM_{form.upper()}" for form in forms]
    lines.append(f'#include "{FORMS}"')
    for case in cases():
        p = case.prefix
        lines.append(f'#include "{p}.h"')
        lines.append(f'extern "C" void ours_{p}(const Parameters*, const float* x, float* y, long n) {{')
        lines.append(f"  {p}_state s; {p}_init(&s); {p}_run(&s, x, y, (size_t)n); }}")
        for form in forms:
            cell = case.name.capitalize()
            lines.append(
                f'extern "C" void {form}_{p}(const Parameters* q, const float* x, float* y, long n) {{'
            )
            lines.append(f"  static form_{form}::{cell}<{case.units}> m; m.load(*q);")
            lines.append("  for (long t = 0; t < n; ++t) y[t] = m.step(x[t]); }")
    return "\n".join(lines) + "\n"


def available_forms(compiler: str) -> list[str]:
    found = []
    for form, header in (("xsimd", "xsimd/xsimd.hpp"), ("eigen", "Eigen/Dense")):
        flags = include_flags(form)
        command = [compiler, *FLAGS, *flags, "-fsyntax-only", "-x", "c++", "-"]
        if not subprocess.run(
            command, input=f"#include <{header}>", text=True, capture_output=True
        ).returncode:
            found.append(form)
        else:
            print(f"{form}: not measured, because <{header}> is not installed", file=sys.stderr)
    return found


def include_flags(form: str) -> list[str]:
    return ["-isystem", "/usr/include/eigen3"] if form == "eigen" else []


def build(compiler: str, folder: Path, forms: list[str]) -> ctypes.CDLL:
    for case in cases():
        bptt.export_c(case.model, folder / f"{case.prefix}.h")
    path = folder / "forms.cpp"
    path.write_text(source(forms), encoding="utf-8")
    library = folder / "forms.so"
    extra = [flag for form in forms for flag in include_flags(form)]
    subprocess.run([compiler, *FLAGS, *extra, "-shared", "-fPIC", str(path), "-o", str(library)], check=True)
    return ctypes.CDLL(str(library))


def programs(library: ctypes.CDLL, case: Case, forms: list[str], x: Array) -> dict[str, Callable[[], Array]]:
    p = case.model.parameters
    tensors = [np.ascontiguousarray(p[name]) for name in p]
    names = list(p)
    by = {name.split(".")[1]: tensor for name, tensor in zip(names, tensors, strict=True)}
    order = ("weight_ih_l0", "weight_hh_l0", "bias_ih_l0", "bias_hh_l0", "weight")
    parameters = Parameters(*(by[name].ctypes.data for name in order), float(by["bias"][0]))

    def native(function: Any) -> Callable[[], Array]:
        y = np.empty(len(x), np.float32)

        def run() -> Array:
            function(
                ctypes.byref(parameters),
                x.ctypes.data_as(ctypes.c_void_p),
                y.ctypes.data_as(ctypes.c_void_p),
                ctypes.c_long(len(x)),
            )
            return y

        run.kept = tensors  # type: ignore[attr-defined]
        return run

    stream = case.model.stream()

    def python_steps() -> Array:
        stream.reset()
        y = np.empty(len(x), np.float32)
        for t in range(len(x)):
            stream.input[0, 0] = x[t]
            stream.step()
            y[t] = stream.output[0, 0]
        return y

    def python_run() -> Array:
        stream.reset()
        y: Array = stream.run(x[:, None])[:, 0]
        return y

    found: dict[str, Callable[[], Array]] = {
        "ours": native(getattr(library, f"ours_{case.prefix}")),
        **{form: native(getattr(library, f"{form}_{case.prefix}")) for form in forms},
        "steps": python_steps,
        "run": python_run,
    }
    return found


def check(case: Case, runs: dict[str, Callable[[], Array]], x: Array) -> None:
    expected = case.model(x[:, None, None])[0][:, 0, 0]
    for name, run in runs.items():
        error = float(np.abs(run() - expected).max())
        if not error < 1e-5:
            raise SystemExit(f"{case.prefix}: {name} differs from the model by {error:g}")


def nanoseconds(runs: dict[str, Callable[[], Array]], steps: int) -> dict[str, list[float]]:
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            begin = time.perf_counter()
            run()
            times[name].append(1e9 * (time.perf_counter() - begin) / steps)
    return times


def table(compiler: str) -> str:
    forms = available_forms(compiler)
    x = np.sin(np.arange(STEPS, dtype=np.float32) * np.float32(0.05))
    heads = [
        "model",
        "C header",
        *(f"RTNeural's form, {form}" for form in forms),
        "Python, stream.step",
        "Python, stream.run",
    ]
    heads += ["C header / faster form"] * bool(forms)
    lines = [f"| {' | '.join(heads)} |", f"| --- |{' ---: |' * (len(heads) - 1)}"]
    worst = 0.0
    with tempfile.TemporaryDirectory() as folder:
        library = build(compiler, Path(folder), forms)
        for case in cases():
            runs = programs(library, case, forms, x)
            check(case, runs, x)
            times = nanoseconds(runs, STEPS)
            cells = [f"{np.median(times[name]):.0f} ns" for name in ("ours", *forms, "steps", "run")]
            if forms:
                rivals = np.min([times[form] for form in forms], axis=0)
                ratio = float(np.median(np.array(times["ours"]) / rivals))
                worst = max(worst, ratio)
                cells.append(f"{ratio:.2f}")
            lines.append(f"| {case.name}(1, {case.units}) and Linear | {' | '.join(cells)} |")
            print(lines[-1], flush=True)
    version = subprocess.run([compiler, "--version"], capture_output=True, text=True, check=True).stdout
    about = f"{machine.processor()}, {version.splitlines()[0]}, {' '.join(FLAGS)}."
    if forms:
        about += f" The largest ratio is {worst:.2f}, and must be at most {TARGET}."
    return "\n".join([*lines, "", f"Nanoseconds of one step of one row, float32, one thread. {about}", ""])


def main() -> None:
    parser = argparse.ArgumentParser(description="Measure a step of exported C headers.")
    parser.add_argument("--markdown", type=Path, metavar="PAGE", help="write the table into this page")
    parser.add_argument("--compiler", default=shutil.which("g++") or "c++", help="the C++ compiler")
    options = parser.parse_args()
    page: Path | None = options.markdown
    if page is not None and MARKS.search(page.read_text(encoding="utf-8")) is None:
        parser.error(f"{page} must have the marks <!-- c_header --> and <!-- end of c_header -->")
    bptt.set_num_threads(1)
    text = table(options.compiler)
    if page is not None:
        page.write_text(MARKS.sub(lambda _: text, page.read_text(encoding="utf-8")), encoding="utf-8")


if __name__ == "__main__":
    main()
