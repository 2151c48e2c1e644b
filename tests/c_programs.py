"""C programs that run exported headers, and the compilers and processors that the tests use for them."""

from __future__ import annotations

import copy
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pytest

import bptt

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Werror", "-Wconversion", "-Wshadow", "-Wdouble-promotion"]

Array = npt.NDArray[Any]


class Case(NamedTuple):
    """A float64 model whose parameters are float32 numbers, and its inputs (T, I) or ids (T,)."""

    model: Any
    x: Array


class Compiler(NamedTuple):
    """Commands that compile and that run the result, and the C code that starts a bare processor."""

    command: Sequence[str]
    runner: Sequence[str] = ()
    startup: str = ""

    def need(self, folder: Path) -> None:
        """Skip the test if this compiler is not here, or has no libraries, such as those of sanitizers."""
        if sys.platform != "linux":
            pytest.skip("the flags and processors of these tests are those of Linux")
        for program in (self.command[0], *self.runner[:1]):
            if shutil.which(program) is None:
                pytest.skip(f"{program} is not installed")
        (folder / "empty.c").write_text(
            "#include <stdio.h>\nint main(void) { return 0; }\n", encoding="ascii"
        )
        command = [*self.command, str(folder / "empty.c"), "-o", str(folder / "empty")]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode != 0:
            pytest.skip(f"{' '.join(self.command)} cannot build programs: {done.stderr[:200]}")


C99 = Compiler(("gcc", "-std=c99", "-O0"))
CORTEX_M4 = Compiler(
    (
        *("arm-none-eabi-gcc", "-std=c99", "-O2", "-mcpu=cortex-m4", "-mthumb", "-mfloat-abi=hard"),
        *("-mfpu=fpv4-sp-d16", "--specs=rdimon.specs", "-Wl,--section-start=.vectors=0"),
    ),
    (
        *("qemu-system-arm", "-M", "mps2-an386", "-nographic", "-monitor", "none", "-serial", "none"),
        *("-semihosting-config", "enable=on,target=native", "-kernel"),
    ),
    """\
#include <stdint.h>
extern void _start(void);
static void reset(void) {
  *(volatile uint32_t *)0xE000ED88u |= 0xF00000u; /* the processor starts without its floating-point unit */
  __asm volatile("dsb; isb");
  _start();
}
extern const struct vectors { uint32_t stack; void (*reset)(void); } vectors;
__attribute__((section(".vectors"), used)) const struct vectors vectors = {0x20400000u, reset};
""",
)


def compiled(folder: Path, compiler: Compiler, program: str, *, flags: Sequence[str] = ()) -> Path:
    """Compile a program in this folder with all warnings as errors."""
    compiler.need(folder)
    source, target = folder / "main.c", folder / "main"
    source.write_text(program, encoding="ascii")
    if "++" in compiler.command[0]:
        flags = ("-x", "c++", *flags)
    sources = [str(source)]
    if compiler.startup:
        (folder / "startup.c").write_text(compiler.startup, encoding="ascii")
        sources.append(str(folder / "startup.c"))
    command = [*compiler.command, *WARNINGS, *flags, *sources, "-o", str(target), "-lm"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:3000]
    return target


def run_program(folder: Path, compiler: Compiler, program: str, *, flags: Sequence[str] = ()) -> str:
    """Compile and run a program, and return what it prints."""
    target = compiled(folder, compiler, program, flags=flags)
    done = subprocess.run(
        [*compiler.runner, str(target)], cwd=folder, capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, f"exit code {done.returncode}: {done.stdout[:1000]}{done.stderr[:3000]}"
    return done.stdout


def run_cases(
    folder: Path, cases: Sequence[Case], compiler: Compiler = C99, *, math: str = "inline", outputs: int = 0
) -> list[Array]:
    """Export models, run them in one C program, and return their outputs (T, O).

    `outputs` is O, if the models do not return it for every step.
    """
    lines = ["#include <stdio.h>"]
    body = []
    for number, case in enumerate(cases):
        name = f"m{number}"
        bptt.export_c(case.model, folder / f"{name}.h", math=math)
        lines.append(f'#include "{name}.h"')
        kind = "int32_t" if case.x.dtype.kind == "i" else "float"
        body += [
            "  {",
            f"    static {name}_state s;",
            f"    static {kind} x[{case.x.size}];",
            f"    static float y[{len(case.x)} * {name}_outputs];",
            "    if (fread(x, sizeof x, 1, in) != 1) return 1;",
            f"    {name}_init(&s);",
            f"    (void){name}_run(&s, x, y, {len(case.x)});",
            "    if (fwrite(y, sizeof y, 1, out) != 1) return 2;",
            "  }",
        ]
    opened = 'FILE *in = fopen("in.bin", "rb"), *out = fopen("out.bin", "wb");'
    lines += [
        "int main(void) {",
        f"  {opened}",
        "  if (!in || !out) return 3;",
        *body,
        "  return fclose(out);",
        "}",
    ]
    words = [case.x.astype(np.int32 if case.x.dtype.kind == "i" else np.float32) for case in cases]
    (folder / "in.bin").write_bytes(b"".join(word.tobytes() for word in words))
    run_program(folder, compiler, "\n".join(lines) + "\n")
    values = np.fromfile(folder / "out.bin", np.float32)
    found = []
    for case in cases:
        size = outputs * len(case.x) if outputs else reference(case.model, case.x).size
        found.append(values[:size].reshape(len(case.x), -1))
        values = values[size:]
    assert values.size == 0
    return found


def reference(model: Any, x: Array) -> Array:
    """The outputs of a model for one row."""
    y: Array = model(x[:, np.newaxis])[0][:, 0]
    return y


def check_cases(
    folder: Path, cases: Sequence[Case], compiler: Compiler = C99, *, math: str = "inline"
) -> None:
    """Compare C with the float64 models.

    The tolerance follows from the model: how far relative changes of eps in its inputs and parameters change
    its outputs, as the rounding errors of each step do.
    """
    eps = float(np.finfo(np.float32).eps)
    for case, y in zip(cases, run_cases(folder, cases, compiler, math=math), strict=True):
        expected = reference(case.model, case.x)
        moved = np.abs(reference(*moved_by(4 * eps, case)) - expected).max()
        assert moved < 1e-3, f"{case.model} is too sensitive to test anything: {moved:g}"
        bound = 4 * moved + 16 * eps * max(1.0, np.abs(expected).max())
        error = np.abs(y - expected).max()
        assert error <= bound, f"{error:g} > {bound:g} for {case.model}"
        assert np.abs(expected).max() > 1e-3


def moved_by(change: float, case: Case) -> Case:
    """The case with random relative changes of all parameters and inputs."""
    rng = np.random.default_rng(0)
    model = copy.deepcopy(case.model)
    model.flat_parameters *= 1 + change * rng.choice([-1.0, 1.0], model.flat_parameters.shape)
    if case.x.dtype.kind == "i":
        return Case(model, case.x)
    return Case(model, case.x * (1 + change * rng.choice([-1.0, 1.0], case.x.shape)))
