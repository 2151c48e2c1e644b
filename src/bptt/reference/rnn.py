"""The simple recurrent network (Elman 1990), in NumPy.

    h'_t = h_{t-1}, or 0 after a reset
    s_t  = h'_t (.) m                                  m: recurrent dropout
    h~_t = f(N(W x_t) + b_ih + N(U s_t) + b_hh)        f: tanh or another; N: layer norm and gain, or nothing
    h_t  = k_t (.) h'_t + (1 - k_t) (.) h~_t           k: zoneout

T time steps, B rows of a batch, I inputs, H hidden units; (.) is the elementwise product. W is `weight_ih`
(H, I) and U is `weight_hh` (H, H). m, k and resets come from `Run`. Without them h_t = f(... U h_{t-1} ...).
"""

from __future__ import annotations

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference import norm
from bptt.reference.activations import Function
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


def forward(x: Array, state: State, weights: Weights, run: Run, *, function: Function) -> Tape:
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
    function : Function
        f.

    Returns
    -------
    Tape
        `gates` (T, B, H) are h~. The tape also saves `arguments` (T, B, H), which are the arguments of f
        before any clipping, and the arrays of `norm.products`.
    """
    (h0,) = state
    W, U = weights["weight_ih"], weights["weight_hh"]
    b_ih, b_hh = bias(weights, "bias_ih"), bias(weights, "bias_hh")
    gain_ih, gain_hh = weights.get("weight_norm_ih"), weights.get("weight_norm_hh")
    T = len(x)
    h = np.empty((T + 1, *h0.shape))
    gates, arguments = np.empty((T, *h0.shape)), np.empty((T, *h0.shape))
    products = norm.products(T, len(h0), len(W))
    h[0] = h0

    for t in range(1, T + 1):
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        v_ih, v_hh = run.product(x[t - 1], W.T), run.product(s, U.T)
        a = norm.forward(v_ih, gain_ih) + b_ih + norm.forward(v_hh, gain_hh) + b_hh
        h_new = function(a)
        k = run.keep_h[t - 1]
        h[t] = run.held(t, h[t - 1], k * h_old + (1.0 - k) * h_new)
        gates[t - 1], arguments[t - 1] = h_new, a
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
    function: Function,
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
    function : Function
        The function of `forward`.
    """
    run, x, (h,) = tape.run, tape.x, tape.states
    W, U = weights["weight_ih"], weights["weight_hh"]
    gain_ih, gain_hh = weights.get("weight_norm_ih"), weights.get("weight_norm_hh")
    T, stop = len(x), last_step(steps, len(x))
    dx, dweights = np.zeros_like(x), Sums()
    errors, dh_norm = np.zeros_like(dy), np.zeros(T)
    (dh_next,) = dstate  # the error of h_t that comes from step t + 1

    for t in range(T, stop - 1, -1):
        h_old = run.begin(t, h[t - 1])
        s = h_old * run.recurrent
        h_new = tape.gates[t - 1]
        dh = run.of_step(t, limited(dy[t - 1] + dh_next, clip))
        errors[t - 1], dh_norm[t - 1] = dh, error_norm(dh)

        # h_t = k (.) h' + (1 - k) (.) h~
        k = run.keep_h[t - 1]
        dh_old, dh_new = k * dh, (1.0 - k) * dh

        # h~ = f(a)
        da = dh_new * function.slope(tape.saved["arguments"][t - 1], h_new)

        # a = N(W x_t) + b_ih + N(U s) + b_hh
        dWx, dgain_ih = norm.backward(da, tape.saved["v_ih"][t - 1], gain_ih)
        dUs, dgain_hh = norm.backward(da, tape.saved["v_hh"][t - 1], gain_hh)
        dx[t - 1] = run.product(dWx, W)
        ds = run.product(dUs, U)
        dweights.add("weight_ih", run.product(dWx.T, x[t - 1]))
        dweights.add("weight_hh", run.product(dUs.T, s))
        dweights.add("bias_ih", da.sum(axis=0))
        dweights.add("bias_hh", da.sum(axis=0))
        dweights.add("weight_norm_ih", dgain_ih)
        dweights.add("weight_norm_hh", dgain_hh)

        # s = h' (.) m
        dh_old = dh_old + ds * run.recurrent

        # h' = h_{t-1}, or 0
        dh_next = run.held(t, dh_next, run.begin(t, dh_old))

    return Gradients(dx, (run.arrived(stop, dh_next),), dweights.of(weights), (dh_norm,), errors)
