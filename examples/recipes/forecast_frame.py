"""
Forecast the carbon dioxide in the air for half a year, from a weekly table of pandas with gaps.

    pip install 'bptt[examples]'
    python examples/recipes/forecast_frame.py

The measurements on Mauna Loa, 1958 to 2001, come with statsmodels. The network reads the weekly changes and
the season. A forecast is a table with the next 26 dates. The test forecasts from every 13th week from 1992.
"""

import numpy as np
import pandas as pd
import statsmodels.api as sm

from bptt.estimators import Forecaster

SEED, EPOCHS = 0, 15
frame = sm.datasets.co2.load_pandas().data.interpolate()  # 59 weeks have no measurement
angle = 2 * np.pi * frame.index.dayofyear / 365.25
frame = frame.assign(change=frame["co2"].diff(), sine=np.sin(angle), cosine=np.cos(angle)).dropna()

columns = {"target": "change", "exogenous": ["sine", "cosine"]}
settings = {"cell": "gru", "coverage": None, "epochs": EPOCHS, "random_state": SEED}
forecaster = Forecaster(horizon=26, window=52, **columns, **settings).fit(frame[:"1991"])
errors = []
for now in frame["1992":].index[:-26:13]:
    future = frame.loc[now, "co2"] + forecaster.predict(frame[:now]).cumsum()
    errors.append((future["change"] - frame["co2"]).dropna())
rmse = np.sqrt((pd.concat(errors) ** 2).mean())
print(f"root mean squared error {rmse:.2f} parts per million")
