"""PyTorch modules that run in bptt: where parameters lie, what falls back, how models are swapped."""

from __future__ import annotations

import copy
import gc
import io
import os
import pickle
import subprocess
import sys
import warnings
import weakref
from collections.abc import Iterator
from itertools import product
from typing import Any

import numpy as np
import pytest

torch: Any = pytest.importorskip("torch", reason="needs PyTorch")
prune: Any = pytest.importorskip("torch.nn.utils.prune")

import bptt  # noqa: E402
from bptt.interop.torch import GRU, LSTM, RNN, FallbackWarning, fallback, frozen, replace  # noqa: E402
from bptt.interop.torch.function import recording  # noqa: E402

CLASSES = {"LSTM": LSTM, "GRU": GRU, "RNN": RNN}
T, B, I, H = 6, 3, 4, 5


@pytest.fixture(autouse=True)
def _seeded() -> Iterator[None]:
    fallback.forget_warnings()
    torch.manual_seed(0)
    yield
    fallback.forget_warnings()


def pair(cell: str = "LSTM", **options: Any) -> tuple[Any, Any]:
    """Return PyTorch's module and ours, with the same parameters."""
    options = {"dtype": torch.float64} | options
    theirs = getattr(torch.nn, cell)(I, H, 2, **options)
    ours = CLASSES[cell](I, H, 2, **options)
    ours.load_state_dict(theirs.state_dict())
    return theirs, ours


def step(module: Any, x: Any, hx: Any = None) -> dict[str, Any]:
    """Run a forward and a backward pass, and return results and gradients by name."""
    module.zero_grad()
    x = x.detach().clone().requires_grad_(x.is_floating_point())
    y, last = module(x, hx)
    results = {"y": y, **{f"last{k}": h for k, h in enumerate(last if isinstance(last, tuple) else [last])}}
    loss = sum(
        (value * torch.linspace(-1, 1, value.numel(), device=value.device).view_as(value)).sum()
        for value in results.values()
    )
    loss.backward()
    gradients = {f"d{name}": p.grad for name, p in module.named_parameters() if p.grad is not None}
    return {name: value.detach() for name, value in results.items()} | gradients | {"dx": x.grad}


