"""Learning rates of groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping

from bptt.arguments import real
from bptt.layers.module import Module
from bptt.optim.gradients import flat_runs
from bptt.optim.patterns import members

Factors = tuple[tuple[str, float], ...]


def parse_lr_factors(value: Mapping[str, float] | None) -> Factors:
    """Patterns of names and the factors that they take.

    Raises
    ------
    TypeError
        Not a mapping of str.
    ValueError
        A factor that is not a number from 0 on.
    """
    if value is None:
        return ()
    if not isinstance(value, Mapping) or not all(isinstance(pattern, str) for pattern in value):
        raise TypeError(
            f"lr_factors must be a mapping of patterns of parameter names to factors; got {value!r:.80}. "
            'Fix: lr_factors={"0.*": 0.1}, for one.'
        )
    return tuple(
        (pattern, real(factor, f"lr_factors[{pattern!r}]", 0.0)) for pattern, factor in value.items()
    )


def factors_of(model: Module, factors: Factors) -> dict[str, float]:
    """Factor of each of the model's parameters, by name.

    Raises
    ------
    ValueError
        A pattern that fits no parameter, or only parameters that an earlier pattern takes.
    """
    by_pattern = {"*": 1.0} | dict(factors)
    patterns = tuple(pattern for pattern, _ in factors)
    if "*" not in patterns:
        patterns = (*patterns, "*")
    taken = members("lr_factors", patterns, tuple(model.parameters))
    return {name: by_pattern[pattern] for pattern, names in taken.items() for name in names}


def runs(model: Module, factors: Factors) -> list[tuple[slice, float]]:
    """Slices of the model's flat vectors that share a factor; ValueError as `factors_of`."""
    if not factors:
        return [(slice(0, model.flat_parameters.size), 1.0)]
    return flat_runs(model, factors_of(model, factors))


def fixed_names(model: Module, factors: Factors) -> frozenset[str]:
    """Names of the parameters whose factor is 0; ValueError as `factors_of`."""
    if not any(factor == 0 for _, factor in factors):
        return frozenset()
    return frozenset(name for name, factor in factors_of(model, factors).items() if factor == 0)
