"""The benchmark: what it times, that it refuses to time what disagrees, and what it says about the rest."""

from __future__ import annotations

import ctypes
import itertools
import json
import runpy
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from tests.commandline import CommandLine
from tests.grids import pairwise

import bptt
from bptt.bench import limits, lines, machine, measure, memory, results, session, summary
from bptt.bench.agreement import FLOOR, DisagreementError, check, tolerance
from bptt.bench.clock import MIN_ROUNDS, Timing, take_turns, timing
from bptt.bench.measure import Row
from bptt.bench.peers import DEFAULT, FLOAT32, OURS, PEERS, REDUCED, NotApplicableError, make, missing
from bptt.bench.problem import Call, Problem, problem
from bptt.bench.shapes import (
    CELLS,
    DIVIDED_ROWS,
    GRID,
    MODES,
    PRECISIONS,
    QUICK,
    STREAMED,
    VARIANTS,
    Case,
    Shape,
    cases,
)
from bptt.cli import bench as cli_bench
from bptt.cli import compare

SMALL = Shape("small", 3, 2, 4, 5, layers=2, bidirectional=True)
STREAM = Shape("stream", 1, 1, 4, 5, modes=("streaming",))
TASK = Shape("char-rnn", 3, 2, 4, 5, modes=("iteration",))
RAGGED = Shape("ragged", 6, 5, 4, 5, modes=("variants",))


def small(cell: str, mode: str) -> Case:
    return Case(cell, {"streaming": STREAM, "iteration": TASK, "variants": RAGGED}.get(mode, SMALL), mode)


# What is timed


def test_every_shape_names_cells_and_modes_that_there_are() -> None:
    for shape in GRID + QUICK:
        assert set(shape.modes) <= set(MODES)
        assert set(shape.cells) <= set(CELLS)
        assert set(shape.modes) - {"streaming"} or shape.T == 1
    listed = [case for mode in MODES for case in cases(GRID, CELLS, [mode])]
    assert len(set(listed)) == len(listed)


def test_cases_are_filtered_by_the_printed_shape() -> None:
    found = list(cases(QUICK, ["gru"], ["training"], "B=1 "))
    assert found
    assert all(case.cell == "gru" and case.mode == "training" and case.shape.B == 1 for case in found)
    assert not list(cases(QUICK, ["gru"], ["training"], "no such shape"))


@pytest.mark.parametrize(
    ("case", "flop"),
    [
        (Case("lstm", Shape("", 10, 2, 3, 5), "inference"), 2 * 10 * 2 * 4 * 5 * (3 + 5)),
        (Case("gru", Shape("", 10, 2, 3, 5), "training"), 3 * 2 * 10 * 2 * 3 * 5 * (3 + 5)),
        (Case("lstm", Shape("", 1, 1, 3, 5), "streaming"), 2 * 4 * 5 * (3 + 5)),
        # Two directions; the second layer reads both of them.
        (Case("rnn", SMALL, "inference"), 2 * 3 * 2 * 2 * 5 * ((4 + 5) + (10 + 5))),
    ],
)
def test_arithmetic_of_a_case(case: Case, flop: float) -> None:
    assert case.gflop == pytest.approx(1e-9 * flop)


# Agreement


def test_rounding_agrees_and_more_does_not() -> None:
    allowed = tolerance(small("lstm", "inference"))
    expected = {"y": np.array([[1.0, -2.0], [0.5, 0.0]], np.float32)}
    assert check(expected, expected, allowed) == 0.0
    off = {"y": expected["y"] + np.float32(0.5 * allowed * 2.0)}
    assert 0.4 < check(off, expected, allowed) < 0.6
    with pytest.raises(DisagreementError, match=r"y\[0, 0\] is 1\.0"):
        check({"y": expected["y"] + np.float32(1.5 * allowed * 2.0)}, expected, allowed)


