"""The numbers in the text of the tutorial: phrases of a page, and conditions on the names of its script."""

CLAIMS: dict[int, list[tuple[str, str]]] = {
    1: [
        ("100 steps multiply it by :math:`w^{100}`", "all(abs(left[w] / w**100 - 1) < 1e-6 for w in left)"),
        ("agree in all digits", "all(abs(errors[w][99] / w**99 - 1) < 1e-12 for w in errors)"),
        ("0.00003 of the last step's error", "round(float(errors[0.9][99]), 5) == 0.00003"),
        ("12,528 times the last step's error", "round(float(errors[1.1][99])) == 12528"),
        ("gone after 7 steps", "errors[0.9][7] < 0.5 < errors[0.9][6]"),
        (":math:`0.9^7 = 0.48`", "round(float(errors[0.9][7]), 2) == 0.48"),
        ("log(0.001) / log(0.99) is 687.3", "round(float(np.log(0.001) / np.log(0.99)), 1) == 687.3"),
        ("After 688 steps", "0.99**688 < 0.001 < 0.99**687"),
        (
            "so the error vanishes",
            "bptt.gradient_flow(unit(1.1), x, state=np.ones((1, 1, 1))).verdict == ('vanishing',)",
        ),
        (
            "near 0.50, where the slope of tanh is about 0.75",
            "(lambda h: abs(h - 0.5) < 0.005 and abs(1 - h * h - 0.75) < 0.005)"
            "(unit(1.1)(x, np.ones((1, 1, 1)))[0][-1].item())",
        ),
        (
            "about 0.81",
            "abs(1.1 * (1 - unit(1.1)(x, np.ones((1, 1, 1)))[0][-1].item() ** 2) - 0.82) < 0.005",
        ),
    ],
    2: [
        ("The difference is below 1e-15", "difference < 1e-15"),
        ("agree in 8 digits", "abs(slope / gradient[0, 1] - 1) < 1e-8"),
        ("does this test for all weights", "bool(bptt.gradcheck(rnn, x))"),
        ("The loop adds five terms", "len(range(5, 0, -1)) == 5"),
    ],
    3: [
        ("Twice this matrix has radius 2", "abs(bptt.spectral_radius(rnn)[0] - 2) < 1e-12"),
        ("In silence the error doubles", "abs(flows['silence'].rate[0] - 2) < 1e-9"),
        (
            "down to 1.16, and loud noise to 0.81",
            "[round(float(flows[n].rate[0]), 2) for n in ('noise', 'loud noise')] == [1.16, 0.81]",
        ),
        ("explode, grow slowly, and vanish", "flows['loud noise'].verdict == ('vanishing',)"),
        ("Loud input saturates most units", "slopes['silence'] == 1 and slopes['loud noise'] < 0.3"),
        (
            "The factors 2.00, 1.14 and 0.78",
            "[round(float(growth[n]), 2) for n in ('silence', 'noise', 'loud noise')] == [2.0, 1.14, 0.78]",
        ),
        (
            "The factors are 1.10, 1.03, 0.99 and 0.94",
            "[round(float(bptt.gradient_flow(rnn, s * noise).rate[0]), 2) for s in (3, 4, 5, 6)]"
            " == [1.1, 1.03, 0.99, 0.94]",
        ),
        ("2 times 0.47, or 0.94", "round(float(slopes['noise']), 2) == 0.47"),
        ("The 1.22 of the noise above", "round(float(twenty_steps['noise']), 2) == 1.22"),
        (
            "it shrinks every vector",
            "np.allclose(np.linalg.svd(rnn.parameters['weight_hh_l0'] * 0.45)[1], 0.9)",
        ),
    ],
    4: [
        ("where the loss is 2.6", "round(descend(updates=1)[2], 1) == 2.6"),
        ("0.02 times 254 is 5", "round(runs['plain'][1].max()) == 254"),
        ("ends at u = -5", "abs(runs['plain'][0][-1, 0] + 5.07) < 0.01"),
        ("The path never comes back", "runs['plain'][1][-1] < 1e-4"),
        ("The loss stays at 0.09", "abs(runs['plain'][2] - 0.09) < 1e-4"),
        ("where the loss is 0", "runs['clipped'][2] < 1e-12"),
        ("at most 0.02 long", "np.linalg.norm(np.diff(runs['clipped'][0], axis=0), axis=1).max() < 0.0201"),
        ("0.09 against 2.6", "runs['plain'][2] < 0.1 < 2.5 < descend(updates=1)[2]"),
        ("made 12 good updates", "runs['plain'][1].argmax() == 12"),
        ("a larger learning rate do no harm", "descend(rate=0.05)[2] < 1e-12"),
        ("still on the high plateau", "descend(limit=0.01)[2] > 2.5"),
    ],
    5: [
        ("length 55 million becomes a gradient of length 1", "round(norm / 1e6) == 55"),
        ("with the same direction", "abs(norm_cosine - 1) < 1e-12"),
        ("the cosine is 0.59", "round(float(value_cosine), 2) == 0.59"),
        ("both entries become 1", "by_value['w'].tolist() == [1, 1]"),
        (
            "a shorter arrow of the same direction",
            "np.allclose(by_norm['w'], np.array([4, 1.5]) / np.hypot(4, 1.5))",
        ),
        (
            "The proportions between early and late steps stay",
            "all(abs(a / b - 1) < 1e-12 for a, b in share.values())",
        ),
        ("make up 99.8 % of the lengths", "round(float(share[2.0][0]), 3) == 0.998"),
        ("they make up 0.0025 %", "round(float(share[0.9][0]) * 100, 4) == 0.0025"),
        ("49 of the 99 terms", "len(terms(tape)) == 99 and len(terms(tape)[50:]) == 49"),
    ],
    6: [
        ("Guessing has a loss of 1.", "np.mean(y[0] ** 2) == 1"),
        ("The network learns nothing.", "min(losses[5], losses[10]) > 0.9"),
        ("With 11 steps", "losses[11] < 0.3"),
        ("With 20 steps", "max(losses[20], losses[40]) < 0.03"),
        ("All of them.", "all(np.count_nonzero(g) == 576 == g.size for g in gradients.values())"),
        ("still shows both signs", "abs(held - [1, -1]).max() < 0.05"),
        ("The peak is at 12 steps.", "peaks(sales, 30) == {12: 0.9}"),
        ("Windows of 6 steps learn nothing", "losses_of_series[6] > 0.9"),
        ("test loss is still 0.34", "abs(losses_of_series[12] - 0.34) < 0.03"),
        ("With 24 steps it is 0.22", "abs(losses_of_series[24] - 0.22) < 0.02"),
        ("48 steps bring no more", "losses_of_series[24] - losses_of_series[48] < 0.02"),
        ("makes 0.19", "round(1 - 0.9**2, 2) == 0.19"),
        (
            "One bar stands out, at 12 months",
            "arrives[:36].argmax() == 11 and arrives[11] > 5 * np.median(arrives)",
        ),
        ("The peaks are the day and the week", "list(peaks(load, 400)) == [24, 168]"),
        (
            "Lag 1 has the highest correlation",
            "np.corrcoef(load[1:], load[:-1])[0, 1] > max(peaks(load, 400).values())",
        ),
        ("if the factor per step is 0.996", "round(0.5 ** (1 / 168), 3) == 0.996"),
        ("six values of k", "len(losses) == 6"),
    ],
    7: [
        (
            "or 0.167",
            "round(1 / 6, 3) == 0.167 and abs(np.mean([(y - 1) ** 2 for _, y in data]) - 1 / 6) < 0.003",
        ),
        ("at 0.165, hardly better than guessing", "abs(losses['RNN'][-100:].mean() - 0.165) < 0.003"),
        ("The LSTM ends at 0.002", "losses['LSTM'][-100:].mean() < 0.004"),
        (
            "their horizons are 13 and 14 steps",
            "[int(flows[n][0].horizon[0]) for n in ('RNN', 'LSTM')] == [13, 14]",
        ),
        ("reach all 50 steps", "flows['LSTM'][1].horizon[0] == 50"),
        (
            "loses over 90 % in the first 4 steps, and then stays flat",
            "(lambda r: r[4:].max() < 0.1 and r[4:].min() > 0.005)"
            "(flows['LSTM'][1].dh_norm[0, ::-1] / flows['LSTM'][1].dh_norm[0, -1])",
        ),
        ("The RNN gets to 16 steps", "flows['RNN'][1].horizon[0] == 16"),
        (
            "0.000000004 of the error",
            "3e-9 < flows['RNN'][1].dh_norm[0, 0] / flows['RNN'][1].dh_norm[0, -1] < 5e-9",
        ),
        ("the LSTM loses 1 % of a difference per step", "0.985 < growth['LSTM'][1] < 1"),
        ("The RNN loses 31 %", "abs(growth['RNN'][1] - 0.69) < 0.01"),
        ("for almost 800 updates the LSTM guessed", "losses['LSTM'][700:780].mean() > 0.15"),
    ],
    8: [
        (
            "has a loss of about 0.05",
            "abs(np.mean([(memory(s)[1] ** 2).mean() for s in range(100)]) - 0.05) < 0.01",
        ),
        ("has learned the task with one unit", "loss[-20:].mean() < 0.003"),
        ("opens at a *store*, and is shut", "i[stores].min() > 0.85 and np.delete(i, stores).max() < 0.1"),
        ("at a *store* it shuts", "f[stores].max() < 0.15 and np.delete(f, stores).min() > 0.95"),
        ("opens at a *read*", "o[reads].min() > 0.85 and np.delete(o, reads).max() < 0.15"),
        ("almost unchanged", "kept > 0.9"),
        ("The curve starts at 0.90", "abs(dc[reads[-1]] - 0.9) < 0.02"),
        ("3 % goes on to earlier steps", "0.02 < dc[stores[-1] - 1] / dc[stores[-1]] < 0.04"),
        ("differ in the fourth digit", "1e-5 < abs(kept - product) < 3e-4"),
        ("the product is exact", "all(abs(error / factors - 1) < 1e-12 for error, factors in left.values())"),
        ("loses 99 % of the error", "0.005 < left[3.0][0] < 0.01"),
        ("half of the error is left", "abs(left[5.0][0] - 0.5) < 0.02"),
        ("A forget gate of 0.95", "round(float(1 / (1 + np.exp(-3.0))), 2) == 0.95"),
        ("0.9993, because this number to the power 1,000 is 0.5", "round(0.9993**1000, 1) == 0.5"),
    ],
    9: [
        ("the same decision, 0.46", "input_gates[False].round(2).tolist() == [0.46, 0.46]"),
        ("With peepholes, they differ", "abs(input_gates[True] - [0.46, 0.29]).max() < 0.005"),
        ("one tick every 10 steps", "ticks.tolist() == [9, 19, 29, 39]"),
        ("the height 0.76", "round(float(clock(True)[0].max()), 2) == 0.76 == round(float(np.tanh(1)), 2)"),
        ("climbs to 1", "abs(clock(True)[1].max() - 1) < 1e-3"),
        ("The memory reaches 4", "abs(clock(False)[1][-1] - 4) < 1e-3"),
        ("so the output stays at 0", "abs(clock(False)[0]).max() < 1e-3"),
        ("The two numbers differ by 0.0035", "abs(dc_0.item() - product - 0.0035) < 5e-5"),
        (
            "They cost three numbers per unit",
            "bptt.LSTM(1, 1, peephole=True).parameters['weight_peephole_l0'].size == 3",
        ),
    ],
}

