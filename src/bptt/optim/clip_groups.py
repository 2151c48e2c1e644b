"""Clipping of each group of parameters separately."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.optim.clip import LOWER, Clip, ClipNorm, Clipped
from bptt.optim.gradients import Gradients, Norm, named, vectors_of
from bptt.optim.patterns import members


class ClipGroups(Clip):
    """Clip each group of parameters separately, by the norm of that group.

    `Clipped.norm` is still the norm of the whole gradient. `nonfinite` applies to the whole gradient, too.

    Parameters
    ----------
    groups : mapping of str to ClipNorm, ClipValue or None
        Clip for each pattern of names in `model.parameters`: "*weight_hh*", "0.*", "*". Patterns match as
        in a shell and are case-sensitive. The first matching pattern decides. None leaves its group
        unclipped. ClipNorm("auto") learns from the norms of its group.
    nonfinite : {"raise", "skip", "zero", "shrink"}
        As for Clip. The clips in `groups` must keep their default policy.

    Raises
    ------
    TypeError
        `groups` is not such a mapping.
    ValueError
        `groups` is empty, a clip has its own `nonfinite`, or two groups share one ClipNorm("auto").
        `nonfinite` as for Clip. When called, before any gradient changes: no pattern matches a parameter, or
        a pattern other than "*" has no parameter.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(1, 1)
    >>> layer.flat_gradients[:] = 3.0, 4.0
    >>> result = bptt.ClipGroups({"*bias*": bptt.ClipNorm(1.0), "*": None})(layer)
    >>> layer.flat_gradients
    array([3., 1.], dtype=float32)
    """

    _against_nonfinite = LOWER

    def __init__(self, groups: Mapping[str, Clip | None], nonfinite: str = "raise") -> None:
        if not isinstance(groups, Mapping):
            raise TypeError(f"{_GROUPS}; got {type(groups).__name__}. {_FIX_GROUPS}")
        if not groups:
            raise ValueError(f"{_GROUPS}; got an empty mapping. {_FIX_GROUPS}")
        learning: set[int] = set()
        for pattern, clip in groups.items():
            if not isinstance(pattern, str):
                raise TypeError(f"{_GROUPS}; got the pattern {pattern!r:.60}. {_FIX_GROUPS}")
            if clip is None:
                continue
            if not isinstance(clip, Clip) or isinstance(clip, ClipGroups):
                raise TypeError(
                    f"groups[{pattern!r}] must be ClipNorm, ClipValue or None; got {clip!r:.60} of type "
                    f"{type(clip).__name__}. {_FIX_GROUPS}"
                )
            if clip.nonfinite != "raise":
                raise ValueError(
                    f"groups[{pattern!r}] must leave out nonfinite, which applies to the whole gradient; "
                    f"got {clip.nonfinite!r}. Fix: pass ClipGroups(..., nonfinite={clip.nonfinite!r})."
                )
            if isinstance(clip, ClipNorm) and clip.auto:
                if id(clip) in learning:
                    raise ValueError(
                        f"groups[{pattern!r}] must learn only from the norms of its group; got a clip that "
                        'another group uses, too. Fix: pass a separate ClipNorm("auto") for each group.'
                    )
                learning.add(id(clip))
        self.groups = dict(groups)
        super().__init__(nonfinite)

    def __call__(self, model: Module, fixed: Collection[str] = ()) -> Clipped:
        """Clip `model.gradients` in place, group by group.

        Parameters
        ----------
        model, fixed
            As for Clip. Patterns are matched against all parameters, fixed parameters included.

        Raises
        ------
        NonFiniteError
            The gradient is not finite, and the policy is "raise".
        ValueError
            No pattern matches a parameter, or a pattern other than "*" has no parameter.
        """
        self._parts(model, fixed)
        return super().__call__(model, fixed)

    def state_dict(self) -> dict[str, Any]:
        states = {pattern: clip.state_dict() if clip else {} for pattern, clip in self.groups.items()}
        return super().state_dict() | {"groups": states}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for pattern, clip in self.groups.items():
            if clip is not None:
                clip.load_state_dict(state["groups"][pattern])
        super().load_state_dict(state)

    def _clip_model(
        self,
        gradients: Gradients,
        fixed: Collection[str],
        vectors: list[Floats],
        norm: Norm,
        *,
        learn: bool = True,
    ) -> bool:
        changed = [
            clip.clip_vectors(part, Norm.of(part), learn=learn)
            for clip, part in self._parts(gradients, fixed)
        ]
        return any(changed)

    def clip_vectors(self, vectors: list[Floats], norm: Norm, *, learn: bool) -> bool:
        """Raise an error, because vectors have no names. A call clips a whole model."""
        raise TypeError("vectors must have names; got a list of vectors. Fix: call this object with a model.")

    def _parts(self, arrays: Gradients, fixed: Collection[str]) -> list[tuple[Clip, list[Floats]]]:
        """Return each clip with the gradients of its group, fixed parameters excluded."""
        gradients = named(arrays)
        names = members("groups", tuple(self.groups), tuple(gradients))
        return [
            (clip, vectors_of({name: gradients[name] for name in names[pattern]}, fixed))
            for pattern, clip in self.groups.items()
            if clip is not None
        ]


_GROUPS = "groups must be a mapping of patterns of parameter names to ClipNorm, ClipValue or None"
_FIX_GROUPS = 'Fix: pass ClipGroups({"*weight_hh*": ClipNorm(1.0), "*": None}), for example.'
