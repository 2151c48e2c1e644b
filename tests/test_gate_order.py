"""Blocks of gates move to where another library expects them."""

from __future__ import annotations

import numpy as np
import pytest

from bptt.interop import gate_order


def test_every_order_leads_back_on_every_axis(subtests: pytest.Subtests) -> None:
    orders = (gate_order.BPTT, gate_order.KERAS, gate_order.ONNX, gate_order.EQUINOX, gate_order.FLAX)
    for order in orders:
        for cell, gates in order.items():
            shape = (2 * len(gates), 3 * len(gates))
            array = np.arange(np.prod(shape)).reshape(shape)
            for axis in (0, 1, -1):
                with subtests.test(gates=gates, axis=axis):
                    moved = gate_order.reorder(array, gate_order.BPTT[cell], gates, axis)
                    blocks = np.split(moved, len(gates), axis)
                    expected = np.split(array, len(gates), axis)
                    for gate, block in zip(gates, blocks, strict=True):
                        np.testing.assert_array_equal(block, expected[gate_order.BPTT[cell].index(gate)])
                    np.testing.assert_array_equal(
                        gate_order.reorder(moved, gates, gate_order.BPTT[cell], axis), array
                    )


def test_wrong_blocks_raise() -> None:
    with pytest.raises(ValueError, match="multiple of the 3 gates zrn; got shape \\(4,\\)"):
        gate_order.reorder(np.arange(4), "zrn", "rzn")
    with pytest.raises(ValueError, match="only the gates ifgo; got 'ifx'"):
        gate_order.reorder(np.arange(4), "ifgo", "ifx")
    np.testing.assert_array_equal(gate_order.reorder(np.arange(4), "ifgo", "fgo"), [1, 2, 3])
