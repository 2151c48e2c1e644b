"""The diagnosis sees only what is there: padding changes no verdict, and every remedy can be followed."""

from __future__ import annotations

import inspect
import itertools
import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import bptt
from bptt.diagnose.flow import GradientFlow
from bptt.diagnose.rows import rows_of

pytestmark = pytest.mark.filterwarnings("ignore:.*Last")

RNG = np.random.default_rng(0)
LONG, PADDED, I, H = 40, 60, 3, 8

CELLS: dict[str, tuple[type[Any], dict[str, Any]]] = {
    "tanh": (bptt.RNN, {}),
    "relu": (bptt.RNN, {"nonlinearity": "relu"}),
    "LSTM": (bptt.LSTM, {}),
    "coupled": (bptt.LSTM, {"coupled": True}),
    "no forget gate": (bptt.LSTM, {"forget_gate": False}),
    "projected": (bptt.LSTM, {"proj_size": 5}),
    "GRU": (bptt.GRU, {}),
    "reset before": (bptt.GRU, {"reset_after": False}),
    "MGU": (bptt.MGU, {}),
}


class Given(bptt.MeanSquaredError):
    """A loss with this error."""

    def __init__(self, error: Any) -> None:
        super().__init__()
        self.error = error

    def __call__(self, y: Any, target: Any, mask: Any = None) -> tuple[float, Any]:
        return 1.0, self.error


def pairwise(factors: dict[str, tuple[Any, ...]], seed: int = 0) -> list[dict[str, Any]]:
    """Return a few combinations in which every pair of values of two factors occurs."""
    rng = np.random.default_rng(seed)
    names = list(factors)
    open_pairs = {
        (a, x, b, y)
        for a, b in itertools.combinations(names, 2)
        for x in range(len(factors[a]))
        for y in range(len(factors[b]))
    }

    def pairs(row: dict[str, int]) -> set[tuple[str, int, str, int]]:
        return {(a, row[a], b, row[b]) for a, b in itertools.combinations(names, 2)}

    chosen = []
    while open_pairs:
        a, x, b, y = min(open_pairs)
        tries = [
            {name: int(rng.integers(len(values))) for name, values in factors.items()} | {a: x, b: y}
            for _ in range(30)
        ]
        best = max(tries, key=lambda row: len(pairs(row) & open_pairs))
        open_pairs -= pairs(best)
        chosen.append({name: factors[name][index] for name, index in best.items()})
    return chosen


def ended(stack: Any, end: str) -> bptt.Module:
    """Return a model whose output has a time axis or, after Last or Ends, has none."""
    options = {"dtype": stack.dtype.name, "batch_first": stack.batch_first}
    directions = stack.num_directions
    if end == "Ends" and directions == 1:
        end = "Last"
    layers: dict[str, list[bptt.Module]] = {
        "": [],
        "Last": [bptt.Last(**options)],
        "Ends": [bptt.Ends(**options)],
    }
    width = directions * stack.output_size
    return bptt.Sequential(stack, *layers[end], bptt.Linear(width, 2, dtype=stack.dtype.name, seed=9))


PADDING = pairwise(
    {
        "cell": tuple(CELLS),
        "bidirectional": (False, True),
        "num_layers": (1, 2),
        "dtype": ("float32", "float64"),
        "batch_first": (False, True),
        "end": ("", "Last", "Ends"),
        "error": ("unit", "dy", "loss"),
        "option": ({}, {"layer_norm": True}, {"zoneout": 0.2}, {"recurrent_dropout": 0.2}, {"bias": False}),
        "scale": (0.2, 1.0, 3.0),
    }
)


def flow_of(model: bptt.Module, x: Any, error: str, lengths: Any = None) -> GradientFlow:
    """Measure; a random error covers the valid steps, whatever the padding."""
    y, _, _ = model.forward(x, **({} if lengths is None else {"lengths": lengths}))
    rng = np.random.default_rng(3)
    target = np.zeros(y.shape)
    if y.ndim == 3:
        batch_first = rows_of(model)[0].stack.batch_first
        over_time = target.swapaxes(0, 1) if batch_first else target
        over_time[:LONG] = rng.standard_normal((LONG, *over_time.shape[1:]))
    else:
        target[...] = rng.standard_normal(y.shape)
    given: dict[str, Any] = {"lengths": lengths}
    if error == "dy":
        given["dy"] = target
    elif error == "loss":
        given |= {"loss": bptt.MeanSquaredError(), "target": target}
    return bptt.gradient_flow(model, x, **given)


