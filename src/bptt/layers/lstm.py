"""Long short-term memory."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt

from bptt import _core
from bptt.arguments import Seed, choice, flag, integer, real, short, size
from bptt.layers.activations import Activation, as_argument, is_plain, parse_activations, parse_gate_clip
from bptt.layers.initialisers import Initialiser
from bptt.layers.initialisers.gate_bias import GateBias, parse_gate_bias, write_gate_bias
from bptt.layers.module import Init
from bptt.layers.recurrent import Recurrent


class LSTM(Recurrent):
    """Long short-term memory (LSTM).

    The gates come in the order i, f, g, o, and each equation uses the rows of its gates::

        i, f, o = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)
        g       = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)
        c_t     = f c_{t-1} + i g
        h_t     = o tanh(c_t)

    With `peephole`, i and f also read P_i c_{t-1} and P_f c_{t-1}, and o reads P_o c_t. These products are
    elementwise. With `coupled`, the gates are f, g, o, and i = 1 - f. Without `forget_gate`, the gates are
    i, g, o, and c_t = c_{t-1} + i g. With `proj_size` P,
    h_t = W_hr (o tanh(c_t)) has P units, so the shapes of h, y and their gradients have P in place of H. The
    state is a pair (h, c).

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
    peephole : bool
        True: add `weight_peephole_l{k}` (3, H) with rows i, f, o. A coupled LSTM has (2, H) with rows f, o,
        and an LSTM without a forget gate has (2, H) with rows i, o.
    coupled : bool
        True: the input gate is i = 1 - f, and weights have 3H rows.
    forget_gate : bool
        False: the LSTM of 1997, which forgets nothing: weights have 3H rows. Not with `coupled`,
        `forget_bias` and `init="chrono"`.
    proj_size : int
        P < H: add a projection `weight_hr_l{k}` (P, H). 0: no projection.
    forget_bias, input_bias, output_bias : float or array-like, optional
        Initial sum of the two biases of this gate, in all layers and directions, for every `init`: a number,
        or (H,) with one number for each unit. With a `forget_bias` of 1 or more, gradients flow back from the
        start of training. Negative biases of the other two gates keep a cell closed at first. Default: the
        values that `init` draws.
    cell_clip : float, optional
        Clip c_t to +-cell_clip. The gradient of clipped entries is 0.
    gate_clip : float, optional
        Clip the inputs of the gates' activations to +-gate_clip, like `clip` in ONNX.
    clip_mode : {"onnxruntime", "spec"}
        "spec": `gate_clip` also clips c_t before the output's activation, as in ONNX's specification.
        "onnxruntime": `gate_clip` does not clip c_t, as in ONNX Runtime.
    activations : sequence of three
        Activations of the gates i, f, o, of the candidate g, and of the output (in place of tanh(c_t)). Each
        is a name, (name, alpha) or (name, alpha, beta), with ONNX's names and defaults. The names are
        "sigmoid", "tanh", "relu", "affine", "leaky_relu", "thresholded_relu", "scaled_tanh", "elu",
        "softsign", "softplus" and "hard_sigmoid" (0.2 x + 0.5 between 0 and 1). Further names are
        "hard_sigmoid_keras3" (x / 6 + 0.5), "linear", "gelu" (x times the normal distribution function) and
        "silu" (x sigmoid(x)).
    layer_norm : bool
        True: normalise input and recurrent pre-activations over all gates together, before they are added.
        Each has a gain (`weight_norm_ih_l{k}`, `weight_norm_hh_l{k}`) and its bias as offset. The output uses
        c_t normalised in the same way (`weight_norm_c_l{k}`, `bias_norm_c_l{k}`).
    recurrent_dropout : float
        Probability, in [0, 1), that a unit of h_{t-1} is dropped from the recurrent product, in `forward`
        only. The mask is the same for the whole sequence.
    input_dropout : float
        Probability, in [0, 1), that an input of a layer is dropped, in `forward` only. Every layer of the
        stack has one mask of its inputs, for all steps and both directions.
    zoneout : float or pair of floats
        Probability, in [0, 1), that a unit keeps its old state at a step. Inference uses the mean. A pair has
        the probabilities of h and of c.
    init : str, Initialiser or callable
        "default": every tensor uniform in +-1/sqrt(H), as in PyTorch. "orthogonal", "identity", "chrono",
        "glorot", "sparse", "normal", "uniform", or one of `bptt.init` with its parameters; or
        init(name, shape, rng) -> array.
    precision : {"highest", "bfloat16"}
        "bfloat16": round the operands of all matrix products to bfloat16. Sums, gates, states, gradients and
        parameters stay float32, which `dtype` must be. A product is off by at most 2^-7 of the sum of its
        terms' absolute values. Where a layer forgets, outputs of 1,000 steps are usually off by less than 1%
        of their norm, and gradients by less than 2%. A layer that keeps its state for long also keeps errors.
        Some CPUs are up to twice as fast, see `bptt info`. The page "Precision" has the tested bounds.
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
    Hochreiter and Schmidhuber (1997), Long short-term memory. Forget gate: Gers, Schmidhuber and Cummins
    (2000), Learning to forget. Without it, the gradient is exact, while that of 1997 was truncated.
    Peepholes: Gers, Schraudolph and Schmidhuber (2002), Learning precise timing with LSTM recurrent networks.
    Coupled: Greff et al. (2017), LSTM: a search space odyssey. Projection: Sak, Senior and Beaufays (2014).
    Forget bias: Jozefowicz, Zaremba and Sutskever (2015). Names, shapes and order of the parameters are
    PyTorch's.
    Layer norm: Ba, Kiros and Hinton (2016). Dropout: Gal and Ghahramani (2016), A theoretically grounded
    application of dropout in recurrent neural networks. Zoneout: Krueger et al. (2017).

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.LSTM(3, 8, seed=0)
    >>> y, (h, c) = layer(np.ones((20, 4, 3)))  # (T, B, I)
    >>> y.shape, h.shape, c.shape
    ((20, 4, 8), (1, 4, 8), (1, 4, 8))
    """

    built_with = Recurrent.built_with | {
        *("peephole", "coupled", "forget_gate", "proj_size", "cell_clip", "gate_clip", "clip_mode"),
        "activations",
    }
    has_cell_state = True
    gate_count = 4

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
        peephole: bool = False,
        coupled: bool = False,
        forget_gate: bool = True,
        proj_size: int = 0,
        forget_bias: float | npt.ArrayLike | None = None,
        input_bias: float | npt.ArrayLike | None = None,
        output_bias: float | npt.ArrayLike | None = None,
        cell_clip: float | None = None,
        gate_clip: float | None = None,
        clip_mode: str = "onnxruntime",
        activations: Sequence[Activation] = ("sigmoid", "tanh", "tanh"),
        layer_norm: bool = False,
        recurrent_dropout: float = 0.0,
        input_dropout: float = 0.0,
        zoneout: float | tuple[float, float] = 0.0,
        init: Init = "default",
        precision: str = "highest",
        dtype: Any = "float32",
        tape_dtype: str | None = None,
        seed: Seed = None,
    ) -> None:
        self.peephole = flag(peephole, "peephole")
        self.coupled = flag(coupled, "coupled")
        self.forget_gate = flag(forget_gate, "forget_gate")
        self._gates = "fgo" if self.coupled else "ifgo" if self.forget_gate else "igo"
        self.gate_count = len(self._gates)
        self.memory_gates = ((0, 1),) if self.coupled else ((0, -1), (1, 1)) if self.forget_gate else ()
        self.proj_size = integer(proj_size, "proj_size", 0)
        units = size(hidden_size, "hidden_size")
        self.forget_bias = parse_gate_bias(forget_bias, "forget_bias", units)
        self.input_bias = parse_gate_bias(input_bias, "input_bias", units)
        self.output_bias = parse_gate_bias(output_bias, "output_bias", units)
        self.cell_clip = None if cell_clip is None else real(cell_clip, "cell_clip", 0.0, above=True)
        self.gate_clip = parse_gate_clip(gate_clip)
        self.clip_mode = choice(clip_mode, "clip_mode", ("onnxruntime", "spec"))
        self.activations = parse_activations(activations, 3)
        self._check_pairs(units, bias)
        options: dict[str, Any] = {"peephole": self.peephole, "projection": self.proj_size}
        options["activations"] = self.activations
        if self.cell_clip is not None:
            options["cell_clip"] = self.cell_clip
        if self.gate_clip is not None:
            options["gate_clip"] = self.gate_clip
            if self.clip_mode == "spec":
                options["output_clip"] = self.gate_clip
        cell: _core.Cell = "lstm_variant"
        plain = (
            options.keys() == {"peephole", "projection", "activations"}
            and not self.peephole
            and is_plain(self.activations)
            and layer_norm is False
        )
        if self.coupled:
            cell = "lstm_coupled"
        elif not self.forget_gate:
            cell = "lstm_no_forget"
        elif plain:
            cell = "lstm"
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
            **options,
        )

    def _check_pairs(self, hidden_size: int, bias: object) -> None:
        """Raise ValueError if options contradict each other."""
        if self.proj_size >= hidden_size:
            raise ValueError(
                f"proj_size must be less than hidden_size = {hidden_size}; got {self.proj_size}. "
                "Fix: pass proj_size=0 for no projection."
            )
        for name, value in self._gate_biases():
            if bias is False and value is not None:
                raise ValueError(
                    f"{name} needs a bias; got {name}={short(value)} with bias=False. "
                    "Fix: leave one of them out."
                )
        if self.coupled and not self.forget_gate:
            raise ValueError(
                "coupled needs a forget gate, because i is 1 - f; got coupled=True with forget_gate=False. "
                "Fix: leave one of them out."
            )
        if self.forget_bias is not None and not self.forget_gate:
            raise ValueError(
                f"forget_bias needs a forget gate; got forget_bias={short(self.forget_bias)} with "
                "forget_gate=False. Fix: leave one of them out."
            )
        if self.forget_bias is not None and self.coupled:
            raise ValueError(
                f"forget_bias and coupled must not go together; got forget_bias={short(self.forget_bias)} "
                "with coupled=True, so an open forget gate closes the input gate. "
                "Fix: leave one of them out."
            )
        if self.input_bias is not None and self.coupled:
            raise ValueError(
                "input_bias and coupled must not go together, because a coupled LSTM has no input gate; "
                f"got input_bias={short(self.input_bias)} with coupled=True. Fix: leave one of them out."
            )
        if self.clip_mode == "spec" and self.gate_clip is None:
            raise ValueError(
                'clip_mode needs a gate_clip; got clip_mode="spec" with gate_clip=None. '
                "Fix: pass gate_clip too, or leave clip_mode out."
            )

    def _draw(self, initialiser: Initialiser) -> None:
        super()._draw(initialiser)
        for name, value in self._gate_biases():
            if value is not None:
                write_gate_bias(self.parameters, value, name, self._gates.index(name[0]), self.hidden_size)

    def _gate_biases(self) -> tuple[tuple[str, GateBias], ...]:
        """Return the arguments that set biases, by name. A name begins with the letter of its gate."""
        return (
            ("input_bias", self.input_bias),
            ("forget_bias", self.forget_bias),
            ("output_bias", self.output_bias),
        )

    def config(self) -> dict[str, Any]:
        return super().config() | {
            "peephole": self.peephole,
            "coupled": self.coupled,
            "forget_gate": self.forget_gate,
            "proj_size": self.proj_size,
            "forget_bias": self.forget_bias,
            "input_bias": self.input_bias,
            "output_bias": self.output_bias,
            "cell_clip": self.cell_clip,
            "gate_clip": self.gate_clip,
            "clip_mode": self.clip_mode,
            "activations": tuple(map(as_argument, self.activations)),
        }
