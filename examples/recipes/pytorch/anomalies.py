"""The network of ../anomalies.py in PyTorch."""

from importlib.resources import files

import numpy as np
import pandas as pd
import torch
import training
from sklearn.metrics import roc_auc_score
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 40


class Autoencoder(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder = torch.nn.GRU(1, 16, batch_first=True)
        self.decoder = torch.nn.GRU(16, 16, batch_first=True)
        self.head = torch.nn.Linear(16, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        code = self.encoder(x)[1][0]
        return self.head(self.decoder(code[:, None].expand(-1, x.shape[1], -1))[0])


table = pd.read_csv(files("aeon") / "datasets/data/KDD-TSAD_135/135_UCR_Anomaly_InternalBleeding16_TEST.csv")
pressure = np.float32((table["value"] - table["value"][:1200].mean()) / table["value"][:1200].std())
windows = np.lib.stride_tricks.sliding_window_view(pressure, 32)[::2, :, None]
anomalous = np.lib.stride_tricks.sliding_window_view(table["is_anomaly"], 32)[::2].any(axis=1)
train, test = torch.tensor(windows[:585]), torch.tensor(windows[600:])

torch.manual_seed(SEED)
model = Autoencoder()
batches = DataLoader(TensorDataset(train, train), batch_size=32, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
training.fit(model, torch.nn.MSELoss(), optimizer, batches, EPOCHS, clip=1.0, schedule=schedule)
with torch.no_grad():
    errors = ((model(test) - test) ** 2).mean((1, 2))
auc = roc_auc_score(anomalous[600:], errors)
print(f"AUC {auc:.3f}")
