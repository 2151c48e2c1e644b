"""Models in ONNX files compute in ONNX Runtime what they compute in bptt."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from tests.onnx_files import RAGGED, agree, arrays_like, feed_of, models, randomized, session

import bptt
from bptt.interop.onnx import to_proto

LENGTHS = {
    "two_sequences": {"first": RAGGED, "second": [1, 6, 2, 3]},
    "translator": {"encoder": RAGGED, "decoder": [1, 3, 2, 0]},
}
"""The lengths of models whose sequences have lengths of their own. Others have `RAGGED`."""


def test_models(subtests: pytest.Subtests) -> None:
    for name, model, options in models():
        randomized(model)
        x = arrays_like(model, 6, 4)
        if options.get("shared_input"):
            x = next(iter(x.values()))
        possible = "lengths" in model.call_options and not name.startswith("repeat")
        for lengths, scan in itertools.product(
            (None, LENGTHS.get(name, RAGGED))[: 1 + possible], ("auto", "always")
        ):
            with subtests.test(name, lengths=lengths, scan=scan):
                proto = to_proto(model, lengths=lengths is not None, scan=scan, **options)
                (actual,) = session(proto).run(None, feed_of(x, lengths))
                expected, _ = model(x, lengths=lengths) if lengths else model(x)
                agree(actual, expected)


def test_states_of_a_model_have_the_place_of_their_layer() -> None:
    _, model, _ = next(entry for entry in models() if entry[0] == "static")
    randomized(model)
    x = arrays_like(model, 6, 4)
    sess = session(to_proto(model, states="required"))
    rng = np.random.default_rng(0)
    feed = {
        info.name: rng.normal(size=(1, 4, info.shape[-1])).astype("f")
        for info in sess.get_inputs()
        if "_0" in info.name
    }
    assert list(feed) == ["0.sequence.h_0", "0.sequence.c_0", "1.h_0"]
    state = (((feed["0.sequence.h_0"], feed["0.sequence.c_0"]), None), feed["1.h_0"])
    y, (((h, c), _), last) = model(x, state)
    results = dict(zip([info.name for info in sess.get_outputs()], sess.run(None, x | feed), strict=True))
    expected = {"y": y, "0.sequence.h_n": h, "0.sequence.c_n": c, "1.h_n": last}
    assert results.keys() == expected.keys()
    for key, value in expected.items():
        agree(results[key], value)


def test_the_decoder_starts_from_the_encoder() -> None:
    _, model, _ = next(entry for entry in models() if entry[0] == "translator")
    randomized(model)
    names = [info.name for info in session(to_proto(model, states="required")).get_inputs()]
    assert names == ["encoder", "decoder", "encoder.1.h_0", "encoder.1.c_0"]


def test_padding_is_no_maximum() -> None:
    model = randomized(bptt.Sequential(bptt.GRU(3, 5), bptt.Linear(5, 4), bptt.MaxPool()))
    model.parameters["1.bias"][...] = -9.0
    x = arrays_like(model, 6, 4)
    (y,) = session(to_proto(model, lengths=True)).run(None, feed_of(x, RAGGED))
    agree(y, model(x, lengths=RAGGED)[0])
