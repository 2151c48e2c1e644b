"""The network of ../tied_words.py in PyTorch."""

import re
from collections import Counter
from pydoc_data.topics import topics

import numpy as np
import torch
import training

SEED, EPOCHS = 0, 5
State = tuple[torch.Tensor, torch.Tensor]


class LanguageModel(torch.nn.Module):
    def __init__(self, words: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(words, 128)
        self.dropout = torch.nn.Dropout(0.3)
        self.lstm = torch.nn.LSTM(128, 128, batch_first=True)
        self.head = torch.nn.Linear(128, words)
        torch.nn.init.uniform_(self.embedding.weight, -0.1, 0.1)
        self.head.weight = self.embedding.weight

    def forward(self, x: torch.Tensor, state: State | None) -> tuple[torch.Tensor, State]:
        hidden, state = self.lstm(self.dropout(self.embedding(x)), state)
        return self.head(self.dropout(hidden)).transpose(1, 2), state


def batches(ids: np.ndarray, steps: int, batch_size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    """Return inputs and targets (B, T), such that row b of a batch goes on in row b of the next."""
    length = (len(ids) - 1) // batch_size
    x, y = (torch.tensor(ids[shift:][: length * batch_size].reshape(batch_size, length)) for shift in (0, 1))
    return list(zip(x.split(steps, dim=1), y.split(steps, dim=1), strict=True))


words = re.findall(r"\w+|[^\w\s]", " ".join(topics.values()).lower())
cut = len(words) * 9 // 10
counts = Counter(words[:cut])
vocabulary = ["<rare>", *(word for word, count in counts.items() if count > 2)]
index = {word: i for i, word in enumerate(vocabulary)}
ids = np.array([index.get(word, 0) for word in words])

torch.manual_seed(SEED)
model = LanguageModel(len(vocabulary))
loss = torch.nn.CrossEntropyLoss()
optimizer = torch.optim.Adam(model.parameters(), 5e-3)
training.fit(model, loss, optimizer, batches(ids[:cut], 32, 20), EPOCHS, clip=1.0, carry_state=True)
with torch.no_grad():
    state, total = None, 0.0
    for x, y in batches(ids[cut:], 32, 1):
        scores, state = model(x, state)
        total += float(loss(scores, y)) * y.numel()
perplexity = np.exp(total / (len(ids) - cut - 1))
print(f"perplexity {perplexity:.1f}")
