"""
Model the words of Python's reference manual: an LSTM whose output layer shares the weights of its embedding.

    python examples/recipes/tied_words.py

The text is that of `help("if")` and its neighbours, and comes with Python. Training reads the first nine
tenths. Words that occur fewer than three times there count as one word. The perplexity is that of the rest.
"""

import re
from collections import Counter
from pydoc_data.topics import topics

import numpy as np

import bptt

SEED, EPOCHS = 0, 5
words = re.findall(r"\w+|[^\w\s]", " ".join(topics.values()).lower())
cut = len(words) * 9 // 10
counts = Counter(words[:cut])
vocabulary = ["<rare>", *(word for word, count in counts.items() if count > 2)]
index = {word: i for i, word in enumerate(vocabulary)}
ids = np.array([index.get(word, 0) for word in words])
train = bptt.data.Stream(ids[:cut], steps=32, batch_size=20)
test = bptt.data.Stream(ids[cut:], steps=32, batch_size=1)

embedding = bptt.Embedding(len(vocabulary), 128, init=bptt.init.uniform(0.1))
layers = embedding, bptt.Dropout(0.3), bptt.LSTM(128, 128), bptt.Dropout(0.3), bptt.TiedLinear(embedding)
model = bptt.Sequential(*layers, seed=SEED)
trainer = bptt.Trainer(model, bptt.CrossEntropy(), bptt.Adam(5e-3), clip=bptt.ClipNorm(1.0), progress=False)
trainer.fit(train, EPOCHS)
perplexity = np.exp(trainer.evaluate(test))
print(f"perplexity {perplexity:.1f}")
