"""Forecasting models: a network, its input and target columns, and their scale, in one file."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

import bptt
from bptt.arguments import size
from bptt.cli.models import networks
from bptt.cli.models.judging import Figures, measure
from bptt.cli.options import CommandError
from bptt.data import Horizons, Standardize
from bptt.data.preprocessing import preprocessing_of
from bptt.files.checkpoint import Saved
from bptt.metrics import MAE, RMSE

Numbers = npt.NDArray[Any]
AT_ONCE = 512
"""Batch size of forecasts. The bits of a row do not depend on the batch size."""


@dataclass(frozen=True)
class Task:
    """Forecasting task: the next `horizon` values of `target` from the last `window` rows of `columns`.

    `fractions` are the fractions of the steps in the validation and the test part. `season` is the period of
    the seasonal baseline. Series are (N, F), with the columns `names`. `scaling` holds the scale of each
    column.
    """

    columns: list[str]
    target: list[str]
    window: int
    horizon: int
    scaling: Standardize
    fractions: tuple[float, float]
    season: int | None

    @property
    def names(self) -> list[str]:
        """Columns to read from a file: the inputs, then targets that are not inputs."""
        return names(self.columns, self.target)

    @property
    def targets(self) -> list[int]:
        """Indices of the targets in `names`."""
        return [self.names.index(name) for name in self.target]

    def inputs(self, values: Numbers) -> Numbers:
        """Return the scaled inputs (..., len(columns)) from values (..., F) in the units of the data."""
        columns = range(len(self.columns))
        return self.scaling.take(columns).apply(values[..., columns])

    def windows(self, series: Sequence[Numbers], batch_size: int, **order: Any) -> Horizons:
        """Return scaled batches for the Trainer. `order` holds arguments of `Horizons`."""
        target_scaling = self.scaling.take(self.targets)
        targets = [target_scaling.apply(part[:, self.targets]) for part in series]
        inputs = [self.inputs(part) for part in series]
        return Horizons(
            inputs, window=self.window, horizon=self.horizon, batch_size=batch_size, target=targets, **order
        )

    @property
    def preprocessing(self) -> dict[str, Standardize]:
        """The preprocessing in the model file."""
        return {"series": self.scaling}

    def about(self) -> dict[str, Any]:
        """Return extra values of the model file, as JSON values."""
        return {
            "series": {
                "columns": self.columns,
                "target": self.target,
                "window": self.window,
                "horizon": self.horizon,
                "fractions": list(self.fractions),
                "season": self.season,
            }
        }


def names(columns: Sequence[str], target: Sequence[str]) -> list[str]:
    """Return the columns to read: the inputs, then targets that are not inputs."""
    return [*columns, *(name for name in target if name not in columns)]


def of(saved: Saved) -> tuple[bptt.Module, Task] | None:
    """Return the model and its task; None if it is not a forecasting model."""
    about, model = saved.extra.get("series"), saved.model
    if not isinstance(about, dict):
        return None
    try:
        scaling = preprocessing_of(saved)["series"]
        if not isinstance(scaling, Standardize):
            return None
        task = Task(**{**about, "scaling": scaling, "fractions": tuple(about["fractions"])})
        size(task.window, "window")
        outputs = model(np.zeros((1, 1, len(task.columns))))[0]  # one step is enough for the shape
        fits = outputs.shape == (1, size(task.horizon, "horizon") * len(task.target))
        fits &= len(task.scaling.mean) == len(task.names)
    except (LookupError, TypeError, ValueError):
        return None
    return (model, task) if fits else None


def load(path: Path) -> tuple[bptt.Module, Task]:
    """Read a model that `bptt train csv` wrote.

    Raises
    ------
    CommandError
        The file is missing, or holds a model of another kind.
    CheckpointError
        See bptt.load.
    """
    forecasting_model = of(networks.read(path))
    if forecasting_model is None:
        raise CommandError(f"{path} holds no forecasting model. Fix: make one with 'bptt train csv FILE'.")
    return forecasting_model


def predict(model: bptt.Module, task: Task, windows: Numbers) -> npt.NDArray[np.float64]:
    """Forecast (B, horizon, K) from windows (window, B, F), both in the units of the data.

    Columns that are not inputs may be missing.
    """
    y = model(task.inputs(windows))[0].reshape(-1, task.horizon, len(task.target))
    return task.scaling.take(task.targets).undo(y)


def predict_all(model: bptt.Module, task: Task, values: Numbers) -> npt.NDArray[np.float64]:
    """Forecast (N - window - horizon + 1, horizon, K) from every window of a series (N, F).

    Each window is followed by `horizon` rows of the series. Columns that are not inputs may be missing.
    """
    windows = Horizons(values, window=task.window, horizon=task.horizon, batch_size=AT_ONCE)
    return np.concatenate([predict(model, task, x) for x, _ in windows])


def forecast(model: bptt.Module, task: Task, values: Numbers, steps: int) -> npt.NDArray[np.float64]:
    """Forecast the next `steps` values (steps, K) of a series (N, F).

    Forecasts beyond the horizon use earlier forecasts as inputs. Columns that are not inputs may be missing.

    Raises
    ------
    CommandError
        The series is shorter than the window. Or there are more steps than the horizon, and the model has an
        input that is not a target.
    """
    if len(values) < task.window:
        raise CommandError(
            f"the series must have at least the window of the model, {task.window} rows; got {len(values)}."
            " Fix: pass a longer file."
        )
    unknown = [name for name in task.columns if name not in task.target]
    if steps > task.horizon and unknown:
        raise CommandError(
            f"--steps must be at most the horizon of the model, {task.horizon}; got {steps}. Later steps need"
            f" {unknown[0]}, which the model does not forecast. Fix: train with a larger --horizon, or with"
            " all columns in --target."
        )
    forecasts: list[npt.NDArray[np.float64]] = []
    while sum(map(len, forecasts)) < steps:
        forecasts.append(predict(model, task, values[-task.window :, None])[0])
        if not unknown:
            inputs = forecasts[-1][:, [task.target.index(name) for name in task.columns]]
            values = np.concatenate((values[-task.window :, : len(task.columns)], inputs))
    return np.concatenate(forecasts)[:steps]


def judge(model: bptt.Module, task: Task, series: Sequence[npt.NDArray[np.float64]]) -> tuple[Figures, int]:
    """Return the errors of the forecasts from every window of the series, and the number of windows.

    The baseline "persistence" repeats the last value. The seasonal naive forecast repeats the value of one
    season before.

    Parameters
    ----------
    series : sequence of ndarray (N, F)
        Series in the units of the data, with at least window + horizon steps.
    """
    targets = [part[:, task.targets] for part in series]
    pairs = Horizons(series, window=task.window, horizon=task.horizon, batch_size=AT_ONCE, target=targets)

    def batches() -> Iterator[tuple[dict[str, Numbers], Numbers]]:
        for x, target in pairs:
            truth = target.reshape(len(target), task.horizon, -1)
            yield {"model": predict(model, task, x), **_naive(task, x)}, truth

    return measure(batches(), task.target, (RMSE, MAE)), pairs.count


def _naive(task: Task, x: Numbers) -> dict[str, Numbers]:
    """Return the forecasts (B, horizon, K) of the baselines from windows (window, B, F)."""
    known = x[..., task.targets]
    naive = {"persistence": np.repeat(known[-1][:, None], task.horizon, axis=1)}
    if task.season is not None:
        before = known[len(known) - task.season :][np.arange(task.horizon) % task.season]
        naive["seasonal naive"] = before.swapaxes(0, 1)
    return naive
