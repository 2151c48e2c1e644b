"""`LSTMCell`, `GRUCell` and `RNNCell` in place of those of `torch.nn`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

import bptt.layers as layers
from bptt.interop.torch.cell_checks import check_step, parse_pair
from bptt.interop.torch.cell_engine import CellEngine
from bptt.interop.torch.fallback import reason_of_tensors, special_mode, warn_once
from bptt.interop.torch.internals import as_leaf, set_eval_frame
from bptt.layers.recurrent import Recurrent

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types


class CellDropIn:
    """Base class of the cells, before the cell of `torch.nn` in the order of bases.

    A subclass of PyTorch's cell has its constructor, attributes, state_dict and repr, and passes `isinstance`
    checks of other libraries.
    """

    torch_class: ClassVar[Any]
    """The class of `torch.nn`."""
    bptt_options: Mapping[str, Any] = MappingProxyType({})
    """The options that PyTorch does not have: none."""
    input_size: int
    hidden_size: int
    weight_ih: Any
    weight_hh: Any
    _parameters: dict[str, Any]
    __dict__: dict[str, Any]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.flatten_parameters()

    def build_layer(self, dtype: str) -> Recurrent | None:
        """Return a layer of bptt with the sizes of the cell, and zeros as parameters, or None."""
        raise NotImplementedError

    def step_of_pytorch(self) -> Callable[..., tuple[Any, ...]]:
        """Return PyTorch's implementation of one step as a function of x, h, c and the weights."""
        raise NotImplementedError

    def bptt_engine(self) -> CellEngine:
        """Return the object that runs this cell in bptt."""
        engine: CellEngine | None = self.__dict__.get("_engine")
        if engine is None:
            engine = self.__dict__["_engine"] = CellEngine(self)
        return engine

    def flatten_parameters(self) -> None:
        """Move the parameters into one buffer, if nothing else refers to their memory.

        bptt reads such parameters without a copy. The constructor, `replace` and conversions do this already.
        """
        if not torch.compiler.is_compiling() and special_mode() is None:
            self.bptt_engine().flatten(self, self._parameters)

    def run_step(self, x: Any, hx: Any, h: Any, c: Any) -> tuple[Any, ...]:
        """Run one step in bptt, or else in PyTorch, and return the new states. hx is h or (h, c)."""
        if torch.compiler.is_compiling():
            return self._run_pytorch(x, hx, h, c)
        compiler = set_eval_frame(None)
        try:
            reason = special_mode()
            if reason is None:
                results = self.bptt_engine().run(self, self._parameters, x, h, c)
                if results is not None:
                    return results
            results = self._run_pytorch(x, hx, h, c)  # raises the errors of wrong arguments
            warn_once(self, reason or reason_of_tensors((x, h, c, self.weight_ih, self.weight_hh)))
            return results
        finally:
            if compiler is not None:
                set_eval_frame(compiler)

    def _run_pytorch(self, x: Any, hx: Any, h: Any, c: Any) -> tuple[Any, ...]:
        check_step(self, x, h, c)
        result = self.torch_class.forward(self, x, hx)
        return result if isinstance(result, tuple) else (result,)

    def _apply(self, *args: Any, **kwargs: Any) -> Any:
        if "_engine" in self.__dict__:
            self.bptt_engine().forget()
        parent: Any = super()
        result = parent._apply(*args, **kwargs)
        self.flatten_parameters()
        return result

    def __prepare_scriptable__(self) -> Any:
        """Return a cell of `torch.nn` with the same parameters, for `torch.jit.script`."""
        plain = self.torch_class.__new__(self.torch_class)
        plain.__setstate__(self.__getstate__())
        return plain

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        parent: Any = super()
        parent._save_to_state_dict(destination, prefix, keep_vars)
        if not keep_vars and special_mode() is None:
            self.bptt_engine().separate(destination, prefix)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle of a view holds the whole buffer: one for each parameter.
        if "_engine" in self.__dict__ and special_mode() is None:
            self.bptt_engine().scatter(self, self._parameters)
        return {name: value for name, value in self.__dict__.items() if name != "_engine"}

    def _replicate_for_data_parallel(self) -> Any:
        parent: Any = super()
        replica = parent._replicate_for_data_parallel()
        replica.__dict__.pop("_engine", None)
        return replica