def assert_same(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        torch.testing.assert_close(ours[name], value, rtol=1e-10, atol=1e-10, msg=name)


def in_one_buffer(module: Any) -> bool:
    return len({p.untyped_storage().data_ptr() for p in module.parameters()}) == 1


def x_of(*shape: int, **options: Any) -> Any:
    return torch.randn(*(shape or (T, B, I)), **({"dtype": torch.float64} | options))


class TestParameters:
    def test_initial_values_names_and_repr_are_pytorchs(self, subtests: pytest.Subtests) -> None:
        for cell, bidirectional, bias in product(CLASSES, (False, True), (False, True)):
            with subtests.test(cell=cell, bidirectional=bidirectional, bias=bias):
                modules = []
                for cls in (getattr(torch.nn, cell), CLASSES[cell]):
                    torch.manual_seed(3)
                    modules.append(cls(I, H, 2, bias=bias, bidirectional=bidirectional))
                theirs, ours = modules
                assert repr(ours) == repr(theirs)
                assert isinstance(ours, getattr(torch.nn, cell))
                assert list(ours.state_dict()) == list(theirs.state_dict())
                for name, value in theirs.state_dict().items():
                    assert torch.equal(ours.state_dict()[name], value)
                assert in_one_buffer(ours)

    def test_every_way_to_change_them_is_seen(self, subtests: pytest.Subtests) -> None:
        """No call computes from weights of an earlier call."""

        def new_data(module: Any) -> None:
            module.weight_hh_l0.data = module.weight_hh_l0.data * 2

        def transposed(module: Any) -> None:
            module.weight_hh_l1.data = module.weight_hh_l1.data.T.contiguous().T.mul(2)

        def vector(module: Any) -> None:
            values = torch.nn.utils.parameters_to_vector(module.parameters()).detach()
            torch.nn.utils.vector_to_parameters(values * 2, module.parameters())

        changes = {
            "in place": lambda m: m.weight_ih_l0.detach().mul_(2),
            "data.copy_": lambda m: m.bias_hh_l1.data.copy_(torch.ones(m.bias_hh_l1.shape)),
            "numpy": lambda m: np.multiply(
                m.weight_ih_l1.detach().numpy(), 2, m.weight_ih_l1.detach().numpy()
            ),
            "data =": new_data,
            "transposed memory": transposed,
            "vector_to_parameters": vector,
            "a new parameter": lambda m: setattr(
                m, "bias_ih_l0", torch.nn.Parameter(torch.ones(m.bias_ih_l0.shape).double())
            ),
            "load": lambda m: m.load_state_dict({k: v * 2 for k, v in m.state_dict().items()}),
            "load, assign": lambda m: m.load_state_dict(
                {k: v * 2 for k, v in m.state_dict().items()}, assign=True
            ),
            "share_memory": lambda m: m.share_memory(),
            "half and back": lambda m: m.half().double(),
            "optimizer": lambda m: torch.optim.SGD(m.parameters(), 0.1).step(),
            "reset_parameters": lambda m: (torch.manual_seed(7), m.reset_parameters()),
            "flatten_parameters": lambda m: m.flatten_parameters(),
        }

        def transposed_in_place(module: Any) -> None:
            module.weight_hh_l0.data = module.weight_hh_l0.data.T

        changes |= {"a square matrix, transposed": transposed_in_place}
        x = x_of()
        for name, change in changes.items():
            with subtests.test(change=name):
                theirs, ours = pair("RNN" if "square" in name else "LSTM")
                assert_same(step(ours, x), step(theirs, x))
                for module in (theirs, ours):
                    with torch.no_grad():
                        change(module)
                assert_same(step(ours, x), step(theirs, x))

    def test_copies_and_pickles_are_independent_and_small(self) -> None:
        def saved(module: Any) -> Any:
            file = io.BytesIO()
            torch.save(module, file)
            file.seek(0)
            return torch.load(file, weights_only=False)

        _, ours = pair()
        x = x_of()
        expected = step(ours, x)
        for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours)), saved(ours)):
            assert_same(step(copied, x), expected)
            assert in_one_buffer(copied)
            with torch.no_grad():
                copied.weight_ih_l0.zero_()
        assert_same(step(ours, x), expected)
        assert in_one_buffer(ours)
        held = ours.weight_ih_l0.detach().numpy()
        copy.deepcopy(ours), pickle.dumps(ours)
        with torch.no_grad():
            ours.weight_ih_l0.add_(1)
        np.testing.assert_array_equal(held, ours.weight_ih_l0.detach())  # the array still views the weight
        del held
        plain = len(pickle.dumps(torch.nn.LSTM(I, H, 2, dtype=torch.float64)))
        assert len(pickle.dumps(ours)) < plain + 500

    def test_memory_that_others_hold_stays_where_it_is(self) -> None:
        theirs, _ = pair()
        alias = theirs.weight_ih_l0.detach()
        other = torch.nn.LSTM(I, H, 2, dtype=torch.float64)
        other.weight_hh_l1 = theirs.weight_hh_l1  # tied: one Parameter in two modules
        model = torch.nn.ModuleList([theirs, other])
        reference = copy.deepcopy(model)
        replace(model)
        with torch.no_grad():
            alias.mul_(2)
            reference[0].weight_ih_l0.mul_(2)
        x = x_of()
        for ours, plain in zip(model, reference, strict=True):
            assert_same(step(ours, x), step(plain, x))
        assert alias.data_ptr() == theirs.weight_ih_l0.data_ptr()
        assert model[0].weight_hh_l1 is model[1].weight_hh_l1

    def test_functional_call_computes_with_the_tensors_passed(self) -> None:
        theirs, ours = pair()
        values = {
            name: torch.randn_like(value, requires_grad=True) for name, value in theirs.named_parameters()
        }
        x = x_of()
        gradients = []
        for module in (theirs, ours):
            y, _ = torch.func.functional_call(module, values, (x,))
            gradients.append(torch.autograd.grad(y.square().sum(), list(values.values())))
        for own, other in zip(*gradients, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-10)
        assert_same(step(ours, x), step(theirs, x))

    def test_frozen_weights_are_packed_once(self) -> None:
        theirs, ours = pair("GRU")
        x = x_of()
        with torch.no_grad():
            before, kept = ours(x)[0], ours.bias_ih_l0.clone()
            with frozen(torch.nn.Sequential(ours)):
                assert torch.equal(ours(x)[0], before)
                ours.weight_hh_l0.data.mul_(2)  # not counted by PyTorch: the packed weights are older
                assert torch.equal(ours(x)[0], before)
                ours.weight_hh_l0.mul_(0.5)
                ours.bias_ih_l0.add_(1)  # counted
                theirs.bias_ih_l0.add_(1)
                torch.testing.assert_close(ours(x)[0], theirs(x)[0], rtol=1e-10, atol=1e-10)
            ours.bias_ih_l0.data.copy_(kept)
            assert torch.equal(ours(x)[0], before)
            with frozen(ours), torch.enable_grad():
                assert ours(x)[0].requires_grad
        with pytest.raises(ValueError, match="replace"), frozen(theirs):
            pass


