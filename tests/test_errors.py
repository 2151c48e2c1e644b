"""Every wrong input ends in one message: the argument, what was expected, what came, the fix."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import bptt

HUGE = 2**40
"""Two sizes of it make a matrix of 2**80 numbers."""

X = np.zeros((4, 2, 3))
STATE = np.zeros((1, 2, 5))
IDS = np.zeros((4, 2), np.int64)


class Unreadable:
    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        raise RuntimeError("on another device")


class Elsewhere:
    def __dlpack__(self, **options: Any) -> object:
        raise BufferError("on another device")

    def __dlpack_device__(self) -> tuple[int, int]:
        return (2, 0)


@dataclass(frozen=True)
class Wrong:
    """One wrong call: what it raises, and words that its message must hold, the argument's name first."""

    label: str
    call: Callable[[], object]
    error: type[Exception]
    words: tuple[str, ...]


def gru(**options: Any) -> bptt.GRU:
    return bptt.GRU(3, 5, seed=0, **options)


def lstm(**options: Any) -> bptt.LSTM:
    return bptt.LSTM(3, 5, seed=0, **options)


def linear(**options: Any) -> bptt.Linear:
    return bptt.Linear(3, 2, seed=0, **options)


def model() -> bptt.Sequential:
    return bptt.Sequential(lstm(), bptt.Linear(5, 2, seed=1))


def backward(layer: bptt.Module, x: Any, dy: Any = None, dstate: Any = None, **options: Any) -> object:
    return layer.backward(layer.forward(x)[-1], dy, dstate, **options)


def foreign(first: bptt.Module, second: bptt.Module, x: Any) -> object:
    return second.backward(first.forward(x)[-1])


def loaded(change: Callable[[dict[str, Any]], object]) -> object:
    layer = linear()
    state = layer.state_dict()
    change(state)
    return layer.load_state_dict(state)


def shared_in_two_models() -> object:
    layer = linear()
    first = bptt.Sequential(layer)
    return first, bptt.Sequential(layer)


def same_layer_twice() -> object:
    layer = bptt.Linear(3, 3)
    return bptt.Sequential(layer, layer)


