"""The simple recurrent network of Elman."""

from __future__ import annotations

from typing import Any

from bptt.arguments import Seed, choice
from bptt.layers.module import Init
from bptt.layers.recurrent import Recurrent


class RNN(Recurrent):
    """
    Elman network: h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or relu in place of tanh.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int
        Layers on top of each other; layer k > 0 reads the outputs of layer k - 1.
    nonlinearity : {"tanh", "relu"}
    bias : bool
        False: no b_ih, b_hh.
    batch_first : bool
        True: x, y and their gradients are (B, T, ...). States are (L*D, B, H) in any case.
    dropout : float
        Fraction of outputs dropped between layers, in [0, 1), in `forward` only. Without effect on one layer.
    bidirectional : bool
        True: a second set of weights reads the sequence from its end; D = 2 and y is (T, B, 2*H).
    layer_norm : bool
        True: input and recurrent pre-activations are normalised, each with a gain (`weight_norm_ih_l{k}`,
        `weight_norm_hh_l{k}`) and its bias as offset, before they are added.
    recurrent_dropout : float
        Probability, in [0, 1), that a unit of h_{t-1} does not enter the recurrent product, in `forward`
        only; one mask for the whole sequence.
    zoneout : float
        Probability, in [0, 1), that a unit keeps its old state at a step; at inference the expectation.
    init : str, Initialiser or callable
        "default": PyTorch's, every tensor uniform in +-1/sqrt(H). "orthogonal", "identity", "glorot",
        "sparse", or one of `bptt.init` with its parameters; or init(name, shape, rng) -> array.
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
    Elman (1990), Finding structure in time. Names, shapes and order of the parameters are PyTorch's.
    Layer norm: Ba, Kiros and Hinton (2016). Dropout: Gal and Ghahramani (2016), A theoretically grounded
    application of dropout in recurrent neural networks. Zoneout: Krueger et al. (2017).
    """

    gate_count = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: str = "tanh",
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
        self.nonlinearity = choice(nonlinearity, "nonlinearity", ("tanh", "relu"))
        super().__init__(
            "rnn_relu" if self.nonlinearity == "relu" else "rnn_tanh",
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

    def config(self) -> dict[str, Any]:
        return super().config() | {"nonlinearity": self.nonlinearity}
