"""What the modules add to those of PyTorch: calls that run in bptt, and parameters in one buffer."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from types import MappingProxyType
from typing import Any, ClassVar

import numpy as np

from bptt.interop.torch.engine import Engine
from bptt.interop.torch.fallback import reason_of_tensors, refuse, special_mode, warn_once
from bptt.interop.torch.internals import as_leaf, is_compiling, set_eval_frame
from bptt.interop.torch.options import NOT_OF_LAYERS, build_layer, parse_options
from bptt.layers.recurrent import Recurrent

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types


class DropIn(torch.nn.RNNBase):  # type: ignore[misc]
    """Base class of the modules, before the module of `torch.nn` in the order of bases.

    A subclass of PyTorch's module has its constructor, attributes, state_dict, repr and pickling, and passes
    `isinstance` checks of other libraries. Only `forward` and the place of the parameters differ.
    """

    bptt_cell: ClassVar[str]
    torch_class: ClassVar[Any]
    """The class of `torch.nn`."""
    bptt_options: Mapping[str, Any] = MappingProxyType({})
    """The options that PyTorch does not have, without those that have their default values."""
    _flat_weights: list[Any]
    _flat_weights_names: list[str]

    def set_bptt_options(self, options: Mapping[str, Any], nonlinearity: Any = None) -> None:
        """Read the options of bptt, and create the parameters that they add. Constructors end with it."""
        self.bptt_options = parse_options(self.bptt_cell, options)
        if nonlinearity is not None:
            self.bptt_options = self.bptt_options | {"nonlinearity": nonlinearity}
        engine = self.bptt_engine()
        if self.bptt_options.keys() - set(NOT_OF_LAYERS):
            self._register(engine)
            self.reset_parameters()
        self.flatten_parameters()

    def bptt_engine(self) -> Engine:
        """Return the object that runs this module in bptt."""
        engine: Engine | None = self.__dict__.get("_engine")
        if engine is None:
            engine = self.__dict__["_engine"] = Engine(self)
        return engine

    @property
    def bptt_layer(self) -> Recurrent:
        """The layer of bptt that computes this module.

        Its parameters are the memory of the module's parameters where these lie in one buffer, else copies of
        the current values. It is the argument of `bptt.spectral_radius` and other functions of bptt.

        Raises
        ------
        TypeError
            If the parameters are not on the CPU, or neither float32 nor float64.
        """
        weights = self.bptt_engine().weights
        layer = weights.bound_layer(self, self._parameters)
        if layer is None:
            raise TypeError(
                f"the parameters must be float32 or float64 on the CPU; got {self._reason(())}. "
                'Fix: call module.float().to("cpu") first.'
            )
        layer.batch_first = self.batch_first
        return layer

    def forward(self, input: Any, hx: Any = None) -> Any:
        """Run the module, as the module of `torch.nn` does.

        Parameters
        ----------
        input : Tensor or PackedSequence
            (T, B, I), (B, T, I) with `batch_first`, or (T, I).
        hx : Tensor, or for LSTM a pair of tensors, optional
            (L*D, B, H), or (L*D, H) for an input (T, I). Default: zeros.

        Returns
        -------
        output : Tensor or PackedSequence
            In the layout of the input, with D*H values on the last axis.
        hx : Tensor, or for LSTM a pair of tensors
        """
        if is_compiling():
            refuse(self, "torch.export, or another compiler of the whole model")
            return super().forward(input, hx)
        compiler = set_eval_frame(None)
        try:
            reason = special_mode()
            if reason is None:
                result = (self.__dict__.get("_engine") or self.bptt_engine()).run(
                    self, self._parameters, input, hx
                )
                if result is None:
                    result = as_leaf(self, (input, hx))
                if result is not None:
                    return result
                reason = self._reason((input, *(hx if isinstance(hx, (tuple, list)) else (hx,))))
            return self._run_pytorch(input, hx, reason)
        finally:
            if compiler is not None:
                set_eval_frame(compiler)

    def _run_pytorch(self, input: Any, hx: Any, reason: str) -> Any:
        if self.bptt_options:
            self._check_like_pytorch(input, hx)
            refuse(self, reason)
        result = super().forward(input, hx)  # raises PyTorch's errors, before the warning
        warn_once(self, reason)
        return result

    def _check_like_pytorch(self, input: Any, hx: Any) -> None:
        """Raise PyTorch's error for arguments of the wrong size."""
        data, sizes = input[:2] if isinstance(input, torch.nn.utils.rnn.PackedSequence) else (input, None)
        if sizes is None and data.dim() == 2:
            data = data.unsqueeze(0 if self.batch_first else 1)
            if hx is not None:
                hx = tuple(h.unsqueeze(1) for h in hx) if self.bptt_cell == "LSTM" else hx.unsqueeze(1)
        self.check_input(data, sizes)
        if hx is not None:
            self.check_forward_args(data, hx, sizes)

    def _reason(self, tensors: tuple[Any, ...]) -> str:
        if self.training and self.dropout == 1 and self.num_layers > 1:
            return "dropout=1"
        weights = (getattr(self, name) for name in self.bptt_engine().weights.names)
        return reason_of_tensors((*tensors, *weights))

    def flatten_parameters(self) -> None:
        """Move the parameters into one buffer, if nothing else refers to their memory.

        bptt reads such parameters without a copy. The constructor, `replace`, conversions of the module,
        copies and pickles do this already. On a GPU, cuDNN's own buffer is made.
        """
        super().flatten_parameters()
        runs_here = not is_compiling() and special_mode() is None
        if "bptt_options" in self.__dict__ and runs_here:  # not while PyTorch's constructor runs
            self.bptt_engine().flatten(self, self._parameters)

    def reset_parameters(self) -> None:
        """Draw new initial parameters, as in PyTorch.

        With options of bptt, the parameters are those of the bptt layer with a seed from PyTorch's generator.
        """
        if not self.bptt_options.keys() - set(NOT_OF_LAYERS):
            super().reset_parameters()
            return
        seed = int(torch.randint(0, 2**63 - 1, (), device="cpu"))
        layer = build_layer(self.bptt_cell, self, "float64", seed)
        with torch.no_grad():
            for name, value in layer.parameters.items():
                getattr(self, name).copy_(torch.from_numpy(np.ascontiguousarray(value)))

    def extra_repr(self) -> str:
        """Return the arguments of PyTorch's repr, and the options of bptt."""
        options = (f"{name}={value!r}" for name, value in self.bptt_options.items())
        return ", ".join([super().extra_repr(), *options])

    def _register(self, engine: Engine) -> None:
        """Register the parameters of the bptt layer in place of PyTorch's."""
        like = self._flat_weights[0]
        for name in self._flat_weights_names:
            delattr(self, name)
        table = engine.weights.table
        names = [name for name, _ in table]
        self._flat_weights_names, self._flat_weights = names, [None] * len(names)
        for name, shape in table:
            tensor = torch.empty(shape, dtype=like.dtype, device=like.device)
            setattr(self, name, torch.nn.Parameter(tensor))
        each = len(names) // (self.num_layers * (2 if self.bidirectional else 1))
        self._all_weights = [names[start : start + each] for start in range(0, len(names), each)]
        self._init_flat_weights()

    def __prepare_scriptable__(self) -> Any:
        """Return a module of `torch.nn` with the same parameters, for `torch.jit.script`."""
        refuse(self, "torch.jit.script")
        plain = self.torch_class.__new__(self.torch_class)
        plain.__setstate__(self.__getstate__())
        return plain

    def _save_to_state_dict(self, destination: Any, prefix: str, keep_vars: bool) -> None:
        super()._save_to_state_dict(destination, prefix, keep_vars)
        if not keep_vars and special_mode() is None:
            self.bptt_engine().weights.separate(destination, prefix)

    def __getstate__(self) -> dict[str, Any]:
        # A pickle of a view holds the whole buffer: one for each parameter.
        if "_engine" in self.__dict__ and special_mode() is None:
            self.bptt_engine().scatter(self, self._parameters)
        state: dict[str, Any] = super().__getstate__()
        state.pop("_engine", None)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self.__dict__.setdefault("bptt_options", {})

    def _replicate_for_data_parallel(self) -> Any:
        replica = super()._replicate_for_data_parallel()
        replica.__dict__.pop("_engine", None)
        return replica