ARGUMENTS = [
    Wrong("size zero", lambda: bptt.RNN(0, 5), ValueError, ("input_size", ">= 1", "0")),
    Wrong("size negative", lambda: bptt.RNN(3, -5), ValueError, ("hidden_size", ">= 1", "-5")),
    Wrong("size float", lambda: bptt.RNN(3, 5.0), TypeError, ("hidden_size", "int", "5.0", "float")),
    Wrong("size string", lambda: bptt.RNN("3", 5), TypeError, ("input_size", "int", "'3'", "str")),
    Wrong("size None", lambda: bptt.RNN(None, 5), TypeError, ("input_size", "int", "None")),
    Wrong("size bool", lambda: bptt.RNN(3, True), TypeError, ("hidden_size", "int", "True")),
    Wrong("no layers", lambda: gru(num_layers=0), ValueError, ("num_layers", ">= 1", "0")),
    Wrong(
        "too many layers", lambda: gru(num_layers=10**12), ValueError, ("num_layers", "<= 10000", str(10**12))
    ),
    Wrong("product overflows", lambda: bptt.LSTM(HUGE, HUGE), ValueError, ("sizes", "address space")),
    Wrong("size beyond 64 bits", lambda: bptt.LSTM(2**70, 1), ValueError, ("input_size", f"<= {2**63 - 1}")),
    Wrong(
        "stride beyond 64 bits",
        lambda: bptt.data.Windows(np.zeros(9), steps=2, batch_size=1, stride=2**70),
        ValueError,
        ("stride", f"<= {2**63 - 1}"),
    ),
    Wrong("forget_bias overflows", lambda: lstm(forget_bias=1e300), ValueError, ("forget_bias", "float32")),
    Wrong("size beyond printing", lambda: bptt.RNN(10**5000, 3), ValueError, ("input_size", "16610 bits")),
    Wrong("need_dx", lambda: backward(gru(), X, need_dx="no"), TypeError, ("need_dx", "True or False")),
    Wrong("need_dx array", lambda: backward(linear(), X, need_dx=X), TypeError, ("need_dx", "True or False")),
    Wrong("keep_errors", lambda: backward(model(), X, keep_errors=1), TypeError, ("keep_errors", "True or")),
    Wrong(
        "uneven ids",
        lambda: bptt.data.Vocabulary("ab").decode([[0], [0, 1]]),
        ValueError,
        ("ids", "rectangular"),
    ),
    Wrong(
        "padding_idx range",
        lambda: bptt.Embedding(3, 2, padding_idx=-4),
        ValueError,
        ("padding_idx", ">= -3", "-4"),
    ),
    Wrong("repeat no steps", lambda: bptt.Repeat(0), ValueError, ("steps", ">= 1", "0")),
    Wrong("eps of an array", lambda: bptt.RMSProp(0.1, eps=np.ones(2)), TypeError, ("eps", "shape (2,)")),
    Wrong("norm eps", lambda: bptt.LayerNorm(3, eps=0), ValueError, ("eps", "> 0", "0.0")),
    Wrong("linear overflows", lambda: bptt.Linear(HUGE, HUGE), ValueError, ("sizes", "address space")),
    Wrong("embedding overflows", lambda: bptt.Embedding(HUGE, HUGE), ValueError, ("sizes", "address space")),
    Wrong("dropout one", lambda: gru(dropout=1.0), ValueError, ("dropout", "< 1", "1.0")),
    Wrong("dropout negative", lambda: gru(dropout=-0.1), ValueError, ("dropout", ">= 0", "-0.1")),
    Wrong("dropout NaN", lambda: gru(dropout=float("nan")), ValueError, ("dropout", "nan")),
    Wrong("dropout beyond float", lambda: gru(dropout=10**400), ValueError, ("dropout", "< 1")),
    Wrong("dropout bool", lambda: gru(dropout=True), TypeError, ("dropout", "number", "True")),
    Wrong("dropout string", lambda: gru(dropout="0.5"), TypeError, ("dropout", "number", "'0.5'")),
    Wrong("dropout array", lambda: gru(dropout=np.ones(2)), TypeError, ("dropout", "number", "ndarray")),
    Wrong("Dropout p", lambda: bptt.Dropout(1), ValueError, ("p ", "< 1", "1.0")),
    Wrong("flag int", lambda: gru(bias=1), TypeError, ("bias", "True or False", "1", "int")),
    Wrong("flag string", lambda: gru(bidirectional="no"), TypeError, ("bidirectional", "True or False")),
    Wrong("flag None", lambda: gru(batch_first=None), TypeError, ("batch_first", "True or False", "None")),
    Wrong("nonlinearity", lambda: bptt.RNN(3, 5, nonlinearity="sin"), ValueError, ("nonlinearity", "relu")),
    Wrong("nonlinearity kind", lambda: bptt.RNN(3, 5, nonlinearity=1), TypeError, ("nonlinearity", "int")),
    Wrong("precision high", lambda: gru(precision="high"), ValueError, ("precision", "'highest'", "high")),
    Wrong("precision medium", lambda: gru(precision="medium"), ValueError, ("precision", "medium")),
    Wrong("precision unknown", lambda: gru(precision="low"), ValueError, ("precision", "'highest'", "'low'")),
    Wrong("dtype float16", lambda: gru(dtype="float16"), ValueError, ("dtype", "float32", "float16")),
    Wrong("dtype int", lambda: gru(dtype=np.int64), ValueError, ("dtype", "float32", "int64")),
    Wrong("dtype no name", lambda: gru(dtype="single float"), ValueError, ("dtype", "single float")),
    Wrong("dtype None", lambda: gru(dtype=None), TypeError, ("dtype", "float32", "None")),
    Wrong("dtype byte order", lambda: gru(dtype=">f4"), ValueError, ("dtype", "float32", ">f4")),
    Wrong("init unknown", lambda: gru(init="zeros"), ValueError, ("init", "default", "zeros")),
    Wrong("init shape", lambda: gru(init=lambda *_: np.zeros(2)), ValueError, ("init", "(15, 3)", "(2,)")),
    Wrong("init kind", lambda: gru(init=lambda *_: "zero"), TypeError, ("init", "str")),
    Wrong("seed negative", lambda: bptt.GRU(3, 5, seed=-1), ValueError, ("seed", ">= 0", "-1")),
    Wrong("seed float", lambda: bptt.GRU(3, 5, seed=1.5), TypeError, ("seed", "int", "1.5")),
    Wrong("seed bool", lambda: bptt.GRU(3, 5, seed=True), TypeError, ("seed", "int", "True")),
    Wrong("unknown option", lambda: gru(layers=2), TypeError, ("layers",)),
    Wrong("threads zero", lambda: bptt.set_num_threads(0), ValueError, ("n ", ">= 1", "0")),
    Wrong("threads too many", lambda: bptt.set_num_threads(2**70), ValueError, ("n ", str(2**70))),
    Wrong("no memory", lambda: bptt.Linear(2**50, 1), MemoryError, (str(2**50 + 1), "GiB", "smaller sizes")),
    Wrong("threads float", lambda: bptt.set_num_threads(1.0), TypeError, ("n ", "int", "1.0")),
    Wrong("isa unknown", lambda: bptt.use_isa("sse9"), ValueError, ("name", "'generic'", "sse9")),
    Wrong("isa kind", lambda: bptt.use_isa(2), TypeError, ("name", "int")),
]

