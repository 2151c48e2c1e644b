"""Long short-term memory with a forget gate, in NumPy.

Hochreiter and Schmidhuber (1997). Forget gate: Gers et al. (2000).

    h'_t, c'_t = h_{t-1}, c_{t-1}, or 0 after a reset
    s_t  = h'_t (.) m                                             m: recurrent dropout
    i_t  = sigma(N(W_i x_t) + b_ih_i + N(U_i s_t) + b_hh_i + p_i (.) c'_t)
    f_t  = sigma(N(W_f x_t) + b_ih_f + N(U_f s_t) + b_hh_f + p_f (.) c'_t)
    g_t  =   phi(N(W_g x_t) + b_ih_g + N(U_g s_t) + b_hh_g)
    e_t  = f_t (.) c'_t + i_t (.) g_t
    c~_t = clip(e_t)
    o_t  = sigma(N(W_o x_t) + b_ih_o + N(U_o s_t) + b_hh_o + p_o (.) c~_t)
    q_t  = M(c~_t)                                                M: layer norm, gain and bias, or nothing
    w_t  = o_t (.) psi(q_t)
    h~_t = R w_t                                                  R: projection, or nothing
    c_t  = l_t (.) c'_t + (1 - l_t) (.) c~_t                      l, k: zoneout
    h_t  = k_t (.) h'_t + (1 - k_t) (.) h~_t

T time steps, B rows of a batch, I inputs, H hidden units, P outputs; P is H without a projection. (.) is the
elementwise product. W is `weight_ih` (4H, I) and U is `weight_hh` (4H, P), with blocks in the order i, f, g,
o. N is layer norm and gain, over all blocks together, or nothing. p is `weight_peephole` (3, H), with rows in
the order i, f, o, or 0. R is `weight_hr` (P, H). The input and forget gates see c', the output gate sees c~.
In a coupled LSTM, i is 1 - f, and W, U and p have no block i. Without a forget gate, f is 1, and W, U and p
have no block f. sigma, phi and psi are the logistic function,
tanh and tanh, unless `Options` changes them. m, k, l and resets come from `Run`. Without them the old state
is (h_{t-1}, c_{t-1}) and the new state is (h~_t, c~_t).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference import norm
from bptt.reference.activations import Function, clipped, inside
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


@dataclass(frozen=True)
class Options:
    """Options of the equations that do not follow from the weights.

    Attributes
    ----------
    sigma, phi, psi : Function
        Activations of the gates i, f, o, of the candidate g, and of the output. Each may clip its argument.
    cell_clip : float or None
        c~ is clipped to [-cell_clip, cell_clip]. None: no clipping.
    coupled : bool
        Whether i = 1 - f.
    forget_gate : bool
        False: f = 1.
    """

    sigma: Function
    phi: Function
    psi: Function
    cell_clip: float | None
    coupled: bool
    forget_gate: bool


def forward(x: Array, state: State, weights: Weights, run: Run, *, options: Options) -> Tape:
    """Run the cell over time.

    Parameters
    ----------
    x : array of shape (T, B, I)
    state : tuple of two arrays of shapes (B, P) and (B, H)
        (h0, c0).
    weights : mapping
        One layer's parameters in one direction.
    run : Run
        Resets and masks.
    options : Options

    Returns
    -------
    Tape
        `gates` (T, B, 4H) are i, f, g, o; of a coupled LSTM (T, B, 3H) f, g, o; without a forget gate
        (T, B, 3H) i, g, o. The tape also saves `arguments` of the same shape: the gates' inputs before any
        clipping. It saves `cell` (T, B, H), which is e, `output` (T, B, H), which is psi(q), and the arrays
        of `norm.products`.
    """
    h0, c0 = state
    sigma, phi, psi = options.sigma, options.phi, options.psi
    W, U, R = weights["weight_ih"], weights["weight_hh"], weights.get("weight_hr")
    b_ih, b_hh, b_c = (bias(weights, name) for name in ("bias_ih", "bias_hh", "bias_norm_c"))
    gain_ih, gain_hh, gain_c = (weights.get(f"weight_norm_{side}") for side in ("ih", "hh", "c"))
    T, (B, H) = len(x), c0.shape
    G = len(W) // H
    *p_if, p_o = weights.get("weight_peephole", np.zeros((G - 1, 1)))
    h, c = np.empty((T + 1, *h0.shape)), np.empty((T + 1, B, H))
    gates, arguments = np.empty((T, B, G * H)), np.empty((T, B, G * H))
    cell, output = np.empty((T, B, H)), np.empty((T, B, H))
    products = norm.products(T, B, len(W))
    h[0], c[0] = h0, c0

    for t in range(1, T + 1):
        h_old, c_old = run.begin(t, h[t - 1]), run.begin(t, c[t - 1])
        s = h_old * run.recurrent
        v_ih, v_hh = run.product(x[t - 1], W.T), run.product(s, U.T)
        a = norm.forward(v_ih, gain_ih) + b_ih + norm.forward(v_hh, gain_hh) + b_hh
        *a_if, a_g, a_o = np.split(a, G, axis=1)  # of i and f, or of the one that there is
        a_if = [block + p * c_old for block, p in zip(a_if, p_if, strict=True)]
        i_f = [sigma(block) for block in a_if]
        i, f = input_and_forget(i_f, options)
        g = phi(a_g)
        e = f * c_old + i * g
        c_new = clipped(e, options.cell_clip)
        a_o = a_o + p_o * c_new
        o = sigma(a_o)
        q = norm.forward(c_new, gain_c) + b_c
        psi_q = psi(q)
        w = o * psi_q
        h_new = w if R is None else run.product(w, R.T)
        k, l = run.keep_h[t - 1], run.keep_c[t - 1]
        c[t] = run.held(t, c[t - 1], l * c_old + (1.0 - l) * c_new)
        h[t] = run.held(t, h[t - 1], k * h_old + (1.0 - k) * h_new)
        gates[t - 1] = np.concatenate([*i_f, g, o], axis=1)
        arguments[t - 1] = np.concatenate([*a_if, a_g, a_o], axis=1)
        cell[t - 1], output[t - 1] = e, psi_q
        products["v_ih"][t - 1], products["v_hh"][t - 1] = v_ih, v_hh

    saved = {"arguments": arguments, "cell": cell, "output": output} | products
    return Tape(run, x, (h, c), gates, saved)


def backward(
    tape: Tape,
    weights: Weights,
    dy: Array,
    dstate: State,
    steps: int | None = None,
    clip: StateClip | None = None,
    *,
    options: Options,
) -> Gradients:
    """Invert `forward` step by step, from the last one.

    Parameters
    ----------
    tape : Tape
        From `forward` with the same weights.
    weights : mapping
        The weights of `forward`.
    dy : array of shape (T, B, P)
        dL/dh_t from outside the recursion.
    dstate : tuple of two arrays of shapes (B, P) and (B, H)
        dL/dh_T and dL/dc_T from outside.
    steps : int, optional
        Go back at most `steps` steps. None: all.
    clip : StateClip, optional
        Clip each whole dL/dh_t to these bounds before it is used. Clip each whole dL/dc_t before its norm is
        computed. None: no clipping.
    options : Options
        The options of `forward`.

    Returns
    -------
    Gradients
        The second array of `norms` holds the norms of dL/dc~_t, with all effects of c~ at step t. With
        zoneout c_t differs from c~_t, and the norms are those of dL/dc_t: the error from step t + 1.
    """
    run, x, (h, c) = tape.run, tape.x, tape.states
    sigma, phi, psi = options.sigma, options.phi, options.psi
    W, U, R = weights["weight_ih"], weights["weight_hh"], weights.get("weight_hr")
    b_c = bias(weights, "bias_norm_c")
    gain_ih, gain_hh, gain_c = (weights.get(f"weight_norm_{side}") for side in ("ih", "hh", "c"))
    T, stop, G = len(x), last_step(steps, len(x)), len(W) // c.shape[2]
    *p_if, p_o = weights.get("weight_peephole", np.zeros((G - 1, 1)))
    dx, dweights = np.zeros_like(x), Sums()
    errors, dh_norm, dc_norm = np.zeros_like(dy), np.zeros(T), np.zeros(T)
    dh_next, dc_next = dstate  # the errors of h_t and c_t that come from step t + 1

    for t in range(T, stop - 1, -1):
        h_old, c_old = run.begin(t, h[t - 1]), run.begin(t, c[t - 1])
        s = h_old * run.recurrent
        *a_if, a_g, a_o = np.split(tape.saved["arguments"][t - 1], G, axis=1)
        *i_f, g, o = np.split(tape.gates[t - 1], G, axis=1)
        i, f = input_and_forget(i_f, options)
        e, psi_q = tape.saved["cell"][t - 1], tape.saved["output"][t - 1]
        c_new = clipped(e, options.cell_clip)
        q = norm.forward(c_new, gain_c) + b_c
        w = o * psi_q
        dh, dc = run.of_step(t, limited(dy[t - 1] + dh_next, clip)), run.of_step(t, dc_next)
        errors[t - 1], dh_norm[t - 1] = dh, error_norm(dh)
        if run.zoneout_c:  # c_t is not c~_t: this is the whole dL/dc_t
            dc = limited(dc, clip)
            dc_norm[t - 1] = error_norm(dc)

        # h_t = k (.) h' + (1 - k) (.) h~,  c_t = l (.) c' + (1 - l) (.) c~
        k, l = run.keep_h[t - 1], run.keep_c[t - 1]
        dh_old, dh_new = k * dh, (1.0 - k) * dh
        dc_old, dc_new = l * dc, (1.0 - l) * dc

        # h~ = R w
        dw = dh_new if R is None else run.product(dh_new, R)
        dweights.add("weight_hr", run.product(dh_new.T, w))

        # w = o (.) psi(q)
        do, dq = dw * psi_q, dw * o * psi.slope(q, psi_q)

        # q = M(c~)
        dc_q, dgain_c = norm.backward(dq, c_new, gain_c)
        dc_new = dc_new + dc_q
        dweights.add("weight_norm_c", dgain_c)
        dweights.add("bias_norm_c", dq.sum(axis=0))

        # o = sigma(a_o), a_o = ... + p_o (.) c~
        da_o = do * sigma.slope(a_o, o)
        dc_new = dc_new + p_o * da_o

        if not run.zoneout_c:  # c_t is c~_t, and dc_new is now its whole error
            dc_new = limited(dc_new, clip)
            dc_norm[t - 1] = error_norm(dc_new)

        # c~ = clip(e)
        de = dc_new * inside(e, options.cell_clip)

        # e = f (.) c' + i (.) g
        dc_old = dc_old + de * f
        df, di, dg = de * c_old, de * g, de * i

        # g = phi(a_g)
        da_g = dg * phi.slope(a_g, g)

        # i = 1 - f, or f = 1
        d_if = [df - di] if options.coupled else [di, df] if options.forget_gate else [di]

        # i = sigma(a_i), a_i = ... + p_i (.) c', and the same of f
        da_if = [d * sigma.slope(a, y) for d, a, y in zip(d_if, a_if, i_f, strict=True)]
        for p, da in zip(p_if, da_if, strict=True):
            dc_old = dc_old + p * da

        # a = N(W x_t) + b_ih + N(U s) + b_hh + p (.) (c', c', c~)
        da = np.concatenate([*da_if, da_g, da_o], axis=1)
        dWx, dgain_ih = norm.backward(da, tape.saved["v_ih"][t - 1], gain_ih)
        dUs, dgain_hh = norm.backward(da, tape.saved["v_hh"][t - 1], gain_hh)
        dx[t - 1] = run.product(dWx, W)
        ds = run.product(dUs, U)
        dp = [*(block * c_old for block in da_if), da_o * c_new]
        dweights.add("weight_ih", run.product(dWx.T, x[t - 1]))
        dweights.add("weight_hh", run.product(dUs.T, s))
        dweights.add("bias_ih", da.sum(axis=0))
        dweights.add("bias_hh", da.sum(axis=0))
        dweights.add("weight_norm_ih", dgain_ih)
        dweights.add("weight_norm_hh", dgain_hh)
        dweights.add("weight_peephole", np.sum(dp, axis=1))

        # s = h' (.) m
        dh_old = dh_old + ds * run.recurrent

        # h', c' = h_{t-1}, c_{t-1}, or 0
        dh_next = run.held(t, dh_next, run.begin(t, dh_old))
        dc_next = run.held(t, dc_next, run.begin(t, dc_old))

    dstate0 = run.arrived(stop, dh_next), run.arrived(stop, dc_next)
    return Gradients(dx, dstate0, dweights.of(weights), (dh_norm, dc_norm), errors)


def input_and_forget(gates: list[Array], options: Options) -> tuple[Array, Array]:
    """Return i and f from the gates of i and f that the cell has."""
    if options.coupled:
        return 1.0 - gates[0], gates[0]
    return (gates[0], gates[1]) if options.forget_gate else (gates[0], np.ones_like(gates[0]))
