"""The network of ../imbalanced.py in PyTorch."""

import torch
import training
from sklearn.datasets import load_digits
from sklearn.metrics import f1_score
from sklearn.model_selection import train_test_split
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 40


class Classifier(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = torch.nn.LSTM(8, 32, batch_first=True)
        self.head = torch.nn.Linear(32, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.lstm(x)[0][:, -1])


digits = load_digits()
eight = digits.target == 8
parts = train_test_split(digits.images, eight, stratify=eight, random_state=SEED)
X, X_test, y, y_test = (torch.tensor(part) for part in parts)
mean = X.mean((0, 1))
scale = (X - mean).square().mean((0, 1)).sqrt().clamp(min=1e-9)
X, X_test = (((part - mean) / scale).float() for part in (X, X_test))

torch.manual_seed(SEED)
model = Classifier()
training.fit(
    model,
    torch.nn.CrossEntropyLoss(weight=len(y) / (2 * torch.bincount(y.long()))),
    torch.optim.Adam(model.parameters(), 5e-3),
    DataLoader(TensorDataset(X, y.long()), batch_size=32, shuffle=True),
    EPOCHS,
    clip=1.0,
)
with torch.no_grad():
    f1 = f1_score(y_test, model(X_test).argmax(1) == 1)
print(f"F1 {f1:.3f}")
