"""Clipping of the whole gradient, and what happens when it is not finite.

By norm, and the policy "shrink": Pascanu, Mikolov and Bengio 2013, arXiv:1211.5063 and its code.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import lru_cache
from typing import Any, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arguments import choice, real, size
from bptt.arrays import Floats
from bptt.layers.clip_state import StateClip
from bptt.layers.module import Module

Gradients: TypeAlias = npt.NDArray[Any] | Mapping[str, npt.NDArray[Any]] | Module

SHRINK = 0.02
"""Pascanu's guard: this share of the recurrent weights takes the place of a gradient that is not finite."""


class NonFiniteError(FloatingPointError):
    """A gradient holds NaN or an infinity; gradients and parameters are as they were.

    Attributes
    ----------
    parameter : str
        Name of the first parameter it was found in.
    """

    def __init__(self, message: str, parameter: str) -> None:
        super().__init__(message)
        self.parameter = parameter


@dataclass(frozen=True)
class Clipped:
    """What a clip did: the norm as it came, whether clipping changed the gradient, whether to update."""

    norm: float
    clipped: bool
    update: bool = True


def clip_by_value(gradients: Gradients, limit: float) -> None:
    """Bring every entry into [-limit, limit], in place.

    Parameters
    ----------
    gradients : ndarray, mapping of names to ndarray, or layer or model
        Writable C-contiguous float32 or float64 arrays, or what holds them.
    limit : float
        More than 0.

    Raises
    ------
    TypeError, ValueError
        Arrays that cannot be changed in place; a limit that is not > 0.
    NonFiniteError
        NaN or an infinity among them; then nothing was changed.
    """
    limit = real(limit, "limit", 0.0, above=True)
    vectors = _vectors(gradients)
    _refuse_nonfinite(gradients)
    for vector in vectors:
        _core.clip_value(vector, limit)


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
        Arrays that cannot be changed in place; a limit that is not > 0.
    NonFiniteError
        NaN or an infinity among them; then nothing was changed.
    """
    max_norm = real(max_norm, "max_norm", 0.0, above=True)
    vectors = _vectors(gradients)
    norm = _Norm.of(vectors)
    if not norm.finite:
        _refuse_nonfinite(gradients)
    norm.limit(vectors, max_norm)
    return norm.value


class Guard:
    """Measures the gradient and keeps a non-finite one from the weights; clips nothing.

    Parameters
    ----------
    nonfinite : {"raise", "skip", "zero", "shrink"}
        What a NaN or an infinity in the gradient does. "raise": NonFiniteError names the parameter,
        nothing is changed. "skip": no update is made. "zero": the offending entries become 0, the rest
        is clipped and used. "shrink": 0.02 times the recurrent weights take the place of their
        gradient, all else gets gradient 0.

    Attributes
    ----------
    nonfinite_steps : int
        How many gradients were not finite so far.

    Raises
    ------
    TypeError, ValueError
        `nonfinite` is none of the four.
    """

    def __init__(self, nonfinite: str = "raise") -> None:
        self.nonfinite = choice(nonfinite, "nonfinite", ("raise", "skip", "zero", "shrink"))
        self.nonfinite_steps = 0

    def __call__(self, model: Module) -> Clipped:
        """Clip `model.gradients` in place.

        Raises
        ------
        NonFiniteError
            With the policy "raise".
        """
        vectors = _vectors(model)
        came = _Norm.of(vectors)
        if came.finite:
            return Clipped(came.value, self._clip_model(model, vectors, came))
        self.nonfinite_steps += 1
        if self.nonfinite == "raise":
            _refuse_nonfinite(model)
        if self.nonfinite == "skip":
            return Clipped(came.value, clipped=False, update=False)
        if self.nonfinite == "zero":
            for vector in vectors:
                vector[~np.isfinite(vector)] = 0
            return Clipped(came.value, self._clip_model(model, vectors, _Norm.of(vectors)))
        for name, gradient in model.gradients.items():
            recurrent = name.rpartition(".")[2].startswith("weight_hh")
            gradient[...] = SHRINK * model.parameters[name] if recurrent else 0.0
        return Clipped(came.value, clipped=False)

    def _clip_model(self, model: Module, vectors: list[Floats], norm: _Norm) -> bool:
        """Clip the model's gradient, which the vectors are and which is finite; True if that changed it."""
        return self._clip(vectors, norm)

    def _clip(self, vectors: list[Floats], norm: _Norm) -> bool:
        """Clip finite gradients of this norm as one; True if that changed them."""
        return False


class ClipValue(Guard):
    """Brings every entry of the gradient into [-limit, limit].

    Parameters
    ----------
    limit : float
        More than 0.
    nonfinite
        As for Guard.

    Raises
    ------
    TypeError, ValueError
        `limit` is not a number more than 0; `nonfinite` as for Guard.
    """

    def __init__(self, limit: float, nonfinite: str = "raise") -> None:
        self.limit = real(limit, "limit", 0.0, above=True)
        super().__init__(nonfinite)

    def state_clip(self) -> StateClip:
        """What it means in `layer.backward(clip_state=...)`: every entry of dL/dh_t and dL/dc_t is brought
        into [-limit, limit]."""
        return StateClip(value=self.limit)

    def _clip(self, vectors: list[Floats], norm: _Norm) -> bool:
        # No entry exceeds the norm: in most steps the second look is saved.
        if norm.value <= self.limit or not any(np.abs(v).max() > v.dtype.type(self.limit) for v in vectors):
            return False
        for vector in vectors:
            _core.clip_value(vector, self.limit)
        return True


