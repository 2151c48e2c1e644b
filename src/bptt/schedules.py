"""Learning-rate schedules, for the `lr` of an optimizer: `bptt.Adam(bptt.schedules.Cosine(1e-3, 5000))`.

`lr` also accepts any function that takes the number of updates so far and returns a learning rate. Unlike
such a function, these schedules can always be printed and pickled.
"""

from bptt.callbacks.plateau import Plateau
from bptt.optim.decays import Exponential, MultiStep, OneCycle
from bptt.optim.schedules import Constant, Cosine, Schedule, Step, WarmUp

__all__ = [
    "Constant",
    "Cosine",
    "Exponential",
    "MultiStep",
    "OneCycle",
    "Plateau",
    "Schedule",
    "Step",
    "WarmUp",
]
