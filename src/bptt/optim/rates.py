"""Learning rates of groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping

from bptt.arguments import real
from bptt.layers.module import Module
from bptt.optim.gradients import flat_runs
from bptt.optim.patterns import members

Factors = tuple[tuple[str, float], ...]


def parse_lr_factors(value: Mapping[str, float] | None) -> Factors:
    """Return pairs of a pattern of names and its factor.

    Raises
    ------
    TypeError
        `value` is not a mapping of str.
    ValueError
        A factor is not a number >= 0.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(isinstance(pattern, str) for pattern in value):
        raise TypeError(
            f"lr_factors must be a mapping of patterns of parameter names to factors; got {value!r:.80}. "
            'Fix: pass lr_factors={"0.*": 0.1}, for example.'
        )
    return tuple(
        (pattern, real(factor, f"lr_factors[{pattern!r}]", 0.0)) for pattern, factor in value.items()
    )


def factors_of(model: Module, factors: Factors) -> dict[str, float]:
    """Return the factor of each parameter of the model, by name.

    Raises
    ------
    ValueError
        A pattern matches no parameter, or only parameters that an earlier pattern matches.
    """
    by_pattern = {"*": 1.0} | dict(factors)
    patterns = tuple(pattern for pattern, _ in factors)
    if "*" not in patterns:
        patterns = (*patterns, "*")
    groups = members("lr_factors", patterns, tuple(model.parameters))
    fixed = model.fixed_parameters
    return {
        name: 0.0 if name in fixed else by_pattern[pattern]
        for pattern, names in groups.items()
        for name in names
    }


def runs(model: Module, factors: Factors) -> list[tuple[slice, float]]:
    """Return slices of the model's flat vectors and the factor of each; raise as `factors_of`."""
    if not factors and not model.fixed_parameters:
        return [(slice(0, model.flat_parameters.size), 1.0)]
    return flat_runs(model, factors_of(model, factors))


def fixed_names(model: Module, factors: Factors) -> frozenset[str]:
    """Return the names of the parameters that no update changes; raise as `factors_of`.

    Their factor is 0, or their layer has `trainable=False`.
    """
    if not any(factor == 0 for _, factor in factors):
        return model.fixed_parameters
    return frozenset(name for name, factor in factors_of(model, factors).items() if factor == 0)
