"""The directions in which a recurrent layer reads time."""

from __future__ import annotations

from typing import Protocol


class Directions(Protocol):
    """A layer whose directions are read."""

    bidirectional: bool
    reverse: bool


def check_directions(bidirectional: bool, reverse: bool, merge: str) -> None:
    """Raise ValueError if these arguments of a layer contradict each other."""
    if bidirectional and reverse:
        raise ValueError(
            "reverse and bidirectional must not go together; got both. A bidirectional layer also reads "
            "from the end. Fix: leave one of them out."
        )
    if merge != "concat" and not bidirectional:
        raise ValueError(
            f"merge needs two directions; got merge={merge!r} with bidirectional=False. "
            "Fix: pass bidirectional=True too, or leave merge out."
        )


def reads_from_end(layer: Directions) -> bool:
    """Return whether a direction of the layer reads the sequence from its end."""
    return layer.bidirectional or layer.reverse


def refuse_from_end(layer: Directions, feature: str, alternative: str) -> None:
    """Raise ValueError if a direction of the layer reads the sequence from its end.

    `feature` needs a state that can be carried forward.
    """
    if not reads_from_end(layer):
        return
    option, what = ("bidirectional", "a reverse direction") if layer.bidirectional else ("reverse", "it")
    raise ValueError(
        f"{feature} needs a layer that reads forward only; got {option}=True, so {what} starts at the end. "
        f"Fix: pass {option}=False, or {alternative}."
    )
