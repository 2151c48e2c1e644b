"""Memory cell blocks, the long short-term memory of 1997."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, choice, flag, short, size
from bptt.arrays import Floats, to_floats
from bptt.layers.budget import check_count
from bptt.layers.initialisers import Initialiser
from bptt.layers.initialisers.gate_bias import parse_gate_bias
from bptt.layers.module import Init, Table
from bptt.layers.passes.backend import Backend
from bptt.layers.passes.blocks import CHUNK_STEPS, Blocks
from bptt.layers.passes.interventions import RandomMasks
from bptt.layers.recurrent_calls import RecurrentCalls


class MemoryBlocks(RecurrentCalls):
    """Memory cell blocks: the long short-term memory of Hochreiter and Schmidhuber (1997).

    A block has one input gate i, one output gate o, and `cells` memory cells. No gate forgets. Gates and
    cells read x_t, the outputs of all cells, and the activations of all gates::

        a     = W_ih x_t + W_hh [h_{t-1}, i_{t-1}, o_{t-1}] + b
        i, o  = sigmoid(a_i), sigmoid(a_o)          one number for each block
        g     = 4 sigmoid(a_g) - 2                  one number for each cell
        s_t   = s_{t-1} + i g
        h_t   = o (2 sigmoid(s_t) - 1)

    The outputs y are h. Use this layer to repeat experiments of the paper. For other work, use `LSTM`: a wide
    layer is faster, and a forget gate lets a cell start again.

    The gradient of the paper is truncated: an error changes the weights W_hh, but does not flow back through
    them. Only the states s_t carry errors to earlier steps, without loss.

    Parameters
    ----------
    input_size : int
        I, at least 1.
    blocks : int
        Number of blocks K, at least 1.
    cells : int
        Number of cells in each block, at least 1. The layer has M = K * cells outputs, and
        H = M + 2K hidden units: M cell inputs, then K input gates, then K output gates.
    gradient : {"truncated", "full"}
        "truncated": errors do not flow back through W_hh, as in the paper, so `gradcheck` finds a difference.
        "full": the exact gradient.
    bias : bool or "gates"
        True: all hidden units have a bias. "gates": only the gates have one. False: no biases.
    batch_first : bool
        True: x, y and their gradients are (B, T, ...). States are always (1, B, ...).
    squash : bool
        False: h_t = o s_t.
    input_bias, output_bias : float or array-like, optional
        Initial biases of the input gates and of the output gates, for every `init`: a number, or (K,) with
        one number for each block. The paper uses -1, -2, -3, ..., so that blocks learn one after another.
        Default: the values that `init` draws.
    init : str, Initialiser or callable
        "default": every tensor uniform in +-1/sqrt(H). `bptt.init.uniform` or another one of `bptt.init`;
        or init(name, shape, rng) -> array.
    dtype : {"float32", "float64"}
        Type of parameters, states, outputs and gradients.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If a value is out of range, or the product of the sizes overflows. If `input_bias` or `output_bias`
        is given with `bias=False`.

    Notes
    -----
    The parameters are `weight_ih_l0` (H, I), `weight_hh_l0` (H, H) and `bias_ih_l0`, (H,) or (2K,). The state
    is a pair (h, c): h (1, B, M), and c (1, B, H) with the states s of the cells and the activations of both
    kinds of gates.

    References
    ----------
    Hochreiter and Schmidhuber (1997), Long short-term memory. Neural Computation 9(8).

    Examples
    --------
    The net of the adding problem, with 93 weights:

    >>> import bptt
    >>> layer = bptt.MemoryBlocks(2, blocks=2, cells=2, input_bias=[-3, -6], seed=0)
    >>> model = bptt.Sequential(layer, bptt.Last(), bptt.Linear(4, 1, seed=0))
    >>> model.parameter_count
    93
    """

    backend: ClassVar[str] = "native"
    built_with = frozenset({"input_size", "blocks", "cells", "gradient", "bias", "squash"})
    has_cell_state = True
    num_layers = num_directions = 1
    bidirectional = reverse = False
    merge = "concat"
    dropout = zoneout = 0.0
    _masks = RandomMasks(0.0, 0.0, 0.0, (0.0, 0.0))

    def __init__(
        self,
        input_size: int,
        blocks: int,
        cells: int = 1,
        *,
        gradient: str = "truncated",
        bias: bool | str = True,
        batch_first: bool = False,
        squash: bool = True,
        input_bias: float | npt.ArrayLike | None = None,
        output_bias: float | npt.ArrayLike | None = None,
        init: Init = "default",
        dtype: Any = "float32",
        seed: Seed = None,
    ) -> None:
        super().__init__(dtype, seed)
        self.input_size = size(input_size, "input_size")
        self.blocks = size(blocks, "blocks")
        self.cells = size(cells, "cells")
        self.gradient = choice(gradient, "gradient", ("truncated", "full"))
        self.bias = _parse_bias(bias)
        self.batch_first = flag(batch_first, "batch_first")
        self.squash = flag(squash, "squash")
        self.input_bias = parse_gate_bias(input_bias, "input_bias", self.blocks, "blocks")
        self.output_bias = parse_gate_bias(output_bias, "output_bias", self.blocks, "blocks")
        for name in ("input_bias", "output_bias"):
            if self.bias is False and getattr(self, name) is not None:
                raise ValueError(
                    f"{name} needs biases of gates; got {name}={short(getattr(self, name))} with bias=False. "
                    'Fix: pass bias="gates", or leave one of them out.'
                )
        self.output_size = self.y_size = self.blocks * self.cells
        self.hidden_size = self.output_size + 2 * self.blocks
        biases = 0 if not self.bias else 2 * self.blocks if self.bias == "gates" else self.hidden_size
        truncated = self.gradient == "truncated"
        options = biases, self.squash, truncated, CHUNK_STEPS
        self._sizes = (self.input_size, self.blocks, self.cells, *options)
        check_count(self.hidden_size * (self.input_size + self.hidden_size), self.dtype)
        self.allocate(init)

    @property
    def state_pattern(self) -> str:
        return "(h, c)"

    def _backend(self) -> Backend:
        return Blocks(self, self._sizes, self.flat_parameters, self.flat_gradients)

    # Parameters

    @property
    def table(self) -> Table:
        """Names and shapes of the parameters, in the order of the flat vector."""
        return list(self.parameter_shapes().items())

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        H, biases = self.hidden_size, self._sizes[3]
        shapes: dict[str, tuple[int, ...]] = {"weight_ih_l0": (H, self.input_size), "weight_hh_l0": (H, H)}
        return shapes | {"bias_ih_l0": (biases,)} if biases else shapes

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        bound = 1.0 / math.sqrt(self.hidden_size)
        return self.rng.uniform(-bound, bound, shape)

    def _draw(self, initialiser: Initialiser) -> None:
        super()._draw(initialiser)
        K = self.blocks
        gates = {"input_bias": slice(-2 * K, -K), "output_bias": slice(-K, None)}
        for name, rows in gates.items():
            value = getattr(self, name)
            if value is not None:
                self.parameters["bias_ih_l0"][rows] = to_floats(np.array(value), name, self.dtype)

    def step_input(self, batch_size: int) -> Floats:
        return np.zeros((batch_size, self.input_size), self.dtype)

    def tape_bytes(self, T: int, B: int, outputs: int) -> int:
        return T * B * (3 * self.output_size + self.hidden_size) * self.dtype.itemsize


def _parse_bias(value: object) -> bool | str:
    """Return the argument `bias`.

    Raises
    ------
    TypeError, ValueError
        If it is neither a bool nor "gates".
    """
    if isinstance(value, (bool, np.bool_)):
        return bool(value)
    if isinstance(value, str) and value == "gates":
        return "gates"
    raise (ValueError if isinstance(value, str) else TypeError)(
        f'bias must be True, False or "gates"; got {short(value)}. Fix: pass one of these values.'
    )
