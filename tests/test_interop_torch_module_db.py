"""The inputs and errors of PyTorch's own list of modules, `module_db`, and the checks that PyTorch runs."""

from __future__ import annotations

import contextlib
import copy
import io
import itertools
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.torch_settings import dropin, tensors, torch

pytest.importorskip("expecttest", reason="PyTorch's list of modules needs expecttest")
pytestmark = [
    pytest.mark.usefixtures("one_torch_thread"),
    pytest.mark.filterwarnings("ignore:LSTM with projections is not supported with oneDNN"),
]

KINDS = ("RNN", "GRU", "LSTM", "RNNCell", "GRUCell", "LSTMCell")
DTYPES = (torch.float32, torch.float64)


class Entry:
    """One entry of the list. It makes our module instead of PyTorch's."""

    def __init__(self, kind: str, stride: int = 1) -> None:
        from torch.testing._internal.common_modules import module_db

        self.stride = stride
        """Distance of the samples that the checks use."""
        self.info = next(info for info in module_db if info.module_cls is getattr(torch.nn, kind))
        self.make = getattr(dropin, kind)

    def samples(self, dtype: Any, device: Any = "cpu", **options: Any) -> list[Any]:
        options = {"requires_grad": False, "training": True} | options
        torch.manual_seed(0)
        found = self.info.module_inputs_func(self.info, device=device, dtype=dtype, **options)
        return [sample for sample in found if sample.forward_input is not None][:: self.stride]

    def build(self, sample: Any, dtype: Any, **options: Any) -> Any:
        arguments = sample.constructor_input
        torch.manual_seed(1)
        return self.make(*arguments.args, **arguments.kwargs, **options).to(dtype)

    def modules(self, dtype: Any, stride: int = 1, **options: Any) -> Iterator[tuple[Any, tuple[Any, ...]]]:
        """Yield modules, and the arguments of a call of each."""
        for sample in self.samples(dtype, **options)[::stride]:
            assert not sample.forward_input.kwargs
            yield self.build(sample, dtype), sample.forward_input.args


def same(ours: Any, theirs: Any, **tolerances: float) -> None:
    for our, their in zip(flat(ours), flat(theirs), strict=True):
        torch.testing.assert_close(our, their, **tolerances)


def flat(value: Any) -> list[Any]:
    return [leaf for leaf in torch.utils._pytree.tree_leaves(value) if isinstance(leaf, torch.Tensor)]


def check_forward(entry: Entry) -> None:
    for dtype, training in itertools.product(DTYPES, (True, False)):
        for sample in entry.samples(dtype, training=training):
            module = entry.build(sample, dtype).train(training)
            arguments = sample.forward_input.args
            outputs = module(*arguments)
            same(outputs, sample.reference_fn(module, *arguments))
            module.to(torch.float64).to(dtype)
            same(module(*arguments), outputs)
            assert {parameter.dtype for parameter in module.parameters()} == {dtype}


def check_factory_arguments(entry: Entry) -> None:
    for dtype in (*DTYPES, torch.float16):
        for sample in entry.samples(torch.float32):
            arguments = sample.constructor_input
            module = entry.make(*arguments.args, **arguments.kwargs, device="cpu", dtype=dtype)
            assert {(p.device.type, p.dtype) for p in module.parameters()} == {("cpu", dtype)}


def check_repr(entry: Entry) -> None:
    for sample in entry.samples(torch.float32):
        arguments = sample.constructor_input
        theirs = entry.info.module_cls(*arguments.args, **arguments.kwargs)
        assert repr(entry.build(sample, torch.float32)) == repr(theirs) == str(theirs)


