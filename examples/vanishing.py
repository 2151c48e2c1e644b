"""
Gradients that vanish: a recurrent weight below 1, and what an LSTM has to do with it.

    pip install 'bptt[plot]'
    python examples/vanishing.py           # a picture and its figures, some seconds
    python examples/vanishing.py --table   # the same with six seeds

The sign of the first number decides, 119 numbers of noise later. Whatever is to be learnt of it must come
back through 120 steps. The tanh network's recurrent weights have spectral radius 0.9. An LSTM as it comes
forgets half of its cell at every step, and does no better; with a forget bias of 3 it keeps what it holds,
and with peepholes its gates see that.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

import bptt
from bptt.diagnose import GradientFlow, canvas

Array: TypeAlias = npt.NDArray[Any]

STEPS, ROWS, HIDDEN, RATE = 120, 32, 24, 3e-3

LAYERS: dict[str, Callable[[int], bptt.Module]] = {
    "RNN, radius 0.9": lambda seed: bptt.RNN(
        1, HIDDEN, init=bptt.init.sparse(spectral_radius=0.9), seed=seed
    ),
    "LSTM": lambda seed: bptt.LSTM(1, HIDDEN, seed=seed),
    "LSTM, forget bias 3, peepholes": lambda seed: bptt.LSTM(
        1, HIDDEN, forget_bias=3.0, peephole=True, seed=seed
    ),
}


def recall(seed: int, batches: int, rows: int = ROWS) -> list[tuple[Array, Array]]:
    """A sign, then noise; the class is the sign's."""
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
    """The loss at every update, and the share of unseen sequences it gets right afterwards."""
    trainer = bptt.Trainer(net, bptt.CrossEntropy(), bptt.Adam(RATE), clip=bptt.ClipNorm(1.0), progress=False)
    trainer.fit(data)
    ((x, sign),) = recall(10_000, 1, rows=1000)
    return trainer.history["loss"], float(np.mean(net(x)[0].argmax(-1) == sign))


def table(seeds: int, updates: int) -> list[dict[str, Any]]:
    """What each network gets right of unseen sequences, and the horizon it began with, seed by seed."""
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
    return rows


def draw(flows: dict[str, GradientFlow], losses: dict[str, Array], path: Path) -> bool:
    """How far errors reach before training, beside what training makes of it; False without matplotlib."""
    if not canvas.available():
        return False
    from bptt.diagnose.flow_picture import draw_flows

    with canvas.drawing(10.0, 4.4) as figure:
        back, loss = figure.subplots(1, 2)
        draw_flows(back, flows)
        back.set_title("An error on its way back, before training")
        for k, (name, values) in enumerate(losses.items()):
            mean = np.convolve(values, np.ones(20) / 20, "valid")
            loss.plot(mean, label=name, color=canvas.COLOURS[k], linestyle=canvas.STYLES[k])
        loss.axhline(np.log(2), color=canvas.RED, linewidth=1.0, linestyle=(0, (6, 2)), label="guessing")
        loss.set(title="Loss", xlabel="update", ylabel="cross-entropy (nats), mean of 20", ylim=(0, None))
        loss.legend(fontsize=8)
        figure.legend(*back.get_legend_handles_labels(), loc="outside lower center", ncols=3, fontsize=8)
        canvas.tidy(loss)
    canvas.write(figure, path)
    return True


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description="Shows a gradient that vanishes, and what helps.")
    parser.add_argument("--seed", type=int, default=0, help="of weights and data (default: 0)")
    parser.add_argument("--updates", type=int, default=600, help="of each network (default: 600)")
    parser.add_argument("--picture", type=Path, default=Path("vanishing.png"), help="a .png or .svg file")
    parser.add_argument("--figures", type=Path, default=Path("vanishing.json"), help="the numbers behind it")
    parser.add_argument("--table", action="store_true", help="what several seeds come to, instead")
    parser.add_argument("--seeds", type=int, default=6, help="of the table (default: 6)")
    options = parser.parse_args(arguments)

    # Networks so small gain nothing from a second thread, and alone one does not wait for a busy machine's.
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


if __name__ == "__main__":
    main()