class ClipNorm(Guard):
    """Scales the gradient so that its 2-norm is at most `max_norm`; see clip_by_norm.

    Parameters
    ----------
    max_norm : float or "auto"
        More than 0. "auto": a quantile of the norms so far, as they came, the present one among them: what is
        large is told from the run itself.
    nonfinite
        As for Guard.
    quantile : float
        Of "auto", in (0, 1): 0.1 clips nine gradients in ten once norms have settled, 0.9 only the largest
        tenth.
    window : int
        Of "auto": how many norms are remembered.

    Attributes
    ----------
    max_norm : float
        The limit in force; of "auto" that of the last gradient, infinite before the first.

    Raises
    ------
    TypeError, ValueError
        `max_norm` is neither a number more than 0 nor "auto"; `quantile` and `window` out of range;
        `nonfinite` as for Guard.

    References
    ----------
    "auto": Seetharaman, Wichern, Pardo and Le Roux (2020), AutoClip: adaptive gradient clipping for source
    separation networks, which finds 0.1 good.
    """

    def __init__(
        self,
        max_norm: float | Literal["auto"],
        nonfinite: str = "raise",
        *,
        quantile: float = 0.1,
        window: int = 1000,
    ) -> None:
        self.auto = isinstance(max_norm, str) and max_norm == "auto"
        self.max_norm = math.inf if self.auto else real(max_norm, "max_norm", 0.0, above=True)
        self.quantile = real(quantile, "quantile", 0.0, 1.0, above=True)
        self._norms: deque[float] = deque(maxlen=size(window, "window"))
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

    def _clip(self, vectors: list[Floats], norm: _Norm) -> bool:
        if self.auto:
            if math.isfinite(norm.value):  # one beyond float64 says nothing about its like
                self._norms.append(norm.value)
            if self._norms:
                self.max_norm = float(np.quantile(self._norms, self.quantile))
        return norm.limit(vectors, self.max_norm)


class ClipGroups(Guard):
    """Clips each group of parameters for itself: every ClipNorm sees the norm of its own group alone.

    `Clipped.norm` is that of the whole gradient all the same, and `nonfinite` decides once for all of it.

    Parameters
    ----------
    groups : mapping of str to ClipNorm, ClipValue or None
        Which clip for which names of `model.parameters`: "*weight_hh*", "0.*", "*", as shells match file
        names, capitals apart from small letters. The first pattern that fits a name takes it; None leaves its
        group unclipped. ClipNorm("auto") learns from the norms of its group.
    nonfinite
        As for Guard. Those of the groups stay at their default.

    Raises
    ------
    TypeError
        Not such a mapping.
    ValueError
        An empty one; a clip with its own `nonfinite`; one ClipNorm("auto") for two groups; `nonfinite` as for
        Guard. From the call, before anything is changed: a parameter that no pattern fits; a pattern that is
        left without one, "*" excepted.
    """

    def __init__(self, groups: Mapping[str, Guard | None], nonfinite: str = "raise") -> None:
        if not isinstance(groups, Mapping):
            raise TypeError(f"{_GROUPS}; got {type(groups).__name__}. {_FIX_GROUPS}")
        if not groups:
            raise ValueError(f"{_GROUPS}; got an empty one. {_FIX_GROUPS}")
        learning: set[int] = set()
        for pattern, guard in groups.items():
            if not isinstance(pattern, str):
                raise TypeError(f"{_GROUPS}; got the pattern {pattern!r:.60}. {_FIX_GROUPS}")
            if guard is None:
                continue
            if not isinstance(guard, Guard) or isinstance(guard, ClipGroups):
                raise TypeError(
                    f"groups[{pattern!r}] must be ClipNorm, ClipValue or None; got {guard!r:.60} of type "
                    f"{type(guard).__name__}. {_FIX_GROUPS}"
                )
            if guard.nonfinite != "raise":
                raise ValueError(
                    f"groups[{pattern!r}] must leave nonfinite out, which is decided for the whole gradient; "
                    f"got {guard.nonfinite!r}. Fix: ClipGroups(..., nonfinite={guard.nonfinite!r})."
                )
            if isinstance(guard, ClipNorm) and guard.auto:
                if id(guard) in learning:
                    raise ValueError(
                        f"groups[{pattern!r}] must learn from the norms of its group alone; got a clip that "
                        'another group has, too. Fix: a ClipNorm("auto") for each.'
                    )
                learning.add(id(guard))
        self.groups = dict(groups)
        super().__init__(nonfinite)

    def __call__(self, model: Module) -> Clipped:
        """Clip `model.gradients` in place, group by group.

        Raises
        ------
        NonFiniteError
            With the policy "raise".
        ValueError
            A parameter that no pattern fits, or a pattern that is left without a parameter.
        """
        self._parts(model)
        return super().__call__(model)

    def _clip_model(self, model: Module, vectors: list[Floats], norm: _Norm) -> bool:
        changed = [guard._clip(part, _Norm.of(part)) for guard, part in self._parts(model)]
        return any(changed)

    def _parts(self, model: Module) -> list[tuple[Guard, list[Floats]]]:
        """The groups that are clipped, and their gradients."""
        gradients = _named(model)
        members = _members(tuple(self.groups), tuple(gradients))
        return [
            (guard, _vectors({name: gradients[name] for name in members[pattern]}))
            for pattern, guard in self.groups.items()
            if guard is not None
        ]


