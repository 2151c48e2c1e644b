"""The compiled core. Arrays passed in must already be C-contiguous and of the right dtype: the Python
layers convert and check; the core checks again, cheaply, and raises instead of crashing.

Axis names: T time, B batch, I input, H hidden, P output (H without a projection), D directions, L layers,
N rows, C classes.
"""

from typing import Any, Literal

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]
Counts = npt.NDArray[np.int64]
Flags = npt.NDArray[np.uint8]
Cell = Literal[
    "rnn_tanh",
    "rnn_relu",
    "rnn_variant",
    "lstm",
    "lstm_variant",
    "lstm_coupled",
    "lstm_no_forget",
    "gru",
    "gru_variant",
    "gru_reset_before",
    "gru_reset_before_variant",
    "mgu",
    "mgu_variant",
]

class Recurrent:
    """The contract of a stack of recurrent layers: sizes, and where each parameter lies in a flat vector."""

    def __init__(
        self,
        cell: Cell,
        dtype: Literal["float32", "float64"],
        input_size: int,
        hidden_size: int,
        num_layers: int,
        bidirectional: bool,
        bias: bool,
        *,
        projection: int = 0,
        peephole: bool = False,
        layer_norm: bool = False,
        reverse: bool = False,
        merge: str = "concat",
        precision: str = "highest",
        zoneout: tuple[float, float] = (0.0, 0.0),
        cell_clip: float = ...,
        gate_clip: float = ...,
        output_clip: float = ...,
        nonlinearity: tuple[str, float, float] = ...,
        activations: tuple[tuple[str, float, float], ...] = ...,
        compact_tape: bool = False,
    ) -> None: ...
    @property
    def parameters(self) -> list[tuple[str, tuple[int, ...]]]:
        """Names and shapes, in the order in which they lie in the flat vector, without gaps."""
    @property
    def parameter_count(self) -> int: ...
    def infer(
        self,
        parameters: Floats,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        active: Counts | None = None,
        batch: int = 0,
        reset: Flags | None = None,
    ) -> tuple[Floats, Floats, Floats | None]:
        """
        x (T, B, I) -> y (T, B, D*P), h (L*D, B, P), c (L*D, B, H) or None. Keeps nothing.

        `active`: rows at each step, of `batch`; x is then (rows over time, I), and y likewise.
        `reset` (T, B) or (rows over time): 1 where the state is zero before the step.
        """
    def forward(
        self,
        parameters: Floats,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        dropout: float,
        dropout_key: int,
        active: Counts | None = None,
        batch: int = 0,
        reset: Flags | None = None,
        recurrent_mask: Floats | None = None,
        keep_h: Floats | None = None,
        keep_c: Floats | None = None,
        first_row: int = 0,
        input_mask: Floats | None = None,
        borrow: bool = False,
    ) -> tuple[Floats, Floats, Floats | None, Tape]:
        """
        As infer, keeping the tape, and in it the masks and `parameters` (copied, if they are writable). `y`
        is a read-only view into the tape.

        `input_mask` (B, I + (L-1)*D*P); `recurrent_mask` (L*D, B, P); `keep_h` (L*D, T, B, P) and `keep_c`
        (L*D, T, B, H), or (L*D, rows over time, ...). `first_row`: rows over time that lie before these,
        where they are a piece of a longer sequence: dropout's masks go on from there. `borrow`: the tape
        refers to `parameters` and x without a copy, and the caller changes neither before the last backward.
        """
    def backward(
        self,
        gradients: Floats | None,
        tape: Tape,
        dy: Floats | None,
        dh: Floats | None,
        dc: Floats | None,
        steps: int | None = None,
        need_dx: bool = True,
        clip_value: float | None = None,
        clip_norm: float | None = None,
        keep_errors: bool = False,
        chunk: int = 0,
        cut: Flags | None = None,
        norms_of_rows: bool = False,
    ) -> tuple[Floats | None, Floats, Floats | None]:
        """
        -> dx (T, B, I) or None, dh0, dc0. Adds to `gradients` from the tape's parameters; None: does not.

        `steps`: go back at most so many. Every step's errors are clipped by value, then each row of them by
        norm. `keep_errors`: `tape.dh` has them after. `chunk`: of a piece of a longer batch, the
        `chunk_steps` of that batch. `cut` (T, B) or (rows over time): 1 where no error flows back past the
        step. `norms_of_rows`: the tape's norms are (L*D, rows over time), without a sum over the batch.
        """

    def chunk_steps(self, batch: int) -> int:
        """Steps whose gradients are summed together."""

    def freeze(self, parameters: Floats, precision: str | None = None) -> Snapshot: ...
    def stream(self, parameters: Floats, batch_size: int, precision: str | None = None) -> Stream:
        """Raises ValueError for two directions."""

