"""Base class of every layer and model: parameters in one flat vector, and one calling protocol."""

from __future__ import annotations

import copy
import inspect
import math
import weakref
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar, TypeAlias
from zlib import crc32

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, float_dtype, generator
from bptt.arrays import Floats, aligned_zeros, as_floats
from bptt.layers.advice import unadvised
from bptt.layers.budget import parameter_budget, spend
from bptt.layers.initialisers import Init as Init
from bptt.layers.initialisers import Initialiser, parse_init
from bptt.layers.passes.tape import Tape
from bptt.layers.tensors import IncompatibleKeys, Tensors, check_state_dict, write_flat

if TYPE_CHECKING:
    from typing_extensions import Self

Table: TypeAlias = list[tuple[str, tuple[int, ...]]]


class Module(ABC):
    """
    A layer or a model.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of parameters, gradients, states and outputs.
    seed : int, numpy.random.Generator or None
        Source of the initial parameters and dropout masks. The same int gives layers of different classes or
        sizes independent numbers, and layers of the same class and sizes the same numbers. Layers may share a
        generator.

    Attributes
    ----------
    parameters, gradients : Mapping[str, ndarray]
        Named views into the two flat vectors, in PyTorch's names and shapes.
    dtype : numpy.dtype
    rng : numpy.random.Generator
    kind : str
        The class name, under which a checkpoint finds the class again.
    """

    kind: ClassVar[str]
    call_options: ClassVar[frozenset[str]] = frozenset()
    """What calls take beside x and state: `lengths`, how many steps of each row are valid; `reset`, where its
    state starts again."""
    memory_gates: tuple[tuple[int, int], ...] = ()
    """Blocks of rows whose gate keeps the old state, (block, 1), or lets in the new, (block, -1), as
    `bptt.init.chrono` needs to know."""
    dtype: np.dtype[Any]
    parameters: Tensors
    gradients: Tensors
    _model: weakref.ref[Module] | None = None  # the Sequential whose vectors the views are seated on
    initialiser: Initialiser | None = None
    """What drew the initial parameters; None for a copy."""
    _checksum: int | None = None  # of the initial parameters

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        cls.kind = cls.__name__

    def __init__(self, dtype: object, seed: Seed) -> None:
        self.dtype = float_dtype(dtype)
        self.rng = generator(seed)
        self._seed = None if isinstance(seed, np.random.Generator) else seed

    # The protocol

    @abstractmethod
    def __call__(self, x: Any, state: Any = None) -> tuple[Floats, Any]:
        """Run inference, without a tape or dropout: (y, state). Layers without state return None for it."""

    @property
    def state_pattern(self) -> str:
        """How the layer's state looks, for messages."""
        return "state"

    @abstractmethod
    def forward(self, x: Any, state: Any = None) -> tuple[Floats, Any, Tape]:
        """Training: (y, state, tape)."""

    @abstractmethod
    def backward(
        self, tape: Tape, dy: Any = None, dstate: Any = None, *, need_dx: bool = True
    ) -> tuple[Floats | None, Any]:
        """
        Errors of the outputs to errors of the inputs: (dx, dstate). Adds to `gradients`.

        None stands for zero in `dy` and `dstate`. With `need_dx=False` dx comes back as None, which may save
        its computation. It does so too where x has no gradient, as for `Embedding`.
        """

    @abstractmethod
    def config(self) -> dict[str, Any]:
        """The constructor arguments that determine the layer, as JSON values; neither seed nor parameters."""

    @abstractmethod
    def _table(self) -> Table:
        """Names and shapes of the parameters, in the order in which they lie in the flat vector."""

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        """A draw of one tensor's initial values. Layers with parameters define it."""
        raise NotImplementedError(f"{self.kind} has no parameters to initialise, got {name!r} {shape}")

    # Parameters and gradients

    @property
    def flat_parameters(self) -> npt.NDArray[Any]:
        """All parameters in one vector. Assigning writes into the vector."""
        return self._flat_parameters

    @flat_parameters.setter
    def flat_parameters(self, value: object) -> None:
        write_flat(self._flat_parameters, value, "flat_parameters")

    @property
    def flat_gradients(self) -> npt.NDArray[Any]:
        """All gradients in one vector, laid out as `flat_parameters`. Assigning writes into the vector."""
        return self._flat_gradients

    @flat_gradients.setter
    def flat_gradients(self, value: object) -> None:
        write_flat(self._flat_gradients, value, "flat_gradients")

    @property
    def parameter_count(self) -> int:
        """How many numbers the parameters are."""
        return int(self._flat_parameters.size)

    def zero_grad(self) -> None:
        """Set all gradients to zero. `backward` adds; nothing else here zeroes."""
        self._flat_gradients.fill(0)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Copies of all parameters by name."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """
        Set the parameters from a mapping of names to arrays, PyTorch tensors included.

        Everything is checked before anything is written.

        Parameters
        ----------
        mapping : Mapping[str, array-like]
            Each of the shape of the parameter it names; converted to the layer's dtype. PyTorch's parameters
            are detached.
        strict : bool
            False: load the names that match, and return the others.

        Returns
        -------
        IncompatibleKeys
            Two lists of names, `missing_keys` and `unexpected_keys`, as in PyTorch. Both empty with `strict`.

        Raises
        ------
        TypeError
            Not a mapping, or a value that is not an array of real numbers.
        ValueError
            Missing or unexpected names (listed), wrong shapes, values too large for the dtype. With
            `strict=False`, a mapping that holds no parameter of this model.
        """
        values, unused = check_state_dict(self.parameters, mapping, flag(strict, "strict"))
        for name, value in values.items():
            self.parameters[name][...] = value
        return unused

    @property
    def is_initial(self) -> bool:
        """Whether the parameters still are those that the constructor drew; False for a copy."""
        return self.initialiser is not None and self._checksum == crc32(self._flat_parameters.data)

    def initialise(self, rng: np.random.Generator) -> None:
        """
        Draw new initial parameters, as the constructor did, and use `rng` for dropout masks from now on.

        Raises
        ------
        ValueError
            A layer that is a copy: it does not know how its parameters were drawn.
        """
        if self.initialiser is None:
            raise ValueError(
                f"layer must be newly built to be initialised; got a copy, {self.kind}. Fix: build a new one."
            )
        self._start(rng, self.initialiser)

    def _start(self, rng: np.random.Generator, initialiser: Initialiser) -> None:
        self.rng = rng
        self._draw(initialiser)
        self.initialiser, self._checksum = initialiser, crc32(self._flat_parameters.data)

    def _draw(self, initialiser: Initialiser) -> None:
        """Write initial values into the parameters. Layers whose options set some of them extend it."""
        for name, view in self.parameters.items():
            value = initialiser.draw(self, name, view.shape, self.rng)
            view[...] = as_floats(value, f"init({name!r})", self.dtype, view.shape)

    def _allocate(self, init: Init) -> None:
        """Give the layer its two vectors and its initial values. Constructors end with this call."""
        initialiser = parse_init(init)
        initialiser.check(self)
        table = self._table()
        count = sum(math.prod(shape) for _, shape in table)
        spend(count, self.dtype)
        self.bind(aligned_zeros(count, self.dtype), aligned_zeros(count, self.dtype))
        rng = self.rng
        if self._seed is not None:  # layers with one seed must not draw the same numbers
            sizes = table[0][1] if table else ()
            rng = generator(self._seed, int.from_bytes(self.kind.encode(), "little"), *sizes)
        self._start(rng, initialiser)

    def bind(self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any]) -> None:
        """Seat the views on these two vectors, whose values stay as they are."""
        self.dtype = flat_parameters.dtype
        table = self._table()
        self._flat_parameters = flat_parameters
        self._flat_gradients = flat_gradients
        self.parameters = Tensors(flat_parameters, table, "parameter")
        self.gradients = Tensors(flat_gradients, table, "gradient of")

    # Building, copying, showing

    @classmethod
    def from_config(cls, config: Mapping[str, Any], *, parameter_count: int | None = None) -> Self:
        """
        A new layer from what `config()` returned, freshly initialised.

        Parameters
        ----------
        config : Mapping[str, JSON value]
            Constructor arguments.
        parameter_count : int, optional
            How many parameters there must be. With it, a configuration that asks for more raises before
            anything is allocated: for configurations read from files.

        Raises
        ------
        TypeError
            Unknown or missing arguments, or values of the wrong kind.
        ValueError
            Values out of range, or another number of parameters than `parameter_count`.
        """
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
        """A layer from its `config()`: by default, its constructor arguments."""
        try:
            inspect.signature(cls).bind(**config)
        except TypeError as error:
            raise TypeError(
                f"config must hold the arguments of {cls.__name__}: {error}. "
                "Fix: pass what config() returned."
            ) from None
        return cls(**config)

    def __copy__(self) -> Self:
        # A shallow copy would share its layers with the first model, and take their views away from it.
        return copy.deepcopy(self)

    def __getstate__(self) -> dict[str, Any]:
        # The views would come back from a copy or a pickle as arrays of their own.
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
        return state | {"flat": (self._flat_parameters.copy(), self._flat_gradients.copy())}

    def __setstate__(self, state: dict[str, Any]) -> None:
        flat = state.pop("flat")
        self.__dict__.update(state)
        vectors = []
        for values in flat:
            vectors.append(aligned_zeros(values.size, values.dtype))
            vectors[-1][...] = values
        self.bind(*vectors)

    def __repr__(self) -> str:
        defaults = inspect.signature(type(self)).parameters
        shown = [
            f"{name}={value!r}" for name, value in self.config().items() if value != defaults[name].default
        ]
        return f"{self.kind}({', '.join(shown)})"


def model_of(module: Module) -> Module | None:
    """The living Sequential whose vectors hold the module's parameters, or None."""
    return None if module._model is None else module._model()


def set_model(module: Module, model: Module) -> None:
    """Remember that the model's vectors hold the module's parameters."""
    module._model = weakref.ref(model)
