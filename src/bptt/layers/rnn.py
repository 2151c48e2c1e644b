"""The simple recurrent network (Elman network)."""

from __future__ import annotations

from typing import Any

from bptt import _core
from bptt.arguments import Seed
from bptt.layers.activations import Activation, as_argument, clip_option, parse_gate_clip, parse_nonlinearity
from bptt.layers.module import Init
from bptt.layers.recurrent import Recurrent

PLAIN: dict[str, _core.Cell] = {"tanh": "rnn_tanh", "relu": "rnn_relu"}
"""The functions whose cell has no options, which is faster."""


class RNN(Recurrent):
    """Elman network.

    h_t = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh), or another function in place of tanh.

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int
        Number of stacked layers. Layer k > 0 reads the outputs of layer k - 1.
    nonlinearity : str or tuple
        "tanh", "relu", or another activation: a name, (name, alpha) or (name, alpha, beta), as for an `LSTM`.
    gate_clip : float, optional
        Clip the input of the nonlinearity to +-gate_clip, like `clip` in ONNX.
    bias : bool
        False: no biases b_ih and b_hh.
    batch_first : bool
        True: x, y and their gradients are (B, T, ...). States are always (L*D, B, H).
    dropout : float
        Fraction of outputs dropped between layers, in [0, 1), in `forward` only. No effect on a single layer.
    bidirectional : bool
        True: a second set of weights reads the sequence from its end; D = 2 and y is (T, B, 2*H).
    reverse : bool
        True: read each sequence from its end, in one direction. y is in the order of x, and the final state
        is the state after step 0.
    merge : {"concat", "sum", "mean", "mul"}
        How the outputs of both directions become y: side by side, (T, B, 2*H), or their sum, mean or product,
        (T, B, H). In a stack, the layer above reads the merged outputs.
    layer_norm : bool
        True: normalise input and recurrent pre-activations before they are added. Each has a gain
        (`weight_norm_ih_l{k}`, `weight_norm_hh_l{k}`) and its bias as offset.
    recurrent_dropout : float
        Probability, in [0, 1), that a unit of h_{t-1} is dropped from the recurrent product, in `forward`
        only. The mask is the same for the whole sequence.
    input_dropout : float
        Probability, in [0, 1), that an input of a layer is dropped, in `forward` only. Every layer of the
        stack has one mask of its inputs, for all steps and both directions.
    zoneout : float
        Probability, in [0, 1), that a unit keeps its old state at a step. Inference uses the mean.
    init : str, Initialiser or callable
        "default": every tensor uniform in +-1/sqrt(H), as in PyTorch. "orthogonal", "identity", "glorot",
        "sparse", "normal", "uniform", or one of `bptt.init` with its parameters; or init(name, shape, rng) ->
        array.
    precision : {"highest", "bfloat16"}
        "bfloat16": round the operands of matrix products to bfloat16, for speed. See `LSTM`. Needs float32.
    dtype : {"float32", "float64"}
        Type of parameters, states, outputs and gradients.
    tape_dtype : {"bfloat16"}, optional
        "bfloat16": `forward` keeps its tape in 16 bits per number, which halves its memory. y and the state
        keep their bits. Each kept number is rounded to bfloat16. Numbers near 1 are kept as their distance
        from 1. Gradients through up to 1,000 steps that do not explode are off by at most 2^-6 of their
        largest entry, or 2^-4 with layer norm. Only for dtype "float32". Default: the layer's dtype.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters and dropout masks.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a value is out of range, or the product of the sizes overflows.

    References
    ----------
    Elman (1990), Finding structure in time. Names, shapes and order of the parameters are those of PyTorch.
    Layer norm: Ba, Kiros and Hinton (2016). Dropout: Gal and Ghahramani (2016), A theoretically grounded
    application of dropout in recurrent neural networks. Zoneout: Krueger et al. (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.RNN(3, 8, seed=0)
    >>> y, h, tape = layer.forward(np.ones((20, 4, 3)))  # (T, B, I)
    >>> dx, dh = layer.backward(tape, np.ones_like(y))
    >>> dx.shape, layer.gradients["weight_hh_l0"].shape
    ((20, 4, 3), (8, 8))
    """

    built_with = Recurrent.built_with | {"nonlinearity", "gate_clip"}
    gate_count = 1

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        *,
        nonlinearity: Activation = "tanh",
        gate_clip: float | None = None,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        reverse: bool = False,
        merge: str = "concat",
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        input_dropout: float = 0.0,
        zoneout: float = 0.0,
        init: Init = "default",
        precision: str = "highest",
        dtype: Any = "float32",
        tape_dtype: str | None = None,
        seed: Seed = None,
    ) -> None:
        function = parse_nonlinearity(nonlinearity)
        self.nonlinearity = as_argument(function)
        self.gate_clip = parse_gate_clip(gate_clip)
        plain = PLAIN.get(function[0]) if self.gate_clip is None else None
        super().__init__(
            plain or "rnn_variant",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            reverse=reverse,
            merge=merge,
            layer_norm=layer_norm,
            recurrent_dropout=recurrent_dropout,
            input_dropout=input_dropout,
            zoneout=zoneout,
            init=init,
            precision=precision,
            dtype=dtype,
            tape_dtype=tape_dtype,
            seed=seed,
            nonlinearity=function,
            **clip_option(self.gate_clip),
        )

    def config(self) -> dict[str, Any]:
        return super().config() | {"nonlinearity": self.nonlinearity, "gate_clip": self.gate_clip}
