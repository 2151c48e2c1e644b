"""What users do with modules besides training them: copies, files, hooks, functional calls, utilities."""

from __future__ import annotations

import copy
import io
import pickle
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.torch_pairs import KINDS, assert_same, numbers, pair, run
from tests.torch_settings import dropin, each, tensors, torch
from torch.nn.utils import parametrizations, parametrize, prune

pytestmark = pytest.mark.usefixtures("one_torch_thread")


def through_file(module: Any) -> Any:
    file = io.BytesIO()
    torch.save(module, file)
    file.seek(0)
    return torch.load(file, weights_only=False)


def through_state_dict(module: Any, **options: Any) -> Any:
    file = io.BytesIO()
    torch.save(module.state_dict(), file)
    file.seek(0)
    other = copy.deepcopy(module)
    for parameter in other.parameters():
        torch.nn.init.zeros_(parameter)
    other.load_state_dict(torch.load(file, weights_only=True, mmap=False), **options)
    return other


COPIES: dict[str, Callable[[Any], Any]] = {
    "deepcopy": copy.deepcopy,
    "pickle": lambda module: pickle.loads(pickle.dumps(module)),
    "torch.save": through_file,
    "state_dict": through_state_dict,
    "assigned state_dict": lambda module: through_state_dict(module, assign=True),
    "in a model": lambda module: copy.deepcopy(torch.nn.ModuleList([module]))[0],
}


@each(KINDS)
def test_copies_compute_the_same_and_are_independent(kind: str, subtests: pytest.Subtests) -> None:
    x = numbers(kind)
    for name, copied in COPIES.items():
        with subtests.test(name):
            _, ours = pair(kind)
            ours(x)
            other = copied(ours)
            assert type(other) is type(ours)
            expected = run(ours, x)
            assert_same(run(other, x), expected, 0)
            torch.optim.SGD(other.parameters(), 0.1).step()
            assert_same(run(ours, x), expected, 0)
            assert not torch.equal(run(other, x)[0], expected[0])


@each(KINDS)
def test_entries_of_a_state_dict_have_storages_of_their_own(kind: str) -> None:
    """Libraries that write files look at them. The memory is that of the parameters."""
    theirs, ours = pair(kind)
    state = ours.state_dict()
    storages = [entry.untyped_storage() for entry in state.values()]
    assert [each.nbytes() for each in storages] == [entry.nbytes for entry in theirs.state_dict().values()]
    assert len({each.data_ptr() for each in storages}) == len(storages)
    assert [p.data_ptr() for p in ours.parameters()] == [entry.data_ptr() for entry in state.values()]
    for network in (theirs, ours):
        for entry in network.state_dict().values():
            entry.mul_(2.0)
    assert_same(run(ours, numbers(kind)), run(theirs, numbers(kind)))
    assert len(pickle.dumps(state)) < 1.2 * len(pickle.dumps(theirs.state_dict()))


@each(KINDS)
def test_state_dicts_load_both_ways(kind: str) -> None:
    theirs, ours = pair(kind)
    x = numbers(kind)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    torch.optim.SGD(ours.parameters(), 0.1).zero_grad()
    run(ours, x)
    torch.optim.SGD(ours.parameters(), 0.1).step()
    theirs.load_state_dict(ours.state_dict())
    assert_same(run(ours, x), run(theirs, x))
    with pytest.raises(RuntimeError, match=r"Missing key.*bias_hh"):
        ours.load_state_dict(
            {name: value for name, value in ours.state_dict().items() if "bias_hh" not in name}
        )
    assert_same(run(ours, x), run(theirs, x))


WRITES: dict[str, Callable[[Any], None]] = {
    "in place": lambda parameter: parameter.mul_(0.5),
    "data": lambda parameter: parameter.data.mul_(0.5),
    "data assigned": lambda parameter: setattr(parameter, "data", parameter.data * 0.5),
    "strided data assigned": lambda p: setattr(p, "data", torch.stack([p.data * 0.5] * 2, -1)[..., 0]),
    "NumPy": lambda parameter: parameter.detach().numpy().__imul__(0.5),
    "set_": lambda parameter: parameter.data.set_(parameter.data * 0.5),
}


@each(KINDS)
def test_every_way_to_write_weights_counts(kind: str, subtests: pytest.Subtests) -> None:
    x = numbers(kind)
    for name, write in WRITES.items():
        with subtests.test(name):
            theirs, ours = pair(kind)
            run(ours, x)
            for module in (theirs, ours):
                with torch.no_grad():
                    for parameter in module.parameters():
                        write(parameter)
            assert_same(run(ours, x), run(theirs, x))