KINDS = [
    Wrong("complex", lambda: gru()(X + 1j), TypeError, ("x ", "real", "complex128")),
    Wrong("object", lambda: gru()(X.astype(object)), TypeError, ("x ", "real", "object")),
    Wrong("strings", lambda: gru()(X.astype(str)), TypeError, ("x ", "real", "<U")),
    Wrong("bytes", lambda: gru()(X.astype("S4")), TypeError, ("x ", "real", "S4")),
    Wrong("dates", lambda: gru()(X.astype("M8[s]")), TypeError, ("x ", "real", "datetime64", "origin")),
    Wrong("durations", lambda: gru()(X.astype("m8[s]")), TypeError, ("x ", "real", "timedelta64", "unit")),
    Wrong("records", lambda: gru()(X.astype([("a", "f4")])), TypeError, ("x ", "real", "'a'")),
    Wrong("masked", lambda: gru()(np.ma.masked_array(X)), TypeError, ("x ", "masked", "filled")),
    Wrong("None", lambda: gru()(None), TypeError, ("x ", "real", "NoneType")),
    Wrong("text", lambda: gru()("abc"), TypeError, ("x ", "real", "str")),
    Wrong("dict", lambda: gru()({}), TypeError, ("x ", "real", "dict")),
    Wrong("ragged", lambda: gru()([[1.0, 2.0], [3.0]]), ValueError, ("x ", "rectangular", "list")),
    Wrong("bad __array__", lambda: gru()(Unreadable()), TypeError, ("x ", "another device", "Unreadable")),
    Wrong("bad __dlpack__", lambda: gru()(Elsewhere()), TypeError, ("x ", "another device", "Elsewhere")),
    Wrong("too large", lambda: gru()(X + 1e40), ValueError, ("x ", "float32", "1e+40", "(0, 0, 0)")),
    Wrong("too small", lambda: gru()(X - 1e40), ValueError, ("x ", "float32", "-1e+40")),
    Wrong("state too large", lambda: gru()(X, STATE + 1e40), ValueError, ("state", "float32", "1e+40")),
    Wrong("dy complex", lambda: backward(gru(), X, np.ones((4, 2, 5)) * 1j), TypeError, ("dy", "complex128")),
    Wrong("linear complex", lambda: linear()(X * 1j), TypeError, ("x ", "complex128")),
    Wrong("dropout strings", lambda: bptt.Dropout()(["a"]), TypeError, ("x ", "list")),
    Wrong("ids floats", lambda: bptt.Embedding(3, 2)(X), TypeError, ("x ", "integers", "float64")),
    Wrong("ids bools", lambda: bptt.Embedding(3, 2)([True]), TypeError, ("x ", "integers", "bool")),
    Wrong("ids text", lambda: bptt.Embedding(3, 2)("ab"), TypeError, ("x ", "integers", "str")),
]

