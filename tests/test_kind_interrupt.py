"""Deaf to Ctrl-C: every long native call stops soon after the signal, and its object stays usable.

A call must hear several signals before it ends. A busy machine makes it hear more of them.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
from tests.cells import build
from tests.waiting import interrupted

import bptt

WHOLE = 0.6
"""Seconds of processor time that a call would take. The core looks for signals every 50 ms."""

Call = Callable[[], Any]


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


def blocks_backward() -> tuple[Callable[[int], Call], int]:
    layer = bptt.MemoryBlocks(8, 32, 2)

    def make(n: int) -> Call:
        y, _, tape = layer.forward(zeros(n, 2, 8))
        return partial(layer.backward, tape, y)

    return make, 50


CASES: dict[str, tuple[Callable[..., tuple[Callable[[int], Call], int]], Any, dict[str, Any]]] = {
    "lstm": (infer, ("lstm",), {}),
    "gru": (infer, ("gru",), {}),
    "rnn": (infer, ("rnn_tanh",), {}),
    "mgu": (infer, ("mgu",), {}),
    "layer norm": (infer, ("lstm",), {"layer_norm": True}),
    "bidirectional": (infer, ("gru",), {"bidirectional": True}),
    "ragged": (ragged, ("lstm",), {}),
    "forward": (forward, ("lstm",), {}),
    "recomputed": (forward, ("gru",), {"checkpoint": 64}),
    "backward": (backward, ("lstm",), {}),
    "backward with layer norm": (backward, ("gru",), {"layer_norm": True}),
    "memory blocks backward": (blocks_backward, (), {}),
    "stream.run": (stream, ("lstm",), {}),
    "stream.run with layer norm": (stream, ("gru",), {"layer_norm": True}),
    "Linear": (linear_forward, (), {}),
    "Linear backward": (linear_backward, (), {"need_dx": False}),
    "Linear backward with dx": (linear_backward, (), {"need_dx": True}),
}


@pytest.mark.parametrize("name", CASES)
def test_native_calls_hear_ctrl_c(name):
    bptt.set_num_threads(1)
    entry, arguments, options = CASES[name]
    make, n = entry(*arguments, **options)
    small = make(n)
    small()
    started = time.thread_time()
    expected = small()
    took = max(time.thread_time() - started, 1e-6)
    with pytest.raises(KeyboardInterrupt):
        interrupted(make(n * math.ceil(WHOLE / took)))
    np.testing.assert_equal(small()[0], expected[0])  # it works as before


def test_a_long_step_of_a_stream_lets_other_threads_run():
    """While a step keeps the GIL, a thread that yields after every count counts at most once per step."""
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
    end = counts[0] + 400
    steps = 0
    while counts[0] <= end and steps < 100:
        stream.step()
        steps += 1
    reached = counts[0]
    done.set()
    worker.join()
    assert reached > end


SECOND_CALLS: dict[str, Callable[[Any], object]] = {
    "step": lambda stream: stream.step(),
    "run": lambda stream: stream.run(zeros(1, 64, 256)),
    "reset": lambda stream: stream.reset(),
    "reading the state": lambda stream: stream.state,
    "writing the state": lambda stream: setattr(stream, "state", (zeros(1, 64, 256), zeros(1, 64, 256))),
}


@pytest.mark.parametrize("second", SECOND_CALLS)
def test_a_stream_refuses_two_calls_at_once(second):
    """The second call comes while the first steps without the GIL, and may not touch the state."""
    stream = bptt.LSTM(256, 256, seed=0).stream(64)
    x = zeros(100, 64, 256) + np.float32(0.5)
    expected = stream.run(x)
    stream.reset()
    errors = set()

    def attempt(call: Call) -> None:
        try:
            call()
        except RuntimeError as error:
            errors.add(str(error))

    for _ in range(50):  # a busy machine may run one thread after the other
        worker = threading.Thread(target=attempt, args=(partial(stream.run, x),))
        worker.start()
        while worker.is_alive() and not errors:
            attempt(partial(SECOND_CALLS[second], stream))
        worker.join()
        if errors:
            break
    assert len(errors) == 1
    assert errors.pop().startswith(
        "stream must serve one call at a time; got a call while another one runs. Fix: "
    )
    stream.reset()
    np.testing.assert_array_equal(stream.run(x), expected)
