"""A linear recurrence multiplies the gradient by its radius at every step: rho to the power T - t."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

import bptt
from bptt.diagnose.pictures import canvas
from experiments.experiment import Case, Experiment, Figures, Runs, Verdict

if TYPE_CHECKING:
    from matplotlib.axes import Axes

STEPS, HIDDEN = 200, 20
EVERY = 10
"""Steps between two norms that are stored."""
RADII = (0.9, 1.0, 1.1)
EXACT = 1e-10


def run(seed: int, quick: bool, *, rho: float, orthogonal: bool) -> Figures:
    """Compare the norm of dL/dh at every step with a power of the spectral radius."""
    rng = np.random.default_rng(seed)
    layer = bptt.RNN(1, HIDDEN, nonlinearity="linear", dtype="float64", seed=rng)
    weights = layer.parameters["weight_hh_l0"]
    draws = rng.standard_normal((HIDDEN, HIDDEN))
    weights[...] = np.linalg.qr(draws)[0] if orthogonal else draws
    weights *= rho / bptt.spectral_radius(layer)[0]
    norms = bptt.gradient_flow(layer, rng.standard_normal((STEPS, 1, 1))).dh_norm[0]
    steps_back = np.arange(STEPS)[::-1]
    expected = norms[-1] * rho**steps_back
    half = STEPS // 2
    return {
        "error": float(np.max(np.abs(norms / expected - 1))),
        "rate": float((norms[0] / norms[half]) ** (1 / half)),
        "norms": norms[::-EVERY],
    }


def verdict(runs: Runs) -> Verdict:
    """Return whether orthogonal weights follow the power, and others at the same rate far back."""
    error = max(run["error"] for name, group in runs.items() if "orthogonal" in name for run in group)
    rates = [
        (float(name.split()[1].rstrip(",")), run["rate"])
        for name, group in runs.items()
        if "Gaussian" in name
        for run in group
    ]
    off = max(abs(rate / rho - 1) for rho, rate in rates)
    sentence = (
        f"With orthogonal weights times rho, |dL/dh_t| differs from rho^(T-t) by at most {error:.0e} over "
        f"{STEPS} steps. With Gaussian weights, the growth per step over the first {STEPS // 2} steps "
        f"differs from the spectral radius by at most {100 * off:.1f}%."
    )
    return error < EXACT and off < 0.02, sentence


def draw(axes: Axes, runs: Runs) -> None:
    """Draw the norm of the gradient of one run of each case, against the number of steps back."""
    for k, (name, group) in enumerate(runs.items()):
        axes.plot(
            np.arange(0, STEPS, EVERY),
            group[0]["norms"],
            color=canvas.COLOURS[k % 3],
            linestyle="-" if "orthogonal" in name else ":",
            label=name,
        )
    axes.set(xlabel="steps back, T - t", ylabel="norm of dL/dh", yscale="log", ylim=(1e-11, 1e15))
    axes.legend(loc="upper left", ncols=2, frameon=False, fontsize=9)


def _case(rho: float, orthogonal: bool) -> Case:
    kind = "orthogonal" if orthogonal else "Gaussian"
    return Case(
        f"rho {rho:g}, {kind}",
        f"RNN with {HIDDEN} linear units; {kind} recurrent weights, scaled to spectral radius {rho:g}; "
        f"{STEPS} steps; float64",
        f"{rho:g} a step",
        partial(run, rho=rho, orthogonal=orthogonal),
        quick_seeds=3,
        full_seeds=10,
        quick_seconds=0.1,
        full_seconds=0.1,
    )


LINEAR = Experiment(
    name="linear-recurrence",
    title="Gradient of a linear recurrence",
    paper=(
        "Y. Bengio, P. Simard and P. Frasconi (1994). Learning long-term dependencies with gradient "
        "descent is difficult. IEEE Transactions on Neural Networks 5(2), 157-166."
    ),
    claim=(
        "In a linear recurrent net, the gradient with respect to h_t vanishes or explodes as rho^(T-t), "
        "where rho is the spectral radius of the recurrent weights."
    ),
    criterion=(
        f"The claim is reproduced if two conditions hold. For orthogonal weights times rho, the relative "
        f"error is below {EXACT:g} at every step. For Gaussian weights, the growth per step is within 2% of "
        "rho, over the half of the sequence that is far from the error."
    ),
    cases=tuple(_case(rho, orthogonal) for orthogonal in (True, False) for rho in RADII),
    verdict=verdict,
    figure="rate",
    solved_only=False,
    notes=(
        "For weights that are not normal matrices, the law holds for many steps only: at first, the "
        "gradient may grow although the radius is below 1."
    ),
    draw=draw,
)
