"""
5. What does clipping change, and what not?
===========================================

Page 4 clipped a gradient, and the training survived. This page measures
what clipping does to a gradient: to its length, to its direction, and to
the shares of early and late steps. The last part answers whether clipping
helps against vanishing.
"""

# %%
# Two ways to clip
# ----------------
# **By norm**: if the gradient is longer than the limit, scale all entries
# by one factor. **By value**: cut off each entry at the limit. The picture
# shows both for a gradient with two entries and the limit 1.

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True

by_norm = {"w": np.array([4.0, 1.5])}
by_value = {"w": np.array([4.0, 1.5])}
bptt.clip_by_norm(by_norm, 1.0)
bptt.clip_by_value(by_value, 1.0)

# %%
# The next block draws the three arrows, and a circle of radius 1.

fig, ax = plt.subplots()
ax.add_patch(plt.Circle((0, 0), 1, fill=False, ec="#0072B2", ls="--"))
arrows = {
    "gradient": (4, 1.5, "black"),
    "by norm": (*by_norm["w"], "#0072B2"),
    "by value": (1, 1, "#D55E00"),
}
for name, (x, y, colour) in arrows.items():
    style = {"arrowstyle": "-|>", "color": colour, "lw": 2, "shrinkB": 0}
    ax.annotate("", (x, y), (0, 0), arrowprops=style)
    above = -0.3 if name == "by norm" else 0.1
    ax.text(x + 0.1, y + above, name, color=colour)
ax.set(xlim=(-1.2, 5.2), xlabel="first entry of the gradient")
ax.set(ylim=(-1.2, 1.9), ylabel="second entry", aspect="equal")
ax.set_title("Clipping by norm keeps the direction")
plt.show()

# %%
# Clipping by norm gives a shorter arrow of the same direction. Clipping by
# value turns the arrow: both entries become 1, although the first was
# larger.
#
# A network that explodes
# -----------------------
# The network of page 3 reads noise, and only the last of 100 steps has an
# error. One backward pass gives the gradient of all its weights. On
# request, it also keeps the error of every step.

noise = np.random.default_rng(0).normal(size=(100, 8, 1))


def backward(scale):
    rnn = bptt.RNN(1, 32, init="orthogonal", dtype="float64", seed=0)
    rnn.parameters["weight_hh_l0"] *= scale
    y, _, tape = rnn.forward(noise)
    dy = np.zeros_like(y)
    dy[-1] = 1
    rnn.backward(tape, dy, keep_errors=True)
    return rnn, tape


# %%
# The **cosine** of two arrows is 1 if they have the same direction, and 0
# if they make a right angle.


def cosine(a, b):
    return a @ b / np.linalg.norm(a) / np.linalg.norm(b)


rnn, tape = backward(scale=2)
gradient = rnn.flat_gradients.copy()
norm = bptt.clip_by_norm(rnn.gradients, 1.0)
norm_after = np.linalg.norm(rnn.flat_gradients)
print(f"norm {norm:.2g} before, {norm_after:.2g} after")
norm_cosine = cosine(gradient, rnn.flat_gradients)
value_cosine = cosine(gradient, gradient.clip(-1, 1))
print(f"cosine: by norm {norm_cosine:.2f}, by value {value_cosine:.2f}")

# %%
# By norm, a gradient of length 55 million becomes a gradient of length 1,
# with the same direction. By value, the direction changes: the cosine is
# 0.59.
#
# Shares over time
# ----------------
# The gradient of the recurrent weights is a sum of one term per step (page
# 2). How long is each term, before and after clipping? The picture shows
# two networks: one explodes, and one vanishes.


def terms(tape):
    delta = (1 - tape.h[0] ** 2) * tape.dh[0]
    each = np.einsum("tbi,tbj->tij", delta[1:], tape.h[0][:-1])
    return np.linalg.norm(each, axis=(1, 2))[::-1]  # from the last step back


# %%
# A dashed line shows the terms before clipping, and a solid line shows them
# after clipping.

fig, ax = plt.subplots()
share = {}
for scale, colour in ((2.0, "#D55E00"), (0.9, "#0072B2")):
    rnn, tape = backward(scale)
    before = terms(tape)
    after = before / np.linalg.norm(rnn.flat_gradients)  # clipped to norm 1
    share[scale] = [part[50:].sum() / part.sum() for part in (before, after)]
    ax.semilogy(before, "--", color=colour)
    ax.semilogy(after, color=colour)
    ax.text(100, after[-1], f"radius {scale}", color=colour)
ax.set(xlim=(0, 138), xlabel="steps back from the last step")
ax.set_ylabel("length of the term")
ax.set_title("Before clipping (dashed) and after (solid)")
ax.yaxis.set_major_formatter("{x:g}")
plt.show()

# %%
# Clipping shifts each line down and keeps its slope. The proportions
# between early and late steps stay as they were:

for scale, (before, after) in share.items():
    print(f"radius {scale}: earlier half {before:.4%}")
    print(f"    after clipping {after:.4%}")

# %%
# The earlier half is 49 of the 99 terms. In the network that explodes, these
# terms make up 99.8 % of the lengths, with and without clipping. In the
# network that vanishes, they make up 0.0025 %. No factor for the whole
# gradient can change that. So clipping does **not** help against vanishing,
# and it does not tell the network which steps matter.
#
# How to choose the limit
# -----------------------
# The limit should touch explosions, and leave ordinary gradients alone.
# Train for a while with a very high limit, and look at
# ``history["grad_norm"]``, the norms before clipping. Start with their 90 %
# quantile. Any limit between the usual norms and the explosions works, for
# example three times the usual norm. ``bptt.ClipNorm("auto")`` takes the
# limit from the norms of the run so far.
#
# Clipping inside the loop
# ------------------------
# ``bptt.Trainer(..., clip_state=1.0)`` clips the error itself at each step
# back, in the loop of page 2.
#
# What clipping by norm changes, in one list
# ------------------------------------------
# * The length of the gradient: at most the limit.
# * Its direction: unchanged.
# * The shares of early and late steps: unchanged.
# * Errors that have vanished: still vanished.
# * Gradients shorter than the limit: unchanged.
#
# Plain gradient descent (pages 1 to 4) moves the weights against the
# gradient, so a clipped update keeps its direction, too. ``bptt.Adam`` (from
# page 6 on) scales each weight by its own rate. Its updates have another
# direction, with and without clipping.
#
# A common mistake: "clipping mends the gradient." In truth clipping only
# bounds its length. The gradient keeps its direction.
#
# Exercises
# ---------
# 1. A network explodes for 1 update in 1,000. Its ordinary gradients have
#    the norm 0.3. Which limit would you choose?
# 2. Gradients vanish. Would it help to scale every short gradient **up** to
#    the norm 1?
# 3. Does ``clip_state`` keep the direction of the gradient?
#
# Answers
# -------
# 1. Anything from 0.3, near the 90 % quantile, to about 1. Ordinary
#    gradients pass. The limit 1 cuts an explosion to the length of about
#    three ordinary gradients.
# 2. No. All terms grow by one factor, so the early steps keep their tiny
#    share. The updates only become longer.
# 3. No. It reduces the terms of some steps more than others, so the sum
#    changes its direction. In return, one exploding error cannot hide all
#    other terms.
#
# Next: :doc:`plot_6_what_does_truncation_lose`. More remedies:
# :doc:`/guide/remedies`. The calls of this page: :func:`bptt.clip_by_norm`,
# :func:`bptt.clip_by_value`, :class:`bptt.ClipNorm`.
