"""
Learning-rate schedules, for the `lr` of an optimiser: `bptt.Adam(bptt.schedules.Cosine(1e-3, 5000))`.

Any callable from the number of updates made to a rate will do there; these can be printed and pickled, too.
"""

from bptt.callbacks.plateau import Plateau
from bptt.optim.schedules import Constant, Cosine, Schedule, Step, WarmUp

__all__ = ["Constant", "Cosine", "Plateau", "Schedule", "Step", "WarmUp"]
