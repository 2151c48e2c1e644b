"""Clipping of the whole gradient, and policies for a gradient that is not finite.

By norm, and the policy "shrink": Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063 and its code.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bptt import _core
from bptt.arguments import choice, real, short, size
from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.layers.passes.clip_state import StateClip
from bptt.optim.gradients import Gradients, Norm, named, refuse_nonfinite, vectors_of

SHRINK = 0.02
"""nonfinite="shrink": the fraction of the recurrent weights that replaces a gradient that is not finite."""

LONGEST_WINDOW = 100_000
"""Norms that `ClipNorm("auto")` remembers at most: a checkpoint holds them."""


LOWER = "lower the learning rate or the limit of the clip"
"""Advice against a non-finite gradient for those who clip already."""


@dataclass(frozen=True)
class Clipped:
    """Result of a clip: norm before clipping, whether the gradient was changed, whether to update."""

    norm: float
    clipped: bool
    update: bool = True


def clip_by_value(gradients: Gradients, max_value: float) -> None:
    """Bring every entry into [-max_value, max_value], in place.

    Parameters
    ----------
    gradients : ndarray, mapping of names to ndarray, or layer or model
        Writable C-contiguous float32 or float64 arrays, or what holds them.
    max_value : float
        More than 0.

    Raises
    ------
    TypeError, ValueError
        Arrays that cannot be changed in place; a `max_value` that is not > 0.
    NonFiniteError
        NaN or an infinity among them; then nothing was changed.
    """
    max_value = real(max_value, "max_value", 0.0, above=True)
    vectors = vectors_of(gradients)
    refuse_nonfinite(gradients)
    for vector in vectors:
        _core.clip_value(vector, max_value)


def clip_by_norm(gradients: Gradients, max_norm: float) -> float:
    """Scale all gradients by one factor, in place, so that their common 2-norm is at most `max_norm`.

    The norm is accumulated in float64. Gradients whose norm does not exceed the limit keep their bits;
    however large the norm, the direction is kept.

    Parameters
    ----------
    gradients : ndarray, mapping of names to ndarray, or layer or model
        Writable C-contiguous float32 or float64 arrays, or what holds them.
    max_norm : float
        More than 0.

    Returns
    -------
    float
        The norm before clipping.

    Raises
    ------
    TypeError, ValueError
        Arrays that cannot be changed in place; a `max_norm` that is not > 0.
    NonFiniteError
        NaN or an infinity among them; then nothing was changed.
    """
    max_norm = real(max_norm, "max_norm", 0.0, above=True)
    vectors = vectors_of(gradients)
    norm = Norm.of(vectors)
    if not norm.finite:
        refuse_nonfinite(gradients)
    norm.limit(vectors, max_norm)
    return norm.value


class Clip:
    """Measure the gradient and keep a non-finite gradient from the weights, without clipping.

    Parameters
    ----------
    nonfinite : {"raise", "skip", "zero", "shrink"}
        Policy for NaN or infinity in the gradient. "raise": NonFiniteError names the parameter,
        nothing is changed. "skip": no update is made. "zero": the offending entries become 0, the rest
        is clipped and used. "shrink": the gradient of the recurrent weights becomes 0.02 times these
        weights, and all other gradients become 0.

    Attributes
    ----------
    nonfinite_steps : int
        How many gradients were not finite so far.

    Raises
    ------
    TypeError, ValueError
        `nonfinite` is none of the four.
    """

    _against_nonfinite: ClassVar[str] = "lower the learning rate, or pass clip=ClipNorm(1.0)"

    def __init__(self, nonfinite: str = "raise") -> None:
        self.nonfinite = choice(nonfinite, "nonfinite", ("raise", "skip", "zero", "shrink"))
        self.nonfinite_steps = 0

    def __call__(self, model: Module, fixed: Collection[str] = ()) -> Clipped:
        """Clip `model.gradients` in place.

        Parameters
        ----------
        model : Module
        fixed : collection of str
            Names of parameters that the optimizer leaves as they are: `Optimizer.fixed(model)`. Their
            gradients count nowhere and stay as they are.

        Raises
        ------
        NonFiniteError
            With the policy "raise".
        """
        vectors = vectors_of(model, fixed)
        came = Norm.of(vectors)
        if came.finite:
            return Clipped(came.value, self._clip_model(model, fixed, vectors, came))
        self.nonfinite_steps += 1
        if self.nonfinite == "raise":
            refuse_nonfinite(model, fixed, f'{self._against_nonfinite}; nonfinite="skip" skips such updates')
        if self.nonfinite == "skip":
            return Clipped(came.value, clipped=False, update=False)
        if self.nonfinite == "zero":
            for vector in vectors:
                vector[~np.isfinite(vector)] = 0
            return Clipped(came.value, self._clip_model(model, fixed, vectors, Norm.of(vectors), learn=False))
        for name, gradient in named(model, fixed).items():
            recurrent = name.rpartition(".")[2].startswith("weight_hh")
            gradient[...] = SHRINK * model.parameters[name] if recurrent else 0.0
        return Clipped(came.value, clipped=False)

    def state_dict(self) -> dict[str, Any]:
        """What a resumed run must know of this one: numbers, lists and mappings of them."""
        return {"nonfinite_steps": self.nonfinite_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave for a clip of the same settings."""
        self.nonfinite_steps = int(state["nonfinite_steps"])

    def _clip_model(
        self,
        model: Module,
        fixed: Collection[str],
        vectors: list[Floats],
        norm: Norm,
        *,
        learn: bool = True,
    ) -> bool:
        """Clip the model's finite gradients, which the vectors hold; True if that changed them."""
        return self.clip_vectors(vectors, norm, learn=learn)

    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        """Clip finite gradients of this common norm; True if that changed them.

        `learn` is False if entries were set to zero: then the norm says little about later ones.
        """
        return False