class LSTMCell(CellDropIn, torch.nn.LSTMCell):  # type: ignore[misc]
    """`torch.nn.LSTMCell` that runs in bptt: one time step of an LSTM.

    Constructor, attributes, parameters, state_dict and results are those of `torch.nn.LSTMCell`. The cell
    runs in bptt for tensors of float32 and float64 on the CPU, and in PyTorch's own implementation, with one
    warning, otherwise.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As for `torch.nn.LSTMCell`.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> h, c = bptt.interop.torch.LSTMCell(3, 8)(torch.ones(4, 3))
    >>> h.shape
    torch.Size([4, 8])
    """

    torch_class = torch.nn.LSTMCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)

    def forward(self, input: Any, hx: Any = None) -> tuple[Any, Any]:
        """Run one time step.

        Parameters
        ----------
        input : Tensor
            (B, I) or (I,).
        hx : pair of Tensors, optional
            (h, c), each (B, H) or (H,). Default: zeros.

        Returns
        -------
        h, c : Tensor
            The new states.

        Raises
        ------
        TypeError
            If an argument is not a tensor, or hx is not a pair.
        ValueError
            If the number of axes is wrong.
        RuntimeError
            If sizes or dtypes do not agree.
        """
        leaf = None if isinstance(input, torch.Tensor) else as_leaf(self, (input, hx))
        if leaf is not None:
            return leaf  # type: ignore[no-any-return]
        h, c = (None, None) if hx is None else parse_pair(self, hx)
        h, c = self.run_step(input, hx, h, c)
        return h, c

    def build_layer(self, dtype: str) -> Recurrent:
        """Return a layer of bptt with the sizes of the cell, and zeros as parameters."""
        return layers.LSTM(self.input_size, self.hidden_size, bias=bool(self.bias), dtype=dtype, init=_zeros)

    def step_of_pytorch(self) -> Callable[..., tuple[Any, ...]]:
        """Return PyTorch's implementation of one step as a function of x, h, c and the weights."""
        return lambda x, h, c, *weights: tuple(torch.lstm_cell(x, (h, c), *weights))


class HiddenStateCell(CellDropIn):
    """Base class of the cells whose only state is h."""

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run one time step.

        Parameters
        ----------
        input : Tensor
            (B, I) or (I,).
        hx : Tensor, optional
            (B, H) or (H,). Default: zeros.

        Returns
        -------
        Tensor
            The new state.

        Raises
        ------
        TypeError, ValueError, RuntimeError
            As for `LSTMCell.forward`.
        """
        leaf = None if isinstance(input, torch.Tensor) else as_leaf(self, (input, hx))
        return self.run_step(input, hx, hx, None)[0] if leaf is None else leaf


class GRUCell(HiddenStateCell, torch.nn.GRUCell):  # type: ignore[misc]
    """`torch.nn.GRUCell` that runs in bptt: one time step of a GRU. See `LSTMCell`.

    Parameters
    ----------
    input_size, hidden_size, bias, device, dtype
        As for `torch.nn.GRUCell`.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> h = bptt.interop.torch.GRUCell(3, 8)(torch.ones(4, 3))
    >>> h.shape
    torch.Size([4, 8])
    """

    torch_class = torch.nn.GRUCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, device=device, dtype=dtype)

    def build_layer(self, dtype: str) -> Recurrent:
        """Return a layer of bptt with the sizes of the cell, and zeros as parameters."""
        return layers.GRU(self.input_size, self.hidden_size, bias=bool(self.bias), dtype=dtype, init=_zeros)

    def step_of_pytorch(self) -> Callable[..., tuple[Any, ...]]:
        """Return PyTorch's implementation of one step as a function of x, h, c and the weights."""
        return lambda x, h, c, *weights: (torch.gru_cell(x, h, *weights),)


class RNNCell(HiddenStateCell, torch.nn.RNNCell):  # type: ignore[misc]
    """`torch.nn.RNNCell` that runs in bptt: one time step of an Elman network. See `LSTMCell`.

    Parameters
    ----------
    input_size, hidden_size, bias, nonlinearity, device, dtype
        As for `torch.nn.RNNCell`.

    Examples
    --------
    >>> import torch
    >>> import bptt.interop.torch
    >>> h = bptt.interop.torch.RNNCell(3, 8)(torch.ones(4, 3))
    >>> h.shape
    torch.Size([4, 8])
    """

    torch_class = torch.nn.RNNCell

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(input_size, hidden_size, bias, nonlinearity, device=device, dtype=dtype)

    def build_layer(self, dtype: str) -> Recurrent | None:
        """Return a layer of bptt with the sizes of the cell, and zeros as parameters."""
        if self.nonlinearity not in ("tanh", "relu"):
            return None  # PyTorch's forward raises
        return layers.RNN(
            *(self.input_size, self.hidden_size),
            nonlinearity=self.nonlinearity,
            bias=bool(self.bias),
            dtype=dtype,
            init=_zeros,
        )

    def step_of_pytorch(self) -> Callable[..., tuple[Any, ...]]:
        """Return PyTorch's implementation of one step as a function of x, h, c and the weights."""
        function = torch.rnn_relu_cell if self.nonlinearity == "relu" else torch.rnn_tanh_cell
        return lambda x, h, c, *weights: (function(x, h, *weights),)

    def __setattr__(self, name: str, value: Any) -> None:
        if name == "nonlinearity":  # PyTorch reads it in every call
            self.__dict__.pop("_engine", None)
        super().__setattr__(name, value)


def _zeros(name: str, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
    return np.zeros(shape)
