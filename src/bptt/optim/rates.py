"""Settings of groups of parameters: factors of the learning rate, and weight decay."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from bptt.arguments import real
from bptt.layers.module import Module
from bptt.optim.gradients import flat_runs
from bptt.optim.patterns import members

Groups: TypeAlias = tuple[tuple[str, float], ...]
"""Pairs of a pattern of names and a number."""


class GroupSettings(NamedTuple):
    """The settings of one group of parameters.

    Attributes
    ----------
    factor : float
        Factor of the learning rate.
    weight_decay : float
    """

    factor: float
    weight_decay: float


def parse_groups(value: Mapping[str, float], name: str) -> Groups:
    """Return pairs of a pattern of names and its number.

    Raises
    ------
    TypeError
        `value` is not a mapping of str.
    ValueError
        A number is below 0.
    """
    if not isinstance(value, Mapping) or not all(isinstance(pattern, str) for pattern in value):
        raise TypeError(
            f"{name} must be a mapping of patterns of parameter names to numbers; got {value!r:.80}. "
            f'Fix: pass {name}={{"0.*": 0.1}}, for example.'
        )
    return tuple((pattern, real(number, f"{name}[{pattern!r}]", 0.0)) for pattern, number in value.items())


def parse_weight_decay(value: float | Mapping[str, float]) -> Groups:
    """Return the weight decay by patterns; a number holds for all parameters."""
    if isinstance(value, Mapping):
        return parse_groups(value, "weight_decay")
    return (("*", real(value, "weight_decay", 0.0)),)


def by_name(model: Module, groups: Groups, argument: str, default: float) -> dict[str, float]:
    """Return the number of each parameter of the model, by name. `default` holds without a pattern.

    Raises
    ------
    ValueError
        A pattern matches no parameter, or only parameters that an earlier pattern matches.
    """
    numbers = {"*": default} | dict(groups)
    patterns = tuple(pattern for pattern, _ in groups)
    if "*" not in patterns:
        patterns = (*patterns, "*")
    names_by_pattern = members(argument, patterns, tuple(model.parameters))
    return {name: numbers[pattern] for pattern, names in names_by_pattern.items() for name in names}


def factors_of(model: Module, factors: Groups) -> dict[str, float]:
    """Return the learning-rate factor of each parameter, by name: 0 in layers with `trainable=False`."""
    fixed = model.fixed_parameters
    by_pattern = by_name(model, factors, "lr_factors", 1.0)
    return {name: 0.0 if name in fixed else factor for name, factor in by_pattern.items()}


def runs(model: Module, factors: Groups, decays: Groups) -> list[tuple[slice, GroupSettings]]:
    """Return slices of the model's flat vectors and the settings of each; raise as `by_name`."""
    one_decay = [pattern for pattern, _ in decays] == ["*"]
    if not factors and one_decay and not model.fixed_parameters:
        return [(slice(0, model.flat_parameters.size), GroupSettings(1.0, decays[0][1]))]
    factor = factors_of(model, factors)
    decay = by_name(model, decays, "weight_decay", 0.0)
    return flat_runs(model, {name: GroupSettings(factor[name], decay[name]) for name in factor})


def fixed_names(model: Module, factors: Groups) -> frozenset[str]:
    """Return the names of the parameters that no update changes; raise as `by_name`.

    Their factor is 0, or their layer has `trainable=False`.
    """
    if not any(factor == 0 for _, factor in factors):
        return model.fixed_parameters
    return frozenset(name for name, factor in factors_of(model, factors).items() if factor == 0)
