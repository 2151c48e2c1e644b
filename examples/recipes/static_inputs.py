"""
Forecast the temperature of the Pacific from the last 24 months and the name of the next month.

    pip install 'bptt[examples]'
    python examples/recipes/static_inputs.py

The sea surface temperatures off Peru, monthly from 1950 to 2010, come with statsmodels. An LSTM reads the
24 months, a linear layer reads the name, and `Parallel` joins their outputs. The test part begins in 1992.
"""

import numpy as np
import statsmodels.api as sm

import bptt

SEED, EPOCHS = 0, 12
temperature = sm.datasets.elnino.load_pandas().data.set_index("YEAR").to_numpy().ravel()
mean, scale = temperature[:504].mean(), temperature[:504].std()
windows = np.lib.stride_tricks.sliding_window_view((temperature - mean) / scale, 25).T[:, :, None]
sequence, target, month = windows[:24], windows[24], np.eye(12)[np.arange(24, 732) % 12]


def batches(epoch, rng):
    for part in np.split(rng.permutation(480), 15):
        yield {"sequence": sequence[:, part], "month": month[part]}, target[part]


reader = bptt.Sequential(bptt.LSTM(1, 16), bptt.Last())
both = bptt.Parallel(sequence=reader, month=bptt.Linear(12, 8))
model = bptt.Sequential(both, bptt.Linear(24, 1), seed=SEED)
adam = bptt.Adam(bptt.schedules.Cosine(1e-2, EPOCHS * 15))
trainer = bptt.Trainer(model, bptt.MeanSquaredError(), adam, clip=bptt.ClipNorm(1.0), progress=False)
trainer.fit(bptt.data.Batches(batches, seed=SEED), EPOCHS)
forecast, _ = model({"sequence": sequence[:, 480:], "month": month[480:]})
rmse = scale * np.sqrt(np.mean((forecast - target[480:]) ** 2))
print(f"root mean squared error {rmse:.2f} degrees")
