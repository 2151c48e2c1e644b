"""The simple recurrent network (Elman 1990), in NumPy.

    h_t = f(W x_t + b_ih + U h_{t-1} + b_hh)        f: tanh or relu

T time steps, B rows of a batch, I inputs, H hidden units. W is `weight_ih` (H, I), U is `weight_hh` (H, H).
"""

from __future__ import annotations

import numpy as np

from bptt.reference.common import Array, Gradients, State, Tape, Weights, bias, last_step


def forward(x: Array, state: State, weights: Weights, *, relu: bool) -> Tape:
    """Run the cell over time.

    Parameters
    ----------
    x : array of shape (T, B, I)
    state : tuple of one array of shape (B, H)
        (h0,).
    weights : mapping
        One layer's parameters in one direction.
    relu : bool
        max(a, 0) in place of tanh(a).

    Returns
    -------
    Tape
        Its `gates` (T, B, H) are the outputs themselves.
    """
    (h0,) = state
    W, U = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = bias(weights, "bias_ih"), bias(weights, "bias_hh")
    T = len(x)
    h = np.empty((T + 1, *h0.shape))
    h[0] = h0

    for t in range(1, T + 1):
        a = x[t - 1] @ W.T + b_ih + h[t - 1] @ U.T + b_hh
        h[t] = np.maximum(a, 0.0) if relu else np.tanh(a)

    return Tape(x, (h,), h[1:])


def backward(
    tape: Tape,
    weights: Weights,
    dy: Array,
    dstate: State,
    steps: int | None = None,
    *,
    relu: bool,
) -> Gradients:
    """Invert `forward` step by step, from the last one.

    Parameters
    ----------
    tape : Tape
        From `forward` with the same weights.
    weights : mapping
        As given to `forward`.
    dy : array of shape (T, B, H)
        dL/dh_t from outside the recursion.
    dstate : tuple of one array of shape (B, H)
        dL/dh_T from outside.
    steps : int, optional
        Go back at most so many steps. None: all.
    relu : bool
        As given to `forward`.
    """
    x, (h,) = tape.x, tape.states
    W, U = weights["weight_ih"], weights["weight_hh"]
    T, stop = len(x), last_step(steps, len(x))
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(len(U))
    dh_norm = np.zeros(T)
    (dh_next,) = dstate  # what flows back into h_t from step t + 1

    for t in range(T, stop - 1, -1):
        dh = dy[t - 1] + dh_next
        dh_norm[t - 1] = np.linalg.norm(dh)

        # h_t = f(a)
        da = dh * (h[t] > 0.0) if relu else dh * (1.0 - h[t] ** 2)

        # a = W x_t + b_ih + U h_{t-1} + b_hh
        dx[t - 1] = da @ W
        dh_next = da @ U
        dW += da.T @ x[t - 1]
        dU += da.T @ h[t - 1]
        db += da.sum(axis=0)

    if stop > 1:
        dh_next = np.zeros_like(dh_next)
    dweights = {"weight_ih": dW, "weight_hh": dU, "bias_ih": db, "bias_hh": db}
    return Gradients(dx, (dh_next,), {name: dweights[name] for name in weights}, (dh_norm,))
