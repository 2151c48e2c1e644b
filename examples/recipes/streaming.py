"""
Read Python source one character at a time, with a model of several layers that keeps its state.

    python examples/recipes/streaming.py

`model.stream()` packs the weights once. Its outputs have the same bits as those of one call with the whole
text. The time of a step does not depend on the weights, so this model is not trained.
"""

import inspect
import time

import numpy as np

import bptt

SEED = 0
text = inspect.getsource(inspect)[:20000]
vocabulary = bptt.data.Vocabulary.of(text)
ids, n = vocabulary.encode(text), len(vocabulary)
model = bptt.Sequential(bptt.Embedding(n, 32), bptt.GRU(32, 128), bptt.Linear(128, n), seed=SEED)
whole, _ = model(ids[:, None])

stream = model.stream()
outputs = np.empty((len(ids), n), np.float32)
begin = time.perf_counter()
for output, character in zip(outputs, ids, strict=True):
    stream.step(character, out=output)
microseconds = 1e6 * (time.perf_counter() - begin) / len(ids)
same = np.array_equal(outputs, whole[:, 0])
print(f"{microseconds:.1f} microseconds per character; same bits as one call: {same}")
