"""The networks of ../from_pytorch.py in PyTorch alone."""

import torch
import training
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 20


class Classifier(torch.nn.Module):
    def __init__(self, lstm: torch.nn.LSTM, head: torch.nn.Linear) -> None:
        super().__init__()
        self.lstm, self.head = lstm, head

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


digits = load_digits()
x, y = torch.tensor(digits.images / 16, dtype=torch.float32), torch.tensor(digits.target)
torch.manual_seed(SEED)
lstm = torch.nn.LSTM(8, 64, batch_first=True)
first = Classifier(lstm, torch.nn.Linear(64, 5))
optimizer = torch.optim.Adam(first.parameters(), 1e-2)
for _ in range(100):
    optimizer.zero_grad()
    torch.nn.functional.cross_entropy(first(x[y < 5]), y[y < 5]).backward()
    optimizer.step()

lstm.requires_grad_(False)
model = Classifier(lstm, torch.nn.Linear(64, 5))
x_train, x_test, y_train, y_test = train_test_split(x[y > 4], y[y > 4] - 5, random_state=SEED)
training.fit(
    model,
    torch.nn.CrossEntropyLoss(),
    torch.optim.Adam(model.head.parameters(), 1e-2),
    DataLoader(TensorDataset(x_train, y_train), batch_size=32, shuffle=True),
    EPOCHS,
)
with torch.no_grad():
    accuracy = float((model(x_test).argmax(1) == y_test).float().mean())
print(f"{accuracy:.1%} of the digits 5 to 9 recognised")