def test_weights_written_between_forward_and_backward_raise(subtests: pytest.Subtests) -> None:
    """As in PyTorch: the gradient would belong to neither network."""
    for kind in KINDS:
        for module in pair(kind):
            with subtests.test(kind=kind, module=type(module).__module__):
                x = numbers(kind).requires_grad_()
                loss = sum(output.sum() for output in tensors(module(x)))
                with torch.no_grad():
                    next(module.parameters()).add_(1)
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    loss.backward()


def test_inputs_written_between_forward_and_backward_raise(subtests: pytest.Subtests) -> None:
    for kind in KINDS:
        for module in pair(kind):
            with subtests.test(kind=kind, module=type(module).__module__):
                x = numbers(kind)
                loss = sum(output.sum() for output in tensors(module(x)))
                x.zero_()
                with pytest.raises(RuntimeError, match="modified by an inplace operation"):
                    loss.backward()


@each(KINDS)
def test_outputs_written_in_place_before_backward_leave_the_gradients_right(kind: str) -> None:
    """Outputs belong to the user, and no backward pass reads them."""
    theirs, ours = pair(kind)
    x = numbers(kind)
    expected = run(theirs, x)[-len(list(theirs.parameters())) :]

    outputs = list(tensors(ours(x)))
    loss = sum((output.detach().cos() * output).sum() for output in outputs)
    with torch.no_grad():
        for output in outputs:
            output.zero_()
    loss.backward()
    assert_same([parameter.grad for parameter in ours.parameters()], expected)


def test_hooks_of_saved_tensors_decide_what_a_pass_keeps(subtests: pytest.Subtests) -> None:
    """The tape is not kept with `torch.utils.checkpoint`, and gradients are those of the saved weights."""
    for kind in KINDS:
        with subtests.test(kind):
            results = []
            for module in pair(kind):
                x = numbers(kind).requires_grad_()
                with torch.autograd.graph.saved_tensors_hooks(torch.clone, torch.clone):
                    y = next(tensors(module(x * 1)))
                assert getattr(y.grad_fn, "tape", None) is None
                with torch.no_grad():
                    for parameter in module.parameters():
                        parameter.mul_(2.0)
                y.square().sum().backward(retain_graph=True)
                y.sum().backward()
                results.append([x.grad, *(parameter.grad for parameter in module.parameters())])
            assert_same(results[1], results[0])


def test_checkpoints_repeat_the_masks() -> None:
    module = dropin.GRU(3, 4, num_layers=2, dropout=0.5, dtype=torch.float64)
    x = torch.randn(5, 2, 3, dtype=torch.float64, requires_grad=True)
    gradients = []
    for call in (torch.utils.checkpoint.checkpoint, lambda module, x, use_reentrant: module(x)):
        torch.manual_seed(0)
        y, _ = call(module, x, use_reentrant=False)
        gradients.append(torch.autograd.grad(y.square().sum(), [x, *module.parameters()]))
    assert_same(list(gradients[0]), list(gradients[1]))


@each(KINDS)
def test_backward_twice_and_partly(kind: str) -> None:
    theirs, ours = pair(kind)
    found = []
    for module in (theirs, ours):
        x = numbers(kind).requires_grad_()
        outputs = list(tensors(module(x)))
        loss = sum(output.square().sum() for output in outputs)
        loss.backward(retain_graph=True)
        loss.backward(retain_graph=True)
        first = torch.autograd.grad(loss, x, retain_graph=True)
        some = torch.autograd.grad(loss, list(module.parameters())[:1], retain_graph=True)
        loss.backward()
        found.append([*first, *some, x.grad, *(p.grad for p in module.parameters())])
        with pytest.raises(RuntimeError, match="backward through the graph a second time"):
            loss.backward()
    assert_same(found[1], found[0])


