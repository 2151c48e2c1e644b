"""
Find the anomaly in a heart's blood pressure: an autoencoder that was trained without anomalies.

    pip install 'bptt[examples]'
    python examples/recipes/anomalies.py

The series 135 of the UCR anomaly archive comes with aeon. The network reads a window of 32 steps, keeps 16
numbers of it, and writes the window again. A large error means that the window looks like nothing in the
training part. The AUC is the probability that an anomalous window has a larger error than a normal one.
"""

from importlib.resources import files

import numpy as np
import pandas as pd
from sklearn.metrics import roc_auc_score

import bptt

SEED, EPOCHS = 0, 40
table = pd.read_csv(files("aeon") / "datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TEST.csv")
pressure = np.float32((table["value"] - table["value"][:1200].mean()) / table["value"][:1200].std())
windows = np.lib.stride_tricks.sliding_window_view(pressure, 32)[::2, :, None]
anomalous = np.lib.stride_tricks.sliding_window_view(table["is_anomaly"], 32)[::2].any(axis=1)
train, test = windows[:585], windows[600:]

layers = bptt.GRU(1, 16), bptt.Last(), bptt.Repeat(32), bptt.GRU(16, 16), bptt.Linear(16, 1)
model = bptt.Sequential(*layers, seed=SEED)
data = bptt.data.Arrays(train, train, batch_size=32, shuffle=True, seed=SEED)
adam = bptt.Adam(bptt.schedules.Cosine(1e-2, EPOCHS * len(data)))
bptt.Trainer(model, bptt.MeanSquaredError(), adam, clip=bptt.ClipNorm(1.0), progress=False).fit(data, EPOCHS)
copies, _ = model(test.swapaxes(0, 1))
errors = ((copies.swapaxes(0, 1) - test) ** 2).mean(axis=(1, 2))
auc = roc_auc_score(anomalous[600:], errors)
print(f"AUC {auc:.3f}")