BlockInputs = tuple[Floats, Floats, Floats | None, Floats | None, Counts | None, int, Flags | None]
"""parameters, x (T, B, I), h0 (1, B, M), c0 (1, B, H), active, batch, reset: as for `Recurrent.infer`."""
BlockStates = tuple[Floats, Floats, Floats]
"""y (T, B, M), c (T, B, H), inner (T, B, 2M): what `forward` keeps for `backward`."""
BlockErrors = tuple[
    Floats | None,
    Floats | None,
    Floats | None,
    int | None,
    bool,
    float,
    float,
    bool,
    Flags | None,
    bool,
]
"""dy, dh, dc, steps, need_dx, clip_value, clip_norm, keep_errors, cut, norms_of_rows, as for
`Recurrent.backward`. Infinities: no clipping."""

BlockSizes = tuple[int, int, int, int, bool, bool, int]
"""I, K, cells of a block, number of biases (0, 2K or H), squash, truncated, steps whose gradients are summed
together. M outputs, H = M + 2K hidden units."""

def blocks_forward(sizes: BlockSizes, inputs: BlockInputs) -> tuple[Floats, Floats, Floats, Floats, Floats]:
    """-> y, h (1, B, M), c (1, B, H), and the other two of `BlockStates`."""

def blocks_backward(
    sizes: BlockSizes,
    inputs: BlockInputs,
    states: BlockStates,
    gradients: Floats | None,
    errors: BlockErrors,
) -> tuple[Floats | None, Floats, Floats, npt.NDArray[np.float64], Floats | None]:
    """-> dx, dh0, dc0, norms of dL/dh_t and dL/dc_t (2, 1, T), every dL/dh_t. Adds to `gradients`."""

class StepTape:
    """What one step keeps for its backward pass."""

class StepWeights:
    """The weights of a step, packed once."""

class Step:
    """One time step of one layer, without options, on memory that the caller has checked.

    `memory` has five addresses of C-contiguous arrays of the dtype. 0: no array, which stands for zeros.
    """

    def __init__(
        self, cell: Cell, dtype: Literal["float32", "float64"], input_size: int, hidden_size: int, bias: bool
    ) -> None: ...
    def pack(self, parameters: Floats) -> StepWeights: ...
    def infer(
        self, parameters: Floats, rows: int, memory: tuple[int, ...], weights: StepWeights | None = None
    ) -> None:
        """Read x (B, I), h0 and c0 (B, H), and write h and c. `weights`: the result of `pack`."""
    def forward(self, parameters: Floats, rows: int, memory: tuple[int, ...], input: object) -> StepTape:
        """As `infer`. The tape refers to `parameters` and to x, whose owner is `input`, without a copy."""
    def backward(self, tape: StepTape, gradients: int, memory: tuple[int, ...]) -> None:
        """Read dh and dc, write dx, dh0 and dc0, and add to the gradients at this address, or 0: do not."""

class Snapshot:
    """The weights as they were, packed."""

    def infer(
        self,
        x: Floats,
        h0: Floats | None,
        c0: Floats | None,
        active: Counts | None = None,
        batch: int = 0,
        reset: Flags | None = None,
    ) -> tuple[Floats, Floats, Floats | None]:
        """As `Recurrent.infer`."""

class Stream:
    """One step at a time; the arrays are the stream's own memory."""

    @property
    def input(self) -> Floats:
        """(B, I)."""
    @property
    def output(self) -> Floats:
        """(B, H)."""
    def state(self) -> tuple[Floats, Floats | None]:
        """Copies of h (L, B, P) and c (L, B, H)."""
    def set_state(self, h: Floats, c: Floats | None) -> None: ...
    def reset(self) -> None: ...
    def step(self) -> None:
        """input -> output."""
    def step_skipping(self, skip: Flags) -> None:
        """input -> output; rows with skip (B,) = 1 keep their state, and their output is 0."""
    def run(self, x: Floats, skip: Flags | None = None) -> Floats:
        """x (T, B, I) -> (T, B, H); skip (T, B). Input and output are left alone."""

class Tape:
    """What one forward pass keeps for its backward pass. Every array is a read-only view, or a copy."""

    @property
    def shape(self) -> tuple[int, int]:
        """(T, B)."""
    @property
    def nbytes(self) -> int:
        """Bytes of all arrays over time, without the input and the weights."""
    def h(self, layer: int, direction: int) -> Floats:
        """(T, B, H)."""
    def c(self, layer: int, direction: int) -> Floats:
        """(T, B, H); LSTM only."""
    def gates(self, layer: int, direction: int) -> Floats:
        """
        (T, B, G*H) activated gates: LSTM i f g o, coupled f g o; GRU r z n and W_hn h + b_hn, or r h; RNN h
        itself, before zoneout.
        """
    def dh(self, layer: int, direction: int) -> Floats | None:
        """(T, B, P) after a backward pass with `keep_errors`."""
    @property
    def dh_norm(self) -> npt.NDArray[np.float64] | None:
        """(L*D, T) after a backward pass."""
    @property
    def dc_norm(self) -> npt.NDArray[np.float64] | None: ...

