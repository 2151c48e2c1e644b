"""A chain of layers, with all parameters in one flat vector."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generators, integer
from bptt.arrays import Floats, aligned_zeros
from bptt.layers.dropout import Dropout
from bptt.layers.embedding import Embedding
from bptt.layers.ends import Ends
from bptt.layers.gru import GRU
from bptt.layers.joins import check_joins, check_layers
from bptt.layers.last import Last
from bptt.layers.linear import Linear
from bptt.layers.lstm import LSTM
from bptt.layers.mgu import MGU
from bptt.layers.module import Module, Table, set_model
from bptt.layers.passes.clip_state import ClipsState, parse_clip_state
from bptt.layers.passes.tape import SequentialTape, Tape, check_tape
from bptt.layers.recurrent import Recurrent
from bptt.layers.rnn import RNN

if TYPE_CHECKING:
    from typing_extensions import Self


class Sequential(Module):
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
        If `Last` follows a bidirectional layer, where `Ends` is almost always meant.

    Notes
    -----
    `Last` and `Ends` return one vector per row, so neither a recurrent layer nor a second `Last` or `Ends`
    may follow. `Ends` must follow a bidirectional layer or come first, and `Embedding` must come first.

    The state is a tuple with one entry per layer, which is None for a layer without state.
    """

    def __init__(self, *layers: Module, seed: Seed = None) -> None:
        check_layers(layers)
        check_joins([list(iter_layers(layer)) for layer in layers])
        model_rng: np.random.Generator | None = None
        if seed is not None:
            parts = [part for index, layer in enumerate(layers) for part in _placed(layer, f"model[{index}]")]
            for place, part in parts:
                if not part.is_initial:
                    raise ValueError(
                        f"seed draws the parameters of new layers; got {part.kind} at {place} with "
                        "parameters that were trained, loaded or copied. Fix: leave seed out, or build the "
                        "layer in the call: Sequential(LSTM(8, 16), Linear(16, 2), seed=0)."
                    )
            model_rng, *streams = generators(seed, 1 + len(parts))
            for (_, part), stream in zip(parts, streams, strict=True):
                part.initialise(stream)
        # Layers without parameters get the dtype of the layers with parameters.
        dtypes = [layer.dtype for layer in layers if layer.parameter_count] or [layers[0].dtype]
        super().__init__(dtypes[0], model_rng)
        self.layers = layers
        count = sum(layer.parameter_count for layer in layers)
        flat_parameters = aligned_zeros(count, self.dtype)
        start = 0
        for layer in layers:
            stop = start + layer.parameter_count
            flat_parameters[start:stop] = layer.flat_parameters
            start = stop
        self.bind(flat_parameters, aligned_zeros(count, self.dtype))

    @property
    def is_initial(self) -> bool:
        """Whether the parameters of all layers have not changed since they were drawn."""
        return all(layer.is_initial for layer in self.layers)

    def initialise(self, rng: np.random.Generator) -> None:
        """Draw new initial parameters for every layer, each from a separate random stream.

        The parameters are those of a new model with `seed=rng`.

        Raises
        ------
        ValueError
            If a layer is a copy. Then no layer changes.
        """
        parts = list(_placed(self, "model"))
        for place, part in parts:
            if part.initialiser is None:
                raise ValueError(
                    f"layers must be newly built to be initialised; got a copy, {part.kind} at {place}. "
                    "Fix: build a new model."
                )
        self.rng, *streams = generators(rng, 1 + len(parts))
        for (_, part), stream in zip(parts, streams, strict=True):
            part.initialise(stream)

    def __len__(self) -> int:
        return len(self.layers)

    def __iter__(self) -> Iterator[Module]:
        return iter(self.layers)

    def __getitem__(self, index: int) -> Module:
        return self.layers[index]

    def __call__(
        self, x: Any, state: Any = None, *, lengths: Any = None, reset: Any = None
    ) -> tuple[Floats, tuple[Any, ...]]:
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

        Returns
        -------
        y : ndarray
            Output of the last layer.
        state : tuple
            One entry per layer.

        Raises
        ------
        TypeError, ValueError
            If the state does not have one entry per layer, or no layer accepts lengths or resets. If a layer
            raises an error, the message begins with the layer.
        """
        options = self._options(lengths, reset)
        states = []
        for index, (layer, layer_state) in enumerate(
            zip(self.layers, self.per_layer(state, "state"), strict=True)
        ):
            with self.naming(index):
                x, layer_state = layer(x, layer_state, **_accepted(layer, options))
            states.append(layer_state)
        return x, tuple(states)

    def forward(
        self,
        x: Any,
        state: Any = None,
        *,
        lengths: Any = None,
        reset: Any = None,
        checkpoint: int | Literal["auto"] | None = None,
    ) -> tuple[Floats, tuple[Any, ...], SequentialTape]:
        """Run the model for training, and return (y, state, tape).

        Dropout is applied, and the tape is for `backward`. Arguments and errors are those of a call of the
        model. `checkpoint` is for the recurrent layers, see `LSTM.forward`.
        """
        options = self._options(lengths, reset)
        states, tapes = [], []
        for index, (layer, layer_state) in enumerate(
            zip(self.layers, self.per_layer(state, "state"), strict=True)
        ):
            with self.naming(index):
                layer_options = _accepted(layer, options)
                if checkpoint is not None and isinstance(layer, (Recurrent, Sequential)):
                    layer_options["checkpoint"] = checkpoint
                x, layer_state, tape = layer.forward(x, layer_state, **layer_options)
            states.append(layer_state)
            tapes.append(tape)
        return x, tuple(states), SequentialTape(self, tuple(tapes))

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
    ) -> tuple[Floats | None, tuple[Any, ...]]:
        """Backpropagate errors through all layers, last to first. Adds to `gradients`.

        Parameters
        ----------
        tape : SequentialTape
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
        """
        model_tape = check_tape(tape, self, SequentialTape)
        # All arguments are checked before the last layer adds its gradients.
        need_dx = flag(need_dx, "need_dx")
        clip = parse_clip_state(clip_state)
        keep_errors = flag(keep_errors, "keep_errors")
        if steps is not None:
            steps = integer(steps, "steps", 0)
        dstates = self.per_layer(dstate, "dstate")
        initial_errors: list[Any] = [None] * len(self.layers)
        options: dict[str, Any] = {"clip_state": clip, "steps": steps, "keep_errors": keep_errors}
        for index in reversed(range(len(self.layers))):
            with self.naming(index):
                layer = self.layers[index]
                dy, initial_errors[index] = layer.backward(
                    model_tape.tapes[index],
                    dy,
                    dstates[index],
                    need_dx=need_dx or index > 0,
                    **(options if isinstance(layer, (Recurrent, Sequential)) else {}),
                )
        return dy, tuple(initial_errors)

    @property
    def call_options(self) -> frozenset[str]:  # type: ignore[override]
        """The options that at least one layer accepts."""
        return frozenset().union(*(layer.call_options for layer in self.layers))

    def _options(self, lengths: Any, reset: Any) -> dict[str, Any]:
        options = {
            name: value for name, value in (("lengths", lengths), ("reset", reset)) if value is not None
        }
        for name in options:
            if name not in self.call_options:
                raise ValueError(
                    f"{name} needs a recurrent layer; this model has none. Fix: leave {name} out, or pass a "
                    "mask to the loss."
                )
        return options

    def config(self) -> dict[str, Any]:
        return {"layers": [{"kind": layer.kind, "config": layer.config()} for layer in self.layers]}

    @classmethod
    def _build(cls, config: Mapping[str, Any]) -> Self:
        if set(config) != {"layers"} or not isinstance(config["layers"], list):
            raise ValueError(
                f"config must hold one list, layers; got {sorted(config)}. Fix: pass the result of config()."
            )
        return cls(*map(_build_layer, config["layers"]))

    def _table(self) -> Table:
        return [
            (f"{index}.{name}", view.shape)
            for index, layer in enumerate(self.layers)
            for name, view in layer.parameters.items()
        ]

    def bind(self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any]) -> None:
        super().bind(flat_parameters, flat_gradients)
        start = 0
        for layer in self.layers:
            stop = start + layer.parameter_count
            layer.bind(flat_parameters[start:stop], flat_gradients[start:stop])
            set_model(layer, self)
            start = stop

    def per_layer(self, state: Any, name: str) -> tuple[Any, ...]:
        if state is None:
            return (None,) * len(self.layers)
        expected = f"{name} must be a tuple with one entry per layer, such as {self.state_pattern}"
        fix = f"Fix: pass a state that the model returned, or {self.state_pattern}."
        if not isinstance(state, (tuple, list)):
            raise TypeError(f"{expected}; got {type(state).__name__}. {fix}")
        if len(state) != len(self.layers):
            raise ValueError(f"{expected}; got {len(state)} for {len(self.layers)} layers. {fix}")
        for index, (layer, entry) in enumerate(zip(self.layers, state, strict=True)):
            is_array = entry is not None and not isinstance(entry, (tuple, list))
            if is_array and layer.state_pattern not in ("h", "state"):
                actual = f"{type(entry).__name__} for layer {index}, {layer.kind}"
                raise TypeError(f"{expected}; got {actual}. {fix}")
        return tuple(state)

    @property
    def state_pattern(self) -> str:
        """The form of this model's state, such as "((h, c), None)"."""
        parts = ", ".join(layer.state_pattern for layer in self.layers)
        return f"({parts}{',' if len(self.layers) == 1 else ''})"

    @contextmanager
    def naming(self, index: int) -> Iterator[None]:
        """Add the layer to the message of an error, because every layer calls its input x."""
        try:
            yield
        except (TypeError, ValueError) as error:
            kind = TypeError if isinstance(error, TypeError) else ValueError
            raise kind(f"in layer {index}, {self.layers[index].kind}: {error}") from error

    def __repr__(self) -> str:
        return f"Sequential({', '.join(map(repr, self.layers))})"


