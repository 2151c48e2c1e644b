"""
Label each character of Python source with the kind of its token: a bidirectional GRU on padded lines.

    python examples/recipes/labelling.py

The standard library of Python comes with Python. Training and test use different files. Lines have unequal
lengths, so `pad` fills them up, and the loss and the accuracy leave the padding out.
"""

import tokenize
from pathlib import Path

import numpy as np

from bptt import GRU, Adam, CrossEntropy, Embedding, Linear, Sequential, Trainer, data, metrics

SEED, EPOCHS = 0, 3


def batches(paths: list[Path]) -> data.Arrays:
    lines = []
    for path in paths:
        with tokenize.open(path) as file:
            text = file.readlines()
        starts = np.cumsum([0, *map(len, text)])
        kinds = np.zeros(starts[-1], int)
        for kind, string, begin, end, _ in tokenize.generate_tokens(iter(text).__next__):
            if string.strip():
                kinds[starts[begin[0] - 1] + begin[1] : starts[end[0] - 1] + end[1]] = kind
        codes = np.minimum([ord(character) for character in "".join(text)], 127)
        lines += np.split(np.stack([codes, kinds], axis=1), starts[1:-1])
    x, lengths = data.pad(lines, batch_first=True)
    return data.Arrays(x[:, :, 0], x[:, :, 1], lengths=lengths, batch_size=64, shuffle=True, seed=SEED)


files = sorted(Path(tokenize.__file__).parent.glob("*.py"))
train, test = batches(files[0:60:3]), batches(files[1:60:3])
model = Sequential(Embedding(128, 32), GRU(32, 64, bidirectional=True), Linear(128, 80), seed=SEED)
trainer = Trainer(model, CrossEntropy(), Adam(3e-3), metrics=[metrics.Accuracy()], progress=False)
accuracy = trainer.fit(train, EPOCHS, validation=test)["validation_accuracy"][-1]
print(f"{accuracy:.2%} of the characters labelled correctly")
