"""Clipping group by group of parameters."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.optim.clip import LOWER, Clip, ClipNorm, Clipped
from bptt.optim.gradients import Norm, named, vectors_of
from bptt.optim.patterns import members


class ClipGroups(Clip):
    """Clip each group of parameters separately, by the norm of that group.

    `Clipped.norm` is still the norm of the whole gradient. `nonfinite` applies to the whole gradient, too.

    Parameters
    ----------
    groups : mapping of str to ClipNorm, ClipValue or None
        Clip for each pattern of names in `model.parameters`: "*weight_hh*", "0.*", "*". Patterns match as
        in a shell and are case-sensitive. The first matching pattern decides; None leaves its group
        unclipped. ClipNorm("auto") learns from the norms of its group.
    nonfinite
        As for Clip. Those of the groups stay at their default.

    Raises
    ------
    TypeError
        `groups` is not such a mapping.
    ValueError
        `groups` is empty, a clip has its own `nonfinite`, or two groups share one ClipNorm("auto").
        `nonfinite` as for Clip. From the call, before anything changes: no pattern matches a parameter, or a
        pattern other than "*" has no parameter.
    """

    _against_nonfinite = LOWER

    def __init__(self, groups: Mapping[str, Clip | None], nonfinite: str = "raise") -> None:
        if not isinstance(groups, Mapping):
            raise TypeError(f"{_GROUPS}; got {type(groups).__name__}. {_FIX_GROUPS}")
        if not groups:
            raise ValueError(f"{_GROUPS}; got an empty one. {_FIX_GROUPS}")
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
                    f"groups[{pattern!r}] must leave nonfinite out, which is decided for the whole gradient; "
                    f"got {clip.nonfinite!r}. Fix: ClipGroups(..., nonfinite={clip.nonfinite!r})."
                )
            if isinstance(clip, ClipNorm) and clip.auto:
                if id(clip) in learning:
                    raise ValueError(
                        f"groups[{pattern!r}] must learn from the norms of its group alone; got a clip that "
                        'another group has, too. Fix: a ClipNorm("auto") for each.'
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
            With the policy "raise".
        ValueError
            A parameter that no pattern fits, or a pattern that is left without a parameter.
        """
        self._parts(model, fixed)
        return super().__call__(model, fixed)

    def state_dict(self) -> dict[str, Any]:
        learnt = {pattern: clip.state_dict() if clip else {} for pattern, clip in self.groups.items()}
        return super().state_dict() | {"groups": learnt}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        for pattern, clip in self.groups.items():
            if clip is not None:
                clip.load_state_dict(state["groups"][pattern])
        super().load_state_dict(state)

    def _clip_model(
        self,
        model: Module,
        fixed: Collection[str],
        vectors: list[Floats],
        norm: Norm,
        *,
        learn: bool = True,
    ) -> bool:
        changed = [
            clip.clip_vectors(part, Norm.of(part), learn=learn) for clip, part in self._parts(model, fixed)
        ]
        return any(changed)

    def _parts(self, model: Module, fixed: Collection[str]) -> list[tuple[Clip, list[Floats]]]:
        """The groups that are clipped, and their gradients without those of fixed parameters."""
        gradients = named(model)
        taken = members("groups", tuple(self.groups), tuple(gradients))
        return [
            (clip, vectors_of({name: gradients[name] for name in taken[pattern]}, fixed))
            for pattern, clip in self.groups.items()
            if clip is not None
        ]


_GROUPS = "groups must be a mapping of patterns of parameter names to ClipNorm, ClipValue or None"
_FIX_GROUPS = 'Fix: ClipGroups({"*weight_hh*": ClipNorm(1.0), "*": None}), for one.'
