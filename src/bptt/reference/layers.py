"""The reference as layers: `bptt.RNN`, `LSTM`, `GRU` and `MGU`, computed in NumPy."""

from __future__ import annotations

import inspect
from functools import partial
from typing import Any, ClassVar, cast

from bptt.layers.activations import parse_nonlinearity
from bptt.layers.gru import GRU as NativeGRU
from bptt.layers.lstm import LSTM as NativeLSTM
from bptt.layers.memory_blocks import MemoryBlocks as NativeMemoryBlocks
from bptt.layers.mgu import MGU as NativeMGU
from bptt.layers.passes.backend import Backend
from bptt.layers.recurrent_calls import RecurrentCalls
from bptt.layers.rnn import RNN as NativeRNN
from bptt.reference import gru, gru_reset_before, lstm, memory_blocks, mgu, rnn, stack
from bptt.reference.activations import Function, Gated
from bptt.reference.backend import ROUNDING_DTYPES, Described, NumPy


class ReferenceLayer(RecurrentCalls):
    """A recurrent layer that NumPy computes.

    `equations` returns its equations.
    """

    backend: ClassVar[str] = "reference"
    rounding_dtypes: ClassVar[tuple[str, ...]] = ROUNDING_DTYPES
    precision = "highest"  # of layers without this option
    native: ClassVar[type[RecurrentCalls]]
    """The native layer that this class is the reference of: the last base class."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.native = cls.__bases__[-1]
        # help() and editors show the native layer's arguments. Only the default of `dtype` differs.
        signature = inspect.signature(cls.native)
        arguments = [
            p.replace(default="float64") if p.name == "dtype" else p for p in signature.parameters.values()
        ]
        cls.__signature__ = signature.replace(parameters=arguments)  # type: ignore[attr-defined]

    def __init__(self, *args: Any, dtype: Any = "float64", **options: Any) -> None:
        super().__init__(*args, dtype=dtype, **options)  # type: ignore[misc]  # of the native layer

    def equations(self) -> stack.Cell:
        """Return the passes of the layer's cell, with the layer's options."""
        raise NotImplementedError

    def chunk_steps(self, batch: int) -> int:
        """Return the number of steps that the compiled core sums together."""
        return super()._backend().chunk_steps(batch)

    def _backend(self) -> Backend:
        return NumPy(cast("Described", self))


def _cell(equations: Any, **options: Any) -> stack.Cell:
    """Return the passes of a file with equations, with these options."""
    return stack.Cell(partial(equations.forward, **options), partial(equations.backward, **options))


def rnn_function(layer: NativeRNN) -> Function:
    """Return the function of a layer for the equations in `rnn`."""
    return Function(*parse_nonlinearity(layer.nonlinearity), layer.gate_clip)


def gated_options(layer: NativeGRU | NativeMGU) -> Gated:
    """Return the options of a layer for the equations in `gru`, `gru_reset_before` and `mgu`."""
    sigma, phi = (Function(*choice, layer.gate_clip) for choice in layer.activations)
    return Gated(sigma, phi)


def lstm_options(layer: NativeLSTM) -> lstm.Options:
    """Return the options of a layer for the equations in `lstm`."""
    gates, candidate, output = layer.activations
    return lstm.Options(
        Function(*gates, layer.gate_clip),
        Function(*candidate, layer.gate_clip),
        Function(*output, layer.gate_clip if layer.clip_mode == "spec" else None),
        layer.cell_clip,
        layer.coupled,
        layer.forget_gate,
    )


class RNN(ReferenceLayer, NativeRNN):
    """`bptt.RNN` in NumPy, with the same parameters. The default `dtype` is float64.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> y, h = bptt.reference.RNN(3, 8, seed=0)(np.ones((20, 4, 3)))
    >>> y.shape, y.dtype
    ((20, 4, 8), dtype('float64'))
    """

    def equations(self) -> stack.Cell:
        return _cell(rnn, function=rnn_function(self))


class LSTM(ReferenceLayer, NativeLSTM):
    """`bptt.LSTM` in NumPy, with the same parameters. The default `dtype` is float64.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> y, (h, c) = bptt.reference.LSTM(3, 8, seed=0)(np.ones((20, 4, 3)))
    >>> y.shape, y.dtype
    ((20, 4, 8), dtype('float64'))
    """

    def equations(self) -> stack.Cell:
        return _cell(lstm, options=lstm_options(self))


class GRU(ReferenceLayer, NativeGRU):
    """`bptt.GRU` in NumPy, with the same parameters. The default `dtype` is float64.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> y, h = bptt.reference.GRU(3, 8, seed=0)(np.ones((20, 4, 3)))
    >>> y.shape, y.dtype
    ((20, 4, 8), dtype('float64'))
    """

    def equations(self) -> stack.Cell:
        return _cell(gru if self.reset_after else gru_reset_before, options=gated_options(self))


class MGU(ReferenceLayer, NativeMGU):
    """`bptt.MGU` in NumPy, with the same parameters. The default `dtype` is float64.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> y, h = bptt.reference.MGU(3, 8, seed=0)(np.ones((20, 4, 3)))
    >>> y.shape, y.dtype
    ((20, 4, 8), dtype('float64'))
    """

    def equations(self) -> stack.Cell:
        return _cell(mgu, options=gated_options(self))


class MemoryBlocks(ReferenceLayer, NativeMemoryBlocks):
    """`bptt.MemoryBlocks` in NumPy, with the same parameters. The default `dtype` is float64.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> y, (h, c) = bptt.reference.MemoryBlocks(3, blocks=4, cells=2, seed=0)(np.ones((20, 4, 3)))
    >>> y.shape, y.dtype
    ((20, 4, 8), dtype('float64'))
    """

    def equations(self) -> stack.Cell:
        options = memory_blocks.Options(self.cells, self.squash, self.gradient == "truncated")
        return _cell(memory_blocks, options=options)
