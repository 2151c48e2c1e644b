"""The words of messages about layers: each names the likely mistake, and a fix that works."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import bptt
from bptt.arrays import as_real
from bptt.layers.passes.tape import LayerTape

X = np.ones((5, 4, 2), np.float32)
STATE = tuple(np.ones((2, 1, 4, 3), np.float32))


def message(call: Callable[[], object], error: type[Exception]) -> str:
    with pytest.raises(error) as caught:
        call()
    assert type(caught.value) is error
    return str(caught.value)


# State dicts


def test_nothing_that_matches_is_refused_and_the_prefix_named():
    layer = bptt.LSTM(2, 3, seed=0)
    before = layer.flat_parameters.copy()
    prefixed = {f"lstm.{name}": 0 * value for name, value in layer.state_dict().items()}
    text = message(lambda: layer.load_state_dict(prefixed, strict=False), ValueError)
    assert text.startswith(
        "state must hold at least one of the model's 4 parameters; missing 'weight_ih_l0' (12, 2), "
    )
    assert "unexpected 'lstm.weight_ih_l0' (12, 2), " in text
    assert "Fix: pass {name.removeprefix('lstm.'): value for name, value in state.items()}." in text
    assert np.array_equal(layer.flat_parameters, before)
    layer.load_state_dict({name.removeprefix("lstm."): value for name, value in prefixed.items()})
    assert not layer.flat_parameters.any()
    with pytest.raises(ValueError, match="at least one"):
        layer.load_state_dict({}, strict=False)
    many = {f"w{k}": k for k in range(30)}  # numbers without a shape
    assert "unexpected 'w0', 'w1', " in message(lambda: layer.load_state_dict(many), ValueError)
    assert "'w19' and 10 more. Fix: " in message(lambda: layer.load_state_dict(many), ValueError)


def test_strict_names_the_prefix_too():
    layer = bptt.LSTM(2, 3)
    prefixed = {f"encoder.rnn.{name}": value for name, value in layer.state_dict().items()}
    assert "removeprefix('encoder.rnn.')" in message(lambda: layer.load_state_dict(prefixed), ValueError)
    some = {"weight_ih_l0": np.ones((12, 2))}
    text = message(lambda: layer.load_state_dict(some), ValueError)
    assert "strict=False to load the names that match" in text
    assert "removeprefix" not in text


def test_what_does_not_match_is_returned():
    layer = bptt.LSTM(2, 3, seed=0)
    some = layer.load_state_dict({"more": np.ones(1), "weight_ih_l0": np.ones((12, 2))}, strict=False)
    assert some.missing_keys == ["weight_hh_l0", "bias_ih_l0", "bias_hh_l0"]
    assert some.unexpected_keys == ["more"]
    missing, unexpected = layer.load_state_dict(layer.state_dict())
    assert missing == unexpected == []
    assert bptt.Dropout().load_state_dict({}, strict=False) == ([], [])


def test_parameters_of_pytorch_are_detached():
    torch = pytest.importorskip("torch")
    source, layer = torch.nn.LSTM(2, 3), bptt.LSTM(2, 3)
    layer.load_state_dict(dict(source.named_parameters()))
    for name, value in source.named_parameters():
        assert np.array_equal(layer.parameters[name], value.detach().numpy())


def test_bfloat16_tensors_are_to_be_converted():
    torch = pytest.importorskip("torch")
    layer = bptt.LSTM(2, 3)
    half = {name: value.bfloat16() for name, value in torch.nn.LSTM(2, 3).state_dict().items()}
    text = message(lambda: layer.load_state_dict(half), TypeError)
    assert "parameter 'weight_ih_l0' must be readable" in text
    assert "Fix: convert it with .float(), because NumPy has no bfloat16." in text
    layer.load_state_dict({name: value.float() for name, value in half.items()})
    text = message(lambda: layer(torch.ones(5, 4, 2, requires_grad=True)), TypeError)
    assert "Fix: pass .detach()," in text


def test_a_keras_kernel_is_to_be_transposed():
    layer = bptt.LSTM(2, 3)
    kernel = np.ones((2, 12))
    text = message(lambda: layer.load_state_dict({"weight_ih_l0": kernel}, strict=False), ValueError)
    assert text.startswith(
        "parameter 'weight_ih_l0' must have shape (12, 2); got (2, 12). Fix: pass value.T; "
    )
    assert "reshape" not in text
    layer.load_state_dict({"weight_ih_l0": kernel.T}, strict=False)
    text = message(
        lambda: layer.load_state_dict({"weight_ih_l0": np.ones((16, 2))}, strict=False), ValueError
    )
    assert "Fix: build the model with the sizes that the parameters were saved with." in text


# States


@pytest.mark.parametrize("state", [STATE, [STATE[0], STATE[1]]])
def test_the_state_of_a_layer_is_not_that_of_a_model(state):
    model = bptt.Sequential(bptt.LSTM(2, 3), bptt.Linear(3, 1))
    text = message(lambda: model(X, state), TypeError)
    assert text == (
        "state must be a tuple with one entry per layer, such as ((h, c), None); got ndarray for layer 0, "
        "LSTM. Fix: pass a state that the model returned, or ((h, c), None)."
    )
    model(X, (state, None))


class Total(bptt.Module):
    """A user's own layer: the sum of all steps so far, whose state is an array, or a dict of arrays."""

    def __init__(self, named: bool = False) -> None:
        super().__init__("float32", None)
        self.named = named
        self.allocate()

    def config(self):
        return {"named": self.named}

    def __call__(self, x, state=None):
        total = (
            np.zeros(x.shape[1:], np.float32) if state is None else state["total"] if self.named else state
        )
        y = total + np.cumsum(x, axis=0)
        return y, {"total": y[-1]} if self.named else y[-1]

    def forward(self, x, state=None):
        y, last = self(x, state)
        return y, last, LayerTape(self, None, x.shape, y.shape)

    def backward(self, tape, dy=None, dstate=None, *, need_dx=True):
        return np.cumsum(dy[::-1], axis=0)[::-1], dstate