SHAPES = [
    Wrong("rank 0", lambda: gru()(1.0), ValueError, ("x ", "(T, B, I)", "()")),
    Wrong("rank 1", lambda: gru()(X[0, 0]), ValueError, ("x ", "(T, B, I)", "(3,)")),
    Wrong("rank 4", lambda: gru()(X[None]), ValueError, ("x ", "(T, B, I)", "(1, 4, 2, 3)")),
    Wrong("batch first", lambda: gru(batch_first=True)(X[0, 0]), ValueError, ("x ", "(B, T, I)", "(3,)")),
    Wrong("width", lambda: gru()(X[..., :2]), ValueError, ("x ", "input_size = 3", "(4, 2, 2)")),
    Wrong("width unbatched", lambda: gru()(X[0, :, :2]), ValueError, ("x ", "input_size = 3", "(2, 2)")),
    Wrong("width zero", lambda: gru()(X[..., :0]), ValueError, ("x ", "input_size = 3", "(4, 2, 0)")),
    Wrong("state rank", lambda: gru()(X, STATE[0]), ValueError, ("state", "(1, 2, 5)", "(2, 5)")),
    Wrong(
        "state rows", lambda: gru()(X, np.zeros((2, 2, 5))), ValueError, ("state", "(1, 2, 5)", "(2, 2, 5)")
    ),
    Wrong("state batch", lambda: gru()(X, STATE[:, :1]), ValueError, ("state", "(1, 2, 5)", "(1, 1, 5)")),
    Wrong("state width", lambda: gru()(X, STATE[..., :4]), ValueError, ("state", "(1, 2, 5)", "(1, 2, 4)")),
    Wrong(
        "state batched for one sequence",
        lambda: gru()(X[:, 0], STATE[:, :1]),
        ValueError,
        ("state", "(1, 5)"),
    ),
    Wrong("state pair for GRU", lambda: gru()(X, (STATE, STATE)), ValueError, ("state", "(2, 1, 2, 5)")),
    Wrong("state alone for LSTM", lambda: lstm()(X, STATE), TypeError, ("state", "pair (h, c)", "ndarray")),
    Wrong("stacked pair", lambda: lstm()(X, np.stack([STATE, STATE])), TypeError, ("state", "pair (h, c)")),
    Wrong("state of three", lambda: lstm()(X, (STATE,) * 3), ValueError, ("state", "pair (h, c)", "3")),
    Wrong("c shape", lambda: lstm()(X, (STATE, STATE[0])), ValueError, ("state[1]", "(1, 2, 5)", "(2, 5)")),
    Wrong("h kind", lambda: lstm()(X, ("h", STATE)), TypeError, ("state[0]", "real", "str")),
    Wrong(
        "dy shape",
        lambda: backward(gru(), X, np.ones((4, 2, 4))),
        ValueError,
        ("dy", "(4, 2, 5)", "(4, 2, 4)"),
    ),
    Wrong(
        "dy time",
        lambda: backward(gru(), X, np.ones((3, 2, 5))),
        ValueError,
        ("dy", "(4, 2, 5)", "(3, 2, 5)"),
    ),
    Wrong(
        "dy batch first",
        lambda: backward(gru(batch_first=True), X, np.ones((2, 4, 5))),
        ValueError,
        ("dy", "(4, 2, 5)", "(2, 4, 5)"),
    ),
    Wrong("dy unbatched", lambda: backward(gru(), X[:, 0], np.ones((4, 1, 5))), ValueError, ("dy", "(4, 5)")),
    Wrong("dstate shape", lambda: backward(gru(), X, None, STATE[0]), ValueError, ("dstate", "(1, 2, 5)")),
    Wrong("dstate alone", lambda: backward(lstm(), X, None, STATE), TypeError, ("dstate", "pair (h, c)")),
    Wrong("steps negative", lambda: backward(gru(), X, steps=-1), ValueError, ("steps", ">= 0", "-1")),
    Wrong("steps float", lambda: backward(gru(), X, steps=2.0), TypeError, ("steps", "int", "2.0")),
    Wrong("linear width", lambda: linear()(X[..., :2]), ValueError, ("x ", "(..., 3)", "(4, 2, 2)")),
    Wrong("linear rank", lambda: linear()(1.0), ValueError, ("x ", "(..., 3)", "()")),
    Wrong("linear dy", lambda: backward(linear(), X, X), ValueError, ("dy", "(4, 2, 2)", "(4, 2, 3)")),
    Wrong("linear state", lambda: linear()(X, STATE), TypeError, ("state", "None", "ndarray")),
    Wrong("linear dstate", lambda: backward(linear(), X, None, STATE), TypeError, ("dstate", "None")),
    Wrong("embedding range", lambda: bptt.Embedding(3, 2)([0, 3]), ValueError, ("3", "1")),
    Wrong("embedding negative", lambda: bptt.Embedding(3, 2)([-1]), ValueError, ("-1", "0")),
    Wrong(
        "embedding 64 bits", lambda: bptt.Embedding(3, 2)(np.uint64([2**63])), ValueError, ("x ", str(2**63))
    ),
    Wrong("last rank", lambda: bptt.Last()(X[None]), ValueError, ("x ", "(T, B, H)", "(1, 4, 2, 3)")),
    Wrong("pool rank", lambda: bptt.MaxPool()(X[None]), ValueError, ("x ", "(T, B, F)", "(1, 4, 2, 3)")),
    Wrong("pool lengths", lambda: bptt.MeanPool()(X[:, 0], lengths=[4]), ValueError, ("lengths", "batch")),
    Wrong("repeat rank", lambda: bptt.Repeat(2)(X), ValueError, ("x ", "(B, F)", "(4, 2, 3)", "Last()")),
    Wrong("softmax scalar", lambda: bptt.Softmax()(1.0), ValueError, ("x ", "(..., F)", "()")),
    Wrong("norm width", lambda: bptt.LayerNorm(4)(X), ValueError, ("x ", "(..., 4)", "(4, 2, 3)")),
    Wrong("ends of odd width", lambda: bptt.Ends()(X), ValueError, ("x ", "even last axis", "(4, 2, 3)")),
    Wrong("sequential state", lambda: model()(X, [None]), ValueError, ("state", "2 layers", "1")),
    Wrong("sequential state kind", lambda: model()(X, STATE), TypeError, ("state", "tuple", "ndarray")),
    Wrong("sequential width", lambda: model()(X[..., :1]), ValueError, ("x ", "layer 0, LSTM", "(4, 2, 1)")),
    Wrong(
        "sequential dy", lambda: backward(model(), X, X), ValueError, ("dy", "layer 1, Linear", "(4, 2, 2)")
    ),
]

