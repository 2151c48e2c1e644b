"""The parameters of a module as one flat vector, which bptt reads without a copy.

The parameters are views of one buffer, in bptt's order. Every call checks their addresses. Where the
parameters lie elsewhere, the call reads copies.
"""

from __future__ import annotations

import math
import threading
from importlib import import_module
from operator import itemgetter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from bptt import _core
from bptt.arrays import aligned_zeros
from bptt.interop.torch.internals import owners
from bptt.interop.torch.options import check_precision
from bptt.layers.recurrent import Recurrent

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types

DTYPES: dict[Any, np.dtype[Any]] = {torch.float32: np.dtype(np.float32), torch.float64: np.dtype(np.float64)}

_address = torch.Tensor.data_ptr


class Flat(NamedTuple):
    """Parameters as the core reads them."""

    array: npt.NDArray[Any]
    """(N,): a view of the parameters' memory, or a read-only copy."""
    core: _core.Recurrent
    """The compiled stack for this dtype."""
    dtype: Any
    """The dtype of PyTorch."""
    addresses: list[int] | None
    """The addresses of the parameters, or None for a copy."""

    def saved(self, tensors: tuple[Any, ...]) -> Flat:
        """Return the vector of the parameters that autograd has kept for the backward pass."""
        if list(map(_address, tensors)) == self.addresses:
            return self
        array = torch.cat([tensor.detach().reshape(-1) for tensor in tensors]).numpy()
        array.flags.writeable = False
        return self._replace(array=array, addresses=None)


