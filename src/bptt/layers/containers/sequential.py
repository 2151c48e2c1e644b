"""A chain of layers, with all parameters in one flat vector."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Literal, TypeVar, cast, overload

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed
from bptt.arrays import Floats
from bptt.layers.containers.container import Container, Run, RunBack
from bptt.layers.containers.inputs import arrays_of, main_array, ports
from bptt.layers.containers.joins import check_joins, check_layers
from bptt.layers.containers.parts import Key, per_part
from bptt.layers.containers.stages import ModelStage
from bptt.layers.containers.traverse import iter_layers
from bptt.layers.kinds import build_layer
from bptt.layers.module import Module
from bptt.layers.passes.stages import Stage
from bptt.layers.passes.tape import ModelTape
from bptt.layers.stateless.repeat import Repeat
from bptt.layers.stateless.stateless import Stateless

if TYPE_CHECKING:
    from typing_extensions import Self, TypeVarTuple, Unpack

    Layers = TypeVarTuple("Layers", default=Unpack[tuple[Any, ...]])
    First = TypeVar("First")
    Second = TypeVar("Second")
    Third = TypeVar("Third")
    Fourth = TypeVar("Fourth")
    Final = TypeVar("Final")

    class Chain(Container, Generic[Unpack[Layers]]):
        """A model with the types of its layers, so that type checkers know that `model[0]` is an LSTM."""

else:

    class Chain(Container):
        def __class_getitem__(cls, types: Any) -> type[Chain]:
            return cls


class Sequential(Chain["Unpack[Layers]"]):
    """Chain of layers: each layer reads the output of the layer before it.

    The model copies the parameters of its layers into one flat vector. The layers' views then refer to this
    vector, so training the model trains the layers. Parameter names begin with the index of the layer:
    `0.weight_ih_l0`.

    Parameters
    ----------
    *layers : Module
        At least one layer. All parameters have the same dtype. A layer belongs to one model at a time.
    seed : int, numpy.random.Generator or None
        Give every layer, including layers of nested models, an independent random stream, and draw its
        initial parameters again from this stream. The layers' own seeds then have no effect. Default: do not
        change the layers.

    Attributes
    ----------
    layers : tuple of Module
        The layers, which are also available by index, `model[0]`.

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ValueError
        If there are no layers, a layer occurs twice or belongs to another living model, or dtypes differ. If
        the layers cannot work in this order, see the notes. With `seed`: if a layer is a copy, or its
        parameters have changed since they were drawn.

    Warns
    -----
    UserWarning
        If `Last` follows a layer that reads from the end, where `Ends` is almost always meant.

    Notes
    -----
    `Last`, `Ends` and the pools return one vector per row. A recurrent layer may follow only after `Repeat`,
    and so may a second layer of this kind. `Ends` must come first, or follow a layer with
    `bidirectional=True` or `reverse=True`.
    `Embedding` must come first.

    The state is a tuple with one entry per layer, which is None for a layer without state.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> model = bptt.Sequential(bptt.LSTM(3, 8), bptt.Last(), bptt.Linear(8, 2), seed=0)
    >>> y, state = model(np.ones((20, 4, 3)))
    >>> y.shape
    (4, 2)
    >>> list(model.parameters)[:2]
    ['0.weight_ih_l0', '0.weight_hh_l0']
    """

    def __init__(self, *layers: Unpack[Layers], seed: Seed = None) -> None:
        modules = cast("tuple[Module, ...]", layers)
        check_layers(dict(enumerate(modules)), "Sequential(LSTM(8, 16), Linear(16, 2))")
        directions = check_joins([list(iter_chain(layer)) for layer in modules])
        self._join(dict(enumerate(modules)), seed)
        for ends, reverse in directions:
            ends.reverse = reverse

    @property
    def layers(self) -> tuple[Unpack[Layers]]:
        """The layers, in the order in which they run."""
        return cast("tuple[Unpack[Layers]]", tuple(self.parts.values()))

    def __len__(self) -> int:
        return len(self.parts)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.parts.values())

    @overload
    def __getitem__(self: Sequential[First, Unpack[tuple[Any, ...]]], index: Literal[0]) -> First: ...
    @overload
    def __getitem__(self: Sequential[Any, Second, Unpack[tuple[Any, ...]]], index: Literal[1]) -> Second: ...
    @overload
    def __getitem__(
        self: Sequential[Any, Any, Third, Unpack[tuple[Any, ...]]], index: Literal[2]
    ) -> Third: ...
    @overload
    def __getitem__(
        self: Sequential[Any, Any, Any, Fourth, Unpack[tuple[Any, ...]]], index: Literal[3]
    ) -> Fourth: ...
    @overload
    def __getitem__(self: Sequential[Unpack[tuple[Any, ...]], Final], index: Literal[-1]) -> Final: ...
    @overload
    def __getitem__(self, index: int) -> Any: ...
    def __getitem__(self, index: int) -> Any:
        return tuple(self.parts.values())[index]

    def connect(self, x: Any, state: Any, run: Run) -> tuple[Any, tuple[Any, ...]]:
        states = list(self.per_part(state, "state"))
        for key in range(len(self)):
            x, states[key] = run(key, x, states[key])
        return x, tuple(states)

    def connect_back(
        self, tape: ModelTape, dy: Any, dstate: Any, run: RunBack, need_dx: bool
    ) -> tuple[Any, tuple[Any, ...]]:
        dstates = list(self.per_part(dstate, "dstate"))
        first = 0  # the first layer that needs an error
        while not need_dx and first < len(self) - 1 and not _needs_error(self.parts[first]):
            first += 1
        for key in reversed(range(first, len(self))):
            dy, dstates[key] = run(key, dy, dstates[key], need_dx or key > first)
        return dy if need_dx else None, tuple(dstates)

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> ModelStage:
        stages: dict[Key, Stage] = {}
        if before is None and self.parts[0].keeps_width:
            before = self.step_input(batch_size)
        for key, layer in self.parts.items():
            with self.naming(key):
                stages[key] = layer.stage(batch_size, before, precision=precision)
            before = stages[key].output

        def run(x: Any, part: Callable[[Key, Any], Floats]) -> Floats:
            for key in stages:
                x = part(key, x)
            return x  # type: ignore[no-any-return]

        state_of = partial(per_part, self.parts, name="state", pattern=self.state_pattern)
        return ModelStage(stages, stages[0].input, stages[len(self) - 1].output, run=run, per_part=state_of)

    @property
    def reads_time(self) -> bool:
        for part in self:
            if part.reads_time or part.steps_made:
                return part.reads_time
        return False

    def check_steps(self, x: Any, options: Mapping[str, Any]) -> None:
        chain = list(iter_chain(self)) if options and self.steps_made and self.reads_time else []
        repeat = next((layer for layer in chain if isinstance(layer, Repeat)), None)
        if repeat is None:
            return
        later = chain[chain.index(repeat) :]
        main = ports(self)[0]
        shape = np.shape(main_array(x, main.path, "x"))
        axis = 1 if self.batch_first and len(shape) == 2 + main.features else 0
        if len(shape) <= axis or shape[axis] == repeat.steps:
            return
        for name in options:
            for layer in later:
                if name in layer.call_options:
                    raise ValueError(
                        f"{name} must be None if x and Repeat have other numbers of steps, because it would "
                        f"also reach the {layer.kind} after Repeat; got {shape[axis]} steps in x and "
                        f"{repeat.steps} of Repeat. Fix: use EncoderDecoder, whose parts have {name} of "
                        "their own."
                    )

    @property
    def keeps_width(self) -> bool:
        return all(layer.keeps_width for layer in self)

    def sample(self, T: int | None, B: int, *, batch_first: bool = False) -> Any:
        x = self._sized().sample(T, B, batch_first=batch_first or self.batch_first)
        # Layers of a Parallel share the one array that the first layer returns.
        return next(iter(arrays_of(x).values())) if self.parts[0].keeps_width else x

    def step_input(self, batch_size: int) -> npt.NDArray[Any]:
        return self._sized().step_input(batch_size)

    def _sized(self) -> Module:
        """Return the first layer that knows the width of x, which the layers before it keep."""
        return next((layer for layer in self if not layer.keeps_width), self.parts[0])

    def rebuilt(self, parts: Mapping[Key, Module]) -> Sequential:
        return Sequential(*parts.values())

    def config(self) -> dict[str, Any]:
        return {"layers": [{"kind": layer.kind, "config": layer.config()} for layer in self]}

    @classmethod
    def _build(cls, config: Mapping[str, Any]) -> Self:
        if set(config) != {"layers"} or not isinstance(config["layers"], list):
            raise ValueError(
                f"config must hold one list, layers; got {sorted(config)}. Fix: pass the result of config()."
            )
        layers: tuple[Any, ...] = tuple(map(build_layer, config["layers"]))
        return cls(*layers)

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self))})"


def _needs_error(layer: Module) -> bool:
    """Return whether `backward` of a layer computes more than dx."""
    return any(
        not isinstance(part, Stateless) or (part.trainable and part.parameter_count > 0)
        for part in iter_layers(layer)
    )


def iter_chain(layer: Module) -> Iterator[Module]:
    """Yield the layers of a chain, including those of chains inside it, in the order of a pass."""
    if isinstance(layer, Sequential):
        for part in layer:
            yield from iter_chain(part)
    else:
        yield layer
