"""Modules of PyTorch become layers and models, and go back: the same outputs, and equal weights."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.interop import from_state_dict, from_torch, to_state_dict, to_torch

torch = pytest.importorskip("torch", reason="needs the optional test dependency torch")
nn = torch.nn

DOUBLE = {"dtype": torch.float64}
RNG = np.random.default_rng(0)
LENGTHS = np.array([7, 1, 5, 4])
X = RNG.normal(size=(7, 4, 3))
IDS = RNG.integers(0, 6, (7, 4))
RECURRENT = {
    "LSTM": lambda **options: nn.LSTM(3, 5, **options),
    "LSTM with a projection": lambda **options: nn.LSTM(3, 5, proj_size=2, **options),
    "GRU": lambda **options: nn.GRU(3, 5, **options),
    "RNN": lambda **options: nn.RNN(3, 5, **options),
    "RNN with relu": lambda **options: nn.RNN(3, 5, nonlinearity="relu", **options),
}
OPTIONS = [
    {"num_layers": 1 + 2 * deep, "bidirectional": bool(ways), "bias": bool(bias), "batch_first": bool(first)}
    for deep, ways, bias, first in ((0, 0, 1, 0), (1, 1, 1, 1), (1, 0, 0, 1), (0, 1, 0, 0), (1, 1, 0, 0))
]


def flat(state: Any) -> np.ndarray:
    """The arrays of a state, one after the other."""
    parts = state if isinstance(state, tuple) else (state,)
    return np.concatenate([np.ravel(torch.as_tensor(part).detach().numpy()) for part in parts])


def test_recurrent_modules(subtests: pytest.Subtests) -> None:
    for label, make in RECURRENT.items():
        for options in OPTIONS:
            torch.manual_seed(1)
            module = make(**options, **DOUBLE)
            with subtests.test(label, **options):
                layer = from_torch(module)
                assert layer.kind == type(module).__name__
                first = options["batch_first"]
                x = X.transpose(1, 0, 2) if first else X
                y, state = layer(x, lengths=LENGTHS)
                packed = nn.utils.rnn.pack_padded_sequence(
                    torch.tensor(x), torch.tensor(LENGTHS), first, enforce_sorted=False
                )
                theirs, their_state = module(packed)
                theirs, _ = nn.utils.rnn.pad_packed_sequence(theirs, first)
                np.testing.assert_allclose(y, theirs.detach(), rtol=0, atol=1e-12)
                np.testing.assert_allclose(flat(state), flat(their_state), rtol=0, atol=1e-12)
                back = to_torch(layer)
                assert repr(back) == repr(module)
                for name, tensor in module.state_dict().items():
                    assert torch.equal(back.state_dict()[name], tensor)
                    assert torch.equal(torch.from_numpy(to_state_dict(layer)[name]), tensor)
                kept = layer.flat_parameters.copy()
                with torch.no_grad():
                    next(module.parameters()).add_(1)  # they share no memory
                    next(back.parameters()).add_(1)
                np.testing.assert_array_equal(layer.flat_parameters, kept)


def test_a_model_in_the_order_of_its_forward_function() -> None:
    torch.manual_seed(2)
    embedding, rnn = nn.Embedding(6, 3, padding_idx=2), nn.GRU(3, 4, 2, dropout=0.5, bidirectional=True)
    tail = nn.Sequential(nn.LayerNorm(8, 1e-3), nn.Identity(), nn.Linear(8, 3), nn.Dropout(0.25), nn.GELU())
    head = nn.Linear(3, 6)
    head.weight = embedding.weight
    for parameter in rnn.parameters():
        parameter.requires_grad_(False)
    modules = nn.ModuleList((embedding, rnn, tail, head)).double().eval()
    model = from_torch([embedding, rnn, bptt.Ends(), tail, head, nn.Softmax(-1)])
    assert [layer.kind for layer in model] == [
        *("Embedding", "GRU", "Ends", "LayerNorm", "Linear", "Dropout", "GELU", "TiedLinear", "Softmax")
    ]
    assert [layer.trainable for layer in model][:3] == [True, False, True]
    assert model[1].dropout == 0.5
    assert model[5].p == 0.25
    assert model[0].padding_idx == 2
    hidden = rnn(embedding(torch.tensor(IDS)))[0]
    ends = torch.cat((hidden[-1, :, :4], hidden[0, :, 4:]), -1)
    expected = torch.softmax(head(tail(ends)), -1).detach().numpy()
    np.testing.assert_allclose(model(IDS)[0], expected, rtol=0, atol=1e-12)
    before = torch.get_rng_state()
    back = to_torch(model)
    assert torch.equal(before, torch.get_rng_state())
    np.testing.assert_allclose(back.eval()(torch.tensor(IDS)).detach(), expected, rtol=0, atol=1e-12)
    assert set(model.state_dict()) == set(back.state_dict()) - {"7.weight"}
    assert back[7].weight is back[0].weight
    assert not any(parameter.requires_grad for parameter in back[1].parameters())
    assert modules
    for trainable in (True, False):  # of the embedding, whose weight the last layer reads
        model[0].trainable, model[7].trainable = trainable, not trainable
        back = to_torch(model.freeze())
        assert back[7].weight is back[0].weight
        assert [back[0].weight.requires_grad, back[7].bias.requires_grad] == [trainable, not trainable]


def chains(batch_first: bool) -> list[bptt.Sequential]:
    """Models with every layer over time and every activation."""
    options: dict[str, Any] = {"batch_first": batch_first, "dtype": "float64"}

    def model(*inner: bptt.Module) -> bptt.Sequential:
        return bptt.Sequential(bptt.LSTM(3, 4, seed=0, **options), *inner)

    second = bptt.RNN(4, 3, seed=1, **options)
    return [
        model(bptt.Last(**options), bptt.Repeat(2, **options), second, bptt.Tanh(dtype="float64")),
        model(bptt.MeanPool(**options), bptt.SiLU(dtype="float64"), bptt.Sigmoid(dtype="float64")),
        model(bptt.MaxPool(**options), bptt.ReLU(dtype="float64"), bptt.Linear(4, 2, dtype="float64")),
        bptt.Sequential(
            bptt.GRU(3, 2, reverse=False, seed=2, **options), bptt.Sequential(bptt.Last(**options))
        ),
    ]


def test_layers_over_time_and_activations() -> None:
    for batch_first in (False, True):
        x = X.transpose(1, 0, 2) if batch_first else X
        for chain in chains(batch_first):
            y = to_torch(chain)(torch.tensor(x)).detach()
            np.testing.assert_allclose(y, chain(x)[0], rtol=0, atol=1e-12)


def test_cells_and_tensors_of_every_kind() -> None:
    torch.manual_seed(3)
    for cell in (nn.LSTMCell(3, 5), nn.GRUCell(3, 5, bias=False), nn.RNNCell(3, 5, nonlinearity="relu")):
        layer = from_torch(cell)
        assert layer.kind == type(cell).__name__.removesuffix("Cell")
        state = tuple(torch.ones(4, 5) for _ in range(2)) if layer.kind == "LSTM" else torch.ones(4, 5)
        x = X[0].astype(np.float32)
        ours = tuple(np.ones((1, 4, 5)) for _ in range(2)) if layer.kind == "LSTM" else np.ones((1, 4, 5))
        _, new = layer(x[None], ours)
        np.testing.assert_allclose(flat(new), flat(cell(torch.tensor(x), state)), rtol=0, atol=1e-6)
    module = nn.LSTM(3, 5)
    plain = from_torch(module)
    assert plain.dtype == np.float32
    for half in (module.half(), copy.deepcopy(module).bfloat16()):
        layer = from_torch(half)
        assert layer.dtype == np.float32
        for state in (half.state_dict(), {f"module.{k}": v for k, v in half.state_dict().items()}):
            other = from_state_dict(state)
            np.testing.assert_array_equal(other.flat_parameters, layer.flat_parameters)
        for name, tensor in half.state_dict().items():
            np.testing.assert_array_equal(layer.parameters[name], tensor.float().numpy())


class OptimizedModule(nn.Module):  # type: ignore[misc]
    """In place of what torch.compile returns, which takes seconds to import."""

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._orig_mod = module


def test_wrapped_and_parametrised_modules() -> None:
    torch.manual_seed(4)
    rnn, linear = nn.GRU(3, 4), nn.Linear(4, 2)
    nn.utils.parametrizations.weight_norm(linear)
    chain = nn.Sequential(*(nn.utils.parametrizations.weight_norm(nn.Linear(4, 4)) for _ in range(20)))
    x = torch.tensor(X, dtype=torch.float32)
    model = from_torch([nn.DataParallel(rnn), OptimizedModule(chain), linear])
    np.testing.assert_allclose(model(x)[0], linear(chain(rnn(x)[0])).detach(), rtol=0, atol=1e-6)
    checkpoint = {"epoch": 3, "state_dict": {f"module.{k}": v for k, v in rnn.state_dict().items()}}
    with pytest.raises(TypeError, match=r"Fix: pass state\['state_dict'\]"):
        from_state_dict(checkpoint)
    np.testing.assert_array_equal(
        from_state_dict(checkpoint["state_dict"]).flat_parameters, model[0].flat_parameters
    )


class Net(nn.Module):  # type: ignore[misc]
    def __init__(self) -> None:
        super().__init__()
        self.rnn, self.head = nn.LSTM(3, 4), nn.Linear(4, 2)

    def forward(self, x: Any) -> Any:
        return self.head(self.rnn(x)[0])


class Other(nn.Linear):  # type: ignore[misc]
    def forward(self, x: Any) -> Any:
        return 2 * super().forward(x)


def test_what_cannot_be_converted_is_named(subtests: pytest.Subtests) -> None:
    linear = nn.Linear(3, 3)
    tied = nn.Embedding(3, 3)
    tied.weight = linear.weight
    wrong: list[tuple[Any, type[Exception], str]] = [
        (Net(), TypeError, r"got Net.*Fix: pass a list.*module\.rnn, module\.head"),
        (nn.Sequential(nn.Tanh(), nn.Sequential(nn.Conv1d(3, 3, 1))), TypeError, r"module\[1\]\[0\].*Conv1d"),
        (Other(3, 3), TypeError, "got Other"),
        ([nn.Tanh(), 3], TypeError, r"module\[1\] must be a torch.nn.Module; got 3"),
        (nn.Linear(3, 3).state_dict(), TypeError, "from_state_dict"),
        (nn.Sequential(), ValueError, "at least one part"),
        (nn.LSTM, TypeError, "must be a torch.nn.Module"),
        (nn.Softmax(0), ValueError, "dim=-1"),
        (nn.GELU("tanh"), ValueError, "approximate='none'"),
        (nn.LayerNorm((2, 3)), ValueError, r"\(2, 3\)"),
        (nn.Embedding(3, 2, max_norm=1.0), ValueError, "max_norm"),
        (nn.Sequential(linear, nn.Tanh(), linear), ValueError, r"module\[2\].*also module\[0\]\.weight"),
        ([linear, tied], ValueError, r"module\[1\].*also module\[0\]\.weight"),
        (nn.LSTM(3, 4, device="meta"), TypeError, r"on the device meta"),
    ]
    normed, pruned = nn.GRU(3, 4), nn.Linear(3, 3)
    with pytest.warns((FutureWarning, UserWarning)):
        nn.utils.weight_norm(normed, "weight_hh_l0")
    pytest.importorskip("torch.nn.utils.prune").random_unstructured(pruned, "weight", amount=0.5)
    for kept, name in ((normed, "weight_hh_l0"), (pruned, "weight")):
        wrong.append((kept, ValueError, f"must have {name} as a parameter.*Fix: .*prune"))
    for module, error, words in wrong:
        with subtests.test(words), pytest.raises(error, match=words):
            from_torch(module)
    options: list[tuple[bptt.Module, type[Exception], str]] = [
        (bptt.LSTM(3, 4, peephole=True), ValueError, "peephole=True of LSTM"),
        (bptt.GRU(3, 4, reset_after=False), ValueError, "reset_after=False of GRU"),
        (bptt.GRU(3, 4, reverse=True), ValueError, "reverse=True"),
        (bptt.RNN(3, 4, nonlinearity="gelu"), ValueError, "nonlinearity='gelu' of RNN"),
        (bptt.TiedLinear(bptt.Embedding(3, 4)), ValueError, "after its Embedding"),
        (bptt.Sequential(bptt.Tanh(), bptt.MGU(3, 4)), TypeError, r"layer\[1\].*MGU"),
    ]
    for layer, error, words in options:
        with subtests.test(words), pytest.raises(error, match=words):
            to_torch(layer)
    with pytest.raises(TypeError, match="got Linear"):
        to_torch(linear)
    assert isinstance(to_torch(bptt.LSTM(3, 4, forget_bias=1.0)), nn.LSTM)


def test_modules_that_run_in_bptt_keep_their_options() -> None:
    modules = pytest.importorskip("bptt.interop.torch", reason="this version has no modules of PyTorch")
    for module in (
        modules.LSTM(3, 5, 2, peephole=True, bidirectional=True),
        modules.GRU(3, 5, reset_after=False, batch_first=True),
        modules.RNN(3, 5, nonlinearity="gelu"),
    ):
        layer = from_torch(module)
        x = torch.tensor(X, dtype=torch.float32)
        np.testing.assert_allclose(layer(x)[0], module(x)[0].detach(), rtol=0, atol=1e-6)
        kept = layer.flat_parameters.copy()
        with torch.no_grad():
            next(module.parameters()).add_(1)
        np.testing.assert_array_equal(layer.flat_parameters, kept)
        end = bptt.Ends if layer.bidirectional else bptt.Last
        model = from_torch([module, end(batch_first=layer.batch_first), nn.Linear(layer.y_size, 2)])
        assert model(x)[0].shape == ((7 if layer.batch_first else 4), 2)
