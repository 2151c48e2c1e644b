"""Memory of tapes and scratch is recycled: a training loop that runs asks the system for no more of it."""

import sys

import numpy as np
import pytest

import bptt

resource = pytest.importorskip("resource", reason="page faults are counted by the system's resource module")


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="faults are counted as Linux counts them")
@pytest.mark.parametrize("num_layers", [1, 2, 3])
@pytest.mark.parametrize("cell", [bptt.LSTM, bptt.GRU, bptt.RNN])
def test_a_training_loop_faults_no_pages_in(cell, num_layers):
    """
    The last tape is still held while the next forward pass runs, as in the loop that everybody writes.

    A tape here is hundreds of pages: below ten faults an iteration none of its arrays is made anew.
    """
    bptt.set_num_threads(1)
    layer = cell(40, 40, num_layers=num_layers, seed=0)
    x = np.ones((48, 32, 40), np.float32)
    dy = np.ones((48, 32, 40), np.float32)

    def loop(iterations):
        for _ in range(iterations):
            layer.zero_grad()
            _, _, tape = layer.forward(x)
            layer.backward(tape, dy)

    loop(10)
    before = faults()
    loop(20)
    assert faults() - before < 200
