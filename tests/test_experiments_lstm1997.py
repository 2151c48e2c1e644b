"""The tasks of the paper of 1997 are as the paper says, and its nets have the paper's number of weights."""

from __future__ import annotations

import re
from collections import defaultdict
from functools import partial

import numpy as np
import pytest
from experiments.papers.lstm1997 import marked_pairs as pairs_of_paper
from experiments.papers.lstm1997 import net, reber, temporal_order
from experiments.tasks import long_lag, marked_pairs
from experiments.tasks import reber as strings
from experiments.tasks import temporal_order as orders
from experiments.training import Recent, one_by_one

END_OF_REBER = "(XT*VP)*(S|XT*VV)"
REBER = f"B(TS*X{END_OF_REBER}|PT*V(P{END_OF_REBER}|V))E"
"""The Reber grammar as a regular expression, derived by hand from the drawing in the paper."""


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


def test_strings_belong_to_the_grammar_and_all_of_its_choices_occur(rng: np.random.Generator) -> None:
    drawn = [strings.embedded_string(rng) for _ in range(4000)]
    assert all(re.fullmatch(f"B(T{REBER}T|P{REBER}P)E", string) for string in drawn)
    followers: dict[str, list[str]] = defaultdict(list)
    legal: dict[str, set[str]] = {}
    for string in drawn:
        for t, allowed in enumerate(strings.legal_next(string)):
            followers[string[: t + 1]].append(string[t + 1])
            legal[string[: t + 1]] = allowed
    frequent = {prefix for prefix, symbols in followers.items() if len(symbols) >= 40}
    assert len(frequent) > 60
    assert {prefix: set(followers[prefix]) for prefix in frequent} == {p: legal[p] for p in frequent}


def test_a_string_is_right_if_the_legal_symbols_win_at_every_step(rng: np.random.Generator) -> None:
    training, test = strings.training_and_test(rng, 20)
    assert not set(training) & set(test)
    encoded = strings.encode(training + test)
    assert encoded.lengths.tolist() == [len(string) - 1 for string in training + test]
    y = encoded.legal.astype(float)
    assert strings.right(y, encoded).all()
    last = encoded.lengths[3] - 1
    y[last, 3, strings.SYMBOLS.index("B")] = 2
    y[encoded.lengths.min() :, encoded.lengths.argmin()] = 0  # after its end
    assert np.flatnonzero(~strings.right(y, encoded)).tolist() == [3]


@pytest.mark.parametrize("product", [False, True])
def test_marked_pairs_are_where_the_paper_says(rng: np.random.Generator, product: bool) -> None:
    data = marked_pairs.marked_pairs(rng, 100, 3000, product=product)
    assert (data.lengths.min(), data.lengths.max()) == (100, 110)
    low = 0 if product else -1
    hidden = 0
    for k, length in enumerate(data.lengths):
        value, marker = data.x[:, k].T
        assert not data.x[length:, k].any()
        assert (marker[0], marker[length - 1]) == (-1, -1)
        marks = np.flatnonzero(marker == 1)
        hidden += len(marks) == 1
        assert np.count_nonzero(marker) == 2 + len(marks)
        assert len(marks) in (1, 2)
        assert marks[0] < 10 or len(marks) == 1
        assert marks.max() < 50
        seen = value[marks].astype(float)
        expected = seen.prod() if product else 0.5 + seen.sum() / 4
        np.testing.assert_allclose(data.target[k, 0], expected, rtol=1e-6)
        assert value.min() >= low
        assert value.max() <= 1
    assert 0.09 < hidden / 3000 < 0.15, "a tenth of the first marks, and 1 of 49 second marks"


def test_the_class_is_the_order_of_the_two_symbols(rng: np.random.Generator) -> None:
    data = orders.temporal_order(rng, 2000)
    first, second = set(), set()
    for k, length in enumerate(data.lengths):
        text = "".join(orders.SYMBOLS[i] for i in data.x[:length, k].argmax(-1))
        match = re.fullmatch("E[abcd]*([XY])[abcd]*([XY])[abcd]*B", text)
        assert match is not None
        assert ["XX", "XY", "YX", "YY"][data.target[k]] == match[1] + match[2]
        first.add(match.start(1) + 1)
        second.add(match.start(2) + 1)
    assert (first, second) == (set(range(10, 21)), set(range(50, 61)))
    assert set(data.lengths) == set(range(100, 111))
    np.testing.assert_allclose(np.bincount(data.target) / 2000, 0.25, atol=0.04)


def test_two_sequences_differ_at_both_ends_only() -> None:
    symbols = long_lag.two_sequences(100)
    assert symbols.shape == (101, 2)
    assert symbols[0].tolist() == symbols[-1].tolist() == [100, 99]
    assert symbols[1:-1].tolist() == [[k, k] for k in range(99)]


def test_one_by_one_gives_each_sequence_its_length(rng: np.random.Generator) -> None:
    batch = marked_pairs.marked_pairs(rng, 20, 4)
    single = list(one_by_one([batch]))
    assert [one.x.shape for one in single] == [(length, 1, 2) for length in batch.lengths]
    assert [one.target.item() for one in single] == batch.target[:, 0].tolist()


def test_recent_sees_the_last_sequences_only(rng: np.random.Generator) -> None:
    recent, errors = Recent(7), rng.random(23)
    for part in np.split(errors, [3, 10, 11, 17]):
        recent.add(part, part > 0.5)
    assert recent.full
    assert recent.sequences == 23
    assert recent.wrong == np.count_nonzero(errors[-7:] > 0.5)
    assert recent.error == pytest.approx(errors[-7:].mean())


def test_nets_of_1997_have_the_number_of_weights_of_the_paper() -> None:
    """Each run checks this number itself, and stops at its limit."""
    runs = {
        93: partial(pairs_of_paper.of_1997, steps=20, limit=30, rate=0.5),
        156: partial(temporal_order.of_1997, limit=30, rate=0.5),
        264: partial(reber.of_1997, blocks=4, cells=1, weights=264, rate=0.5, limit=100),
        276: partial(reber.of_1997, blocks=3, cells=2, weights=276, rate=0.5, limit=100),
        517: partial(reber.of_1997, blocks=6, cells=1, weights=517, rate=0.5, limit=100, larger=True),
    }
    for weights, run in runs.items():
        figures = run(0, False)
        assert figures["weights"] == weights
        assert not figures["solved"]
    with pytest.raises(AssertionError, match="93 weights, but the paper has 94"):
        net.blocks(np.random.default_rng(0), 2, 2, 2, 1, scale=0.1, weights=94)