@pytest.mark.parametrize("setup", PADDING, ids=lambda setup: "-".join(map(str, setup.values())))
def test_padding_changes_nothing(setup: dict[str, Any]) -> None:
    cell, own = CELLS[setup["cell"]]
    names = ("bidirectional", "num_layers", "dtype", "batch_first")
    options = own | setup["option"] | {name: setup[name] for name in names}
    model = ended(cell(I, H, seed=1, **options), setup["end"])
    for name, weight in model.parameters.items():
        if "weight_hh" in name:
            weight *= setup["scale"]
    x = np.random.default_rng(2).standard_normal((PADDED, 4, I))

    def measured(steps: int, lengths: Any = None) -> GradientFlow:
        cut = x[:steps].swapaxes(0, 1) if setup["batch_first"] else x[:steps]
        return flow_of(model, cut, setup["error"], lengths)

    plain, padded = measured(LONG), measured(PADDED, [LONG] * 4)
    ragged = [LONG, LONG - 15, 0, LONG]
    pairs = [(plain, padded), (measured(LONG, ragged), measured(PADDED, ragged))]
    for one, other in pairs:
        if setup["option"].keys() & {"zoneout", "recurrent_dropout"}:
            assert one.dh_norm.shape == other.dh_norm.shape  # masks differ with the number of steps
            continue
        assert one.verdict == other.verdict
        assert one.carried == other.carried
        assert str(one) == str(other)
        np.testing.assert_array_equal(one.horizon, other.horizon)
        np.testing.assert_allclose(
            one.dh_norm, other.dh_norm, rtol=1e-3 if setup["dtype"] == "float32" else 1e-9
        )
    if setup["end"] == "Last" and setup["bidirectional"] and setup["num_layers"] == 1:
        assert all(flow.verdict[1] == "no flow" for pair in pairs for flow in pair)


@pytest.mark.parametrize("name", CELLS)
def test_an_error_on_shorter_rows_alone_is_not_blamed_on_the_layer(name: str) -> None:
    """Of a model that returns one vector per row, only the longest rows can be measured."""
    kind, options = CELLS[name]
    model = bptt.Sequential(kind(I, H, seed=0, **options), bptt.Last())
    x = RNG.random((9, 3, I))
    y, _, _ = model.forward(x, lengths=[4, 9, 9])
    for error, lengths in itertools.product(np.eye(3), ([4, 9, 9], [9, 9, 9], [4, 0, 9])):
        dy = np.outer(error, np.ones(y.shape[1]))
        before = dy.copy()
        if lengths[int(np.argmax(error))] == 9:
            flow = bptt.gradient_flow(model, x, dy=dy, lengths=lengths)
            assert np.isfinite(flow.rate).all()
            assert flow.dh_norm[:, -1].all()
        else:
            with pytest.raises(
                ValueError, match=r"dy must have an error on the longest rows.*first on row \d.*Fix: measure"
            ):
                bptt.gradient_flow(model, x, dy=dy, lengths=lengths)
            with pytest.raises(ValueError, match="loss must have an error on the longest rows"):
                bptt.gradient_flow(model, x, loss=Given(before), target=y, lengths=lengths)
        np.testing.assert_array_equal(dy, before)


def test_masks_of_zoneout_do_not_make_padding_visible() -> None:
    cases: list[tuple[Any, Any]] = [(bptt.GRU, 0.2), (bptt.LSTM, (0.0, 0.2)), (bptt.LSTM, (0.2, 0.0))]
    for cell, zoneout in cases:
        layer = cell(I, H, bidirectional=True, zoneout=zoneout, seed=1, dtype="float64")
        for name, weight in layer.parameters.items():
            if name.startswith("weight_hh"):
                weight *= 0.1
        x = RNG.standard_normal((PADDED, 4, I))
        plain, padded = bptt.gradient_flow(layer, x[:LONG]), bptt.gradient_flow(layer, x, lengths=[LONG] * 4)
        assert plain.verdict == padded.verdict == ("vanishing", "vanishing")
        assert plain.carried == padded.carried
        assert (padded.rate > 0).all()