class ClipValue(Clip):
    """Brings every entry of the gradient into [-max_value, max_value].

    Parameters
    ----------
    max_value : float
        More than 0.
    nonfinite
        As for Clip.

    Raises
    ------
    TypeError, ValueError
        `max_value` is not a number more than 0; `nonfinite` as for Clip.
    """

    _against_nonfinite = LOWER

    def __init__(self, max_value: float, nonfinite: str = "raise") -> None:
        self.max_value = real(max_value, "max_value", 0.0, above=True)
        super().__init__(nonfinite)

    def state_clip(self) -> StateClip:
        """What it means in `layer.backward(clip_state=...)`: every entry of dL/dh_t and dL/dc_t is brought
        into [-max_value, max_value]."""
        return StateClip(value=self.max_value)

    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        # No entry exceeds the norm: most steps need no search for the largest.
        if norm.value <= self.max_value or not any(
            np.abs(v).max() > v.dtype.type(self.max_value) for v in vectors
        ):
            return False
        for vector in vectors:
            _core.clip_value(vector, self.max_value)
        return True


class ClipNorm(Clip):
    """Scale the gradient so that its 2-norm is at most `max_norm`; see clip_by_norm.

    Parameters
    ----------
    max_norm : float or "auto"
        Above 0. "auto": a quantile of all norms before clipping, including the current norm. Norms that are
        0 or not finite are left out.
    nonfinite
        As for Clip.
    quantile : float
        For "auto", in (0, 1): 0.1 clips nine gradients in ten once norms have settled, 0.9 only the largest
        tenth.
    window : int
        For "auto": number of norms to remember.

    Attributes
    ----------
    max_norm : float
        The limit in force. With "auto", the limit of the last gradient: infinite before the first norm.

    Raises
    ------
    TypeError, ValueError
        `max_norm` is neither a number more than 0 nor "auto"; `quantile` and `window` out of range;
        `nonfinite` as for Clip.

    References
    ----------
    "auto": Seetharaman, Wichern, Pardo and Le Roux (2020), AutoClip: adaptive gradient clipping for source
    separation networks, which finds 0.1 good.
    """

    _against_nonfinite = LOWER

    def __init__(
        self,
        max_norm: float | Literal["auto"],
        nonfinite: str = "raise",
        *,
        quantile: float = 0.1,
        window: int = 1000,
    ) -> None:
        self.auto = isinstance(max_norm, str) and max_norm == "auto"
        if isinstance(max_norm, str) and not self.auto:
            raise TypeError(f'max_norm must be a number > 0 or "auto"; got {short(max_norm)}. Fix: pass 1.0.')
        self.max_norm = math.inf if self.auto else real(max_norm, "max_norm", 0.0, above=True)
        self.quantile = real(quantile, "quantile", 0.0, 1.0, above=True)
        self.window = size(window, "window", LONGEST_WINDOW)
        self._norms: deque[float] = deque(maxlen=self.window)
        super().__init__(nonfinite)

    def state_clip(self) -> StateClip:
        """What it means in `layer.backward(clip_state=...)`: each row's dL/dh_t and dL/dc_t is scaled down to
        the 2-norm `max_norm`. ValueError for "auto", which needs the norm of the whole gradient."""
        if self.auto:
            raise ValueError(
                'clip_state must have a given norm; got ClipNorm("auto"), which needs the norm of the whole '
                "gradient, not known inside the recursion. Fix: give a number, ClipNorm(1.0)."
            )
        return StateClip(norm=self.max_norm)

    def state_dict(self) -> dict[str, Any]:
        learnt = {"max_norm": self.max_norm, "norms": list(self._norms)} if self.auto else {}
        return super().state_dict() | learnt

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        if self.auto:
            max_norm, norms = float(state["max_norm"]), [float(norm) for norm in state["norms"]]
            self.max_norm = max_norm
            self._norms.clear()
            self._norms.extend(norms)
        super().load_state_dict(state)

    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        # A batch without an error has norm 0, a norm beyond float64 is infinite: neither is typical.
        if self.auto and learn and 0 < norm.value < math.inf:
            self._norms.append(norm.value)
            self.max_norm = float(np.quantile(self._norms, self.quantile))
        return norm.limit(vectors, self.max_norm)
