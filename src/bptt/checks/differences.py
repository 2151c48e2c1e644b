"""Compare gradients with finite differences."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np
import numpy.typing as npt

from bptt.arguments import integer, real
from bptt.checks.nested import State, differentiable, fill, flatten, map_state
from bptt.checks.report import Comparison, Report, compare, conclude
from bptt.checks.training_step import (
    Tensor,
    check_layer,
    named_gradients,
    normal,
    options_of,
    rounds_operands,
    untouched,
)
from bptt.layers.containers.inputs import InputsLike, parse_inputs
from bptt.layers.module import Module
from bptt.reference.copies import rebuild

ROUNDING = 16 * float(np.finfo(np.float64).eps)
"""Rounding error of the loss, relative to the sum of the absolute values of its terms."""

NO_SLACK: Mapping[str, float] = MappingProxyType({})


def gradcheck(
    layer: Module,
    x: InputsLike,
    state: State = None,
    *,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    skip: npt.ArrayLike | None = None,
    eps: float = 1e-6,
    atol: float = 1e-7,
    rtol: float = 1e-5,
    entries: int | None = 32,
    seed: int = 0,
    raises: bool = True,
) -> Report:
    """Check `layer.backward` against central differences in float64.

    The loss L is the sum of all outputs and of the last state, each entry with a weight drawn from N(0, 1).
    Its derivative with respect to an entry v is approximated by (L(v + h) - L(v - h)) / 2h, with h = eps *
    `max(1, |v|)`. The entries are those of the input, the initial state and the parameters.

    A gradient that misses this difference is compared again, with the best of several steps from h / 1000 to
    1000 h. Each step gives an extrapolated difference and an estimate of its error. The estimate uses the
    difference at half the step and the rounding of L. The error estimate of the best step is added to the
    bound. If the kink of a ReLU lies at v, a gradient also passes if it equals the derivative on one side of
    v.

    Parameters
    ----------
    layer : Module
        Any layer or `Sequential`, native or reference. A float32 layer is checked through a copy in float64,
        because differences of float32 numbers say little. The copy does not round its tape, whatever
        `tape_dtype` is. `crosscheck` checks float32 results.
    x : array_like
        Input of the layer. An input without a gradient (symbols for an `Embedding`) is not checked.
    state : optional
        Initial state of the layer, whose gradient is checked, too. None: zeros.
    lengths : array_like of int, optional
        Valid steps of each row, for layers that accept lengths.
    reset : array_like of bool, optional
        True where a row starts a new sequence, for layers that accept resets.
    skip : array_like of bool, optional
        True where a row has no step, for layers that accept skips.
    eps : float
        Step of the differences. Relative for entries above 1.
    atol, rtol : float
        An entry passes if `|gradient - difference| <= atol + rtol * |difference|`.
    entries : int or None
        Check at most this many entries of each tensor: the first, the last and random ones. None: all.
    seed : int
        Random seed of the weights in the loss and of the choice of entries.
    raises : bool
        Raise when the check fails; otherwise look at the report's `passed`.

    Returns
    -------
    Report
        One row per tensor: "dx", "dstate", "gradients[weight_ih_l0]" and so on.

    Raises
    ------
    TypeError, ValueError
        If `layer` is not a layer, the layer refuses the input or the state, `entries` is below 1, or `eps` is
        not above 0. If a layer has `precision="bfloat16"`.
    CheckError
        If a gradient is wrong. The message names tensor, entry and both values.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.LSTM(3, 8, peephole=True, seed=0)
    >>> report = bptt.gradcheck(layer, np.random.default_rng(0).standard_normal((20, 4, 3)))
    >>> report.passed, [row.name for row in report.rows][:2]
    (True, ['dx', 'dstate[0]'])
    """
    check_layer(layer)
    if rounds_operands(layer):
        raise ValueError(
            "layer must have precision='highest', because a function that rounds is constant between its "
            f"jumps; got {layer!r:.200}. Fix: check a layer with precision='highest', or call crosscheck."
        )
    eps = real(eps, "eps", 0.0, above=True)
    atol, rtol = real(atol, "atol", 0.0), real(rtol, "rtol", 0.0)
    entries = None if entries is None else integer(entries, "entries", 1)
    if layer.dtype != np.float64:
        layer = rebuild(layer, np.dtype(np.float64))
    options = options_of(layer, lengths=lengths, reset=reset, skip=skip)
    rng = np.random.default_rng(seed)
    x = parse_inputs(x, "x")

    with untouched(layer) as rewind:
        y, last, tape = layer.forward(x, state, **options)
        dy, dlast = normal(rng, y), map_state(lambda s: normal(rng, s), last)
        layer.zero_grad()
        dx, dstate = layer.backward(tape, dy, dlast)
        gradients = {name: tensor.copy() for name, tensor in named_gradients(layer, dx, dstate).items()}

        x = differentiable(x, dx)
        state = fill(state, dstate)
        variables = flatten(x, "dx") | flatten(state, "dstate")
        variables |= {f"gradients[{name}]": parameter for name, parameter in layer.parameters.items()}

        def terms() -> list[Tensor]:
            rewind()
            y, last, _ = layer.forward(x, state, **options)
            pairs = zip(flatten((y, last)).values(), flatten((dy, dlast)).values(), strict=True)
            return [value * weight for value, weight in pairs]

        left_out = {f"gradients[{name}]": rows for name, rows in layer.no_gradient.items()}
        settings = Differences(eps, atol, rtol, entries)
        rows = compare_gradients(gradients, variables, terms, settings, rng, left_out=left_out)

    return conclude(f"gradcheck {layer!r}", rows, raises)


@dataclass(frozen=True)
class Differences:
    """How gradients are compared with finite differences: see `gradcheck`."""

    eps: float
    atol: float
    rtol: float
    entries: int | None


def compare_gradients(
    gradients: Mapping[str, Tensor],
    variables: Mapping[str, Tensor],
    terms: Callable[[], list[Tensor]],
    settings: Differences,
    rng: np.random.Generator,
    slack: Mapping[str, float] = NO_SLACK,
    left_out: Mapping[str, slice] = MappingProxyType({}),
) -> list[Comparison]:
    """Compare gradients with central differences of a loss.

    Parameters
    ----------
    gradients : Mapping of str to ndarray
        The gradients to compare, by name.
    variables : Mapping of str to ndarray
        The float64 arrays of the same names that the loss is a function of. They are changed one entry at a
        time, and restored.
    terms : callable
        Returns the terms of the loss at the present values of the variables.
    settings : Differences
        Steps, tolerances and the number of entries of each tensor.
    rng : numpy.random.Generator
        Chooses the entries.
    slack : Mapping of str to float
        Added to the bound of a tensor. Default: 0.
    left_out : Mapping of str to slice
        Rows of a tensor that have no gradient by design, and are not compared. Default: none.
    """
    rows = []
    with np.errstate(over="ignore", invalid="ignore"):  # a loss that is not finite fails the check
        rounding = ROUNDING * sum(float(np.abs(term).sum()) for term in terms())
        loss = Loss(lambda: sum(float(term.sum()) for term in terms()), rounding)
        for name, gradient in gradients.items():
            compared = np.ones(gradient.shape, bool)
            if name in left_out:
                compared[left_out[name]] = False
            places = np.flatnonzero(compared)
            chosen = places[_choose(places.size, settings.entries, rng)]
            values = gradient.flat[chosen]
            chosen_entries = [Entry(loss, variables[name], int(j), settings.eps) for j in chosen]
            numeric = np.array([entry.central(entry.step) for entry in chosen_entries])
            extra = settings.atol + slack.get(name, 0.0)
            bound = extra + settings.rtol * np.abs(numeric)
            for n in np.flatnonzero(~(np.abs(values - numeric) <= bound)):
                numeric[n], error = chosen_entries[n].closest(values[n], settings.rtol)
                bound[n] = extra + settings.rtol * np.abs(numeric[n]) + error
            rows.append(compare(name, values, numeric, bound, gradient.shape, chosen))
    return rows


def _choose(size: int, entries: int | None, rng: np.random.Generator) -> npt.NDArray[np.intp]:
    """Choose the positions to check among 0..size-1.

    These are all positions, or the first, the last and random ones.
    """
    if entries is None or size <= entries:
        return np.arange(size)
    inner = rng.choice(size - 2, max(entries - 2, 0), replace=False) + 1
    return np.sort(np.concatenate([[0, size - 1], inner])[:entries])


@dataclass(frozen=True)
class Loss:
    """The loss at the layer's present numbers, and a bound on its rounding error."""

    value: Callable[[], float]
    rounding: float


