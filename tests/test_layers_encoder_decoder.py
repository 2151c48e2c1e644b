"""An encoder, and a decoder that starts from its final state."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.test_checkpoint import described, same

import bptt
from bptt.files import CheckpointError

B = 3
RNG = np.random.default_rng(0)
X = {"encoder": RNG.standard_normal((6, B, 3)), "decoder": RNG.standard_normal((4, B, 2))}
IDS = {"encoder": RNG.integers(0, 7, (6, B)), "decoder": RNG.integers(0, 5, (4, B))}
LENGTHS = {"encoder": np.array([6, 2, 0]), "decoder": np.array([1, 4, 3])}


def lstm(**options: Any) -> bptt.EncoderDecoder:
    return bptt.EncoderDecoder(
        bptt.LSTM(3, 4, 2, **options),
        bptt.Sequential(bptt.LSTM(2, 4, 2, **options), bptt.Linear(4, 5)),
        seed=0,
    )


def text() -> bptt.EncoderDecoder:
    encoder = bptt.Sequential(
        bptt.Embedding(7, 3), bptt.GRU(3, 4), bptt.Dropout(0.2), bptt.RNN(4, 3), bptt.Last()
    )
    decoder = bptt.Sequential(
        bptt.Embedding(5, 2), bptt.Sequential(bptt.GRU(2, 4), bptt.RNN(4, 3)), bptt.Linear(3, 5)
    )
    return bptt.EncoderDecoder(encoder, decoder, seed=0)


def projected() -> bptt.EncoderDecoder:
    return bptt.EncoderDecoder(bptt.LSTM(3, 4, proj_size=2), bptt.LSTM(2, 4, proj_size=2), seed=0)


CASES: dict[str, tuple[Callable[[], bptt.Module], Any, dict[str, Any]]] = {
    "lstm": (lstm, X, {}),
    "lengths": (lstm, X, {"lengths": LENGTHS}),
    "lengths of the encoder": (lstm, X, {"lengths": {"encoder": LENGTHS["encoder"]}}),
    "ids, nested": (text, IDS, {"lengths": LENGTHS}),
    "projection": (projected, X, {}),
    "batch first": (
        lambda: lstm(batch_first=True),
        {name: x.swapaxes(0, 1) for name, x in X.items()},
        {"lengths": LENGTHS},
    ),
    "inside": (lambda: bptt.Sequential(lstm(), bptt.GRU(5, 2), bptt.Last(), seed=0), X, {}),
}


def test_gradients(subtests: pytest.Subtests) -> None:
    for name, (make, x, options) in CASES.items():
        with subtests.test(name):
            bptt.gradcheck(make(), x, entries=6, **options)
            bptt.crosscheck(make(), x, **options)
    bptt.gradcheck(lstm(), X, (RNG.standard_normal((2, B, 4)), RNG.standard_normal((2, B, 4))), entries=6)


def test_it_computes_what_its_parts_do() -> None:
    model = lstm()
    encoder, decoder = copy.deepcopy(model["encoder"]), copy.deepcopy(model["decoder"])
    y, state, tape = model.forward(X)
    _, final, encoder_tape = encoder.forward(X["encoder"])
    expected, last, decoder_tape = decoder.forward(X["decoder"], (final, None))
    assert np.array_equal(y, expected)
    assert np.array_equal(state[0][1], last[0][1])
    assert np.array_equal(model(X)[0], y)
    dlast = tuple(RNG.standard_normal(part.shape).astype(np.float32) for part in last[0])
    dx, dstate = model.backward(tape, y, (dlast, None))
    dz, (dfinal, _) = decoder.backward(decoder_tape, y, (dlast, None))
    dsource, dstart = encoder.backward(encoder_tape, None, dfinal)
    assert np.array_equal(dx["encoder"], dsource)
    assert np.array_equal(dx["decoder"], dz)
    assert all(map(np.array_equal, dstate, dstart))
    assert np.array_equal(
        model.flat_gradients, np.concatenate([encoder.flat_gradients, decoder.flat_gradients])
    )


def test_encode_gives_the_state_for_a_call_of_the_decoder() -> None:
    model = text()
    state = model.encode(IDS["encoder"], lengths=LENGTHS["encoder"])
    y, _ = model["decoder"](IDS["decoder"], state)
    assert np.array_equal(y, model(IDS, lengths={"encoder": LENGTHS["encoder"]})[0])
    with pytest.raises(
        ValueError, match="in layer 'encoder', Sequential: in layer 0, Embedding: x must hold ids"
    ):
        model.encode([[9]])


def test_training_resuming_and_files(tmp_path: Path, subtests: pytest.Subtests) -> None:
    """Only valid steps of the decoder count in the loss."""
    data = [{"x": IDS, "target": IDS["decoder"], "lengths": LENGTHS}] * 2
    path = tmp_path / "run"
    trainer = bptt.Trainer(text(), bptt.CrossEntropy(), bptt.Adam(0.05), progress=False, checkpoint=2)
    history = trainer.fit(data, 40)
    assert history["loss"][-1] < 0.2 * history["loss"][0]
    mask = np.arange(4)[:, None] < LENGTHS["decoder"]
    y, _ = trainer.model(IDS, lengths=LENGTHS)
    assert trainer.evaluate(data) == pytest.approx(bptt.CrossEntropy()(y, IDS["decoder"], mask)[0], rel=1e-6)
    first = bptt.Trainer(text(), bptt.CrossEntropy(), bptt.Adam(0.05), progress=False, checkpoint=2)
    first.fit(data, 15)
    first.save(path)
    resumed = bptt.Trainer.resume(path, bptt.CrossEntropy(), bptt.Adam(0.05), progress=False, checkpoint=2)
    resumed.fit(data, 40)
    assert np.array_equal(resumed.model.flat_parameters, trainer.model.flat_parameters)
    bptt.save(path, trainer.model)
    assert same(bptt.load(path), trainer.model)
    entry = trainer.model.config()["parts"]["decoder"]
    cases = {
        "one part": {"encoder": entry},
        "other names": {"a": entry, "b": entry},
        "no mapping": [entry, entry],
    }
    for name, parts in cases.items():
        with subtests.test(name):
            path.write_bytes(described({"kind": "EncoderDecoder", "config": {"parts": parts}}))
            with pytest.raises(CheckpointError):
                bptt.load(path)


def test_mistakes(subtests: pytest.Subtests) -> None:
    loss, model = bptt.MeanSquaredError(), lstm()
    target = np.zeros((4, B, 5))

    def fit(**options: Any) -> Any:
        return bptt.Trainer(model, loss, bptt.SGD(0.1), progress=False, **options)

    class Carrying(list[Any]):
        carries_state = True

    cases: dict[str, tuple[Callable[[], Any], str]] = {
        "another cell": (
            lambda: bptt.EncoderDecoder(bptt.LSTM(3, 4), bptt.GRU(3, 4)),
            r"got h \(1, B, 4\) and c \(1, B, 4\) and h \(1, B, 4\). Fix: build both",
        ),
        "another size": (
            lambda: bptt.EncoderDecoder(bptt.GRU(3, 4), bptt.GRU(3, 5)),
            "states of the same form",
        ),
        "two directions": (
            lambda: bptt.EncoderDecoder(bptt.GRU(3, 4, bidirectional=True), bptt.GRU(3, 4)),
            "bidirectional=False",
        ),
        "no state": (
            lambda: bptt.EncoderDecoder(bptt.Linear(3, 4), bptt.Linear(4, 5)),
            "got no recurrent layer",
        ),
        "nested": (
            lambda: bptt.EncoderDecoder(lstm(), bptt.LSTM(2, 4, 2)),
            "encoder must hold no other Encoder",
        ),
        "plain lengths": (
            lambda: model(X, lengths=[1, 2, 3]),
            r"lengths must be a mapping with the names encoder, decoder.*Fix: pass lengths=\{'encoder'",
        ),
        "lengths of no part": (
            lambda: model(X, lengths={"encoder": LENGTHS["encoder"], "decodr": LENGTHS["decoder"]}),
            r"lengths must have only the names encoder, decoder; got 'decodr'. Fix: pass lengths=\{'encoder'",
        ),
        "truncate": (lambda: fit(truncate=2), "truncate needs a model whose state can be carried forward"),
        "data that carry": (
            lambda: fit().fit(Carrying([(X, target)])),
            "data that carries state needs a model whose state can be carried",
        ),
        "a name missing": (
            lambda: fit().fit([({"encoder": X["encoder"]}, target)]),
            "got encoder without decoder",
        ),
        "the encoder's state": (
            lambda: model(X, np.zeros((2, B, 4))),
            r"in layer 'encoder', LSTM: state must be",
        ),
    }
    for name, (call, message) in cases.items():
        with subtests.test(name), pytest.raises((ValueError, TypeError), match=message):
            call()
