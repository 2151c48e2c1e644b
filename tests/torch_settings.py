"""Random settings of recurrent modules and of their calls, for PyTorch's modules and ours."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="PyTorch is the peer of these tests")
dropin: Any = importlib.import_module("bptt.interop.torch")

MOST_STEPS, MOST_ROWS = 7, 5


def each(values: Iterable[str]) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Run a test with each value as its first argument, as a subtest. The test may use subtests itself."""

    def decorate(function: Callable[..., None]) -> Callable[..., None]:
        uses_subtests = "subtests" in inspect.signature(function).parameters

        def run(subtests: pytest.Subtests) -> None:
            for value in values:
                with subtests.test(value):
                    function(value, **({"subtests": subtests} if uses_subtests else {}))

        run.__name__, run.__doc__ = function.__name__, function.__doc__
        run.__module__, run.__qualname__ = function.__module__, function.__qualname__
        return run

    return decorate


@dataclass(frozen=True)
class Setting:
    """A module, and one call of it."""

    seed: int
    kind: str
    options: dict[str, Any]
    layout: str
    """unbatched, padded, packed, or packed in descending order of lengths."""
    steps: int
    rows: int
    with_state: bool
    strided: bool
    """Inputs, states and gradients of outputs are not contiguous."""
    input_grad: bool
    state_grad: bool
    frozen: tuple[bool, ...]
    """Which parameters need no gradient. They repeat, if there are more parameters."""
    used: tuple[bool, bool, bool]
    """Whether the loss depends on the outputs, on h and on c."""
    training: bool


def draw(seed: int) -> Setting:
    """Draw a setting. `H != I`, as a rule, and every option has several values."""
    rng = np.random.default_rng(seed)

    def flag(probability: float = 0.5) -> bool:
        return bool(rng.random() < probability)

    kind = ("LSTM", "GRU", "RNN")[seed % 3]
    hidden = int(rng.integers(1, 10))
    options: dict[str, Any] = {
        "input_size": int(rng.integers(1, 10)),
        "hidden_size": hidden,
        "num_layers": int(rng.integers(1, 4)),
        "bias": flag(0.75),
        "batch_first": flag(),
        "bidirectional": flag(),
    }
    training = flag(0.75)
    if options["num_layers"] > 1 and not training and flag():
        options["dropout"] = 0.5
    if kind == "LSTM" and hidden > 1 and flag(0.4):
        options["proj_size"] = int(rng.integers(1, hidden))
    if kind == "RNN" and flag():
        options["nonlinearity"] = "relu"
    layout = str(rng.choice(["unbatched", "padded", "packed", "packed in order"], p=[0.2, 0.4, 0.25, 0.15]))
    used = (flag(0.8), flag(0.8), flag(0.8))
    return Setting(
        seed,
        kind,
        options,
        layout,
        steps=int(rng.integers(1, MOST_STEPS + 1)),
        rows=int(rng.integers(1, MOST_ROWS + 1)),
        with_state=flag(0.6),
        strided=flag(0.4),
        input_grad=flag(0.75),
        state_grad=flag(0.75),
        frozen=tuple(flag(0.2) for _ in range(5)) if flag(0.4) else (False,),
        used=used if used[0] or used[1] else (True, *used[1:]),
        training=training,
    )


def numbers(setting: Setting, *shape: int, seed: int = 0) -> Any:
    """Return a tensor of random numbers in float64, with gaps in memory if the setting says so."""
    rng = np.random.default_rng([setting.seed, seed])
    if not setting.strided or not shape:
        return torch.from_numpy(rng.standard_normal(shape))
    wide = torch.from_numpy(rng.standard_normal((*shape[:-1], 2 * shape[-1])))
    swapped = wide.transpose(0, -1).contiguous().transpose(0, -1)
    return swapped[..., ::2]


