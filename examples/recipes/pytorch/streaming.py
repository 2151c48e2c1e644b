"""The network of ../streaming.py in PyTorch: one call of the module for each character."""

import inspect
import time

import torch

SEED = 0


class LanguageModel(torch.nn.Module):
    def __init__(self, characters: int) -> None:
        super().__init__()
        self.embedding = torch.nn.Embedding(characters, 32)
        self.gru = torch.nn.GRU(32, 128)
        self.head = torch.nn.Linear(128, characters)

    def forward(self, x: torch.Tensor, state: torch.Tensor | None) -> tuple[torch.Tensor, torch.Tensor]:
        hidden, state = self.gru(self.embedding(x), state)
        return self.head(hidden), state


text = inspect.getsource(inspect)[:20000]
characters = sorted(set(text))
ids = torch.tensor([characters.index(character) for character in text])
torch.manual_seed(SEED)
model = LanguageModel(len(characters)).eval()
with torch.inference_mode():
    whole, _ = model(ids[:, None], None)
    steps, state = [], None
    begin = time.perf_counter()
    for character in ids[:, None, None]:
        scores, state = model(character, state)
        steps.append(scores[0, 0])
    microseconds = 1e6 * (time.perf_counter() - begin) / len(ids)
same = torch.equal(whole[:, 0], torch.stack(steps))
print(f"{microseconds:.1f} microseconds per character; same bits as one call: {same}")