class TestBackward:
    def test_twice_through_one_graph(self) -> None:
        _, ours = pair()
        x = x_of().requires_grad_()
        y, _ = ours(x)
        y.square().sum().backward(retain_graph=True)
        once = [p.grad.clone() for p in ours.parameters()]
        y.square().sum().backward()
        for first, p in zip(once, ours.parameters(), strict=True):
            torch.testing.assert_close(p.grad, 2 * first, rtol=1e-12, atol=0)
        with pytest.raises(RuntimeError, match="second time"):
            y.sum().backward()

    def test_a_changed_weight_is_an_error(self) -> None:
        _, ours = pair()
        y, _ = ours(x_of())
        with torch.no_grad():
            ours.weight_hh_l0.mul_(2)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()

    def test_a_result_may_be_changed_in_place(self) -> None:
        theirs, ours = pair("GRU")
        x = x_of()
        gradients = []
        for module in (theirs, ours):
            y, _ = module(x)
            torch.relu_(y)
            gradients.append(torch.autograd.grad(y.sum(), list(module.parameters())))
        for own, other in zip(*gradients, strict=True):
            torch.testing.assert_close(own, other, rtol=1e-10, atol=1e-10)

    def test_frozen_parameters_and_inputs_get_no_gradient(self) -> None:
        theirs, ours = pair()
        for module in (theirs, ours):
            module.weight_ih_l1.requires_grad_(False)
            module.bias_hh_l0.requires_grad_(False)
        x = x_of()
        assert_same(step(ours, x), step(theirs, x))
        for p in ours.parameters():
            p.requires_grad_(False)
        y, _ = ours(x)
        assert not y.requires_grad
        y, _ = ours(x.requires_grad_())
        y.sum().backward()
        assert x.grad is not None

    def test_gradients_of_gradients(self) -> None:
        def penalty(module: Any, x: Any, hx: Any) -> list[Any]:
            """Return the gradients of the norm of a gradient, as in WGAN-GP."""
            inputs = [x, *(hx or ()), *module.parameters()]
            y, _ = module(x, hx)
            first = torch.autograd.grad(y.square().sum(), inputs, create_graph=True)
            return list(torch.autograd.grad(sum(g.square().sum() for g in first), inputs))

        cases: list[tuple[dict[str, Any], tuple[int, ...], bool]] = [
            ({"bidirectional": True}, (T, B, I), False),
            ({"batch_first": True}, (B, T, I), True),
            ({"proj_size": 3, "bias": False}, (T, I), False),
        ]
        for options, shape, has_state in cases:
            theirs, ours = pair(**options)
            x = x_of(*shape).requires_grad_()
            hx = tuple(x_of(2, B, H).requires_grad_() for _ in range(2)) if has_state else None
            for own, other in zip(*(penalty(m, x, hx) for m in (ours, theirs)), strict=True):
                torch.testing.assert_close(own, other, rtol=1e-9, atol=1e-9)
        packed = torch.nn.utils.rnn.pack_padded_sequence(x_of(), torch.tensor([6, 4, 1]))
        theirs, ours = pair("GRU")
        gradients = []
        for module in (theirs, ours):
            y = module(packed)[0].data
            (first,) = torch.autograd.grad(y.square().sum(), module.weight_hh_l0, create_graph=True)
            gradients.append(torch.autograd.grad(first.square().sum(), module.weight_ih_l0)[0])
        torch.testing.assert_close(*gradients, rtol=1e-9, atol=1e-9)
        dropped = pair(dropout=0.5)[1]
        y, _ = dropped(x_of().requires_grad_())
        with pytest.raises(NotImplementedError, match="create_graph"):
            torch.autograd.grad(y.sum(), list(dropped.parameters()), create_graph=True)