def build(setting: Setting, namespace: Any, weights: Any = None) -> Any:
    """Build the module of torch.nn, or of `bptt.interop.torch` with the same weights."""
    torch.manual_seed(setting.seed)
    module = getattr(namespace, setting.kind)(**setting.options, dtype=torch.float64)
    if weights is not None:
        module.load_state_dict(weights)
    module.train(setting.training)
    for number, parameter in enumerate(module.parameters()):
        parameter.requires_grad_(not setting.frozen[number % len(setting.frozen)])
    return module


def inputs(setting: Setting) -> tuple[Any, Any]:
    """Return x, a tensor or a PackedSequence, and the initial state or None."""
    width = setting.options["input_size"]
    if setting.layout == "unbatched":
        x = numbers(setting, setting.steps, width)
    elif setting.options["batch_first"]:
        x = numbers(setting, setting.rows, setting.steps, width)
    else:
        x = numbers(setting, setting.steps, setting.rows, width)
    x.requires_grad_(setting.input_grad)
    if not setting.with_state:
        return x, None
    layers = setting.options["num_layers"] * (2 if setting.options["bidirectional"] else 1)
    batch = () if setting.layout == "unbatched" else (setting.rows,)
    hidden = setting.options["hidden_size"]
    h = numbers(setting, layers, *batch, setting.options.get("proj_size") or hidden, seed=1)
    h.requires_grad_(setting.state_grad)
    if setting.kind != "LSTM":
        return x, h
    c = numbers(setting, layers, *batch, hidden, seed=2)
    return x, (h, c.requires_grad_(setting.state_grad))


def packed(setting: Setting, x: Any) -> Any:
    """Return x, packed with random lengths if the setting says so."""
    if not setting.layout.startswith("packed"):
        return x
    lengths = np.random.default_rng([setting.seed, 3]).integers(1, setting.steps + 1, setting.rows)
    lengths[np.argmax(lengths)] = setting.steps
    ordered = setting.layout == "packed in order"
    if ordered:
        lengths = -np.sort(-lengths)
    return torch.nn.utils.rnn.pack_padded_sequence(
        x, torch.from_numpy(lengths), setting.options["batch_first"], enforce_sorted=ordered
    )


def tensors(result: Any) -> Iterator[Any]:
    """Yield the tensors of a result: y, h and c."""
    if isinstance(result, torch.nn.utils.rnn.PackedSequence):
        yield result.data
    elif isinstance(result, torch.Tensor):
        yield result
    else:
        for part in result:
            yield from tensors(part)


def run(setting: Setting, module: Any) -> dict[str, Any]:
    """Call the module and backpropagate. Return the outputs and all gradients by name."""
    x, state = inputs(setting)
    leaves = [x, *tensors(() if state is None else state)]
    result = module(packed(setting, x), state)
    outputs = list(tensors(result))
    loss = sum(
        (output * numbers(setting, *output.shape, seed=10 + number)).sum()
        for number, (output, used) in enumerate(zip(outputs, setting.used, strict=False))
        if used
    )
    if isinstance(loss, torch.Tensor) and loss.requires_grad:
        loss.backward()
    found = dict(zip(("y", "h", "c"), outputs, strict=False))
    found |= {f"d{name}": leaf.grad for name, leaf in zip(("x", "h0", "c0"), leaves, strict=False)}
    return found | {f"d{name}": parameter.grad for name, parameter in module.named_parameters()}


def assert_agree(ours: dict[str, Any], theirs: dict[str, Any], tolerance: float = 1e-10) -> None:
    """Compare outputs and gradients by name. None, no gradient, equals only None or zeros."""
    assert ours.keys() == theirs.keys()
    for name, value in theirs.items():
        if value is None:
            assert ours[name] is None or not ours[name].any(), name
        else:
            assert ours[name] is not None, name
            torch.testing.assert_close(
                ours[name],
                value,
                rtol=tolerance,
                atol=tolerance,
                msg=lambda text, name=name: f"{name}: {text}",
            )
