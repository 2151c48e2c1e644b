"""Layers of Keras 3 become layers and models, and go back: the same outputs."""

from __future__ import annotations

import json
import os
import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

import bptt
from bptt.interop import KerasArrays, from_keras, keras_arrays, to_keras

RNG = np.random.default_rng(0)
X = RNG.normal(size=(4, 6, 3)).astype(np.float32)
IDS = RNG.integers(1, 9, (4, 6), dtype=np.int32)  # JAX has no int64 by default
LENGTHS = np.array([6, 1, 4, 3])
MASK = np.arange(6) < LENGTHS[:, None]
pytestmark = [  # inside Keras
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
    pytest.mark.filterwarnings("ignore:Explicitly requested dtype int64:UserWarning"),
]
TOLERANCE = 1e-5
"""Of outputs of size 1 in float32."""


@pytest.fixture(scope="module")
def layers() -> Iterator[Any]:
    """`keras.layers`, with a backend that is installed."""
    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if "KERAS_BACKEND" not in os.environ:
            patch.setenv("KERAS_BACKEND", "torch")
        keras = pytest.importorskip("keras", "3.0", reason="needs Keras 3: pip install keras torch")
        patch.setattr(keras.config, "_FLOATX", "float32", raising=False)
        keras.utils.set_random_seed(0)
        yield keras.layers


def numbers(value: Any) -> npt.NDArray[Any]:
    """The values of a tensor of any backend."""
    return np.asarray(value.detach().cpu() if hasattr(value, "detach") else value)


def randomised(layer: Any, x: npt.NDArray[Any]) -> Any:
    """The layer with random weights, biases included."""
    layer(x)
    layer.set_weights([RNG.normal(size=w.shape, scale=0.6).astype(w.dtype) for w in layer.get_weights()])
    return layer


def agrees(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours, numbers(theirs), rtol=0, atol=TOLERANCE)


def cells(layers: Any) -> list[Any]:
    """Recurrent layers with every option that changes their outputs."""
    cases = []
    for options in (
        {"return_sequences": True},
        {},
        {"use_bias": False, "activation": "softsign", "go_backwards": True},
        {"activation": "leaky_relu", "return_sequences": True},
        {"activation": None, "recurrent_dropout": 0.1, "dropout": 0.2},
    ):
        gates = {"recurrent_activation": "hard_sigmoid"} if "activation" in options else {}
        cases += [layers.LSTM(4, unit_forget_bias=False, **options, **gates)]
        cases += [layers.GRU(4, reset_after=after, **options, **gates) for after in (True, False)]
        cases += [layers.SimpleRNN(4, **options)]
    for merge in ("concat", "sum", "mul", "ave"):
        cases += [layers.Bidirectional(layers.GRU(4, return_sequences=True), merge_mode=merge)]
    return [*cases, layers.Bidirectional(layers.LSTM(4)), layers.Bidirectional(layers.SimpleRNN(4))]


def test_recurrent_layers_both_ways(layers: Any, subtests: pytest.Subtests) -> None:
    for layer in cells(layers):
        config = layer.get_config()
        with subtests.test(type(layer).__name__, **{k: v for k, v in config.items() if "initial" not in k}):
            model = from_keras(randomised(layer, X))
            agrees(model(X)[0], layer(X))
            # Rows of unequal length. At a masked step, Keras repeats the last output, and bptt returns 0.
            y, masked = model(X, lengths=LENGTHS)[0], numbers(layer(X, mask=MASK))
            if y.ndim == 3:
                y, masked = y[MASK], masked[MASK]
            agrees(y, masked)
            back = to_keras(model)
            agrees(model(X)[0], back(X))
            assert [w.shape for w in back.get_weights()] == [w.shape for w in layer.get_weights()]
            data = keras_arrays(model)
            json.dumps(data.config)
            assert data.class_name in ("Sequential", type(layer).__name__)
            np.testing.assert_array_equal(from_keras(data)(X)[0], model(X)[0])


def test_masks_in_the_middle_and_reversed_steps(layers: Any) -> None:
    skip = RNG.random((4, 6)) < 0.4
    for layer in (
        layers.LSTM(4),
        layers.Bidirectional(layers.GRU(4)),
        layers.SimpleRNN(4, go_backwards=True),
    ):
        model = from_keras(randomised(layer, X))
        agrees(model(X, skip=skip)[0], layer(X, mask=~skip))
    layer = randomised(layers.GRU(4, go_backwards=True, return_sequences=True, return_state=True), X)
    with pytest.warns(UserWarning, match="go_backwards=True: Keras returns its steps in reverse order"):
        model = from_keras(layer)
    y, state = model(X)
    theirs, their_state = layer(X)
    agrees(y[:, ::-1], theirs)
    agrees(state[0], their_state)
    with pytest.warns(UserWarning, match="Keras returns the steps in reverse order"):
        agrees(y[:, ::-1], to_keras(model)(X))


