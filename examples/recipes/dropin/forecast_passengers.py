"""
An LSTM of neuralforecast: forecast the passengers of an airline for a year, in PyTorch and in bptt.

    pip install bptt neuralforecast
    python examples/recipes/dropin/forecast_passengers.py

`replace` makes the LSTM of the model run in bptt. Both runs begin with the same seed.
"""

import time

from neuralforecast import NeuralForecast
from neuralforecast.losses.pytorch import MSE
from neuralforecast.models import LSTM
from neuralforecast.utils import AirPassengersDF as passengers

from bptt.interop.torch import replace

SEED, UPDATES = 0, 100
sizes = {"h": 12, "input_size": 48, "encoder_hidden_size": 64, "max_steps": UPDATES}
quiet = ("logger", "enable_progress_bar", "enable_checkpointing", "enable_model_summary")
forecasts, seconds = [], []
for swap in (False, True):
    options = sizes | dict.fromkeys(quiet, False) | {"random_seed": SEED, "accelerator": "cpu"}
    model = LSTM(**options, loss=MSE(), scaler_type="standard")
    forecaster = NeuralForecast([replace(model) if swap else model], freq="ME")
    begin = time.perf_counter()
    forecaster.fit(passengers[:-12])
    seconds.append(time.perf_counter() - begin)
    forecasts.append(forecaster.predict()["LSTM"].to_numpy())
difference, ratio = abs(forecasts[1] / forecasts[0] - 1).max(), seconds[0] / seconds[1]
print(f"forecasts differ by at most {difference:.0e} of their values, {ratio:.1f} times as fast")
