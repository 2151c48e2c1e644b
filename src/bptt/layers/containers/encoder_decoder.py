"""Two layers, of which the second starts from the final state of the first."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NoReturn

import numpy.typing as npt

from bptt.arguments import Seed
from bptt.layers.containers.container import Container, Run, RunBack
from bptt.layers.containers.joins import check_layers, check_layouts
from bptt.layers.containers.named import Named
from bptt.layers.containers.parts import Key
from bptt.layers.containers.traverse import iter_layers, iter_models
from bptt.layers.module import Module
from bptt.layers.passes.tape import ModelTape
from bptt.layers.recurrent_calls import RecurrentCalls

_EXAMPLE = "EncoderDecoder(LSTM(4, 16), Sequential(LSTM(4, 16), Linear(16, 4)))"


class EncoderDecoder(Named):
    """An encoder, and a decoder that starts from the encoder's final state.

    x is a mapping with the names `encoder` and `decoder`. The sequences may differ in length. The output of
    the model is the decoder's output. Each recurrent layer of the decoder starts from the final state of the
    encoder's recurrent layer in the same position. In training, its error flows back into this state.

    In training, the decoder usually reads the target of the step before (teacher forcing). To generate, call
    `encode`, then run `model["decoder"].stream()` from this state.

    Parameters
    ----------
    encoder, decoder : Module
        Layers or models with the same number of recurrent layers, whose states have the same sizes.
    seed : int, numpy.random.Generator or None
        As for `Sequential`.

    Raises
    ------
    TypeError
        If an argument is not a layer.
    ValueError
        If the states of encoder and decoder do not fit. If a layer belongs to another living model, or dtypes
        or `batch_first` differ. With `seed`: as for `Sequential`.

    Notes
    -----
    The state in the arguments is the encoder's, and the state in the results is the decoder's. `lengths`,
    `reset` and `skip` are mappings with one or both names.

    References
    ----------
    Sutskever, Vinyals and Le (2014), Sequence to sequence learning with neural networks. Cho et al. (2014),
    Learning phrase representations using RNN encoder-decoder for statistical machine translation.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> model = bptt.EncoderDecoder(bptt.LSTM(3, 8), bptt.LSTM(2, 8))
    >>> y, state = model({"encoder": np.ones((20, 4, 3)), "decoder": np.ones((5, 4, 2))})
    >>> y.shape
    (5, 4, 8)
    """

    def __init__(self, encoder: Module, decoder: Module, *, seed: Seed = None) -> None:
        parts: dict[Key, Module] = {"encoder": encoder, "decoder": decoder}
        check_layers(parts, _EXAMPLE)
        check_layouts(parts.values())
        _check_states(encoder, decoder)
        self._join(parts, seed)

    @property
    def main_first(self) -> tuple[str, ...]:
        return "decoder", "encoder"

    @property
    def returned(self) -> tuple[Module, ...]:
        return (self.parts["decoder"],)

    @property
    def state_pattern(self) -> str:
        return self.parts["encoder"].state_pattern

    def encode(
        self, x: Any, state: Any = None, *, lengths: Any = None, reset: Any = None, skip: Any = None
    ) -> Any:
        """Run the encoder, and return the state from which the decoder starts.

        Parameters
        ----------
        x, state, lengths, reset, skip
            As for a call of the encoder.

        Returns
        -------
        state
            In the form of the decoder's state, for a call of the decoder or for the `state` of its stream.

        Raises
        ------
        TypeError, ValueError
            As for a call of the encoder.

        Examples
        --------
        >>> import numpy as np
        >>> import bptt
        >>> model = bptt.EncoderDecoder(bptt.GRU(3, 8), bptt.GRU(2, 8))
        >>> stream = model["decoder"].stream(batch_size=4)
        >>> stream.state = model.encode(np.ones((20, 4, 3)))
        >>> stream.step(np.zeros((4, 2))).shape
        (4, 8)
        """
        options = {"lengths": lengths, "reset": reset, "skip": skip}
        options = {name: value for name, value in options.items() if value is not None}
        with self.naming("encoder"):
            _, final = self.parts["encoder"](x, state, **options)
        return self._hand_over(final, "encoder", "decoder")

    def connect(self, x: Any, state: Any, run: Run) -> tuple[Any, Any]:
        inputs = self.inputs(x)
        _, final = run("encoder", inputs["encoder"], state)
        return run("decoder", inputs["decoder"], self._hand_over(final, "encoder", "decoder"))

    def connect_back(
        self, tape: ModelTape, dy: Any, dstate: Any, run: RunBack, need_dx: bool
    ) -> tuple[Any, Any]:
        dxs: dict[Key, Any] = {}
        dxs["decoder"], start = run("decoder", dy, dstate, need_dx)
        dxs["encoder"], dstate = run("encoder", None, self._hand_over(start, "decoder", "encoder"), need_dx)
        return self.joined_errors(tape, {key: dxs[key] for key in self.parts}, need_dx), dstate

    def check_dstate(self, tape: Any, dstate: Any, steps: int | None) -> None:
        for (key, layer), layer_tape in zip(self.parts.items(), tape.tapes, strict=True):
            with self.naming(key):
                layer.check_dstate(layer_tape, dstate if key == "decoder" else None, steps)

    def stage(
        self, batch_size: int, before: npt.NDArray[Any] | None = None, *, precision: str | None = None
    ) -> NoReturn:
        raise ValueError(
            "stream needs a model with one output for each step of its input; got an EncoderDecoder. Fix: "
            'stream the decoder, stream = model["decoder"].stream(), and set stream.state = model.encode(x).'
        )

    def select(self, key: Key, options: dict[str, Any]) -> dict[str, Any]:
        for name, value in options.items():
            if not hasattr(value, "keys"):
                raise ValueError(
                    f"{name} must be a mapping with the names encoder, decoder, which read different "
                    f"sequences; got {type(value).__name__}. Fix: pass {name}={{{key!r}: ...}}."
                )
        return super().select(key, options)

    def _hand_over(self, state: Any, giver: Key, taker: Key) -> Any:
        """Return a state of one part in the form of the other's, or an error of this state."""
        return _filled(self.parts[taker], _states(self.parts[giver], state))

    def __repr__(self) -> str:
        return f"EncoderDecoder({self.parts['encoder']!r}, {self.parts['decoder']!r})"