def test_models(layers: Any) -> None:
    chain = [
        layers.Embedding(9, 5),
        layers.LSTM(4, return_sequences=True, dropout=0.1),
        layers.LayerNormalization(),
        layers.TimeDistributed(layers.Dense(3, activation="tanh")),
        layers.Dropout(0.2),
        layers.Bidirectional(layers.GRU(4)),
        layers.Dense(5),
        layers.Activation("gelu"),
        layers.RepeatVector(3),
        layers.SimpleRNN(3, return_sequences=True, activation="relu"),
        layers.ReLU(),
        layers.Softmax(),
        layers.GlobalAveragePooling1D(),
        layers.Dense(2, use_bias=False, trainable=False),
    ]
    import keras

    inner = keras.Sequential(chain[:6])
    whole = randomised(keras.Sequential([keras.Input((None,)), inner, *chain[6:]]), IDS)
    model = from_keras(whole)
    agrees(model(IDS)[0], whole(IDS))
    assert [layer.kind for layer in model] == [
        *("Embedding", "LSTM", "LayerNorm", "Linear", "Tanh", "Dropout", "GRU", "Ends", "Linear", "GELU"),
        *("Repeat", "RNN", "ReLU", "Softmax", "MeanPool", "Linear"),
    ]
    assert model[1].input_dropout == 0.1
    assert [layer.trainable for layer in model] == [True] * 15 + [False]
    parts = from_keras([*chain[:6], *chain[6:-2], bptt.MeanPool(batch_first=True), chain[-1]])
    np.testing.assert_array_equal(parts(IDS)[0], model(IDS)[0])
    back = to_keras(model)
    agrees(model(IDS)[0], back(IDS))
    assert [layer.trainable for layer in back.layers] == [True] * 14 + [False]
    again = from_keras(keras_arrays(model))
    assert again.config() == model.config()
    np.testing.assert_array_equal(again.flat_parameters, model.flat_parameters)


def test_inputs_of_models(layers: Any, subtests: pytest.Subtests) -> None:
    gru = {"input_size": 3, "hidden_size": 4, "batch_first": True}
    models = (
        bptt.Sequential(bptt.Dropout(0.1), bptt.GRU(**gru)),
        bptt.Sequential(bptt.LayerNorm(3), bptt.GRU(**gru), bptt.Linear(4, 2)),
        bptt.Sequential(bptt.MeanPool(batch_first=True), bptt.Linear(3, 2)),
        bptt.Sequential(bptt.MaxPool(batch_first=True)),
        bptt.Sequential(bptt.LayerNorm(3), bptt.Linear(3, 4), bptt.ReLU(), bptt.Linear(4, 2)),
        bptt.Sequential(bptt.Tanh(), bptt.Linear(3, 4)),
        bptt.Sequential(bptt.Repeat(5, batch_first=True), bptt.GRU(**gru)),
    )
    for model in models:
        for x in (X, X[:, 0]):
            rows = x.ndim == 2
            if (model.reads_time and rows) or (isinstance(model[0], bptt.Repeat) and not rows):
                continue
            with subtests.test(model=model, axes=x.ndim):
                agrees(model(x)[0], numbers(to_keras(model)(x)))


def test_functional_models(layers: Any) -> None:
    import keras

    ids = np.where(MASK, IDS, 0)
    inputs = keras.Input((None,))
    x = layers.Embedding(9, 3, mask_zero=True)(inputs)
    x = layers.Dropout(0.1)(layers.LSTM(4, return_sequences=True)(x))
    x, h = layers.GRU(5, return_state=True)(x)
    outputs = layers.Dense(2)(x)
    whole = randomised(keras.Model(inputs, outputs), ids)
    with pytest.warns(UserWarning, match="computes a mask"):
        model = from_keras(whole)
    agrees(model(ids, skip=(ids == 0))[0], whole(ids))
    assert [layer.kind for layer in model] == ["Embedding", "LSTM", "Dropout", "GRU", "Last", "Linear"]
    other = keras.Input((None, 3))
    y = layers.GRU(5)(other)
    wrong = {
        "two inputs": keras.Model([inputs, other], layers.Add()([x, y])),
        "two outputs": keras.Model(inputs, [outputs, x]),
        "a state as output": keras.Model(inputs, h),
        "an initial state": keras.Model([inputs, other], layers.GRU(5)(other, initial_state=x)),
        "a layer beside the path": keras.Model(other, layers.Add()([y, layers.GRU(5)(other)])),
    }
    for graph in wrong.values():
        with pytest.raises(
            ValueError, match=r"layers that follow each other.*Fix: pass a list of its layers"
        ):
            from_keras(graph)


