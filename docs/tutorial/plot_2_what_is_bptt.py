"""
2. What is backpropagation through time?
========================================

Page 1 followed the error of one unit. A network has many units: its state
and its error are vectors, and its recurrent weight is a matrix.
**Backpropagation through time** (BPTT) computes the gradient of every
weight from these errors. This page draws the idea, derives the equations,
writes them as a loop of four lines, and compares the result with ``bptt``.
"""

# %%
# The network, unrolled
# ---------------------
# A tanh network with the input weights :math:`U`, the recurrent weights
# :math:`W` and the bias :math:`b` computes
#
# .. math:: a_t = U x_t + W h_{t-1} + b, \qquad h_t = \tanh(a_t)
#
# Draw one circle per step, and the loop becomes a chain. The chain is as
# deep as the series is long.

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True

# %%
# The next block only draws. Black arrows are the **forward pass**, which
# computes the states. Orange arrows are the **backward pass**, the errors
# on their way back.


def arrow(start, end, colour, text="", bend=0.0):
    style = {"arrowstyle": "-|>", "connectionstyle": f"arc3,rad={bend}"}
    style |= {"color": colour, "shrinkA": 16, "shrinkB": 16}
    ax.annotate("", end, start, arrowprops=style)
    x, y = (start[0] + end[0]) / 2, 0.12 - 0.75 * (bend != 0)
    ax.text(x, y, text, color=colour, ha="center")


# %%
# Each step reads an input, changes the state, and adds to the loss
# :math:`L`.

fig, ax = plt.subplots()
circle = {"boxstyle": "circle,pad=0.4", "fc": "white", "ec": "black"}
for t in range(4):
    ax.text(t, 0, f"$h_{t}$", ha="center", va="center", bbox=circle)
    arrow((t, -1.3), (t, 0), "black")
    ax.text(t, -1.35, f"$x_{t}$", ha="center", va="center")
    arrow((t, 0), (t, 1.3), "black")
    ax.text(t, 1.3, "$L$", ha="center", va="center")
for t in range(3):
    arrow((t, 0), (t + 1, 0), "black", "$W$")
    arrow((t + 1, 0), (t, 0), "#D55E00", "error", bend=-0.5)
ax.set(xlim=(-0.5, 3.5), ylim=(-1.6, 1.6))
ax.set_title("One network, drawn once per step")
ax.axis("off")
plt.show()

# %%
# All black arrows between circles carry the same letter: one matrix
# :math:`W`, used again at each step.
#
# Three equations
# ---------------
# Let :math:`e_t = dL/dh_t` be the error of step :math:`t`. The chain rule,
# first through tanh:
#
# .. math:: \delta_t = \frac{dL}{da_t} = (1 - h_t^2) \odot e_t
#
# The sign :math:`\odot` multiplies entry by entry. Then through :math:`W`,
# one step back. The state :math:`h_{t-1}` acts on the loss directly and
# through step :math:`t`, so two terms add up:
#
# .. math::
#    e_{t-1} = \frac{\partial L}{\partial h_{t-1}} + W^\mathsf{T} \delta_t
#
# The partial derivative counts only the direct effect of the state. The
# error :math:`e_{t-1} = dL/dh_{t-1}` also counts the later steps.
#
# Last, the weights. Each step uses :math:`W`, so each step adds a term to
# its gradient:
#
# .. math:: \frac{dL}{dW} = \sum_t \delta_t\, h_{t-1}^\mathsf{T}
#
# The same in NumPy
# -----------------
# Take 2 inputs, 3 units and 6 steps. To keep the example small, the loss is
# the sum of all states. Then the direct term
# :math:`\partial L / \partial h_t` is 1 everywhere. The loop runs from the
# last step to the first. In the name ``weight_hh_l0``, ``hh`` means from
# state to state, and ``l0`` is the first layer.

rnn = bptt.RNN(2, 3, dtype="float64", seed=0)
x = np.random.default_rng(0).normal(size=(6, 1, 2))
h = rnn(x)[0][:, 0]  # the states of the only sequence: 6 steps, 3 units
W = rnn.parameters["weight_hh_l0"]

gradient, from_later = np.zeros((3, 3)), np.zeros(3)
for t in range(5, 0, -1):
    delta = (1 - h[t] ** 2) * (1 + from_later)
    gradient += np.outer(delta, h[t - 1])
    from_later = W.T @ delta
print(gradient)

# %%
# ``bptt`` does the same in compiled code. The forward pass keeps every state
# on a **tape**. The backward pass reads the tape from its end, and adds to
# ``rnn.gradients``. It needs ``dy``, the direct derivative of the loss with
# respect to every output.

y, _, tape = rnn.forward(x)
rnn.backward(tape, dy=np.ones_like(y))
difference = np.abs(gradient - rnn.gradients["weight_hh_l0"]).max()
print(difference)

# %%
# The difference is below 1e-15: both compute the same numbers, up to
# rounding.
#
# Is the derivation right?
# ------------------------
# Two programs can share one mistake. A test that knows no calculus is a
# **finite difference**: change one weight a little, and see how much the
# loss changes.

W[0, 1] += 1e-6
up = rnn(x)[0].sum()
W[0, 1] -= 2e-6
down = rnn(x)[0].sum()
W[0, 1] += 1e-6  # as before
slope = (up - down) / 2e-6
print(slope, gradient[0, 1])

# %%
# Both numbers agree in 8 digits. ``bptt.gradcheck(rnn, x)`` does this test
# for all weights of a layer.
#
# What to remember
# ----------------
# The errors meet :math:`W^\mathsf{T}` and the slope of tanh once per step.
# After 99 steps the first error is a product of 99 such factors, as on page
# 1. Only this product can vanish or explode.
#
# A common mistake: "each step has its own weights." In truth there is one
# array ``W`` and one array ``gradient``. The loop adds five terms to it.
#
# The backward pass needs about twice the operations of the forward pass, so
# both together cost about three forward passes. The loop also needs memory
# for every state :math:`h_t` of the series. Page 6 shows what happens if the
# loop stops early.
#
# Exercises
# ---------
# 1. The loop ends at step 1. Which term does step 0 add to the gradient of
#    :math:`W`?
# 2. Change one line so that the loss is the sum of the last state only.
# 3. Compute the gradient of the input weights :math:`U`, and compare it
#    with ``rnn.gradients["weight_ih_l0"]``.
#
# Answers
# -------
# 1. None. The state before step 0 is 0, and the term is a product with this
#    state.
# 2. Write ``delta = (1 - h[t] ** 2) * ((t == 5) + from_later)``.
# 3. Let the loop run down to step 0, ``range(5, -1, -1)``, and add
#    ``np.outer(delta, x[t, 0])``.
#
# Next: :doc:`plot_3_do_weights_above_1_explode`. The calls of this page:
# :class:`bptt.RNN`, :func:`bptt.gradcheck`.
