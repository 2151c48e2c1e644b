"""
An ECG, 20 to 100 ms ahead
==========================

Truncated backpropagation through time on one long series. ::

    pip install 'bptt[examples]'
    python examples/heartbeat.py   # some seconds

The recording of 44.6 s at 1,000 Hz is in the package peakdet (tests/data/ECG.csv). Here, every 8 values are
averaged. A network reads the stream once per epoch. The state is carried from each window to the next, and
errors go back to the start of their window. For the test, the network continues where the training part
ended, and predicts at each step.

There are two baselines. Persistence repeats the last value. Ridge regression uses the values of the last
second, with one model for each step ahead and a penalty chosen on the validation part.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import results

import bptt
from bptt.diagnose.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array: TypeAlias = npt.NDArray[Any]

RATE = 125
"""Sampling rate in Hz after averaging."""
AHEAD = 12
"""Number of steps ahead that are predicted together."""
SHOWN = (2, 4, 8, 12)
"""Steps ahead that the table shows."""
HALF = "16 to 96 ms ahead, the error of the LSTM is less than half of that of ridge regression."
WINDOW = 125
"""Number of steps that ridge regression reads, and that errors are backpropagated."""
PARTS = (0.65, 0.15)
"""Fractions of the stream for training and validation. The rest is the test part."""
HIDDEN, ROWS, EPOCHS, LR, DROPOUT = 64, 2, 60, 5e-3, 0.1
PENALTIES = 10.0 ** np.arange(-4, 4)


# %%
# Data
# ----
# One recording. The first part is for training, the middle for validation and the end for the test.


def load() -> Array:
    """Return the ECG in its units, RATE values per second, (N,)."""
    spec = find_spec("peakdet")  # its file is all that is needed of it
    if spec is None or spec.origin is None:
        raise SystemExit(
            "this example needs the package peakdet, which holds the data: pip install 'bptt[examples]'"
        )
    values = np.loadtxt(Path(spec.origin).parent / "tests" / "data" / "ECG.csv")
    every = 1000 // RATE
    means: Array = values[: len(values) // every * every].reshape(-1, every).mean(1)
    return means


def cut(values: Array) -> tuple[int, int]:
    """Return the ends of the training part and of the validation part."""
    ends = np.cumsum(PARTS) * len(values)
    return int(ends[0]), int(ends[1])


def ahead(values: Array) -> Array:
    """Return the AHEAD values that follow each step, (N - AHEAD, AHEAD)."""
    windows: Array = np.lib.stride_tricks.sliding_window_view(values[1:], AHEAD)
    return windows


# %%
# Baseline
# --------
# Ridge regression reads the values of the last second. It has one model for each step ahead.


def ridge(values: Array) -> Array:
    """Predict the test part (steps, AHEAD) by ridge regression on the last WINDOW values."""
    train, validation = cut(values)
    target = ahead(values)[WINDOW - 1 :]
    x = np.lib.stride_tricks.sliding_window_view(values, WINDOW)[: len(target)]
    # Row k is at step k + WINDOW - 1. The targets of a part do not reach into the next part.
    last = np.arange(len(target)) + WINDOW - 1
    learn = last + AHEAD < train
    choose = (last >= train) & (last + AHEAD < validation)
    test = last >= validation

    def fitted(penalty: float, rows: Array) -> Array:
        inputs, outputs = x[rows].mean(0), target[rows].mean(0)
        seen = x[rows] - inputs
        weights = np.linalg.solve(seen.T @ seen + penalty * np.eye(WINDOW), seen.T @ (target[rows] - outputs))
        answer: Array = (x - inputs) @ weights + outputs
        return answer

    def error(penalty: float) -> float:
        return float(np.mean((fitted(penalty, learn) - target)[choose] ** 2))

    return fitted(min(PENALTIES, key=error), learn | choose)[test]


# %%
# Network
# -------
# Truncated backpropagation through time: the state is carried from window to window, and errors stop at the
# start of each window.


def trained(values: Array, seed: int, epochs: int) -> bptt.Sequential:
    """Return a network that was trained on this stream for `epochs` epochs."""
    rng = np.random.default_rng(seed)
    model = bptt.Sequential(
        bptt.LSTM(1, HIDDEN, seed=rng),
        bptt.Dropout(DROPOUT, seed=rng),
        bptt.Linear(HIDDEN, AHEAD, seed=rng),
    )
    target = ahead(values)
    stream = bptt.data.Stream(values[: len(target), None], target, steps=len(target) // ROWS, batch_size=ROWS)
    updates = epochs * -(-(len(target) // ROWS) // WINDOW)
    trainer = bptt.Trainer(
        model,
        bptt.MeanSquaredError(),
        bptt.Adam(bptt.schedules.Cosine(LR, updates)),
        clip=bptt.ClipNorm(1.0),
        truncate=WINDOW,
        progress=False,
    )
    trainer.fit(stream, epochs)
    return model


def predicted(model: bptt.Sequential, values: Array) -> Array:
    """Return the predictions (N - AHEAD, AHEAD) at each step of the stream, read from its first value."""
    y, _ = model(values[:-AHEAD, None, None])
    return y[:, 0]


def rmse(forecast: Array, came: Array) -> Array:
    """Return the errors by number of steps ahead, (AHEAD,)."""
    root: Array = np.sqrt(np.mean((forecast - came) ** 2, axis=0))
    return root


# %%
# Picture
# -------
# Three seconds of the test part, and the errors by time ahead.


def draw(figure: Figure, traces: dict[str, Array], errors: dict[str, Array]) -> None:
    """Draw 3 s of the test part with predictions AHEAD steps before, and the errors."""
    trace, by_horizon = figure.subplots(1, 2, width_ratios=(1.9, 1))
    seconds = np.arange(3 * RATE) / RATE
    for k, (name, values) in enumerate(traces.items()):
        style: dict[str, Any] = {"linewidth": 1.2, "linestyle": canvas.STYLES[k], "color": canvas.COLOURS[k]}
        if name == "ECG":
            style = {"linewidth": 4.0, "color": canvas.PALE}
        trace.plot(seconds, values[: len(seconds)], label=name, zorder=2 - (name == "ECG"), **style)
    trace.set(
        title=f"Predicted {1000 * AHEAD // RATE} ms before",
        xlabel="time in the test, s",
        ylabel="ECG, own units",
    )
    canvas.tidy(trace)
    results.legend_below(trace)
    results.draw_errors(by_horizon, 1000 * np.arange(1, AHEAD + 1) / RATE, errors)
    by_horizon.set(title="Error", xlabel="ms ahead", ylabel="RMSE, units of the ECG")


# %%
# Run it
# ------
# Five seeds.


def main(arguments: Sequence[str] | None = None) -> None:
    options = results.read_options("heartbeat", "Predicts an ECG some steps ahead.", arguments, seeds=5)
    bptt.set_num_threads(1)  # a network so small gains little from a second
    values = load()
    _, end = cut(values)
    mean, scale = values[:end].mean(), values[:end].std()
    scaled = (values - mean) / scale
    came = ahead(scaled)[end:]

    epochs = 3 if options.quick else EPOCHS
    runs = [predicted(trained(scaled[:end], seed, epochs), scaled)[end:] for seed in range(options.seeds)]
    linear = ridge(scaled)
    still = np.repeat(scaled[end:-AHEAD, None], AHEAD, axis=1)

    answers = {"LSTM": runs, "ridge regression": [linear], "persistence": [still]}
    errors = {name: np.stack([scale * rmse(y, came) for y in ys]) for name, ys in answers.items()}
    table, failures = results.error_table(
        "RMSE, ms ahead", errors, {k: f"{1000 * k // RATE}" for k in SHOWN}, 3
    )
    by_seed = errors["LSTM"].mean(1)
    table.note = (
        f"{len(came):,} steps of the test, in the ECG's own units, whose standard deviation is {scale:.2f}. "
        f"Of the LSTM, means over seeds: {by_seed.min():.3f} to {by_seed.max():.3f} in the last column. "
        + results.made_by(options)
    )
    traces = {"LSTM, seed 0": runs[0], "ridge regression": linear, "ECG": came}
    traces = {name: scale * y[:, -1] + mean for name, y in traces.items()}
    half = errors["LSTM"].mean(0) < 0.5 * errors["ridge regression"][0]
    claims = {HALF: bool(half[SHOWN[0] - 1 :].all())}
    results.deliver(
        options, table, lambda figure: draw(figure, traces, errors), (10.0, 3.8), failures, claims
    )


if __name__ == "__main__":
    main()