def test_stacks_become_layers(layers: Any, subtests: pytest.Subtests) -> None:
    stacks: list[bptt.Module] = [
        bptt.GRU(3, 4, 3, dropout=0.1, seed=1),
        bptt.LSTM(3, 4, 2, bidirectional=True, merge="mean", bias=False, seed=2),
        bptt.Sequential(bptt.RNN(3, 4, 3, reverse=True, seed=3), bptt.Ends(), bptt.Linear(4, 2, seed=4)),
        bptt.Sequential(bptt.GRU(3, 4, 2, reset_after=False, seed=5), bptt.MaxPool()),
    ]
    for stack in stacks:
        with subtests.test(repr(stack)):
            theirs = numbers(to_keras(stack)(X))
            y = stack(X.transpose(1, 0, 2))[0]
            agrees(y.transpose(1, 0, 2) if y.ndim == 3 else y, theirs)


def test_masks_from_inputs_are_noted(layers: Any) -> None:
    import keras

    ids = np.where(MASK, IDS, 0)
    chain = [keras.Input((None,)), layers.Embedding(9, 3, mask_zero=True), layers.LSTM(4)]
    whole = randomised(keras.Sequential(chain), ids)
    with pytest.warns(UserWarning, match=r"embedding\w* computes a mask.*skip=\(x == 0\)"):
        model = from_keras(whole)
    agrees(model(ids, skip=(ids == 0))[0], whole(ids))
    x = np.where(MASK[..., None], X, 7)
    whole = randomised(keras.Sequential([layers.Masking(7.0), layers.GRU(4)]), x)
    with pytest.warns(UserWarning, match=r"masking\w* computes a mask.*\(x == 7.0\).all\(axis=-1\)"):
        model = from_keras(whole)
    agrees(model(x, skip=(x == 7.0).all(axis=-1))[0], whole(x))


def lstm(**options: Any) -> KerasArrays:
    """An LSTM of 3 inputs and 2 units."""
    return KerasArrays("LSTM", {"units": 2} | options, [np.ones((3, 8)), np.ones((2, 8)), np.ones(8)])


def bidirectional(first: KerasArrays, second: KerasArrays, **options: Any) -> KerasArrays:
    """A Bidirectional of two layers, the second of which goes backwards."""
    inner = [
        {"class_name": part.class_name, "config": {**part.config, "go_backwards": way}}
        for way, part in enumerate((first, second))
    ]
    config = {"layer": inner[0], "backward_layer": inner[1], **options}
    return KerasArrays("Bidirectional", config, [*first.weights, *second.weights])


