"""
3. Do weights above 1 explode?
==============================

Many texts say: recurrent weights above 1 make the gradient explode, and
weights below 1 make it vanish. Page 1 agreed, for a unit whose state stays
at 0. This page takes one network with weights above 1, changes only its
input, and sees its gradient explode, grow slowly, and vanish.
"""

# %%
# One network, three inputs
# -------------------------
# One measure of the size of a matrix is its **spectral radius**, the
# largest absolute value of its eigenvalues. In the long run, each
# multiplication by a matrix of radius 2 doubles almost every vector. This
# network has 32 units. An orthogonal matrix rotates or mirrors, and keeps
# every length. Twice this matrix has radius 2, and doubles every length:

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True

rnn = bptt.RNN(1, 32, init="orthogonal", dtype="float64", seed=0)
rnn.parameters["weight_hh_l0"] *= 2
print(bptt.spectral_radius(rnn))

# %%
# The inputs are silence, noise, and the same noise ten times as loud: 100
# steps of 8 sequences each.

noise = np.random.default_rng(0).normal(size=(100, 8, 1))
inputs = {
    "silence": (0 * noise, "#0072B2"),
    "noise": (noise, "black"),
    "loud noise": (10 * noise, "#D55E00"),
}
fig, ax = plt.subplots()
flows = {}
for name, (x, colour) in inputs.items():
    flows[name] = bptt.gradient_flow(rnn, x)
    errors = flows[name].dh_norm[0, ::-1]
    ax.semilogy(errors, color=colour)
    ax.text(101, errors[-1], name, color=colour, va="center")
ax.set(xlim=(0, 135), xlabel="steps back from the last step", ylabel="error")
ax.set_title("The same weights, three inputs")
ax.set_yticks([1e-10, 1, 1e10, 1e20, 1e30])
ax.yaxis.set_major_formatter("{x:g}")
plt.show()

# %%
# The size of a vector is its norm, the length of the arrow. ``rate`` is the
# growth factor of this norm per step back (the geometric mean), and not the
# learning rate:

for name, flow in flows.items():
    print(f"{name}: factor {flow.rate[0]:.2f}, {flow.verdict[0]}")

# %%
# In silence the error doubles at every step. Noise brings the factor down
# to 1.16, and loud noise to 0.81: the error of a network with "weights
# above 1" vanishes.
#
# Saturation
# ----------
# Page 2 has the reason. Each step back multiplies the error by
# :math:`W^\mathsf{T}` **and** by the slope of tanh, :math:`1 - h_t^2`. The
# slope is 1 at state 0, and almost 0 near the states -1 and 1. Units near
# these ends are **saturated**. Loud input saturates most units, so most of
# each error is lost on the way through tanh:

slopes = {}
for name, (x, _) in inputs.items():
    states, _ = rnn(x)
    slopes[name] = np.mean(1 - states**2)
    print(f"{name}: mean slope {slopes[name]:.2f}")

# %%
# The weights double an error, and the slopes take a part of it away. For
# noise, the two means give 2 times 0.47, or 0.94: the error should shrink.
# Yet its measured factor is 1.16, because most of the error travels through
# the units that are not saturated. Neither the weights nor a mean say
# whether a gradient explodes. Measure with data like yours.
#
# The Lyapunov exponent
# ---------------------
# The same growth appears in forward time. Start the network twice, from
# two states that differ by a hair. Give both runs the same input. How much
# does the difference grow per step? Take the first 20 steps of one
# sequence:

twenty_steps = {}
for name, (x, _) in inputs.items():
    one, _ = rnn(x[:20, :1])
    other, _ = rnn(x[:20, :1], np.full((1, 1, 32), 1e-9))
    difference = np.linalg.norm(other - one, axis=(1, 2))
    twenty_steps[name] = (difference[-1] / difference[0]) ** (1 / 19)
    print(f"{name}: {twenty_steps[name]:.2f} per step")

# %%
# The logarithm of this factor, over a long run, is the **largest Lyapunov
# exponent** of the network. A factor of 1 is an exponent of 0. Above 0, the
# network is sensitive: a small change of an early state changes everything
# later. Below 0, the network forgets how it began.
# ``bptt.lyapunov_spectrum`` measures the exponent with exact derivatives:

growth = {}
for name, (x, _) in inputs.items():
    growth[name] = np.exp(bptt.lyapunov_spectrum(rnn, x, 1))[0]
    print(f"{name}: {growth[name]:.2f} per step")

# %%
# The factors 2.00, 1.14 and 0.78 are close to the factors of the errors:
# 2.00, 1.16 and 0.81. The 1.22 of the noise above is a rough value from 20
# steps of one sequence; here are 100 steps of all 8. A difference on its way
# forwards and an error on its way back meet the same matrices, in opposite
# order. In plain words: a network whose errors explode is a network that
# amplifies small differences, and a network whose errors vanish forgets.
#
# A common mistake: "weights above 1 explode." In truth they **can** make a
# gradient explode. The input decides, because it decides how many units are
# saturated.
#
# Exercises
# ---------
# 1. Multiply the noise by 3, 4, 5 and 6. From which factor on does the
#    error shrink?
# 2. Why is silence the worst case for this network?
# 3. Weights of radius 0.9 in place of 2: can an input make the errors of
#    this network explode?
#
# Answers
# -------
# 1. From 5 on. The factors are 1.10, 1.03, 0.99 and 0.94 per step.
# 2. All states are 0, where the slope of tanh has its largest value, 1.
#    Nothing holds the weights back.
# 3. No. The matrix is 0.9 times an orthogonal one, so it shrinks every
#    vector, and no slope is above 1. Other matrices of radius 0.9 can
#    stretch some vectors for a few steps;
#    ``bptt.diagnose.plot_singular_values`` shows by how much.
#
# Next: :doc:`plot_4_what_does_one_explosion_do`. How to read the
# measurement: :doc:`/guide/gradient-flow`. The calls of this page:
# :func:`bptt.gradient_flow`, :func:`bptt.lyapunov_spectrum`.
