"""Weight decay by patterns of parameter names."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.training import SYMBOLS, batch, model

import bptt
from bptt.optim import SGD, Adam, AdamW, Optimizer, RMSProp
from bptt.train import Trainer

DECAYS = {"*bias*": 0.0, "0.*": 0.3, "*hh*": 0.1, "*": 0.02}
KINDS: dict[str, Any] = {"SGD": SGD, "RMSProp": RMSProp, "Adam": Adam, "AdamW": AdamW}


def decay_of(name: str) -> float:
    return 0.0 if "bias" in name else 0.3 if name.startswith("0.") else 0.1 if "hh" in name else 0.02


@pytest.mark.parametrize("kind", KINDS)
def test_each_group_moves_as_in_a_model_of_its_own(kind: str) -> None:
    """Also as PyTorch's parameter groups."""
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    net = bptt.Sequential(
        bptt.Embedding(SYMBOLS, 4, seed=1, dtype="float64"), bptt.LSTM(4, 3, seed=2, dtype="float64")
    )
    optimizer = KINDS[kind](0.01, weight_decay=DECAYS, lr_factors={"*ih*": 0.5})
    weights = {name: torch.nn.Parameter(torch.tensor(array)) for name, array in net.parameters.items()}
    peer = getattr(torch.optim, {"RMSProp": "RMSprop"}.get(kind, kind))(
        [
            {
                "params": [weight],
                "weight_decay": decay_of(name),
                "lr": 0.01 * (0.5 if "ih" in name else 1.0),
            }
            for name, weight in weights.items()
        ],
        lr=0.01,
    )
    rng = np.random.default_rng(0)
    for _ in range(100):
        net.flat_gradients[:] = rng.standard_normal(net.flat_gradients.size)
        for name, weight in weights.items():
            weight.grad = torch.from_numpy(net.gradients[name].copy())
        optimizer.step(net)
        peer.step()
    for name, weight in weights.items():
        np.testing.assert_allclose(net.parameters[name], weight.detach(), rtol=1e-12, atol=1e-12)


def test_parameters_without_a_pattern_do_not_decay() -> None:
    net, before = model(), model()
    bptt.SGD(1.0, weight_decay={"1.weight*": 0.5}).step(net)
    for name, array in net.parameters.items():
        factor = 0.5 if name.startswith("1.weight") else 1.0
        np.testing.assert_array_equal(array, factor * before.parameters[name], err_msg=name)


def test_a_pattern_that_matches_nothing_changes_nothing() -> None:
    net, optimizer = model(), Adam(0.1, weight_decay={"*bia": 0.0, "*": 0.1})
    before = net.flat_parameters.copy()
    fit = Trainer(net, bptt.CrossEntropy(), optimizer, progress=False)
    with pytest.raises(ValueError, match=r"weight_decay\['\*bia'\] must match a parameter; got none among"):
        fit.fit([batch()])
    np.testing.assert_array_equal(net.flat_parameters, before)
    assert optimizer.steps == 0


def test_a_run_is_resumed_with_the_same_decay(tmp_path: Any) -> None:
    def made(decays: Any) -> Optimizer:
        return AdamW(0.01, weight_decay=decays, amsgrad=True)

    whole, part = model(), model()
    loss, data = bptt.CrossEntropy(), [batch()]
    Trainer(whole, loss, made(DECAYS), progress=False).fit(data, epochs=4)
    first = Trainer(part, loss, made(DECAYS), progress=False)
    first.fit(data, epochs=2)
    first.save(tmp_path / "run")
    again = Trainer.resume(tmp_path / "run", loss, made(DECAYS), progress=False)
    again.fit(data, epochs=4)
    np.testing.assert_array_equal(again.model.flat_parameters, whole.flat_parameters)
    with pytest.raises(ValueError, match=r"optimizer\.weight_decay\.\* was 0.02, now 0.03"):
        Trainer.resume(tmp_path / "run", loss, made(DECAYS | {"*": 0.03}), progress=False)