GRU_WEIGHTS = [np.ones((3, 6)), np.ones((2, 6)), np.ones(6)]
WRONG: list[tuple[Any, type[Exception], str]] = [
    (lstm()._replace(weights=None), TypeError, "list of weights; got None"),
    (lstm(return_sequences="no"), TypeError, "True or False as return_sequences; got 'no'"),
    (lstm(dropout=None), TypeError, "input_dropout must be a number"),
    (KerasArrays("Sequential", {"layers": 3}, []), TypeError, "config for each layer; got 3"),
    (
        lstm()._replace(weights=[]),
        ValueError,
        r"kernel of shape \(\*, 8\); got 0 weights. Fix: call the layer once",
    ),
    (
        lstm()._replace(weights=lstm().weights[:2]),
        ValueError,
        r"bias of shape \(8,\); got 2 weights \(3, 8\)",
    ),
    (
        lstm()._replace(weights=[*lstm().weights, np.ones(4)]),
        ValueError,
        r"3 weights; got 4 weights .*\(4,\)",
    ),
    (lstm(units=3), ValueError, r"kernel of shape \(\*, 12\) as weight 0; got \(3, 8\)"),
    (lstm(activation="selu"), ValueError, "one of the activations sigmoid, .*; got 'selu'"),
    (lstm(activation={"class_name": "function"}), ValueError, "got {'class_name'"),
    (KerasArrays("GRU", {"units": 2}, GRU_WEIGHTS), ValueError, r"bias of shape \(2, 6\).*got \(6,\)"),
    (KerasArrays("Add", {}, []), TypeError, "got 'Add'. Fix: pass a list of the layers"),
    (KerasArrays("Functional", {}, []), ValueError, "layers that follow each other"),
    (KerasArrays("Functional", {"layers": [1]}, []), TypeError, "a config for each layer; got 1"),
    (KerasArrays("Dropout", {}, []), ValueError, "got one without 'rate'"),
    (
        KerasArrays("Bidirectional", {"layer": {"class_name": "GRU"}}, []),
        ValueError,
        "got one without 'config'",
    ),
    (KerasArrays("Dense", {"units": 1}, ["a"]), TypeError, "layer, weight 0 must be"),
    (bidirectional(lstm(), lstm(), merge_mode=None), ValueError, "merge_mode=None"),
    (bidirectional(lstm(), lstm(), merge_mode="sum"), ValueError, "'sum', return_sequences=False"),
    (bidirectional(lstm(), lstm(units=3)), ValueError, "two layers of one kind"),
    (bidirectional(lstm(), lstm(activation="relu")), ValueError, "same options in both directions"),
    (
        KerasArrays("Bidirectional", {"layer": {"class_name": "Dense"}}, []),
        TypeError,
        "must wrap one of LSTM",
    ),
    (KerasArrays("ReLU", {"max_value": 6.0}, []), ValueError, "max_value=None; got 6.0"),
    (KerasArrays("LayerNormalization", {"axis": [1]}, [np.ones(3)] * 2), ValueError, r"axis=\[1\]"),
    (
        [lstm(go_backwards=True, return_sequences=True), lstm()],
        ValueError,
        r"layer\[0\] must have no layer after",
    ),
    ([KerasArrays("InputLayer", {}, [])], ValueError, "at least one layer"),
    ("LSTM", TypeError, "must be a layer of Keras or KerasArrays; got 'LSTM'"),
]


def test_what_cannot_be_read_is_named(subtests: pytest.Subtests) -> None:
    for layer, error, words in WRONG:
        with subtests.test(words), pytest.raises(error, match=words) as caught:
            from_keras(layer)
        assert "Fix: " in str(caught.value)


REFUSED: list[tuple[Any, type[Exception], str]] = [
    (bptt.LSTM(3, 2, peephole=True), ValueError, "peephole=True of LSTM"),
    (bptt.LSTM(3, 2, activations=("sigmoid", "tanh", "relu")), ValueError, "'tanh' and 'relu'"),
    (bptt.GRU(3, 2, activations=("hard_sigmoid", "tanh")), ValueError, "got 'hard_sigmoid'"),
    (bptt.MGU(3, 2), TypeError, "a layer that Keras has; got MGU"),
    (bptt.Sequential(bptt.GRU(3, 2), bptt.Linear(2, 2), bptt.Last()), ValueError, r"layer\[2\] must follow"),
    (
        bptt.Sequential(bptt.GRU(3, 2, reverse=True), bptt.Linear(2, 2)),
        ValueError,
        "no layer after it but Ends",
    ),
    (np.ones(3), TypeError, "of type ndarray"),
]


@pytest.mark.filterwarnings("ignore:layer.0.. With reverse=True")
def test_what_keras_lacks_is_named(subtests: pytest.Subtests) -> None:
    for layer, error, words in REFUSED:
        with subtests.test(words), pytest.raises(error, match=words) as caught:
            keras_arrays(layer)
        assert "Fix: " in str(caught.value)
    with pytest.warns(UserWarning, match="Ends"):
        model = bptt.Sequential(bptt.GRU(3, 2, bidirectional=True), bptt.Last())
    with pytest.raises(ValueError, match=r"layer\[0\] must be followed by Ends.*got Last after GRU"):
        keras_arrays(model)


def test_hard_sigmoid_of_keras_2_and_subclasses() -> None:
    """Keras 2 need not be installed: only the name of its package counts."""

    class Old:
        call = None

        def get_config(self) -> dict[str, Any]:
            return {"units": 2, "recurrent_activation": "hard_sigmoid", "return_sequences": True}

        def get_weights(self) -> list[Any]:
            return list(lstm().weights)

    Old.__name__, Old.__module__ = "LSTM", "tf_keras.src.layers"
    assert from_keras(Old()).activations[0] == ("hard_sigmoid", 0.2, 0.5)
    new = lstm(recurrent_activation="hard_sigmoid", return_sequences=True)
    assert from_keras(new).activations[0] == ("hard_sigmoid", 1 / 6, 0.5)

    class Own(Old):
        def call(self) -> None:  # type: ignore[override]
            """Compute something else."""

    with pytest.raises(TypeError, match="got Own, which defines its own call"):
        from_keras(Own())
