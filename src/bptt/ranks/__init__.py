"""Data-parallel training over MPI: what the ranks of a run do together."""

from bptt.ranks.ranks import RankError, Ranks

__all__ = ["RankError", "Ranks"]