def test_dropout_follows_pytorchs_seed_and_modes() -> None:
    module = LSTM(I, H, 2, dropout=0.5, zoneout=0.1, recurrent_dropout=0.2)
    x = x_of(dtype=torch.float32)

    def run(seed: int) -> Any:
        torch.manual_seed(seed)
        return module(x)[0].detach()

    assert torch.equal(run(1), run(1))
    assert not torch.equal(run(1), run(2))
    with torch.no_grad():
        assert not torch.equal(run(1), run(2))
    module.eval()
    assert torch.equal(run(1), run(2))


def test_a_module_is_freed_without_the_garbage_collector() -> None:
    module = LSTM(I, H, 2)
    y, _ = module(x_of(dtype=torch.float32))
    y.sum().backward()
    gone = weakref.ref(module)
    gc.disable()
    try:
        del module, y
        assert gone() is None
    finally:
        gc.enable()


class TestOptions:
    def test_results_and_gradients_are_those_of_the_layer(self, subtests: pytest.Subtests) -> None:
        cases: list[tuple[str, dict[str, Any]]] = [
            ("LSTM", {"peephole": True, "layer_norm": True, "proj_size": 3}),
            ("LSTM", {"coupled": True, "bidirectional": True, "merge": "sum"}),
            ("LSTM", {"clip_state": 0.01, "cell_clip": 0.5, "reverse": True}),
            ("GRU", {"reset_after": False, "activations": ("hard_sigmoid", "softsign")}),
            ("RNN", {"nonlinearity": "gelu", "layer_norm": True, "bias": False}),
            ("GRU", {"precision": "bfloat16", "dtype": torch.float32}),
        ]
        for cell, options in cases:
            with subtests.test(cell=cell, **options):
                dtype = options.pop("dtype", torch.float64)
                module = CLASSES[cell](I, H, 2, dtype=dtype, **options)
                clip = options.pop("clip_state", None)
                layer = getattr(bptt, cell)(I, H, 2, dtype=str(dtype)[6:], **options)
                layer.load_state_dict(module.state_dict())
                assert list(module.state_dict()) == list(layer.parameters)
                x = x_of(dtype=dtype).requires_grad_()
                y, _ = module(x)
                dy = torch.randn_like(y)
                y.backward(dy)
                expected, _, tape = layer.forward(x.detach())
                dx, _ = layer.backward(tape, dy, clip_state=clip)
                np.testing.assert_array_equal(y.detach().numpy(), expected)
                np.testing.assert_array_equal(x.grad.numpy(), dx)
                for name, p in module.named_parameters():
                    np.testing.assert_array_equal(p.grad.numpy(), layer.gradients[name])
                assert all(f"{name}={value!r}" in repr(module) for name, value in module.bptt_options.items())
                again = pickle.loads(pickle.dumps(module))
                assert torch.equal(again(x)[0], y)

    def test_masks_of_packed_rows_are_those_of_the_layer(self) -> None:
        options: dict[str, Any] = {"zoneout": (0.3, 0.2), "recurrent_dropout": 0.2, "input_dropout": 0.1}
        module = LSTM(I, H, 2, dtype=torch.float64, bidirectional=True, **options)
        x, lengths = x_of().requires_grad_(), torch.tensor([4, 6, 1])
        passes: list[Any] = []
        token = recording.set(passes)
        y, _ = module(torch.nn.utils.rnn.pack_padded_sequence(x, lengths, enforce_sorted=False))
        recording.reset(token)
        (plan, _), *_ = passes
        padded, _ = torch.nn.utils.rnn.pad_packed_sequence(y)
        dy = torch.randn_like(padded)
        padded.backward(dy)
        # The module's rows are sorted. The layer sorts its rows in the same way, and the masks with them.
        rows, back = plan.order.ragged(), torch.argsort(torch.argsort(-lengths)).numpy()
        masks = {
            "input": plan.masks.input_mask[back],
            "recurrent": plan.masks.recurrent_mask[:, back],
            "zoneout_h": np.stack([rows.scatter(mask) for mask in plan.masks.keep_h])[:, :, back],
            "zoneout_c": np.stack([rows.scatter(mask) for mask in plan.masks.keep_c])[:, :, back],
        }
        layer = bptt.LSTM(I, H, 2, dtype="float64", bidirectional=True, **options)
        layer.load_state_dict(module.state_dict())
        expected, _, tape = layer.forward(x.detach(), lengths=lengths, masks=masks)
        dx, _ = layer.backward(tape, dy)
        np.testing.assert_allclose(padded.detach(), expected, rtol=1e-12, atol=1e-12)
        np.testing.assert_allclose(x.grad, dx, rtol=1e-12, atol=1e-12)
        for name, parameter in module.named_parameters():
            np.testing.assert_allclose(parameter.grad, layer.gradients[name], rtol=1e-11, atol=1e-12)

    def test_pascanus_regularizer_adds_its_gradient(self) -> None:
        regularizer = bptt.PascanuRegularizer(2.0)
        module = RNN(I, H, dtype=torch.float64, regularizer=regularizer)
        x = x_of()
        y, _ = module(x)
        dy = torch.randn_like(y)
        y.backward(dy)
        layer = bptt.RNN(I, H, dtype="float64")
        layer.load_state_dict(module.state_dict())
        _, _, tape = layer.forward(x)
        layer.backward(tape, dy, keep_errors=True)
        bptt.PascanuRegularizer(2.0)(tape)
        np.testing.assert_allclose(module.weight_hh_l0.grad, layer.gradients["weight_hh_l0"], rtol=1e-12)
        assert regularizer.omega > 0

    def test_invalid_ones_are_refused(self, subtests: pytest.Subtests) -> None:
        for cell, options, error, words in [
            ("LSTM", {"peepholes": True}, TypeError, "peepholes.*Fix"),
            ("GRU", {"peephole": True}, TypeError, "peephole"),
            ("LSTM", {"clip_state": -1.0}, ValueError, "clip_state"),
            ("RNN", {"regularizer": 4.0}, TypeError, "regularizer"),
            ("GRU", {"proj_size": 2}, ValueError, "proj_size"),
            ("GRU", {"precision": "int8"}, ValueError, r"from_torch\(module\).freeze\(precision='int8'"),
            ("LSTM", {"precision": "bfloat16", "dtype": torch.float64}, ValueError, "dtype=torch.float32"),
        ]:
            with subtests.test(cell=cell, **options), pytest.raises(error, match=words):
                CLASSES[cell](I, H, **options)

    def test_they_never_run_in_pytorch(self) -> None:
        module = LSTM(I, H, peephole=True).bfloat16()
        with pytest.raises(NotImplementedError, match=r"peephole.*bfloat16.*Fix"):
            module(x_of(dtype=torch.bfloat16))
        rounding = LSTM(I, H, precision="bfloat16")
        with pytest.raises(NotImplementedError, match="Fix: use a module and tensors of float32 on the CPU"):
            copy.deepcopy(rounding).bfloat16()(x_of(dtype=torch.bfloat16))
        with pytest.raises(ValueError, match=r"got 'bfloat16'. Fix: .*call module.float\(\)"):
            rounding.double()(x_of(dtype=torch.float64))
        assert rounding.float()(x_of(dtype=torch.float32))[0].dtype == torch.float32
        with pytest.raises(Exception, match=r"peephole"):
            torch.export.export(LSTM(I, H, peephole=True), (x_of(dtype=torch.float32),))
        initial = LSTM(I, H, forget_bias=1.0).bfloat16()  # only its initial values are not those of PyTorch
        with pytest.warns(FallbackWarning, match="bfloat16"):
            initial(x_of(dtype=torch.bfloat16))
        with pytest.raises(RuntimeError, match="input_size"):
            LSTM(I, H, peephole=True)(x_of(T, B, I + 1, dtype=torch.float32))
        with pytest.raises(NotImplementedError, match=r"without elements.*Fix: .*one row"):
            LSTM(I, H, peephole=True)(x_of(T, 0, I, dtype=torch.float32))


