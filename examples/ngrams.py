"""An interpolated Kneser-Ney model of characters: predict the next character by counting n-grams."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Ids = npt.NDArray[np.int64]
Vector = npt.NDArray[np.float64]


class KneserNey:
    """P(next | the n - 1 symbols before). Each order gives a discount of its counts to the next lower order.

    The highest order counts n-grams in the text. A lower order counts the number of different symbols before
    each n-gram, because an n-gram that follows only one symbol is unlikely elsewhere. The lowest order is
    uniform.

    Parameters
    ----------
    ids : ndarray of int (N,)
        Text in which n-grams are counted, as ids 0 .. symbols - 1.
    order : int
        n, at least 1; symbols**order below 2**63.
    symbols : int

    References
    ----------
    Kneser and Ney (1995), Improved backing-off for m-gram language modeling; interpolated, and with one
    discount n1 / (n1 + 2 n2) an order: Chen and Goodman (1999), An empirical study of smoothing techniques
    for language modeling.
    """

    def __init__(self, ids: Ids, order: int, symbols: int) -> None:
        if symbols**order >= 2**63:
            raise ValueError(f"order must be smaller for {symbols} symbols; got {order}.")
        self.order = order
        self.symbols = symbols
        grams, counts = np.unique(_codes(ids, order, symbols), return_counts=True)
        self._orders = [_Counts(grams, counts, symbols)]
        for n in range(order - 1, 0, -1):
            grams, counts = np.unique(grams % symbols**n, return_counts=True)
            self._orders.append(_Counts(grams, counts, symbols))

    def losses(self, ids: Ids) -> Vector:
        """
        -log P of every symbol but the first, nats, (N - 1,); the first few have shorter contexts.
        """
        p = np.full(len(ids) - 1, 1.0 / self.symbols)
        for n in range(1, self.order + 1):
            seen = slice(max(n - 2, 0), None)  # P of ids[1:][seen] has n - 1 symbols before it
            grams = _codes(ids[1:] if n == 1 else ids, n, self.symbols)
            p[seen] = self._orders[self.order - n].mixed(grams, p[seen])
        losses: Vector = -np.log(p)
        return losses


class _Counts:
    """The n-grams of one order, and the totals of their contexts."""

    def __init__(self, grams: Ids, counts: Ids, symbols: int) -> None:
        self.symbols = symbols
        self.grams, self.counts = grams, counts
        once, twice = (np.count_nonzero(counts == k) for k in (1, 2))
        # Without a discount, an unseen symbol would have probability 0.
        self.discount = once / (once + 2 * twice) if once else 0.5
        self.contexts, first = np.unique(grams // symbols, return_index=True)
        self.totals = np.add.reduceat(counts, first)
        self.followers = np.diff(np.append(first, len(grams)))

    def mixed(self, grams: Ids, lower: Vector) -> Vector:
        """P of the last symbol of each n-gram after the ones before, with the order below's, (N,)."""
        count = _looked_up(self.grams, self.counts, grams)
        total = _looked_up(self.contexts, self.totals, grams // self.symbols)
        followers = _looked_up(self.contexts, self.followers, grams // self.symbols)
        kept = np.maximum(count - self.discount, 0.0) + self.discount * followers * lower
        return np.where(total > 0, kept / np.maximum(total, 1), lower)


def _codes(ids: Ids, n: int, symbols: int) -> Ids:
    """Return every n-gram as one number, (N - n + 1,)."""
    codes = np.zeros(len(ids) - n + 1, np.int64)
    for k in range(n):
        codes = codes * symbols + ids[k : len(ids) - n + 1 + k]
    return codes


def _looked_up(keys: Ids, values: Ids, wanted: Ids) -> Ids:
    """Return the value of each key, or 0 for a missing key. `keys` are sorted."""
    at = np.minimum(np.searchsorted(keys, wanted), len(keys) - 1)
    return np.where(keys[at] == wanted, values[at], 0)
