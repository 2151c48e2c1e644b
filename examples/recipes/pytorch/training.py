"""The training loop of the PyTorch scripts in this folder, as PyTorch users write it."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch


def fit(
    module: torch.nn.Module,
    loss: Callable[[torch.Tensor, torch.Tensor], torch.Tensor],
    optimizer: torch.optim.Optimizer,
    batches: Iterable[Any],
    epochs: int,
    *,
    clip: float | None = None,
    schedule: Any = None,
    carry_state: bool = False,
    validate: Callable[[], object] | None = None,
) -> None:
    """
    Train a module on batches (inputs, ..., target).

    Parameters
    ----------
    clip
        Largest norm of the gradient of an update.
    schedule
        A scheduler of `torch.optim.lr_scheduler`, which makes a step after every update.
    carry_state
        The module reads (input, state) and returns (output, state): the state goes from batch to batch of an
        epoch, and the gradient stops between batches.
    validate
        Called after each epoch, with the module in evaluation mode and without gradients.
    """
    for _ in range(epochs):
        module.train()
        state = None
        for *inputs, target in batches:
            optimizer.zero_grad()
            if carry_state:
                output, state = module(*inputs, state)
                state = detached(state)
            else:
                output = module(*inputs)
            loss(output, target).backward()
            if clip is not None:
                torch.nn.utils.clip_grad_norm_(module.parameters(), clip)
            optimizer.step()
            if schedule is not None:
                schedule.step()
        module.eval()
        if validate is not None:
            with torch.no_grad():
                validate()


def detached(state: Any) -> Any:
    """Return a state, a tensor or a tuple of tensors, through which no gradient flows back."""
    return state.detach() if isinstance(state, torch.Tensor) else tuple(part.detach() for part in state)