def test_gradients_may_round_twice_as_often() -> None:
    assert tolerance(small("lstm", "training")) == 2 * tolerance(small("lstm", "inference"))


def test_denormal_numbers_may_be_flushed() -> None:
    check({"y": np.zeros(2)}, {"y": np.full(2, 0.9 * FLOOR)}, 1e-6)
    with pytest.raises(DisagreementError):
        check({"y": np.zeros(2)}, {"y": np.full(2, 1.1 * FLOOR)}, 1e-6)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        ({"y": np.array([np.nan, 1.0])}, "y.* is nan"),
        ({"y": np.ones(3)}, "shape"),
        ({"z": np.ones(2)}, "'z'"),
        ({}, "'y'"),
    ],
)
def test_what_never_agrees(found: dict[str, np.ndarray], message: str) -> None:
    with pytest.raises(DisagreementError, match=message):
        check(found, {"y": np.ones(2)}, 1.0)


def broken(kind: str) -> Call:
    """A peer that computes something else, or fails."""
    if kind == "cannot":
        raise NotApplicableError("has no such mode")
    if kind == "fails":
        raise RuntimeError("no memory")
    shape = (SMALL.T, SMALL.B, 2 * SMALL.H)
    return Call(lambda: np.zeros(shape, np.float32), lambda y: {"y": y})


