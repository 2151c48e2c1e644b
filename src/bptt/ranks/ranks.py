"""Data-parallel training: the collective operations of the ranks of a run.

Every rank has the whole model and its own rows. One sum per update turns the gradients of the ranks into the
gradient over all rows. From this gradient, every rank then makes the same update.
"""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt

from bptt import _core, runtime
from bptt._version import __version__
from bptt.files.settings import differences
from bptt.layers import Module
from bptt.optim.clip import Clip
from bptt.optim.gradients import NonFiniteError
from bptt.optim.optimizer import Optimizer
from bptt.ranks.communicator import Comm
from bptt.ranks.processes import check_comm, end_job, share_cores

AnyError = TypeVar("AnyError", bound=BaseException)

COMPARE_EVERY = 100
"""Number of updates between two comparisons of the weights. Hashing a million weights takes a few
milliseconds: 0.1 % of 100 updates, or less."""

_WEIGHT, _LOSS, _TOKENS, _NONFINITE, _ENDED = range(5)
"""Positions of the numbers that follow the gradient in the sum of an update."""
_EXTRA = 5


class RankError(RuntimeError):
    """The ranks of a run do not agree. All ranks raise this error, with the same message.

    Examples
    --------
    >>> import bptt
    >>> issubclass(bptt.ranks.RankError, RuntimeError)
    True
    """


