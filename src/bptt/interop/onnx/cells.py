"""Names of activations in bptt and in ONNX, and their parameters."""

from __future__ import annotations

from collections.abc import Mapping

ACTIVATIONS: Mapping[str, str] = {
    "sigmoid": "Sigmoid",
    "tanh": "Tanh",
    "relu": "Relu",
    "affine": "Affine",
    "leaky_relu": "LeakyRelu",
    "thresholded_relu": "ThresholdedRelu",
    "scaled_tanh": "ScaledTanh",
    "hard_sigmoid": "HardSigmoid",
    "elu": "Elu",
    "softsign": "Softsign",
    "softplus": "Softplus",
}
"""Names in `RNN`, `LSTM` and `GRU` nodes by names in bptt. `bptt.layers.activations.DEFAULTS` has the number
of parameters of each function: one is `activation_alpha`, a second is `activation_beta`."""