def check_saving(entry: Entry) -> None:
    """Pickles, deep copies, and files of whole modules and of state dicts."""
    for dtype in DTYPES:
        for module, arguments in entry.modules(dtype):
            outputs = module(*arguments)
            file = io.BytesIO()
            torch.save(module, file)
            file.seek(0)
            loaded = torch.load(file, weights_only=False)
            for other in (loaded, pickle.loads(pickle.dumps(module)), copy.deepcopy(module)):
                assert type(other) is type(module)
                same(other(*arguments), outputs, rtol=0, atol=0)
            state = module.state_dict()
            file = io.BytesIO()
            torch.save(state, file)
            file.seek(0)
            state_loaded = torch.load(file, weights_only=True)
            assert list(state_loaded) == list(state)
            same(state_loaded, state, rtol=0, atol=0)


def gradients(module: Any, arguments: Any, errors: Any) -> tuple[Any, Any]:
    """Return outputs, and the gradients of inputs and parameters."""
    outputs = flat(module(*arguments))
    leaves = [leaf for leaf in flat(arguments) if leaf.requires_grad]
    return outputs, torch.autograd.grad(outputs, [*leaves, *module.parameters()], errors)


def strided(value: Any) -> Any:
    """Return a copy with gaps in memory."""
    return torch.repeat_interleave(value, 2, -1)[..., ::2].detach().requires_grad_(value.requires_grad)


def check_non_contiguous(entry: Entry) -> None:
    for dtype in DTYPES:
        for module, arguments in entry.modules(dtype, requires_grad=True):
            errors = [torch.randn_like(output) for output in flat(module(*arguments))]
            expected = gradients(module, arguments, errors)
            sparse = torch.utils._pytree.tree_map(strided, arguments)
            assert not any(leaf.is_contiguous() for leaf in flat(sparse))
            for ours, their in itertools.product((arguments, sparse), (errors, list(map(strided, errors)))):
                same(gradients(module, ours, their), expected)


def check_memory_format(entry: Entry) -> None:
    """Outputs and gradients are contiguous."""
    for module, arguments in entry.modules(torch.float32, requires_grad=True):
        errors = [torch.rand_like(output) for output in flat(module(*arguments))]
        module.to(memory_format=torch.contiguous_format)
        for tensor in flat(gradients(module, arguments, errors)):
            assert tensor.is_contiguous()


def flat_function(module: Any, arguments: Any) -> tuple[Callable[..., Any], list[Any]]:
    """Return the module as a function of the tensors of its arguments and parameters, and these tensors."""
    leaves, structure = torch.utils._pytree.tree_flatten(arguments)

    def function(*values: Any) -> tuple[Any, ...]:
        return tuple(flat(module(*torch.utils._pytree.tree_unflatten(values[: len(leaves)], structure))))

    return function, [*leaves, *module.parameters()]


def check_gradients(entry: Entry) -> None:
    for number, (module, arguments) in enumerate(entry.modules(torch.float64, requires_grad=True)):
        function, values = flat_function(module, arguments)
        assert torch.autograd.gradcheck(function, values, nondet_tol=0.0, fast_mode=number > 0)
        parameters = list(module.parameters())
        module.requires_grad_(False)
        one = parameters[number % len(parameters)].requires_grad_()
        assert torch.autograd.gradcheck(function, values, nondet_tol=0.0, fast_mode=True)
        assert one.requires_grad


def check_second_derivatives(entry: Entry) -> None:
    for module, arguments in entry.modules(torch.float64, requires_grad=True):
        function, values = flat_function(module, arguments)
        assert torch.autograd.gradgradcheck(function, values, fast_mode=True)


def check_training_flag(entry: Entry) -> None:
    """Only modules with dropout read `training`."""
    for module, arguments in entry.modules(torch.float32):
        del module.training
        if not entry.info.train_and_eval_differ:
            module(*arguments)
            continue
        with contextlib.suppress(AttributeError):
            module(*arguments)


