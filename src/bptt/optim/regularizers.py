"""Regularizers: terms added to the loss, against gradients that vanish or explode through time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import real
from bptt.layers import RNN, Module
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.passes.tape import ModelTape, RecurrentTape, Tape

Array = npt.NDArray[Any]

LEAST = 1e-20
"""Squared norm of an error below which the direction of the error says nothing."""


BLOCK = 1 << 16
"""Bytes of errors per block. The intermediate results of a block stay in the cache."""


class PascanuRegularizer:
    """Push the recurrent weights of every `RNN` to preserve the norm of errors through time.

    Each layer and direction adds this term. d_t is the total dL/dh_t of one row, f'_t is the slope of the
    activation at step t, and U are the recurrent weights::

        Omega = mean over steps and rows of (|U^T (f'_t (.) d_t)|^2 / |d_t|^2 - 1)^2

    Steps with `|d_t|^2` < 1e-20 do not count. Only U gets a gradient from this term. Errors and slopes are
    treated as constants, as in the authors' code. All other steps count. After a reset or the initial state,
    a step counts with the error that the weights would pass back.

    Parameters
    ----------
    weight : float
        Factor of Omega, above 0. The authors use 4 on the temporal order task.

    Attributes
    ----------
    omega : float
        Omega of the last backward pass, without the weight, summed over layers and directions; NaN before the
        first pass. With `accumulate`, or with a pair for `truncate`, an update consists of several passes.

    Raises
    ------
    TypeError, ValueError
        `weight` is not a number above 0.

    References
    ----------
    Pascanu, Mikolov and Bengio (2013), On the difficulty of training recurrent neural networks,
    arXiv:1211.5063, section 3.3. The norms in Omega's ratio are not squared in the paper. They are squared in
    the authors' code, and here.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> data = [(np.ones((20, 4, 3)), np.zeros((20, 4, 8)))]  # one batch
    >>> loss, regularizer = bptt.MeanSquaredError(), bptt.PascanuRegularizer(4.0)
    >>> trainer = bptt.Trainer(bptt.RNN(3, 8), loss, bptt.SGD(), regularizer=regularizer)
    >>> history = trainer.fit(data)
    >>> regularizer.omega > 0
    True
    """

    def __init__(self, weight: float = 4.0) -> None:
        self.weight = real(weight, "weight", 0.0, above=True)
        self.omega = float("nan")

    def check(self, model: Module) -> None:
        """Raise ValueError if the regularizer cannot be used with a model.

        Raises
        ------
        ValueError
            The model has no RNN, or an RNN with layer norm, recurrent dropout, zoneout, a gate clip, or a
            nonlinearity other than tanh and relu.
        """
        layers = [layer for layer in iter_layers(model) if isinstance(layer, RNN)]
        if not layers:
            raise ValueError(
                f"regularizer requires an RNN in the model; got {model!r}. Fix: leave the regularizer out; "
                "the gates of LSTM and GRU do its work."
            )
        for layer in layers:
            if layer.layer_norm or layer.recurrent_dropout or layer.zoneout:
                raise ValueError(
                    "regularizer requires RNNs without layer_norm, recurrent_dropout and zoneout; got "
                    f"{layer!r}. Fix: leave out the regularizer, or these options of the layer."
                )

            if layer.nonlinearity not in ("tanh", "relu") or layer.gate_clip is not None:
                raise ValueError(
                    'regularizer requires RNNs with nonlinearity "tanh" or "relu" and without gate_clip; got '
                    f"{layer!r}. Fix: leave out the regularizer, or these options of the layer."
                )

    def __call__(self, tape: Tape, fraction: float = 1.0) -> float:
        """Add the gradient of this term to the gradients of the layers.

        Parameters
        ----------
        tape : Tape
            Tape of a backward pass with `keep_errors=True`.
        fraction : float
            Factor of this term's gradient if several passes accumulate into the same gradients.

        Returns
        -------
        float
            weight * Omega.
        """
        self.omega = 0.0
        for part in _recurrent(tape):
            layer = part.owner
            if not (isinstance(layer, RNN) and layer.trainable):
                continue
            if part.dh is None:
                raise ValueError(
                    "tape must hold the errors of every step; got one whose backward pass did not keep them. "
                    "Fix: call backward(..., keep_errors=True)."
                )
            names = [name for name in layer.gradients if name.startswith("weight_hh")]
            for name, h, dh in zip(names, part.h, part.dh, strict=True):
                value, gradient = omega(dh, h, layer.parameters[name], layer.nonlinearity == "relu")
                layer.gradients[name][...] += self.weight * fraction * gradient
                self.omega += value
        return self.weight * self.omega


def omega(dh: Array, h: Array, weights: Array, relu: bool = False) -> tuple[float, Array]:
    """Return Omega of one layer and direction, and its gradient.

    Parameters
    ----------
    dh, h : ndarray
        (T, B, H): errors of the states, and the states. The states give the slope of the activation.
    weights : ndarray
        (H, H).
    relu : bool
        True if the activation is relu, False if the activation is tanh.

    Returns
    -------
    value : float
    gradient : ndarray
        (H, H): gradient of `weights`, with errors and slopes as constants.
    """
    gradient, total, counted = np.zeros_like(weights), 0.0, 0
    transposed = np.ascontiguousarray(weights.T)
    errors, states = (array.reshape(-1, array.shape[-1]) for array in (dh, h))
    rows = max(1, BLOCK // transposed[0].nbytes)
    for begin in range(0, len(errors), rows):
        block = slice(begin, begin + rows)
        state = np.ascontiguousarray(states[block], weights.dtype)
        slope = (state > 0).astype(weights.dtype) if relu else 1 - state * state
        units, count = _core.unit_errors(np.ascontiguousarray(errors[block], weights.dtype), slope, LEAST)
        units = units[:count]
        back = _core.linear_forward(units, transposed, None)
        total += _core.weigh_by_excess(back, units)
        _core.linear_backward(back, weights, units, gradient, None, False)
        counted += count
    return (total / counted, gradient / counted) if counted else (0.0, gradient)


def _recurrent(tape: Tape) -> Iterator[RecurrentTape]:
    if isinstance(tape, ModelTape):
        for part in tape.tapes:
            yield from _recurrent(part)
    elif isinstance(tape, RecurrentTape):
        yield tape