class Weights:
    """The parameters of one module, and the bptt layer that computes it.

    Parameters
    ----------
    layer : Recurrent
        A layer with the sizes and options of the module. It becomes a view of the module's parameters.
    names : tuple of str, optional
        The names of the module's parameters, in the order of the layer's. Default: as in the layer.
    """

    def __init__(self, layer: Recurrent, names: tuple[str, ...] | None = None) -> None:
        self.layer = layer
        self.table = layer.table
        self.names = names or tuple(name for name, _ in self.table)
        self._shapes = [shape for _, shape in self.table]
        sizes = [math.prod(shape) for shape in self._shapes]
        self._offsets = [sum(sizes[:index]) for index in range(len(sizes))]
        self._count = sum(sizes)
        self._square = [k for k, shape in enumerate(self._shapes) if len(shape) == 2 and shape[0] == shape[1]]
        self._pick: Any = itemgetter(*self.names)
        self._flat: Flat | None = None
        self._flatten_first = True
        self._lock = threading.Lock()

    def places(self) -> tuple[tuple[slice, tuple[int, ...]], ...]:
        """Return where each parameter lies in the flat vector, and its shape."""
        return tuple(
            (slice(offset, offset + math.prod(shape)), shape)
            for shape, offset in zip(self._shapes, self._offsets, strict=True)
        )

    def current(self, module: Any, parameters: dict[str, Any]) -> tuple[tuple[Any, ...], Flat | None]:
        """Return the tensors that the module computes with, and the same numbers as one vector.

        The vector is None if bptt cannot read the tensors. `parameters` is the module's own mapping.
        """
        try:
            tensors = self._pick(parameters)
        except KeyError:  # a parametrization or a pruning mask computes the tensor
            tensors = tuple(getattr(module, name) for name in self.names)
        if self._flatten_first:
            self.flatten(parameters)
        flat = self._flat
        if flat is None or list(map(_address, tensors)) != flat.addresses:
            flat = self._read(tensors)
        elif self._square and not all(tensors[index].is_contiguous() for index in self._square):
            flat = self._read(tensors)  # a square matrix has been transposed where it is
        return tensors, flat

    def flatten(self, parameters: dict[str, Any]) -> None:
        """Move the parameters into one buffer, if nothing else refers to their memory.

        The Parameter objects stay the same. Parameters in shared memory, parameters that other tensors or
        arrays view, and parameters that another module has flattened stay where they are.
        """
        self._flatten_first = False
        tensors: list[Any] = [parameters.get(name) for name in self.names]
        if not all(map(_movable, tensors)) or len({id(tensor) for tensor in tensors}) != len(tensors):
            return
        dtypes = {tensor.dtype for tensor in tensors}
        if len(dtypes) != 1 or self._shapes != [tuple(tensor.shape) for tensor in tensors]:
            return
        with torch.no_grad():
            buffer = torch.empty(self._count, dtype=dtypes.pop(), device="cpu")
            for tensor, offset in zip(tensors, self._offsets, strict=True):
                view = buffer[offset : offset + tensor.numel()].view(tensor.shape)
                view.copy_(tensor)
                tensor.data = view

    def scatter(self, parameters: dict[str, Any]) -> None:
        """Move every parameter to separate memory.

        If the buffer is in shared memory, or other tensors or arrays refer to it, nothing happens.
        """
        tensors: list[Any] = [parameters.get(name) for name in self.names]
        movable = all(type(tensor) is torch.nn.Parameter and not tensor.is_shared() for tensor in tensors)
        if movable and owners(tensors[0]) <= len(tensors) + 1:  # the parameters, and the core's array
            with torch.no_grad():
                for tensor in tensors:
                    tensor.data = tensor.data.clone()
            self._flatten_first = True

    def separate(self, state: dict[str, Any], prefix: str) -> None:
        """Give the entries of a state_dict storages of their own, over the memory of the parameters.

        Libraries that write files take tensors of one storage for copies of each other, and refuse them or
        leave all but one out. In shared memory, the entries stay as they are.
        """
        for name in self.names:
            tensor: Any = state.get(prefix + name)
            if type(tensor) is not torch.Tensor or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
                continue
            is_part = tensor.untyped_storage().nbytes() > tensor.numel() * tensor.element_size()
            if is_part and tensor.is_contiguous() and not (tensor.is_shared() or tensor.is_inference()):
                state[prefix + name] = torch.from_numpy(tensor.numpy())

    def bound_layer(self, module: Any, parameters: dict[str, Any]) -> Recurrent | None:
        """Return the layer with the current values, or None if bptt cannot read them.

        The layer is a view of the module's parameters if these lie in one buffer, else it has copies.
        """
        _, flat = self.current(module, parameters)
        if flat is not None and flat.addresses is None:
            with self._lock:
                self._bind(np.array(flat.array))
        return None if flat is None else self.layer

    def _read(self, tensors: tuple[Any, ...]) -> Flat | None:
        """Return the vector of tensors that have moved."""
        first = tensors[0]
        for tensor, shape in zip(tensors, self._shapes, strict=True):
            plain = type(tensor) in (torch.Tensor, torch.nn.Parameter) and tensor.device.type == "cpu"
            if not plain or tensor.layout is not torch.strided or tensor.dtype is not first.dtype:
                return None
            if tuple(tensor.shape) != shape or tensor.is_neg():
                return None
        if first.dtype not in DTYPES:
            return None
        with self._lock:
            if self._in_one_buffer(tensors):
                view = torch.empty(0, dtype=first.dtype, device="cpu")
                view.set_(first.untyped_storage(), first.storage_offset(), (self._count,))
                self._bind(view.numpy())
                core, addresses = self.layer.core, list(map(_address, tensors))
                self._flat = Flat(self.layer.flat_parameters, core, first.dtype, addresses)
                return self._flat
            if self.layer.dtype != DTYPES[first.dtype]:
                self._bind(aligned_zeros(self._count, DTYPES[first.dtype]))
                self._flat = None
            copy = np.empty(self._count, DTYPES[first.dtype])
            torch.cat([tensor.detach().reshape(-1) for tensor in tensors], out=torch.from_numpy(copy))
            copy.flags.writeable = False  # a tape keeps read-only weights without another copy
            return Flat(copy, self.layer.core, first.dtype, None)

    def _in_one_buffer(self, tensors: tuple[Any, ...]) -> bool:
        """Return whether the tensors follow each other in one storage, in bptt's order."""
        storage = tensors[0].untyped_storage()
        start, size = tensors[0].data_ptr(), tensors[0].element_size()
        if start - storage.data_ptr() + self._count * size > storage.nbytes() or start % size:
            return False
        return all(
            tensor.data_ptr() == start + offset * size
            and tensor.untyped_storage().data_ptr() == storage.data_ptr()
            and tensor.is_contiguous()
            for tensor, offset in zip(tensors, self._offsets, strict=True)
        )

    def _bind(self, array: npt.NDArray[Any]) -> None:
        check_precision(self.layer.precision, array.dtype.name)  # a module may change its dtype
        self.layer.bind(array, aligned_zeros(self._count, array.dtype))


def _movable(tensor: Any) -> bool:
    """Return whether a parameter may get other memory without a trace."""
    if type(tensor) is not torch.nn.Parameter or tensor.device.type != "cpu" or tensor.dtype not in DTYPES:
        return False
    if tensor.layout is not torch.strided or tensor.is_shared() or tensor.is_inference():
        return False
    whole = tensor.untyped_storage().nbytes() == tensor.numel() * tensor.element_size()
    return whole and tensor.is_contiguous() and owners(tensor) == 1
