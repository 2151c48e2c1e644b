"""The gated recurrent unit (Cho et al. 2014), in NumPy.

The reset gate acts after the product with U, as in PyTorch and cuDNN. In `gru_reset_before.py` it acts
before.

    h'_t = h_{t-1}, or 0 after a reset
    s_t  = h'_t (.) m                                          m: recurrent dropout
    r_t  = sigma(N(W_r x_t) + b_ih_r + N(U_r s_t) + b_hh_r)    N: layer norm and gain, or nothing
    z_t  = sigma(N(W_z x_t) + b_ih_z + N(U_z s_t) + b_hh_z)
    q_t  = N(U_n s_t) + b_hh_n
    n_t  =   phi(N(W_n x_t) + b_ih_n + r_t (.) q_t)
    h~_t = (1 - z_t) (.) n_t + z_t (.) h'_t
    h_t  = k_t (.) h'_t + (1 - k_t) (.) h~_t                   k: zoneout

T time steps, B rows of a batch, I inputs, H hidden units; (.) is the elementwise product. W is `weight_ih`
(3H, I) and U is `weight_hh` (3H, H), with blocks in the order r, z, n. Layer norm normalises r and z
together, and n separately. sigma and phi are the logistic function and tanh, unless `Gated` changes them.
m, k and resets come from `Run`. Without them h' and s are h_{t-1}, and h_t is h~_t.
"""

from __future__ import annotations

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference import norm
from bptt.reference.activations import Gated
from bptt.reference.clip import limited
from bptt.reference.common import (
    Array,
    Gradients,
    Run,
    State,
    Sums,
    Tape,
    Weights,
    bias,
    error_norm,
    last_step,
)


def forward(x: Array, state: State, weights: Weights, run: Run, *, options: Gated) -> Tape:
    """Run the cell over time.

    Parameters
    ----------
    x : array of shape (T, B, I)
    state : tuple of one array of shape (B, H)
        (h0,).
    weights : mapping
        One layer's parameters in one direction.
    run : Run
        Resets and masks.
    options : Gated

    Returns
    -------
    Tape
        `gates` (T, B, 4H) are r, z, n, q. The tape also saves `arguments` (T, B, 3H), which are the
        arguments of the activations before any clipping, and the arrays of `norm.products`.
    """
    (h0,) = state
    sigma, phi = options.sigma, options.phi
    W, U = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = bias(weights, "bias_ih"), bias(weights, "bias_hh")
    gain_ih, gain_hh = weights.get("weight_norm_ih"), weights.get("weight_norm_hh")
    T, (B, H) = len(x), h0.shape
    cuts = [2 * H]
    h = np.empty((T + 1, B, H))
    gates, arguments = np.empty((T, B, 4 * H)), np.empty((T, B, 3 * H))
    products = norm.products(T, B, len(W))
    h[0] = h0

    for t in range(1, T + 1):
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        v_ih, v_hh = run.product(x[t - 1], W.T), run.product(s, U.T)
        a_r, a_z, a_n = np.split(norm.forward(v_ih, gain_ih, cuts) + b_ih, 3, axis=1)
        u_r, u_z, q = np.split(norm.forward(v_hh, gain_hh, cuts) + b_hh, 3, axis=1)
        a_r, a_z = a_r + u_r, a_z + u_z
        r, z = sigma(a_r), sigma(a_z)
        a_n = a_n + r * q
        n = phi(a_n)
        h_new = (1.0 - z) * n + z * h_old
        k = run.keep_h[t - 1]
        h[t] = run.held(t, h[t - 1], k * h_old + (1.0 - k) * h_new)
        gates[t - 1] = np.concatenate([r, z, n, q], axis=1)
        arguments[t - 1] = np.concatenate([a_r, a_z, a_n], axis=1)
        products["v_ih"][t - 1], products["v_hh"][t - 1] = v_ih, v_hh

    return Tape(run, x, (h,), gates, {"arguments": arguments} | products)


