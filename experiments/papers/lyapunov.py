"""The largest Lyapunov exponent of random tanh networks, and mean-field theory."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bptt
from bptt.diagnose.pictures import canvas
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HIDDEN = (500, 1000)
"""Units of a quick and of a full run."""
STEPS, TRANSIENT = 1000, 300
CLOSE = 0.03

SETTINGS = ((0.5, 0.0), (0.8, 0.0), (1.5, 0.0), (2.0, 0.0), (3.0, 0.0), (1.5, 1.0), (2.0, 1.0))
"""Gain g of the recurrent weights, and standard deviation of the noise that drives each unit."""


def mean_field(gain: float, noise: float) -> float:
    """Return the largest exponent of an infinite network.

    A unit's input h is normally distributed with variance q = g^2 E[tanh(h)^2] + noise^2. The square of a
    small difference between two states grows by g^2 E[tanh'(h)^2] per step.
    """
    nodes, weights = np.polynomial.hermite_e.hermegauss(201)
    weights = weights / weights.sum()
    variance = 1.0
    for _ in range(20_000):
        variance = gain**2 * weights @ np.tanh(np.sqrt(variance) * nodes) ** 2 + noise**2
    slopes = 1 - np.tanh(np.sqrt(variance) * nodes) ** 2
    return float(0.5 * np.log(gain**2 * weights @ slopes**2))


def run(seed: int, quick: bool, *, gain: float, noise: float) -> Figures:
    """Measure the exponent of one random network."""
    rng = np.random.default_rng(seed)
    hidden = HIDDEN[0 if quick else 1]
    layer = bptt.RNN(hidden, hidden, bias=False, dtype="float64", seed=rng)
    layer.parameters["weight_hh_l0"][...] = rng.normal(0, gain / np.sqrt(hidden), (hidden, hidden))
    layer.parameters["weight_ih_l0"][...] = np.eye(hidden)
    x = noise * rng.standard_normal((TRANSIENT + STEPS, hidden))
    start = rng.standard_normal((1, hidden))
    (exponent,) = bptt.lyapunov_spectrum(layer, x, 1, state=start, skip=TRANSIENT)
    theory = mean_field(gain, noise)
    return {
        "exponent": float(exponent),
        "theory": theory,
        "difference": float(exponent) - theory,
        "units": hidden,
    }


def verdict(runs: Runs) -> Verdict:
    """Return whether the mean exponent of each setting is close to the theory, with the same sign."""
    means = [
        (float(np.mean([run["exponent"] for run in group])), group[0]["theory"]) for group in runs.values()
    ]
    off = max(abs(mean - theory) for mean, theory in means)
    signs = sum(np.sign(mean) == np.sign(theory) for mean, theory in means)
    units = next(iter(runs.values()))[0]["units"]
    sentence = (
        f"With {units} units, the mean exponents differ from mean-field theory by at most {off:.3f} per "
        f"step, and {signs} of {len(means)} have its sign."
    )
    return bool(off < CLOSE) and signs == len(means), sentence


def draw(axes: Axes, runs: Runs) -> None:
    """Draw exponents against the gain, and the theory as lines."""
    gains = np.linspace(0.4, 3.2, 57)
    for noise, colour, marker in ((0.0, canvas.BLUE, "o"), (1.0, canvas.DARK, "s")):
        label = f"noise {noise:g}" if noise else "no input"
        axes.plot(gains, [mean_field(gain, noise) for gain in gains], color=colour, label=f"theory, {label}")
        for gain, drive in SETTINGS:
            group = runs.get(_name(gain, drive), ())
            if drive == noise and group:
                axes.plot(
                    [gain] * len(group), [run["exponent"] for run in group], marker, color=colour, alpha=0.5
                )
    axes.axhline(0, color=canvas.RED, linewidth=1, linestyle=(0, (6, 2)))
    axes.set(xlabel="gain g", ylabel="largest exponent (1/step)")
    axes.legend(loc="lower right", frameon=False)


def _name(gain: float, noise: float) -> str:
    return f"g {gain:g}, noise {noise:g}" if noise else f"g {gain:g}"


def _case(gain: float, noise: float) -> Case:
    driven = f"each unit driven by normal noise of standard deviation {noise:g}" if noise else "no input"
    return Case(
        _name(gain, noise),
        f"RNN with {HIDDEN[1]} tanh units (quick: {HIDDEN[0]}), no biases; weights normal with standard "
        f"deviation {gain:g} / sqrt(N); {driven}; {STEPS:,} steps after {TRANSIENT}",
        f"{mean_field(gain, noise):+.3f} (theory)",
        partial(run, gain=gain, noise=noise),
        quick_seeds=2,
        full_seeds=10,
        quick_seconds=1,
        full_seconds=5,
    )


LYAPUNOV = Experiment(
    name="lyapunov",
    title="Largest Lyapunov exponent of random networks",
    paper=(
        "H. Sompolinsky, A. Crisanti and H. J. Sommers (1988). Chaos in random neural networks. Physical "
        "Review Letters 61, 259-262. In discrete time: L. Molgedey, J. Schuchhardt and H. G. Schuster "
        "(1992). Suppressing chaos in neural networks by noise. Physical Review Letters 69, 3717-3719."
    ),
    claim=(
        "Large random networks are stable for a gain below 1 and chaotic above. Noise suppresses chaos: a "
        "net of gain 1.5 becomes stable."
    ),
    criterion=(
        f"The claim is reproduced if, for each gain and noise, the mean exponent is within {CLOSE} of "
        "mean-field theory and has its sign."
    ),
    cases=tuple(_case(gain, noise) for gain, noise in SETTINGS),
    verdict=verdict,
    figure="exponent",
    solved_only=False,
    notes="Mean-field theory is exact for infinitely many units. Near g = 1, finite networks differ most.",
    draw=draw,
)
