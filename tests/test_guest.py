"""A polite guest: what the library leaves alone in its process, and that it survives what happens there."""

import gc
import os
import signal
import subprocess
import sys
import threading

import numpy as np
import pytest
from tests.cells import CELLS, build
from tests.waiting import PATIENCE, interrupted

import bptt

X = np.random.default_rng(0).normal(size=(40, 64, 48)).astype(np.float32)


def step(layer):
    """One training step of work that a team of threads is given, and its gradient."""
    layer.zero_grad()
    y, _, tape = layer.forward(X)
    layer.backward(tape, np.ones_like(y))
    return layer.flat_gradients.copy()


def python(code, **options):
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, **options
    ).stdout


FORK = """
import os, numpy as np, bptt
bptt.set_num_threads(2)
x = np.random.default_rng(0).normal(size=(40, 64, 48)).astype(np.float32)
layer = bptt.LSTM(48, 64, seed=1)

def gradient():
    layer.zero_grad()
    y, _, tape = layer.forward(x)
    layer.backward(tape, np.ones_like(y))
    return layer.flat_gradients.copy()

expected = gradient()
child = os.fork()
if child == 0:
    os._exit(0 if np.array_equal(gradient(), expected) else 1)
print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), np.array_equal(gradient(), expected))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the system cannot fork")
def test_a_forked_child_and_its_parent_compute_the_same():
    assert python(FORK, timeout=PATIENCE).split() == ["0", "True"]


def test_no_threads_before_work_needs_them():
    code = "import bptt, os; print(len(os.listdir('/proc/self/task')))"
    if not os.path.isdir("/proc/self/task"):
        pytest.skip("only Linux lists a process's threads here")
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1"}  # NumPy's own threads are not ours
    assert int(python(code, env=environment)) == 1


def test_subnormal_numbers_survive_outside():
    smallest = np.float32(1e-45)
    step(build("gru", 48, 64))
    assert smallest + np.float32(0) == smallest
    assert np.float32(1e-30) * np.float32(1e-10) != 0


@pytest.mark.parametrize("cell", CELLS)
def test_threads_may_share_a_layer_for_inference(cell):
    bptt.set_num_threads(2)
    layer = build(cell, 48, 64)
    expected, _ = layer(X)
    wrong = []

    def work():
        for _ in range(5):
            y, _ = layer(X)
            if not np.array_equal(y, expected):
                wrong.append(1)

    threads = [threading.Thread(target=work) for _ in range(7)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_ctrl_c_stops_a_long_call_and_the_layer_stays_usable():
    layer = build("lstm", 1, 256)
    x = np.zeros((30_000, 4, 1), np.float32)
    before = layer.flat_parameters.copy()
    with pytest.raises(KeyboardInterrupt):
        interrupted(lambda: layer(x))
    np.testing.assert_array_equal(layer.flat_parameters, before)
    y, _ = layer(x[:2])
    assert np.isfinite(y).all()


def resident_bytes():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not os.path.isdir("/proc/self"), reason="reads the resident size from /proc")
def test_memory_does_not_grow():
    layer = build("lstm", 8, 16)
    x = np.zeros((5, 2, 8), np.float32)

    def many(calls):
        for _ in range(calls):
            y, _, tape = layer.forward(x)
            layer.backward(tape, y)
        gc.collect()
        return resident_bytes()

    settled = many(500)
    assert many(10_000) - settled < 1 << 20  # 10,000 leaked tapes would be some 30 MB


def test_two_threads_may_not_add_to_the_same_gradients_at_once():
    layer = build("lstm", 64, 256)
    y, _, tape = layer.forward(np.zeros((100, 32, 64), np.float32))
    dy = np.ones_like(y)
    layer.zero_grad()
    layer.backward(tape, dy)
    once = layer.flat_gradients.copy()
    refused = []

    def work():
        try:
            layer.backward(tape, dy)
        except RuntimeError as error:
            refused.append(str(error))

    for _ in range(50):  # a busy machine may run the threads one after another
        layer.zero_grad()
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        if refused:
            break
    assert refused
    assert all("another call is adding to these gradients" in message for message in refused)
    added = len(threads) - len(refused)
    np.testing.assert_allclose(layer.flat_gradients, added * once, rtol=1e-5)


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="the system has no interval timers")
def test_a_signal_handler_in_the_middle_of_a_call_computes_as_ever():
    layer = build("lstm", 1, 256)
    x = np.zeros((20_000, 4, 1), np.float32)
    kept = []

    def handler(*_):
        kept.append(np.float32(1e-30) * np.float32(1e-10) != 0)  # subnormal: the call itself flushes those

    before = signal.signal(signal.SIGALRM, handler)
    signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)
    try:
        layer(x)
        during = len(kept)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert during
    assert all(kept)


EXIT = """
import threading, numpy as np, bptt
bptt.set_num_threads(2)
layer = bptt.LSTM(48, 64, seed=1)
x = np.zeros((40, 64, 48), np.float32)
running = threading.Event()

def work():
    while True:
        layer(x)
        running.set()

threading.Thread(target=work, daemon=True).start()
running.wait()
print("done", flush=True)
"""


def test_a_process_ends_while_a_daemon_thread_computes():
    for _ in range(8):  # what went wrong here took some tries
        assert python(EXIT, timeout=PATIENCE) == "done\n"


BLOCKED = """
import os, numpy as np, bptt
bptt.set_num_threads(2)
layer = bptt.LSTM(48, 64, seed=1)
layer(np.zeros((40, 64, 48), np.float32))
for task in os.listdir("/proc/self/task"):
    if int(task) != os.getpid():
        with open(f"/proc/self/task/{task}/status") as file:
            print(next(line.split()[1] for line in file if line.startswith("SigBlk")))
"""


@pytest.mark.skipif(not os.path.isdir("/proc/self/task"), reason="reads signal masks from /proc")
def test_signals_are_left_to_the_threads_of_the_host():
    masks = python(BLOCKED, env=os.environ | {"OPENBLAS_NUM_THREADS": "1"}).split()
    assert masks
    for mask in masks:
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGALRM, signal.SIGCHLD):
            assert int(mask, 16) >> (number - 1) & 1