def _states(layer: Module, state: Any) -> Iterator[Any]:
    """Yield the states of the recurrent layers, in the order of a pass."""
    if isinstance(layer, Container):
        for part, entry in zip(layer.parts.values(), state, strict=True):
            yield from _states(part, entry)
    elif isinstance(layer, RecurrentCalls):
        yield state


def _filled(layer: Module, states: Iterator[Any]) -> Any:
    """Return a state of a layer that holds these states of its recurrent layers."""
    if isinstance(layer, Container):
        return tuple(_filled(part, states) for part in layer.parts.values())
    return next(states) if isinstance(layer, RecurrentCalls) else None


def _check_states(encoder: Module, decoder: Module) -> None:
    """Raise ValueError unless the states of the recurrent layers have the same form."""
    for name, model in (("encoder", encoder), ("decoder", decoder)):
        if any(isinstance(part, EncoderDecoder) for part in iter_models(model)):
            raise ValueError(
                f"{name} must hold no other EncoderDecoder, whose first and last states differ; got "
                f"{model!r:.200}. Fix: join its layers in one encoder and one decoder."
            )
    both = [
        [_form(part) for part in iter_layers(model) if isinstance(part, RecurrentCalls)]
        for model in (encoder, decoder)
    ]
    if not both[0] or both[0] != both[1]:
        actual = " and ".join(" then ".join(forms) or "no recurrent layer" for forms in both)
        raise ValueError(
            "encoder and decoder must have recurrent layers with states of the same form, because the "
            f"decoder starts from the encoder's state; got {actual}. Fix: build both with the same kind of "
            "cell, num_layers and hidden_size, and with bidirectional=False."
        )


def _form(layer: RecurrentCalls) -> str:
    rows = layer.num_layers * layer.num_directions
    h = f"h ({rows}, B, {layer.output_size})"
    return f"{h} and c ({rows}, B, {layer.hidden_size})" if layer.has_cell_state else h
