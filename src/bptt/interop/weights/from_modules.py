"""Layers and models from modules of PyTorch."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bptt.arguments import short
from bptt.interop.weights.pytorch import CELLS, RECURRENT, pytorch
from bptt.interop.weights.values import to_array
from bptt.layers import (
    GELU,
    GRU,
    LSTM,
    RNN,
    Dropout,
    Embedding,
    LayerNorm,
    Linear,
    Module,
    ReLU,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    TiedLinear,
)
from bptt.layers.undrawn import undrawn

_ACTIVATIONS: dict[str, type[Module]] = {
    "Tanh": Tanh,
    "ReLU": ReLU,
    "Sigmoid": Sigmoid,
    "SiLU": SiLU,
    "GELU": GELU,
    "Softmax": Softmax,
}
_LAYERS: dict[str, type[RNN] | type[LSTM] | type[GRU]] = {"RNN": RNN, "LSTM": LSTM, "GRU": GRU}


def from_torch(module: Any) -> Any:
    """Build a layer or model from a PyTorch module, with copies of its weights.

    Parameters
    ----------
    module : torch.nn.Module, or sequence of modules
        A module of this list, or a `torch.nn.Sequential` of such modules, also inside `DataParallel`:

        * `LSTM`, `GRU`, `RNN`, and their cells, which become layers of one direction
        * `Linear`, `Embedding`, `LayerNorm` over the last axis, `Dropout`, `Identity`
        * `Tanh`, `ReLU`, `Sigmoid`, `SiLU`, `GELU`, and `Softmax` over the last axis

        The forward function of another module is Python code, which cannot be converted. Pass a list of the
        module's parts in the order of its forward function. The list may also hold layers of bptt, such as
        `Last()`. Hooks are not read.

    Returns
    -------
    Module
        A `Sequential` for a `torch.nn.Sequential` or a list, otherwise one layer. It is float64 if the first
        weight is, otherwise float32. A `Linear` that shares the weight of an `Embedding` becomes a
        `TiedLinear`. A module whose parameters all have `requires_grad=False` gives a layer with
        `trainable=False`.

    Raises
    ------
    TypeError
        If a module has no such conversion. The message names it.
    ValueError
        If a module has an option that bptt lacks, two modules share a weight in another way, or a hook
        computes a weight, as `torch.nn.utils.weight_norm` and `prune` do.
    ImportError
        If PyTorch is not installed.

    Examples
    --------
    >>> import numpy as np
    >>> import torch
    >>> import bptt
    >>> parts = [torch.nn.LSTM(3, 8), bptt.Last(), torch.nn.Linear(8, 2)]
    >>> model = bptt.interop.from_torch(parts)
    >>> y, state = model(np.ones((20, 4, 3)))
    >>> y.shape
    (4, 2)
    """
    torch = pytorch("bptt.interop.from_torch")
    if isinstance(module, (list, tuple)) or type(_unwrapped(module)) is torch.nn.Sequential:
        parts = list(_parts(torch, module, "module"))
        if not parts:
            raise ValueError("module must have at least one part; got none. Fix: pass its modules.")
        reader = _Reader(torch, _dtype(torch, [part for _, part in parts]))
        with undrawn():
            layers = [reader.layer(part, place) for place, part in parts]
        return Sequential(*layers)
    module = _unwrapped(module)
    with undrawn():
        return _Reader(torch, _dtype(torch, [module])).layer(module, "module")


def _parts(torch: Any, module: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the parts of a chain with their places, without those that do nothing."""
    module = _unwrapped(module)
    if isinstance(module, (list, tuple)) or type(module) is torch.nn.Sequential:
        for number, part in enumerate(module):
            yield from _parts(torch, part, f"{place}[{number}]")
    elif type(module) is not torch.nn.Identity:
        yield place, module


def _unwrapped(module: Any) -> Any:
    """Return the module inside `DataParallel`, `DistributedDataParallel` or a compiled module."""
    inside = {"DataParallel": "module", "DistributedDataParallel": "module", "OptimizedModule": "_orig_mod"}
    name = inside.get(type(module).__name__)
    return module if name is None else getattr(module, name)


def _dtype(torch: Any, parts: Sequence[Any]) -> str:
    for part in parts:
        if isinstance(part, Module):
            if part.parameter_count:
                return str(part.dtype)
            continue
        for parameter in part.parameters() if isinstance(part, torch.nn.Module) else ():
            return "float64" if parameter.dtype == torch.float64 else "float32"
    return "float32"


