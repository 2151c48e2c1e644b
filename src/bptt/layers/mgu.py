"""Minimal gated unit."""

from __future__ import annotations

from typing import Any

from bptt.arguments import Seed
from bptt.layers.module import Init
from bptt.layers.recurrent import Recurrent


class MGU(Recurrent):
    """
    Minimal gated unit, gates f, n: a GRU of two thirds the size, whose one gate forgets and updates::

        f   = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)
        n   = tanh(W_in x_t + b_in + W_hn (f h_{t-1}) + b_hn)
        h_t = (1 - f) h_{t-1} + f n

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int
        Layers on top of each other; layer k > 0 reads the outputs of layer k - 1.
    bias : bool
        False: no b_ih, b_hh.
    batch_first : bool
        True: x, y and their gradients are (B, T, ...). States are (L*D, B, H) in any case.
    dropout : float
        Fraction of outputs dropped between layers, in [0, 1), in `forward` only. Without effect on one layer.
    bidirectional : bool
        True: a second set of weights reads the sequence from its end; D = 2 and y is (T, B, 2*H).
    layer_norm : bool
        True: normalise input and recurrent pre-activations, f and n separately, before they are added. Each
        has a gain (`weight_norm_ih_l{k}`, `weight_norm_hh_l{k}`) and its bias as offset.
    recurrent_dropout : float
        Probability, in [0, 1), that a unit of h_{t-1} does not enter the recurrent product, in `forward`
        only; one mask for the whole sequence.
    zoneout : float
        Probability, in [0, 1), that a unit keeps its old state at a step; at inference the expectation.
    init : str, Initialiser or callable
        "default": PyTorch's, every tensor uniform in +-1/sqrt(H). "orthogonal", "identity", "chrono",
        "glorot", "sparse", or one of `bptt.init` with its parameters; or init(name, shape, rng) -> array.
    precision : {"highest"}
        How products are computed.
    dtype : {"float32", "float64"}
        Type of parameters, states, outputs and gradients.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters and dropout masks.

    Raises
    ------
    TypeError
        An argument of the wrong kind.
    ValueError
        A value out of range, or sizes whose product overflows.

    References
    ----------
    Zhou, Wu, Zhang and Zhou (2016), Minimal gated unit for recurrent neural networks.
    Layer norm: Ba, Kiros and Hinton (2016). Dropout: Gal and Ghahramani (2016), A theoretically grounded
    application of dropout in recurrent neural networks. Zoneout: Krueger et al. (2017).
    """

    gate_count = 2
    memory_gates = ((0, -1),)

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        zoneout: float = 0.0,
        init: Init = "default",
        precision: str = "highest",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(
            "mgu",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout,
            zoneout=zoneout,
            init=init,
            precision=precision,
            dtype=dtype,
            seed=seed,
        )
