"""Data-parallel training: the collective operations of the ranks of a run.

Every rank has the whole model and its own rows. One sum per update turns the gradients of the ranks into the
gradient over all rows. Every rank then makes the same decisions from it.
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
from bptt.optim.optimizers import Optimizer
from bptt.ranks.communicator import Comm
from bptt.ranks.processes import check_comm, end_job, share_cores

AnyError = TypeVar("AnyError", bound=BaseException)

COMPARE_EVERY = 100
"""Updates. A million weights are hashed in some milliseconds: a per mille, or less, of so many updates."""

_ROWS, _LOSS, _TOKENS, _NONFINITE, _ENDED = range(5)
"""What goes behind the gradient in the one sum of an update."""
_EXTRA = 5


class RankError(RuntimeError):
    """The ranks of a run do not go together. All of them raise it, with the same message."""


class Ranks:
    """The ranks of a run, as one of them sees them. Of one alone nothing is sent, and nothing changed.

    Its methods are for all ranks to call, each at the same point of the run.

    Parameters
    ----------
    comm : Comm or None

    Attributes
    ----------
    rank, size : int

    Raises
    ------
    TypeError
        `comm` is no communicator.
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
        """Check that all ranks begin the same run, and give all of them what the first one begins with.

        That is its weights, and the states of its optimizer and its clip.

        Parameters
        ----------
        model, optimizer, clip
            Of this rank.
        setup : mapping
            JSON values that must be the same on every rank.

        Raises
        ------
        RankError
            The ranks differ; the message says in what, and which rank.
        """
        if self.size == 1:
            return
        mine = {
            "bptt": __version__,
            "instruction set": runtime.isa(),  # another rounds otherwise, and the weights would drift apart
            "model": repr(model),
            "dtype": model.dtype.name,
            **setup,
        }
        every = self._comm.allgather(mine)
        for rank, other in enumerate(every):
            if differing := differences(every[0], other, words=("on rank 0:", f"on rank {rank}:")):
                raise self._agree(
                    RankError(
                        f"every rank must set out to do the same; got {'; '.join(differing)}. Fix: run one "
                        "script with the same arguments everywhere; BPTT_ISA=avx2 gives unlike machines one "
                        "instruction set."
                    )
                )
        self._comm.Bcast(model.flat_parameters)
        optimizer.load_state_dict(self._comm.bcast(optimizer.state_dict()))
        clip.load_state_dict(self._comm.bcast(clip.state_dict()))
        self._updates = 0

    # Every update

    def reduce(self, model: Module, base: int, rows: int, loss: float, tokens: int) -> tuple[int, float, int]:
        """Put the gradient of the mean over the rows of all ranks in the place of what this rank has.

        The sum is made in float64: so no product with a number of rows overflows, these stay whole, and the
        order of the summands, which MPI chooses, is lost when the mean is rounded to float32.

        Parameters
        ----------
        model : Module
            Its gradient, times `base`, is that of the sum over this rank's rows.
        base, rows : int
            `rows` are those that count; a rank may have none.
        loss : float
            The sum over these rows.
        tokens : int
            Steps times rows.

        Returns
        -------
        rows : int
            The rows of all ranks that count. 0: the gradient is zero.
        loss : float
            The mean over these rows.
        tokens : int
            Of all ranks.

        Raises
        ------
        RankError
            The weights differ, or another rank's epoch has ended.
        """
        if self._updates % COMPARE_EVERY == 0:
            self._compare(model)
        gradient = model.flat_gradients
        self._nonfinite = _core.first_nonfinite(gradient) >= 0
        sent, summed = self._buffers(gradient.size)
        with np.errstate(over="ignore", invalid="ignore"):  # what is not finite the clip decides about
            np.multiply(gradient, base, out=sent[:-_EXTRA], dtype=np.float64)
            sent[-_EXTRA:] = rows, loss, tokens, self._nonfinite, False
            self._comm.Allreduce(sent, summed)
            extra = summed[-_EXTRA:]
            if extra[_ENDED]:
                raise self._uneven(ended=False)
            counted = max(extra[_ROWS], 1.0)
            np.divide(summed[:-_EXTRA], counted, out=gradient, casting="same_kind")
        self._updates += 1
        self._nonfinite_ranks = int(extra[_NONFINITE])
        return int(extra[_ROWS]), float(extra[_LOSS] / counted), int(extra[_TOKENS])

    def end_epoch(self, model: Module) -> None:
        """See that no rank has more batches, and that the weights are the same.

        Raises
        ------
        RankError
            One has, or they are not.
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
        every = self._comm.allgather(digest)
        most = Counter(every).most_common(1)[0][0]
        if others := [rank for rank, one in enumerate(every) if one != most]:
            raise self._agree(
                RankError(
                    f"weights must be the same on every rank; got others {_on(others)} than "
                    f"{_on([every.index(most)])} after {self._updates} updates. Fix: set weights and "
                    "learning rates on all ranks alike."
                )
            )

    def _uneven(self, *, ended: bool) -> RankError:
        every = self._comm.allgather(ended)
        left = [rank for rank, over in enumerate(every) if not over]
        over = [rank for rank, over in enumerate(every) if over]
        return self._agree(
            RankError(
                f"every rank must have as many batches as the others; got more {_on(left)} when the epoch "
                f"had ended {_on(over)}, after {self._updates} updates. Fix: bptt.data.Shard(data, comm) "
                "with the same data everywhere, or as many batches for each; let stop() be called on all."
            )
        )

    # Now and then

    def count(self, rows: int) -> int:
        """The rows of all ranks."""
        counts: list[int] = self._comm.allgather(rows)
        return sum(counts)

    def holds(self, condition: bool) -> bool:
        """Whether it does on every rank."""
        return all(self._comm.allgather(condition))

    def total(self, value: float, count: int) -> tuple[float, int]:
        """Both, summed over all ranks."""
        values, counts = zip(*self._comm.allgather((value, count)), strict=True)
        return sum(values), sum(counts)

    def gather(self, mine: Any) -> list[Any]:
        """What each has, by rank."""
        return self._comm.allgather(mine)

    def wait(self) -> None:
        """Until all have come here."""
        self._comm.Barrier()

    # Errors

    def raise_on_all_ranks(self, error: NonFiniteError) -> NonFiniteError:
        """For all to raise: what the first rank has to say whose own gradient was not finite."""
        if self._nonfinite_ranks:  # none where the sum overflowed
            texts = self._comm.allgather(str(error) if self._nonfinite else None)
            rank, text = next((rank, text) for rank, text in enumerate(texts) if text is not None)
            error = NonFiniteError(f"on rank {rank}, {text}", error.parameter)
        return self._agree(error)

    def _agree(self, error: AnyError) -> AnyError:
        self._agreed = error
        return error

    @contextmanager
    def all_or_none(self) -> Iterator[None]:
        """An exception in here ends the job, unless all ranks raise it."""
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