_GROUPS = "groups must be a mapping of patterns of parameter names to ClipNorm, ClipValue or None"
_FIX_GROUPS = 'Fix: ClipGroups({"*weight_hh*": ClipNorm(1.0), "*": None}), for one.'


@lru_cache
def _members(patterns: tuple[str, ...], names: tuple[str, ...]) -> dict[str, list[str]]:
    """The names that each pattern takes: those that it fits and that none before it does."""
    members: dict[str, list[str]] = {pattern: [] for pattern in patterns}
    for name in names:
        fitting = [pattern for pattern in patterns if fnmatchcase(name, pattern)]
        if not fitting:
            raise ValueError(
                f"groups must have a pattern for every parameter; got none that fits {name!r}. "
                'Fix: add one, or "*": None to leave the rest unclipped.'
            )
        members[fitting[0]].append(name)
    for pattern, taken in members.items():
        if not taken and pattern != "*":
            fits = any(fnmatchcase(name, pattern) for name in names)
            came = "only some that patterns before it take" if fits else f"none among {', '.join(names)}"
            raise ValueError(
                f"groups[{pattern!r}] must fit a parameter; got {came}. "
                f"Fix: {'put it before them' if fits else 'correct it'}, or leave it out."
            )
    return members


@dataclass(frozen=True)
class _Norm:
    """A 2-norm as relative * unit: that of finite float64 entries may lie beyond the largest float64."""

    relative: float
    unit: float = 1.0

    @classmethod
    def of(cls, vectors: Iterable[Floats]) -> _Norm:
        norm = math.hypot(*(_core.norm(vector) for vector in vectors))
        if math.isfinite(norm) or any(_core.first_nonfinite(vector) >= 0 for vector in vectors):
            return cls(norm)
        unit = max(float(np.abs(vector).max(initial=0.0)) for vector in vectors)
        return cls(math.hypot(*(_core.norm(vector / unit) for vector in vectors)), unit)

    @property
    def value(self) -> float:
        return self.relative * self.unit

    @property
    def finite(self) -> bool:
        """Whether every entry is."""
        return math.isfinite(self.relative)

    def limit(self, vectors: Iterable[Floats], max_norm: float) -> bool:
        """Scale the vectors whose common norm this is down to `max_norm`; False if they are within it."""
        if self.value <= max_norm:
            return False
        # By the unit in two steps: its reciprocal may be subnormal, and the core counts that as zero.
        root = 1.0 / math.sqrt(self.unit)
        factors = (max_norm / self.relative,) if self.unit == 1.0 else (root, root, max_norm / self.relative)
        for vector in vectors:
            for factor in factors:
                _core.scale(vector, factor)
        return True


def _named(gradients: Gradients) -> Mapping[str, npt.NDArray[Any]]:
    if isinstance(gradients, Module):
        return gradients.gradients
    if isinstance(gradients, Mapping):
        return gradients
    return {"gradients": gradients}


def _vectors(gradients: Gradients) -> list[Floats]:
    """Flat views to work on in place."""
    if isinstance(gradients, Module):
        return [gradients.flat_gradients]
    vectors: list[Floats] = []
    for name, array in _named(gradients).items():
        if not isinstance(array, np.ndarray) or array.dtype not in ("f4", "f8"):
            came = f"dtype {array.dtype}" if isinstance(array, np.ndarray) else type(array).__name__
            raise TypeError(
                f"{name} must be a float32 or float64 ndarray, to be clipped in place; got {came}. "
                "Fix: pass arrays, a mapping of names to arrays, or a model."
            )
        flags = array.flags
        if not (flags.c_contiguous and flags.writeable and flags.aligned):
            raise ValueError(
                f"{name} must be writable, aligned and C-contiguous, to be clipped in place; got an array of "
                f"shape {array.shape} and strides {array.strides}. Fix: pass a copy, numpy.array({name})."
            )
        vectors.append(array.reshape(-1))
    return vectors


def _refuse_nonfinite(gradients: Gradients) -> None:
    for name, array in _named(gradients).items():
        at = _core.first_nonfinite(array.reshape(-1))
        if at >= 0:
            index = tuple(int(i) for i in np.unravel_index(at, array.shape))
            raise NonFiniteError(
                f"the gradient of {name} must be finite; got {array[index]} at {index}; nothing was changed. "
                'Fix: look for NaN in the data, lower the learning rate, or choose nonfinite="skip".',
                name,
            )
