"""
9. What do peepholes see?
=========================

The gates of page 8 decide what to keep, what to write and what to show.
This page asks what the gates can see when they decide. The answer is a
surprise: not the memory. **Peepholes** let them see it. With peepholes, a
single cell without any input becomes a clock.
"""

# %%
# Two memories, one decision
# --------------------------
# An **LSTM** (long short-term memory, page 8) has three gates. A gate reads
# the input and the state of the step before,
# :math:`h_{t-1} = o_{t-1} \tanh(c_{t-1})`. If the output gate was shut,
# :math:`h_{t-1}` is 0, whatever the memory holds. A peephole adds a direct
# look at the cell state:
#
# .. math::
#    i_t = \sigma(\ldots + p_i\,c_{t-1}), \qquad
#    f_t = \sigma(\ldots + p_f\,c_{t-1})
#
# .. math:: o_t = \sigma(\ldots + p_o\,c_t)
#
# Here :math:`\sigma(a) = 1 / (1 + e^{-a})`, and the dots stand for the
# terms of page 8: input, state and bias. Take two cells, one with the
# memory 0 and one with the memory 2. Shut the output gate, and read the
# input gate:

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True

memories = np.array([[[0.0], [2.0]]])
input_gates = {}
for peephole in (False, True):
    lstm = bptt.LSTM(1, 1, peephole=peephole, dtype="float64", seed=0)
    lstm.parameters["bias_ih_l0"][3] = -20  # the output gate is shut
    _, _, tape = lstm.forward(np.zeros((1, 2, 1)), (0 * memories, memories))
    input_gates[peephole] = tape.gates[0][0, :, 0]
    print("peepholes", peephole, input_gates[peephole].round(2))

# %%
# Without peepholes, both gates make the same decision, 0.46. With
# peepholes, they differ.
#
# A clock
# -------
# To measure time, a cell must see its own memory. Set the weights by hand.
# The input gate is open (bias 20), and the candidate is 0.1, so the cell
# adds 0.1 at each step. The output gate is :math:`\sigma(200 c - 190)`. It
# changes from shut to open where 200 c = 190, at c = 0.95. The forget gate
# has the opposite signs, and empties the memory there.


def clock(peephole):
    lstm = bptt.LSTM(1, 1, peephole=peephole, dtype="float64")
    lstm.flat_parameters[:] = 0
    biases = 20, 190, np.arctanh(0.1), -190  # i, f, g, o
    lstm.parameters["bias_ih_l0"][:] = biases
    if peephole:
        lstm.parameters["weight_peephole_l0"][:, 0] = 0, -200, 200  # i, f, o
    shown, _, tape = lstm.forward(np.zeros((40, 1, 1)))
    return shown[:, 0, 0], tape.c[0][:, 0, 0]


# %%
# Run both cells for 40 steps, without any input:

fig, ax = plt.subplots()
for peephole, colour in ((False, "#D55E00"), (True, "#0072B2")):
    shown, memory = clock(peephole)
    ax.plot(memory, "--", color=colour)
    ax.plot(shown, "o-", color=colour, markersize=4)
ax.text(12, 2.3, "without", color="#D55E00")
ax.text(21, 1.15, "with peepholes", color="#0072B2")
ax.set(xlabel="step", ylabel="memory (dashed), output")
ax.set_title("A cell without input, with and without peepholes")
plt.show()
ticks = np.flatnonzero(clock(True)[0] > 0.5)
print("ticks at the steps", ticks)

# %%
# With peepholes, the memory climbs to 1, the output ticks, and the memory
# starts again: one tick every 10 steps, for ever, without any input. A tick
# has the height 0.76, which is tanh(1). Without peepholes, the same weights
# count and count. The memory reaches 4, but no gate sees it, so the output
# stays at 0.
#
# Could the output gate stay open instead, so that :math:`h_{t-1}` shows the
# memory? Then the gates see it, but so does the rest of the network, at
# every step. An output that is 0 between two ticks needs a shut gate.
#
# What peepholes change for the error
# -----------------------------------
# On page 8, the error of the cell state met one factor per step, the forget
# gate. Peepholes add a path: now the gates themselves depend on the memory.
# In the clock, the memory decides when to tick. If a tick comes too late,
# the error reaches the memory through the gate.
# Take the cell with peepholes from the top of this page, for 5 steps.
# Compare the error that arrives at its first memory with the product of
# page 8:

h, c = np.zeros((1, 1, 1)), np.ones((1, 1, 1))
y, _, tape = lstm.forward(np.zeros((5, 1, 1)), (h, c))
_, (_, dc_0) = lstm.backward(tape, dstate=(0 * h, np.ones_like(c)))
product = np.prod(tape.gates[0][:, 0, 1])
print(f"error {dc_0.item():.4f}")
print(f"product of the forget gates {product:.4f}")

# %%
# The two numbers differ by 0.0035. The output gate is shut here, so the side
# paths of page 8 carry nothing. The peepholes added the difference: two
# paths lead back, and their errors add up.
#
# When to use them
# ----------------
# Use peepholes when exact intervals matter, such as rhythms or delays
# (Gers, Schraudolph and Schmidhuber, 2002). They cost three numbers per
# unit.
#
# A common mistake: "the gates see the memory." In truth, without peepholes,
# they see only what the output gate has shown.
#
# What you know now
# -----------------
# * **Why does a gradient vanish?** Each step back multiplies the error by
#   the recurrent weights and by the slope of tanh. Many factors below 1
#   leave nothing (pages 1 to 3).
# * **What does clipping change?** The length of a gradient, and neither its
#   direction nor the shares of early and late steps. Clipping stops
#   explosions, and brings back nothing that has vanished (pages 4 and 5).
# * **How long should truncation be?** About twice the longest lag that
#   matters, checked with half and double (page 6).
# * **Which gate carries the error?** The forget gate. If the gate is close
#   enough to 1, it keeps an error for a hundred steps and more (pages 7 and
#   8).
# * **What does a Lyapunov exponent say?** How fast a network forgets, or
#   amplifies, a small difference (pages 3 and 7).
#
# Exercises
# ---------
# 1. Change one number, so that the clock ticks every 5 steps.
# 2. Why does the clock read :math:`c_t` for the output gate, but
#    :math:`c_{t-1}` for the forget gate?
# 3. The memory of the clock without peepholes is 4 after 40 steps. Why does
#    its loss tell it nothing about that?
#
# Answers
# -------
# 1. Write ``np.arctanh(0.2)`` in place of ``np.arctanh(0.1)``: the cell
#    adds 0.2 at each step.
# 2. The forget gate decides what becomes of the last memory, so it must act
#    first. The output gate decides about the memory that is there now.
# 3. Its output gate is shut, so the loss does not depend on the memory. The
#    error of the memory is 0.
#
# Where to go from here: :doc:`/howto/which-cell` chooses a cell for a task,
# :doc:`/guide/training` explains the training loop, and
# :doc:`/guide/gradient-flow` measures gradients in your own network. The
# calls of this page: :class:`bptt.LSTM`.