# Pascanu's regulariser.
def unit_errors(errors: Floats, slopes: Floats, least: float) -> tuple[Floats, int]:
    """(N, H) each: rows of errors with norm 1, times their slopes; and the number of rows whose squared norm
    is at least `least`. These come first. The other rows of the result are undefined."""

def weigh_by_excess(back: Floats, scaled: Floats) -> float:
    """(N, H) each: multiplies each row of `scaled` by 4 e, e = |row of back|^2 - 1. The sum of e^2."""

def bernoulli(
    shape: tuple[int, ...], p: float, value: float, key: int, dtype: Literal["float32", "float64"]
) -> Floats:
    """`value` with probability p, else 0; element j in C order is a function of key and j."""

# Ragged batches. `order` (B,): the rows, longest first; `active` (T,): how many of them run at each step.
def gather_rows(
    x: npt.NDArray[Any], order: Counts, active: Counts, times: Counts | None = None
) -> npt.NDArray[Any]:
    """
    x (T, B, N) of any plain type -> (rows over time, N) as in cpp/core/addressing.hpp; padding is zero.

    `times` (rows over time): the time step of each packed row; None: no row skips a step.
    """

def scatter_rows(
    packed: npt.NDArray[Any], order: Counts, active: Counts, times: Counts | None = None
) -> npt.NDArray[Any]:
    """And back: (T, B, N), zeros at steps that a row does not have."""

def combine_norms(
    norms: npt.NDArray[np.float64], batch: int, active: Counts, times: Counts | None = None
) -> npt.NDArray[np.float64]:
    """norms (R, rows over time) -> (R, T): 2-norms over the batch, without `times` by step number."""

# Layers without time. N rows.
def linear_forward(x: Floats, weight: Floats, bias: Floats | None, precision: str = "highest") -> Floats:
    """x (N, I), weight (O, I), bias (O,) -> (N, O)."""

class PackedLinear:
    """Weight (O, I) and bias (O,) or None, packed once. Several threads may call it at once."""

    def __init__(self, weight: Floats, bias: Floats | None, precision: str = "highest") -> None: ...
    def forward(self, x: Floats, out: Floats | None = None) -> Floats:
        """x (N, I) -> (N, O), with the bits of `linear_forward`. If given, `out` gets the result."""

def linear_backward(
    x: Floats,
    weight: Floats,
    dy: Floats,
    dweight: Floats | None,
    dbias: Floats | None,
    need_dx: bool,
    precision: str = "highest",
) -> Floats | None:
    """Adds to dweight and dbias unless they are None; returns dx (N, I)."""

def embedding_forward(ids: npt.NDArray[np.int64], weight: Floats) -> Floats:
    """ids (N,), weight (V, E) -> (N, E). An id outside 0..V-1 raises ValueError naming its position."""

def embedding_backward(ids: npt.NDArray[np.int64], dy: Floats, dweight: Floats) -> None: ...
def set_rows(ids: npt.NDArray[np.int64], values: Floats | None, table: Floats) -> None:
    """table[ids] = values, or 0. Ctrl-C does not stop it."""

def mark_rows(ids: npt.NDArray[np.int64], seen: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64]:
    """The ids that are not marked in `seen`, each once. Marks them."""

def dropout_forward(x: Floats, p: float, key: int) -> Floats:
    """x * mask: 0 or 1/(1-p), element j kept when uniform(key, j) >= p. Backward is the same call on dy."""

# Activations as layers. `kept` is y, but x for gelu and silu.
def activation(name: str, x: Floats, alpha: float = 0.0, beta: float = 0.0) -> Floats:
    """Return "exp", or an activation of the cells, of every number."""

def activation_backward(
    name: Literal["tanh", "relu", "sigmoid", "gelu", "silu"], dy: Floats, kept: Floats
) -> Floats: ...
def softmax_forward(x: Floats) -> Floats:
    """x (N, C): softmax of each row."""

def softmax_backward(dy: Floats, y: Floats) -> Floats: ...
def layer_norm_forward(
    x: Floats, weight: Floats | None, bias: Floats | None, epsilon: float, keep: bool
) -> tuple[Floats, Floats | None, Floats | None]:
    """x (N, C) -> y; if `keep` is true also the normalised rows, and 1 / sqrt(variance + epsilon) (N,)."""

