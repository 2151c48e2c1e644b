"""Clipping of the whole gradient, and policies for a gradient that is not finite.

Clipping by norm and the policy "shrink" are from Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063, and its
code.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from bptt import _core
from bptt.arguments import call_repr, choice, real, short, size
from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.layers.passes.clip_state import StateClip
from bptt.optim.clip_functions import NormKind, parse_norm
from bptt.optim.gradients import Gradients, Norm, named, refuse_nonfinite, vectors_of
from bptt.optim.sparse import compact

SHRINK = 0.02
"""nonfinite="shrink": the fraction of the recurrent weights that replaces a gradient that is not finite."""

LONGEST_WINDOW = 100_000
"""Largest number of norms that `ClipNorm("auto")` remembers. A checkpoint holds all of them."""


LOWER = "lower the learning rate or the limit of the clip"
"""Advice against a non-finite gradient if the gradient is already clipped."""


@dataclass(frozen=True)
class Clipped:
    """Result of a clip.

    Attributes
    ----------
    norm : float
        2-norm of the gradient before clipping.
    clipped : bool
        Whether clipping changed the gradient.
    update : bool
        Whether to make an update.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(2, 1, bias=False)
    >>> layer.flat_gradients[:] = 3.0, 4.0
    >>> result = bptt.ClipNorm(10.0)(layer)
    >>> result.norm, result.clipped
    (5.0, False)
    """

    norm: float
    clipped: bool
    update: bool = True


class Clip(ABC):
    """Base class of clips: measure the gradient, and protect the weights from a non-finite gradient.

    A subclass defines `clip_vectors`. `NoClip` is the clip that never clips.

    Parameters
    ----------
    nonfinite : {"raise", "skip", "zero", "shrink"}
        Policy for NaN or infinity in the gradient. "raise": raise a NonFiniteError that names the parameter,
        and change nothing. "skip": make no update. "zero": set the offending entries to 0, then clip and use
        the gradient. "shrink": set the gradient of the recurrent weights to 0.02 times these weights, and all
        other gradients to 0.

    Attributes
    ----------
    nonfinite_steps : int
        Number of gradients so far that were not finite.

    Raises
    ------
    TypeError, ValueError
        `nonfinite` is not one of the four policies.

    Examples
    --------
    >>> import bptt
    >>> class Halve(bptt.optim.Clip):
    ...     def clip_vectors(self, vectors, norm, *, learn):
    ...         for vector in vectors:
    ...             vector /= 2
    ...         return True
    >>> layer = bptt.Linear(2, 1, bias=False)
    >>> layer.flat_gradients[:] = 3.0, 4.0
    >>> result = Halve()(layer)
    >>> layer.flat_gradients
    array([1.5, 2. ], dtype=float32)
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
            Names of the parameters that the optimizer does not change: `Optimizer.fixed(model)`. Their
            gradients do not count in the norm and are not changed.

        Raises
        ------
        NonFiniteError
            The gradient is not finite, and the policy is "raise".
        """
        with compact(model) as gradients:
            vectors = vectors_of(gradients, fixed)
            norm = Norm.of(vectors)
            if norm.finite:
                return Clipped(norm.value, self._clip_model(gradients, fixed, vectors, norm))
        self.nonfinite_steps += 1
        if self.nonfinite == "raise":
            refuse_nonfinite(model, fixed, f'{self._against_nonfinite}; nonfinite="skip" skips such updates')
        if self.nonfinite == "skip":
            return Clipped(norm.value, clipped=False, update=False)
        if self.nonfinite == "zero":
            with compact(model) as gradients:
                vectors = vectors_of(gradients, fixed)
                for vector in vectors:
                    vector[~np.isfinite(vector)] = 0
                rest = Norm.of(vectors)
                return Clipped(norm.value, self._clip_model(gradients, fixed, vectors, rest, learn=False))
        for name, gradient in named(model, fixed).items():
            recurrent = name.rpartition(".")[2].startswith("weight_hh")
            gradient[...] = SHRINK * model.parameters[name] if recurrent else 0.0
        return Clipped(norm.value, clipped=False)

    def state_dict(self) -> dict[str, Any]:
        """Return the state that a resumed run needs: numbers, lists and mappings of them."""
        return {"nonfinite_steps": self.nonfinite_steps}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` of a clip with the same settings returned."""
        self.nonfinite_steps = int(state["nonfinite_steps"])

    def _clip_model(
        self,
        gradients: Gradients,
        fixed: Collection[str],
        vectors: list[Floats],
        norm: Norm,
        *,
        learn: bool = True,
    ) -> bool:
        """Clip finite gradients of a model, which `vectors` hold. Return True if an entry changed."""
        return self.clip_vectors(vectors, norm, learn=learn)

    @abstractmethod
    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        """Clip finite gradients with this total 2-norm. Return True if an entry changed.

        `learn` is False if entries were set to zero: then the norm says little about later norms.
        """

    def __repr__(self) -> str:
        return call_repr(self)


class NoClip(Clip):
    """Measure the gradient and apply the policy for a non-finite gradient, without clipping.

    `Trainer(clip=None)` uses this class.

    Parameters
    ----------
    nonfinite : {"raise", "skip", "zero", "shrink"}
        As for Clip.

    Raises
    ------
    TypeError, ValueError
        `nonfinite` as for Clip.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(2, 1, bias=False)
    >>> layer.flat_gradients[:] = 3.0, float("inf")
    >>> bptt.optim.NoClip(nonfinite="skip")(layer)
    Clipped(norm=inf, clipped=False, update=False)
    """

    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        return False


