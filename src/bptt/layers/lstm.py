"""Long short-term memory."""

from __future__ import annotations

from typing import Any

from bptt.arguments import Seed, flag
from bptt.layers.module import Init
from bptt.layers.recurrent import Recurrent


class LSTM(Recurrent):
    """
    Long short-term memory, gates in the order i, f, g, o::

        i, f, o = sigmoid(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)      (their rows)
        g       = tanh(W_ih x_t + b_ih + W_hh h_{t-1} + b_hh)         (its rows)
        c_t     = f c_{t-1} + i g
        h_t     = o tanh(c_t)

    With `peephole`, i and f also see P_i c_{t-1} and P_f c_{t-1}, and o sees P_o c_t (products by element).
    Its state is a pair (h, c).

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
        Share of outputs dropped between layers, in [0, 1), in `forward` only. Without effect on one layer.
    bidirectional : bool
        True: a second set of weights reads the sequence from its end; D = 2 and y is (T, B, 2*H).
    peephole : bool
        True: adds `weight_peephole_l{k}` (3, H), rows i, f, o.
    init : "default" or callable
        "default": PyTorch's, every tensor uniform in +-1/sqrt(H). Or init(name, shape, rng) -> array.
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
    Hochreiter and Schmidhuber (1997), Long short-term memory. Forget gate: Gers, Schmidhuber and Cummins
    (2000), Learning to forget. Peepholes: Gers, Schraudolph and Schmidhuber (2002), Learning precise timing
    with LSTM recurrent networks. Names, shapes and order of the parameters are PyTorch's.
    """

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
        peephole: bool = False,
        init: Init = "default",
        precision: str = "highest",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        self.peephole = flag(peephole, "peephole")
        super().__init__(
            "lstm_peephole" if self.peephole else "lstm",
            input_size,
            hidden_size,
            num_layers,
            bias=bias,
            batch_first=batch_first,
            dropout=dropout,
            bidirectional=bidirectional,
            init=init,
            precision=precision,
            dtype=dtype,
            seed=seed,
        )

    def config(self) -> dict[str, Any]:
        return super().config() | {"peephole": self.peephole}
