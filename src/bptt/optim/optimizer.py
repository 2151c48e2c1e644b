"""The base class of the optimizers: learning rates, state vectors and one update of a model's flat vector."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import chain
from operator import setitem
from typing import Any, TypeAlias

import numpy as np

from bptt.arguments import call_repr, real, short, takes
from bptt.arrays import Floats, aligned_zeros
from bptt.layers.module import Module
from bptt.layers.passes.one_call import OneCall
from bptt.layers.sparse import outside
from bptt.optim.rates import fixed_names, parse_groups, parse_weight_decay, runs
from bptt.optim.sparse import CoreCall as CoreCall
from bptt.optim.sparse import refuse_decay, update_rows

Rate: TypeAlias = float | Callable[[int], float]


def as_rate(value: object, name: str) -> Rate:
    """Check a learning rate: a number >= 0, or a callable that takes the number of updates."""
    if not callable(value):
        return real(value, name, 0.0)
    if not takes(value, 1):
        raise TypeError(
            f"{name} must be a number or a schedule(step); got {short(value)}, which cannot be called with "
            f"one number. Fix: pass {name}=lambda step: 0.1 / (1 + step), or a class of bptt.schedules."
        )
    return value


def rate_at(rate: Rate, step: int, name: str) -> float:
    """Return the learning rate after `step` updates."""
    return real(rate(step), f"{name}({step})", 0.0) if callable(rate) else rate


class Optimizer:
    """Base class of all optimizers. One optimizer serves one model.

    The state vectors are laid out like the model's flat parameters, and start at zero. A subclass names its
    state vectors and defines `update`. The base class does the rest: schedules, groups of parameters, saving
    and resuming.

    Parameters
    ----------
    lr : float or callable
        Learning rate, or a schedule: `lr(n)` is the rate of the next update after n updates.
    weight_decay : float or mapping of str to float
        Factor of the L2 term added to the gradient. Or a factor for each group of parameters:
        {"*bias*": 0.0, "*": 0.01}. Parameters without a pattern have no weight decay. Sparse parameters must
        have none, because their rows change only in updates in which they occur.
    lr_factors : mapping of str to float, optional
        Learning rates of parameter groups, as factors of `lr`: {"0.*": 0.1, "*bias*": 2.0}. Patterns match
        parameter names as shells match file names, and the first matching pattern decides. Parameters without
        a pattern have factor 1. Parameters with factor 0 are fixed: neither they nor their state vectors
        change, and their gradients count neither in the gradient norm nor in clipping.
    vectors : tuple of str
        Names of the state vectors. Not "kind" or "steps", which `state_dict` uses.

    Attributes
    ----------
    steps : int
        Updates made so far.
    given_lr : float or callable
        The argument `lr` of the constructor.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> class SignDescent(bptt.Optimizer):
    ...     def update(self, parameters, gradients, state, lr, weight_decay):
    ...         parameters -= lr * np.sign(gradients)
    >>> layer = bptt.Linear(1, 1, bias=False)
    >>> layer.flat_parameters[:], layer.flat_gradients[:] = 1.0, 0.5
    >>> SignDescent(lr=0.1).step(layer)
    >>> layer.flat_parameters.round(3)
    array([0.9], dtype=float32)
    """

    def __init__(
        self,
        lr: Rate,
        weight_decay: float | Mapping[str, float] = 0.0,
        lr_factors: Mapping[str, float] | None = None,
        vectors: tuple[str, ...] = (),
    ) -> None:
        self.lr = lr
        self.given_lr = self._lr
        self._decays = parse_weight_decay(weight_decay)
        self.weight_decay = dict(self._decays) if isinstance(weight_decay, Mapping) else self._decays[0][1]
        self._factors = () if lr_factors is None else parse_groups(lr_factors, "lr_factors")
        self.steps = 0
        self._vectors = vectors
        self._state: dict[str, Floats] = {}
        self._one_call = OneCall()

    @property
    def lr(self) -> float:
        """Learning rate of the next update. Assign a number or a schedule to change it."""
        return rate_at(self._lr, self.steps, "lr")

    @lr.setter
    def lr(self, value: Rate) -> None:
        self._lr = as_rate(value, "lr")

    @property
    def lr_factors(self) -> dict[str, float]:
        """Learning-rate factors of parameter groups, by pattern."""
        return dict(self._factors)

    @property
    def schedule(self) -> Callable[[int], float] | None:
        """The schedule that sets `lr`; None if `lr` is a number."""
        return self._lr if callable(self._lr) else None

    def fixed(self, model: Module) -> frozenset[str]:
        """Return the names of the fixed parameters, whose learning-rate factor is 0.

        Raises
        ------
        TypeError
            `model` is not a model.
        ValueError
            A pattern of `lr_factors` or `weight_decay` matches none of the model's parameters.
        """
        _check_model(model)
        runs(model, self._factors, self._decays)
        return fixed_names(model, self._factors)

    def step(self, model: Module) -> None:
        """Update `model.flat_parameters` from `model.flat_gradients`, which do not change.

        Ctrl-C cannot interrupt an update halfway: the update is either made and counted, or not made.

        Raises
        ------
        TypeError
            `model` is not a model.
        ValueError
            The model has another number of parameters, or another dtype, than the model of earlier updates.
            Or a pattern of `lr_factors` or `weight_decay` matches none of its parameters, or a sparse
            parameter has weight decay.
        RuntimeError
            Another thread is in `step` of this optimizer.
        """
        _check_model(model)
        self._one_call.run(
            partial(self._make_update, model),
            f"{type(self).__name__}.step must make one update at a time; got a call while another one runs. "
            "Fix: wait for the other call, or give each thread its own model and optimizer.",
        )

    def _make_update(self, model: Module) -> None:
        parameters, gradients = model.flat_parameters, model.flat_gradients
        groups = runs(model, self._factors, self._decays)
        if not self._state:
            self._state = {name: self._first(name, parameters) for name in self._vectors}
        for vector in self._state.values():
            if vector.shape != parameters.shape or vector.dtype != parameters.dtype:
                raise ValueError(
                    f"model must be the model of earlier updates of this {type(self).__name__}, with "
                    f"{vector.size} parameters in {vector.dtype}; got {parameters.size} in "
                    f"{parameters.dtype}. Fix: make one optimizer per model."
                )
        lr = self.lr
        updates: list[Sequence[CoreCall]] = []
        for run, group in groups:
            if group.factor == 0:
                continue
            blocks = [block for block in model.sparse_blocks if run.start <= block.start < run.stop]
            refuse_decay(blocks, group.weight_decay)
            settings = lr * group.factor, group.weight_decay
            for part in outside(run, blocks):
                state = {name: vector[part] for name, vector in self._state.items()}
                updates.append(self._update(parameters[part], gradients[part], state, *settings))
            for block in blocks:
                updates.append(
                    update_rows(self._update, block, parameters, gradients, self._state, *settings)
                )
        count = partial(setattr, self, "steps", self.steps + 1)
        # Python handles signals between bytecodes. C makes all these calls, so no signal comes between them.
        deque(map(partial.__call__, (*chain.from_iterable(updates), count)), maxlen=0)

    def update(
        self,
        parameters: Floats,
        gradients: Floats,
        state: Mapping[str, Floats],
        lr: float,
        weight_decay: float,
    ) -> None:
        """Compute the update of one group of parameters, in place.

        `step` calls this method on copies of parameters and state, and stores them if no error occurs.

        Parameters
        ----------
        parameters : ndarray (n,)
            Change these numbers.
        gradients : ndarray (n,)
            Read-only.
        state : mapping of str to ndarray (n,)
            The state vectors of the group. Change their numbers. They are zero before the first update.
        lr : float
            Learning rate of the group. `self.steps` is the number of updates before this one.
        weight_decay : float
            Weight decay of the group.
        """
        raise NotImplementedError(
            f"{type(self).__name__} must define update(self, parameters, gradients, state, lr, weight_decay)"
        )

    def _update(
        self,
        parameters: Floats,
        gradients: Floats,
        state: Mapping[str, Floats],
        lr: float,
        weight_decay: float,
    ) -> Sequence[CoreCall]:
        """Return calls that change parameters and state in place. `step` makes the calls."""
        copies = {name: vector.copy() for name, vector in state.items()}
        updated, given = parameters.copy(), gradients.view()
        given.flags.writeable = False
        self.update(updated, given, copies, lr, weight_decay)
        whole = slice(None)
        return [
            partial(setitem, parameters, whole, updated),
            *(partial(setitem, vector, whole, copies[name]) for name, vector in state.items()),
        ]

    def _first(self, name: str, parameters: Floats) -> Floats:
        """Return a state vector before the first update."""
        return aligned_zeros(parameters.size, parameters.dtype)

    def __repr__(self) -> str:
        return call_repr(self, lr=self.given_lr, lr_factors=self.lr_factors or None)

    def state_dict(self) -> dict[str, Any]:
        """Return `kind`, `steps` and copies of the state vectors (none before the first step).

        A mean of squares that the dtype cannot hold is stored as minus its square root.
        """
        vectors = {name: vector.copy() for name, vector in self._state.items()}
        return {"kind": type(self).__name__, "steps": self.steps, **vectors}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Restore a state that `state_dict` returned. All values are checked before any is changed.

        Raises
        ------
        TypeError
            `state` is not a mapping.
        ValueError
            `state` is the state of another kind of optimizer, a vector is missing or unknown, or the vectors
            are not float vectors of one length.
        """
        if not isinstance(state, Mapping):
            raise TypeError(
                f"state must be a mapping; got {type(state).__name__}. Fix: pass what state_dict() returned."
            )
        kind, steps = state.get("kind"), state.get("steps")
        if kind != type(self).__name__:
            raise ValueError(
                f"state must be the state of {type(self).__name__}; got the state of {kind!r}. "
                f"Fix: load it into {kind}."
            )
        if not isinstance(steps, int) or isinstance(steps, bool) or steps < 0:
            raise ValueError(
                f"state['steps'] must be an int >= 0; got {steps!r}. Fix: pass an unchanged state_dict()."
            )
        vectors = {name: np.asarray(value) for name, value in state.items() if name not in ("kind", "steps")}
        if set(vectors) != set(self._vectors) and (vectors or steps):
            raise ValueError(
                f"state must hold the vectors {sorted(self._vectors)}; got {sorted(vectors)}. "
                f"Fix: load it into {kind} with the same arguments."
            )
        forms = {(array.shape, array.dtype) for array in vectors.values()}
        if len(forms) > 1 or any(len(shape) != 1 or dtype not in ("f4", "f8") for shape, dtype in forms):
            raise ValueError(
                "state must hold float32 or float64 vectors of one length; got "
                f"{sorted(f'{dtype} {shape}' for shape, dtype in forms)}. "
                "Fix: pass an unchanged state_dict()."
            )
        copies: dict[str, Floats] = {}
        for name, array in vectors.items():
            copies[name] = aligned_zeros(array.size, array.dtype)
            copies[name][...] = array
        self._state, self.steps = copies, steps


def _check_model(model: object) -> None:
    if not isinstance(model, Module):
        raise TypeError(f"model must be a layer or a Sequential; got {short(model)}. Fix: pass the model.")
