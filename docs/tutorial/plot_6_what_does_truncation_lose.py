"""
6. What does truncation lose?
=============================

Backpropagation through time needs the whole series before its first update.
Long series are therefore cut: the errors go back :math:`k` steps, and then
they are dropped. This is **truncation**. This page measures what a network
cannot learn with a given :math:`k`, and chooses :math:`k` for a series.
"""

# %%
# A task with a known lag
# -----------------------
# The input is a random sign at each step. The network must repeat the sign
# of 10 steps ago. ``truncate=k`` cuts each sequence into windows of k
# steps. The state is carried from one window to the next, but errors stay
# in their window.

import matplotlib.pyplot as plt
import numpy as np

import bptt

plt.rcParams.update({"figure.figsize": (6, 3.6), "font.size": 13})
plt.rcParams["figure.constrained_layout.use"] = True

# 81 batches of 120 steps, 16 sequences and 1 input
x = np.random.default_rng(0).choice([-1.0, 1.0], (81, 120, 16, 1))
y = np.roll(x, 10, axis=1)

# %%
# ``Linear`` turns the 24 states of a step into one answer. ``Adam`` is
# gradient descent with its own rate for each weight.


def train(data, k, rate):
    rnn = bptt.RNN(1, 24, init="orthogonal", seed=0)
    model = bptt.Sequential(rnn, bptt.Linear(24, 1, seed=0))
    loss, adam = bptt.MeanSquaredError(), bptt.Adam(rate)
    options = {"clip": bptt.ClipNorm(1.0), "progress": False}
    bptt.Trainer(model, loss, adam, truncate=k, **options).fit(data)
    return model


def test_loss(model, x, y, start):
    return np.mean((model(x)[0] - y)[start:] ** 2)


# %%
# Train on 80 batches, and measure the loss on the batch that is left, for
# six values of k:

batches = list(zip(x[1:], y[1:], strict=True))
losses = {}
for k in (5, 10, 11, 12, 20, 40):
    losses[k] = test_loss(train(batches, k, rate=0.01), x[0], y[0], start=10)

fig, ax = plt.subplots()
ax.axvspan(1, 10, color="#eeeeee")
ax.text(13, 0.6, "grey: no window holds\na sign and its answer")
ax.plot(list(losses), list(losses.values()), "o-", color="#0072B2")
ax.set(xlim=(0, 41), xlabel="steps per window, k")
ax.set(ylim=(0, 1.1), ylabel="test loss")
ax.set_title("A lag of 10 steps, six truncations")
plt.show()
for k, loss in losses.items():
    print(f"k = {k}: test loss {loss:.3f}")

# %%
# The cliff in this picture is sharp. Guessing has a loss of 1. With windows
# of 10 steps, no window holds both an answer and its input, so no error
# reaches that input. The network learns nothing. With 11 steps, 1 answer of
# 11 has its input in the same window. With 20 steps, half of the answers
# have.
#
# Truncation skips no weights
# ---------------------------
# How many entries of the recurrent weights get a gradient, if errors go
# back one step only?

rnn = bptt.RNN(1, 24, init="orthogonal", seed=0)
states, _, tape = rnn.forward(x[0])
gradients = {}
for k in (1, 20, 120):
    rnn.zero_grad()
    rnn.backward(tape, np.ones_like(states), steps=k)
    gradients[k] = rnn.gradients["weight_hh_l0"].copy()
    print(f"{k} steps back: {np.count_nonzero(gradients[k])} of 576 entries")

# %%
# All of them. The gradient is a sum over steps (page 2), and the matrix is
# the same at each step. Truncation leaves out **terms** of this sum, and no
# weight.
#
# Truncation limits learning, not memory
# --------------------------------------
# The first input is a sign, and all later inputs are 0. The network must
# show the sign at every step. Train with k = 1: no error ever goes back to
# an earlier step. Then wait 1,000 steps, ten times as long as in training.

signs = np.zeros((30, 100, 16, 1))
signs[:, 0] = np.random.default_rng(0).choice([-1.0, 1.0], (30, 16, 1))
shown = np.repeat(signs[:, :1], 100, axis=1)
holder = train(list(zip(signs, shown, strict=True)), k=1, rate=0.01)

wait = np.zeros((1000, 2, 1))
wait[0, :, 0] = 1, -1
held = holder(wait)[0][-1, :, 0]
print(held)

# %%
# The network still shows both signs. Each step could learn alone: copy the
# old state. Truncation cuts errors and never the state. Only what needs an
# error from further back than k steps cannot be learned.
#
# How long should k be for this series?
# -------------------------------------
# Here is a series of monthly values, for 320 shops. Each value is 0.9 times
# the value of the same month last year, plus noise. Suppose you do not know
# that. The task is to predict the next value.

sales = np.random.default_rng(0).normal(size=(337, 320))
for t in range(12, 337):
    sales[t] += 0.9 * sales[t - 12]
sales = sales[-97:, :, None]  # 96 steps to read, and one more to predict
sales /= sales.std()

