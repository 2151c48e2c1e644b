"""The minimal gated unit (Zhou et al. 2016), in NumPy.

The cell is a gated recurrent unit with a single gate, which both forgets and updates.

    h'_t = h_{t-1}, or 0 after a reset
    s_t  = h'_t (.) m                                          m: recurrent dropout
    f_t  = sigma(N(W_f x_t) + b_ih_f + N(U_f s_t) + b_hh_f)    N: layer norm and gain, or nothing
    p_t  = f_t (.) s_t
    n_t  =   phi(N(W_n x_t) + b_ih_n + N(U_n p_t) + b_hh_n)
    h~_t = (1 - f_t) (.) h'_t + f_t (.) n_t
    h_t  = k_t (.) h'_t + (1 - k_t) (.) h~_t                   k: zoneout

T time steps, B rows of a batch, I inputs, H hidden units; (.) is the elementwise product. W is `weight_ih`
(2H, I) and U is `weight_hh` (2H, H), with blocks in the order f, n. Layer norm normalises each block
separately. sigma and phi are the logistic function and tanh, unless `Gated` changes them. m, k and resets
come from `Run`. Without them h' and s are h_{t-1}, and h_t is h~_t.
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
        `gates` (T, B, 3H) are f, n, p. The tape also saves `arguments` (T, B, 2H), which are the
        arguments of the activations before any clipping, and the arrays of `norm.products`.
    """
    (h0,) = state
    sigma, phi = options.sigma, options.phi
    T, (B, H) = len(x), h0.shape
    cuts = [H]
    W, b_ih, gain_ih = weights["weight_ih"], bias(weights, "bias_ih"), weights.get("weight_norm_ih")
    U_f, U_n = np.split(weights["weight_hh"], cuts)
    b_f, b_n = np.split(weights.get("bias_hh", np.zeros(2 * H)), cuts)
    gain_f, gain_n = _gains(weights, cuts)
    h = np.empty((T + 1, B, H))
    gates, arguments = np.empty((T, B, 3 * H)), np.empty((T, B, 2 * H))
    products = norm.products(T, B, len(W))
    h[0] = h0

    for t in range(1, T + 1):
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        v_ih, v_f = run.product(x[t - 1], W.T), run.product(s, U_f.T)
        a_f, a_n = np.split(norm.forward(v_ih, gain_ih, cuts) + b_ih, cuts, axis=1)
        a_f = a_f + norm.forward(v_f, gain_f) + b_f
        f = sigma(a_f)
        p = f * s
        v_n = run.product(p, U_n.T)
        a_n = a_n + norm.forward(v_n, gain_n) + b_n
        n = phi(a_n)
        h_new = (1.0 - f) * h_old + f * n
        k = run.keep_h[t - 1]
        h[t] = run.held(t, h[t - 1], k * h_old + (1.0 - k) * h_new)
        gates[t - 1] = np.concatenate([f, n, p], axis=1)
        arguments[t - 1] = np.concatenate([a_f, a_n], axis=1)
        products["v_ih"][t - 1] = v_ih
        products["v_hh"][t - 1] = np.concatenate([v_f, v_n], axis=1)

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
    cuts = [H]
    W, gain_ih = weights["weight_ih"], weights.get("weight_norm_ih")
    U_f, U_n = np.split(weights["weight_hh"], cuts)
    gain_f, gain_n = _gains(weights, cuts)
    dx, dweights = np.zeros_like(x), Sums()
    errors, dh_norm = np.zeros_like(dy), np.zeros(T)
    (dh_next,) = dstate  # the error of h_t that comes from step t + 1

    for t in range(T, stop - 1, -1):
        v_f, v_n = np.split(tape.saved["v_hh"][t - 1], cuts, axis=1)
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        f, n, p = np.split(tape.gates[t - 1], 3, axis=1)
        a_f, a_n = np.split(tape.saved["arguments"][t - 1], 2, axis=1)
        dh = run.of_step(t, limited(dy[t - 1] + dh_next, clip))
        errors[t - 1], dh_norm[t - 1] = dh, error_norm(dh)

        # h_t = k (.) h' + (1 - k) (.) h~
        k = run.keep_h[t - 1]
        dh_old, dh_new = k * dh, (1.0 - k) * dh

        # h~ = (1 - f) (.) h' + f (.) n
        df, dn = dh_new * (n - h_old), dh_new * f
        dh_old = dh_old + dh_new * (1.0 - f)

        # n = phi(a_n), a_n = ... + N(U_n p) + b_hh_n
        da_n = dn * phi.slope(a_n, n)
        dUp, dgain_n = norm.backward(da_n, v_n, gain_n)
        dp = run.product(dUp, U_n)

        # p = f (.) s
        df, ds = df + dp * s, dp * f

        # f = sigma(a_f), a_f = ... + N(U_f s) + b_hh_f
        da_f = df * sigma.slope(a_f, f)
        dUs, dgain_f = norm.backward(da_f, v_f, gain_f)
        ds = ds + run.product(dUs, U_f)

        # a = N(W x_t) + b_ih
        da = np.concatenate([da_f, da_n], axis=1)
        dWx, dgain_ih = norm.backward(da, tape.saved["v_ih"][t - 1], gain_ih, cuts)
        dx[t - 1] = run.product(dWx, W)
        dweights.add("weight_ih", run.product(dWx.T, x[t - 1]))
        dweights.add("weight_hh", np.concatenate([run.product(dUs.T, s), run.product(dUp.T, p)]))
        dweights.add("bias_ih", da.sum(axis=0))
        dweights.add("bias_hh", da.sum(axis=0))
        dweights.add("weight_norm_ih", dgain_ih)
        dweights.add("weight_norm_hh", np.append(dgain_f, dgain_n))

        # s = h' (.) m
        dh_old = dh_old + ds * run.recurrent

        # h' = h_{t-1}, or 0
        dh_next = run.held(t, dh_next, run.begin(t, dh_old))

    return Gradients(dx, (run.arrived(stop, dh_next),), dweights.of(weights), (dh_norm,), errors)


def _gains(weights: Weights, cuts: list[int]) -> tuple[Array | None, Array | None]:
    """Return the gains of the products with U: of f and of n."""
    if "weight_norm_hh" not in weights:
        return None, None
    gain_f, gain_n = np.split(weights["weight_norm_hh"], cuts)
    return gain_f, gain_n
