"""Gradients against finite differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import integer, real
from bptt.arrays import as_real
from bptt.checks.nested import State, each, filled, leaves
from bptt.checks.report import Report, compare, conclude
from bptt.checks.training_step import Tensor, check_layer, named_gradients, normal, options_of, untouched
from bptt.layers.module import Module
from bptt.reference.copies import rebuild


def gradcheck(
    layer: Module,
    x: npt.ArrayLike,
    state: State = None,
    *,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    entries: int | None = 32,
    seed: int = 0,
    raises: bool = True,
) -> Report:
    """Check `layer.backward` against central differences in float64.

    The loss L is the sum of all outputs and of the last state, each entry with a weight drawn from N(0, 1).
    Its derivative by an entry v of the input, the initial state or a parameter is taken to be
    (L(v + eps) - L(v - eps)) / 2 eps. Where a gradient misses that, the kink of a ReLU may lie between; it
    then passes if it agrees with the difference to one side, of the same order in eps.

    Parameters
    ----------
    layer : Module
        Any layer or `Sequential`, native or reference. A float32 layer is checked through a float64 copy of
        itself, for differences of float32 numbers say little; float32 results are `crosscheck`'s matter.
    x : array_like
        As the layer takes it. An input without a gradient (symbols for an `Embedding`) is not checked.
    state : optional
        As the layer takes it. None: zeros; the gradient of the initial state is checked there.
    lengths : array_like of int, optional
        Of what takes them: valid steps of each row.
    reset : array_like of bool, optional
        Of what takes them: where rows start again.
    eps : float
        Step of the differences.
    atol, rtol : float
        An entry passes if |gradient - difference| <= atol + rtol * |difference|.
    entries : int or None
        Check at most so many entries of each tensor: the first, the last and others drawn from `seed`.
        None: all.
    seed : int
        Of the loss's weights and of the entries drawn.
    raises : bool
        Raise when the check fails; otherwise look at the report's `passed`.

    Returns
    -------
    Report
        One row per tensor: "dx", "dstate", "gradients[weight_ih_l0]" and so on.

    Raises
    ------
    TypeError, ValueError
        What is no layer; an input or a state that the layer refuses; `entries` below 1, `eps` not above 0.
    CheckError
        If a gradient is wrong, naming tensor, entry and both values.
    """
    check_layer(layer)
    eps = real(eps, "eps", 0.0, above=True)
    atol, rtol = real(atol, "atol", 0.0), real(rtol, "rtol", 0.0)
    entries = None if entries is None else integer(entries, "entries", 1)
    if layer.dtype != np.float64:
        layer = rebuild(layer, np.dtype(np.float64))
    options = options_of(layer, lengths, reset)
    rng = np.random.default_rng(seed)
    x = as_real(x, "x")

    with untouched(layer) as rewind:
        y, last, tape = layer.forward(x, state, **options)
        dy, dlast = normal(rng, y), each(lambda s: normal(rng, s), last)
        layer.zero_grad()
        dx, dstate = layer.backward(tape, dy, dlast)
        found = {name: tensor.copy() for name, tensor in named_gradients(layer, dx, dstate).items()}

        x = x if dx is None else np.array(x, np.float64)
        state = filled(state, last)
        places = {"dx": x} | leaves(state, "dstate")
        places |= {f"gradients[{name}]": parameter for name, parameter in layer.parameters.items()}

        def loss() -> float:
            rewind()
            y, last, _ = layer.forward(x, state, **options)
            pairs = zip(leaves((y, last)).values(), leaves((dy, dlast)).values(), strict=True)
            return sum(float(np.vdot(value, weight)) for value, weight in pairs)

        rows = []
        for name, gradient in found.items():
            chosen = _choose(gradient.size, entries, rng)
            values = gradient.flat[chosen]
            numeric = np.array([_central(loss, places[name], j, eps) for j in chosen])
            for n in np.flatnonzero(~(np.abs(values - numeric) <= atol + rtol * np.abs(numeric))):
                sides = [_one_sided(loss, places[name], chosen[n], step) for step in (eps, -eps)]
                numeric[n] = min(sides, key=lambda side: abs(side - values[n]))
            bound = atol + rtol * np.abs(numeric)
            rows.append(compare(name, values, numeric, bound, gradient.shape, chosen))

    return conclude(f"gradcheck {layer!r}", rows, raises)


def _choose(size: int, entries: int | None, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Positions to check among 0..size-1: all, or the first, the last and random ones."""
    if entries is None or size <= entries:
        return np.arange(size)
    inner = rng.choice(size - 2, max(entries - 2, 0), replace=False) + 1
    return np.sort(np.concatenate([[0, size - 1], inner])[:entries])


def _central(loss: Callable[[], float], place: Tensor, j: Any, eps: float) -> float:
    """(L(v + eps) - L(v - eps)) / 2 eps for the j-th entry of `place`."""
    above, below = place.flat[j] + eps, place.flat[j] - eps
    # divided by what the step is after rounding
    return (_loss_at(loss, place, j, above) - _loss_at(loss, place, j, below)) / float(above - below)


def _one_sided(loss: Callable[[], float], place: Tensor, j: Any, step: float) -> float:
    """(-3 L(v) + 4 L(v + step) - L(v + 2 step)) / 2 step: as exact as the central one, from one side of v."""
    v = place.flat[j]
    here, near, far = (_loss_at(loss, place, j, v + n * step) for n in range(3))
    return (-3.0 * here + 4.0 * near - far) / (2.0 * step)


def _loss_at(loss: Callable[[], float], place: Tensor, j: Any, value: float) -> float:
    kept = place.flat[j]
    place.flat[j] = value
    result = loss()
    place.flat[j] = kept
    return result