def iter_layers(module: Module) -> Iterator[Module]:
    """Yield the layers of a model, including nested ones, in the order of a pass."""
    for _, layer in _placed(module, "model"):
        yield layer


def _placed(module: Module, place: str) -> Iterator[tuple[str, Module]]:
    """Yield the layers of `iter_layers`, each with its place, such as "model[2][0]"."""
    if isinstance(module, Sequential):
        for index, layer in enumerate(module.layers):
            yield from _placed(layer, f"{place}[{index}]")
    else:
        yield place, module


def _accepted(layer: Module, options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in options.items() if name in layer.call_options}


def _build_layer(entry: object) -> Module:
    if (
        not isinstance(entry, Mapping)
        or set(entry) != {"kind", "config"}
        or not isinstance(entry["config"], Mapping)
    ):
        raise ValueError(
            "config must hold a kind and a config for each layer; got an entry without them. "
            "Fix: pass the result of config()."
        )
    kind = entry["kind"]
    if not isinstance(kind, str) or kind not in KINDS:
        raise ValueError(
            f"kind must be one of {', '.join(KINDS)}; got {kind!r}. Fix: use one of these layers."
        )
    return KINDS[kind].from_config(entry["config"])


KINDS: dict[str, type[Module]] = {
    cls.__name__: cls for cls in (RNN, LSTM, GRU, MGU, Linear, Embedding, Dropout, Last, Ends, Sequential)
}
"""The classes that a checkpoint may name. No other class is built from a file."""
