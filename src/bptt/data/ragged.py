"""Sequences of unequal length."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from bptt.arguments import Seed, flag, generator, size
from bptt.data.padding import arrays_alike, padded
from bptt.data.shuffled import Shuffled
from bptt.data.weights import parse_weights


class Ragged(Shuffled):
    """Batches of sequences of unequal length, grouped by similar length.

    A batch is `(x, target, lengths)`, or a dict of these and weight. x is (T, B, F), padded with zeros to the
    longest sequence of the batch. target is (B, ...), or with `per_step` (T, B, ...), padded likewise.
    lengths is (B,). The last batch may have fewer rows.

    Parameters
    ----------
    sequences : sequence of array-like
        Each sequence is (T_i, F) with the same F, or (T_i,). Integers (T_i,) are ids, and x is (T, B) for
        `Embedding`. Other numbers (T_i,) have F = 1.
    targets : sequence of array-like
        One target per sequence, all of the same shape. With `per_step`, each target has T_i entries.
    batch_size : int
        Number of sequences per batch, B.
    per_step : bool
        Whether there is one target per step instead of one per sequence.
    weight : array-like (N,), or list of array-like (T_i,) with `per_step`, optional
        Weights of the targets in the loss, at least 0.
    shuffle : bool
        Whether every pass has a new order. Sequences are drawn into pools of `pool` batches, sorted by length
        within each pool, and the batches come in random order. Without `shuffle`, all sequences are sorted by
        length, the shortest first.
    pool : int
        Number of batches per pool. Larger pools need less padding. With smaller pools, batches vary more
        between passes.
    seed : int, numpy.random.Generator or None
        Random seed of the shuffling.

    Raises
    ------
    TypeError
        Sequences or targets are not arrays of real numbers, or a setting has the wrong type.
    ValueError
        There are no sequences. An array has another number of axes or another width than the first array. A
        sequence, or with `per_step` a step, has no target. A setting is out of range.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> sequences = [np.ones((steps, 3)) for steps in (5, 2, 9, 4)]
    >>> data = bptt.data.Ragged(sequences, [0, 1, 1, 0], batch_size=2)
    >>> [(x.shape, lengths.tolist()) for x, target, lengths in data]
    [((4, 2, 3), [2, 4]), ((9, 2, 3), [5, 9])]
    """

    def __init__(
        self,
        sequences: Sequence[npt.ArrayLike] | npt.NDArray[Any],
        targets: Sequence[npt.ArrayLike] | npt.NDArray[Any],
        *,
        batch_size: int,
        per_step: bool = False,
        weight: npt.ArrayLike | Sequence[npt.ArrayLike] | None = None,
        shuffle: bool = False,
        pool: int = 32,
        seed: Seed = None,
    ) -> None:
        self.batch_size = size(batch_size, "batch_size")
        self.per_step = flag(per_step, "per_step")
        self.shuffle = flag(shuffle, "shuffle")
        self.pool = size(pool, "pool")
        self.rng = generator(seed)
        self._x = arrays_alike(sequences, "sequences", skip=1)
        self._targets = arrays_alike(targets, "targets", skip=int(self.per_step))
        if self._x[0].ndim not in (1, 2):
            raise ValueError(
                f"sequences[0] must have shape (T, F) or (T,); got {self._x[0].shape}. "
                "Fix: pass one row per step."
            )
        if self._x[0].ndim == 1 and any(x.dtype.kind not in "iu" for x in self._x):
            self._x = [x[:, None] for x in self._x]
        if len(self._x) != len(self._targets):
            raise ValueError(
                f"targets must hold one entry for each of the {len(self._x)} sequences; got "
                f"{len(self._targets)}. Fix: pass one target per sequence, in the same order."
            )
        self.lengths = np.array([len(x) for x in self._x], np.int64)
        if self.per_step:
            for i, (x, target) in enumerate(zip(self._x, self._targets, strict=True)):
                if len(target) != len(x):
                    raise ValueError(
                        f"targets[{i}] must have {len(x)} entries, one for each step of sequences[{i}]; got "
                        f"{len(target)}. Fix: pass per_step=False if there is one target per sequence."
                    )

        self._weight = None if weight is None else self._parse_weight(weight)

    def _parse_weight(self, weight: Any) -> Any:
        """Return one weight for each sequence, or with `per_step` one array of weights for each sequence."""
        if not self.per_step:
            return parse_weights(weight, "weight", (len(self._x),))
        if len(weight) != len(self._x):
            raise ValueError(
                f"weight must hold one array for each of the {len(self._x)} sequences; got {len(weight)}. "
                "Fix: pass one weight for each step of each sequence."
            )
        shapes = [(len(x),) for x in self._x]
        return [
            parse_weights(part, f"weight[{i}]", shape)
            for i, (part, shape) in enumerate(zip(weight, shapes, strict=True))
        ]

    def __len__(self) -> int:
        return -(-len(self._x) // self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        batches = list(self._batches())
        if self.shuffle:
            batches = [batches[i] for i in self.rng.permutation(len(batches))]
        for rows in batches:
            targets = [self._targets[row] for row in rows]
            target = padded(targets) if self.per_step else np.stack(targets)
            x, lengths = padded([self._x[row] for row in rows]), self.lengths[rows]
            if self._weight is None:
                yield x, target, lengths
            else:
                weights = [self._weight[row] for row in rows]
                weight = padded(weights) if self.per_step else np.array(weights)
                yield {"x": x, "target": target, "lengths": lengths, "weight": weight}

    def _batches(self) -> Iterator[npt.NDArray[np.int64]]:
        count = len(self._x)
        order = self.rng.permutation(count) if self.shuffle else np.arange(count)
        pooled = self.pool * self.batch_size if self.shuffle else count
        for first in range(0, count, pooled):
            rows = order[first : first + pooled]
            rows = rows[np.argsort(self.lengths[rows], kind="stable")]
            for start in range(0, len(rows), self.batch_size):
                yield rows[start : start + self.batch_size]
