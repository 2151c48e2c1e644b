"""Modules of PyTorch for layers of bptt that torch.nn lacks. Only `to_torch` loads this file."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
from torch import nn


class Chain(nn.Sequential):
    """Modules in a chain, where a recurrent module passes on its outputs without its state."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the outputs of the last module."""
        for module in self:
            x = module(x)
            if isinstance(module, nn.RNNBase):
                x = x[0]
        return x


class OverTime(nn.Module):
    """Base class of the modules that make one vector of the steps of a row."""

    options: ClassVar[tuple[str, ...]] = ("batch_first",)
    batch_first: bool

    def __init__(self, **options: Any) -> None:
        super().__init__()
        for name in self.options:
            setattr(self, name, options[name])

    def extra_repr(self) -> str:
        """Show the options."""
        return ", ".join(f"{name}={getattr(self, name)}" for name in self.options)

    def axis(self, x: torch.Tensor) -> int:
        """Return the axis of time."""
        return 1 if self.batch_first and x.dim() == 3 else 0


class Last(OverTime):
    """The last step."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (T, B, F) at its last step, (B, F)."""
        return x.select(self.axis(x), -1)


class Ends(OverTime):
    """The last step of the forward direction, and the first step of the reverse direction."""

    options: ClassVar[tuple[str, ...]] = ("batch_first", "reverse")
    reverse: bool

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (T, B, F) at its ends, (B, F)."""
        first, last = x.select(self.axis(x), 0), x.select(self.axis(x), -1)
        half = 0 if self.reverse else x.shape[-1] // 2
        return torch.cat((last[..., :half], first[..., half:]), dim=-1)


class MeanPool(OverTime):
    """The mean over time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the mean of x (T, B, F), (B, F)."""
        return x.mean(self.axis(x))


class MaxPool(OverTime):
    """The maximum over time."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the maximum of x (T, B, F), (B, F)."""
        return x.amax(self.axis(x))


class Repeat(OverTime):
    """One vector, at every step."""

    options: ClassVar[tuple[str, ...]] = ("steps", "batch_first")
    steps: int

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return x (B, F) at every step, (T, B, F)."""
        axis = 1 if self.batch_first and x.dim() == 2 else 0
        return torch.stack([x] * self.steps, dim=axis)
