"""
Sunspots, eleven years ahead
============================

Forecasts with intervals, and a comparison with the last cycle. ::

    pip install 'bptt[examples]'
    python examples/sunspots.py   # half a minute

The activity of the Sun rises and falls about every eleven years, but each cycle is different. One baseline
repeats the value of eleven years before (seasonal-naive), the other the last value (persistence). The data,
1700 to 2008, come with the package statsmodels. Their source is the National Geophysical Data Center (public
domain).

The last sixty years are for the test. At the end of each year, a network learns from all years so far, and
forecasts the next eleven years. The measure is the error over all eleven years. A linear autoregression is
shown for comparison.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt
import results

import bptt
from bptt.diagnose.pictures import canvas

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Array: TypeAlias = npt.NDArray[Any]

CYCLE = 11
HORIZON = 11
SHOWN = (1, 2, 3, 5, 8, 11)
"""Horizons of the table, in years."""
TEST = 60
COVERAGE = 0.8
LAGS = 9
# Figures in docs/guide/examples.md outside the table.
CLOSE = (
    "Four to seven years ahead, the errors of the GRU and of seasonal-naive differ by less than 6 sunspots."
)
BETTER = "The linear autoregression is better than both on these years."
INSIDE = "The 80 % intervals contain 65 to 85 % of the observed values."
ACTIVE = "The Sun was more active in these sixty years than in any earlier sixty."
LINEAR = f"autoregression, {LAGS} years"
SETTINGS: dict[str, Any] = {"cell": "gru", "window": 22, "hidden_size": 16, "epochs": 40}


# %%
# Data
# ----
# One value a year. Each test forecast starts from a year that is followed by eleven known years.


def load() -> tuple[Array, Array]:
    """Return the years, and the mean number of sunspots of each year."""
    data = results.need("statsmodels.datasets.sunspots", "statsmodels").load_pandas().data
    return data["YEAR"].to_numpy().astype(int), data["SUNACTIVITY"].to_numpy()


def origins(values: Array) -> Array:
    """Return the origins of the test forecasts: years that are followed by eleven known years."""
    return np.arange(len(values) - TEST - 1, len(values) - HORIZON)


def truth(values: Array) -> Array:
    """Return the true values, (origins, HORIZON)."""
    return np.stack([values[last + 1 : last + 1 + HORIZON] for last in origins(values)])


# %%
# Baselines
# ---------
# Two naive forecasts, and a linear autoregression for comparison.


def seasonal_naive(values: Array) -> Array:
    """Forecast the number of eleven years before."""
    return np.stack([values[last + 1 - CYCLE : last + 1 - CYCLE + HORIZON] for last in origins(values)])


def persistence(values: Array) -> Array:
    """Forecast the last number for all years ahead."""
    return np.repeat(values[origins(values)][:, None], HORIZON, axis=1)


def autoregression(values: Array) -> Array:
    """Forecast by a linear combination of the last LAGS years, fitted by least squares for each origin."""
    made = []
    for last in origins(values):
        seen = values[: last + 1]
        before = np.lib.stride_tricks.sliding_window_view(seen, LAGS)[:-1]
        constant, *weights = np.linalg.lstsq(np.insert(before, 0, 1.0, axis=1), seen[LAGS:], rcond=None)[0]
        years = seen[-LAGS:].tolist()
        for _ in range(HORIZON):
            years.append(constant + np.dot(weights, years[-LAGS:]))
        made.append(years[LAGS:])
    return np.array(made)


# %%
# Network
# -------
# ``Forecaster`` is trained again at the end of each year. It predicts quantiles: a median, and the bounds
# of an interval.


def forecasts(values: Array, seed: int, epochs: int) -> tuple[Array, Array, Array]:
    """Return medians, lower and upper bounds (origins, HORIZON), with a network for each origin."""
    forecaster = results.need("bptt.estimators", "scikit-learn").Forecaster(
        horizon=HORIZON, coverage=COVERAGE, random_state=seed, **SETTINGS | {"epochs": epochs}
    )
    # Active years vary more than quiet years. Square roots vary equally, and keep the order of quantiles.
    series = np.sqrt(values)
    made = []
    for last in origins(values):
        forecaster.fit(series[: last + 1])
        made.append([forecaster.predict(), *forecaster.predict_interval()])
    median, lower, upper = np.square(np.maximum(made, 0.0)).swapaxes(0, 1)
    return median, lower, upper


def rmse(forecast: Array, values: Array) -> Array:
    """Return the errors by horizon, (HORIZON,)."""
    root: Array = np.sqrt(np.mean((forecast - truth(values)) ** 2, axis=0))
    return root


# %%
# Picture
# -------
# Forecasts with intervals, and the error by years ahead.


def draw(
    figure: Figure, years: Array, values: Array, errors: dict[str, Array], forecast: tuple[Array, ...]
) -> None:
    """Draw forecasts of one seed from three origins, and the errors by horizon."""
    series, by_horizon = figure.subplots(1, 2, width_ratios=(1.7, 1))
    median, lower, upper = forecast
    start = len(years) - TEST - 20
    series.plot(years[start:], values[start:], color=canvas.DARK, linewidth=1.2, label="observed")
    for k, row in enumerate(range(0, len(median), 18)):
        last = origins(values)[row]
        ahead = years[last] + 1 + np.arange(HORIZON)
        names = (None, None) if k else (f"{COVERAGE:.0%} interval", "median, seed 0")
        series.fill_between(ahead, lower[row], upper[row], color=canvas.PALE, label=names[0])
        series.plot(ahead, median[row], "--", color=canvas.BLUE, label=names[1])
        series.axvline(years[last], color=canvas.RED, linewidth=0.8, linestyle=":")
    series.set(title="Eleven years ahead, from the dotted lines", xlabel="year", ylabel="sunspots")
    series.set_ylim(0)
    canvas.tidy(series)
    results.legend_below(series)
    results.draw_errors(by_horizon, np.arange(1, HORIZON + 1), errors)
    by_horizon.set(title="Error", xlabel="years ahead", ylabel="RMSE, sunspots")


# %%
# Run it
# ------
# Five seeds.


def main(arguments: Sequence[str] | None = None) -> None:
    options = results.read_options("sunspots", "Forecasts sunspots eleven years ahead.", arguments, seeds=5)
    bptt.set_num_threads(1)  # a network so small gains nothing from a second
    years, values = load()
    runs = [
        forecasts(values, seed, 2 if options.quick else SETTINGS["epochs"]) for seed in range(options.seeds)
    ]
    errors = {
        "GRU": np.stack([rmse(median, values) for median, _, _ in runs]),
        "seasonal-naive": rmse(seasonal_naive(values), values)[None],
        "persistence": rmse(persistence(values), values)[None],
        LINEAR: rmse(autoregression(values), values)[None],
    }
    came = truth(values)
    inside = np.mean([(lower <= came) & (came <= upper) for _, lower, upper in runs], axis=(0, 1))

    table, failures = results.error_table(
        "RMSE, years ahead", errors, {k: str(k) for k in SHOWN}, 1, beside=[LINEAR]
    )
    shares = (f"{share:.0%}" for share in (*(inside[k - 1] for k in SHOWN), inside.mean()))
    table.rows.append([f"inside the GRU's {COVERAGE:.0%} interval", *shares])
    by_seed = errors["GRU"].mean(1)
    table.note = (
        f"{len(came)} forecasts for each horizon, of {years[-TEST]} to {years[-1]}. "
        f"Of the GRU, means over seeds: {by_seed.min():.1f} to {by_seed.max():.1f} in the last column. "
        + results.made_by(options)
    )
    means = {name: error.mean(0) for name, error in errors.items()}
    sixty = np.convolve(values, np.ones(TEST), "valid")
    claims = {
        CLOSE: bool((np.abs(means["GRU"] - means["seasonal-naive"])[3:7] < 6).all()),
        BETTER: bool(means[LINEAR].mean() < means["GRU"].mean()),
        INSIDE: 0.65 <= inside.mean() <= 0.85,
        ACTIVE: bool(sixty[-1] > sixty[:-TEST].max()),
    }
    results.deliver(
        options,
        table,
        lambda figure: draw(figure, years, values, errors, runs[0]),
        (10.0, 4.0),
        failures,
        claims,
    )


if __name__ == "__main__":
    main()
