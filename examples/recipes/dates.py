"""
Translate dates, "Friday, 14 Mar 1997" or "03/14/1997", to the ISO form 1997-03-14: an encoder and a decoder.

    python examples/recipes/dates.py

The encoder reads a date, one character per step. The decoder starts from the encoder's state after the last
character. In training, it reads the right character of the step before. In the test, it reads its own.
"""

from datetime import date, timedelta

import numpy as np

import bptt

SEED, EPOCHS = 0, 8
FORMATS = ["%A, %d %b %Y", "%d %B %Y", "%B %d, %Y", "%b %d %Y", "%m/%d/%Y", "%d.%m.%Y"]
rng = np.random.default_rng(SEED)
days = [date(1950, 1, 1) + timedelta(int(day)) for day in rng.permutation(36500)[:9000]]
x, lengths = bptt.data.pad([list(day.strftime(rng.choice(FORMATS)).encode()) for day in days])
y = np.array([[0, *day.isoformat().encode()] for day in days]).T


def batches(epoch, rng):
    for part in np.split(rng.permutation(8000), 125):
        yield {"encoder": x[:, part], "decoder": y[:-1, part]}, y[1:, part], {"encoder": lengths[part]}


encoder = bptt.Sequential(bptt.Embedding(128, 32), bptt.GRU(32, 128))
decoder = bptt.Sequential(bptt.Embedding(128, 32), bptt.GRU(32, 128), bptt.Linear(128, 128))
model = bptt.EncoderDecoder(encoder, decoder, seed=SEED)
adam = bptt.Adam(bptt.schedules.Cosine(5e-3, EPOCHS * 125))
trainer = bptt.Trainer(model, bptt.CrossEntropy(), adam, clip=bptt.ClipNorm(1.0), progress=False)
trainer.fit(bptt.data.Batches(batches, seed=SEED), EPOCHS)

stream = decoder.stream(batch_size=1000)
stream.state = model.encode(x[:, 8000:], lengths=lengths[8000:])
output = np.zeros((11, 1000), int)
for step in range(10):
    output[step + 1] = stream.step(output[step]).argmax(axis=-1)
exact = (output[1:] == y[1:, 8000:]).all(axis=0).mean()
print(f"{exact:.1%} of the dates translated exactly")