class TestFallback:
    def test_calls_that_bptt_does_not_compute(self, subtests: pytest.Subtests) -> None:
        def autocast(module: Any) -> Any:
            with torch.autocast("cpu"):
                return module(x_of(dtype=torch.float32))[0].float()

        def traced(module: Any) -> Any:
            x = x_of(dtype=torch.float32)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                warnings.simplefilter("always", FallbackWarning)
                return torch.jit.trace(module, x)(x)[0]

        def all_dropped(module: Any) -> Any:
            module.dropout = 1
            return module(x_of(dtype=torch.float32))[0]

        calls = {
            "bfloat16": lambda m: copy.deepcopy(m).bfloat16()(x_of(dtype=torch.bfloat16))[0].float(),
            "meta": lambda m: copy.deepcopy(m).to("meta")(x_of(dtype=torch.float32, device="meta"))[0],
            "autocast": autocast,
            "exporter": traced,
            "torch.func": lambda m: torch.func.grad(lambda x: m(x)[0].sum())(x_of(dtype=torch.float32)),
            "dropout=1": all_dropped,
            "a tensor without elements": lambda m: m(x_of(T, 0, I, dtype=torch.float32))[0],
        }
        for words, call in calls.items():
            with subtests.test(words):
                theirs, ours = pair("GRU", dtype=torch.float32)
                torch.manual_seed(1)
                with pytest.warns(FallbackWarning, match=words) as warned:
                    y = call(ours)
                assert len(warned) == 1
                assert warned[0].filename == __file__
                torch.manual_seed(1)
                if y.device.type != "meta":
                    torch.testing.assert_close(y, call(theirs))
                call(ours)  # no second warning, which would be an error

    def test_torch_fx_records_a_module_as_one_call(self) -> None:
        model = torch.nn.Sequential()
        model.add_module("rnn", GRU(I, H))
        x = x_of(dtype=torch.float32)
        traced = torch.fx.symbolic_trace(model)
        assert [node.target for node in traced.graph.nodes if node.op == "call_module"] == ["rnn"]
        assert torch.equal(traced(x)[0], model(x)[0])

    def test_pytorchs_errors_come_without_a_warning(self) -> None:
        for cell, x, hx in [
            ("LSTM", x_of(T, B, I + 1), None),
            ("LSTM", x_of(dtype=torch.float32), None),
            ("LSTM", x_of(), x_of(2, B, H)),
            ("GRU", x_of(), x_of(2, B + 1, H)),
            ("RNN", x_of(T, B, I, 1), None),
            ("GRU", x_of(0, B, I), None),
        ]:
            theirs, ours = pair(cell)
            with pytest.raises((RuntimeError, ValueError)) as expected:
                theirs(x, hx)
            with pytest.raises(expected.type) as error:
                ours(x, hx)
            assert str(error.value) == str(expected.value)