# %%
# **First, ask the data.** The autocorrelation says how much the series now
# resembles the series some steps ago. Look further than the longest period
# that you expect. Look for **peaks**, lags that beat both neighbours. Keep a
# peak only if it clearly beats the earlier ones: a multiple of a period
# hardly does.


def peaks(series, longest):
    c = [1.0]  # the correlation at lag 0
    for lag in range(1, longest + 2):
        now, before = series[lag:].ravel(), series[:-lag].ravel()
        c.append(np.corrcoef(now, before)[0, 1])
    found = {}
    for lag in range(2, longest + 1):
        earlier = max([0.2, *found.values()])
        if c[lag] > max(earlier + 0.05, c[lag - 1], c[lag + 1]):
            found[lag] = round(float(c[lag]), 2)
    return found


print(peaks(sales, 30))

# %%
# The peak is at 12 steps. **Then take twice this lag**, so that at least
# half of all steps have their cause inside their window: k = 24. **Last,
# check half and double the window** on unseen data.

pasts, nexts = sales[:-1], sales[1:]
parts = [slice(shop, shop + 16) for shop in range(0, 256, 16)]
data = [(pasts[:, part], nexts[:, part]) for part in parts] * 8
models, losses_of_series = {}, {}
for k in (6, 12, 24, 48):
    models[k] = train(data, k, rate=0.005)
    loss = test_loss(models[k], sales[:-1, 256:], sales[1:, 256:], 24)
    losses_of_series[k] = loss
    print(f"k = {k}: test loss {loss:.2f}")

# %%
# Windows of 6 steps learn nothing: guessing has a loss of 1. The answer of a
# step is the **next** value, so its cause is the input of 11 steps ago. In a
# window of 12 steps, 1 answer of 12 has its cause inside, and the test loss
# is still 0.34. With 24 steps it is 0.22, and 48 steps bring no more. The
# noise alone makes 0.19, which is :math:`1 - 0.9^2`. **So 24 is the answer
# for this series.**
#
# Does the network with k = 24 use the right month? Send an error into its
# last answer, and see at which inputs it arrives. This backward pass is not
# truncated:

predictions, _, tape = models[24].forward(sales[:-1, 256:])
dy = np.zeros_like(predictions)
dy[-1] = 1
dx, _ = models[24].backward(tape, dy)
arrives = np.linalg.norm(dx[::-1, :, 0], axis=1)
fig, ax = plt.subplots()
ax.bar(np.arange(1, 37), arrives[:36], color="#0072B2")
ax.set_xlabel("months before the predicted month")
ax.set_ylabel("error that arrives")
ax.set_title("The network looks back 12 months")
plt.show()

# %%
# One bar stands out, at 12 months. A high bar near 24, the edge of the
# training windows, would call for a longer window.
#
# Two periods
# -----------
# Here is a made-up electric load, ten weeks of hourly values:

hour = np.arange(10 * 7 * 24)
weekend = hour // 24 % 7 >= 5
load = np.sin(2 * np.pi * hour / 24) * (1 - 0.5 * weekend) - 0.8 * weekend
drift = np.random.default_rng(0).normal(scale=0.1, size=len(load))
for t in hour[1:]:
    drift[t] += 0.9 * drift[t - 1]
load += drift
print(np.corrcoef(load[1:], load[:-1])[0, 1].round(2))
print(peaks(load, 400))

# %%
# Lag 1 has the highest correlation, because the series is smooth, but it is
# no peak. The peaks are the day and the week. Twice the longer one is 336, so
# k is 336. The training sequences must have at least k steps, and the network
# must carry an error that far. The RNN of page 7 has a horizon of 16 steps.
# Take an LSTM with ``init=bptt.init.chrono(longest=168)``. Half of an error
# is left after 168 steps if the factor per step is 0.996 (page 8). With hour
# and weekday as inputs, the long lag may not matter.
#
# If the data show no lag, train once on whole sequences, without
# ``truncate``. ``bptt.gradient_flow(model, x).horizon`` is the number of
# steps after which a thousandth of the error is left. A longer window
# brings nothing.
#
# Two common mistakes: "truncation skips weights", and "k limits what a
# network remembers." In truth truncation only drops terms of the gradient.
#
# Exercises
# ---------
# 1. ``truncate=(10, 20)`` makes an update every 10 steps, and errors go
#    back 20 steps. At least how many steps back does each answer see?
# 2. Which k do you check besides 336? Which ``truncate=(24, k2)`` shows
#    every answer a week?
# 3. Why is k = 11 enough for a lag of 10, if only 1 answer of 11 sees its
#    input?
#
# Answers
# -------
# 1. At least 10 steps, and at most 19.
# 2. 168 and 672. ``truncate=(24, 192)``, because 192 - 24 = 168.
# 3. All steps share the weights. What the network learns from one answer,
#    it applies at every step.
#
# Next: :doc:`plot_7_what_does_vanishing_cost`. The same choice for a task
# of your own: :doc:`/howto/truncation-and-clipping`. The calls of this
# page: :class:`bptt.Trainer`, :class:`bptt.RNN`.
