"""Kind of fault: a test of the weather.

How long something takes depends on what else the machine does. So no test compares a duration with anything,
and none gives up within 30 seconds.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

FOLDER = Path(__file__).parent
SHORTEST = 30.0
"""Seconds: a shorter timeout could end a test that works."""
CLOCKS = {"perf_counter", "monotonic", "process_time", "thread_time", "clock_gettime", "time"}
WAITING = {"wait", "join", "get", "communicate", "alarm", "dump_traceback_later"}
"""Functions whose first argument, where it is a number, is a timeout."""
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


def called(node: ast.AST) -> str:
    """The last part of a called function's name; of a function called `time`, only the one of the module."""
    if not isinstance(node, ast.Call):
        return ""
    if isinstance(node.func, ast.Attribute):
        from_module = isinstance(node.func.value, ast.Name) and node.func.value.id == "time"
        return node.func.attr if from_module or node.func.attr != "time" else ""
    return node.func.id if isinstance(node.func, ast.Name) else ""


def names(node: ast.AST) -> set[str]:
    return {part.id for part in ast.walk(node) if isinstance(part, ast.Name)}


class Durations:
    """The names that hold a reading of a clock, or something computed from one, in one scope."""

    def __init__(self, scope: ast.AST, functions: set[str]) -> None:
        self.functions, self.names = functions, set[str]()
        before = -1
        while len(self.names) > before:
            before = len(self.names)
            for node in ast.walk(scope):
                self._follow(node)

    def _follow(self, node: ast.AST) -> None:
        if isinstance(node, ast.Assign) and self.measures(node.value):
            self.names |= {name for target in node.targets for name in names(target)}
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign, ast.NamedExpr)) and node.value is not None:
            if self.measures(node.value):
                self.names |= names(node.target)
        elif isinstance(node, ast.Call) and called(node) in {"append", "extend", "add"}:
            self.names |= names(node.func) if any(map(self.measures, node.args)) else set()

    def measures(self, node: ast.AST) -> bool:
        if names(node) & self.names:
            return True
        return any({called(part).removesuffix("_ns")} & (CLOCKS | self.functions) for part in ast.walk(node))


def reads_clock(scope: ast.AST, functions: set[str]) -> bool:
    """Whether the scope calls a clock, or one of these functions, which return durations."""
    return any(called(node).removesuffix("_ns") in CLOCKS | functions for node in ast.walk(scope))


def compared_durations(tree: ast.Module) -> Iterator[int]:
    """Lines that compare a duration, here or in numpy.testing, or print it for somebody who may."""
    if not reads_clock(tree, set()):
        return
    scopes = [node for node in tree.body if isinstance(node, FUNCTIONS)]
    scopes += [node for part in tree.body if isinstance(part, ast.ClassDef) for node in part.body]
    functions: set[str] = set()
    for _ in range(len(scopes)):  # a function that returns a duration is a clock itself
        clocks = {
            scope.name
            for scope in scopes
            if isinstance(scope, (ast.FunctionDef, ast.AsyncFunctionDef)) and scope.name not in functions
            if reads_clock(scope, functions)
            for node in ast.walk(scope)
            if isinstance(node, ast.Return) and node.value is not None
            if Durations(scope, functions).measures(node.value)
        }
        if not clocks:
            break
        functions |= clocks
    top = ast.Module([node for node in tree.body if not isinstance(node, (*FUNCTIONS, ast.ClassDef))], [])
    for scope in (scope for scope in (*scopes, top) if reads_clock(scope, functions)):
        durations = Durations(scope, functions)
        for node in ast.walk(scope):
            shows = isinstance(node, ast.Compare) or called(node).startswith(("assert_", "print"))
            if shows and any(map(durations.measures, ast.iter_child_nodes(node))):
                yield node.lineno


def short_timeouts(tree: ast.Module) -> Iterator[int]:
    """Lines that give up within SHORTEST seconds."""
    constants = {
        name: node.value.value
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)
        for name in set().union(*map(names, node.targets))
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        limits = [word.value for word in node.keywords if word.arg == "timeout"]
        limits += node.args[:1] if called(node) in WAITING else []
        for limit in limits:
            value = constants.get(limit.id) if isinstance(limit, ast.Name) else getattr(limit, "value", None)
            if isinstance(value, (int, float)) and value < SHORTEST:
                yield node.lineno


def faults(source: str) -> set[int]:
    """Line numbers; within a script in a string, that of the line where the string begins."""
    tree = ast.parse(source)
    found = {*compared_durations(tree), *short_timeouts(tree)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
            try:
                script = ast.parse(node.value)
            except SyntaxError:
                continue
            if {*compared_durations(script), *short_timeouts(script)}:
                found.add(node.lineno)
    return found


def test_no_test_depends_on_the_weather() -> None:
    """No line compares a duration, or gives up within SHORTEST seconds."""
    found = [
        f"{path.relative_to(FOLDER)}, line {line}"
        for path in sorted(FOLDER.rglob("*.py"))
        for line in sorted(faults(path.read_text(encoding="utf-8")))
    ]
    assert found == []


FAULTY = {
    "a duration": "def test():\n    begin = time.perf_counter()\n    assert time.perf_counter() - begin < 5",
    "processor time": "def test():\n    t = process_time()\n    t = process_time() - t\n    assert t < 1",
    "a deadline": "end = time.monotonic_ns() + 10\nwhile not ready():\n    assert time.monotonic_ns() < end",
    "a list of readings": "def test():\n    sent = []\n    sent.append(time.time())\n    assert sent[0] < 3",
    "another function": "def a():\n    return time.time() - T\n\ndef b():\n    return a()\n\nassert b() < 2",
    "a method": "class Test:\n    def test(self):\n        took = time.time()\n        assert took < 3",
    "numpy": "def test():\n    np.testing.assert_allclose(thread_time(), 3)",
    "a script": 'CODE = "import time; t = time.time(); assert time.time() - t < 1"',
    "a script that prints": 'CODE = "import time; t = time.time(); work(); print(time.time() - t)"',
    "a timeout": "process.communicate(timeout=10)",
    "a constant": "TIMEOUT = 5.0\n\ndef test():\n    event.wait(TIMEOUT)",
    "a wait": "event.wait(10)",
}
FINE = {
    "sizes": "def test():\n    begin = time.time()\n    work()\n    repeat(3 / (time.time() - begin))",
    "another scope": "def one():\n    n = time.time()\n    show(n)\n\ndef two(n):\n    assert n < 3",
    "a faked clock": "patch(time, perf_counter=lambda: 0.0)\nassert speed(3) == 1",
    "arrays": "assert net.time() == 3",
    "patience": "PATIENCE = 60\nprocess.communicate(timeout=PATIENCE)\nevent.wait()\nthread.join(60)",
    "texts": "assert ' '.join('ab') == 'a b'\nassert ' '.join(parts) != ''",
}


def test_planted_faults_are_found(subtests: pytest.Subtests) -> None:
    for name in FAULTY:
        with subtests.test(name):
            assert faults(FAULTY[name])


def test_other_uses_of_clocks_are_fine(subtests: pytest.Subtests) -> None:
    for name in FINE:
        with subtests.test(name):
            assert not faults(FINE[name])
