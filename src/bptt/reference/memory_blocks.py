"""Memory cell blocks (Hochreiter and Schmidhuber 1997), in NumPy.

    h', c' = h_{t-1}, c_{t-1}, or 0 after a reset      c = (s, i, o)
    a_t    = W x_t + U (h', i', o') + b
    g_t    = 4 sigmoid(a_g) - 2
    i_t    = sigmoid(a_i)
    o_t    = sigmoid(a_o)
    s_t    = s' + i_t (.) g_t
    h_t    = o_t (.) (2 sigmoid(s_t) - 1), or o_t (.) s_t

T time steps, B rows of a batch, I inputs, K blocks of equal size with M cells together, H = M + 2K hidden
units. (.) is the elementwise product, in which every cell has the gates of its block. W is `weight_ih` (H, I)
and U is `weight_hh` (H, H). The rows of both, and the columns of U, come in the order g or h, i, o. The bias
belongs to the last units: to all, or to the gates. Masks of dropout and zoneout do not apply.

The gradient of the paper leaves out the products with U, through which errors would flow back to step t - 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from bptt.layers.passes.clip_state import StateClip
from bptt.reference.clip import limited
from bptt.reference.common import (
    Array,
    Gradients,
    Run,
    State,
    Sums,
    Tape,
    Weights,
    error_norm,
    last_step,
    sigmoid,
)


class Options(NamedTuple):
    """The options of a layer."""

    cells: int
    squash: bool
    truncated: bool

    def per_cell(self, gates: Array) -> Array:
        """Give every cell the gate of its block."""
        return np.repeat(gates, self.cells, axis=1)

    def per_block(self, errors: Array) -> Array:
        """Add the errors of a block's cells."""
        total: Array = errors.reshape(len(errors), -1, self.cells).sum(axis=2)
        return total


def forward(x: Array, state: State, weights: Weights, run: Run, *, options: Options) -> Tape:
    """Run the blocks over time.

    Parameters
    ----------
    x : array of shape (T, B, I)
    state : tuple of two arrays of shapes (B, M) and (B, H)
        (h0, c0).
    weights : mapping
        The layer's parameters.
    run : Run
        Resets.
    options : Options

    Returns
    -------
    Tape
        `gates` (T, B, H) are g, i, o.
    """
    h0, c0 = state
    W, U = weights["weight_ih"], weights["weight_hh"]
    T, (B, M), H = len(x), h0.shape, len(U)
    K = (H - M) // 2
    b = np.zeros(H)
    if "bias_ih" in weights:
        b[H - len(weights["bias_ih"]) :] = weights["bias_ih"]
    h, c = np.empty((T + 1, B, M)), np.empty((T + 1, B, H))
    gates, squashed = np.empty((T, B, H)), np.empty((T, B, M))
    h[0], c[0] = h0, c0

    for t in range(1, T + 1):
        h_old, c_old = run.begin(t, h[t - 1]), run.begin(t, c[t - 1])
        s_old, gates_old = np.split(c_old, [M], axis=1)
        a = x[t - 1] @ W.T + np.concatenate([h_old, gates_old], axis=1) @ U.T + b
        g = 4.0 * sigmoid(a[:, :M]) - 2.0
        i, o = np.split(sigmoid(a[:, M:]), [K], axis=1)
        s = s_old + options.per_cell(i) * g
        squashed[t - 1] = 2.0 * sigmoid(s) - 1.0 if options.squash else s
        h[t] = run.held(t, h[t - 1], options.per_cell(o) * squashed[t - 1])
        c[t] = run.held(t, c[t - 1], np.concatenate([s, i, o], axis=1))
        gates[t - 1] = np.concatenate([g, i, o], axis=1)

    return Tape(run, x, (h, c), gates, {"squashed": squashed})


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
    dy : array of shape (T, B, M)
        dL/dh_t from outside the recursion.
    dstate : tuple of two arrays of shapes (B, M) and (B, H)
        dL/dh_T and dL/dc_T from outside.
    steps : int, optional
        Go back at most `steps` steps. None: all.
    clip : StateClip, optional
        Clip each whole dL/dh_t and dL/dc_t to these bounds. None: no clipping.
    options : Options
        The options of `forward`.

    Returns
    -------
    Gradients
        The second array of `norms` holds the norms of dL/dc_t. Its part dL/ds_t has the effect of s_t on h_t.
        Its other parts are the errors of i_t and o_t from step t + 1, without their effects at step t.
    """
    run, x, (h, c) = tape.run, tape.x, tape.states
    W, U = weights["weight_ih"], weights["weight_hh"]
    T, stop, M, H = len(x), last_step(steps, len(x)), h.shape[2], len(U)
    K, per_cell, per_block = (H - M) // 2, options.per_cell, options.per_block
    dx, dweights = np.zeros_like(x), Sums()
    errors, dh_norm, dc_norm = np.zeros_like(dy), np.zeros(T), np.zeros(T)
    dh_next, dc_next = dstate  # the errors of h_t and c_t that come from step t + 1

    for t in range(T, stop - 1, -1):
        h_old, c_old = run.begin(t, h[t - 1]), run.begin(t, c[t - 1])
        g, i, o = np.split(tape.gates[t - 1], [M, M + K], axis=1)
        q = tape.saved["squashed"][t - 1]
        dh, dc = run.of_step(t, limited(dy[t - 1] + dh_next, clip)), run.of_step(t, dc_next)
        errors[t - 1], dh_norm[t - 1] = dh, error_norm(dh)
        ds, di, do = np.split(dc, [M, M + K], axis=1)

        # h_t = o (.) q,  q = 2 sigmoid(s) - 1
        ds = ds + dh * per_cell(o) * ((1.0 - q) * (1.0 + q) / 2.0 if options.squash else 1.0)
        dc = limited(np.concatenate([ds, di, do], axis=1), clip)
        dc_norm[t - 1] = error_norm(dc)
        ds, di, do = np.split(dc, [M, M + K], axis=1)
        do = do + per_block(dh * q)

        # s_t = s' + i (.) g
        di = di + per_block(ds * g)
        dg = ds * per_cell(i)

        # g = 4 sigmoid(a_g) - 2,  i = sigmoid(a_i),  o = sigmoid(a_o)
        da = np.concatenate(
            [dg * (2.0 - g) * (2.0 + g) / 4.0, di * i * (1.0 - i), do * o * (1.0 - o)], axis=1
        )

        # a = W x_t + U (h', i', o') + b
        dx[t - 1] = da @ W
        dweights.add("weight_ih", da.T @ x[t - 1])
        dweights.add("weight_hh", da.T @ np.concatenate([h_old, c_old[:, M:]], axis=1))
        if "bias_ih" in weights:
            dweights.add("bias_ih", da.sum(axis=0)[H - len(weights["bias_ih"]) :])
        back = np.zeros_like(da) if options.truncated else da @ U
        dh_old, dc_old = back[:, :M], np.concatenate([ds, back[:, M:]], axis=1)

        # h', c' = h_{t-1}, c_{t-1}, or 0
        dh_next = run.held(t, dh_next, run.begin(t, dh_old))
        dc_next = run.held(t, dc_next, run.begin(t, dc_old))

    dstate0 = run.arrived(stop, dh_next), run.arrived(stop, dc_next)
    return Gradients(dx, dstate0, dweights.of(weights), (dh_norm, dc_norm), errors)
