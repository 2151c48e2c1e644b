"""Learning rates of groups of parameters."""

from __future__ import annotations

from collections.abc import Mapping

from bptt.arguments import real
from bptt.layers.module import Module
from bptt.train.patterns import members

Factors = tuple[tuple[str, float], ...]


def read_factors(value: Mapping[str, float] | None) -> Factors:
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


def runs(model: Module, factors: Factors) -> list[tuple[slice, float]]:
    """Where in the model's flat vectors the parameters of each rate lie, neighbours of one rate together.

    Raises
    ------
    ValueError
        A pattern that takes no parameter.
    """
    if not factors:
        return [(slice(0, model.flat_parameters.size), 1.0)]
    by_pattern = {"*": 1.0} | dict(factors)
    patterns = tuple(pattern for pattern, _ in factors)
    if "*" not in patterns:
        patterns = (*patterns, "*")
    parameters = model.parameters
    taken = members("lr_factors", patterns, tuple(parameters))
    factor_of = {name: by_pattern[pattern] for pattern, names in taken.items() for name in names}
    found: list[tuple[slice, float]] = []
    flat = model.flat_parameters
    for name, array in parameters.items():
        start = (array.__array_interface__["data"][0] - flat.__array_interface__["data"][0]) // flat.itemsize
        stop, factor = start + array.size, factor_of[name]
        if found and found[-1][0].stop == start and found[-1][1] == factor:
            found[-1] = slice(found[-1][0].start, stop), factor
        else:
            found.append((slice(start, stop), factor))
    return found