class Subclass(torch.nn.GRU):  # type: ignore[misc]
    def forward(self, x: Any, hx: Any = None) -> Any:
        return super().forward(2 * x, hx)


class Model(torch.nn.Module):  # type: ignore[misc]
    """A model with all kinds of recurrent modules, one of them under two names and in a plain list."""

    def __init__(self) -> None:
        super().__init__()
        self.first = torch.nn.LSTM(I, H, batch_first=True, dtype=torch.float64)
        self.again = self.first
        self.unseen = [self.first]
        self.stack = torch.nn.Sequential(torch.nn.Identity(), torch.nn.RNN(H, H, dtype=torch.float64))
        self.gru = torch.nn.GRU(H, H, 2, dropout=0.0, dtype=torch.float64).eval()
        self.gru.weight_hh_l0.requires_grad_(False)
        self.own = Subclass(H, H, dtype=torch.float64)

    def forward(self, x: Any) -> Any:
        y = self.first(x)[0] + self.again(x)[0] + self.unseen[0](x)[0]
        return self.own(self.gru(self.stack(y)[0])[0])


class TestReplace:
    def test_users_attributes_do_not_collide(self) -> None:
        class Own(LSTM):  # type: ignore[misc, valid-type]
            def __init__(self) -> None:
                super().__init__(I, H, dtype=torch.float64)
                self.cell = torch.nn.Linear(H, 2, dtype=torch.float64)
                self.layer = self.original = self.options = self.engine = self.weights = None

            def forward(self, x: Any, hx: Any = None) -> Any:
                return self.cell(super().forward(x, hx)[0])

        module = Own()
        x = x_of()
        y = module(x)
        assert y.shape == (T, B, 2)
        assert torch.equal(copy.deepcopy(module)(x), y)
        assert replace(torch.nn.Sequential(module))[0] is module

    def test_a_model_trains_as_before(self) -> None:
        model = Model()
        reference = copy.deepcopy(model)
        optimizer, other = (torch.optim.Adam(m.parameters(), 0.01) for m in (model, reference))
        calls: list[str] = []
        model.first.register_forward_hook(lambda *_: calls.append("hook"))
        with pytest.warns(UserWarning, match=r"own \(Subclass\)"):
            assert replace(model) is model
        classes = {name: type(part) for name, part in model.named_modules(remove_duplicate=False)}
        assert classes["first"] is classes["again"] is LSTM
        assert classes["gru"] is GRU
        assert classes["stack.1"] is RNN
        assert classes["own"] is Subclass
        assert not model.gru.training
        assert model.first is model.again
        x = x_of(B, T, I)
        for _ in range(3):
            for m, o in ((model, optimizer), (reference, other)):
                o.zero_grad()
                y, _ = m(x)
                y.square().sum().backward()
                o.step()
        assert calls == ["hook"] * 9
        for (name, p), q in zip(model.named_parameters(), reference.parameters(), strict=True):
            torch.testing.assert_close(p, q, rtol=1e-9, atol=1e-9, msg=name)
            assert p.requires_grad == q.requires_grad
        assert in_one_buffer(model.first)

    def test_a_module_itself_and_twice(self) -> None:
        theirs, _ = pair("GRU")
        before = {name: value.clone() for name, value in theirs.state_dict().items()}
        ours = replace(theirs)
        assert type(ours) is GRU
        assert replace(ours) is ours
        assert all(torch.equal(value, before[name]) for name, value in ours.state_dict().items())
        with pytest.raises(TypeError, match="Fix"):
            replace([theirs])

    def test_weights_that_hooks_and_parametrizations_compute(self) -> None:
        norm = torch.nn.utils.parametrizations.weight_norm
        for change in (
            lambda m: prune.l1_unstructured(m, "weight_ih_l0", 0.5),
            lambda m: norm(m, "weight_hh_l0"),
        ):
            theirs, ours = pair("GRU")
            for module in (theirs, ours):
                change(module)
            assert_same(step(ours, x_of_seeded()), step(theirs, x_of_seeded()))
        theirs, other = pair("GRU")
        for module in (theirs, other):
            prune.l1_unstructured(module, "weight_ih_l0", 0.5)
        assert_same(step(replace(theirs), x_of_seeded()), step(other, x_of_seeded()))


