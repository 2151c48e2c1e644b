"""The internals of PyTorch that this package reads, in one place.

PyTorch promises nothing about them. A version that lacks one gets the default.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

torch: Any = import_module("torch")  # an optional package, so mypy must not check its types
_forward_ad: Any = import_module("torch.autograd.forward_ad")


def _internal(path: str, default: Any) -> Any:
    """Return an attribute of an attribute of PyTorch, or the default if there is none."""
    value = torch
    for name in path.split("."):
        value = getattr(value, name, None)
    return default if value is None else value


def _ignore(value: Any) -> None:
    return None


def _autocasts() -> bool:
    return bool(torch.is_autocast_enabled() or torch.is_autocast_cpu_enabled())


transforms_active = _internal("_C._are_functorch_transforms_active", bool)
"""() -> whether a transform of torch.func runs."""
tracing_state = _internal("_C._get_tracing_state", lambda: None)
"""() -> the tracer of torch.jit.trace, or None."""
dispatch_modes = _internal("_C._len_torch_dispatch_stack", int)
"""() -> the number of modes that see every operator."""
is_compiling = _internal("compiler.is_compiling", bool)
"""() -> whether torch.compile or torch.export reads this code. A constant for them."""
set_eval_frame = _internal("_C._dynamo.eval_frame.set_eval_frame", _ignore)
"""(callback) -> the callback of torch.compile that was set before, or None."""
keeps_graph = _internal("_C._autograd._get_current_graph_task_keep_graph", lambda: True)
"""() -> whether the current backward pass has `retain_graph=True`."""
current_task = _internal("_C._current_graph_task_id", None)
"""() -> the number of the current backward pass, or None where this PyTorch does not tell."""
will_run = _internal("_C._will_engine_execute_node", None)
"""(node) -> whether the current backward pass will reach the node, or None as for `current_task`."""
autocasts = _internal("_C._is_any_autocast_enabled", _autocasts)
"""() -> whether autocast is on, for any device."""
onednn_enabled = _internal("_C._get_mkldnn_enabled", lambda: True)
"""() -> whether PyTorch may use oneDNN."""
enable_onednn = _internal("_C._set_mkldnn_enabled", _ignore)
"""(enabled): allows or forbids oneDNN. The public function also touches settings of GPUs, which warns."""
functions = _internal("_VF", None)
"""PyTorch's recurrent operators by name."""

_count_owners = _internal("_C._storage_Use_Count", None)
_saving_hooks = _internal("_C._autograd._top_saved_tensors_default_hooks", lambda ignore_tracing: None)


def as_leaf(module: Any, arguments: tuple[Any, ...]) -> Any:
    """Return a call of the whole module in the graph that torch.fx records, or None if it records none."""
    proxy = getattr(sys.modules.get("torch.fx"), "Proxy", None)
    if proxy is None or not isinstance(arguments[0], proxy):
        return None
    tracer: Any = arguments[0].tracer
    given = tuple(argument for argument in arguments if argument is not None)
    return tracer.create_proxy("call_module", tracer.path_of_module(module), given, {})


def has_saving_hooks() -> bool:
    """Return whether functions like `torch.utils.checkpoint` decide what autograd keeps of a pass."""
    try:
        return _saving_hooks(True) is not None
    except TypeError:  # a version whose function has other arguments
        return False


def forward_mode() -> bool:
    """Return whether forward-mode automatic differentiation runs."""
    return bool(getattr(_forward_ad, "_current_level", -1) >= 0)


def versions(tensors: tuple[Any, ...]) -> tuple[int, ...] | None:
    """Return how often PyTorch has changed each tensor in place, or None if PyTorch does not count."""
    try:
        return tuple(getattr(tensor, "_version", 0) for tensor in tensors)
    except RuntimeError:  # tensors made in inference mode
        return None


def have_memory(tensors: tuple[Any, ...]) -> bool:
    """Return whether all tensors that are not None have memory.

    Gradients that vmap batches, and zeros of forward-mode differentiation, have none.
    """
    try:
        return all(tensor is None or tensor.data_ptr() or not tensor.numel() for tensor in tensors)
    except RuntimeError:
        return False


def owners(tensor: Any) -> int:
    """Return how many tensors refer to the memory of this tensor, or 1 if PyTorch does not tell.

    NumPy arrays made from a tensor count as one.
    """
    storage = tensor.untyped_storage()
    handle = getattr(storage, "_cdata", None)
    if _count_owners is None or handle is None:
        return 1
    return int(_count_owners(handle)) - 1  # without `storage`
