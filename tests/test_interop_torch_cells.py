"""Cells: one time step, in loops that backpropagate through many steps, with PyTorch's results and errors."""

from __future__ import annotations

import gc
import importlib
import inspect
import weakref
from typing import Any

import numpy as np
import pytest
from tests.torch_pairs import assert_same, pair
from tests.torch_settings import dropin, each, tensors, torch

pytestmark = pytest.mark.usefixtures("one_torch_thread")

KINDS = ("LSTMCell", "GRUCell", "RNNCell")
SETTINGS = 120


def draw(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Draw a cell, and how it is called."""
    rng = np.random.default_rng(seed)
    kind = KINDS[seed % 3]
    cell: dict[str, Any] = {
        "kind": kind,
        "input_size": int(rng.integers(1, 20)),
        "hidden_size": int(rng.integers(1, 20)),
        "bias": bool(rng.random() < 0.7),
    }
    if kind == "RNNCell" and rng.random() < 0.5:
        cell["nonlinearity"] = "relu"
    call = {
        "batch": (int(rng.integers(0, 6)),) if rng.random() < 0.8 else (),
        "steps": int(rng.integers(1, 6)),
        "with_state": bool(rng.random() < 0.6),
        "strided": bool(rng.random() < 0.4),
        "input_grad": bool(rng.random() < 0.6),
        "state_grad": bool(rng.random() < 0.6),
        "frozen": bool(rng.random() < 0.2),
        "every": bool(rng.random() < 0.5),
        "seed": seed,
    }
    return cell, call


def build(cell: dict[str, Any], namespace: Any) -> Any:
    options = dict(cell)
    torch.manual_seed(0)
    module = getattr(namespace, options.pop("kind"))(**options, dtype=torch.float64)
    for parameter in module.parameters():
        torch.nn.init.uniform_(parameter, -0.5, 0.5)
    return module


def run_loop(module: Any, call: dict[str, Any]) -> list[Any]:
    """Run some steps, and return states and all gradients."""
    torch.manual_seed(call["seed"])

    def numbers(*shape: int) -> Any:
        if not call["strided"]:
            return torch.randn(shape, dtype=torch.float64)
        if call["seed"] % 2:  # PyTorch has not computed the minus of an imaginary part yet
            return torch.view_as_complex(torch.randn((*shape, 2), dtype=torch.float64)).conj().imag
        return torch.randn((*shape[:-1], 2 * shape[-1]), dtype=torch.float64)[..., ::2]

    x = numbers(call["steps"], *call["batch"], module.input_size).requires_grad_(call["input_grad"])
    parts = 2 if isinstance(module, torch.nn.LSTMCell) else 1
    first = [
        numbers(*call["batch"], module.hidden_size).requires_grad_(call["state_grad"]) for _ in range(parts)
    ]
    if call["frozen"]:
        module.weight_hh.requires_grad_(False)
    state: Any = (tuple(first) if parts == 2 else first[0]) if call["with_state"] else None
    outputs: list[Any] = []
    for x_t in x:
        state = module(x_t, state)
        outputs += tensors(state)
    used = outputs if call["every"] else outputs[-parts:]
    sum((output * numbers(*output.shape)).sum() for output in used).backward()
    return [*outputs, x.grad, *(each.grad for each in first), *(each.grad for each in module.parameters())]


def test_random_loops_agree_with_pytorch() -> None:
    for seed in range(SETTINGS):
        cell, call = draw(seed)
        theirs, ours = build(cell, torch.nn), build(cell, dropin)
        ours.load_state_dict(theirs.state_dict())
        try:
            assert_same(run_loop(ours, call), run_loop(theirs, call))
        except Exception as error:
            raise AssertionError(f"{cell}, {call}: {error}") from error


@each(KINDS)
def test_a_hundred_steps_in_float32(kind: str) -> None:
    """Inputs that depend on the last state, as of a decoder, and a loss at every step."""
    theirs, ours = pair(kind, dtype=torch.float32)
    results = []
    for module in (theirs, ours):
        torch.manual_seed(0)
        readout = torch.nn.Linear(module.hidden_size, module.input_size)
        x, state, loss = torch.randn(6, module.input_size), None, 0.0
        for _ in range(100):
            state = module(x, state)
            x = readout(next(tensors(state)))
            loss = loss + x.square().mean()
        loss.backward()
        parameters = [*module.parameters(), *readout.parameters()]
        results.append([loss, *(parameter.grad for parameter in parameters)])
    for our, their in zip(*reversed(results), strict=True):
        torch.testing.assert_close(our, their, rtol=2e-5, atol=2e-5)


@each(KINDS)
def test_gradients_equal_finite_differences(kind: str) -> None:
    _, ours = pair(kind)
    x = torch.randn(3, 2, 3, dtype=torch.float64, requires_grad=True)
    first = [
        torch.randn(2, 4, dtype=torch.float64, requires_grad=True) for _ in range(1 + (kind == "LSTMCell"))
    ]

    def loop(x: Any, *values: Any) -> Any:
        state: Any = values[:2] if kind == "LSTMCell" else values[0]
        for x_t in x:
            state = ours(x_t, state)
        return tuple(tensors(state))

    assert torch.autograd.gradcheck(loop, [x, *first, *ours.parameters()])


@each(KINDS)
def test_several_backward_passes_of_one_loop(kind: str) -> None:
    """Truncated backpropagation, losses in pieces, gradients of some tensors, and accumulation."""
    results = []
    for module in pair(kind):
        torch.manual_seed(0)
        x = torch.randn(8, 2, 3, dtype=torch.float64, requires_grad=True)
        states, detached, state = [], None, None
        for step, x_t in enumerate(x):
            if step == 4:
                state = [each.detach().requires_grad_() for each in tensors(state)]
                detached = state
                state = tuple(state) if len(state) == 2 else state[0]
            state = module(x_t, state)
            states.append([each.square().sum() for each in tensors(state)])
        losses = [sum(each) for each in states]
        found = [*torch.autograd.grad(losses[2], [x], retain_graph=True)]
        found += torch.autograd.grad(losses[2], list(module.parameters()), retain_graph=True)
        found += torch.autograd.grad(losses[7], [module.weight_hh, *detached], retain_graph=True)
        losses[7].backward()
        losses[1].backward(retain_graph=True)
        losses[3].backward()
        with torch.no_grad():  # a later loop with other weights adds to the same gradients
            module.weight_ih.mul_(0.9)
        module(x[0].detach(), None)
        sum(each.sum() for each in tensors(module(x[1].detach()))).backward()
        results.append([*found, x.grad, *(each.grad for each in module.parameters())])
    assert_same(results[1], results[0])


@each(KINDS)
def test_reentrant_and_nested_backward_passes(kind: str) -> None:
    """A checkpoint recomputes steps inside of a backward pass."""
    checkpoint = torch.utils.checkpoint.checkpoint
    for reentrant in (False, True):
        results = []
        for module in pair(kind):
            torch.manual_seed(0)
            x = torch.randn(6, 2, 3, dtype=torch.float64, requires_grad=True)

            def half(x: Any, *state: Any, module: Any = module) -> Any:
                last: Any = None if not state else state if len(state) == 2 else state[0]
                for x_t in x:
                    last = module(x_t, last)
                return tuple(tensors(last))

            middle = checkpoint(half, x[:3], use_reentrant=reentrant)
            ends = checkpoint(half, x[3:], *middle, use_reentrant=reentrant)
            sum(each.square().sum() for each in ends).backward()
            results.append([x.grad, *(each.grad for each in module.parameters())])
        assert_same(results[1], results[0])


@each(KINDS)
def test_second_derivatives_of_a_loop(kind: str) -> None:
    """Inputs and states depend on each other and on the weights, and no path counts twice."""
    results = []
    for module in pair(kind):
        torch.manual_seed(0)
        x = torch.randn(2, 3, dtype=torch.float64, requires_grad=True)
        state, value = None, x
        for _ in range(3):
            state = module(value, state)
            value = x + next(tensors(state))[:, :3]
        leaves = [x, *module.parameters()]
        first = torch.autograd.grad(value.square().sum(), leaves, create_graph=True)
        sum(each.square().sum() for each in first).backward()
        results.append([*(each.detach() for each in first), *(leaf.grad for leaf in leaves)])
    assert_same(results[1], results[0])


def test_graphs_are_freed() -> None:
    """Neither a finished nor an abandoned loop is kept, with its tapes."""
    for kind in KINDS:
        _, ours = pair(kind)
        for finished in (True, False):
            x = torch.randn(2, 3, dtype=torch.float64)
            gone = weakref.ref(x)
            state = None
            for _ in range(3):
                state = ours(x, state)
            if finished:
                sum(each.sum() for each in tensors(state)).backward()
            gc.disable()
            try:
                del x, state
                assert gone() is None
            finally:
                gc.enable()


@each(KINDS)
def test_frozen_cells_pack_their_weights_once(kind: str) -> None:
    _, ours = pair(kind)
    x = torch.randn(2, 3, dtype=torch.float64)

    def outputs() -> list[Any]:
        with torch.no_grad():
            return list(tensors(ours(x)))

    before = outputs()
    with dropin.frozen(torch.nn.Sequential(ours)):
        assert_same(outputs(), before, 0)
        ours.weight_ih.data.mul_(2)
        assert_same(outputs(), before, 0)  # PyTorch does not count this change
        with torch.no_grad():
            ours.weight_hh.mul_(1)
        assert not torch.equal(outputs()[0], before[0])
    ours.weight_ih.data.mul_(0.5)
    assert_same(outputs(), before, 0)


@each(KINDS)
def test_without_the_internals_of_pytorch_every_step_returns_its_gradients(kind: str) -> None:
    engine = importlib.import_module("bptt.interop.torch.cell_engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engine, "SUMS", False)
        for seed in range(30):
            cell, call = draw(3 * seed + KINDS.index(kind))
            theirs, ours = build(cell, torch.nn), build(cell, dropin)
            ours.load_state_dict(theirs.state_dict())
            assert_same(run_loop(ours, call), run_loop(theirs, call))


def test_a_cell_is_freed_as_soon_as_nothing_refers_to_it() -> None:
    for kind in KINDS:
        _, ours = pair(kind)
        sum(each.sum() for each in tensors(ours(torch.randn(2, 3, dtype=torch.float64)))).backward()
        gone = weakref.ref(ours)
        gc.disable()
        try:
            del ours
            assert gone() is None
        finally:
            gc.enable()


def test_another_nonlinearity_counts_in_the_next_call() -> None:
    theirs, ours = pair("RNNCell")
    x = torch.randn(2, 3, dtype=torch.float64)
    for module in (theirs, ours):
        module(x)
        module.nonlinearity = "relu"
    assert_same([ours(x)], [theirs(x)])


@each(KINDS)
def test_weights_get_another_dtype_between_two_passes(kind: str) -> None:
    """Through `parameter.data`, which PyTorch does not count, and after a pass without backward."""
    results = []
    for module in pair(kind):
        torch.manual_seed(0)
        x = torch.randn(2, 3, dtype=torch.float64)
        for dtype in (torch.float32, torch.float64):
            module(x.to(module.weight_ih.dtype))
            for parameter in module.parameters():
                parameter.data = parameter.data.to(dtype)
            sum(each.square().sum() for each in tensors(module(x.to(dtype)))).backward()
            results.append([parameter.grad for parameter in module.parameters()])
            assert {parameter.grad.dtype for parameter in module.parameters()} == {dtype}
            module.zero_grad()
    assert_same(results[2], results[0], 1e-6)
    assert_same(results[3], results[1])


def test_failed_backward_passes_keep_no_memory() -> None:
    for kind in KINDS:
        _, ours = pair(kind)
        size = sum(parameter.numel() for parameter in ours.parameters())

        def fail(gradient: Any) -> None:
            raise ArithmeticError

        def count(size: int = size) -> int:
            return sum(type(each) is torch.Tensor and each.numel() == size for each in gc.get_objects())

        counts = []
        for _ in range(3):
            state = first = ours(torch.randn(2, 3, dtype=torch.float64))
            next(tensors(first)).register_hook(fail)
            state = ours(torch.randn(2, 3, dtype=torch.float64), state)
            with pytest.raises(ArithmeticError):
                sum(each.sum() for each in tensors(state)).backward()
            del state, first
            counts.append(count())
        assert counts[2] == counts[1], kind


BAD_CALLS = {
    "input of rank 3": lambda n: ((n(1, 2, 3), None), "input to be 1D or 2D, got 3D"),
    "input width": lambda n: ((n(2, 4), None), r"input_size: got 4 expected 3.*shape \(2, 3\)"),
    "state of rank 1": lambda n: ((n(2, 3), n(4)), r"to be 2D, because input has the shape \(2, 3\); got 1D"),
    "state of rank 2, unbatched input": lambda n: ((n(3), n(1, 4)), "to be 1D, because input has the shape"),
    "state of rank 4": lambda n: ((n(2, 3), n(2, 1, 1, 4)), "to be 1D or 2D, got 4D"),
    "state width": lambda n: ((n(2, 3), n(2, 5)), r"hidden_size: got 5, expected 4.*shape \(2, 4\)"),
    "state rows": lambda n: ((n(2, 3), n(3, 4)), "batch size 2 doesn't match hidden. batch size 3"),
    "one state row for many": lambda n: ((n(2, 3), n(1, 4)), "batch size 2 doesn't match"),
    "input dtype": lambda n: (
        (n(2, 3).float(), None),
        r"dtype of the weights, torch.float64; got torch.float32",
    ),
    "state dtype": lambda n: ((n(2, 3), n(2, 4).float()), r"dtype of the weights.*got torch.float32"),
    "no tensor": lambda n: ((n(2, 3).numpy(), None), "input must be a torch.Tensor; got ndarray"),
    "no state tensor": lambda n: ((n(2, 3), 0.0), "must be a torch.Tensor; got float"),
}


@each(KINDS)
def test_wrong_arguments_raise_and_change_nothing(kind: str, subtests: pytest.Subtests) -> None:
    """Some of these calls end the process in PyTorch 2.13. Every message says what to pass."""
    _, ours = pair(kind)

    def numbers(*shape: int) -> Any:
        return torch.zeros(shape, dtype=torch.float64)

    before = [each.clone() for each in ours.parameters()]
    for name, bad in BAD_CALLS.items():
        (x, state), message = bad(numbers)
        calls = [(x, state)]
        if kind == "LSTMCell" and state is not None:
            good = numbers(*x.shape[:-1], 4)
            calls = [(x, (state, good)), (x, (good, state)), (x, [state, state])]
        for arguments in calls:
            with (
                subtests.test(name),
                pytest.raises((TypeError, ValueError, RuntimeError), match=message) as raised,
            ):
                ours(*arguments)
            assert "Fix: pass" in str(raised.value)
    assert_same(list(ours.parameters()), before, 0)


def test_states_that_are_no_pair_raise() -> None:
    _, ours = pair("LSTMCell")
    x = torch.zeros(2, 3, dtype=torch.float64)
    h = torch.zeros(2, 4, dtype=torch.float64)
    for state, got in (
        (h, "Tensor"),
        ((h,), "1 entries"),
        ((h, h, h), "3 entries"),
        ((h, None), "2 entries"),
    ):
        with pytest.raises(
            TypeError, match=rf"hx must be a pair \(h, c\) of tensors, or None; got {got}. Fix"
        ):
            ours(x, state)


def test_constructors_name_pytorchs_arguments() -> None:
    for kind in KINDS:
        theirs, ours = (inspect.signature(getattr(namespace, kind)) for namespace in (torch.nn, dropin))
        assert [(each.name, each.default) for each in ours.parameters.values()] == [
            (each.name, each.default) for each in theirs.parameters.values()
        ]


@pytest.mark.filterwarnings("ignore::bptt.interop.torch.FallbackWarning")
def test_cells_without_units_and_rows() -> None:
    """PyTorch accepts them."""
    for kind in KINDS:
        for sizes in ((0, 3), (3, 0), (3, 4)):
            theirs, ours = (getattr(namespace, kind)(*sizes) for namespace in (torch.nn, dropin))
            ours.load_state_dict(theirs.state_dict())
            for rows in (0, 2):
                x = torch.randn(rows, sizes[0])
                assert_same(list(tensors(ours(x))), list(tensors(theirs(x))), 1e-6)


def test_a_loop_makes_one_gradient_tensor_for_each_weight() -> None:
    """All steps of a backward pass add to one vector, whose parts are the gradients."""
    for kind in KINDS:
        _, ours = pair(kind)
        state = None
        for _ in range(4):
            state = ours(torch.randn(2, 3, dtype=torch.float64), state)
        sum(each.sum() for each in tensors(state)).backward()
        memory = {parameter.grad.untyped_storage().data_ptr() for parameter in ours.parameters()}
        assert len(memory) == 1