def x_of_seeded() -> Any:
    torch.manual_seed(5)
    return x_of()


def test_the_default_device_does_not_matter() -> None:
    theirs, ours = pair(dropout=0.5)
    x = x_of()
    ours.eval()
    with torch.device("meta"):
        copied = copy.deepcopy(ours)
        results = step(copied, x)
        ours.train()
        assert ours(x)[0].device.type == "cpu"
    assert_same(results, step(theirs.eval(), x))


THREADS = """
import torch, bptt
from bptt.interop.torch import GRU, function

seen, suggest = [], function.suggest_threads
def watched(n):
    suggest(n)
    seen.append(bptt.get_num_threads())
function.suggest_threads = watched
default = bptt.get_num_threads()
torch.set_num_threads(3)
module = GRU(3, 4)
module(torch.ones(2, 1, 3))[0].sum().backward()
assert seen == [3, default] * 2, seen
with torch.no_grad():
    module(torch.ones(2, 1, 3))
assert seen[4:] == [3, default], seen
assert not bptt.runtime.threads_chosen()
bptt.set_num_threads(2)
module(torch.ones(2, 1, 3))
assert seen[6:] == [2, 2], seen
"""


def test_threads_are_pytorchs_unless_the_user_chose() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "BPTT_NUM_THREADS"}
    subprocess.run([sys.executable, "-c", THREADS], env=environment, check=True)


def test_the_layer_of_a_module_shares_its_parameters() -> None:
    module = LSTM(I, H, 2, dtype=torch.float64)
    layer = module.bptt_layer
    with torch.no_grad():
        module.weight_ih_l0.mul_(3)
    np.testing.assert_array_equal(layer.parameters["weight_ih_l0"], module.weight_ih_l0.detach().numpy())
    x = x_of()
    np.testing.assert_allclose(layer(x)[0], module(x)[0].detach().numpy(), rtol=0, atol=0)
    with pytest.raises(TypeError, match=r"bfloat16.*Fix"):
        _ = module.bfloat16().bptt_layer