def test_zoneout_of_the_cell_state_is_no_dead_cell() -> None:
    """dL/dc is 0 at the last step by design: h is made from c before zoneout."""
    layer = bptt.LSTM(2, H, forget_bias=8.0, zoneout=(0, 0.1), seed=1, dtype="float64")
    layer.parameters["weight_hh_l0"][...] *= 0.01
    layer.parameters["bias_ih_l0"][3 * H :] = -9
    x = RNG.standard_normal((PADDED, 4, 2))
    flow = bptt.gradient_flow(layer, x)
    assert flow.c_ways is not None
    assert flow.c_ways[0][0] == 0 < flow.c_ways[0][1]
    assert flow.carried == (True,)
    assert "none needed" in " ".join(str(flow).split())
    share = flow.c_ways[0][-1] / flow.c_ways[0][1]
    assert f"  {share:.2g}x  " in str(flow)
    monitor = bptt.GradientMonitor(every_updates=1, patience=1)
    model = bptt.Sequential(layer, bptt.Linear(H, 2, dtype="float64"))
    trainer = bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.SGD(1e-12), callbacks=[monitor], progress=False
    )
    trainer.fit([(x, np.zeros((PADDED, 4, 2)))])  # a GradientWarning would be an error here
    assert monitor.flow is not None


def test_a_cell_state_that_carries_is_not_cut_off() -> None:
    layer = bptt.LSTM(2, H, forget_bias=12.0, seed=1)
    layer.parameters["weight_hh_l0"][...] = 0
    flow = bptt.gradient_flow(layer, RNG.standard_normal((PADDED, 4, 2)))
    assert flow.carried == (True,)
    assert "cut off" not in str(flow)


def test_a_small_radius_does_not_bound_the_error() -> None:
    """A shift matrix has radius 0, yet errors grow for as many steps as there are units."""
    layer = bptt.RNN(I, 50, nonlinearity="relu", dtype="float64", seed=0)
    weight = layer.parameters["weight_hh_l0"]
    weight[...] = 1.6 * np.eye(50, k=1)
    layer.parameters["bias_ih_l0"][...] = 1e3
    assert bptt.spectral_radius(layer).tolist() == [0]
    flow = bptt.gradient_flow(layer, np.zeros((LONG, 2, I)))
    assert flow.verdict == ("exploding",)
    assert flow.rate[0] > 1.5


@pytest.mark.parametrize("seed", range(5))
def test_a_small_singular_value_does(seed: int) -> None:
    for nonlinearity in ("relu", "tanh"):
        layer = bptt.RNN(I, H, dtype="float64", seed=seed, nonlinearity=nonlinearity)
        weight = layer.parameters["weight_hh_l0"]
        weight *= 0.99 / np.linalg.norm(weight, 2)
        (way,) = bptt.gradient_flow(layer, RNG.standard_normal((LONG, 2, I))).ways
        assert (way[1:] <= 0.99 * way[:-1] * (1 + 1e-12)).all()


# Remedies

REMEDIES = {
    "cell": tuple(CELLS),
    "bias": (True, False),
    "bidirectional": (False, True),
    "init": (
        "default",
        "orthogonal",
        bptt.init.orthogonal(gain=0.5),
        "identity",
        "chrono",
        bptt.init.chrono(longest=5),
        bptt.init.sparse(spectral_radius=0.9),
    ),
    "forget_bias": (None, 0.5, 3.0),
    "end": ("", "Last", "Ends"),
    "in_use": (
        {},
        {"clip": bptt.ClipNorm(1.0)},
        {"clip": bptt.ClipValue(1.0), "clip_state": 1.0},
        {"truncate": 10},
        {"clip": bptt.ClipNorm(1.0), "clip_state": 1.0, "truncate": 10},
        {"regularizer": bptt.PascanuRegularizer(1.0)},
    ),
    "curve": ("vanishing", "exploding", "cut off", "no flow"),
}
STEPS = 30
CURVES = {
    "vanishing": 0.5 ** np.arange(STEPS),
    "exploding": 2.0 ** np.arange(STEPS),
    "cut off": np.where(np.arange(STEPS) < 3, 1.0, 0.0),
    "no flow": np.where(np.arange(STEPS) < STEPS - 1, 0.0, 1.0),
}