def check_meta_device(entry: Entry) -> None:
    for sample in entry.samples(torch.float32):
        arguments = sample.constructor_input
        with torch.device("meta"):
            module = entry.make(*arguments.args, **arguments.kwargs)
        expected = entry.build(sample, torch.float32)
        for meta, parameter in zip(module.parameters(), expected.parameters(), strict=True):
            assert meta.is_meta
            assert (meta.shape, meta.dtype, meta.stride()) == (
                parameter.shape,
                parameter.dtype,
                parameter.stride(),
            )
        module.to_empty(device="cpu").load_state_dict(expected.state_dict())
        same(module(*sample.forward_input.args), expected(*sample.forward_input.args), rtol=0, atol=0)


def check_errors(entry: Entry) -> None:
    for dtype in DTYPES:
        samples = entry.info.module_error_inputs_func(
            entry.info, device="cpu", dtype=dtype, requires_grad=False, training=True
        )
        for sample in samples:
            arguments, call = (
                sample.module_error_input.constructor_input,
                sample.module_error_input.forward_input,
            )
            with pytest.raises(sample.error_type, match=sample.error_regex):
                entry.make(*arguments.args, **arguments.kwargs)(*(() if call is None else call.args))


def check_conversions(entry: Entry) -> None:
    """Parameters are replaced, converted or swapped, with and without gradients."""
    for swap, with_gradients in itertools.product((False, True), repeat=2):
        torch.__future__.set_swap_module_params_on_conversion(swap)
        try:
            for module, arguments in entry.modules(torch.float32):
                expected = module(*arguments)
                for name, parameter in list(module.named_parameters()):
                    replacement = torch.nn.Parameter(parameter.detach().clone())
                    setattr(module, name, replacement)
                    if with_gradients:
                        replacement.grad = torch.randn_like(replacement)
                same(module(*arguments), expected, rtol=0, atol=0)
                if not with_gradients:
                    sum(output.sum() for output in flat(module(*arguments))).backward()
                before = list(module.parameters())
                module.to(torch.float64).to(torch.float32)
                for old, parameter in zip(before, module.parameters(), strict=True):
                    assert parameter.grad is not None
                    assert parameter.dtype == parameter.grad.dtype == torch.float32
                    assert old is parameter or not swap
                same(module(*arguments), expected, rtol=0, atol=0)
        finally:
            torch.__future__.set_swap_module_params_on_conversion(False)


CHECKS = {name[6:]: check for name, check in list(globals().items()) if name.startswith("check_")}


def run_checks(kind: str, stride: int, subtests: pytest.Subtests) -> None:
    entry = Entry(kind, stride)
    for name, check in CHECKS.items():
        with subtests.test(name):
            check(entry)


@pytest.mark.parametrize("kinds", [KINDS[:3], KINDS[3:]], ids=["modules", "cells"])
def test_modules_pass_the_checks_of_pytorch(kinds: tuple[str, ...], subtests: pytest.Subtests) -> None:
    """On every fifth sample, so that each option has each value."""
    for kind in kinds:
        run_checks(kind, 5, subtests)


@pytest.mark.grid
@pytest.mark.parametrize("kind", KINDS)
def test_modules_pass_the_checks_of_pytorch_on_all_samples(kind: str, subtests: pytest.Subtests) -> None:
    run_checks(kind, 1, subtests)


def test_packed_sequences_of_the_list(subtests: pytest.Subtests) -> None:
    """The list has packed inputs for RNN and GRU, which PyTorch's other tests use."""
    for kind in ("RNN", "GRU"):
        entry = Entry(kind)
        for sample in entry.samples(torch.float64, with_packed_sequence=True):
            theirs = entry.info.module_cls(**sample.constructor_input.kwargs).double()
            ours = entry.build(sample, torch.float64)
            ours.load_state_dict(theirs.state_dict())
            with subtests.test(kind, **sample.constructor_input.kwargs):
                arguments = sample.forward_input.args
                same(list(tensors(ours(*arguments))), list(tensors(theirs(*arguments))), rtol=0, atol=1e-10)