class ClipValue(Clip):
    """Clip every entry of the gradient to [-max_value, max_value].

    Parameters
    ----------
    max_value : float
        Above 0.
    nonfinite : {"raise", "skip", "zero", "shrink"}
        As for Clip.

    Raises
    ------
    TypeError, ValueError
        `max_value` is not a number above 0. `nonfinite` as for Clip.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(2, 1, bias=False)
    >>> layer.flat_gradients[:] = 3.0, -0.5
    >>> result = bptt.ClipValue(1.0)(layer)
    >>> layer.flat_gradients
    array([ 1. , -0.5], dtype=float32)
    """

    _against_nonfinite = LOWER

    def __init__(self, max_value: float, nonfinite: str = "raise") -> None:
        self.max_value = real(max_value, "max_value", 0.0, above=True)
        super().__init__(nonfinite)

    def state_clip(self) -> StateClip:
        """Return the limit for `layer.backward(clip_state=...)`.

        The backward pass then clips every entry of dL/dh_t and dL/dc_t to [-max_value, max_value].
        """
        return StateClip(value=self.max_value)

    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        # No entry exceeds the norm, so most updates need no search for the largest entry.
        if norm.value <= self.max_value or not any(
            _core.largest_magnitude(v) > v.dtype.type(self.max_value) for v in vectors
        ):
            return False
        for vector in vectors:
            _core.clip_value(vector, self.max_value)
        return True


class ClipNorm(Clip):
    """Scale the gradient so that its norm is at most `max_norm`; see clip_by_norm.

    Parameters
    ----------
    max_norm : float or "auto"
        Above 0. "auto": a quantile of all norms before clipping, including the current norm. Norms that are
        0 or not finite are left out.
    nonfinite : {"raise", "skip", "zero", "shrink"}
        As for Clip.
    norm : 2 or "inf"
        The 2-norm, or the largest magnitude of all entries. `history["grad_norm"]` is always the 2-norm.
    quantile : float
        For "auto", in (0, 1): 0.1 clips nine gradients in ten once norms have settled, 0.9 only the largest
        tenth.
    window : int
        For "auto": number of norms to remember.

    Attributes
    ----------
    max_norm : float
        The current limit. With "auto", the limit of the last gradient: infinite before the first norm.

    Raises
    ------
    TypeError, ValueError
        `max_norm` is neither a number above 0 nor "auto". `norm` is not a known norm. `quantile` or `window`
        is out of range. `nonfinite` as for Clip.

    References
    ----------
    "auto": Seetharaman, Wichern, Pardo and Le Roux (2020), AutoClip: adaptive gradient clipping for source
    separation networks. The authors recommend the quantile 0.1.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(2, 1, bias=False)
    >>> layer.flat_gradients[:] = 3.0, 4.0
    >>> bptt.ClipNorm(1.0)(layer)
    Clipped(norm=5.0, clipped=True, update=True)
    >>> layer.flat_gradients
    array([0.6, 0.8], dtype=float32)
    """

    _against_nonfinite = LOWER

    def __init__(
        self,
        max_norm: float | Literal["auto"],
        nonfinite: str = "raise",
        *,
        norm: NormKind = 2,
        quantile: float = 0.1,
        window: int = 1000,
    ) -> None:
        self.auto = isinstance(max_norm, str) and max_norm == "auto"
        if isinstance(max_norm, str) and not self.auto:
            raise TypeError(f'max_norm must be a number > 0 or "auto"; got {short(max_norm)}. Fix: pass 1.0.')
        self.max_norm = math.inf if self.auto else real(max_norm, "max_norm", 0.0, above=True)
        self.norm = parse_norm(norm)
        self.quantile = real(quantile, "quantile", 0.0, 1.0, above=True)
        self.window = size(window, "window", LONGEST_WINDOW)
        self._norms: deque[float] = deque(maxlen=self.window)
        super().__init__(nonfinite)

    def state_clip(self) -> StateClip:
        """Return the limit for `layer.backward(clip_state=...)`.

        The backward pass then scales dL/dh_t and dL/dc_t of each row down to the 2-norm `max_norm`.

        Raises
        ------
        ValueError
            The limit is "auto", which needs the norm of the whole gradient, or the norm is not the 2-norm.
        """
        if self.norm != 2:
            raise ValueError(
                f"clip_state must limit the 2-norm, or each entry; got {self!r}. Fix: pass "
                f"ClipNorm({self.max_norm:g}) or ClipValue({self.max_norm:g})."
            )
        if self.auto:
            raise ValueError(
                'clip_state must have a fixed norm; got ClipNorm("auto"), which needs the norm of the whole '
                "gradient, not yet known during the backward pass. Fix: pass a number, ClipNorm(1.0)."
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
        if self.norm == "inf":
            norm = Norm.largest(vectors)
        # A batch without an error has norm 0, and a norm beyond float64 is infinite. Neither is typical.
        if self.auto and learn and 0 < norm.value < math.inf:
            self._norms.append(norm.value)
            self.max_norm = float(np.quantile(self._norms, self.quantile))
        return norm.limit(vectors, self.max_norm)

    def __repr__(self) -> str:
        return call_repr(self, max_norm="auto" if self.auto else self.max_norm)