MODULES = [
    Wrong("foreign tape", lambda: foreign(gru(), gru(), X), ValueError, ("tape", "GRU", "another layer")),
    Wrong("tape of another cell", lambda: foreign(lstm(), gru(), X), ValueError, ("tape", "LSTM")),
    Wrong("tape of another kind", lambda: foreign(linear(), gru(), X), ValueError, ("tape", "Linear")),
    Wrong("tape of a layer for a model", lambda: foreign(gru(), model(), X), ValueError, ("tape", "GRU")),
    Wrong("no tape", lambda: gru().backward(None), TypeError, ("tape", "NoneType", "forward")),
    Wrong("outputs as tape", lambda: linear().backward(X), TypeError, ("tape", "ndarray")),
    Wrong("state missing", lambda: loaded(lambda s: s.pop("bias")), ValueError, ("missing 'bias'",)),
    Wrong("state extra", lambda: loaded(lambda s: s.update(more=1)), ValueError, ("unexpected 'more'",)),
    Wrong("state key", lambda: loaded(lambda s: s.update({1: 1})), ValueError, ("unexpected 1",)),
    Wrong(
        "state shape", lambda: loaded(lambda s: s.update(bias=[1])), ValueError, ("'bias'", "(2,)", "(1,)")
    ),
    Wrong("state kind", lambda: loaded(lambda s: s.update(bias="ab")), TypeError, ("'bias'", "real", "str")),
    Wrong("state range", lambda: loaded(lambda s: s.update(bias=[0, 1e99])), ValueError, ("'bias'", "1e+99")),
    Wrong("state no mapping", lambda: linear().load_state_dict([1]), TypeError, ("mapping", "list")),
    Wrong("no parameter", lambda: linear().parameters["w"], KeyError, ("'w'", "weight, bias")),
    Wrong(
        "parameter shape",
        lambda: linear().parameters.__setitem__("bias", np.ones(3)),
        ValueError,
        ("'bias'", "(2,)", "(3,)"),
    ),
    Wrong(
        "flat shape",
        lambda: setattr(linear(), "flat_parameters", np.ones(3)),
        ValueError,
        ("flat_parameters", "(8,)", "(3,)"),
    ),
    Wrong("no layers in model", lambda: bptt.Sequential(), ValueError, ("layers", "at least one")),
    Wrong("list of layers", lambda: bptt.Sequential([linear()]), TypeError, ("layers", "list", "*layers")),
    Wrong("class for layer", lambda: bptt.Sequential(bptt.Linear), TypeError, ("layers", "at 0")),
    Wrong("same layer twice", same_layer_twice, ValueError, ("layers", "the same Linear again")),
    Wrong("layer of two models", shared_in_two_models, ValueError, ("layers", "no other model", "Linear")),
    Wrong(
        "dtypes differ",
        lambda: bptt.Sequential(linear(), bptt.Linear(2, 2, dtype="float64")),
        ValueError,
        ("dtype", "float32", "float64", "layer 1"),
    ),
    Wrong(
        "config of more parameters",
        lambda: bptt.LSTM.from_config({"input_size": 10**6, "hidden_size": 10**6}, parameter_count=10),
        ValueError,
        ("config", "at most 10", str(4 * 10**6 * 2 * 10**6)),
    ),
    Wrong(
        "config of fewer parameters",
        lambda: bptt.Linear.from_config({"in_features": 2, "out_features": 2}, parameter_count=7),
        ValueError,
        ("config", "7", "6"),
    ),
    Wrong("config of a layer: no mapping", lambda: bptt.LSTM.from_config(3), TypeError, ("config", "got 3")),
    Wrong("config of a model: no mapping", lambda: bptt.Sequential.from_config(0.5), TypeError, ("got 0.5",)),
    Wrong("step of no model", lambda: bptt.SGD(0.1).step({}), TypeError, ("model", "got {}")),
    Wrong(
        "state of a layer without parameters",
        lambda: bptt.Tanh().load_state_dict({"a": np.ones(2)}),
        ValueError,
        ("state must hold", "a"),
    ),
    Wrong("config unknown", lambda: bptt.Dropout.from_config({"q": 1}), TypeError, ("q",)),
    Wrong("config no layers", lambda: bptt.Sequential.from_config({}), ValueError, ("config", "layers")),
    Wrong(
        "config entry", lambda: bptt.Sequential.from_config({"layers": [1]}), ValueError, ("config", "kind")
    ),
    Wrong(
        "config kind",
        lambda: bptt.Sequential.from_config({"layers": [{"kind": "eval", "config": {}}]}),
        ValueError,
        ("kind", "LSTM", "'eval'"),
    ),
]

