"""Benchmark cases: sizes, the cells and modes of each size, and their amount of arithmetic."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, Literal

GATES = {"lstm": 4, "gru": 3, "rnn": 1}
CELLS = tuple(GATES)

MODES = {
    "inference": "a whole sequence, with weights packed once",
    "training": "forward and backward pass, with the gradients of the input and all parameters",
    "streaming": "one time step per call from Python",
    "iteration": "a whole training iteration, from the embedding to the optimizer",
    "variants": "training with an option, and without it ('plain')",
    "memory": "peak resident memory of a training step",
}

PRECISIONS = {
    "highest": ("inference", "training", "streaming", "iteration", "variants", "memory"),
    "bfloat16": ("inference", "training", "streaming"),
    "int8": ("inference", "streaming"),
}
"""Modes that can be timed in each precision. "highest" is float32."""

STREAMED = 64
"""Number of steps of one streaming run. Times are per step."""

DIVIDED_ROWS = 32
"""Smallest batch with enough work for two threads."""

_BOTH = ("inference", "training")
_STREAM = ("streaming",)
_TRAIN = ("training",)
_INFER = ("inference",)
_WHOLE = ("iteration",)
_VARIANT = ("variants",)


VARIANTS: dict[str, dict[str, Any]] = {
    "peephole": {"peephole": True},
    "coupled": {"coupled": True},
    "no forget gate": {"forget_gate": False},
    "activations": {"activations": ("hard_sigmoid", "gelu", "tanh")},
    "cell clip": {"cell_clip": 1.0},
    "gate clip": {"gate_clip": 3.0},
    "layer norm": {"layer_norm": True},
    "zoneout": {"zoneout": 0.1},
    "recurrent dropout": {"recurrent_dropout": 0.2},
    "input dropout": {"input_dropout": 0.2},
    "projection": {"proj_size": 64},
    "ragged": {},
    "checkpoint": {},
}
"""Options by the name of a shape in the mode "variants"."""


@dataclass(frozen=True)
class Shape:
    """T steps of B rows, I inputs, H units. `cells` and `modes` are those that are timed."""

    name: str
    T: int
    B: int
    I: int
    H: int
    layers: int = 1
    bidirectional: bool = False
    modes: tuple[str, ...] = field(default=_BOTH, compare=False)
    cells: tuple[str, ...] = field(default=CELLS, compare=False)
    denormal: bool = False
    """Whether all values are near 1e-39. Such a case tests robustness, and does not count in the means."""

    def __str__(self) -> str:
        kind = f" {self.layers} layers" * (self.layers > 1) + " bidirectional" * self.bidirectional
        return f"{self.name}: T={self.T} B={self.B} I={self.I} H={self.H}{kind}"

    @property
    def directions(self) -> int:
        return 2 if self.bidirectional else 1

    def plain(self) -> dict[str, Any]:
        """Return the fields that differ from their defaults, except `modes` and `cells`."""
        return {
            entry.name: getattr(self, entry.name)
            for entry in fields(self)
            if entry.compare and getattr(self, entry.name) != entry.default
        }


@dataclass(frozen=True)
class Case:
    """One row of a table, for any number of threads."""

    cell: str
    shape: Shape
    mode: str
    precision: str = "highest"

    def __str__(self) -> str:
        return f"{self.cell} {self.mode}{'' if self.precision == 'highest' else ' ' + self.precision}"

    @property
    def checkpoint(self) -> Literal["auto"] | None:
        """The argument `checkpoint` of `forward`."""
        return "auto" if self.shape.name == "checkpoint" and self.mode != "training" else None

    @property
    def divides(self) -> bool:
        """Whether two threads should be nearly twice as fast as one."""
        return self.mode in ("inference", "training", "iteration") and self.shape.B >= DIVIDED_ROWS

    @property
    def steps(self) -> int:
        """Number of time steps of one call."""
        return STREAMED if self.mode == "streaming" else self.shape.T

    @property
    def per_call(self) -> int:
        """Divisor of the time of a call: the number of steps for streaming, otherwise 1."""
        return self.steps if self.mode == "streaming" else 1

    @property
    def gflop(self) -> float:
        """Arithmetic of the recurrent layers' matrix products, in 1e9 operations; per step for streaming.

        The backward pass has two products, for dx and dW, for each product of the forward pass. (An iteration
        may skip the first dx.)
        """
        shape = self.shape
        inputs = shape.I + (shape.layers - 1) * shape.directions * shape.H
        columns = shape.directions * GATES[self.cell] * shape.H
        forward = 2e-9 * (self.steps / self.per_call) * shape.B * columns * (inputs + shape.layers * shape.H)
        return forward * (3.0 if self.mode in ("training", "iteration") else 1.0)

    def plain(self) -> dict[str, Any]:
        """Return the case as JSON values."""
        precision = {} if self.precision == "highest" else {"precision": self.precision}
        return {"cell": self.cell, "mode": self.mode, **precision, "shape": self.shape.plain()}


def case_of(values: dict[str, Any]) -> Case:
    """Return the case that `Case.plain` described."""
    shape = Shape(**values["shape"])
    return Case(values["cell"], shape, values["mode"], values.get("precision", "highest"))


GRID = (
    Shape("guitar amplifier", 1, 1, 1, 32, modes=_STREAM),
    Shape("guitar amplifier, block", 64, 1, 1, 32, modes=_INFER),
    Shape("noise suppression", 1, 1, 114, 96, modes=_STREAM),
    Shape("noise suppression", 2000, 32, 114, 96, modes=("training", "memory")),
    Shape("DeepAR", 48, 32, 40, 40, layers=2, modes=_TRAIN),
    Shape("char-rnn", 50, 50, 65, 128, layers=2, modes=_TRAIN),
    Shape("IMDB", 80, 32, 128, 128),
    Shape("DeepBench", 1, 1, 256, 256, modes=_STREAM),
    *(Shape("DeepBench", 150, B, 256, 256) for B in (1, 4, 64)),
    *(Shape("DeepBench", 25, B, 512, 512) for B in (1, 16, 64)),
    Shape("DeepBench", 25, 64, 1024, 1024),
    Shape("translation", 50, 128, 512, 512),
    Shape("translation", 50, 128, 256, 256, bidirectional=True),
    Shape("speech", 300, 64, 123, 320, bidirectional=True, cells=("lstm", "gru")),
    *(
        Shape("GRU inference", 30, B, H, H, modes=_INFER, cells=("gru",))
        for H in (512, 1024)
        for B in (8, 16, 32)
    ),
    Shape("DeepBench", 375, 32, 1024, 1024, modes=_TRAIN, cells=("gru",)),
    Shape("Deep Speech", 50, 16, 1760, 1760, cells=("rnn",)),
    Shape("many rows", 32, 128, 32, 64, modes=_INFER),
    Shape("PTB medium", 35, 20, 650, 650, layers=2, modes=_TRAIN),
    Shape("large", 100, 64, 512, 512, modes=("training", "memory")),
    Shape("char-rnn", 50, 50, 128, 128, layers=2, modes=_WHOLE, cells=("lstm",)),
    Shape("DeepAR", 48, 32, 40, 40, layers=2, modes=_WHOLE, cells=("lstm",)),
    Shape("noise suppression", 2000, 32, 114, 96, modes=_WHOLE, cells=("gru",)),
    *(Shape("small streams", 1, 1, H, H, modes=_STREAM) for H in (32, 64, 128)),
    Shape("denormal values", 100, 32, 64, 128, denormal=True),
    *(
        Shape(name, 100, 32, 128, 128, modes=_VARIANT, cells=("lstm",))
        for name in VARIANTS
        if name not in ("ragged", "checkpoint")
    ),
    Shape("peephole", 100, 16, 64, 64, modes=_VARIANT, cells=("lstm",)),
    Shape("ragged", 1000, 32, 64, 128, modes=_VARIANT),
    Shape("checkpoint", 100_000, 1, 256, 256, modes=("variants", "memory"), cells=("lstm",)),
)

QUICK = (
    Shape("step", 1, 1, 32, 32, modes=(*_BOTH, "streaming")),
    Shape("one row", 100, 1, 64, 64),
    Shape("one row", 100, 1, 128, 256),
    Shape("small", 50, 16, 64, 64),
    Shape("medium", 100, 32, 64, 128),
    Shape("wide", 50, 64, 256, 256),
    Shape("large", 100, 64, 512, 512),
    Shape("long", 1000, 8, 16, 64),
)
"""One shape of each kind: from single rows to large batches, and from short to long sequences."""


def cases(
    shapes: Sequence[Shape],
    cells: Sequence[str],
    modes: Sequence[str],
    contains: str = "",
    precision: str = "highest",
) -> Iterator[Case]:
    """Yield the cases whose printed shape contains a string, grouped by mode and cell."""
    for mode in modes:
        for cell in cells:
            for shape in shapes:
                if mode in shape.modes and cell in shape.cells and contains in str(shape):
                    yield Case(cell, shape, mode, precision)
