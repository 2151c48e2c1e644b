"""Gated recurrent unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bptt import _core
from bptt.arguments import Seed, flag
from bptt.layers.activations import (
    Activation,
    as_argument,
    clip_option,
    is_plain,
    parse_activations,
    parse_gate_clip,
)
from bptt.layers.module import Init
from bptt.layers.recurrent import Recurrent


class GRU(Recurrent):
    """Gated recurrent unit (GRU).

    The gates come in the order r, z, n::

        r   = sigmoid(W_ir x_t + b_ir + W_hr h_{t-1} + b_hr)
        z   = sigmoid(W_iz x_t + b_iz + W_hz h_{t-1} + b_hz)
        n   = tanh(W_in x_t + b_in + r (W_hn h_{t-1} + b_hn))
        h_t = (1 - z) n + z h_{t-1}

    The reset gate r acts after the recurrent product. With `reset_after=False` it acts before the product::

        n   = tanh(W_in x_t + b_in + W_hn (r h_{t-1}) + b_hn)

    Parameters
    ----------
    input_size, hidden_size : int
        I and H, at least 1.
    num_layers : int
        Number of stacked layers. Layer k > 0 reads the outputs of layer k - 1.
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
    reset_after : bool
        False: the reset gate acts before the recurrent product.
    activations : sequence of two
        Activations of the gates r and z, and of the candidate n. Each is a name, (name, alpha) or
        (name, alpha, beta), as for an `LSTM`.
    gate_clip : float, optional
        Clip the inputs of the activations to +-gate_clip, like `clip` in ONNX.
    layer_norm : bool
        True: normalise input and recurrent pre-activations, r and z together and n separately, before they
        are added. Each has a gain (`weight_norm_ih_l{k}`, `weight_norm_hh_l{k}`) and its bias as offset.
    recurrent_dropout : float
        Probability, in [0, 1), that a unit of h_{t-1} is dropped from the recurrent product, in `forward`
        only. The mask is the same for the whole sequence.
    input_dropout : float
        Probability, in [0, 1), that an input of a layer is dropped, in `forward` only. Every layer of the
        stack has one mask of its inputs, for all steps and both directions.
    zoneout : float
        Probability, in [0, 1), that a unit keeps its old state at a step. Inference uses the mean.
    init : str, Initialiser or callable
        "default": every tensor uniform in +-1/sqrt(H), as in PyTorch. "orthogonal", "identity", "chrono",
        "glorot", "sparse", "normal", "uniform", or one of `bptt.init` with its parameters; or
        init(name, shape, rng) -> array.
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
    Cho et al. (2014), Learning phrase representations using RNN encoder-decoder for statistical machine
    translation. The reset gate acts after the product in the first version of the paper, in cuDNN and in
    PyTorch. Names, shapes and order of the parameters are those of PyTorch.
    Layer norm: Ba, Kiros and Hinton (2016). Dropout: Gal and Ghahramani (2016), A theoretically grounded
    application of dropout in recurrent neural networks. Zoneout: Krueger et al. (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.GRU(3, 8, bidirectional=True, seed=0)
    >>> y, h = layer(np.ones((20, 4, 3)))  # (T, B, I)
    >>> y.shape, h.shape
    ((20, 4, 16), (2, 4, 8))
    """

    built_with = Recurrent.built_with | {"reset_after", "activations", "gate_clip"}
    gate_count = 3
    memory_gates = ((1, 1),)

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
        reverse: bool = False,
        merge: str = "concat",
        reset_after: bool = True,
        activations: Sequence[Activation] = ("sigmoid", "tanh"),
        gate_clip: float | None = None,
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
        self.reset_after = flag(reset_after, "reset_after")
        self.activations = parse_activations(activations, 2)
        self.gate_clip = parse_gate_clip(gate_clip)
        plain = is_plain(self.activations) and self.gate_clip is None
        cell: _core.Cell
        if self.reset_after:
            cell = "gru" if plain else "gru_variant"
        else:
            cell = "gru_reset_before" if plain else "gru_reset_before_variant"
        super().__init__(
            cell,
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
            activations=self.activations,
            **clip_option(self.gate_clip),
        )

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "reset_after": self.reset_after,
            "activations": tuple(map(as_argument, self.activations)),
            "gate_clip": self.gate_clip,
        }