def layer_norm_backward(
    dy: Floats,
    hat: Floats,
    scale: Floats,
    weight: Floats | None,
    dweight: Floats | None,
    dbias: Floats | None,
    need_dx: bool,
) -> Floats | None:
    """Adds to dweight and dbias, with the same bits for any number of threads."""

# Pools of x (T, B, F), or (B, T, F) with batch_first. valid (T, B): the steps that count; None: all.
def mean_pool(x: Floats, valid: npt.NDArray[np.bool_] | None, batch_first: bool) -> Floats: ...
def mean_pool_backward(
    dy: Floats, valid: npt.NDArray[np.bool_] | None, x_shape: tuple[int, ...], batch_first: bool
) -> Floats: ...
def max_pool(
    x: Floats, valid: npt.NDArray[np.bool_] | None, batch_first: bool
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """y (B, F), and the step of each maximum, -1 for a row without valid steps."""

def max_pool_backward(
    dy: Floats, source: npt.NDArray[np.int64], x_shape: tuple[int, ...], batch_first: bool
) -> Floats: ...

# Losses: `scale` times a weighted sum over unmasked rows, and its gradient. mask is bool (N,) or None, weight
# float64 (N,) or None.
def cross_entropy(
    logits: Floats,
    target: npt.NDArray[np.int64],
    mask: npt.NDArray[np.bool_] | None,
    weight: npt.NDArray[np.float64] | None,
    scale: float,
    need_gradient: bool,
    class_weight: Floats | None = None,
    smoothing: float = 0.0,
) -> tuple[float, Floats | None]:
    """logits (N, C), target (N,), class_weight (C,). A target outside 0..C-1 in an unmasked row raises
    ValueError."""

def elementwise_loss(
    name: Literal["squared_error", "absolute_error", "huber", "quantile", "binary_cross_entropy"],
    y: Floats,
    target: Floats,
    mask: npt.NDArray[np.bool_] | None,
    weight: npt.NDArray[np.float64] | None,
    scale: float,
    need_gradient: bool,
    column: Floats | None = None,
    parameter: float = 0.0,
) -> tuple[float, Floats | None]:
    """y, target (N, C). `column` (C,): levels of quantiles, or weights of positive targets. `parameter`:
    Huber's delta."""

# Flat vectors, in place.
def norm(x: Floats) -> float:
    """2-norm accumulated in float64, same bits for any number of threads. inf/nan go through."""

def scale(x: Floats, factor: float) -> None: ...
def clip_value(x: Floats, limit: float) -> None: ...
def largest_magnitude(x: Floats) -> float:
    """The largest |x|, 0 for no numbers. x must be finite."""

def first_nonfinite(x: Floats) -> int:
    """Index of the first inf or NaN, -1 if none."""

def sgd_step(
    p: Floats,
    g: Floats,
    velocity: Floats | None,
    lr: float,
    momentum: float,
    nesterov: bool,
    weight_decay: float,
) -> None: ...
def rmsprop_step(
    p: Floats,
    g: Floats,
    square: Floats,
    velocity: Floats | None,
    lr: float,
    decay: float,
    momentum: float,
    epsilon: float,
    weight_decay: float,
    mean: Floats | None = None,
) -> None:
    """mean: of the gradients, for the centered rule."""

def adam_step(
    p: Floats,
    g: Floats,
    m: Floats,
    v: Floats,
    lr: float,
    beta1: float,
    beta2: float,
    epsilon: float,
    weight_decay: float,
    decoupled: bool,
    step: int,
    largest: Floats | None = None,
) -> None:
    """step counts from 1. decoupled: AdamW. largest: the largest v so far, for AMSGrad."""

# Run time.
def set_num_threads(n: int) -> None: ...
def get_num_threads() -> int: ...
def suggest_threads(n: int) -> None:
    """Calls from this thread use n threads, unless the user chose a number. 0: no suggestion."""

def thread_rule() -> str:
    """Which rule set the number of threads, in words."""

def available_isas() -> list[str]: ...
def isa() -> str: ...
def instruction_of(precision: str) -> str:
    """Return the instruction that multiplies operands of this precision, or "emulated"."""

def emulate_reduced_precision(emulate: bool) -> None:
    """Emulate products of reduced precision on CPUs with such an instruction, too. For tests."""

def isa_rule() -> str:
    """Why this instruction set is in use, in words."""

def environment_complaints() -> list[str]:
    """What is wrong with `BPTT_NUM_THREADS` and `BPTT_ISA`, one sentence for each; empty if nothing."""

def use_isa(name: str) -> None: ...
def barrier_time() -> float: ...
def fma_peak(dtype: Literal["float32", "float64"] = "float32") -> float:
    """Multiply-adds of one thread on registers alone, GFLOP/s: the bound of every matrix kernel."""

def build_config() -> dict[str, Any]: ...
