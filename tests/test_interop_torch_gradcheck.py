"""`torch.autograd.gradcheck` of each drop-in module, in float64, with all gradients."""

from __future__ import annotations

from typing import Any

import pytest
from tests.torch_settings import Setting, build, dropin, each, inputs, packed, tensors, torch

pytestmark = pytest.mark.usefixtures("one_torch_thread")

LAYOUTS = ("unbatched", "padded", "packed")
CASES = {
    "LSTM": ("LSTM", {}),
    "LSTM with projection": ("LSTM", {"proj_size": 2}),
    "GRU": ("GRU", {}),
    "RNN": ("RNN", {}),
    "RNN of relu": ("RNN", {"nonlinearity": "relu"}),
}


def setting_of(kind: str, options: dict[str, Any], layout: str) -> Setting:
    """Two layers, both directions, biases, an initial state, and gradients of everything.

    Packed inputs, which have the most code, are checked entry by entry, and the others in a random direction.
    """
    sizes = {"input_size": 2, "hidden_size": 3, "num_layers": 2, "bidirectional": True}
    return Setting(
        seed=LAYOUTS.index(layout),
        kind=kind,
        options=sizes | options | {"batch_first": layout == "packed"},
        layout=layout,
        steps=3,
        rows=2,
        with_state=True,
        strided=layout == "padded",
        input_grad=True,
        state_grad=True,
        frozen=(False,),
        used=(True, True, True),
        training=True,
    )


@each(CASES)
def test_gradients_equal_finite_differences(name: str, subtests: pytest.Subtests) -> None:
    kind, options = CASES[name]
    for layout in LAYOUTS:
        with subtests.test(layout):
            setting = setting_of(kind, options, layout)
            module = build(setting, dropin)
            x, state = inputs(setting)

            def function(x: Any, *values: Any, module: Any = module, setting: Any = setting) -> Any:
                state = values[:2] if setting.kind == "LSTM" else values[0]
                return tuple(tensors(module(packed(setting, x), state)))

            leaves = [x, *tensors(state), *module.parameters()]
            assert torch.autograd.gradcheck(function, leaves, fast_mode=layout != "packed")
