"""Optimizers over a model's flat parameter vector: SGD, RMSProp, Adam, AdamW.

Defaults and update rules are PyTorch's, so that a run can be compared step by step. The updates run in
the core.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from bptt import _core
from bptt.arguments import flag, real
from bptt.arrays import Floats, aligned_zeros
from bptt.optim.optimizer import CoreCall, Optimizer, Rate

SMALLEST_EPS = 1e-30
"""If all gradients were 0, the step is 0 / eps. In float32, too, this must not become 0 / 0."""

LARGEST_ACCUMULATOR = 1e38
"""float32 can hold this number."""


class SGD(Optimizer):
    """Stochastic gradient descent, with or without momentum.

    ::

        v = momentum v + g
        p -= lr v                       with nesterov: p -= lr (g + momentum v)

    Parameters
    ----------
    lr : float or callable
        As for Optimizer.
    momentum : float
        In [0, 1).
    nesterov : bool
        Nesterov momentum, in PyTorch's form. Requires `momentum` > 0.
    weight_decay, lr_factors
        As for Optimizer.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range, or `nesterov` is True without momentum.

    References
    ----------
    Nesterov momentum: Sutskever, Martens, Dahl and Hinton (2013), On the importance of initialization and
    momentum in deep learning.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(1, 1, bias=False)
    >>> layer.flat_parameters[:], layer.flat_gradients[:] = 1.0, 0.5
    >>> bptt.SGD(lr=0.1, momentum=0.9).step(layer)
    >>> layer.flat_parameters.round(3)
    array([0.95], dtype=float32)
    """

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        momentum: float = 0.0,
        nesterov: bool = False,
        weight_decay: float | Mapping[str, float] = 0.0,
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.momentum = real(momentum, "momentum", 0.0, 1.0)
        self.nesterov = flag(nesterov, "nesterov")
        if self.nesterov and not self.momentum:
            raise ValueError(
                "nesterov=True requires momentum > 0; got momentum=0. "
                "Fix: pass momentum=0.9, or nesterov=False."
            )
        super().__init__(lr, weight_decay, lr_factors, ("velocity",) if self.momentum else ())

    def _update(
        self,
        parameters: Floats,
        gradients: Floats,
        state: Mapping[str, Floats],
        lr: float,
        weight_decay: float,
    ) -> Sequence[CoreCall]:
        velocity = state.get("velocity")
        call = partial(
            _core.sgd_step,
            parameters,
            gradients,
            velocity,
            lr,
            self.momentum,
            self.nesterov,
            weight_decay,
        )
        return (call,)


class RMSProp(Optimizer):
    """RMSProp: divide each step by the root of a running mean of squared gradients.

    ::

        s = alpha s + (1 - alpha) g^2
        u = g / (sqrt(s) + eps)                   centered: g / (sqrt(s - a^2) + eps)
        v = momentum v + u                                  a = alpha a + (1 - alpha) g
        p -= lr v

    Parameters
    ----------
    lr : float or callable
        As for Optimizer.
    alpha : float
        In [0, 1).
    momentum : float
        In [0, 1).
    eps : float
        0, or at least 1e-30. Added outside the root, as in PyTorch. With 0, a parameter whose divisor is 0
        does not move.
    centered : bool
        Whether the divisor is the root of the variance of the gradients, not of their mean square.
    initial_accumulator : float
        The value of s before the first update, at least 0. PyTorch starts at 0, other libraries at 0.1 or 1.
    weight_decay, lr_factors
        As for Optimizer.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    References
    ----------
    Tieleman and Hinton (2012), Neural networks for machine learning, lecture 6.5. Centered: Graves (2013),
    Generating sequences with recurrent neural networks, arXiv:1308.0850.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(1, 1, bias=False)
    >>> layer.flat_parameters[:], layer.flat_gradients[:] = 1.0, 0.5
    >>> bptt.RMSProp(lr=0.01).step(layer)
    >>> layer.flat_parameters.round(3)
    array([0.9], dtype=float32)
    """

    def __init__(
        self,
        lr: Rate = 1e-2,
        *,
        alpha: float = 0.99,
        momentum: float = 0.0,
        eps: float = 1e-8,
        centered: bool = False,
        initial_accumulator: float = 0.0,
        weight_decay: float | Mapping[str, float] = 0.0,
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        self.alpha = real(alpha, "alpha", 0.0, 1.0)
        self.momentum = real(momentum, "momentum", 0.0, 1.0)
        self.eps = real(eps, "eps", 0.0) and real(eps, "eps", SMALLEST_EPS)  # 0, or not below the smallest
        self.centered = flag(centered, "centered")
        self.initial_accumulator = real(initial_accumulator, "initial_accumulator", 0.0, LARGEST_ACCUMULATOR)
        optional = {"velocity": self.momentum > 0, "mean": self.centered}
        vectors = ("square", *(name for name, used in optional.items() if used))
        super().__init__(lr, weight_decay, lr_factors, vectors)

    def _first(self, name: str, parameters: Floats) -> Floats:
        vector = aligned_zeros(parameters.size, parameters.dtype)
        if name == "square":
            vector.fill(self.initial_accumulator)
        return vector

    def _update(
        self,
        parameters: Floats,
        gradients: Floats,
        state: Mapping[str, Floats],
        lr: float,
        weight_decay: float,
    ) -> Sequence[CoreCall]:
        square, velocity = state["square"], state.get("velocity")
        call = partial(
            _core.rmsprop_step,
            parameters,
            gradients,
            square,
            velocity,
            lr,
            self.alpha,
            self.momentum,
            self.eps,
            weight_decay,
            state.get("mean"),
        )
        return (call,)


class Adam(Optimizer):
    """Adam: scale each step by running means of the gradient and its square.

    ::

        m = b1 m + (1 - b1) g                     m^ = m / (1 - b1^n)
        v = b2 v + (1 - b2) g^2                   v^ = v / (1 - b2^n)
        p -= lr m^ / (sqrt(v^) + eps)

    With `amsgrad`, v^ is computed from the largest v so far.

    Parameters
    ----------
    lr : float or callable
        As for Optimizer.
    betas : pair of float
        (b1, b2), each in [0, 1).
    eps : float
        At least 1e-30. Added outside the root.
    amsgrad : bool
        Whether to divide by the root of the largest v so far.
    weight_decay, lr_factors
        As for Optimizer.

    Raises
    ------
    TypeError, ValueError
        An argument has the wrong type or is out of range.

    References
    ----------
    Kingma and Ba (2015), Adam: a method for stochastic optimization, arXiv:1412.6980. `amsgrad`: Reddi, Kale
    and Kumar (2018), On the convergence of Adam and beyond.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(1, 1, bias=False)
    >>> layer.flat_parameters[:], layer.flat_gradients[:] = 1.0, 0.5
    >>> bptt.Adam(lr=0.1).step(layer)
    >>> layer.flat_parameters.round(3)
    array([0.9], dtype=float32)
    """

    decoupled = False

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
        weight_decay: float | Mapping[str, float] = 0.0,
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        if not isinstance(betas, (tuple, list)) or len(betas) != 2:
            raise ValueError(f"betas must be a pair of numbers; got {betas!r}. Fix: pass betas=(0.9, 0.999).")
        self.betas = (real(betas[0], "betas[0]", 0.0, 1.0), real(betas[1], "betas[1]", 0.0, 1.0))
        self.eps = real(eps, "eps", SMALLEST_EPS)
        self.amsgrad = flag(amsgrad, "amsgrad")
        vectors = ("m", "v", "largest") if self.amsgrad else ("m", "v")
        super().__init__(lr, weight_decay, lr_factors, vectors)

    def _update(
        self,
        parameters: Floats,
        gradients: Floats,
        state: Mapping[str, Floats],
        lr: float,
        weight_decay: float,
    ) -> Sequence[CoreCall]:
        m, v = state["m"], state["v"]
        call = partial(
            _core.adam_step,
            parameters,
            gradients,
            m,
            v,
            lr,
            *self.betas,
            self.eps,
            weight_decay,
            self.decoupled,
            self.steps + 1,
            state.get("largest"),
        )
        return (call,)


class AdamW(Adam):
    """Adam with decoupled weight decay: Adam's step, plus p -= lr weight_decay p.

    The gradient in Adam's step has no L2 term.

    Parameters
    ----------
    lr, betas, eps, amsgrad, weight_decay, lr_factors
        As for Adam. Errors are those of Adam, too.

    References
    ----------
    Loshchilov and Hutter (2019), Decoupled weight decay regularization, arXiv:1711.05101.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.Linear(1, 1, bias=False)
    >>> layer.flat_parameters[:], layer.flat_gradients[:] = 1.0, 0.5
    >>> bptt.AdamW(lr=0.1, weight_decay=0.5).step(layer)
    >>> layer.flat_parameters.round(3)
    array([0.85], dtype=float32)
    """

    decoupled = True

    def __init__(
        self,
        lr: Rate = 1e-3,
        *,
        betas: tuple[float, float] = (0.9, 0.999),
        eps: float = 1e-8,
        amsgrad: bool = False,
        weight_decay: float | Mapping[str, float] = 1e-2,
        lr_factors: Mapping[str, float] | None = None,
    ) -> None:
        super().__init__(
            lr, betas=betas, eps=eps, amsgrad=amsgrad, weight_decay=weight_decay, lr_factors=lr_factors
        )
