"""Clipping by the infinity norm: one factor for all entries, from the largest of them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from tests.training import batch, model

import bptt
from bptt.optim import Clip, ClipGroups, ClipNorm, NoClip
from bptt.train import Trainer


def filled(scale: float = 1.0, dtype: str = "float32") -> bptt.Module:
    net = bptt.LSTM(3, 5, dtype=dtype, seed=1)
    net.flat_gradients[:] = scale * np.random.default_rng(0).standard_normal(net.flat_gradients.size)
    return net


@pytest.mark.parametrize("isa", bptt.available_isas())
def test_as_pytorch(isa: str) -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is the peer of this test")
    bptt.use_isa(isa)
    for dtype in ("float32", "float64"):
        for size in (1, 2, 7, 16, 17, 1000):
            gradient = np.random.default_rng(size).standard_normal(size).astype(dtype)
            weight = torch.nn.Parameter(torch.zeros(size, dtype=getattr(torch, dtype)))
            weight.grad = torch.tensor(gradient)
            expected = torch.nn.utils.clip_grad_norm_([weight], 0.25, norm_type=np.inf).item()
            assert bptt.clip_by_norm(gradient, 0.25, norm="inf") == expected
            tolerance = 1e-5  # PyTorch divides by the norm + 1e-6
            np.testing.assert_allclose(gradient, weight.grad, rtol=tolerance)
            if size > 2:
                assert np.abs(gradient).max() == pytest.approx(0.25, rel=4 * float(np.finfo(dtype).eps))


def test_one_factor_for_all_entries() -> None:
    net, norm = filled(), filled()
    largest = float(np.abs(net.flat_gradients).max())
    before = net.flat_gradients.copy()
    done = ClipNorm(0.5, norm="inf")(net)
    assert done.clipped
    two_norm = float(np.linalg.norm(before.astype(np.float64)))
    assert done.norm == pytest.approx(two_norm, rel=1e-12)
    np.testing.assert_allclose(net.flat_gradients, before * (0.5 / largest), rtol=4e-7)
    assert not ClipNorm(largest, norm=np.inf)(norm).clipped
    np.testing.assert_array_equal(norm.flat_gradients, before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_any_size(dtype: str) -> None:
    for scale in (0.0, 1e-30, 1e30) if dtype == "float32" else (0.0, 1e-300, 1e200, 1e305):
        net = filled(scale, dtype)
        before = net.flat_gradients / (scale or 1.0)
        ClipNorm(1e-3, norm="inf")(net)
        largest = np.abs(before).max()
        expected = before * (scale if scale * largest <= 1e-3 else 1e-3 / (largest or 1.0))
        np.testing.assert_allclose(net.flat_gradients, expected, rtol=1e-5 if dtype == "float32" else 1e-13)


def test_automatic_limit_is_a_quantile_of_the_largest_entries() -> None:
    clip, seen = ClipNorm("auto", norm="inf", quantile=0.5), []
    for scale in (1.0, 3.0, 2.0, 5.0):
        net = filled(scale)
        seen.append(float(np.abs(net.flat_gradients).max()))
        clip(net)
        assert clip.max_norm == pytest.approx(np.quantile(seen, 0.5), rel=1e-12)
    other = ClipNorm("auto", norm="inf", quantile=0.5)
    other.load_state_dict(clip.state_dict())
    assert other.max_norm == clip.max_norm


def test_groups_and_policies() -> None:
    net = filled()
    ClipGroups({"*hh*": ClipNorm(0.1, norm="inf"), "*": ClipNorm(0.2, norm="inf")})(net)
    for name, gradient in net.gradients.items():
        assert np.abs(gradient).max() <= (0.1 if "hh" in name else 0.2) * (1 + 1e-6)
    net = filled()
    net.flat_gradients[3] = np.inf
    with pytest.raises(bptt.NonFiniteError):
        ClipNorm(0.1, norm="inf")(net)
    assert not ClipNorm(0.1, "skip", norm="inf")(net).update
    done = ClipNorm(0.1, "zero", norm="inf")(net)
    assert done.clipped
    assert net.flat_gradients[3] == 0
    assert np.abs(net.flat_gradients).max() == pytest.approx(0.1, rel=1e-6)


def test_in_a_trainer() -> None:
    x, target = batch()
    nets = [model(), model()]
    clips: list[Any] = [ClipNorm(1e-3, norm="inf"), None]
    histories = [
        Trainer(net, bptt.CrossEntropy(), bptt.SGD(1.0), clip=clip, progress=False).fit([(x, target)])
        for net, clip in zip(nets, clips, strict=True)
    ]
    start = model().flat_parameters
    assert np.abs(nets[0].flat_parameters - start).max() == pytest.approx(1e-3, rel=1e-3)
    np.testing.assert_array_equal(histories[0]["grad_norm"], histories[1]["grad_norm"])
    assert histories[0]["clipped"].all()


def test_errors(subtests: pytest.Subtests) -> None:
    for norm in (1, "2", "max", True, None, np.nan):
        with subtests.test(norm=norm), pytest.raises(ValueError, match='norm must be 2 or "inf"; got'):
            ClipNorm(1.0, norm=norm)  # type: ignore[arg-type]
    with subtests.test("clip_state"), pytest.raises(ValueError, match="clip_state must limit the 2-norm"):
        Trainer(model(), bptt.CrossEntropy(), bptt.SGD(), clip_state=ClipNorm(1.0, norm="inf"))
    with subtests.test("base class"), pytest.raises(TypeError, match="abstract"):
        Clip()  # type: ignore[abstract]
    net = filled()
    before = net.flat_gradients.copy()
    with subtests.test("no clip"):
        assert not NoClip()(net).clipped
        np.testing.assert_array_equal(net.flat_gradients, before)