@pytest.mark.parametrize("named", [False, True])
def test_a_layer_of_the_users_may_have_a_state_of_any_kind(named):
    """What the model returned can be passed back, and the halves give what the whole gives."""
    model = bptt.Sequential(
        bptt.GRU(2, 3, seed=0), Total(named), bptt.Sequential(Total(named), bptt.LSTM(3, 3, seed=1))
    )
    whole, _ = model(X)
    first, state = model(X[:2])
    second, _ = model(X[2:], state)
    np.testing.assert_allclose(np.concatenate([first, second]), whole, rtol=1e-6, atol=1e-6)
    y, forward_state, tape = model.forward(X[2:], state)
    np.testing.assert_array_equal(y, second)
    dx, dstate = model.backward(tape, np.ones_like(y), forward_state)
    assert dx.shape == X[2:].shape
    assert type(dstate[1]) is type(state[1])
    text = message(lambda: model(X, X), TypeError)
    assert "such as (h, state, (state, (h, c)));" in text


def test_the_pattern_of_a_state_follows_the_layers():
    model = bptt.Sequential(bptt.GRU(2, 3), bptt.Dropout(), bptt.Sequential(bptt.LSTM(3, 3)), bptt.Last())
    text = message(lambda: model(X, STATE), ValueError)
    assert "such as (h, None, ((h, c),), None); got 2 for 4 layers. Fix: " in text
    text = message(lambda: model.forward(X, STATE[0]), TypeError)
    assert "such as (h, None, ((h, c),), None); got ndarray. Fix: " in text


@pytest.mark.parametrize("kind", [bptt.LSTM, bptt.GRU, bptt.reference.LSTM])
@pytest.mark.parametrize("batch_first", [False, True])
def test_a_carried_state_of_another_batch_size(kind, batch_first):
    layer = kind(2, 3, batch_first=batch_first)
    _, state = layer(X.swapaxes(0, 1) if batch_first else X)
    smaller = np.ones((3, 5, 2) if batch_first else (5, 3, 2))
    name = "state" if kind is bptt.GRU else "state[0]"
    text = message(lambda: layer(smaller, state), ValueError)
    assert text == (
        f"{name} must have the batch size of x, B = 3, in its shape (L*D, B, H) = (1, 3, 3); got (1, 4, 3), "
        f"B = 4. Fix: pass {name} with the same rows as x, or None."
    )


# Inputs


