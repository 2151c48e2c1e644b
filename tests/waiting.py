"""Waiting in tests: no test looks at a clock, so none depends on what else the machine does."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable
from typing import Any

import pytest

PATIENCE = 120.0
"""Seconds before a test that waits counts as hung. No test that works waits for more than a moment."""


def wait_until(condition: Callable[[], bool], pause: float = 0.001) -> None:
    """Return when the condition holds."""
    for _ in range(int(PATIENCE / pause)):
        if condition():
            return
        time.sleep(pause)
    pytest.fail("the condition still does not hold")


def interrupted(call: Callable[[], Any], signals: int = 3) -> None:
    """
    Raise KeyboardInterrupt at the last of the `signals` that arrive during the call.

    Each SIGINT is sent as soon as Python has handled the one before. A call that ignores signals ends before
    it has heard the second one: then this returns. Call it from the main thread.
    """
    turns = threading.Semaphore(0)
    heard, ended = 0, False

    def send() -> None:
        for _ in range(signals):
            turns.acquire()
            if ended:
                return
            os.kill(os.getpid(), signal.SIGINT)

    def handle(number: int, frame: object) -> None:
        nonlocal heard
        if ended:
            return
        heard += 1
        if heard == signals:
            raise KeyboardInterrupt
        turns.release()

    sender = threading.Thread(target=send)
    before = signal.signal(signal.SIGINT, handle)
    try:
        sender.start()
        turns.release()
        call()
    finally:
        ended = True
        turns.release()
        sender.join()
        signal.signal(signal.SIGINT, before)
