"""The gated recurrent unit (Cho et al. 2014), in NumPy. The reset gate acts after the product with U, as in
PyTorch and cuDNN.

    r_t = sigma(W_r x_t + b_ih_r + U_r h_{t-1} + b_hh_r)
    z_t = sigma(W_z x_t + b_ih_z + U_z h_{t-1} + b_hh_z)
    q_t = U_n h_{t-1} + b_hh_n
    n_t =  tanh(W_n x_t + b_ih_n + r_t (.) q_t)
    h_t = (1 - z_t) (.) n_t + z_t (.) h_{t-1}

T time steps, B rows of a batch, I inputs, H hidden units; (.) is the product by elements. W is `weight_ih`
(3H, I), U is `weight_hh` (3H, H), their blocks in the order r, z, n.
"""

from __future__ import annotations

import numpy as np

from bptt.reference.common import Array, Gradients, State, Tape, Weights, bias, last_step, sigmoid


def forward(x: Array, state: State, weights: Weights) -> Tape:
    """Run the cell over time.

    Parameters
    ----------
    x : array of shape (T, B, I)
    state : tuple of one array of shape (B, H)
        (h0,).
    weights : mapping
        One layer's parameters in one direction.

    Returns
    -------
    Tape
        Its `gates` (T, B, 4H) are r, z, n, q.
    """
    (h0,) = state
    W, U = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = bias(weights, "bias_ih"), bias(weights, "bias_hh")
    T, (B, H) = len(x), h0.shape
    h = np.empty((T + 1, B, H))
    gates = np.empty((T, B, 4 * H))
    h[0] = h0

    for t in range(1, T + 1):
        a_r, a_z, a_n = np.split(x[t - 1] @ W.T + b_ih, 3, axis=1)
        u_r, u_z, q = np.split(h[t - 1] @ U.T + b_hh, 3, axis=1)
        r = sigmoid(a_r + u_r)
        z = sigmoid(a_z + u_z)
        n = np.tanh(a_n + r * q)
        h[t] = (1.0 - z) * n + z * h[t - 1]
        gates[t - 1] = np.concatenate([r, z, n, q], axis=1)

    return Tape(x, (h,), gates)


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
    dstate : tuple of one array of shape (B, H)
        dL/dh_T from outside.
    steps : int, optional
        Go back at most so many steps. None: all.
    """
    x, (h,) = tape.x, tape.states
    W, U = weights["weight_ih"], weights["weight_hh"]
    T, stop = len(x), last_step(steps, len(x))
    dx, dW, dU = np.zeros_like(x), np.zeros_like(W), np.zeros_like(U)
    db_ih, db_hh = np.zeros(len(W)), np.zeros(len(U))
    dh_norm = np.zeros(T)
    (dh_next,) = dstate  # what flows back into h_t from step t + 1

    for t in range(T, stop - 1, -1):
        r, z, n, q = np.split(tape.gates[t - 1], 4, axis=1)
        dh = dy[t - 1] + dh_next
        dh_norm[t - 1] = np.linalg.norm(dh)

        # h_t = (1 - z_t) (.) n_t + z_t (.) h_{t-1}
        dz, dn = dh * (h[t - 1] - n), dh * (1.0 - z)
        dh_next = dh * z

        # n_t = tanh(a_n + r_t (.) q_t)
        da_n = dn * (1.0 - n**2)
        dr, dq = da_n * q, da_n * r

        # z_t = sigma(a_z + u_z), r_t = sigma(a_r + u_r)
        da_z = dz * z * (1.0 - z)
        da_r = dr * r * (1.0 - r)

        # u = U h_{t-1} + b_hh: its n block is q, so that bias sees r (.) da_n
        du = np.concatenate([da_r, da_z, dq], axis=1)
        dh_next = dh_next + du @ U
        dU += du.T @ h[t - 1]
        db_hh += du.sum(axis=0)

        # a = W x_t + b_ih
        da = np.concatenate([da_r, da_z, da_n], axis=1)
        dx[t - 1] = da @ W
        dW += da.T @ x[t - 1]
        db_ih += da.sum(axis=0)

    if stop > 1:
        dh_next = np.zeros_like(dh_next)
    dweights = {"weight_ih": dW, "weight_hh": dU, "bias_ih": db_ih, "bias_hh": db_hh}
    return Gradients(dx, (dh_next,), {name: dweights[name] for name in weights}, (dh_norm,))