EXERCISES: dict[int, list[tuple[str, str]]] = {
    4: [
        (
            "Plain, 7 of 78. Clipped, none.",
            "[sum(descend(limit, (0.3, w), rate)[2] > 0.01 for w in np.linspace(1.1, 1.7, 13)"
            " for rate in (0.02, 0.03, 0.04, 0.05, 0.06, 0.08)) for limit in (None, 1.0)] == [7, 0]",
        ),
    ],
    7: [
        (
            "Before update 400",
            "losses_of(bptt.LSTM(2, 16, init=bptt.init.chrono(longest=50), seed=0))[380:400].mean() < 0.08",
        ),
        (
            "The loss stays near 0.167",
            "losses_of(bptt.RNN(2, 16, init='orthogonal', seed=0))[-100:].mean() > 0.16",
        ),
        (
            "guesses for 200 updates only",
            "(lambda loss: loss[:100].mean() > 0.15 and loss[220:260].mean() < 0.08)"
            "(losses_of(bptt.GRU(2, 16, seed=0)))",
        ),
        (
            "Three changes shorten this wait",
            "losses_of(bptt.LSTM(2, 16, forget_bias=3.0, seed=0))[690:710].mean() < 0.08",
        ),
        ("is 37 steps", "bptt.gradient_flow(bptt.RNN(2, 16, init='orthogonal', seed=0), x).horizon[0] == 37"),
        (
            "The RNN also fails with the seeds 1 and 2",
            "min(losses_of(bptt.RNN(2, 16, seed=s), s)[-100:].mean() for s in (1, 2)) > 0.16",
        ),
        (
            "the LSTM also learns with them",
            "max(losses_of(bptt.LSTM(2, 16, seed=s), s)[-100:].mean() for s in (1, 2)) < 0.01",
        ),
    ],
    8: [
        ("With this seed, the loss stays near 0.05", "0.04 < memory_losses(1)[1] < 0.06"),
        (
            "two end below 0.01 with one unit, and four with two units",
            "[sum(loss < 0.01 for loss in memory_losses(units)) for units in (1, 2)] == [2, 4]",
        ),
    ],
}
"""Answers that need more training runs. `tests/test_tutorial.py` adds
`losses_of` and `memory_losses` to the names."""
