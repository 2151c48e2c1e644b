"""Base class of every layer and model.

All parameters lie in one flat vector, and all layers have the same calling protocol.
"""

from __future__ import annotations

import copy
import inspect
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar
from zlib import crc32

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, check_same, float_dtype, generator, short
from bptt.arrays import Floats, aligned_empty, aligned_zeros, as_floats, constant_zeros
from bptt.layers.advice import unadvised
from bptt.layers.blank import Blank, blank_root
from bptt.layers.budget import parameter_budget, spend
from bptt.layers.flat_vectors import Table as Table
from bptt.layers.inference import Deployed
from bptt.layers.initialisers import Init as Init
from bptt.layers.initialisers import Initialiser, parse_init
from bptt.layers.notebook import model_html
from bptt.layers.passes.tape import Tape
from bptt.layers.undrawn import undrawn_gradients

if TYPE_CHECKING:
    from typing_extensions import Self


_PRECISIONS = {
    "bfloat16": 'leave dtype out, and pass precision="bfloat16" to layers with products',
    "int8": 'leave dtype out, and call layer.freeze(precision="int8") for inference',
}
"""What to do in place of a dtype that layers do not have."""


class Module(Deployed, ABC):
    """A layer or a model. Derive your own layers from it.

    A layer of your own defines `forward`, `backward` and, if it has parameters, `parameter_shapes`. Its
    constructor ends with `allocate()`. `register` lets files hold it.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of parameters, gradients, states and outputs.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters and dropout masks. With the same int, layers of the same class and
        sizes draw the same numbers. Layers of different classes or sizes draw independent numbers. Layers may
        share a generator.

    Attributes
    ----------
    parameters, gradients : Mapping[str, ndarray]
        Named views into the two flat vectors, with the names and shapes of PyTorch.
    dtype : numpy.dtype
    rng : numpy.random.Generator
    kind : str
        The class name, which a checkpoint stores.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class Square(bptt.Module):
    ...     def __init__(self, dtype="float32", seed=None):
    ...         super().__init__(dtype, seed)
    ...         self.allocate()
    ...     def forward(self, x, state=None):
    ...         return x * x, state, bptt.LayerTape(self, x)
    ...     def backward(self, tape, dy=None, dstate=None, *, need_dx=True):
    ...         return 2 * tape.saved * dy, dstate
    >>> bptt.gradcheck(Square(), np.ones((20, 4, 3))).passed
    True
    """

    kind: ClassVar[str]
    call_options: ClassVar[frozenset[str]] = frozenset()
    """The arguments of a call other than x and state.

    `lengths` has the number of valid steps of each row, `reset` the steps where its state starts again, and
    `skip` the steps that a row does not have.
    """
    built_with: ClassVar[frozenset[str]] = frozenset()
    """Arguments of the constructor whose attributes cannot be assigned, because the built layer has them."""
    memory_gates: tuple[tuple[int, int], ...] = ()
    """The gates whose biases `bptt.init.chrono` sets, by their block of rows.

    (block, 1) is a gate that keeps the old state, and (block, -1) a gate that lets in the new state.
    """
    dtype: np.dtype[Any]
    _model: weakref.ref[Module] | None = None  # the Sequential whose vectors hold the parameters
    initialiser: Initialiser | None = None
    """The initialiser that drew the initial parameters. None for a copy, and inside `undrawn`."""
    _checksum: int | None = None  # of the initial parameters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = cls.__name__

    def __init__(self, dtype: object, seed: Seed) -> None:
        self.dtype = float_dtype(dtype, _PRECISIONS)
        self.rng = generator(seed)
        self._seed = None if isinstance(seed, np.random.Generator) else seed

    def __setattr__(self, name: str, value: object) -> None:
        if name in self.built_with and name in self.__dict__:
            check_same(value, name, self.__dict__[name], self.kind)
        super().__setattr__(name, value)

    # The protocol

    def __call__(self, x: Any, state: Any = None) -> tuple[Any, Any]:
        """Run inference, without a tape or dropout, and return (y, state).

        A layer may return state None. By default, the outputs are those of `forward`.
        """
        y, state, _ = self.forward(x, state)
        return y, state

    @abstractmethod
    def forward(self, x: Any, state: Any = None) -> tuple[Floats, Any, Tape]:
        """Run the layer for training, and return (y, state, tape)."""

    def check_dstate(self, tape: Any, dstate: Any, steps: int | None) -> None:
        """Raise the errors of `backward` for these arguments, before a model runs its layers backward."""

    @abstractmethod
    def backward(
        self, tape: Any, dy: Any = None, dstate: Any = None, *, need_dx: bool = True
    ) -> tuple[Floats | None, Any]:
        """Backpropagate the errors of the outputs, and return (dx, dstate).

        `tape` is a tape that `forward` of this layer returned.

        Adds to `gradients`. None stands for zeros in `dy` and `dstate`. With `need_dx=False`, dx is None,
        which may save its computation. dx is also None if x has no gradient, as for `Embedding`.
        """

    def config(self) -> dict[str, Any]:
        """Return the constructor arguments as JSON values, without seed, init and parameters.

        By default, these are the attributes that have the names of the arguments.
        """
        names = [name for name in inspect.signature(type(self)).parameters if name not in ("seed", "init")]
        for name in names:
            if not hasattr(self, name):
                raise AttributeError(
                    f"{self.kind} must have an attribute {name}, the value of its argument; got none. "
                    f"Fix: write self.{name} = {name} in the constructor, or define config()."
                )
        values = {name: getattr(self, name) for name in names}
        return values | {"dtype": self.dtype.name} if "dtype" in values else values

    def parameter_shapes(self) -> Mapping[str, tuple[int, ...]]:
        """Return the shapes of the parameters by name, in the order of the flat vector. Default: none."""
        return {}

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """Draw the initial values of one parameter.

        By default, they are uniform in +-1/sqrt(n), where n is the size of the last axis.
        """
        bound = 1.0 / math.sqrt(max(1, shape[-1])) if shape else 1.0
        return self.rng.uniform(-bound, bound, shape)

    # Initial values

    @property
    def is_initial(self) -> bool:
        """Whether the parameters have not changed since the constructor drew them.

        False for a copy.
        """
        return self.initialiser is not None and self._checksum == crc32(self.flat_parameters.data)

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw new initial parameters, as the constructor did.

        `rng` becomes the generator of the layer, also for dropout masks.

        Raises
        ------
        ValueError
            If the layer is a copy, which does not know how its parameters were drawn.
        """
        if self.initialiser is None:
            raise ValueError(
                f"layer must be newly built to be initialised; got a copy, {self.kind}. Fix: build a new one."
            )
        self._start(rng, self.initialiser)

    def _start(self, rng: np.random.Generator, initialiser: Initialiser) -> None:
        self.rng = rng
        self._draw(initialiser)
        self.initialiser, self._checksum = initialiser, crc32(self.flat_parameters.data)

    def _draw(self, initialiser: Initialiser) -> None:
        """Write initial values into the parameters.

        Layers with options for initial values extend it.
        """
        for name, view in self.parameters.items():
            value = initialiser.draw(self, name, view.shape, self.rng)
            view[...] = as_floats(value, f"init({name!r})", self.dtype, view.shape)

    def allocate(self, init: Init = "default") -> None:
        """Allocate the two vectors, and draw the initial values.

        Constructors end with this call.

        Parameters
        ----------
        init : str, Initialiser or callable
            "default": `default_init`. Or one of `bptt.init`, or init(name, shape, rng) -> array.
        """
        initialiser = parse_init(init)
        initialiser.check(self)
        table = list(self.parameter_shapes().items())
        count = sum(math.prod(shape) for _, shape in table)
        spend(count, self.dtype)
        if (gradients := undrawn_gradients()) is not None:
            self.refer_to(aligned_empty(count, self.dtype), gradients(count, self.dtype), table)
            return
        self.bind(aligned_zeros(count, self.dtype), aligned_zeros(count, self.dtype))
        rng = self.rng
        if self._seed is not None:  # different layers with the same seed must draw independent numbers
            sizes = table[0][1] if table else ()
            rng = generator(self._seed, int.from_bytes(self.kind.encode(), "little"), *sizes)
        self._start(rng, initialiser)

    def bind(self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any]) -> None:
        """Make the views refer to these two vectors, whose values do not change."""
        self.dtype = flat_parameters.dtype
        self.refer_to(flat_parameters, flat_gradients, list(self.parameter_shapes().items()))

    # Building, copying, showing

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, parameter_count: int | None = None) -> Self:
        """Build a new layer from the result of `config()`, with new initial parameters.

        Parameters
        ----------
        config : Mapping[str, JSON value]
            Constructor arguments.
        parameter_count : int, optional
            Expected number of parameters. Use it for configurations read from files: a configuration with
            more parameters raises an error before memory is allocated.

        Raises
        ------
        TypeError
            If `config` is not a mapping. If arguments are unknown or missing, or have the wrong type.
        ValueError
            If values are out of range, or the number of parameters is not `parameter_count`.
        """
        if not isinstance(config, Mapping):
            raise TypeError(
                f"config must be a mapping from names to values; got {short(config)}. "
                "Fix: pass the result of config()."
            )
        with unadvised():
            if parameter_count is None:
                return cls._build(config)
            with parameter_budget(parameter_count):
                module = cls._build(config)
        if module.parameter_count != parameter_count:
            raise ValueError(
                f"config must describe {parameter_count} parameters; got {module.parameter_count}. "
                "Fix: use the configuration that was saved with the parameters."
            )
        return module

    @classmethod
    def _build(cls, config: Mapping[str, Any]) -> Self:
        """Build a layer from its `config()`. By default, these are its arguments."""
        try:
            inspect.signature(cls).bind(**config)
        except TypeError as error:
            raise TypeError(
                f"config must hold the arguments of {cls.__name__}: {error}. "
                "Fix: pass what config() returned."
            ) from None
        return cls(**config)

    def __copy__(self) -> Self:
        # A shallow copy would share its layers with this model, but a layer belongs to one model at a time.
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        # A copy or a pickle would turn the views into separate arrays, so they are rebuilt from the vectors.
        derived = (
            "_model",
            "initialiser",
            "_checksum",
            "parameters",
            "gradients",
            "_flat_parameters",
            "_flat_gradients",
        )
        state = {name: value for name, value in self.__dict__.items() if name not in derived}
        if is_inside(self, blank_root()):
            return state | {"flat": Blank(self.parameter_count, self.dtype)}
        return state | {"flat": (self.flat_parameters.copy(), self.flat_gradients.copy())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        flat = state.pop("flat")
        self.__dict__.update(state)
        if isinstance(flat, Blank):
            self.bind(aligned_empty(*flat), constant_zeros(*flat))
            return
        vectors = []
        for values in flat:
            vectors.append(aligned_zeros(values.size, values.dtype))
            vectors[-1][...] = values
        self.bind(*vectors)

    def _repr_html_(self) -> str:
        return model_html([("", self)], self.output_shapes())

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        arguments = [
            f"{name}={value!r}" for name, value in self.config().items() if value != defaults[name].default
        ]
        return f"{self.kind}({', '.join(arguments)})"


def is_inside(module: Module, model: object) -> bool:
    """Return whether a model, or a model inside it, holds the parameters of a module."""
    current: Module | None = module
    while current is not None and current is not model:
        current = model_of(current)
    return current is not None


def model_of(module: Module) -> Module | None:
    """Return the Sequential whose vectors hold the module's parameters, or None."""
    return None if module._model is None else module._model()


def set_model(module: Module, model: Module) -> None:
    """Store a reference to the model whose vectors hold the module's parameters."""
    module._model = weakref.ref(model)