@each(KINDS)
def test_hooks_see_what_pytorch_shows_them(kind: str) -> None:
    seen: list[list[Any]] = [[], []]
    for log, module in zip(seen, pair(kind), strict=True):
        module.register_forward_pre_hook(lambda _, x, log=log: log.append(x[0]))
        module.register_forward_hook(lambda _, x, y, log=log: log.extend(tensors(y)))
        module.register_full_backward_hook(
            lambda _, dx, dy, log=log: log.extend(each for each in (*dx, *dy) if each is not None)
        )
        for parameter in module.parameters():
            parameter.register_hook(lambda gradient, log=log: log.append(gradient.clone()))
            parameter.register_post_accumulate_grad_hook(lambda p, log=log: log.append(p.grad.clone()))
        x = numbers(kind).requires_grad_()
        first = next(tensors(module(x)))
        first.register_hook(lambda gradient, log=log: log.append(gradient.clone()))
        first.square().sum().backward()
    ours, theirs = (sorted(log, key=lambda each: (each.shape, each.sum().item())) for log in reversed(seen))
    assert_same(ours, theirs)


def test_hooks_may_change_inputs_outputs_and_gradients() -> None:
    for kind in KINDS:
        results = []
        for module in pair(kind):
            module.register_forward_pre_hook(lambda _, x: (2 * x[0],))
            next(module.parameters()).register_hook(lambda gradient: 3 * gradient)
            results.append(run(module, numbers(kind)))
        assert_same(results[1], results[0])


@each(KINDS)
def test_frozen_parameters_get_no_gradient(kind: str) -> None:
    results = []
    for module in pair(kind):
        for name, parameter in module.named_parameters():
            parameter.requires_grad_("hh" in name)
        results.append(run(module, numbers(kind)))
        module.requires_grad_(False)
        results.append(run(module, numbers(kind)))
        assert not any(output.requires_grad for output in tensors(module(numbers(kind))))
    assert_same(results[2], results[0])
    assert_same(results[3], results[1])


@each(KINDS)
def test_functional_call_uses_other_weights(kind: str) -> None:
    theirs, ours = pair(kind)
    x = numbers(kind)
    before = run(ours, x)
    results = []
    for module in (theirs, ours):
        weights = {name: (0.5 * value.detach()).requires_grad_() for name, value in module.named_parameters()}
        outputs = list(tensors(torch.func.functional_call(module, weights, (x,))))
        sum(output.square().sum() for output in outputs).backward()
        results.append([*outputs, *(weight.grad for weight in weights.values())])
    assert_same(results[1], results[0])
    assert_same(run(ours, x), before, 0)


def swapped_weights(kind: str) -> Iterator[tuple[str, Callable[[Any], Any]]]:
    name = "weight_hh" if kind.endswith("Cell") else "weight_hh_l1"

    class Symmetric(torch.nn.Module):
        def forward(self, weight: Any) -> Any:
            return weight + weight.flip(0)

    yield "parametrize", lambda module: parametrize.register_parametrization(module, name, Symmetric())
    yield "weight_norm", lambda module: parametrizations.weight_norm(module, name)
    yield "spectral_norm", lambda module: parametrizations.spectral_norm(module, name)
    yield "prune", lambda module: prune.l1_unstructured(module, name, 0.4)


def test_utilities_that_compute_weights(subtests: pytest.Subtests) -> None:
    """Parametrizations, norms and pruning compute a weight from other parameters."""
    for kind in KINDS:
        x = numbers(kind)
        for name, apply in swapped_weights(kind):
            with subtests.test(kind=kind, utility=name):
                theirs, ours = pair(kind)
                for module in (theirs, ours):
                    torch.manual_seed(0)
                    apply(module)
                    module.eval()
                assert_same(run(ours, x), run(theirs, x))
                stepped = []
                for module in (theirs, ours):
                    torch.optim.SGD(module.parameters(), 0.1).step()
                    stepped.append(run(module, x))
                assert_same(stepped[1], stepped[0])
                assert not torch.equal(stepped[0][0], run(pair(kind)[1], x)[0])


@each(KINDS)
def test_vector_to_parameters_and_tied_weights(kind: str) -> None:
    theirs, ours = pair(kind)
    x = numbers(kind)
    for module in (theirs, ours):
        vector = torch.nn.utils.parameters_to_vector(module.parameters())
        torch.nn.utils.vector_to_parameters(vector * 0.5, module.parameters())
    assert_same(run(ours, x), run(theirs, x))
    bias = "bias_hh" if kind.endswith("Cell") else "bias_hh_l0"
    for module in (theirs, ours):  # both biases are one parameter
        setattr(module, bias.replace("hh", "ih"), getattr(module, bias))
    assert len(list(ours.parameters())) == len(list(theirs.parameters()))
    assert_same(run(ours, x), run(theirs, x))
