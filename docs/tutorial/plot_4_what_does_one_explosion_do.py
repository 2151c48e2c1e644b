"""
4. What does one explosion do?
==============================

Pages 1 and 3 showed gradients that explode. Such a gradient is large, but
it is a correct derivative. Why does it matter? This page trains a network
with two weights, so that the loss can be drawn as a landscape. One update
on a cliff of this landscape ends the training, without any warning.
"""

# %%
# Two weights, one task
# ---------------------
# One unit reads the input 1 at all 25 steps:
# :math:`h_t = \tanh(u + w\,h_{t-1})`. The last state should be -0.7, so the
# loss is :math:`L = (h_{25} + 0.7)^2`. NumPy computes it for all pairs of
# weights at once:

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True

u, w = np.meshgrid(np.linspace(-0.5, 0.5, 301), np.linspace(0.9, 1.5, 301))
h = np.zeros_like(u)
for _ in range(25):
    h = np.tanh(u + w * h)
surface = (h + 0.7) ** 2

# %%
# Descend
# -------
# **Gradient descent** starts somewhere, and moves the weights against the
# gradient, again and again. ``clip_by_norm`` is the remedy of this page: if
# the gradient is longer than a limit, scale it down to the limit.

x = np.ones((25, 1, 1))
last = (np.arange(25) == 24)[:, None, None]  # only the last step has a loss


def descend(limit=None, start=(0.3, 1.4), rate=0.02, updates=200):
    rnn = bptt.RNN(1, 1, bias=False, dtype="float64")
    rnn.flat_parameters[:] = start
    path, norms = [start], []
    for _ in range(updates):
        rnn.zero_grad()
        y, _, tape = rnn.forward(x)
        dy = 2 * (y + 0.7) * last  # the derivative of the loss
        rnn.backward(tape, dy)
        norms.append(np.linalg.norm(rnn.flat_gradients))
        if limit:
            bptt.clip_by_norm(rnn.gradients, limit)
        rnn.flat_parameters -= rate * rnn.flat_gradients
        path.append(tuple(rnn.flat_parameters))
    return np.array(path), np.array(norms), (y[-1].item() + 0.7) ** 2


runs = {"plain": descend(), "clipped": descend(limit=1.0)}

# %%
# The picture shows the loss from above: the darker, the higher. Each dot is
# one update.

fig, ax = plt.subplots()
ax.contourf(u, w, surface, levels=30, cmap="Greys", vmax=5)
for name, colour, dot in (("plain", "#D55E00", 9), ("clipped", "#0072B2", 4)):
    ax.plot(*runs[name][0].T, "o-", color=colour, markersize=dot)
ax.text(-0.49, 1.16, "plain: to u = -5", color="#D55E00")
ax.text(-0.24, 1.2, "clipped", color="#0072B2")
ax.text(0.31, 1.44, "loss 2.6")
ax.text(-0.47, 1.43, "loss below 0.1")
ax.set(xlim=(-0.5, 0.5), xlabel="input weight u")
ax.set(ylim=(0.9, 1.5), ylabel="recurrent weight w")
ax.set_title("A cliff between two plateaus")
plt.show()

# %%
# Both paths start on the right, where the loss is 2.6. They walk down on one
# line, so the blue dots lie on the orange ones. At u = 0 they reach a cliff.
# A positive u pushes the state to its positive end, and a negative u to its
# negative end. Near u = 0 the push is tiny, and 25 steps multiply it by about
# :math:`w^{25}`. There the gradient explodes:

for name, (path, norms, loss) in runs.items():
    worst = norms.argmax()
    print(f"{name}: gradient {norms[worst]:.0f} at update {worst}")
    print(f"    this update leads to u = {path[worst + 1, 0]:.2f}")
    print(f"    last loss {loss:.4f}, gradient {norms[-1]:.0e}")

# %%
# The plain path makes one update of size ``rate * gradient``: 0.02 times 254
# is 5. This update leaves the picture and ends at u = -5. The path never
# comes back. At u = -5 the unit is saturated (page 3): its state is -1 at
# every step, the slope of tanh is almost 0, and so is the gradient. The loss
# stays at 0.09, which is :math:`(-1 + 0.7)^2`.
#
# The clipped path meets the same cliff. Its updates are at most 0.02 long,
# so it lands just over the edge, and finds the point where the loss is 0.
#
# What this means in practice
# ---------------------------
# An explosion is rare. The plain path made 12 good updates before it met
# the cliff. One explosion is enough: the update after it destroys what all
# earlier updates have learned. Nothing warns you, and no number is infinite.
# The loss is even lower than at the start: 0.09 against 2.6. The network
# has just stopped learning.
#
# Therefore watch the norm of the gradient. ``bptt.Trainer`` keeps the norm
# of every update in ``history["grad_norm"]``, and
# ``Trainer(..., clip=bptt.ClipNorm(1.0))`` clips every update.
#
# A common mistake: "no NaN, no harm." In truth one large but finite update
# can end the training.
#
# Exercises
# ---------
# 1. Try ``descend(rate=0.05)``. Why does a larger learning rate do no harm
#    here?
# 2. Run 13 starts, w from 1.1 to 1.7, with the rates 0.02, 0.03, 0.04,
#    0.05, 0.06 and 0.08. How many of the 78 runs end with a loss above
#    0.01, plain and clipped?
# 3. Try ``descend(limit=0.01)``. What is the price of a very low limit?
#
# Answers
# -------
# 1. Its updates happen to cross the cliff without landing near the edge. An
#    explosion needs an unlucky point, and small changes of the start or the
#    rate move it.
# 2. Plain, 7 of 78. Clipped, none.
# 3. Each update moves the weights by at most 0.0002. After 200 updates the
#    path is still on the high plateau.
#
# Next: :doc:`plot_5_what_does_clipping_change`. The calls of this page:
# :func:`bptt.clip_by_norm`, :class:`bptt.ClipNorm`, :class:`bptt.Trainer`.