TABLE = ARGUMENTS + KINDS + SHAPES + MODULES


def test_wrong_input_is_answered_in_one_sentence(subtests):
    for wrong in TABLE:
        with subtests.test(wrong.label):
            with pytest.raises(wrong.error) as caught:
                wrong.call()
            message = str(caught.value)
            assert caught.type is wrong.error
            assert [word for word in wrong.words if word not in message] == [], message


def test_labels_are_unique():
    assert len({wrong.label for wrong in TABLE}) == len(TABLE)


@pytest.mark.parametrize(
    "change",
    [{"bias": np.zeros(3)}, {"bias": "ab"}, {"bias": [0.0, 1e99]}, {"unknown": 1.0}],
    ids=["shape", "kind", "range", "name"],
)
def test_a_refused_state_dict_leaves_every_parameter_as_it_was(change):
    layer = linear()
    before = layer.flat_parameters.copy()
    with pytest.raises((TypeError, ValueError)):
        layer.load_state_dict({"weight": np.ones((2, 3)), "bias": np.ones(2)} | change)
    assert np.array_equal(layer.flat_parameters, before)


def test_a_refused_backward_adds_nothing():
    layer = gru()
    *_, tape = layer.forward(X)
    with pytest.raises(ValueError, match="dstate"):
        layer.backward(tape, np.ones((4, 2, 5)), np.ones((1, 2, 4)))
    assert not layer.flat_gradients.any()


