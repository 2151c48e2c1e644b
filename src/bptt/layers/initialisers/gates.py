"""Initialisers that set biases of gates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bptt.arguments import real, store
from bptt.layers.initialisers.base import Drawable, Initialiser, need_time, role_of


@dataclass(frozen=True)
class chrono(Initialiser):
    """Set gate biases so that units remember for 2 to `longest` steps.

    Other parameters have default values. For layers with gates and biases. u is drawn uniformly from [1,
    longest - 1]. In an LSTM, the biases of the forget gate add up to log(u), and the biases of the input gate
    to -log(u). A coupled LSTM has no input gate. `forget_bias` and `input_bias` replace the value of their
    gate. In a GRU, z keeps the old state, and its biases add up to log(u). In an MGU, f replaces the old
    state, and its biases add up to -log(u). A gate that keeps sigmoid(log u) of the state forgets in 1 + u
    steps.

    Parameters
    ----------
    longest : float
        Longest dependency to expect, in steps, at least 2: for example the length of the sequences.

    Raises
    ------
    TypeError, ValueError
        If `longest` is not such a number. When a layer is built: if the layer has no biases, or no gate that
        forgets.

    References
    ----------
    Tallec and Ollivier (2018), Can recurrent neural networks warp time?

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.LSTM(3, 8, init=bptt.init.chrono(longest=500), seed=0)
    >>> forget = layer.parameters["bias_ih_l0"][8:16] + layer.parameters["bias_hh_l0"][8:16]
    >>> bool((forget >= 0).all())
    True
    """

    longest: float = 100.0

    def __post_init__(self) -> None:
        store(self, longest=real(self.longest, "longest", 2.0))

    def check(self, layer: Drawable) -> None:
        need_time(layer, "chrono", "sets biases of gates")
        if not getattr(layer, "forget_gate", True):
            raise ValueError(
                f'init="chrono" sets how long gates keep the state; got {layer.kind} with forget_gate=False, '
                "which forgets nothing. Fix: leave one of them out."
            )
        if not layer.memory_gates:
            raise ValueError(
                f'init="chrono" sets biases of gates that keep the state; got {layer.kind}, which has none. '
                'Fix: use LSTM or GRU, or init="identity" or "orthogonal".'
            )
        if not getattr(layer, "bias", True):
            raise ValueError(
                f'init="chrono" sets biases; got {layer.kind} with bias=False. Fix: leave one of them out.'
            )

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        values = np.array(super().draw(layer, name, shape, rng))
        role = role_of(name)
        if role not in ("bias_ih", "bias_hh"):
            return values
        H: int = layer.hidden_size  # type: ignore[attr-defined]  # `check` accepts only such layers
        # Only the sum of the two biases matters, so one of them has the whole value.
        bias = np.log(rng.uniform(1.0, self.longest - 1.0, H)) if role == "bias_ih" else np.zeros(H)
        for block, sign in layer.memory_gates:
            values[block * H : (block + 1) * H] = sign * bias
        return values
