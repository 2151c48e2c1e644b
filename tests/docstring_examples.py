"""The examples in the docstrings of the package: where they are, and how their output is compared.

python -m tests.docstring_examples bptt.optim   # only the examples of one package or module
"""

from __future__ import annotations

import doctest
import importlib
import math
import os
import pkgutil
import re
import sys
import tempfile
from collections.abc import Iterator
from importlib.util import find_spec

import bptt
from bptt.layers import KINDS

PACKAGES = (
    *("torch", "keras", "jax", "flax", "equinox", "onnx", "onnxruntime", "mpi4py", "matplotlib", "sklearn"),
    *("pandas", "polars", "tensorboardX", "openvino", "ai_edge_litert", "flatbuffers"),
)
"""Optional packages. Some modules cannot be imported without them."""

OPTIONAL = re.compile(
    r"^\s*(?:import |from |import bptt\.interop\.|from bptt\.interop import )"
    rf"({'|'.join(PACKAGES)})\b",
    re.MULTILINE,
)

NEEDS = re.compile(r"^\s*ImportError: (.* (?:needs|requires) .*pip install .*)$", re.MULTILINE)
"""The package's own message that an optional package is missing."""

TOKEN = re.compile(r"[^\W\d]\w*|[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|\S")
SCALAR = re.compile(r"np\.(?:float|int|uint|bool)\w*\(([^()]*)\)")
"""NumPy 2 prints the type of a scalar, NumPy 1 does not."""


class Checker(doctest.OutputChecker):
    """Compares words exactly and numbers with a tolerance, because instruction sets round differently.

    A number with a decimal point may differ by 0.1 %, or by one unit of its last printed digit. Spaces and
    line breaks do not count, because NumPy aligns columns by the digits that it prints.
    """

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        return super().check_output(want, got, optionflags) or _close(want, got)


def modules(prefix: str = "bptt") -> Iterator[str]:
    """Yield the names of a module and of all modules in it."""
    for name in ("bptt", *(found.name for found in pkgutil.walk_packages(bptt.__path__, "bptt."))):
        if (name == prefix or name.startswith(f"{prefix}.")) and not name.endswith("__main__"):
            yield name


def examples(module_name: str) -> list[doctest.DocTest]:
    """Return the docstrings of a module that have examples. Each one starts with an empty namespace."""
    try:
        module = importlib.import_module(module_name)
    except ImportError as error:
        if not _lacks_a_package(error):
            raise
        return []
    found = doctest.DocTestFinder(exclude_empty=True).find(module, module_name, globs={})
    return [test for test in found if test.examples]


def _lacks_a_package(error: BaseException | None) -> bool:
    """Return whether an error of an import, or its cause, says that an optional package is missing."""
    while error is not None:
        if isinstance(error, ImportError) and (error.name or "").partition(".")[0] in PACKAGES:
            return True
        error = error.__cause__
    return False


def missing(test: doctest.DocTest) -> str | None:
    """Return the name of a package that the examples import and that is not installed."""
    source = "".join(example.source for example in test.examples)
    packages = OPTIONAL.findall(source)
    if "keras" in packages:
        packages.append(os.environ.get("KERAS_BACKEND", "tensorflow"))
    return next((package for package in packages if find_spec(package) is None), None)


def report(test: doctest.DocTest) -> str:
    """Run the examples of a docstring, and return what is wrong, or an empty string."""
    written: list[str] = []
    runner = doctest.DocTestRunner(
        Checker(), verbose=False, optionflags=doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    )
    registered = dict(KINDS)
    runner.run(test, out=written.append)
    KINDS.clear()
    KINDS.update(registered)
    return "".join(written)


def _close(want: str, got: str) -> bool:
    wanted, printed = (TOKEN.findall(SCALAR.sub(r"\1", text)) for text in (want, got))
    return len(wanted) == len(printed) and all(map(_alike, wanted, printed))


def _alike(want: str, got: str) -> bool:
    if want == got:
        return True
    if not re.fullmatch(r"[-+]?[\d.][\d.eE+-]*", want) or re.fullmatch(r"[-+]?\d+|\.+", want):
        return False  # words, signs and whole numbers
    try:
        value, other = float(want), float(got)
    except ValueError:
        return False
    mantissa, _, exponent = want.lower().partition("e")
    decimals = len(mantissa.partition(".")[2])
    unit = 10.0 ** (int(exponent or 0) - decimals) if decimals else 0.0
    return math.isclose(value, other, rel_tol=1e-3, abs_tol=1.001 * unit)


def main() -> int:
    failures = 0
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        for prefix in sys.argv[1:] or ["bptt"]:
            for name in modules(prefix):
                for test in examples(name):
                    package = missing(test)
                    problem = "" if package else report(test)
                    if needs := NEEDS.search(problem):
                        package, problem = needs.group(1), ""
                    failures += bool(problem)
                    print(f"{test.name}: {f'needs {package}' if package else 'FAILED' if problem else 'ok'}")
                    print(problem, end="")
    return min(failures, 1)


if __name__ == "__main__":
    sys.exit(main())
