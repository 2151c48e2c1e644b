"""`LSTM`, `GRU` and `RNN` in place of those of `torch.nn`."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from bptt.interop.torch.dropin import DropIn

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types


class LSTM(DropIn, torch.nn.LSTM):  # type: ignore[misc]
    """`torch.nn.LSTM` that runs in bptt.

    Constructor, attributes, parameters, state_dict and results are those of `torch.nn.LSTM`. With the same
    `torch.manual_seed`, the initial parameters are the same. The module runs in bptt for tensors of float32
    and float64 on the CPU, and in PyTorch's own implementation, with one warning, otherwise.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size, device, dtype
        As for `torch.nn.LSTM`.
    **options
        Options of `bptt.LSTM`: peephole, coupled, forget_gate, forget_bias, input_bias, output_bias,
        cell_clip, gate_clip, clip_mode, activations, layer_norm, recurrent_dropout, input_dropout, zoneout,
        reverse, merge, precision and init. Their parameters have the names of `bptt.LSTM` in the state_dict.
        And clip_state, as for `bptt.LSTM.backward`. A module with options never runs in PyTorch's
        implementation, unless they only choose initial values.

    Raises
    ------
    TypeError, ValueError
        As for `torch.nn.LSTM`. If an option is unknown or invalid.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> lstm = bptt.interop.torch.LSTM(3, 8)
    >>> y, (h, c) = lstm(torch.ones(20, 4, 3))
    >>> y.sum().backward()
    >>> lstm.weight_hh_l0.grad.shape
    torch.Size([32, 8])
    """

    bptt_cell = "LSTM"
    torch_class = torch.nn.LSTM

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        super().__init__(
            *(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, proj_size),
            device=device,
            dtype=dtype,
        )
        self.set_bptt_options(options)


class GRU(DropIn, torch.nn.GRU):  # type: ignore[misc]
    """`torch.nn.GRU` that runs in bptt. See `LSTM`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype
        As for `torch.nn.GRU`.
    **options
        Options of `bptt.GRU`: reset_after, activations, gate_clip, layer_norm, recurrent_dropout,
        input_dropout, zoneout, reverse, merge, precision and init. Also clip_state, as for
        `bptt.GRU.backward`.

    Raises
    ------
    TypeError, ValueError
        As for `torch.nn.GRU`. If an option is unknown or invalid.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> gru = bptt.interop.torch.GRU(3, 8, batch_first=True)
    >>> y, h = gru(torch.ones(4, 20, 3))
    >>> y.shape
    torch.Size([4, 20, 8])
    """

    bptt_cell = "GRU"
    torch_class = torch.nn.GRU

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        if "proj_size" in options:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        super().__init__(
            *(input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional),
            device=device,
            dtype=dtype,
        )
        self.set_bptt_options(options)


class RNN(DropIn, torch.nn.RNN):  # type: ignore[misc]
    """`torch.nn.RNN` that runs in bptt. See `LSTM`.

    Parameters
    ----------
    input_size, hidden_size, num_layers, nonlinearity, bias, batch_first, dropout, bidirectional
        As for `torch.nn.RNN`. `nonlinearity` may also be another function of `bptt.RNN`.
    device, dtype
        As for `torch.nn.RNN`.
    **options
        Options of `bptt.RNN`: gate_clip, layer_norm, recurrent_dropout, input_dropout, zoneout, reverse,
        merge, precision and init. Also clip_state, as for `bptt.RNN.backward`, and regularizer, a
        `bptt.PascanuRegularizer`, whose gradient every backward pass adds to those of `weight_hh`.

    Raises
    ------
    TypeError, ValueError
        As for `torch.nn.RNN`. If an option is unknown or invalid.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> rnn = bptt.interop.torch.RNN(3, 8, nonlinearity="relu")
    >>> y, h = rnn(torch.ones(20, 4, 3))
    >>> y.shape
    torch.Size([20, 4, 8])
    """

    bptt_cell = "RNN"
    torch_class = torch.nn.RNN

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: Any = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        device: Any = None,
        dtype: Any = None,
        **options: Any,
    ) -> None:
        if "proj_size" in options:
            raise ValueError("proj_size argument is only supported for LSTM, not RNN or GRU")
        plain = nonlinearity in ("tanh", "relu")
        super().__init__(
            *(input_size, hidden_size, num_layers, nonlinearity if plain else "tanh", bias, batch_first),
            *(dropout, bidirectional),
            device=device,
            dtype=dtype,
        )
        self.nonlinearity = nonlinearity
        self.set_bptt_options(options, nonlinearity=None if plain else nonlinearity)