class _Reader:
    """Converts the modules of one model."""

    def __init__(self, torch: Any, dtype: str) -> None:
        self._torch, self._dtype = torch, dtype
        self._embeddings: dict[int, Embedding] = {}  # by the identity of their weight
        # Weights and their places, by identity, which no other tensor can have as long as they are kept.
        self._taken: dict[int, tuple[Any, str]] = {}

    def layer(self, module: Any, place: str) -> Module:
        if isinstance(module, Module):
            return module
        kind = self._kind(module, place)
        if kind in _ACTIVATIONS:
            return self._activation(kind, module, place)
        make: dict[str, Callable[[Any, str], Module]] = {
            "Linear": self._linear,
            "Embedding": self._embedding,
            "LayerNorm": self._layer_norm,
            "Dropout": lambda module, _: Dropout(module.p, dtype=self._dtype),
        }
        make |= dict.fromkeys(RECURRENT, self._recurrent) | dict.fromkeys(CELLS, self._cell)
        self._check_current(module, place)
        layer = make[kind](module, place)
        flags = [parameter.requires_grad for parameter in module.parameters()]
        if flags and not any(flags):
            layer.trainable = False
        return layer

    def _check_current(self, module: Any, place: str) -> None:
        """Raise ValueError if a hook computes a weight in each forward pass, so that its value may be old."""
        own = dict(module.named_parameters(recurse=False))
        for name in own:
            whole, _, end = name.rpartition("_")
            if end in ("g", "v", "orig") and whole not in own and hasattr(module, whole):
                raise ValueError(
                    f"{place} must have {whole} as a parameter; got one that a hook computes from {name}. "
                    "Fix: call torch.nn.utils.remove_weight_norm, remove_spectral_norm or prune.remove first."
                )

    def _kind(self, module: Any, place: str) -> str:
        """Return the name of the class in torch.nn that the module is."""
        nn = self._torch.nn
        if not isinstance(module, nn.Module):
            raise TypeError(
                f"{place} must be a torch.nn.Module; got {short(module)} of type {type(module).__name__}. "
                "Fix: pass a module, or a state dict to from_state_dict."
            )
        simple = ("Linear", "Embedding", "LayerNorm", "Dropout", *_ACTIVATIONS)
        for name in (*RECURRENT, *CELLS, *simple):
            known = getattr(nn, name)
            if isinstance(module, known):
                ours = type(module).__module__.startswith("bptt.")
                if type(module).forward is known.forward or ours:
                    return name
        children = ", ".join(f"module.{name}" for name, _ in module.named_children())
        fix = (
            f"pass a list of its parts in the order of its forward function, from {children}"
            if children
            else "pass a list of the other modules, with a layer of bptt in its place"
        )
        raise TypeError(
            f"{place} must be a module that bptt has, or a list of them; got {type(module).__name__}, whose "
            f"forward function cannot be converted. Fix: {fix}."
        )

    def _load(self, layer: Module, tensors: dict[str, Any], place: str) -> Module:
        """Copy the weights, each of which belongs to one module only."""
        for name, tensor in tensors.items():
            _, other = self._taken.setdefault(id(tensor), (tensor, f"{place}.{name}"))
            if other != f"{place}.{name}":
                raise ValueError(
                    f"{place} must not share weights with another module; got {name}, which is "
                    f"also {other}. Fix: copy the module with copy.deepcopy, or pass it once."
                )
        layer.load_state_dict({name: to_array(tensor, f"{place}.{name}") for name, tensor in tensors.items()})
        return layer

    def _recurrent(self, module: Any, place: str) -> Module:
        if hasattr(module, "bptt_layer"):  # a module of bptt.interop.torch, perhaps with more options
            return copy.deepcopy(module.bptt_layer)  # type: ignore[no-any-return]
        options = {name: getattr(module, name) for name in RECURRENT[module.mode.partition("_")[0]]}
        options["dropout"] = module.dropout if module.num_layers > 1 else 0.0
        layer = _LAYERS[module.mode.partition("_")[0]](**options, dtype=self._dtype)
        return self._load(layer, {name: getattr(module, name) for name in layer.parameters}, place)

    def _cell(self, module: Any, place: str) -> Module:
        kind = next(name for name in CELLS if isinstance(module, getattr(self._torch.nn, name)))
        options = {name: getattr(module, name) for name in CELLS[kind]}
        layer = _LAYERS[kind.removesuffix("Cell")](**options, dtype=self._dtype)
        tensors = {name: getattr(module, name.removesuffix("_l0")) for name in layer.parameters}
        return self._load(layer, tensors, place)

    def _linear(self, module: Any, place: str) -> Module:
        bias = {} if module.bias is None else {"bias": module.bias}
        embedding = self._embeddings.get(id(module.weight))
        if embedding is not None:
            return self._load(TiedLinear(embedding, bias=bool(bias)), bias, place)
        layer = Linear(module.in_features, module.out_features, bias=bool(bias), dtype=self._dtype)
        return self._load(layer, {"weight": module.weight, **bias}, place)

    def _embedding(self, module: Any, place: str) -> Module:
        if module.max_norm is not None or module.scale_grad_by_freq:
            raise ValueError(
                f"{place} must be an Embedding without max_norm and scale_grad_by_freq, which bptt lacks; "
                f"got {module!r}. Fix: build it without them."
            )
        layer = Embedding(
            module.num_embeddings,
            module.embedding_dim,
            padding_idx=module.padding_idx,
            sparse=module.sparse,
            dtype=self._dtype,
        )
        self._embeddings[id(module.weight)] = layer
        self._load(layer, {"weight": module.weight}, place)
        return layer

    def _layer_norm(self, module: Any, place: str) -> Module:
        if len(module.normalized_shape) != 1:
            raise ValueError(
                f"{place} must normalise the last axis only; got a LayerNorm of {module.normalized_shape}. "
                "Fix: use one size."
            )
        tensors = {name: getattr(module, name) for name in ("weight", "bias")}
        tensors = {name: tensor for name, tensor in tensors.items() if tensor is not None}
        layer = LayerNorm(
            module.normalized_shape[0],
            module.eps,
            "weight" in tensors,
            "bias" in tensors,
            dtype=self._dtype,
        )
        return self._load(layer, tensors, place)

    def _activation(self, kind: str, module: Any, place: str) -> Module:
        if (kind == "GELU" and module.approximate != "none") or (kind == "Softmax" and module.dim != -1):
            wanted = "approximate='none'" if kind == "GELU" else "dim=-1"
            raise ValueError(
                f"{place} must be {kind}({wanted}), as in bptt; got {module!r}. Fix: build it with {wanted}."
            )
        return _ACTIVATIONS[kind](dtype=self._dtype)  # type: ignore[call-arg]
