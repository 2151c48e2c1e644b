"""`bptt.gradient_flow` of PyTorch models: the norms of autograd, and of the bptt layer."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from tests.torch_settings import dropin, torch

import bptt

pytestmark = pytest.mark.usefixtures("one_torch_thread")

T, B, I, H = 6, 3, 2, 4
KINDS = ("LSTM", "GRU", "RNN")


def build(kind: str, **options: Any) -> Any:
    torch.manual_seed(0)
    module = getattr(dropin, kind)(I, H, dtype=torch.float64, **options)
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return module


def numbers(*shape: int, seed: int = 1) -> Any:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def assert_same_flow(ours: Any, theirs: Any) -> None:
    np.testing.assert_allclose(ours.dh_norm, theirs.dh_norm, rtol=1e-10)
    assert (ours.dc_norm is None) == (theirs.dc_norm is None)
    if ours.dc_norm is not None:
        np.testing.assert_allclose(ours.dc_norm, theirs.dc_norm, rtol=1e-10)


def test_a_module_has_the_flow_of_its_layer(subtests: pytest.Subtests) -> None:
    for kind, bidirectional, batch_first in product(KINDS, (False, True), (False, True)):
        with subtests.test(kind=kind, bidirectional=bidirectional, batch_first=batch_first):
            module = build(kind, num_layers=2, bidirectional=bidirectional, batch_first=batch_first)
            x = numbers(*(B, T) if batch_first else (T, B), I)
            layer = module.bptt_layer
            assert_same_flow(bptt.gradient_flow(module, x), bptt.gradient_flow(layer, x.numpy()))
            dy = numbers(*module(x)[0].shape, seed=2)
            assert_same_flow(
                bptt.gradient_flow(module, x, dy=dy), bptt.gradient_flow(layer, x.numpy(), dy=dy.numpy())
            )
            if not batch_first:
                lengths = [2, T, 4]
                packed = torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False)
                dy_of_steps = torch.nn.utils.rnn.pack_padded_sequence(dy, lengths, enforce_sorted=False)
                assert_same_flow(
                    bptt.gradient_flow(module, packed, dy=dy_of_steps),
                    bptt.gradient_flow(layer, x.numpy(), dy=dy.numpy(), lengths=lengths),
                )


def test_a_module_in_a_model_has_the_norms_of_autograd(subtests: pytest.Subtests) -> None:
    """PyTorch's cell runs step by step, and keeps the gradient of each state."""
    for kind in KINDS:
        with subtests.test(kind):
            module = build(kind)
            model = torch.nn.Sequential(torch.nn.Linear(5, I, dtype=torch.float64), module)
            x, target = numbers(T, B, 5), numbers(T, B, H, seed=3)
            flow = bptt.gradient_flow(model, x, loss=torch.nn.functional.mse_loss, target=target)
            cell = getattr(torch.nn, kind + "Cell")(I, H, dtype=torch.float64)
            for name, value in module.state_dict().items():
                getattr(cell, name.removesuffix("_l0")).data.copy_(value)
            states, state = [], None
            for step in model[0](x):
                state = cell(step, state)
                states.append(state if kind == "LSTM" else (state,))
                for each in states[-1]:
                    each.retain_grad()
            y = torch.stack([each[0] for each in states])
            torch.nn.functional.mse_loss(y, target).backward()
            dh = [each[0].grad.norm().item() for each in states]
            np.testing.assert_allclose(flow.dh_norm[0], dh, rtol=1e-10)
            if kind == "LSTM":
                dc = [each[1].grad.norm().item() for each in states]
                np.testing.assert_allclose(flow.dc_norm[0], dc, rtol=1e-10)


def test_measuring_changes_nothing() -> None:
    class Model(torch.nn.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.norm = torch.nn.BatchNorm1d(I, dtype=torch.float64)
            self.rnn = build("GRU", num_layers=2, dropout=0.5)

        def forward(self, x: Any) -> Any:
            return self.rnn(self.norm(x.transpose(1, 2)).transpose(1, 2))

    model, x = Model(), numbers(T, B, I)
    model(x)[0].sum().backward()
    before = [each.clone() for each in (*model.state_dict().values(), *(p.grad for p in model.parameters()))]
    generator = torch.get_rng_state()
    bptt.gradient_flow(model, x)
    after = [*model.state_dict().values(), *(p.grad for p in model.parameters())]
    assert all(map(torch.equal, before, after))
    assert torch.equal(generator, torch.get_rng_state())


def test_models_that_cannot_be_measured_say_why(subtests: pytest.Subtests) -> None:
    frozen = build("GRU").requires_grad_(False)
    cell = dropin.GRUCell(I, H, dtype=torch.float64)
    twice = build("GRU")
    layers = torch.nn.ModuleList([twice])
    layers.forward = lambda x: twice(x)[0] + twice(2.0 * x)[0]
    x = numbers(T, B, I)
    for model, words in {
        frozen: r"got modules that ran without a gradient.*requires_grad_\(\)",
        cell: "got only cells.*over all steps",
        torch.nn.Linear(I, H, dtype=torch.float64): "got none.*replace",
        layers: "each recurrent module once.*separately",
    }.items():
        with subtests.test(words), pytest.raises(ValueError, match=words):
            bptt.gradient_flow(model, x[0] if model is cell else x)