class Entry:
    """The loss as a function of one number v: the j-th entry of `variable`."""

    def __init__(self, loss: Loss, variable: Tensor, j: int, eps: float) -> None:
        self.loss, self.variable, self.j = loss, variable, j
        self.v = float(variable.flat[j])
        # v + step must differ from v, and a loss divided by the step must not overflow.
        self.smallest_step = max(8.0 * float(np.spacing(abs(self.v))), 1e-290)
        self.step = max(eps * max(1.0, abs(self.v)), self.smallest_step)

    def loss_with(self, value: float) -> float:
        """Return L with `value` in place of v."""
        self.variable.flat[self.j] = value
        try:
            return self.loss.value()
        finally:
            self.variable.flat[self.j] = self.v

    def central(self, step: float) -> float:
        """Return the central difference (L(v + step) - L(v - step)) / 2 step."""
        above, below = self.v + step, self.v - step
        # The divisor is twice the step after rounding.
        return (self.loss_with(above) - self.loss_with(below)) / (above - below)

    def forward(self, step: float) -> float:
        """Return the difference (-3 L(v) + 4 L(v + step) - L(v + 2 step)) / 2 step.

        Its error is of second order in the step, like that of the central difference.
        """
        here, near, far = (self.loss_with(self.v + n * step) for n in range(3))
        return (-3.0 * here + 4.0 * near - far) / (2.0 * step)

    def backward(self, step: float) -> float:
        """Return the one-sided difference on the other side of v."""
        return self.forward(-step)

    def best(self, difference: Callable[[float], float]) -> tuple[float, float]:
        """Return the derivative at the best step, and a bound on its error.

        The best step has the smallest bound.
        """
        best = (float("nan"), 0.0)
        for power in range(-3, 4):
            step = max(self.step * 10.0**power, 2.0 * self.smallest_step)  # `step / 2` is used, too
            wide, narrow = difference(step), difference(step / 2)
            # The second-order error cancels. A one-sided difference adds up four times the rounding error.
            derivative = (4.0 * narrow - wide) / 3.0
            error = abs(derivative - narrow) + 4.0 * self.loss.rounding / step
            if np.isfinite(error) and (np.isnan(best[0]) or error < best[1]):
                best = derivative, error
        return best

    def closest(self, gradient: float, rtol: float) -> tuple[float, float]:
        """Return a more exact derivative if a gradient misses the central difference.

        Returns
        -------
        derivative, error : float
            The two-sided derivative and a bound on its error. If the gradient misses that derivative too, the
            two-sided or one-sided derivative that is closest to the gradient.
        """
        both = self.best(self.central)
        if abs(gradient - both[0]) <= rtol * abs(both[0]) + both[1]:
            return both
        sides = [both, self.best(self.forward), self.best(self.backward)]
        return min(sides, key=lambda side: abs(side[0] - gradient) - side[1])
