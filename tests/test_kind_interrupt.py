"""Deaf to Ctrl-C: every long native call stops soon after the signal, and its object stays usable.

A test compares the processor time that a call spends after the signal with that of the whole call. A busy
machine changes neither.
"""

from __future__ import annotations

import math
import os
import signal
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.cells import build

import bptt

WHOLE = 0.4
"""Seconds of processor time that a call would take. The core asks every 50 ms whether to stop."""

Call = Callable[[], Any]


def processor_time() -> float:
    """Of the main thread, from whichever thread asks."""
    return time.clock_gettime(time.pthread_getcpuclockid(threading.main_thread().ident))


def zeros(*shape: int) -> np.ndarray:
    array = np.zeros(shape, np.float32)
    array.flags.writeable = False  # a tape keeps it without a copy
    return array


def infer(cell: str, **options: Any) -> tuple[Callable[[int], Call], int]:
    layer = build(cell, 8, 256, **options)
    return lambda n: partial(layer, zeros(n, 2, 8)), 50


def ragged(cell: str) -> tuple[Callable[[int], Call], int]:
    layer = build(cell, 8, 256)
    return lambda n: partial(layer, zeros(n, 2, 8), lengths=[n, n // 2]), 50


def forward(cell: str, **options: Any) -> tuple[Callable[[int], Call], int]:
    layer = build(cell, 8, 256)
    return lambda n: partial(layer.forward, zeros(n, 2, 8), **options), 50


def backward(cell: str, **options: Any) -> tuple[Callable[[int], Call], int]:
    layer = build(cell, 8, 256, **options)

    def make(n: int) -> Call:
        y, _, tape = layer.forward(zeros(n, 2, 8))
        return partial(layer.backward, tape, y)

    return make, 50


def stream(cell: str, **options: Any) -> tuple[Callable[[int], Call], int]:
    """60 long steps."""
    layer = build(cell, 256, 256, **options)

    def make(n: int) -> Call:
        steps, x = layer.stream(8 * n), zeros(60, 8 * n, 256)

        def run() -> Any:
            steps.reset()
            return steps.run(x)

        return run

    return make, 1


def linear_forward() -> tuple[Callable[[int], Call], int]:
    """Few long rows."""

    def make(n: int) -> Call:
        layer = bptt.Linear(1024, 64 * n)
        return partial(layer, zeros(1000, 1024))

    return make, 2


def linear_backward(need_dx: bool) -> tuple[Callable[[int], Call], int]:
    def make(n: int) -> Call:
        layer = bptt.Linear(1024, 64 * n)
        *_, tape = layer.forward(zeros(1000, 1024))
        return partial(layer.backward, tape, zeros(1000, 64 * n), need_dx=need_dx)

    return make, 2


CASES: dict[str, tuple[Callable[..., tuple[Callable[[int], Call], int]], Any, dict[str, Any]]] = {
    "lstm": (infer, ("lstm",), {}),
    "gru": (infer, ("gru",), {}),
    "rnn": (infer, ("rnn_tanh",), {}),
    "mgu": (infer, ("mgu",), {}),
    "layer norm": (infer, ("lstm",), {"layer_norm": True}),
    "bidirectional": (infer, ("gru",), {"bidirectional": True}),
    "ragged": (ragged, ("lstm",), {}),
    "forward": (forward, ("lstm",), {}),
    "checkpointed": (forward, ("gru",), {"checkpoint": 64}),
    "backward": (backward, ("lstm",), {}),
    "backward with layer norm": (backward, ("gru",), {"layer_norm": True}),
    "stream.run": (stream, ("lstm",), {}),
    "stream.run with layer norm": (stream, ("gru",), {"layer_norm": True}),
    "Linear": (linear_forward, (), {}),
    "Linear backward": (linear_backward, (), {"need_dx": False}),
    "Linear backward with dx": (linear_backward, (), {"need_dx": True}),
}


def work_after_signal(call: Call) -> float:
    """Processor time between SIGINT, sent as soon as the call lets another thread run, and its handler."""
    called, times = threading.Event(), []

    def send() -> None:
        called.wait()
        times.append(processor_time())
        os.kill(os.getpid(), signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        times.append(processor_time())
        raise KeyboardInterrupt

    sender = threading.Thread(target=send)
    before = signal.signal(signal.SIGINT, handle)
    try:
        sender.start()
        called.set()
        with pytest.raises(KeyboardInterrupt):
            call()
    finally:
        sender.join()
        signal.signal(signal.SIGINT, before)
    sent, handled = times
    return handled - sent


@pytest.mark.skipif(
    not hasattr(time, "pthread_getcpuclockid"), reason="reads another thread's processor time"
)
@pytest.mark.parametrize("name", CASES)
def test_native_calls_hear_ctrl_c(name):
    bptt.set_num_threads(1)
    entry, arguments, options = CASES[name]
    make, n = entry(*arguments, **options)
    small = make(n)
    small()
    started = processor_time()
    expected = small()
    took = max(processor_time() - started, 1e-6)
    n *= math.ceil(WHOLE / took)
    assert work_after_signal(make(n)) < WHOLE / 2
    np.testing.assert_equal(small()[0], expected[0])  # it works as before


def test_a_long_step_of_a_stream_lets_other_threads_run():
    """A thread that gives way after every count gets far unless the steps keep the GIL."""
    stream = bptt.LSTM(512, 512, seed=0).stream(64)
    begun, done, counts = threading.Event(), threading.Event(), [0]

    def count() -> None:
        begun.set()
        while not done.is_set():
            counts[0] += 1
            time.sleep(0)

    worker = threading.Thread(target=count)
    worker.start()
    begun.wait()
    before = counts[0]
    for _ in range(20):
        stream.step()
    done.set()
    counted = counts[0] - before
    worker.join()
    assert counted > 200


def test_a_stream_refuses_two_steps_at_once():
    stream = bptt.LSTM(256, 256, seed=0).stream(64)
    x = zeros(100, 64, 256)
    worker = threading.Thread(target=stream.run, args=(x,))
    worker.start()
    errors = set()
    while worker.is_alive():
        try:
            stream.step()
        except RuntimeError as error:
            errors.add(str(error))
    worker.join()
    assert errors == {"stream: another call is stepping it. Let one finish first"}
    stream.reset()
    assert np.isfinite(stream.run(x[:2])).all()
