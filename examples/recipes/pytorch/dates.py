"""The network of ../dates.py in PyTorch."""

from datetime import date, timedelta

import numpy as np
import torch
import training
from torch.nn.utils.rnn import pack_padded_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 8
FORMATS = ["%A, %d %b %Y", "%d %B %Y", "%B %d, %Y", "%b %d %Y", "%m/%d/%Y", "%d.%m.%Y"]


class Translator(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.source = torch.nn.Embedding(128, 32)
        self.encoder = torch.nn.GRU(32, 128, batch_first=True)
        self.target = torch.nn.Embedding(128, 32)
        self.decoder = torch.nn.GRU(32, 128, batch_first=True)
        self.head = torch.nn.Linear(128, 128)

    def encode(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.source(x), lengths, batch_first=True, enforce_sorted=False)
        return self.encoder(packed)[1]

    def decode(self, y: torch.Tensor, state: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, state = self.decoder(self.target(y), state)
        return self.head(hidden).transpose(1, 2), state

    def forward(self, x: torch.Tensor, lengths: torch.Tensor, shifted: torch.Tensor) -> torch.Tensor:
        return self.decode(shifted, self.encode(x, lengths))[0]


rng = np.random.default_rng(SEED)
days = [date(1950, 1, 1) + timedelta(int(day)) for day in rng.permutation(36500)[:9000]]
written = [torch.tensor(list(day.strftime(rng.choice(FORMATS)).encode())) for day in days]
x, lengths = pad_sequence(written, batch_first=True), torch.tensor([len(text) for text in written])
y = torch.tensor([list(day.isoformat().encode()) for day in days])
shifted = torch.nn.functional.pad(y[:, :-1], (1, 0))

torch.manual_seed(SEED)
model = Translator()
parts = TensorDataset(x[:8000], lengths[:8000], shifted[:8000], y[:8000])
batches = DataLoader(parts, batch_size=64, shuffle=True)
optimizer = torch.optim.Adam(model.parameters(), 5e-3)
schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, EPOCHS * len(batches))
training.fit(model, torch.nn.CrossEntropyLoss(), optimizer, batches, EPOCHS, clip=1.0, schedule=schedule)
with torch.no_grad():
    state = model.encode(x[8000:], lengths[8000:])
    output = torch.zeros(1000, 11, dtype=torch.long)
    for step in range(10):
        scores, state = model.decode(output[:, step : step + 1], state)
        output[:, step + 1] = scores[:, :, 0].argmax(1)
exact = float((output[:, 1:] == y[8000:]).all(1).float().mean())
print(f"{exact:.1%} of the dates translated exactly")
