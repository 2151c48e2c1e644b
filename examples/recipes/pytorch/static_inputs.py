"""The network of ../static_inputs.py in PyTorch."""

import numpy as np
import statsmodels.api as sm
import torch
import training
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 12


class Forecaster(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(1, 16, batch_first=True)
        self.month = torch.nn.Linear(12, 8)
        self.head = torch.nn.Linear(24, 1)

    def forward(self, sequence: torch.Tensor, month: torch.Tensor) -> torch.Tensor:
        return self.head(torch.cat([self.lstm(sequence)[0][:, -1], self.month(month)], dim=1))


temperature = sm.datasets.elnino.load_pandas().data.set_index("YEAR").to_numpy().ravel()
mean, scale = temperature[:504].mean(), temperature[:504].std()
windows = np.lib.stride_tricks.sliding_window_view((temperature - mean) / scale, 25)[:, :, None]
windows = torch.tensor(windows, dtype=torch.float32)
sequence, target = windows[:, :24], windows[:, 24]
month = torch.eye(12)[torch.arange(24, 732) % 12]

torch.manual_seed(SEED)
model = Forecaster()
parts = TensorDataset(sequence[:480], month[:480], target[:480])
batches = DataLoader(parts, batch_size=32, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), 1e-2)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
training.fit(model, torch.nn.MSELoss(), optimizer, batches, EPOCHS, clip=1.0, schedule=schedule)
with torch.no_grad():
    errors = model(sequence[480:], month[480:]) - target[480:]
rmse = scale * float(errors.square().mean().sqrt())
print(f"root mean squared error {rmse:.2f} degrees")