@pytest.mark.parametrize("kind", ["differs", "cannot", "fails"])
def test_only_peers_that_agree_are_timed(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    make = measure.make
    monkeypatch.setattr(
        measure, "make", lambda name, problem, n: make(name, problem, n) if name == OURS else broken(kind)
    )
    row = measure.measure(small("lstm", "inference"), ["torch"], 1, 1e-3)
    assert set(row.times) == {OURS}
    assert set(row.disagreed) == ({"torch"} if kind == "differs" else set())
    assert set(row.left_out) == (set() if kind == "differs" else {"torch"})
    if kind == "differs":
        assert "DISAGREES" in lines.Lines(["torch"])(row)
        assert any("torch" in text for text in summary.lines([row]))


TIMED = tuple(mode for mode in MODES if mode != "memory")


@pairwise(("peer", DEFAULT), ("cell", CELLS), ("mode", TIMED))
def test_peers_agree_with_us(peer: str, cell: str, mode: str) -> None:
    if missing(peer):
        pytest.skip(f"{peer} is not installed")
    row = measure.measure(small(cell, mode), [peer], 1, 1e-3)
    assert not row.disagreed
    assert peer in row.times or row.left_out[peer] == f"has no {mode}"


LACKS = {
    "openvino-bf16": ("training",),
    "torch-int8": ("rnn inference",),
    "onnxruntime-int8": ("gru", "rnn"),
    "litert-int8": ("inference",),
    "litert": ("inference", "training"),
}
"""Modes and cells that a library has not."""


def signal_stack() -> list[int | None]:
    """Address, flags and size of the stack that signal handlers of this thread run on."""

    class Stack(ctypes.Structure):
        _fields_ = (("address", ctypes.c_void_p), ("flags", ctypes.c_int), ("size", ctypes.c_size_t))

    stack = Stack()
    if sys.platform == "linux":
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
    return [stack.address, stack.flags, stack.size]


def test_peers_in_reduced_precision_agree_with_float32(subtests: pytest.Subtests) -> None:
    before = signal_stack()
    names = [name for name, peer in PEERS.items() if peer.precision in REDUCED or name == "litert"]
    for name, cell, mode in itertools.product(names, CELLS, ("inference", "training", "streaming")):
        precision = str(PEERS[name].precision)
        if missing(name) or mode not in PRECISIONS[precision]:
            continue
        with subtests.test(name=name, cell=cell, mode=mode):
            data = problem(small(cell, mode))
            if {cell, mode, f"{cell} {mode}"} & set(LACKS.get(name, ())):
                with pytest.raises(NotApplicableError):
                    make(name, data, 1)
                continue
            call, reference = make(name, data, 1), make(FLOAT32, data, 1)
            allowed = tolerance(replace(data.case, precision=precision))
            error = allowed * check(call.read(call.run()), reference.read(reference.run()), allowed)
            assert (error > 1e-4) == (precision != "highest")
    assert signal_stack() == before  # one that a library frees with its model crashes at the next Ctrl-C


def test_a_peer_outside_its_precision_is_not_timed(monkeypatch: pytest.MonkeyPatch) -> None:
    case = replace(small("lstm", "inference"), precision="bfloat16")
    allowed = tolerance(case)
    scales = {"torch-bf16": 1 - 0.9 * allowed, "openvino-bf16": 1 - 1.1 * allowed}

    def scaled(name: str, data: Problem, threads: int) -> Call:
        call = make(name if name == OURS else FLOAT32, data, threads)
        return Call(call.run, lambda result: {"y": scales.get(name, 1.0) * call.read(result)["y"]})

    monkeypatch.setattr(measure, "make", scaled)
    found = measure.measure(case, [FLOAT32, *scales], 1, 1e-3, limits.Speed(100.0))
    assert set(found.times) == {OURS, FLOAT32, "torch-bf16"}
    assert set(found.disagreed) == {"openvino-bf16"}
    assert found.best_peer == "torch-bf16"
    assert found.errors[FLOAT32] == 0.0
    assert found.errors["torch-bf16"] == pytest.approx(0.9 * allowed)
    assert 0.0 < found.errors[OURS] < allowed
    assert Row.of(json.loads(json.dumps(found.plain()))).case == case
    assert summary.mean([found], summary.best_ratio) is None


@pytest.mark.parametrize("name", VARIANTS)
def test_variants_stand_beside_the_plain_layer_and_torch(name: str) -> None:
    case = Case("lstm", Shape(name, 4, 3, 5, 80, modes=("variants",), cells=("lstm",)), "variants")
    row = measure.measure(case, ["torch"], 1, 1e-3)
    assert not row.disagreed
    known = name in ("peephole", "projection", "ragged") and not missing("torch")
    assert set(row.times) == {OURS, "plain"} | ({"torch"} if known else set())
    assert (row.valid < 1) == (name == "ragged")
    assert row.best_peer == ("torch" if known else None)


def test_denormal_values_bring_a_flushing_torch() -> None:
    pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    case = Case("lstm", replace(SMALL, denormal=True), "training")
    row = measure.measure(case, ["torch"], 1, 1e-3)
    assert set(row.times) == {OURS, "torch", "torch-flush"}


# Time


def test_peers_take_turns() -> None:
    order: list[str] = []
    runs = {name: lambda name=name: order.append(name) for name in "abc"}
    times = take_turns(runs, 1e-9)
    assert {len(rounds) for rounds in times.values()} == {MIN_ROUNDS}
    turns = [name for at, name in enumerate(order) if at == 0 or order[at - 1] != name]
    assert "".join(turns) == "abc" + "abc" + "bca" + "cab"  # one call each before the rounds


def test_timing_counts_steps() -> None:
    assert timing([3e-6, 1e-6, 8e-6], per_call=2) == Timing(median=1.5, minimum=0.5)


# Limits


def row(case: Case, threads: int = 1, peak: float = 100.0, **medians: float) -> Row:
    """A row with these medians in microseconds."""
    times = {name: Timing(median, 0.9 * median) for name, median in medians.items()}
    return Row(case, threads, times, limits.limits(case, threads, limits.Speed(peak)))


PLAIN = Case("lstm", Shape("", 100, 64, 128, 128), "training")
US = 1e3 * PLAIN.gflop / 100.0 * 1e3  # at the peak of `row`


@pytest.mark.parametrize(
    ("case", "total", "again"),
    [
        (Case("lstm", Shape("", 10, 2, 3, 5), "inference"), 4 * 4 * 5 * (3 + 10 * 5), 4 * 4 * 5 * 5),
        (Case("gru", Shape("", 10, 2, 3, 5), "training"), 2 * 4 * 3 * 5 * (3 + 10 * 5), 4 * 3 * 5 * 5),
        (Case("rnn", Shape("", 1, 1, 3, 5), "streaming"), 4 * 5 * (3 + 5), 4 * 5 * (3 + 5)),
        (Case("rnn", Shape("", 1, 1, 3, 5), "inference"), 4 * 5 * (3 + 5), 4 * 5 * (3 + 5)),
        # Two directions; the second layer reads both directions.
        (Case("rnn", SMALL, "inference"), 4 * 2 * 5 * (4 + 10 + 2 * 3 * 5), 4 * 5 * 5),
    ],
)
def test_bytes_that_a_case_reads(case: Case, total: int, again: int) -> None:
    assert limits.read_bytes(case) == total
    assert limits.reread_bytes(case) == again


def test_the_read_rate_is_that_of_the_cache_that_holds_the_weights() -> None:
    speed = limits.Speed(100.0, {16: 50.0, 32: 80.0, 64: 20.0})
    assert speed.read_rate(20) == 80.0  # a larger array is read faster than the array of 16 bytes
    assert speed.read_rate(63) == 80.0
    assert speed.read_rate(1e6) == 20.0
    assert limits.Speed(100.0).read_rate(20) == 0.0


def test_the_limit_is_the_longer_time() -> None:
    case = Case("lstm", Shape("", 100, 1, 128, 128), "inference")
    fast, slow = limits.Speed(100.0, {1: 1e3}), limits.Speed(100.0, {1: 1.0})
    for speed, name in ((fast, "compute"), (slow, "memory")):
        times = limits.limits(case, 2, speed)
        assert times["compute"] == pytest.approx(1e6 * case.gflop / 200.0)
        found = Row(case, 2, {OURS: Timing(2 * times[name], 0.0)}, times)
        assert found.limit == name
        assert found.share == pytest.approx(0.5)
    assert 2 * limits.limits(case, 2, slow)["memory"] == pytest.approx(1e-3 * limits.read_bytes(case))


def test_reduced_precision_reads_fewer_bytes_and_multiplies_faster() -> None:
    speed = limits.Speed(100.0, {1: 10.0}, {"bfloat16": 2.0})  # this CPU emulates int8
    times = {
        precision: limits.limits(Case("gru", Shape("", 1, 1, 64, 64), "streaming", precision), 1, speed)
        for precision in limits.BYTES
    }
    assert times["highest"]["compute"] == 2 * times["bfloat16"]["compute"] == times["int8"]["compute"]
    assert times["highest"]["memory"] == 2 * times["bfloat16"]["memory"] == 4 * times["int8"]["memory"]


def test_options_have_no_limit() -> None:
    found = row(replace(PLAIN, mode="variants"), bptt=1.0)
    assert found.limit is None
    assert found.share is None


def test_the_speed_of_a_thread_is_measured() -> None:
    assert machine.read_bandwidth(machine.READ_SIZES[0]) > 0


def test_means_leave_out_denormal_values_and_options() -> None:
    shape = PLAIN.shape
    rows = [
        row(PLAIN, bptt=US, torch=2 * US),
        row(replace(PLAIN, shape=replace(shape, name="b")), bptt=4 * US, torch=32 * US, jax=99 * US),
        row(replace(PLAIN, shape=replace(shape, denormal=True)), bptt=1, torch=1e6),
        row(replace(PLAIN, mode="variants"), bptt=1, torch=1e6),
        row(PLAIN, bptt=4 * US),
    ]
    assert summary.mean(rows, summary.best_ratio) == pytest.approx(4.0)
    assert summary.mean(rows[:2], summary.share) == pytest.approx(0.5)
    assert summary.mean(rows[2:], summary.torch_ratio) is None
    assert summary.lines(rows[:2]) == [
        "lstm training, 1 thread(s): 4.00 times as fast as the best competitor, 50% of the limit"
        " (geometric means)"
    ]


def test_one_thread_meets_nobody() -> None:
    bptt.set_num_threads(1)
    assert machine.barrier() == 0.0


def test_two_threads_stand_beside_one_where_the_batch_is_large() -> None:
    many = small("lstm", "training")
    many = replace(many, shape=replace(many.shape, B=DIVIDED_ROWS))
    for case, count in ((many, 1), (many, 2), (small("lstm", "training"), 2)):
        found = measure.measure(case, [], count, 1e-3)
        joins = case is many and count == 2
        assert set(found.times) == {OURS} | ({"one-thread"} if joins else set())
        assert found.best_peer is None


# Results


def findings() -> session.Findings:
    rows = [
        row(PLAIN, bptt=2 * US, torch=2.5 * US, jax=9 * US),
        row(PLAIN, threads=2, bptt=US, torch=2.5 * US, **{"one-thread": 2 * US}),
        replace(row(replace(PLAIN, mode="variants"), bptt=2, plain=1), valid=0.5, barrier=80),
    ]
    taken = memory.Memory(PLAIN, 1, rise=9 * 2**20, tape=6 * 2**20, parameters=2**20, result=2**20)
    about = {"processor": "a CPU", "system": "an OS", "isa": "avx2", "peak": 100.0, "load": 0.0}
    return session.Findings(about | {"versions": {"bptt": "1", "torch": "2"}}, rows, [taken])


def test_results_survive_a_file(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    results.save(path, findings(), "the command")
    text = path.read_text(encoding="utf-8")
    loaded = results.load(path)
    assert loaded.plain() == findings().plain()
    assert loaded.rows[0].case == PLAIN
    assert loaded.rows[0].share == pytest.approx(0.5, rel=1e-4)  # files hold times of five digits
    assert loaded.rows[2].valid == 0.5
    assert json.loads(text)["command"] == "the command"
    assert sum('"cell"' in line for line in text.splitlines()) == len(findings().rows) + 1  # one line each


def test_lines_have_one_heading_per_group() -> None:
    shown = lines.Lines(["torch", "jax"])
    first, second, _ = (shown(found) for found in findings().rows)
    assert "lstm training, 1 thread" in first
    assert "lstm training, 2 thread" in second
    assert shown(findings().rows[2]).count("\n") == 0
    assert first.split()[-3:] == ["1.25", "50%", "compute"]


# Running it


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every grid is one tiny shape, and nobody else takes part."""
    shapes = (replace(SMALL, modes=("inference", "memory")),)
    for module in (compare, cli_bench):
        monkeypatch.setattr(module, "QUICK", shapes)
        monkeypatch.setattr(module, "GRID", shapes)
    monkeypatch.setattr(cli_bench, "DEFAULT", ())
    monkeypatch.setattr(cli_bench, "REDUCED", dict.fromkeys(cli_bench.REDUCED, ()))


USAGE = {
    "unknown cell": ["--cells", "lstm,elman"],
    "no mode": ["--modes", ","],
    "zero threads": ["--threads", "1,0"],
    "too many threads": ["--threads", str(len(machine.cores()) + 1), "--quick"],
    "no time": ["--seconds", "0"],
    "unknown instruction set": ["--isa", "mmx"],
    "nothing left": ["--shapes", "no such shape"],
    "no such folder": ["--json", "no/such/folder/x.json"],
}


@pytest.mark.parametrize("arguments", USAGE.values(), ids=USAGE)
def test_usage_errors(arguments: list[str], tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        compare.main(arguments)
    assert stop.value.code == 2
    lines = capsys.readouterr().err.splitlines()
    # Peers that are not installed have a line each, of their own.
    assert len([line for line in lines if not line.startswith("without ")]) == 1


def test_list(capsys: pytest.CaptureFixture[str]) -> None:
    assert compare.main(["--quick", "--cells", "gru", "--modes", "streaming", "--list"]) == 0
    assert capsys.readouterr().out == f"gru  streaming {QUICK[0]}\n"


def test_compare(tiny: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "out.json"
    options = [f"--json={path}", "--processor=made up", "--minutes=9"]
    run = ["--quick", "--cells=lstm", "--peers=", "--seconds=0.01", "--modes=inference,memory"]
    assert compare.main([*run, *options]) == 0
    printed = capsys.readouterr()
    assert str(SMALL) in printed.out
    written = results.load(path)
    (found,) = written.rows
    assert found.share is not None
    assert found.share > 0
    assert set(found.limits) == {"compute", "memory"}
    assert len(written.memory) == memory.available()
    assert written.machine["processor"] == "made up"


def test_compare_stops_in_time(tiny: None, capsys: pytest.CaptureFixture[str]) -> None:
    run = ["--quick", "--peers=", "--seconds=0.01", "--modes=inference", "--minutes=0.00001"]
    assert compare.main([*run, "--cells=lstm,gru"]) == 0
    printed = capsys.readouterr()
    assert "gru" not in printed.out
    assert "minutes are over" in printed.err


def test_bptt_bench(tiny: None, bptt_command: CommandLine) -> None:
    arguments = ("bench", "--mode", "inference", "--seconds", "0.01", "--threads", "1")
    printed = bptt_command(*arguments)
    assert printed.code == 0
    assert str(SMALL) in printed.out
    assert "share of limit" in printed.out
    figures = bptt_command("bench", "--precision", "int8", *arguments[3:], "--json").figures
    assert figures["rows"][0]["mode"] == "inference"
    assert figures["rows"][0]["times"][OURS][0] > 0
    assert bptt_command("bench", "--mode", "iteration").code == 1
    refused = bptt_command("bench", "--precision", "int8", "--mode", "training")
    assert refused.code == 1
    assert "--mode must be one of inference, streaming with --precision int8" in refused.err
    assert bptt_command("bench", "--threads", str(len(machine.cores()) + 1)).code == 1


def test_a_worker_that_dies_is_an_error() -> None:
    order = session.Order((Case("lstm", SMALL, "no such mode"),))
    with pytest.raises(session.WorkerError, match="code 1"):
        list(session.run(order, session.Findings()))


def test_peers_that_cannot_take_part_are_named() -> None:
    peers, left_out = session.peers_for(list(PEERS), isa="avx2")
    assert set(peers) | set(left_out) == set(PEERS)
    assert "onnxruntime" in left_out


def test_memory_counts_what_is_kept_once() -> None:
    if not memory.available():
        pytest.skip("the system does not tell how much is resident")
    T, B, H = SMALL.T, SMALL.B, SMALL.H
    per_row = {"lstm": 6, "rnn": 1}  # h, c and four gates; an RNN's gate is its h
    for cell, vectors in per_row.items():
        found = memory.measure(small(cell, "memory"), 1)
        assert found.tape == 4 * vectors * SMALL.layers * 2 * T * B * H
        assert found.result == 4 * T * B * SMALL.I


def test_streaming_counts_one_step() -> None:
    assert small("lstm", "streaming").per_call == STREAMED
    assert small("lstm", "training").per_call == 1


def test_kernels(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    script = Path(__file__).parents[1] / "benchmarks" / "kernels.py"
    monkeypatch.setattr("sys.argv", ["kernels.py", "--only", "activations", "--seconds", "0.001"])
    runpy.run_path(str(script), run_name="__main__")
    printed = capsys.readouterr().out
    assert all(f"{name}, " in printed for name in ("exp", "tanh", "sigmoid"))
