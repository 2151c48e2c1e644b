"""The command line as a whole: help, exit codes, one line per failure; info and selftest."""

from __future__ import annotations

import ast
import signal
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest
from tests.commandline import CommandLine
from tests.waiting import PATIENCE, wait_until

import bptt
from bptt import _core
from bptt.cli.options import CELLS

COMMANDS = (
    ["demo"],
    ["train"],
    ["train", "text"],
    ["train", "csv"],
    ["train", "npz"],
    ["evaluate"],
    ["generate"],
    ["forecast"],
    ["predict"],
    ["gradflow"],
    ["import"],
    ["export"],
    ["bench"],
    ["info"],
    ["selftest"],
    ["completion"],
)


def test_help(bptt_command: CommandLine, subtests: pytest.Subtests) -> None:
    for command in COMMANDS:
        with subtests.test(" ".join(command)):
            result = bptt_command(*command, "--help")
            assert result.code == 0
            assert result.out.startswith(f"usage: bptt {' '.join(command)}")
            assert "None" not in result.out
            if command not in (["train"], ["completion"]):
                assert all(option in result.out for option in ("--json", "--seed", "--threads"))


def errors_without_advice(sources: Iterable[str]) -> list[str]:
    """Calls of CommandError that neither say "Fix: " nor hand on the words of another error."""
    found = []
    for source in sources:
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                words = ast.unparse(node)
                names = {name.id for name in ast.walk(node) if isinstance(name, ast.Name)}
                if node.func.id == "CommandError" and "Fix: " not in words and "error" not in names:
                    found.append(words)
    return found


def test_every_error_says_what_to_do() -> None:
    package = Path(bptt.__file__).parent / "cli"
    sources = [path.read_text(encoding="utf-8") for path in package.rglob("*.py")]
    assert sum(source.count("CommandError(") for source in sources) > 50
    assert not errors_without_advice(sources)
    bad = 'raise CommandError(f"{x} is bad")'
    assert errors_without_advice(
        [bad, 'raise CommandError("no. Fix: do.")', "raise CommandError(str(error))"]
    ) == ["CommandError(f'{x} is bad')"]


def test_version(bptt_command: CommandLine) -> None:
    assert bptt_command("--version").out == f"bptt {bptt.__version__}\n"


USAGE = {
    "no command": [],
    "unknown command": ["frobnicate"],
    "unknown option": ["demo", "--frobnicate"],
    "abbreviated option": ["demo", "--hid", "8"],
    "missing file": ["train", "text"],
    "missing model": ["generate"],
    "missing data": ["evaluate", "m"],
    "no window": ["train", "csv", "f", "--window", "0"],
    "no horizon": ["train", "csv", "f", "--horizon", "0"],
    "the same column twice": ["train", "csv", "f", "--columns", "a,b,a"],
    "a column without a name": ["train", "csv", "f", "--target", "a,"],
    "delimiter of two": ["train", "csv", "f", "--delimiter", "::"],
    "whole series held out": ["train", "csv", "f", "--test", "1"],
    "unknown optimizer": ["train", "npz", "f", "--optimizer", "lion"],
    "unknown schedule": ["train", "npz", "f", "--schedule", "linear"],
    "impatient": ["train", "npz", "f", "--patience", "-1"],
    "no steps ahead": ["forecast", "m", "f", "--steps", "0"],
    "unknown part": ["evaluate", "m", "f", "--part", "last"],
    "missing model of a flow": ["gradflow"],
    "no steps back": ["gradflow", "m", "--steps", "0"],
    "no rows": ["gradflow", "m", "--rows", "none"],
    "unknown cell": ["demo", "--cell", "elman"],
    "negative layers": ["demo", "--layers", "-1"],
    "zero hidden": ["demo", "--hidden", "0"],
    "fractional hidden": ["demo", "--hidden", "2.5"],
    "zero steps": ["demo", "--steps", "0"],
    "huge batch": ["demo", "--batch", "99999999999999999999"],
    "negative clip": ["demo", "--clip", "-1"],
    "clip not a number": ["demo", "--clip", "nan"],
    "infinite rate": ["demo", "--learning-rate", "inf"],
    "dropout of 1": ["demo", "--dropout", "1"],
    "steps and epochs": ["demo", "--steps", "3", "--epochs", "1"],
    "zero temperature": ["generate", "m", "--temperature", "0"],
    "negative length": ["generate", "m", "--length", "-5"],
    "whole text held out": ["train", "text", "t", "--validation", "1"],
    "zero threads": ["info", "--threads", "0"],
    "more threads than the core can manage": ["info", "--threads", "257"],
    "negative seed": ["info", "--seed", "-1"],
}


