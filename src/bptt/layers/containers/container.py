"""Base class of models: calls of named layers."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag, integer
from bptt.arrays import Floats
from bptt.layers.containers.model_parts import ModelParts, placed
from bptt.layers.containers.parts import Key, accepted, inside
from bptt.layers.cost_table import CostTable
from bptt.layers.module import Module
from bptt.layers.notebook import model_html
from bptt.layers.passes.clip_state import ClipsState, parse_clip_state
from bptt.layers.passes.out import check_dx_out, check_out, written
from bptt.layers.passes.stages import Inference, Stage
from bptt.layers.passes.tape import ModelTape, Tape, check_tape
from bptt.layers.recurrent_calls import RecurrentCalls

Run: TypeAlias = Callable[[Key, Any, Any], tuple[Any, Any]]
"""Run a layer forward: (name, x, state) -> (y, state)."""

RunBack: TypeAlias = Callable[[Key, Any, Any, bool], tuple[Any, Any]]
"""Run a layer backward: (name, dy, dstate, need_dx) -> (dx, dstate)."""


class Container(ModelParts):
    """A model of several layers. Use `Sequential`, `Parallel` or `EncoderDecoder`.

    The model copies the parameters of its layers into one flat vector. The layers' views then refer to this
    vector, so training the model trains the layers. Parameter names begin with the name of the layer.

    Subclasses define `connect` and `connect_back`, which pass arrays from layer to layer, and `rebuilt`.

    Attributes
    ----------
    parts : dict
        The layers by name, in the order of the flat vector.
    """

    def _repr_html_(self) -> str:
        return model_html(placed(self, "model"), self.output_shapes())

    # The flow of arrays between layers

    @abstractmethod
    def connect(self, x: Any, state: Any, run: Run) -> tuple[Any, Any]:
        """Pass x through the layers by calls of `run`, and return the model's (y, state)."""

    @abstractmethod
    def connect_back(
        self, tape: ModelTape, dy: Any, dstate: Any, run: RunBack, need_dx: bool
    ) -> tuple[Any, Any]:
        """Pass errors back through the layers by calls of `run`, and return the model's (dx, dstate)."""

    @abstractmethod
    def rebuilt(self, parts: Mapping[Key, Module]) -> Container:
        """Build a model of the same kind from other layers with the same names."""

    def __call__(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        skip: Any = None,
        out: Floats | None = None,
    ) -> tuple[Floats, Any]:
        """Run inference through all layers.

        Parameters
        ----------
        x : array-like
            Input of the first layer.
        state : tuple, optional
            One entry per layer, None for zeros and for layers without state. Default: all None.
        lengths : array-like of int, optional
            (B,): number of valid steps of each row, for the recurrent layers and `Last`. Default: all.
        reset : array-like of bool, optional
            True where a row starts again from a state of zeros, for the recurrent layers. Default: never.
        skip : array-like of bool, optional
            True where a row has no step, for the recurrent layers and `Last`. Default: never.
        out : ndarray, optional
            Where to write y: an array of the model's dtype, in the shape of y. Default: a new array.

        Returns
        -------
        y : ndarray
            Output of the last layer.
        state : tuple
            One entry per layer.

        Raises
        ------
        TypeError, ValueError
            If the state does not have one entry per layer, or no layer accepts an option. If a layer
            raises an error, the message begins with the layer.
        """
        options = self._options(lengths=lengths, reset=reset, skip=skip)
        check_out(out, self.dtype)
        y, state = self._infer(self.parts, x, state, options)
        return written(out, y), state

    def packed(self, precision: str | None = None) -> Inference:
        calls = {key: layer.packed(precision) for key, layer in self.parts.items()}

        def call(x: Any, state: Any = None, **options: Any) -> tuple[Any, Any]:
            return self._infer(calls, x, state, self._options(**options))

        return call

    def _infer(
        self, calls: Mapping[Key, Inference], x: Any, state: Any, options: dict[str, Any]
    ) -> tuple[Any, Any]:
        self.check_steps(x, options)

        def run(key: Key, x: Any, state: Any) -> tuple[Any, Any]:
            with self.naming(key):
                return calls[key](x, state, **accepted(self.parts[key], self.select(key, options)))

        return self.connect(x, state, run)

    def forward(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        skip: Any = None,
        checkpoint: int | Literal["auto"] | None = None,
        out: Floats | None = None,
    ) -> tuple[Floats, Any, ModelTape]:
        """Run the model for training, and return (y, state, tape).

        Dropout is applied, and the tape is for `backward`. Arguments and errors are those of a call of the
        model. `checkpoint` is for the recurrent layers, see `LSTM.forward`.
        """
        options = self._options(lengths=lengths, reset=reset, skip=skip)
        check_out(out, self.dtype)
        self.check_steps(x, options)

        def forward(key: Key, x: Any, state: Any) -> tuple[Any, Any, Tape]:
            layer = self.parts[key]
            with self.naming(key):
                layer_options = accepted(layer, self.select(key, options))
                if checkpoint is not None and isinstance(layer, (RecurrentCalls, Container)):
                    layer_options["checkpoint"] = checkpoint
                return layer.forward(x, state, **layer_options)

        y, state, tape = self.taped(x, state, forward)
        return written(out, y), state, tape

    def taped(
        self, x: Any, state: Any, forward: Callable[[Key, Any, Any], tuple[Any, Any, Tape]]
    ) -> tuple[Any, Any, ModelTape]:
        """Run all layers by calls of `forward`, which return (y, state, tape), and collect their tapes."""
        tapes: dict[Key, Tape] = {}
        shapes: dict[Key, tuple[int, ...]] = {}

        def run(key: Key, x: Any, state: Any) -> tuple[Any, Any]:
            y, state, tapes[key] = forward(key, x, state)
            shapes[key] = np.shape(y)
            return y, state

        y, state = self.connect(x, state, run)
        each = tuple(self.parts)
        tape = ModelTape(
            self,
            tuple(tapes[key] for key in each),
            tuple(shapes[key] for key in each),
            named_inputs=isinstance(x, Mapping),
        )
        return y, state, tape

    def backward(
        self,
        tape: Tape,
        dy: Any = None,
        dstate: Any = None,
        *,
        clip_state: float | ClipsState | None = None,
        steps: int | None = None,
        need_dx: bool = True,
        keep_errors: bool = False,
        out: Floats | None = None,
    ) -> tuple[Any, Any]:
        """Backpropagate errors through all layers, last to first. Adds to `gradients`.

        Parameters
        ----------
        tape : ModelTape
            From this model's `forward`.
        dy : array-like, optional
            dL/dy, in the shape of y. Default: zeros.
        dstate : tuple, optional
            One entry per layer, None for zeros and for layers without state. Default: all None.
        clip_state : float, ClipValue or ClipNorm, optional
            In recurrent layers, clip the error of every step's state, see `LSTM.backward`.
        steps : int, optional
            In recurrent layers, go back at most `steps` steps from the end. Default: all.
        need_dx : bool
            False: return None for dx, which may save its computation.
        keep_errors : bool
            True: keep every dL/dh_t in the recurrent layers' tapes.
        out : ndarray, optional
            Where to write dx, if x is one array: an array of the model's dtype, in the shape of x.

        Returns
        -------
        dx : ndarray or None
            None also if x has no gradient, as for `Embedding`.
        dstate : tuple
            One entry per layer.

        Raises
        ------
        TypeError
            If `tape` is not a tape, or arrays do not hold real numbers.
        ValueError
            If the tape is from another model, or shapes are wrong.
        RuntimeError
            If another thread is in `backward` of this model.
        """
        model_tape = check_tape(tape, self, ModelTape)
        # All arguments are checked before the last layer adds its gradients.
        need_dx = flag(need_dx, "need_dx")
        check_dx_out(out, model_tape, self.dtype, need_dx=need_dx)
        clip = parse_clip_state(clip_state)
        keep_errors = flag(keep_errors, "keep_errors")
        if steps is not None:
            steps = integer(steps, "steps", 0)
        options: dict[str, Any] = {"clip_state": clip, "steps": steps, "keep_errors": keep_errors}
        if dstate is not None or steps is not None:
            self.check_dstate(model_tape, dstate, steps)
        tapes = dict(zip(self.parts, model_tape.tapes, strict=True))

        def run(key: Key, dy: Any, dstate: Any, need_dx: bool) -> tuple[Any, Any]:
            layer = self.parts[key]
            with self.naming(key):
                layer_options = options if isinstance(layer, (RecurrentCalls, Container)) else {}
                return layer.backward(tapes[key], dy, dstate, need_dx=need_dx, **layer_options)

        # A call that is refused must not leave the sums of some layers.
        dx, dstate = self.adding.run(
            partial(self.connect_back, model_tape, dy, dstate, run, need_dx),
            "backward must add to one model's gradients from one thread at a time; got a call while another "
            "call is adding to these gradients. Fix: wait for it, or give each thread its own model.",
        )
        return dx if out is None or dx is None else written(out, dx), dstate

    def check_dstate(self, tape: Any, dstate: Any, steps: int | None) -> None:
        entries = zip(self.parts.items(), tape.tapes, self.per_part(dstate, "dstate"), strict=True)
        for (key, layer), layer_tape, entry in entries:
            with self.naming(key):
                layer.check_dstate(layer_tape, entry, steps)

    @property
    def call_options(self) -> frozenset[str]:  # type: ignore[override]
        """The options that at least one layer accepts."""
        return frozenset().union(*(layer.call_options for layer in self.parts.values()))

    @abstractmethod
    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> Stage: ...

    def select(self, key: Key, options: dict[str, Any]) -> dict[str, Any]:
        """Return the options of a call that are for this layer."""
        return options

    def check_steps(self, x: Any, options: Mapping[str, Any]) -> None:
        """Raise ValueError if an option for the steps of x would reach layers that read other steps."""

    def _options(self, **arguments: Any) -> dict[str, Any]:
        options = {name: value for name, value in arguments.items() if value is not None}
        for name in options:
            if name not in self.call_options:
                raise ValueError(
                    f"{name} needs a recurrent layer; this model has none. Fix: leave {name} out, or pass a "
                    "mask to the loss."
                )
        return options

    # Other passes

    @property
    def batch_first(self) -> bool:
        """Whether a layer reads batches (B, T, ...)."""
        return any(getattr(layer, "batch_first", False) for layer in self.parts.values())

    def measure(self, x: Any, state: Any, place: str, table: CostTable) -> tuple[Any, Any]:
        def run(key: Key, x: Any, state: Any) -> tuple[Any, Any]:
            with self.naming(key):
                return self.parts[key].measure(x, state, inside(place, key), table)

        return self.connect(x, state, run)

    @property
    def steps_made(self) -> frozenset[int]:
        return frozenset().union(*(layer.steps_made for layer in self.parts.values()))

    @abstractmethod
    def sample(self, T: int | None, B: int, *, batch_first: bool = False) -> Any: ...
