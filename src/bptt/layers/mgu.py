"""Minimal gated unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bptt.arguments import Seed
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


class MGU(Recurrent):
    """Minimal gated unit (MGU), with one gate that forgets and updates.

    An MGU has two thirds of the size of a GRU.

    The gates come in the order f, n::

        f   = sigmoid(W_if x_t + b_if + W_hf h_{t-1} + b_hf)
        n   = tanh(W_in x_t + b_in + W_hn (f h_{t-1}) + b_hn)
        h_t = (1 - f) h_{t-1} + f n

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
    activations : sequence of two
        Activations of the gate f, and of the candidate n. Each is a name, (name, alpha) or
        (name, alpha, beta), as for an `LSTM`.
    gate_clip : float, optional
        Clip the inputs of the activations to +-gate_clip, like `clip` in ONNX.
    layer_norm : bool
        True: normalise input and recurrent pre-activations, f and n separately, before they are added. Each
        has a gain (`weight_norm_ih_l{k}`, `weight_norm_hh_l{k}`) and its bias as offset.
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
    Zhou, Wu, Zhang and Zhou (2016), Minimal gated unit for recurrent neural networks.
    Layer norm: Ba, Kiros and Hinton (2016). Dropout: Gal and Ghahramani (2016), A theoretically grounded
    application of dropout in recurrent neural networks. Zoneout: Krueger et al. (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.MGU(3, 8, seed=0)
    >>> y, h = layer(np.ones((20, 4, 3)))  # (T, B, I)
    >>> y.shape, layer.parameters["weight_hh_l0"].shape
    ((20, 4, 8), (16, 8))
    """

    built_with = Recurrent.built_with | {"activations", "gate_clip"}
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
        reverse: bool = False,
        merge: str = "concat",
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
        self.activations = parse_activations(activations, 2)
        self.gate_clip = parse_gate_clip(gate_clip)
        plain = is_plain(self.activations) and self.gate_clip is None
        super().__init__(
            "mgu" if plain else "mgu_variant",
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
            "activations": tuple(map(as_argument, self.activations)),
            "gate_clip": self.gate_clip,
        }