class Ranks:
    """The ranks of a run, as seen by one rank. With a single rank, nothing is sent and nothing changes.

    The methods are collective: all ranks must call them at the same point of the run.

    Parameters
    ----------
    comm : mpi4py.MPI.Comm or None
        Communicator of the ranks. None: a single rank.

    Attributes
    ----------
    rank, size : int

    Raises
    ------
    TypeError
        `comm` is not a communicator.

    Examples
    --------
    >>> import bptt
    >>> ranks = bptt.ranks.Ranks(None)
    >>> ranks.rank, ranks.size
    (0, 1)
    """

    def __init__(self, comm: Comm | None) -> None:
        self._comm = check_comm(comm)
        self.rank, self.size = self._comm.rank, self._comm.size
        self._updates = 0
        self._nonfinite, self._nonfinite_ranks = False, 0
        self._agreed: BaseException | None = None
        self._watched = False
        self._sent: npt.NDArray[np.float64] = np.empty(0)
        self._summed: npt.NDArray[np.float64] = np.empty(0)
        if self.size > 1:
            share_cores(self._comm)

    # Before the first update

    def begin(self, model: Module, optimizer: Optimizer, clip: Clip, setup: Mapping[str, Any]) -> None:
        """Check that all ranks begin the same run, then copy the state of the first rank to all ranks.

        The state consists of the weights, and the states of the optimizer and the clip.

        Parameters
        ----------
        model, optimizer, clip
            Objects of this rank.
        setup : mapping
            JSON values that must be the same on every rank.

        Raises
        ------
        RankError
            The ranks differ. The message names the difference and the rank.
        ValueError
            The model has a sparse parameter.
        """
        if self.size == 1:
            return
        mine = {
            "bptt": __version__,
            "instruction set": runtime.isa(),  # instruction sets round differently: weights would diverge
            "model": repr(model),
            "dtype": model.dtype.name,
            **setup,
        }
        setups = self._comm.allgather(mine)
        for rank, rank_setup in enumerate(setups):
            if differing := differences(setups[0], rank_setup, words=("on rank 0:", f"on rank {rank}:")):
                raise self._agree(
                    RankError(
                        f"all ranks must begin the same run; got {'; '.join(differing)}. Fix: run the same "
                        "script with the same arguments on all ranks; if the machines differ, set "
                        "BPTT_ISA=avx2 on all of them."
                    )
                )
        if model.sparse_blocks:
            raise self._agree(
                ValueError(
                    f"model must have no sparse parameter for training on {self.size} ranks, which sum whole "
                    f"gradients; got {model.sparse_blocks[0].name}. Fix: pass Embedding(..., sparse=False)."
                )
            )
        self._comm.Bcast(model.flat_parameters)
        optimizer.load_state_dict(self._comm.bcast(optimizer.state_dict()))
        clip.load_state_dict(self._comm.bcast(clip.state_dict()))
        self._updates = 0

    # Every update

    def reduce(
        self, model: Module, base: float, weight: float, loss: float, tokens: int, *, mean: bool
    ) -> tuple[float, float, int]:
        """Replace the gradient of this rank by the gradient over the rows of all ranks.

        The sum is computed in float64. So products with a number of rows do not overflow, and numbers of rows
        stay exact. MPI chooses the order of the sum. Its effect disappears when the mean is rounded to
        float32.

        Parameters
        ----------
        model : Module
            Model whose gradient, times `base`, is the gradient of the sum over this rank's rows.
        base : float
            Factor of the gradient.
        weight : float
            Sum of the weights of this rank's rows that count; may be 0.
        loss : float
            Weighted sum of the loss over these rows.
        tokens : int
            Number of time steps times rows.
        mean : bool
            Whether gradient and loss are divided by the sum of the weights.

        Returns
        -------
        weight : float
            Sum of the weights on all ranks. If 0, the gradient is zero.
        loss : float
            Mean of the loss over all rows that count, or their sum.
        tokens : int
            Number of tokens on all ranks.

        Raises
        ------
        RankError
            The weights differ, or the epoch of another rank has ended.
        """
        if self._updates % COMPARE_EVERY == 0:
            self._compare(model)
        gradient = model.flat_gradients
        self._nonfinite = _core.first_nonfinite(gradient) >= 0
        sent, summed = self._buffers(gradient.size)
        with np.errstate(over="ignore", invalid="ignore"):  # the clip handles non-finite gradients
            np.multiply(gradient, base, out=sent[:-_EXTRA], dtype=np.float64)
            sent[-_EXTRA:] = weight, loss, tokens, self._nonfinite, False
            self._comm.Allreduce(sent, summed)
            extra = summed[-_EXTRA:]
            if extra[_ENDED]:
                raise self._uneven(ended=False)
            divisor = (extra[_WEIGHT] or 1.0) if mean else 1.0
            np.divide(summed[:-_EXTRA], divisor, out=gradient, casting="same_kind")
        self._updates += 1
        self._nonfinite_ranks = int(extra[_NONFINITE])
        return float(extra[_WEIGHT]), float(extra[_LOSS] / divisor), int(extra[_TOKENS])

    def end_epoch(self, model: Module) -> None:
        """Check that no rank has more batches than this rank, and that all weights are equal.

        Raises
        ------
        RankError
            A rank has more batches, or the weights differ.
        """
        if self.size == 1:
            return
        # A rank with more batches waits in `reduce`, for a sum of this size.
        sent, summed = self._buffers(model.flat_gradients.size)
        sent[...] = 0.0
        sent[-_EXTRA:][_ENDED] = True
        self._comm.Allreduce(sent, summed)
        if summed[-_EXTRA:][_ENDED] < self.size:
            raise self._uneven(ended=True)
        self._compare(model)

    def _buffers(self, parameters: int) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        if self._sent.size != parameters + _EXTRA:
            self._sent, self._summed = np.empty(parameters + _EXTRA), np.empty(parameters + _EXTRA)
        return self._sent, self._summed

    def _compare(self, model: Module) -> None:
        digest = hashlib.blake2b(model.flat_parameters.data, digest_size=8).digest()
        digests = self._comm.allgather(digest)
        majority = Counter(digests).most_common(1)[0][0]
        if differing := [rank for rank, rank_digest in enumerate(digests) if rank_digest != majority]:
            raise self._agree(
                RankError(
                    f"weights must be the same on all ranks; got other weights {_on(differing)} than "
                    f"{_on([digests.index(majority)])} after {self._updates} updates. Fix: set the same "
                    "weights and learning rates on all ranks."
                )
            )

    def _uneven(self, *, ended: bool) -> RankError:
        ended_by_rank = self._comm.allgather(ended)
        unfinished = [rank for rank, rank_ended in enumerate(ended_by_rank) if not rank_ended]
        finished = [rank for rank, rank_ended in enumerate(ended_by_rank) if rank_ended]
        return self._agree(
            RankError(
                f"all ranks must have the same number of batches; got more {_on(unfinished)} when the epoch "
                f"had ended {_on(finished)}, after {self._updates} updates. Fix: pass "
                "bptt.data.Shard(data, comm) with the same data on all ranks, or the same number of batches "
                "on each; a callback must call stop() on all ranks."
            )
        )

    # Occasional operations

    def count(self, weight: float) -> float:
        """Return the sum of the weights on all ranks."""
        weights: list[float] = self._comm.allgather(weight)
        return sum(weights)

    def holds(self, condition: bool) -> bool:
        """Return whether the condition is true on every rank."""
        return all(self._comm.allgather(condition))

    def total(self, value: float, weight: float) -> tuple[float, float]:
        """Return the sums of both numbers over all ranks."""
        values, weights = zip(*self._comm.allgather((value, weight)), strict=True)
        return sum(values), sum(weights)

    def gather(self, mine: Any) -> list[Any]:
        """Return the value of each rank, in the order of ranks."""
        return self._comm.allgather(mine)

    def wait(self) -> None:
        """Wait until all ranks have called this method."""
        self._comm.Barrier()

    # Errors

    def raise_on_all_ranks(self, error: NonFiniteError) -> NonFiniteError:
        """Return the error for all ranks to raise: that of the first rank with a non-finite gradient."""
        if self._nonfinite_ranks:  # 0 if every gradient was finite and only the sum overflowed
            texts = self._comm.allgather(str(error) if self._nonfinite else None)
            rank, text = next((rank, text) for rank, text in enumerate(texts) if text is not None)
            error = NonFiniteError(f"on rank {rank}, {text}", error.parameter)
        return self._agree(error)

    def _agree(self, error: AnyError) -> AnyError:
        self._agreed = error
        return error

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """End the job if the block raises an exception, unless all ranks raise the same exception."""
        if self.size == 1 or self._watched:
            yield
            return
        self._watched = True
        try:
            yield
        except BaseException as error:
            if error is not self._agreed:
                end_job(self._comm, error)
            raise
        finally:
            self._watched = False


def _on(ranks: list[int]) -> str:
    return f"on rank{'s' * (len(ranks) > 1)} {', '.join(map(str, ranks))}"
