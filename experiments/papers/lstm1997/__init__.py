"""Hochreiter and Schmidhuber (1997), Long short-term memory: experiments 1, 2a, 4, 5 and 6a."""

from experiments.papers.lstm1997.long_lag import LONG_LAG
from experiments.papers.lstm1997.marked_pairs import ADDING, MULTIPLICATION
from experiments.papers.lstm1997.reber import REBER
from experiments.papers.lstm1997.temporal_order import TEMPORAL_ORDER

EXPERIMENTS = (REBER, LONG_LAG, ADDING, MULTIPLICATION, TEMPORAL_ORDER)
