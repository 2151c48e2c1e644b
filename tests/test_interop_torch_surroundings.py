"""Where modules are called: processes, threads, replicas, modes of autograd, and arguments at the edge."""

from __future__ import annotations

import multiprocessing
import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.torch_pairs import HIDDEN, INPUTS, KINDS, assert_same, numbers, pair, run
from tests.torch_settings import each, tensors, torch

pytestmark = pytest.mark.usefixtures("one_torch_thread")


@pytest.mark.filterwarnings("ignore:os.fork")  # of JAX, where another test has loaded it
def test_shared_memory_and_worker_processes(subtests: pytest.Subtests) -> None:
    """A forked process computes with the shared weights, and sees its parent's updates."""
    for kind in ("LSTM", "GRUCell"):
        with subtests.test(kind):
            theirs, ours = pair(kind)
            ours.share_memory()
            assert all(parameter.is_shared() for parameter in ours.parameters())
            x = numbers(kind)
            for module in (theirs, ours):
                with torch.no_grad():
                    for parameter in module.parameters():
                        parameter.mul_(0.5)
            expected = run(theirs, x)
            assert_same(run(ours, x), expected)
            context = multiprocessing.get_context("fork")
            receiver, sender = context.Pipe(duplex=False)

            def work(module: Any = ours, x: Any = x, sender: Any = sender) -> None:
                sender.send([each.detach().numpy() for each in run(module, x)])
                with torch.no_grad():
                    next(module.parameters()).zero_()

            process = context.Process(target=work)
            process.start()
            found = receiver.recv()
            process.join()
            assert process.exitcode == 0
            assert_same([torch.from_numpy(each) for each in found], [each.detach() for each in expected])
            assert not next(ours.parameters()).any()


class Encoded(torch.utils.data.Dataset):
    """Rows that an encoder computes in the workers of a DataLoader."""

    def __init__(self, encoder: Any) -> None:
        self.encoder = encoder

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        with torch.no_grad():
            return next(tensors(self.encoder(numbers("LSTM", index))))


def test_workers_of_a_data_loader(recwarn: pytest.WarningsRecorder) -> None:
    theirs, ours = pair("LSTM")
    run(ours, numbers("LSTM"))
    results = [
        list(torch.utils.data.DataLoader(Encoded(module), 2, num_workers=1, multiprocessing_context="fork"))
        for module in (theirs, ours)
    ]
    assert_same(results[1], results[0])