def built(setup: dict[str, Any]) -> Any:
    """Return the recurrent layer, or None where its own constructor refuses the options."""
    cell, own = CELLS[setup["cell"]]
    options = own | {name: setup[name] for name in ("bias", "bidirectional", "init")}
    if cell is bptt.LSTM:
        options["forget_bias"] = setup["forget_bias"]
    try:
        return cell(I, H, seed=1, **options)
    except ValueError:
        return None


def given(setup: dict[str, Any], model: bptt.Module) -> dict[str, Any] | None:
    """Return the options of the Trainer, or None where it refuses them for this model."""
    try:
        trainer(model, setup["in_use"]).fit([batch(model)])
    except ValueError:
        return None
    return dict(setup["in_use"])


def trainer(model: bptt.Module, options: dict[str, Any], *callbacks: Any) -> bptt.Trainer:
    return bptt.Trainer(
        model, bptt.MeanSquaredError(), bptt.SGD(1e-6), callbacks=callbacks, progress=False, **options
    )


def batch(model: bptt.Module) -> tuple[Any, Any]:
    x = np.ones((STEPS, 2, I))
    return x, np.zeros(model(x)[0].shape)


def synthetic(model: bptt.Module, curve: str, in_use: dict[str, Any], per_step: bool) -> GradientFlow:
    """Return a flow with this curve in every row."""
    rows = tuple(rows_of(model))
    norms = np.array([CURVES[curve] if row.reverse else CURVES[curve][::-1] for row in rows])
    return GradientFlow(norms, None, rows, per_step, frozenset(in_use))


ALTERNATIVE = re.compile(r'(\w+)=("[^"]*"|bptt[\w.]*\([^()]*\)|[\w.]+)')


def alternatives(sentence: str) -> Iterator[str]:
    """Split the remedy of a sentence at its alternatives."""
    remedy = sentence.rstrip(".").partition("Remedy: ")[2]
    for part in remedy.split("; or "):
        yield from part.partition("are all off, ")[2].split(", or ") if "are all off, " in part else [part]


def follow(part: str, setup: dict[str, Any], stack: Any, in_use: dict[str, Any]) -> bool:
    """Do what an alternative says; return whether it names anything to do in code."""
    named = {name: eval(value, {"bptt": bptt}) for name, value in ALTERNATIVE.findall(part)}
    if "bptt.Ends()" in part:
        assert setup["end"] == "Last"
        ended(built(setup), "Ends")
        return True
    if "in the Trainer" in part and named:
        assert not named.keys() & in_use.keys(), part
        model = ended(built(setup), setup["end"])
        trainer(model, in_use | named).fit([batch(model)])
        return True
    kinds = [getattr(bptt, name) for name in re.findall(r"\b(LSTM|GRU)\b", part)]
    if not kinds and not named:
        return False
    options = {
        name: value for name, value in stack.config().items() if name not in ("input_size", "hidden_size")
    }
    options |= {"init": setup["init"]}
    for name in re.findall(r"without (\w+)", part):
        options.pop(name, None)
    for kind in kinds or [type(stack)]:
        known = dict(inspect.signature(kind).parameters)  # another cell takes what both have
        if kinds:
            known.pop("activations")  # of the cell that it replaces
        kind(I, H, **{name: value for name, value in options.items() if name in known} | named)
    if not kinds:
        assert any(options.get(name) != value for name, value in named.items()), part
        if "init" in named:
            layer = type(stack)(I, H, **options | named)
            assert layer.initialiser != stack.initialiser, part
    if "regularizer" in in_use and kinds:
        assert "without the regularizer" in part
    return True


def test_every_remedy_can_be_followed_and_is_not_in_use() -> None:
    followed = dict.fromkeys(CURVES, 0)
    for setup in itertools.chain.from_iterable(pairwise(REMEDIES, seed) for seed in range(12)):
        stack = built(setup)
        if stack is None:
            continue
        model = ended(stack, setup["end"])
        in_use = given(setup, model)
        if in_use is None or (setup["curve"] == "no flow" and setup["end"] != "Last"):
            continue
        flow = synthetic(model, setup["curve"], in_use, setup["end"] == "")
        sentences = bptt.diagnose.words.advice(flow)
        assert sentences
        for sentence in sentences:
            for part in alternatives(sentence):
                followed[setup["curve"]] += follow(part, setup, stack, in_use)
    assert min(followed.values()) > 3, followed
