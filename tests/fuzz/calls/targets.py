"""The public callables by name, each with the function that calls it."""

from __future__ import annotations

from tests.fuzz.calls import (
    cells,
    data,
    estimators,
    files,
    interop,
    models,
    optimisation,
    runs,
    stateless,
    tools,
)
from tests.fuzz.calls.target import Target

TARGETS: dict[str, Target] = {
    name: target
    for subject in (cells, stateless, models, optimisation, runs, data, files, estimators, interop, tools)
    for name, target in subject.TARGETS.items()
}