OPTIMIZERS = {
    "SGD()": SGD(),
    "SGD(lr=0.1, momentum=0.9, nesterov=True)": SGD(0.1, momentum=0.9, nesterov=True),
    "RMSProp(eps=0.0, centered=True, initial_accumulator=1.0)": RMSProp(
        eps=0, centered=True, initial_accumulator=1
    ),
    "Adam(betas=(0.8, 0.9), amsgrad=True, weight_decay={'*bias*': 0.0, '*': 0.01})": Adam(
        betas=(0.8, 0.9), amsgrad=True, weight_decay={"*bias*": 0, "*": 0.01}
    ),
    "AdamW(lr=Constant(lr=0.1), lr_factors={'0.*': 0.5})": AdamW(
        bptt.schedules.Constant(0.1), lr_factors={"0.*": 0.5}
    ),
    "ClipNorm(1.0)": bptt.ClipNorm(1),
    "ClipNorm('auto', nonfinite='skip', norm='inf', quantile=0.5)": bptt.ClipNorm(
        "auto", "skip", norm="inf", quantile=0.5
    ),
    "ClipValue(0.5)": bptt.ClipValue(0.5),
    "NoClip(nonfinite='zero')": bptt.optim.NoClip("zero"),
    "ClipGroups({'*bias*': None, '*': ClipNorm(1.0)})": bptt.ClipGroups(
        {"*bias*": None, "*": bptt.ClipNorm(1.0)}
    ),
}


def test_optimizers_and_clips_read_like_their_constructors(subtests: pytest.Subtests) -> None:
    names = vars(bptt.schedules) | vars(bptt.optim)
    for text, value in OPTIMIZERS.items():
        with subtests.test(text):
            assert repr(value) == text
            assert repr(eval(text, dict(names))) == text


class Lion(Optimizer):
    """Chen et al. 2023: the sign of a running mean."""

    def __init__(self, lr: Any = 1e-2, weight_decay: float = 0.0, **options: Any) -> None:
        super().__init__(lr, weight_decay, vectors=("m",), **options)

    def update(self, parameters: Any, gradients: Any, state: Any, lr: float, weight_decay: float) -> None:
        parameters -= lr * (np.sign(0.9 * state["m"] + 0.1 * gradients) + weight_decay * parameters)
        state["m"][:] = 0.99 * state["m"] + 0.01 * gradients


def test_an_optimizer_of_a_user() -> None:
    net, other = model(), model()
    optimizer = Lion(bptt.schedules.Step(0.1, 2), 0.5, lr_factors={"1.*": 0.0})
    m = np.zeros_like(other.flat_parameters)
    free = np.array(
        [not name.startswith("1.") for name, a in other.parameters.items() for _ in range(a.size)]
    )
    for n, g in enumerate(np.random.default_rng(0).standard_normal((5, m.size)).astype(np.float32)):
        net.flat_gradients[:] = g
        optimizer.step(net)
        p, lr = other.flat_parameters.copy(), 0.1 * 0.1 ** (n // 2)
        p -= lr * (np.sign(0.9 * m + 0.1 * g) + 0.5 * p)
        m = np.where(free, 0.99 * m + 0.01 * g, 0)
        other.flat_parameters[free] = p[free]
    np.testing.assert_allclose(net.flat_parameters, other.flat_parameters, rtol=1e-5, atol=1e-6)
    copy = Lion()
    copy.load_state_dict(optimizer.state_dict())
    np.testing.assert_allclose(copy.state_dict()["m"], m, rtol=1e-5, atol=1e-7)


def test_an_update_of_a_user_that_fails_changes_nothing() -> None:
    class Failing(Lion):
        def update(self, parameters: Any, gradients: Any, state: Any, lr: float, weight_decay: float) -> None:
            super().update(parameters, gradients, state, lr, weight_decay)
            raise ZeroDivisionError

    class Greedy(Lion):
        def update(self, parameters: Any, gradients: Any, state: Any, lr: float, weight_decay: float) -> None:
            gradients[:] = 0

    net, optimizer = model(), Failing(lr_factors={"0.*": 0.5})
    net.flat_gradients[:] = 1
    before = net.flat_parameters.copy()
    with pytest.raises(ZeroDivisionError):
        optimizer.step(net)
    np.testing.assert_array_equal(net.flat_parameters, before)
    assert optimizer.steps == 0
    assert not optimizer.state_dict()["m"].any()
    with pytest.raises(ValueError, match="read-only"):
        Greedy().step(net)
    with pytest.raises(NotImplementedError, match="Optimizer must define update"):
        Optimizer(0.1).step(net)
