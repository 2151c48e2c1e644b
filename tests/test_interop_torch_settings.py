"""Outputs and all gradients of the drop-in modules equal PyTorch's, over random settings."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.torch_settings import assert_agree, build, draw, dropin, each, inputs, packed, run, tensors, torch

pytestmark = pytest.mark.usefixtures("one_torch_thread")

SETTINGS = 510


def test_random_settings_agree_with_pytorch() -> None:
    """The message names the setting that disagrees. A hundred of them have each value of each option."""
    for seed in range(SETTINGS):
        setting = draw(seed)
        theirs = build(setting, torch.nn)
        ours = build(setting, dropin, theirs.state_dict())
        try:
            assert_agree(run(setting, ours), run(setting, theirs))
        except Exception as error:
            raise AssertionError(f"{setting}: {error}") from error


@each(["no_grad", "inference_mode"])
def test_outputs_without_gradients_agree_with_pytorch(mode: str) -> None:
    for seed in range(60):
        setting = replace(draw(seed), training=False)
        theirs = build(setting, torch.nn)
        ours = build(setting, dropin, theirs.state_dict())
        with getattr(torch, mode)():
            x, state = inputs(setting)
            x = packed(setting, x)
            for our, their in zip(tensors(ours(x, state)), tensors(theirs(x, state)), strict=True):
                torch.testing.assert_close(our, their, rtol=1e-10, atol=1e-10, msg=str(setting))
                assert not our.requires_grad
                assert our.is_inference() == their.is_inference()