@pytest.mark.parametrize("ids", [np.zeros((5, 4), np.int64), np.zeros(5, np.uint8), [[1, 2, 3], [3, 4, 5]]])
def test_ids_need_an_embedding(ids):
    text = message(lambda: bptt.LSTM(2, 3)(ids), ValueError)
    assert (
        "Fix: put an Embedding first if x holds ids: "
        "Sequential(Embedding(num_embeddings, 2), LSTM(2, 3)); else pass" in text
    )
    bptt.Sequential(bptt.Embedding(6, 2), bptt.LSTM(2, 3))(ids)


def test_numbers_need_no_embedding():
    assert "Embedding" not in message(lambda: bptt.LSTM(2, 3)(np.ones((5, 4))), ValueError)
    assert "Embedding" not in message(lambda: bptt.LSTM(2, 3)(np.ones((5, 4, 3), int)), ValueError)


# Types


def test_the_dtype_of_another_library():
    torch = pytest.importorskip("torch")
    for name in ("float32", "float64"):
        text = message(lambda name=name: bptt.LSTM(2, 3, dtype=getattr(torch, name)), TypeError)
        assert text.startswith(f'dtype must be "float32" or "float64"; got torch.{name} of type dtype.')
        assert text.endswith(f'Fix: pass dtype="{name}".')
    assert "Fix: pass one of these" in message(lambda: bptt.LSTM(2, 3, dtype=torch.int32), TypeError)


@pytest.mark.parametrize("dtype", [">f4", np.dtype(">f8")])
def test_the_dtype_of_another_machine(dtype):
    text = message(lambda: bptt.LSTM(2, 3, dtype=dtype), ValueError)
    name = np.dtype(dtype).name
    assert text.endswith(f'Fix: pass dtype="{name}", because layers use the byte order of this machine.')
    x = np.ones((5, 4, 2), dtype)
    assert np.array_equal(bptt.LSTM(2, 3, seed=0)(x)[0], bptt.LSTM(2, 3, seed=0)(X)[0])


def frames() -> dict[str, tuple[object, tuple[str, ...]]]:
    """What users pass, and the words of the answer."""
    pd = pytest.importorskip("pandas")
    days, numbers = pd.date_range("2020", periods=3), pd.Series([1, 2, None], dtype="Int64")
    nullable = (
        "of nullable dtype Int64.",
        "Fix: x.to_numpy(dtype=float, na_value=numpy.nan), and fill or mask missing values.",
    )
    times = ("Fix: drop times, or convert them, for instance (t - t.iloc[0]).dt.total_seconds().",)
    return {
        "nullable frame": (pd.DataFrame({"a": numbers, "b": numbers}), nullable),
        "date column": (
            pd.DataFrame({"day": days, "b": [1.0, 2, 3]}),
            ("got DataFrame with the column 'day' (datetime64[", *times),
        ),
        "dates": (pd.Series(days), ("got Series of dtype datetime64[", *times)),
        "dates of a zone": (pd.Series(days.tz_localize("UTC")), ("UTC].", *times)),
        "text column": (
            pd.DataFrame({"b": [1.0, 2, 3], "name": list("abc")}),
            (
                "with the column 'name' (",
                "Fix: drop columns that are not numbers, or encode them, ",
                "pandas.get_dummies.",
            ),
        ),
    }


@pytest.mark.parametrize("name", ["nullable frame", "date column", "dates", "dates of a zone", "text column"])
def test_tables_that_do_not_hold_plain_numbers(name):
    table, words = frames()[name]
    text = message(lambda: as_real(table, "x"), TypeError)
    assert text.startswith("x must be an array of real numbers; got ")
    for word in words:
        assert word in text


def test_the_fix_for_a_nullable_table_works():
    pd = pytest.importorskip("pandas")
    x = pd.DataFrame({"a": [1, 2, None], "b": [1, 2, 3]}, dtype="Int64")
    array = as_real(x.to_numpy(dtype=float, na_value=np.nan), "x")
    assert np.isnan(array[2, 0])
    assert as_real(x.astype("float64"), "x").shape == (3, 2)


def test_a_state_with_names_of_keras_names_the_converter():
    state = {"kernel": np.ones((2, 12)), "recurrent_kernel": np.ones((3, 12)), "bias": np.ones(12)}
    text = message(lambda: bptt.LSTM(2, 3).load_state_dict(state), ValueError)
    assert "bptt.interop.from_keras" in text
