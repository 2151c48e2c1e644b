"""
Vanishing gradients
===================

Recurrent weights below 1, and how an LSTM avoids the problem. ::

    pip install 'bptt[plot]'
    python examples/vanishing.py           # a picture and its figures, some seconds
    python examples/vanishing.py --table   # the same with ten seeds

The class is the sign of the first number; 119 numbers of noise follow. The gradient must go back through all
120 steps. The recurrent weights of the tanh network have spectral radius 0.7. A default LSTM forgets half of
its cell state at every step, and learns no more. With a forget bias of 5 the LSTM keeps its cell state, and
with peepholes its gates see the cell state.

Each run compares its figures with CLAIMS, which docs/guide/gradient-flow.md prints, and exits with code 1 if
a figure is outside. CLAIMS hold for seeds 0 to 9 on every instruction set.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import bptt
from bptt.diagnose import GradientFlow
from bptt.diagnose.pictures import canvas

Array: TypeAlias = npt.NDArray[Any]

STEPS, ROWS, HIDDEN, RATE = 120, 32, 24, 3e-3
UPDATES = 400

# %%
# Networks
# --------
# Three layers with the same number of units, which differ in how fast they forget.


LAYERS: dict[str, Callable[[int], bptt.Module]] = {
    "RNN, radius 0.7": lambda seed: bptt.RNN(
        1, HIDDEN, init=bptt.init.sparse(spectral_radius=0.7), seed=seed
    ),
    "LSTM": lambda seed: bptt.LSTM(1, HIDDEN, seed=seed),
    "LSTM, forget bias 5, peepholes": lambda seed: bptt.LSTM(
        1, HIDDEN, forget_bias=5.0, peephole=True, seed=seed
    ),
}


# %%
# What the figures must show
# --------------------------
# The page on the gradient through time prints these ranges.


@dataclass(frozen=True)
class Claim:
    """Ranges, ends included, of the horizon before training and of the fraction of right answers after it."""

    horizon: tuple[int, int]
    right: tuple[float, float]


CLAIMS = {
    "RNN, radius 0.7": Claim((8, 30), (0.4, 0.6)),
    "LSTM": Claim((5, 25), (0.4, 0.6)),
    "LSTM, forget bias 5, peepholes": Claim((STEPS, STEPS), (0.95, 1.0)),
}
"""What the page says of UPDATES updates. Guessing is right in half of 1,000 sequences, give or take 0.05."""


def check(name: str, seed: int, horizon: int, right: float) -> None:
    """Compare one run with the page.

    Raises
    ------
    SystemExit
        A figure is outside its claim.
    """
    claim = CLAIMS[name]
    for what, value, (low, high) in (("horizon", horizon, claim.horizon), ("right", right, claim.right)):
        if not low <= value <= high:
            found = f"{name}, seed {seed}: {what} is {value:g}"
            raise SystemExit(f"vanishing.py: {found}, but the page says {low:g} to {high:g}")


# %%
# Task and training
# -----------------
# The class is the sign of the first number. All later numbers are noise.


def recall(seed: int, batches: int, rows: int = ROWS) -> list[tuple[Array, Array]]:
    """Return sequences of a sign followed by noise. The class is the sign."""
    rng = np.random.default_rng(seed)
    made = []
    for _ in range(batches):
        x = rng.normal(0, 0.5, (STEPS, rows, 1))
        sign = rng.integers(0, 2, rows)
        x[0, :, 0] = 2 * sign - 1
        made.append((x, sign))
    return made


def model(layer: bptt.Module, seed: int) -> bptt.Sequential:
    return bptt.Sequential(layer, bptt.Last(), bptt.Linear(HIDDEN, 2, seed=seed))


def trained(net: bptt.Sequential, data: list[tuple[Array, Array]]) -> tuple[Array, float]:
    """Train a network. Return the loss of every update, and the accuracy on unseen sequences."""
    optimizer = bptt.Adam(bptt.schedules.Cosine(RATE, steps=len(data)))
    trainer = bptt.Trainer(net, bptt.CrossEntropy(), optimizer, clip=bptt.ClipNorm(1.0), progress=False)
    trainer.fit(data)
    ((x, sign),) = recall(10_000, 1, rows=1000)
    return trainer.history["loss"], float(np.mean(net(x)[0].argmax(-1) == sign))


def table(seeds: int, updates: int) -> list[dict[str, Any]]:
    """Print the accuracy of each network, and its horizon before training, for each seed."""
    rows = []
    print("seed  network                         horizon   right")
    for seed in range(seeds):
        data = recall(seed, updates)
        for name, layer in LAYERS.items():
            net = model(layer(seed), seed)
            horizon = int(bptt.gradient_flow(net, data[0][0]).horizon[0])
            right = trained(net, data)[1]
            rows.append({"seed": seed, "network": name, "horizon": horizon, "right": right})
            print(f"{seed:>4}  {name:<32}{horizon:>7}{right:>8.1%}", flush=True)
            if updates == UPDATES:
                check(name, seed, horizon, right)
    return rows


# %%
# Picture
# -------
# How far errors reach before training, and the loss during training.


def draw(flows: dict[str, GradientFlow], losses: dict[str, Array], path: Path) -> bool:
    """Draw how far errors reach before training, and the loss. Return False without matplotlib."""
    if not canvas.available():
        return False
    from bptt.diagnose.pictures.flow import draw_flows
    from bptt.diagnose.pictures.plots import smoothed

    with canvas.drawing(10.0, 4.4) as figure:
        back, loss = figure.subplots(1, 2)
        draw_flows(back, flows)
        back.set_title("An error on its way back, before training")
        for k, (name, values) in enumerate(losses.items()):
            mean = smoothed(values, 20)
            loss.plot(
                np.arange(1, len(mean) + 1),
                mean,
                label=name,
                color=canvas.COLOURS[k],
                linestyle=canvas.STYLES[k],
            )
        loss.axhline(np.log(2), color=canvas.RED, linewidth=1.0, linestyle=(0, (6, 2)), label="guessing")
        loss.set(title="Loss", xlabel="update", ylabel="cross-entropy (nats), mean of 20", ylim=(0, None))
        loss.legend(fontsize=8)
        figure.legend(*back.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
        canvas.tidy(loss)
    canvas.write(figure, path)
    return True


# %%
# Run it
# ------
# One seed. ``--table`` takes ten seeds.


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Shows a gradient that vanishes, and what helps.")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default: 0)")
    parser.add_argument("--updates", type=int, default=UPDATES, help=f"of each network (default: {UPDATES})")
    parser.add_argument("--picture", type=Path, default=Path("vanishing.png"), help="a .png or .svg file")
    parser.add_argument("--figures", type=Path, default=Path("vanishing.json"), help="the numbers behind it")
    parser.add_argument("--table", action="store_true", help="what several seeds come to, instead")
    parser.add_argument("--seeds", type=int, default=10, help="of the table (default: 10)")
    options = parser.parse_args(arguments)

    # Small networks gain nothing from a second thread, and on a busy machine they would wait for it.
    bptt.set_num_threads(1)
    if options.table:
        rows = table(options.seeds, options.updates)
        options.figures.write_text(json.dumps(rows, indent=1), encoding="utf-8")
        print(f"figures  {options.figures}")
        return
    data = recall(options.seed, options.updates)
    flows: dict[str, GradientFlow] = {}
    losses: dict[str, Array] = {}
    right: dict[str, float] = {}
    for name, layer in LAYERS.items():
        net = model(layer(options.seed), options.seed)
        flows[name] = bptt.gradient_flow(net, data[0][0])
        print(f"{name}\n{flows[name]}")
        losses[name], right[name] = trained(net, data)
        print(f"after {options.updates} updates: {right[name]:.1%} right\n")

    found = {
        name: {"flow": flows[name].to_dict(), "loss": losses[name].tolist(), "right": right[name]}
        for name in LAYERS
    }
    options.figures.write_text(json.dumps(found), encoding="utf-8")
    print(f"figures  {options.figures}")
    if draw(flows, losses, options.picture):
        print(f"picture  {options.picture}")
    else:
        print("no picture: it needs matplotlib, pip install 'bptt[plot]'")
    if options.updates == UPDATES:
        for name in LAYERS:
            check(name, options.seed, int(flows[name].horizon[0]), right[name])


if __name__ == "__main__":
    main()