def test_a_model_checks_states_and_steps_before_it_adds_gradients(subtests):
    """The layer with the wrong argument is not the first that runs backward."""
    both = lambda: bptt.RNN(3, 4, bidirectional=True)  # noqa: E731
    bad, wide = np.ones((1, 2, 9)), np.ones((4, 2, 3))
    nested = bptt.Sequential(bptt.Sequential(bptt.GRU(3, 3), bptt.Tanh()), bptt.GRU(3, 4))
    pair = bptt.EncoderDecoder(*(bptt.Sequential(bptt.GRU(3, 4), bptt.GRU(4, 4)) for _ in range(2)))
    cases = {
        "shape": (bptt.Sequential(bptt.GRU(3, 3), bptt.GRU(3, 4)), {"dstate": (bad, None)}),
        "kind": (bptt.Sequential(bptt.GRU(3, 3), bptt.GRU(3, 4)), {"dstate": ("ab", None)}),
        "no state": (bptt.Sequential(bptt.Linear(3, 3), bptt.GRU(3, 4)), {"dstate": (bad, None)}),
        "nested": (nested, {"dstate": ((bad, None), None)}),
        "side by side": (bptt.Parallel(a=bptt.GRU(3, 4), b=bptt.GRU(3, 4)), {"dstate": (None, bad)}),
        "decoder": (pair, {"dstate": (bad, None)}),
        "steps": (bptt.Sequential(both(), bptt.GRU(8, 4)), {"steps": 1}),
        "steps side by side": (bptt.Parallel(a=bptt.GRU(3, 4), b=both()), {"steps": 1}),
    }
    for name, (net, options) in cases.items():
        y, _, tape = net.forward({"encoder": wide, "decoder": wide} if net is pair else wide)
        argument = "steps needs" if "steps" in options else "dstate must"
        with subtests.test(name), pytest.raises((TypeError, ValueError), match=argument):
            net.backward(tape, np.ones_like(y), **options)
        assert not net.flat_gradients.any(), name


@pytest.mark.parametrize(
    "options", [{"clip_state": -1.0}, {"steps": -1}, {"need_dx": "no"}, {"keep_errors": 1}], ids=str
)
def test_a_model_checks_options_before_it_adds_gradients(options):
    both = model()
    *_, tape = both.forward(X)
    with pytest.raises((TypeError, ValueError), match=next(iter(options))):
        both.backward(tape, np.ones((4, 2, 2)), **options)
    assert not both.flat_gradients.any()


def test_a_refused_layer_stays_out_of_the_model():
    """The layers before the wrong one keep their own vectors."""
    first = linear()
    with pytest.raises(TypeError):
        bptt.Sequential(first, "second")
    assert np.shares_memory(first.flat_parameters, first.parameters["weight"])
    bptt.Sequential(first)
