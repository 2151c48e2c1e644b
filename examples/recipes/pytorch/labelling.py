"""The network of ../labelling.py in PyTorch."""

import tokenize
from pathlib import Path

import numpy as np
import torch
import training
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence, pad_sequence
from torch.utils.data import DataLoader, TensorDataset

SEED, EPOCHS = 0, 3
PADDING = -100


class Labeller(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(128, 32)
        self.gru = torch.nn.GRU(32, 64, bidirectional=True, batch_first=True)
        self.head = torch.nn.Linear(128, 80)

    def forward(self, x: torch.Tensor, lengths: torch.Tensor) -> torch.Tensor:
        packed = pack_padded_sequence(self.embedding(x), lengths, batch_first=True, enforce_sorted=False)
        hidden, _ = pad_packed_sequence(self.gru(packed)[0], batch_first=True, total_length=x.shape[1])
        return self.head(hidden).transpose(1, 2)


def tensors(paths: list[Path]) -> TensorDataset:
    x, y = [], []
    for path in paths:
        with tokenize.open(path) as file:
            text = file.readlines()
        starts = np.cumsum([0, *map(len, text)])
        kinds = np.zeros(starts[-1], int)
        for kind, string, begin, end, _ in tokenize.generate_tokens(iter(text).__next__):
            if string.strip():
                kinds[starts[begin[0] - 1] + begin[1] : starts[end[0] - 1] + end[1]] = kind
        codes = np.minimum([ord(character) for character in "".join(text)], 127)
        x += [torch.tensor(line) for line in np.split(codes, starts[1:-1])]
        y += [torch.tensor(line) for line in np.split(kinds, starts[1:-1])]
    lengths = torch.tensor([len(line) for line in x])
    targets = pad_sequence(y, batch_first=True, padding_value=PADDING)
    return TensorDataset(pad_sequence(x, batch_first=True), lengths, targets)


def validate() -> None:
    right = count = 0
    for x, lengths, y in DataLoader(test, batch_size=64):
        right += int((model(x, lengths).argmax(1) == y).sum())
        count += int(lengths.sum())
    accuracies.append(right / count)


files = sorted(Path(tokenize.__file__).parent.glob("*.py"))
training_set, test = tensors(files[0:60:3]), tensors(files[1:60:3])
torch.manual_seed(SEED)
model = Labeller()
accuracies: list[float] = []
training.fit(
    model,
    torch.nn.CrossEntropyLoss(ignore_index=PADDING),
    torch.optim.Adam(model.parameters(), 3e-3),
    DataLoader(training_set, batch_size=64, shuffle=True),
    EPOCHS,
    validate=validate,
)
accuracy = accuracies[-1]
print(f"{accuracy:.2%} of the characters labelled correctly")
