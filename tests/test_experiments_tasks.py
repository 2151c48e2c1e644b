"""Data of the experiments, against definitions written a second time, and the theory beside them."""

from __future__ import annotations

import numpy as np
import pytest
from experiments.papers.lyapunov import mean_field
from experiments.papers.parity import Guesses
from experiments.registry import EXPERIMENTS
from experiments.tasks.adding_halves import CONSTANT, adding_halves
from experiments.tasks.class_order import class_order
from experiments.tasks.continual_reber import continual_reber
from experiments.tasks.copy_memory import copy_memory, memoryless
from experiments.tasks.parity import parity
from experiments.tasks.reber import SYMBOLS

import bptt


def accepts(inner: str) -> bool:
    """Whether the Reber grammar, written here as right-linear rules, makes this string."""
    rules = {
        "start": ["Ba"],
        "a": ["Tb", "Pc"],
        "b": ["Sb", "Xd"],
        "c": ["Tc", "Ve"],
        "d": ["Xc", "Sf"],
        "e": ["Pd", "Vf"],
        "f": ["E"],
    }
    states = {"start"}
    for symbol in inner:
        states = {rule[1:] for state in states for rule in rules.get(state, []) if rule[0] == symbol}
    return "" in states


def test_a_continual_stream_is_made_of_whole_embedded_strings() -> None:
    x, target, outer = continual_reber(np.random.default_rng(0), 3000, 2)
    assert x.shape == (3000, 2, 7)
    assert np.all(x.sum(-1) == 1)
    assert np.array_equal(x[1:].argmax(-1), target[:-1])  # the target is the next input
    for row in range(2):
        stream = SYMBOLS[x[0, row].argmax()] + "".join(SYMBOLS[code] for code in target[:, row])
        begin, repeats = 0, []
        while (end := _end(stream, begin)) is not None:
            string = stream[begin:end]
            assert string[1] == string[-2]
            assert accepts(string[2:-2]), string
            repeats.append(end - 2)  # the place of the second outer symbol
            begin = end
        assert len(repeats) > 200
        marked = np.flatnonzero(outer[:, row]) + 1
        assert marked[: len(repeats)].tolist() == repeats


def _end(stream: str, begin: int) -> int | None:
    """Return where the string that begins here ends: after the E that follows the inner E and one symbol."""
    inner = stream.find("E", begin)
    return inner + 3 if 0 <= inner < len(stream) - 3 else None


def test_copy_memory_asks_for_the_first_ten_symbols_at_the_end() -> None:
    x, target = copy_memory(np.random.default_rng(0), 30, 500)
    codes = x.argmax(-1)
    assert codes.shape == target.shape == (50, 500)
    assert np.array_equal(codes[:10], target[-10:])
    assert set(codes[:10].ravel()) == set(range(1, 9))
    assert not target[:-10].any()
    assert np.all(codes[39] == 9)
    assert not codes[10:39].any()
    assert not codes[40:].any()


@pytest.mark.parametrize(("delay", "published"), [(100, 0.1733), (200, 0.0945), (300, 0.0650), (500, 0.0400)])
def test_the_baseline_is_the_loss_of_blanks_and_guesses(delay: int, published: float) -> None:
    _, target = copy_memory(np.random.default_rng(0), delay, 3)
    guess = np.full((*target.shape, 9), -np.inf)
    guess[:-10, :, 0] = 0.0
    guess[-10:, :, 1:] = 0.0
    loss = float(bptt.CrossEntropy()(np.maximum(guess, -1e6), target)[0])
    assert memoryless(delay) == pytest.approx(loss, rel=1e-6)
    assert memoryless(delay) == pytest.approx(published, abs=5e-5)


def test_adding_marks_one_number_in_each_half() -> None:
    x, target = adding_halves(np.random.default_rng(0), 51, 4000)
    assert np.all(x[:25, :, 1].sum(0) == 1)
    assert np.all(x[25:, :, 1].sum(0) == 1)
    assert np.allclose((x[:, :, 0] * x[:, :, 1]).sum(0), target[:, 0])
    assert np.mean((target - 1) ** 2) == pytest.approx(CONSTANT, rel=0.1)


def test_class_order_has_two_symbols_in_their_ranges() -> None:
    x, target = class_order(np.random.default_rng(0), 50, 2000)
    relevant = x[:, :, :2].sum(-1)
    places = np.array([np.flatnonzero(row) for row in relevant.T])
    assert places.shape == (2000, 2)
    assert set(places[:, 0]) == set(range(5, 10))
    assert set(places[:, 1]) == set(range(25, 30))
    second = x[:, :, 1]
    every = np.arange(2000)
    assert np.array_equal(2 * second[places[:, 0], every] + second[places[:, 1], every], target)


def test_parity_counts_ones_inside_the_length() -> None:
    x, target, lengths = parity(np.random.default_rng(0), 5, 9, 300)
    assert set(lengths) == {5, 6, 7, 8, 9}
    assert x.shape == (9, 300, 1)
    for row, length in enumerate(lengths):
        bits = x[:length, row, 0]
        assert set(bits) <= {-1.0, 1.0}
        assert not x[length:, row].any()
        assert target[row] == (np.count_nonzero(bits == 1) % 2 == 1)


def test_guesses_side_by_side_are_separate_nets() -> None:
    rng = np.random.default_rng(0)
    guesses = Guesses(2, 5)
    guesses.draw(rng)
    strings = parity(rng, 5, 9, 40)
    found = guesses.wrong(*strings)
    for k in range(5):
        rnn, read = bptt.RNN(1, 2, nonlinearity="sigmoid", seed=0), bptt.Linear(2, 1, seed=0)
        units = slice(2 * k, 2 * k + 2)
        for name, values in rnn.parameters.items():
            large = guesses.rnn.parameters[name]
            values[...] = large[units, units] if name == "weight_hh_l0" else large[units]
        read.parameters["weight"][...] = guesses.read.parameters["weight"][k : k + 1, units]
        read.parameters["bias"][...] = guesses.read.parameters["bias"][k]
        y = bptt.Sequential(rnn, bptt.Last(), read)(strings[0], lengths=strings[2])[0]
        assert np.count_nonzero((y[:, 0] > 0) != strings[1]) == found[k]


def test_mean_field_theory_is_exact_where_the_state_is_zero() -> None:
    assert mean_field(0.5, 0.0) == pytest.approx(np.log(0.5), abs=1e-9)
    assert mean_field(1.5, 0.0) > 0 > mean_field(1.5, 1.0)


def test_quick_runs_of_all_experiments_have_a_budget_of_minutes() -> None:
    seconds = [
        case.quick_seconds * case.quick_seeds for experiment in EXPERIMENTS for case in experiment.cases
    ]
    assert sum(seconds) < 2 * 20 * 60  # two cores, 20 minutes
