"""
Load an LSTM that PyTorch has trained, keep it fixed, and train a new output layer for another task.

    pip install 'bptt[examples]' torch
    python examples/recipes/from_pytorch.py

PyTorch learns to tell the digits 0 to 4 apart, from images read row by row. The new output layer learns to
tell the digits 5 to 9 apart. `crosscheck` compares the loaded LSTM with the module, gradients included.
"""

import torch
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import bptt

SEED, EPOCHS = 0, 20
digits = load_digits()
x, y = (digits.images / 16).astype("float32"), digits.target
torch.manual_seed(SEED)
lstm, head = torch.nn.LSTM(8, 64, batch_first=True), torch.nn.Linear(64, 5)
optimizer = torch.optim.Adam([*lstm.parameters(), *head.parameters()], 1e-2)
for _ in range(100):
    optimizer.zero_grad()
    outputs = head(lstm(torch.from_numpy(x[y < 5]))[0][:, -1])
    torch.nn.functional.cross_entropy(outputs, torch.from_numpy(y[y < 5])).backward()
    optimizer.step()

layers = bptt.LSTM(8, 64, batch_first=True), bptt.Last(batch_first=True), bptt.Linear(64, 5)
model = bptt.Sequential(*layers, seed=SEED)
model[0].load_state_dict(lstm.state_dict())
bptt.crosscheck(model[0], x[:20], against=lstm)
model[0].trainable = False
x_train, x_test, y_train, y_test = train_test_split(x[y > 4], y[y > 4] - 5, random_state=SEED)
trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(1e-2), progress=False)
trainer.fit(bptt.data.Arrays(x_train, y_train, shuffle=True, seed=SEED), EPOCHS)
accuracy = (model(x_test)[0].argmax(axis=-1) == y_test).mean()
print(f"{accuracy:.1%} of the digits 5 to 9 recognised")
