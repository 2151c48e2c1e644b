"""
1. What becomes of an error?
============================

A **recurrent network** reads a series one step at a time. A state carries
what it has read from step to step. The network can only learn from an early
step if its last answer depends on that step. This page follows that
dependence through 100 steps, in the smallest recurrent network: one number.
"""

# %%
# One unit
# --------
# The **state** :math:`h_t` of one unit follows from the state before and
# from the input :math:`x_t`:
#
# .. math:: h_t = \tanh(w\,h_{t-1} + x_t)
#
# The number :math:`w` is the **recurrent weight**. Every step uses the same
# weight. ``bptt.RNN`` (recurrent neural network) holds a layer of such
# units, here one. It reads several sequences at once, side by side, so its
# input has three axes: time steps, sequences, inputs.

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True


def unit(w):
    rnn = bptt.RNN(1, 1, dtype="float64")
    rnn.flat_parameters[:] = 1, w, 0, 0  # weights of x and h, two biases
    return rnn


# %%
# Nudge the first state
# ---------------------
# The input is 0 at all 100 steps. From state 0, the state stays 0. Now
# start from a tiny state, and ask how much of this nudge is left in the
# last state. Calling the unit with an input and a first state returns the
# states of all steps.

x = np.zeros((100, 1, 1))
nudge, left = 1e-9, {}
for w in (0.9, 1.0, 1.1):
    states, _ = unit(w)(x, np.full((1, 1, 1), nudge))
    left[w] = states[-1].item() / nudge
    print(f"w = {w}: nudge times {left[w]:.3g}")

# %%
# Each step multiplies the nudge by :math:`w`, so 100 steps multiply it by
# :math:`w^{100}`.
#
# Follow the error back
# ---------------------
# Training asks the same question from the other end. The **loss** :math:`L`
# is one number: how wrong the answers are. The **error** of step :math:`t`
# is the derivative :math:`dL/dh_t`. This derivative says how much the loss
# changes if the state of step :math:`t` changes a little. The chain rule
# takes an error one step back:
#
# .. math::
#    \frac{dL}{dh_{t-1}} = \frac{dL}{dh_t}\,\frac{dh_t}{dh_{t-1}}
#    = \frac{dL}{dh_t}\;w\,(1 - h_t^2)
#
# The factor :math:`1 - h_t^2` is the slope of tanh. All states are 0 here,
# so the slope is 1, and each step back multiplies the error by :math:`w`.
# ``bptt.gradient_flow`` sends an error of size 1 into the last step, and
# measures the error that arrives at every other step.

fig, ax = plt.subplots()
errors = {}
for w, colour in ((0.9, "#0072B2"), (1.0, "black"), (1.1, "#D55E00")):
    flow = bptt.gradient_flow(unit(w), x)
    errors[w] = flow.dh_norm[0, ::-1]  # [::-1]: from the last step back
    print(f"w = {w}: error {errors[w][99]:.12g}")
    print(f"         w**99 {w**99:.12g}")
    ax.semilogy(errors[w], color=colour)
    ax.text(101, errors[w][99], f"w = {w}", color=colour, va="center")
ax.set(xlim=(0, 122), xlabel="steps back from the last step", ylabel="error")
ax.set_title("The same error, three weights")
ax.yaxis.set_major_formatter("{x:g}")
plt.show()

# %%
# You should see three straight lines. The vertical axis is logarithmic, so
# a straight line is a constant factor per step. The error and the power of
# the weight agree in all digits shown.
#
# Why this stops learning
# -----------------------
# Training changes a weight against its gradient: ``w -= rate * gradient``,
# with a small learning rate. This gradient, :math:`dL/dw`, is a sum with
# one term per step. Each term contains the error of its step (the next page
# derives this), so large errors make a large gradient, and small ones a
# small gradient. With w = 0.9, step 0 gets 0.00003 of the last step's
# error. The first input hardly changes the update. This is a **vanishing
# gradient**.
# With w = 1.1, step 0 gets 12,528 times the last step's error, and drowns
# out all later steps. This is an **exploding gradient**.
#
# A common mistake: "0.9 is nearly 1." In truth the steps multiply. With the
# weight 0.9, half of the error is gone after 7 steps, because
# :math:`0.9^7 = 0.48`.
#
# A larger network has a matrix in place of :math:`w`, and its states are
# not 0. Then two things decide: how much the matrix stretches the error,
# and the slope of tanh. Page 3 shows who wins.
#
# Exercises
# ---------
# 1. For w = 0.99, after how many steps is the error below a thousandth? Use
#    the formula, not the network.
# 2. Someone multiplies the loss by a million, so that the error of step 0
#    is large again. What changes?
# 3. Take w = 1.1, and start from state 1 in place of 0:
#    ``bptt.gradient_flow(unit(1.1), x, state=np.ones((1, 1, 1)))``. Does
#    the error still explode?
#
# Answers
# -------
# 1. After 688 steps: log(0.001) / log(0.99) is 687.3.
# 2. All errors grow by the same factor. Step 0 still gets 0.00003 of what
#    the last step gets.
# 3. No. The state settles near 0.50, where the slope of tanh is about 0.75.
#    The factor per step is about 0.81, so the error vanishes, although the
#    weight is above 1.
#
# Next: :doc:`plot_2_what_is_bptt`. All arguments of the measurement:
# :func:`bptt.gradient_flow`.