def backward(
    tape: Tape,
    weights: Weights,
    dy: Array,
    dstate: State,
    steps: int | None = None,
    clip: StateClip | None = None,
    *,
    options: Gated,
) -> Gradients:
    """Invert `forward` step by step, from the last one.

    Parameters
    ----------
    tape : Tape
        From `forward` with the same weights.
    weights : mapping
        The weights of `forward`.
    dy : array of shape (T, B, H)
        dL/dh_t from outside the recursion.
    dstate : tuple of one array of shape (B, H)
        dL/dh_T from outside.
    steps : int, optional
        Go back at most `steps` steps. None: all.
    clip : StateClip, optional
        Clip each whole dL/dh_t to these bounds before it is used. None: no clipping.
    options : Gated
        The options of `forward`.
    """
    run, x, (h,) = tape.run, tape.x, tape.states
    sigma, phi = options.sigma, options.phi
    W, U = weights["weight_ih"], weights["weight_hh"]
    gain_ih, gain_hh = weights.get("weight_norm_ih"), weights.get("weight_norm_hh")
    cuts = [2 * h.shape[2]]
    T, stop = len(x), last_step(steps, len(x))
    dx, dweights = np.zeros_like(x), Sums()
    errors, dh_norm = np.zeros_like(dy), np.zeros(T)
    (dh_next,) = dstate  # the error of h_t that comes from step t + 1

    for t in range(T, stop - 1, -1):
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        r, z, n, q = np.split(tape.gates[t - 1], 4, axis=1)
        a_r, a_z, a_n = np.split(tape.saved["arguments"][t - 1], 3, axis=1)
        dh = run.of_step(t, limited(dy[t - 1] + dh_next, clip))
        errors[t - 1], dh_norm[t - 1] = dh, error_norm(dh)

        # h_t = k (.) h' + (1 - k) (.) h~
        k = run.keep_h[t - 1]
        dh_old, dh_new = k * dh, (1.0 - k) * dh

        # h~ = (1 - z) (.) n + z (.) h'
        dz, dn = dh_new * (h_old - n), dh_new * (1.0 - z)
        dh_old = dh_old + dh_new * z

        # n = phi(a_n), a_n = ... + r (.) q
        da_n = dn * phi.slope(a_n, n)
        dr, dq = da_n * q, da_n * r

        # z = sigma(a_z), r = sigma(a_r)
        da_z = dz * sigma.slope(a_z, z)
        da_r = dr * sigma.slope(a_r, r)

        # u = N(U s) + b_hh: the n block of u is q, so the gradient of this bias is r (.) da_n
        du = np.concatenate([da_r, da_z, dq], axis=1)
        dUs, dgain_hh = norm.backward(du, tape.saved["v_hh"][t - 1], gain_hh, cuts)
        ds = run.product(dUs, U)
        dweights.add("weight_hh", run.product(dUs.T, s))
        dweights.add("bias_hh", du.sum(axis=0))
        dweights.add("weight_norm_hh", dgain_hh)

        # a = N(W x_t) + b_ih
        da = np.concatenate([da_r, da_z, da_n], axis=1)
        dWx, dgain_ih = norm.backward(da, tape.saved["v_ih"][t - 1], gain_ih, cuts)
        dx[t - 1] = run.product(dWx, W)
        dweights.add("weight_ih", run.product(dWx.T, x[t - 1]))
        dweights.add("bias_ih", da.sum(axis=0))
        dweights.add("weight_norm_ih", dgain_ih)

        # s = h' (.) m
        dh_old = dh_old + ds * run.recurrent

        # h' = h_{t-1}, or 0
        dh_next = run.held(t, dh_next, run.begin(t, dh_old))

    return Gradients(dx, (run.arrived(stop, dh_next),), dweights.of(weights), (dh_norm,), errors)
