"""Long short-term memory (Hochreiter and Schmidhuber 1997) with a forget gate (Gers et al. 2000) and, if its
weights hold `weight_peephole`, peepholes (Gers et al. 2002), in NumPy.

    i_t = sigma(W_i x_t + b_ih_i + U_i h_{t-1} + b_hh_i + p_i (.) c_{t-1})
    f_t = sigma(W_f x_t + b_ih_f + U_f h_{t-1} + b_hh_f + p_f (.) c_{t-1})
    g_t =  tanh(W_g x_t + b_ih_g + U_g h_{t-1} + b_hh_g)
    c_t = f_t (.) c_{t-1} + i_t (.) g_t
    o_t = sigma(W_o x_t + b_ih_o + U_o h_{t-1} + b_hh_o + p_o (.) c_t)
    h_t = o_t (.) tanh(c_t)

T time steps, B rows of a batch, I inputs, H hidden units; (.) is the product by elements. W is `weight_ih`
(4H, I), U is `weight_hh` (4H, H), their blocks in the order i, f, g, o; p is `weight_peephole` (3, H), its
rows in the order i, f, o. The input and forget gates see c_{t-1}, the output gate sees c_t.
"""

from __future__ import annotations

import numpy as np

from bptt.reference.common import Array, Gradients, State, Tape, Weights, bias, last_step, sigmoid


def forward(x: Array, state: State, weights: Weights) -> Tape:
    """Run the cell over time.

    Parameters
    ----------
    x : array of shape (T, B, I)
    state : tuple of two arrays of shape (B, H)
        (h0, c0).
    weights : mapping
        One layer's parameters in one direction.

    Returns
    -------
    Tape
        Its `gates` (T, B, 4H) are i, f, g, o.
    """
    h0, c0 = state
    W, U = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = bias(weights, "bias_ih"), bias(weights, "bias_hh")
    p_i, p_f, p_o = weights.get("weight_peephole", np.zeros((3, 1)))
    T = len(x)
    h = np.empty((T + 1, *h0.shape))
    c = np.empty_like(h)
    gates = np.empty((T, len(h0), len(W)))
    h[0], c[0] = h0, c0

    for t in range(1, T + 1):
        a_i, a_f, a_g, a_o = np.split(x[t - 1] @ W.T + b_ih + h[t - 1] @ U.T + b_hh, 4, axis=1)
        i = sigmoid(a_i + p_i * c[t - 1])
        f = sigmoid(a_f + p_f * c[t - 1])
        g = np.tanh(a_g)
        c[t] = f * c[t - 1] + i * g
        o = sigmoid(a_o + p_o * c[t])
        h[t] = o * np.tanh(c[t])
        gates[t - 1] = np.concatenate([i, f, g, o], axis=1)

    return Tape(x, (h, c), gates)


def backward(tape: Tape, weights: Weights, dy: Array, dstate: State, steps: int | None = None) -> Gradients:
    """Invert `forward` step by step, from the last one.

    Parameters
    ----------
    tape : Tape
        From `forward` with the same weights.
    weights : mapping
        As given to `forward`.
    dy : array of shape (T, B, H)
        dL/dh_t from outside the recursion.
    dstate : tuple of two arrays of shape (B, H)
        dL/dh_T and dL/dc_T from outside.
    steps : int, optional
        Go back at most so many steps. None: all.
    """
    x, (h, c) = tape.x, tape.states
    W, U = weights["weight_ih"], weights["weight_hh"]
    p_i, p_f, p_o = weights.get("weight_peephole", np.zeros((3, 1)))
    T, stop = len(x), last_step(steps, len(x))
    dx, dW, dU, db = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U), np.zeros(len(U))
    dp = np.zeros((3, U.shape[1]))
    dh_norm, dc_norm = np.zeros(T), np.zeros(T)
    dh_next, dc_next = dstate  # what flows back into h_t and c_t from step t + 1

    for t in range(T, stop - 1, -1):
        i, f, g, o = np.split(tape.gates[t - 1], 4, axis=1)
        dh = dy[t - 1] + dh_next

        # h_t = o_t (.) tanh(c_t)
        tanh_c = np.tanh(c[t])
        dc = dc_next + dh * o * (1.0 - tanh_c**2)
        do = dh * tanh_c

        # o_t = sigma(a_o), a_o = ... + p_o (.) c_t
        da_o = do * o * (1.0 - o)
        dc = dc + p_o * da_o

        dh_norm[t - 1] = np.linalg.norm(dh)
        dc_norm[t - 1] = np.linalg.norm(dc)

        # c_t = f_t (.) c_{t-1} + i_t (.) g_t
        dc_next = dc * f
        df, di, dg = dc * c[t - 1], dc * g, dc * i

        # g_t = tanh(a_g)
        da_g = dg * (1.0 - g**2)

        # f_t = sigma(a_f), a_f = ... + p_f (.) c_{t-1}
        da_f = df * f * (1.0 - f)
        dc_next = dc_next + p_f * da_f

        # i_t = sigma(a_i), a_i = ... + p_i (.) c_{t-1}
        da_i = di * i * (1.0 - i)
        dc_next = dc_next + p_i * da_i

        # a = W x_t + b_ih + U h_{t-1} + b_hh + p (.) (c_{t-1}, c_{t-1}, c_t)
        da = np.concatenate([da_i, da_f, da_g, da_o], axis=1)
        dx[t - 1] = da @ W
        dh_next = da @ U
        dW += da.T @ x[t - 1]
        dU += da.T @ h[t - 1]
        db += da.sum(axis=0)
        dp += np.stack([da_i * c[t - 1], da_f * c[t - 1], da_o * c[t]]).sum(axis=1)

    if stop > 1:
        dh_next, dc_next = np.zeros_like(dh_next), np.zeros_like(dc_next)
    dweights = {"weight_ih": dW, "weight_hh": dU, "bias_ih": db, "bias_hh": db, "weight_peephole": dp}
    gradients = {name: dweights[name] for name in weights}
    return Gradients(dx, (dh_next, dc_next), gradients, (dh_norm, dc_norm))
