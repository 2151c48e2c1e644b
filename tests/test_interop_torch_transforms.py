"""Tracers, compilers and transforms of PyTorch: a right result, or an error that says what to do."""

from __future__ import annotations

import importlib
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
from tests.torch_pairs import KINDS, assert_same, numbers, pair, run
from tests.torch_settings import dropin, tensors, torch

pytestmark = pytest.mark.usefixtures("one_torch_thread")
falls_back = pytest.mark.filterwarnings("ignore::bptt.interop.torch.FallbackWarning")


def outputs_of(module: Any, x: Any) -> list[Any]:
    return list(tensors(module(x)))


@falls_back
def test_second_derivatives(subtests: pytest.Subtests) -> None:
    """A gradient penalty: the loss contains the gradient of the inputs."""
    for kind in KINDS:
        with subtests.test(kind):
            results = []
            for module in pair(kind):
                x = numbers(kind).requires_grad_()
                loss = sum(output.square().sum() for output in outputs_of(module, x))
                (dx,) = torch.autograd.grad(loss, x, create_graph=True)
                (loss + dx.square().sum()).backward()
                results.append([dx.detach(), x.grad, *(p.grad for p in module.parameters())])
            assert_same(results[1], results[0])


@falls_back
def test_hessian_of_the_weights(subtests: pytest.Subtests) -> None:
    for kind in ("GRU", "LSTMCell"):
        with subtests.test(kind):
            results = []
            for module in pair(kind):
                x = numbers(kind)
                name, weight = next(iter(module.named_parameters()))

                def loss(value: Any, module: Any = module, name: str = name, x: Any = x) -> Any:
                    result = torch.func.functional_call(module, {name: value}, (x,))
                    return sum(output.square().sum() for output in tensors(result))

                results.append(torch.autograd.functional.hessian(loss, weight.detach()))
            assert_same(results[1:], results[:1])


def test_batched_gradients(subtests: pytest.Subtests) -> None:
    """`is_grads_batched=True`, `jacobian(vectorize=True)`, and gradients without memory."""
    for kind in KINDS:
        with subtests.test(kind):
            results = []
            for module in pair(kind):
                x = numbers(kind).requires_grad_()
                leaves = [x, *module.parameters()]
                first, *_ = outputs_of(module, x)
                batch = torch.stack([first.detach(), first.detach().sin()])
                grad = torch.autograd.grad
                found = list(grad(first, leaves, batch, is_grads_batched=True, retain_graph=True))
                zeros = torch._efficientzerotensor(first.shape, dtype=first.dtype)
                found += grad(first, leaves, zeros, retain_graph=True, allow_unused=True)
                jacobian = torch.autograd.functional.jacobian
                found.append(jacobian(lambda x, module=module: outputs_of(module, x)[0], x, vectorize=True))
                results.append(found)
                assert not any(each is not None and each.requires_grad for each in found)
            assert_same(results[1], results[0])


def test_batched_gradients_of_a_loop(subtests: pytest.Subtests) -> None:
    for kind in ("GRUCell", "LSTMCell"):
        with subtests.test(kind):
            results = []
            for module in pair(kind):
                x, state, outputs = numbers(kind).requires_grad_(), None, []
                for _ in range(3):
                    state = module(x, state)
                    outputs += tensors(state)
                loss = torch.stack([output.sum() for output in outputs])
                errors = torch.eye(len(loss), dtype=torch.float64)
                leaves = [x, *module.parameters()]
                results.append(list(torch.autograd.grad(loss, leaves, errors, is_grads_batched=True)))
            assert_same(results[1], results[0])


