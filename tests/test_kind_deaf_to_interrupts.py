"""Ctrl-C stops diagnoses while LAPACK, which ignores signals, is still at work."""

from __future__ import annotations

import _thread
import threading
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import bptt

X = np.zeros((50, 1, 3))


class LongCall:
    """A LAPACK function whose first call from a diagnosis sends SIGINT and does not end before `release`."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function = function
        self.release = threading.Event()
        self.ended = threading.Event()
        self.calls = 0

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        self.calls += 1
        if self.calls == 1:
            # In the main thread, Python's handler of the signal would wait for the end of LAPACK's call.
            assert threading.current_thread() is not threading.main_thread()
            _thread.interrupt_main()
            self.release.wait(60)
            self.ended.set()
        return self.function(*arguments, **options)


CALLS: dict[str, tuple[str, Callable[[bptt.RNN], Any]]] = {
    "lyapunov_spectrum": ("qr", lambda layer: bptt.lyapunov_spectrum(layer, X)),
    "spectral_radius": ("eigvals", bptt.spectral_radius),
}


@pytest.mark.parametrize("name", CALLS)
def test_a_diagnosis_stops_before_the_call_that_it_waits_for(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, call = CALLS[name]
    layer = bptt.RNN(3, 4, dtype="float64", seed=0)
    expected = call(layer)
    slow = LongCall(getattr(np.linalg, function))
    before = threading.active_count()
    with monkeypatch.context() as patch:
        patch.setattr(np.linalg, function, slow)
        with pytest.raises(KeyboardInterrupt):
            call(layer)
        assert not slow.ended.is_set()  # the caller has left, and the call still runs
        slow.release.set()
        for thread in threading.enumerate()[before:]:
            thread.join(60)
        assert slow.calls == 1  # no further step began after the signal
    np.testing.assert_array_equal(call(layer), expected)


def test_errors_of_the_thread_reach_the_caller(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: Any) -> None:
        raise np.linalg.LinAlgError("did not converge")

    monkeypatch.setattr(np.linalg, "eigvals", fail)
    with pytest.raises(np.linalg.LinAlgError, match="did not converge"):
        bptt.spectral_radius(bptt.RNN(3, 4))


def test_a_thread_of_the_user_may_diagnose() -> None:
    found: list[Any] = []
    layer = bptt.RNN(3, 4, seed=0)
    thread = threading.Thread(target=lambda: found.append(bptt.spectral_radius(layer)))
    thread.start()
    thread.join(60)
    np.testing.assert_array_equal(found[0], bptt.spectral_radius(layer))