def test_usage_error(bptt_command: CommandLine, subtests: pytest.Subtests) -> None:
    for label, arguments in USAGE.items():
        with subtests.test(label):
            result = bptt_command(*arguments)
            assert result.code == 2
            assert result.out == ""
            assert result.err.startswith("bptt")
            assert result.err.count("\n") == 1
            assert "--help'" in result.err


def test_unforeseen_failure_is_one_line(bptt_command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken() -> str:
        raise RuntimeError("first line\nsecond line")

    monkeypatch.setattr(bptt, "isa", broken)
    result = bptt_command("info")
    assert (result.code, result.err) == (1, "bptt: RuntimeError: first line second line\n")


def test_info(bptt_command: CommandLine) -> None:
    text, figures = bptt_command("info").out, bptt_command("info", "--json").figures
    assert figures["version"] == bptt.__version__
    assert figures["isa"] in figures["available_isas"] == bptt.available_isas()
    assert figures["threads"] == bptt.get_num_threads()
    assert figures["build"] == bptt.build_config()
    for shown in (bptt.__version__, bptt.isa(), figures["isa_rule"], figures["thread_rule"]):
        assert shown in text
    assert list(figures["instructions"]) == ["bfloat16", "int8"]
    _core.emulate_reduced_precision(True)
    try:
        text, figures = bptt_command("info").out, bptt_command("info", "--json").figures
    finally:
        _core.emulate_reduced_precision(False)
    assert figures["instructions"] == {"bfloat16": "emulated", "int8": "emulated"}
    assert text.count("emulated: no gain in speed") == 2


def test_threads_option(bptt_command: CommandLine) -> None:
    assert bptt_command("info", "--json", "--threads", 2).figures["threads"] == 2


def test_selftest(bptt_command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    isas = [*dict.fromkeys(["generic", bptt.isa()])]  # each instruction set takes as long again
    monkeypatch.setattr(bptt, "available_isas", lambda: isas)
    figures = bptt_command("selftest", "--json").figures
    assert figures["passed"]
    done = {(check["isa"], check["cell"], check["check"]) for check in figures["checks"]}
    kinds = ("gradcheck", "crosscheck float32", "crosscheck float64")
    wanted = {(isa, cell, kind) for isa in isas for cell in CELLS for kind in kinds}
    assert done == wanted | {("reference", cell, "gradcheck") for cell in CELLS}
    assert all(check["passed"] and 0 <= check["worst"] <= 1 for check in figures["checks"])


def test_selftest_finds_a_wrong_gradient(bptt_command: CommandLine, monkeypatch: pytest.MonkeyPatch) -> None:
    right = bptt.GRU.backward

    def wrong(self: bptt.GRU, *arguments: object, **options: object) -> object:
        result = right(self, *arguments, **options)  # type: ignore[arg-type]
        self.gradients["bias_hh_l1"][0] *= 1.01
        return result

    some = {name: CELLS[name] for name in ("rnn", "lstm", "gru", "gru-reset-before")}
    monkeypatch.setattr("bptt.cli.selftest.CELLS", some)
    monkeypatch.setattr(bptt.GRU, "backward", wrong)
    monkeypatch.setattr(bptt, "available_isas", lambda: ["generic"])
    result = bptt_command("selftest")
    assert result.code == 1
    assert "gradients[bias_hh_l1]" in result.err
    assert result.err.splitlines()[-1].startswith("bptt: ")
    failed = {line.split()[1] for line in result.out.splitlines() if "FAILED" in line}
    assert failed == {"gru", "gru-reset-before"}


def test_module_is_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bptt", "--version"], capture_output=True, text=True, check=True
    )
    assert done.stdout == f"bptt {bptt.__version__}\n"


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
def test_interrupt(tmp_path: Path, text_file: Path) -> None:
    log = tmp_path / "log.csv"
    options = ["--steps", "1000000000", "--hidden", "8", "--batch", "4", "--truncate", "8", "--log", str(log)]
    command = [sys.executable, "-m", "bptt", "train", "text", str(text_file), *options]
    with subprocess.Popen(command, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        wait_until(lambda: log.exists() and log.read_text().count("\n") > 1)  # training has begun
        process.send_signal(signal.SIGINT)
        rest = process.communicate(timeout=PATIENCE)[1]
    assert process.returncode == 130
    assert rest.splitlines()[-1].startswith("bptt: interrupted")
    assert "Traceback" not in rest
    assert sorted(tmp_path.iterdir()) == [log, text_file]


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX pipes")
def test_reader_that_leaves() -> None:
    command = [sys.executable, "-m", "bptt", "info", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        complaint = process.stderr.read()
    assert process.returncode == 1
    assert complaint == ""
