"""The network of ../forecast_frame.py in PyTorch."""

import numpy as np
import pandas as pd
import statsmodels.api as sm
import torch
import training
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 15


class Forecaster(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gru = torch.nn.GRU(3, 32, batch_first=True)
        self.head = torch.nn.Linear(32, 26)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.gru(x)[0][:, -1])


frame = sm.datasets.co2.load_pandas().data.interpolate()  # 59 weeks have no measurement
angle = 2 * np.pi * frame.index.dayofyear / 365.25
frame = frame.assign(change=frame["co2"].diff(), sine=np.sin(angle), cosine=np.cos(angle)).dropna()
columns = ["change", "sine", "cosine"]
known = frame.loc[:"1991", columns]
mean, scale = known.mean(), known.std(ddof=0)
scaled = torch.tensor(((frame[columns] - mean) / scale).to_numpy(), dtype=torch.float32)
windows = scaled[: len(known)].unfold(0, 52 + 26, 1).transpose(1, 2)

torch.manual_seed(SEED)
model = Forecaster()
training.fit(
    model,
    torch.nn.MSELoss(),
    torch.optim.Adam(model.parameters(), 5e-3),
    DataLoader(TensorDataset(windows[:, :52], windows[:, 52:, 0]), batch_size=32, shuffle=True),
    EPOCHS,
    clip=1.0,
)
errors = []
for now in frame["1992":].index[:-26:13]:
    end = frame.index.get_loc(now) + 1
    with torch.no_grad():
        change = model(scaled[None, end - 52 : end])[0].numpy() * scale["change"] + mean["change"]
    future = pd.Series(frame.loc[now, "co2"] + change.cumsum(), frame.index[end : end + 26])
    errors.append((future - frame["co2"]).dropna())
rmse = np.sqrt((pd.concat(errors) ** 2).mean())
print(f"root mean squared error {rmse:.2f} parts per million")
