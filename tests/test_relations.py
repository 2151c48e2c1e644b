"""Relations: changes to a training set-up that must not change what is learned.

Each set-up is drawn from a seed: cell, options, loss, optimizer, clip, lengths, mask. BPTT_FUZZ_CASES asks
for more of them.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.train import Trainer

CASES = int(os.environ.get("BPTT_FUZZ_CASES", "12"))
CELLS = {"rnn": bptt.RNN, "lstm": bptt.LSTM, "gru": bptt.GRU, "mgu": bptt.MGU}
EPOCHS, BATCHES = 2, 3
EPSILON = float(np.finfo(np.float64).eps)
GROWTH = 100.0
"""How much a difference may grow over the updates: gradients of such small networks are far from chaos."""


@dataclass
class SetUp:
    """One training job; `batches` are mappings with x (T, B, I)."""

    cell: str
    cell_options: dict[str, Any]
    per_step: bool
    classes: bool
    optimizer: Callable[[], Any]
    options: Callable[[], dict[str, Any]]
    batches: list[dict[str, np.ndarray]]
    batch_first: bool = False
    more: dict[str, Any] = field(default_factory=dict)

    def model(self) -> bptt.Sequential:
        layer = CELLS[self.cell](
            3, 4, seed=1, dtype="float64", batch_first=self.batch_first, **self.cell_options
        )
        width = 4 * (2 if layer.bidirectional else 1)
        pick: list[bptt.Module] = []
        if not self.per_step:
            ends = bptt.Ends if layer.bidirectional else bptt.Last
            pick = [ends(batch_first=self.batch_first)]
        return bptt.Sequential(layer, *pick, bptt.Linear(width, 2, seed=2, dtype="float64"))

    def loss(self) -> Any:
        return bptt.CrossEntropy() if self.classes else bptt.MeanSquaredError()

    def trainer(self, **more: Any) -> Trainer:
        options = {"progress": False, **self.options(), **self.more, **more}
        return Trainer(self.model(), self.loss(), self.optimizer(), **options)

    def weights(self, **more: Any) -> np.ndarray:
        trainer = self.trainer(**more)
        trainer.fit(self.batches, EPOCHS)
        return np.array(trainer.model.flat_parameters)


def drawn(seed: int) -> SetUp:
    """A set-up; its gradients have no dropout, which would draw other masks for other shapes."""
    rng = np.random.default_rng(seed)

    def choose(*values: Any) -> Any:
        return values[rng.integers(len(values))]

    per_step, classes = choose(True, False), choose(True, False)
    has_lengths, has_mask = choose(True, False), choose(True, False)
    batches = []
    for _ in range(BATCHES):
        T, B = int(rng.integers(1, 9)), int(rng.integers(1, 5))
        rows = (T, B) if per_step else (B,)
        target = rng.integers(0, 2, rows) if classes else rng.standard_normal((*rows, 2))
        batch = {"x": rng.standard_normal((T, B, 3)), "target": target}
        if has_lengths:
            batch["lengths"] = rng.integers(0, T + 1, B)
        if has_mask:
            batch["mask"] = rng.random(rows) < 0.7
        batches.append(batch)
    clip = choose(None, 0.1, 1.0)
    clip_state = choose(None, 0.01)
    return SetUp(
        cell=choose(*CELLS),
        cell_options={
            "num_layers": choose(1, 2),
            "bidirectional": choose(True, False, False),
            "layer_norm": choose(True, False, False),
        },
        per_step=per_step,
        classes=classes,
        optimizer=choose(lambda: bptt.SGD(0.1, momentum=0.9), lambda: bptt.Adam(0.01, weight_decay=0.1)),
        options=lambda: {
            "clip": None if clip is None else bptt.ClipNorm(clip),
            "clip_state": clip_state,
        },
        batches=batches,
    )


def assert_close(one: np.ndarray, other: np.ndarray) -> None:
    """Equal but for the rounding of sums in another order."""
    atol = GROWTH * EPOCHS * BATCHES * 8 * 5 * EPSILON
    np.testing.assert_allclose(one, other, rtol=0, atol=atol)


def changed(set_up: SetUp, change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> SetUp:
    return SetUp(**{**vars(set_up), "batches": [change(batch) for batch in set_up.batches]})


def full_lengths(batch: dict[str, np.ndarray]) -> np.ndarray:
    T, B = batch["x"].shape[:2]
    return batch.get("lengths", np.full(B, T))


def by_row(
    set_up: SetUp, batch: dict[str, np.ndarray], change: Callable[[np.ndarray, int], np.ndarray]
) -> Any:
    """Change every array along the axis that it has for rows."""
    axis = {"x": 1, "lengths": 0, "target": int(set_up.per_step), "mask": int(set_up.per_step)}
    return {name: change(array, axis[name]) for name, array in batch.items()}


RELATIONS: list[Callable[[int], None]] = []


def relation(check: Callable[[int], None]) -> Callable[[int], None]:
    """Add the function to what `test_relations` checks."""
    RELATIONS.append(check)
    return check


@relation
def rows_permuted(seed: int) -> None:
    set_up = drawn(seed)
    rng = np.random.default_rng(seed)

    def permuted(batch: dict[str, np.ndarray]) -> Any:
        order = rng.permutation(batch["x"].shape[1])
        return by_row(set_up, batch, lambda array, axis: np.take(array, order, axis))

    assert_close(changed(set_up, permuted).weights(), set_up.weights())


@relation
def padding_appended(seed: int) -> None:
    set_up = drawn(seed)

    def padded(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        found = {**batch, "lengths": full_lengths(batch)}
        names = ("x", "target", "mask") if set_up.per_step else ("x",)
        for name in names:
            if name in found:
                widths = [(0, 3)] + [(0, 0)] * (found[name].ndim - 1)
                found[name] = np.pad(found[name], widths, constant_values=1)
        return found

    assert_close(changed(set_up, padded).weights(), set_up.weights())


@relation
def a_row_added_that_the_mask_leaves_out(seed: int) -> None:
    check_a_row_that_does_not_count(seed, "mask")


@relation
def a_row_of_length_0_added(seed: int) -> None:
    check_a_row_that_does_not_count(seed, "length 0")


def check_a_row_that_does_not_count(seed: int, way: str) -> None:
    set_up = drawn(seed)

    def with_row(batch: dict[str, np.ndarray]) -> Any:
        T, B = batch["x"].shape[:2]
        rows = (T, B) if set_up.per_step else (B,)
        whole = {**batch, "mask": batch.get("mask", np.ones(rows, bool)), "lengths": full_lengths(batch)}
        more = by_row(set_up, whole, lambda array, axis: np.concatenate([array, array.take([0], axis)], axis))
        if way == "mask":
            more["mask"][..., -1] = False
        else:
            more["lengths"][-1] = 0
        return more

    assert_close(changed(set_up, with_row).weights(), set_up.weights())


@relation
def axes_swapped(seed: int) -> None:
    set_up = drawn(seed)

    def swapped(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        names = ("x", "target", "mask") if set_up.per_step else ("x",)
        return {name: array.swapaxes(0, 1) if name in names else array for name, array in batch.items()}

    other = changed(set_up, swapped)
    other.batch_first = True
    assert_close(other.weights(), set_up.weights())


@relation
def epochs_split(seed: int) -> None:
    set_up = drawn(seed)
    split = set_up.trainer()
    for _ in range(EPOCHS):
        split.fit(set_up.batches)
    assert np.array_equal(split.model.flat_parameters, set_up.weights())


@relation
def truncation_of_at_least_T(seed: int) -> None:
    set_up = drawn(seed)
    set_up.cell_options["bidirectional"] = False
    whole = set_up.weights()
    assert np.array_equal(set_up.weights(truncate=8), whole)
    assert np.array_equal(set_up.weights(truncate=(8, 20)), whole)


@relation
def steps_recomputed(seed: int) -> None:
    set_up = drawn(seed)
    set_up.cell_options["bidirectional"] = False
    whole = set_up.weights()
    for checkpoint in (1, 3, "auto"):
        assert np.array_equal(set_up.weights(checkpoint=checkpoint), whole), checkpoint


@relation
def equal_batches_accumulated(seed: int) -> None:
    set_up = drawn(seed)
    twice = changed(set_up, dict)
    twice.batches = [batch for batch in set_up.batches for _ in range(2)]
    # Errors of rows are half as large in a mean over twice as many: clip_state would clip others of them.
    options = {"accumulate": 2, "clip_state": None}
    assert_close(twice.weights(**options), set_up.weights(clip_state=None))


@relation
def threads(seed: int) -> None:
    set_up = drawn(seed)
    found = []
    for threads in (1, 2, 3):
        bptt.set_num_threads(threads)
        found.append(set_up.weights())
    assert np.array_equal(found[1], found[0])
    assert np.array_equal(found[2], found[0])


@relation
def a_loop_written_by_hand(seed: int) -> None:
    set_up = drawn(seed)
    options = set_up.options()
    net, loss, optimizer, clip = set_up.model(), set_up.loss(), set_up.optimizer(), options["clip"]
    for _ in range(EPOCHS):
        for batch in set_up.batches:
            T = len(batch["x"])
            lengths = full_lengths(batch)
            rows = np.arange(T)[:, None] < lengths if set_up.per_step else lengths > 0
            mask = rows & batch.get("mask", np.ones(rows.shape, bool))
            if not mask.any():
                continue
            net.zero_grad()
            y, _, tape = net.forward(batch["x"], lengths=lengths)
            _, dy = loss(y, batch["target"], mask)
            net.backward(tape, dy, need_dx=False, clip_state=options["clip_state"])
            if clip is not None:
                bptt.clip_by_norm(net, clip.max_norm)
            optimizer.step(net)
    assert_close(net.flat_parameters, set_up.weights())


@pytest.mark.parametrize("seed", range(CASES))
def test_relations(seed: int, subtests: pytest.Subtests) -> None:
    for check in RELATIONS:
        with subtests.test(check.__name__):
            check(seed)
