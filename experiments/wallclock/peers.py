"""One network twice, in bptt and in PyTorch: the same weights, losses, clipping and optimizer."""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np

import bptt
from experiments.wallclock.recipes import Array, Batch, Recipe


class Peer(Protocol):
    """A network in training."""

    def update(self, batch: Batch) -> float:
        """Make one update. Return the loss before it."""

    def outputs(self, x: Array) -> Array:
        """Return the outputs for x."""


class Ours:
    """The network in bptt.

    Parameters
    ----------
    recipe : Recipe
    seed : int
        Seed of the weights.
    """

    def __init__(self, recipe: Recipe, seed: int) -> None:
        self.model = recipe.model(seed)
        self._loss = bptt.MeanSquaredError() if recipe.loss == "squared" else bptt.CrossEntropy()
        self._optimizer = bptt.Adam(recipe.rate)
        self._max_norm = recipe.max_norm

    def update(self, batch: Batch) -> float:
        y, _, tape = self.model.forward(batch.x)
        value, dy = self._loss(y, batch.target, weight=batch.weight)
        self.model.zero_grad()
        self.model.backward(tape, dy)
        bptt.clip_by_norm(self.model, self._max_norm)
        self._optimizer.step(self.model)
        return value

    def outputs(self, x: Array) -> Array:
        return np.asarray(self.model(x)[0])


class Torch:
    """The same network in PyTorch, with the weights of `ours`."""

    def __init__(self, recipe: Recipe, ours: Ours) -> None:
        import torch

        self._torch = torch
        self._recipe = recipe
        self._lstm = torch.nn.LSTM(recipe.inputs, recipe.hidden)
        self._linear = torch.nn.Linear(recipe.hidden, recipe.outputs)
        linear = "2" if recipe.last else "1"
        for name, module in {"0": self._lstm, linear: self._linear}.items():
            weights = {
                key: torch.tensor(np.array(ours.model.parameters[f"{name}.{key}"]))
                for key in module.state_dict()
            }
            module.load_state_dict(weights)
        self._parameters = [*self._lstm.parameters(), *self._linear.parameters()]
        self._adam = torch.optim.Adam(self._parameters)
        self._steps = 0

    def _forward(self, x: Array) -> Any:
        y, _ = self._lstm(self._torch.from_numpy(x))
        y = self._linear(y[-1] if self._recipe.last else y)
        return self._torch.sigmoid(y) if self._recipe.sigmoid else y

    def _loss(self, y: Any, batch: Batch) -> Any:
        functional, target = self._torch.nn.functional, self._torch.from_numpy(batch.target)
        if self._recipe.loss == "squared":
            return functional.mse_loss(y, target)
        logits, classes = y.reshape(-1, y.shape[-1]), target.reshape(-1)
        if batch.weight is None:
            return functional.cross_entropy(logits, classes)
        weight = self._torch.from_numpy(batch.weight).float().reshape(-1)
        return (functional.cross_entropy(logits, classes, reduction="none") * weight).sum() / weight.sum()

    def update(self, batch: Batch) -> float:
        self._adam.param_groups[0]["lr"] = self._recipe.rate(self._steps)
        loss = self._loss(self._forward(batch.x), batch)
        self._adam.zero_grad()
        loss.backward()
        self._torch.nn.utils.clip_grad_norm_(self._parameters, self._recipe.max_norm)
        self._adam.step()
        self._steps += 1
        return float(loss.detach())

    def outputs(self, x: Array) -> Array:
        with self._torch.no_grad():
            return np.asarray(self._forward(x).numpy())