@falls_back
def test_gradients_by_torch_func(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        with subtests.test(kind):
            results = []
            for module in pair(kind):

                def loss(weights: Any, x: Any, module: Any = module) -> Any:
                    outputs = tensors(torch.func.functional_call(module, weights, (x,)))
                    return sum(output.square().sum() for output in outputs)

                weights = {name: value.detach() for name, value in module.named_parameters()}
                results.append(list(torch.func.grad(loss)(weights, numbers(kind)).values()))
            assert_same(results[1], results[0])


@falls_back
@pytest.mark.filterwarnings("ignore:There is a performance drop")
def test_vmap_raises_what_pytorch_raises() -> None:
    """PyTorch has no batching rule for its recurrent modules."""
    for kind in ("LSTM", "LSTMCell"):
        for module in pair(kind):
            with pytest.raises(RuntimeError, match="Batching rule not implemented"):
                torch.func.vmap(module)(torch.stack([numbers(kind, seed) for seed in range(3)]))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated")  # forward mode loads it
@falls_back
def test_forward_mode(subtests: pytest.Subtests) -> None:
    forward_ad = torch.autograd.forward_ad
    for kind in ("GRUCell", "LSTMCell", "RNNCell"):
        with subtests.test(kind):
            results = []
            for module in pair(kind):
                x = numbers(kind)
                with forward_ad.dual_level():
                    outputs = outputs_of(module, forward_ad.make_dual(x, x.cos()))
                    results.append([forward_ad.unpack_dual(output).tangent for output in outputs])
            assert_same(results[1], results[0])


@falls_back
def test_traced_modules(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        with subtests.test(kind), warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch.jit is deprecated, and traces with warnings
            theirs, ours = pair(kind)
            x = numbers(kind)
            with torch.no_grad():
                traced = torch.jit.trace(ours, (x,))
                assert_same(outputs_of(traced, 2 * x), outputs_of(theirs, 2 * x))


@falls_back
def test_exported_programs(subtests: pytest.Subtests) -> None:
    export = pytest.importorskip("torch.export")
    for kind in ("LSTM", "GRU", "LSTMCell"):
        with subtests.test(kind), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, ours = pair(kind)
            x = numbers(kind)
            program = export.export(ours, (x,))
            assert_same(outputs_of(program.module(), 2 * x), outputs_of(theirs, 2 * x))


def compiled(module: Any) -> Any:
    """Compile with the backend that needs no C++ compiler."""
    return torch.compile(module, backend="aot_eager")


@falls_back
def test_compiled_modules(subtests: pytest.Subtests) -> None:
    pytest.importorskip("torch._dynamo", exc_type=ImportError)
    for kind in ("LSTM", "LSTMCell", "GRUCell"):
        with subtests.test(kind), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            theirs, ours = pair(kind)
            x = numbers(kind)
            try:
                found = run(compiled(ours), x)
            finally:
                torch._dynamo.reset()
            assert_same(found, run(theirs, x))


def low_precision() -> Iterator[tuple[str, Any]]:
    yield "bfloat16", torch.bfloat16
    yield "float16", torch.float16


@falls_back
def test_other_dtypes_run_in_pytorch(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        for name, dtype in low_precision():
            with subtests.test(kind=kind, dtype=name):
                theirs, ours = (module.to(dtype) for module in pair(kind))
                x = numbers(kind).to(dtype)
                with torch.no_grad():
                    assert_same(outputs_of(ours, x), outputs_of(theirs, x), 0)


@falls_back
def test_autocast(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        with subtests.test(kind):
            theirs, ours = pair(kind, dtype=torch.float32)
            x = numbers(kind).float()
            with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
                found, expected = outputs_of(ours, x), outputs_of(theirs, x)
            assert [each.dtype for each in found] == [each.dtype for each in expected]
            assert_same([each.float() for each in found], [each.float() for each in expected], 0.05)


def test_a_fallback_of_a_cell_warns_once_and_names_the_reason() -> None:
    fallback = importlib.import_module("bptt.interop.torch.fallback")
    fallback.forget_warnings()
    ours = pair("GRUCell")[1].to(torch.bfloat16)
    x = numbers("GRUCell").to(torch.bfloat16)
    with pytest.warns(
        dropin.FallbackWarning, match=r"GRUCell runs.*a tensor of dtype torch.bfloat16"
    ) as seen:
        outputs_of(torch.nn.Sequential(ours, torch.nn.Identity()), x)
    assert len(seen) == 1
    ours(x)  # a second warning would be an error


class OneStep(torch.nn.Module):
    """A cell with its state as an argument, for torch.fx."""

    def __init__(self, cell: Any) -> None:
        super().__init__()
        self.cell = cell

    def forward(self, x: Any, hx: Any) -> Any:
        return self.cell(x, hx)


def test_fx_records_a_cell_as_one_call() -> None:
    symbolic_trace = importlib.import_module("torch.fx").symbolic_trace
    for kind in ("LSTMCell", "GRUCell", "RNNCell"):
        theirs, ours = pair(kind)
        x, state = numbers(kind), theirs(numbers(kind))
        traced = symbolic_trace(OneStep(ours))
        assert [node.op for node in traced.graph.nodes].count("call_module") == 1
        assert_same(list(tensors(traced(x, state))), list(tensors(theirs(x, state))))