@each(KINDS)
def test_threads_share_a_module(kind: str) -> None:
    """Inference and training in several threads at once, as in asynchronous reinforcement learning."""
    _, ours = pair(kind)
    inputs = [numbers(kind, seed) for seed in range(4)]

    def results(x: Any, ours: Any = ours) -> list[Any]:
        x = x.clone().requires_grad_()
        outputs = list(tensors(ours(x)))
        loss = sum(output.square().sum() for output in outputs)
        return [*outputs, *torch.autograd.grad(loss, [x, *ours.parameters()])]

    expected = [results(x) for x in inputs]
    found: list[Any] = [None] * len(inputs)

    def work(index: int, found: Any = found, results: Any = results, inputs: Any = inputs) -> None:
        for _ in range(10):
            found[index] = results(inputs[index])

    threads = [threading.Thread(target=work, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for ours_found, theirs_found in zip(found, expected, strict=True):
        assert_same(ours_found, theirs_found, 0)


@each(KINDS)
def test_replicas_of_data_parallel_models(kind: str) -> None:
    """`DataParallel` makes replicas whose parameters are plain tensors."""
    theirs, ours = pair(kind)
    x = numbers(kind)
    replica = ours._replicate_for_data_parallel()
    for name, parameter in ours.named_parameters():
        setattr(replica, name, parameter * 1)
    inputs = x.clone().requires_grad_()
    outputs = list(tensors(replica(inputs)))
    sum((output * output.detach().cos()).sum() for output in outputs).backward()
    found = [*outputs, inputs.grad, *(parameter.grad for parameter in ours.parameters())]
    assert_same(found, run(theirs, x))


def anomaly_detection(module: Any, x: Any) -> list[Any]:
    with torch.autograd.set_detect_anomaly(True):
        return run(module, x)


def saved_elsewhere(module: Any, x: Any) -> list[Any]:
    with torch.autograd.graph.save_on_cpu():
        return run(module, x)


def checkpointed(module: Any, x: Any) -> list[Any]:
    x = x.clone().requires_grad_()
    outputs = list(tensors(torch.utils.checkpoint.checkpoint(module, x, use_reentrant=False)))
    sum(output.square().sum() for output in outputs).backward()
    return [x.grad, *(parameter.grad for parameter in module.parameters())]


def averaged(module: Any, x: Any) -> list[Any]:
    average = torch.optim.swa_utils.AveragedModel(module)
    for _ in range(2):
        run(module, x)
        torch.optim.SGD(module.parameters(), 0.1).step()
        average.update_parameters(module)
    return run(average, x)


def hooked_together(module: Any, x: Any) -> list[Any]:
    seen: list[Any] = []
    hook = torch.autograd.graph.register_multi_grad_hook(list(module.parameters()), seen.extend)
    run(module, x)
    hook.remove()
    return seen


def negative_memory(module: Any, x: Any) -> list[Any]:
    """The imaginary part of a conjugate: a tensor whose memory holds the negative numbers."""
    x = torch.complex(torch.zeros_like(x), x).conj().imag
    assert x.is_neg()
    return run(module, x)


def called_twice(module: Any, x: Any) -> list[Any]:
    outputs = [*tensors(module(x)), *tensors(module(2 * x))]
    penalty = sum(parameter.square().sum() for parameter in module.parameters())
    (sum(output.square().sum() for output in outputs) + penalty).backward()
    return [parameter.grad for parameter in module.parameters()]


SURROUNDINGS = (
    *(anomaly_detection, saved_elsewhere, checkpointed, averaged),
    *(hooked_together, negative_memory, called_twice),
)


@pytest.mark.filterwarnings("ignore:Anomaly Detection has been enabled")
@each(KINDS)
def test_surroundings_of_a_call(kind: str, subtests: pytest.Subtests) -> None:
    for surrounded in SURROUNDINGS:
        with subtests.test(surrounded.__name__):
            theirs, ours = pair(kind)
            assert_same(surrounded(ours, numbers(kind)), surrounded(theirs, numbers(kind)))


def edge_calls(kind: str, rows: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """Calls that PyTorch refuses, or whose sizes are 0. `rows` is the number of layers and directions."""

    def state(*shape: int) -> Any:
        return (torch.randn(shape), torch.randn(shape)) if kind == "LSTM" else torch.randn(shape)

    pack = torch.nn.utils.rnn.pack_padded_sequence
    lengths = torch.tensor([5, 4, 3])
    x = torch.randn(5, 3, INPUTS)
    yield "no steps", (x[:0],)
    yield "no rows", (x[:, :0],)
    yield "one axis", (x[0, 0],)
    yield "four axes", (x[None],)
    yield "width", (torch.randn(5, 3, INPUTS + 1),)
    yield "integers", (x.long(),)
    yield "complex numbers", (x + 0j,)
    yield "float64", (x.double(),)
    yield "no tensor", (x.tolist(),)
    yield "state of other rows", (x, state(rows, 5, HIDDEN))
    yield "state of other layers", (x, state(rows + 1, 3, HIDDEN))
    yield "state of another width", (x, state(rows, 3, HIDDEN + 1))
    yield "state without rows", (x, state(rows, HIDDEN))
    yield "state with rows", (x[:, 0], state(rows, 1, HIDDEN))
    yield "one tensor as state", (x, torch.randn(rows, 3, HIDDEN))
    yield "None in a pair", (x, (None, None))
    yield "packed, another width", (pack(torch.randn(5, 3, INPUTS + 1), lengths),)
    yield "packed, state of other rows", (pack(x, lengths), state(rows, 2, HIDDEN))
    yield "meta", (x.to("meta"),)
    yield "sparse", (x.to_sparse(),)


def outcome(module: Any, arguments: tuple[Any, ...]) -> Any:
    try:
        return [output.shape for output in tensors(module(*arguments))]
    except Exception as error:
        return type(error), str(error)


@pytest.mark.filterwarnings("ignore::bptt.interop.torch.FallbackWarning")
@each(("LSTM", "GRU", "RNN"))
def test_calls_at_the_edges_end_as_in_pytorch(kind: str, subtests: pytest.Subtests) -> None:
    for bidirectional in (False, True):
        theirs, ours = pair(kind, dtype=torch.float32, bidirectional=bidirectional)
        for name, arguments in edge_calls(kind, 4 if bidirectional else 2):
            with subtests.test(name, bidirectional=bidirectional):
                assert outcome(ours, arguments) == outcome(theirs, arguments)
