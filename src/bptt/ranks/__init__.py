"""Data-parallel training over MPI: the collective operations of the ranks."""

from bptt.ranks.ranks import RankError, Ranks

__all__ = ["RankError", "Ranks"]
