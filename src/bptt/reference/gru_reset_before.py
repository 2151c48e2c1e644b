"""The gated recurrent unit with the reset gate before the product, in NumPy.

This is the form of Cho et al. 2014 that later papers print.

    h'_t = h_{t-1}, or 0 after a reset
    s_t  = h'_t (.) m                                          m: recurrent dropout
    r_t  = sigma(N(W_r x_t) + b_ih_r + N(U_r s_t) + b_hh_r)    N: layer norm and gain, or nothing
    z_t  = sigma(N(W_z x_t) + b_ih_z + N(U_z s_t) + b_hh_z)
    p_t  = r_t (.) s_t
    n_t  =   phi(N(W_n x_t) + b_ih_n + N(U_n p_t) + b_hh_n)
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
        `gates` (T, B, 4H) are r, z, n, p. The tape also saves `arguments` (T, B, 3H), which are the
        arguments of the activations before any clipping, and the arrays of `norm.products`.
    """
    (h0,) = state
    sigma, phi = options.sigma, options.phi
    T, (B, H) = len(x), h0.shape
    cuts = [2 * H]
    W, b_ih, gain_ih = weights["weight_ih"], bias(weights, "bias_ih"), weights.get("weight_norm_ih")
    U_rz, U_n = np.split(weights["weight_hh"], cuts)
    b_rz, b_n = np.split(weights.get("bias_hh", np.zeros(3 * H)), cuts)
    gain_rz, gain_n = _gains(weights, cuts)
    h = np.empty((T + 1, B, H))
    gates, arguments = np.empty((T, B, 4 * H)), np.empty((T, B, 3 * H))
    products = norm.products(T, B, len(W))
    h[0] = h0

    for t in range(1, T + 1):
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        v_ih, v_rz = run.product(x[t - 1], W.T), run.product(s, U_rz.T)
        a_rz, a_n = np.split(norm.forward(v_ih, gain_ih, cuts) + b_ih, cuts, axis=1)
        a_rz = a_rz + norm.forward(v_rz, gain_rz) + b_rz
        r, z = np.split(sigma(a_rz), 2, axis=1)
        p = r * s
        v_n = run.product(p, U_n.T)
        a_n = a_n + norm.forward(v_n, gain_n) + b_n
        n = phi(a_n)
        h_new = (1.0 - z) * n + z * h_old
        k = run.keep_h[t - 1]
        h[t] = run.held(t, h[t - 1], k * h_old + (1.0 - k) * h_new)
        gates[t - 1] = np.concatenate([r, z, n, p], axis=1)
        arguments[t - 1] = np.concatenate([a_rz, a_n], axis=1)
        products["v_ih"][t - 1] = v_ih
        products["v_hh"][t - 1] = np.concatenate([v_rz, v_n], axis=1)

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
    T, stop, H = len(x), last_step(steps, len(x)), h.shape[2]
    cuts = [2 * H]
    W, gain_ih = weights["weight_ih"], weights.get("weight_norm_ih")
    U_rz, U_n = np.split(weights["weight_hh"], cuts)
    gain_rz, gain_n = _gains(weights, cuts)
    dx, dweights = np.zeros_like(x), Sums()
    errors, dh_norm = np.zeros_like(dy), np.zeros(T)
    (dh_next,) = dstate  # the error of h_t that comes from step t + 1

    for t in range(T, stop - 1, -1):
        v_rz, v_n = np.split(tape.saved["v_hh"][t - 1], cuts, axis=1)
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        r, z, n, p = np.split(tape.gates[t - 1], 4, axis=1)
        a_r, a_z, a_n = np.split(tape.saved["arguments"][t - 1], 3, axis=1)
        dh = run.of_step(t, limited(dy[t - 1] + dh_next, clip))
        errors[t - 1], dh_norm[t - 1] = dh, error_norm(dh)

        # h_t = k (.) h' + (1 - k) (.) h~
        k = run.keep_h[t - 1]
        dh_old, dh_new = k * dh, (1.0 - k) * dh

        # h~ = (1 - z) (.) n + z (.) h'
        dz, dn = dh_new * (h_old - n), dh_new * (1.0 - z)
        dh_old = dh_old + dh_new * z

        # n = phi(a_n), a_n = ... + N(U_n p) + b_hh_n
        da_n = dn * phi.slope(a_n, n)
        dUp, dgain_n = norm.backward(da_n, v_n, gain_n)
        dp = run.product(dUp, U_n)

        # p = r (.) s
        dr, ds = dp * s, dp * r

        # z = sigma(a_z), r = sigma(a_r), a_rz = ... + N(U_rz s) + b_hh_rz
        da_rz = np.concatenate([dr * sigma.slope(a_r, r), dz * sigma.slope(a_z, z)], axis=1)
        dUs, dgain_rz = norm.backward(da_rz, v_rz, gain_rz)
        ds = ds + run.product(dUs, U_rz)

        # a = N(W x_t) + b_ih
        da = np.concatenate([da_rz, da_n], axis=1)
        dWx, dgain_ih = norm.backward(da, tape.saved["v_ih"][t - 1], gain_ih, cuts)
        dx[t - 1] = run.product(dWx, W)
        dweights.add("weight_ih", run.product(dWx.T, x[t - 1]))
        dweights.add("weight_hh", np.concatenate([run.product(dUs.T, s), run.product(dUp.T, p)]))
        dweights.add("bias_ih", da.sum(axis=0))
        dweights.add("bias_hh", da.sum(axis=0))
        dweights.add("weight_norm_ih", dgain_ih)
        dweights.add("weight_norm_hh", np.append(dgain_rz, dgain_n))

        # s = h' (.) m
        dh_old = dh_old + ds * run.recurrent

        # h' = h_{t-1}, or 0
        dh_next = run.held(t, dh_next, run.begin(t, dh_old))

    return Gradients(dx, (run.arrived(stop, dh_next),), dweights.of(weights), (dh_norm,), errors)


def _gains(weights: Weights, cuts: list[int]) -> tuple[Array | None, Array | None]:
    """Return the gains of the products with U: of r and z together, and of n."""
    if "weight_norm_hh" not in weights:
        return None, None
    gain_rz, gain_n = np.split(weights["weight_norm_hh"], cuts)
    return gain_rz, gain_n
