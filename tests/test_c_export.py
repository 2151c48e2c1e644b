"""Exported C headers agree with the models, for all layers and options, compilers and processors."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.c_programs import CORTEX_M4, Array, Case, Compiler, check_cases, run_cases

import bptt

T = 200
ACTIVATIONS: tuple[Any, ...] = (
    *("sigmoid", "tanh", "relu", ("affine", 0.5, 0.1), ("leaky_relu", 0.1), ("thresholded_relu", 0.2)),
    *(("scaled_tanh", 1.2, 0.7), "hard_sigmoid", "elu", "softsign", "softplus", "linear", "gelu", "silu"),
)
COMMON: dict[str, tuple[Any, ...]] = {
    "sizes": ((1, 5), (3, 16), (9, 1)),
    "num_layers": (1, 2),
    "bias": (True, False),
    "layer_norm": (False, True),
    "own": (False, True),
}
"""Values of the options of every recurrent layer; "own" is whether it has unusual activations."""
CLIPPED = {"gate_clip": (None, 0.7), "zoneout": (0.0, 0.3)}
OPTIONS: dict[type[Any], dict[str, tuple[Any, ...]]] = {
    bptt.RNN: COMMON | CLIPPED,
    bptt.GRU: COMMON | CLIPPED | {"reset_after": (True, False)},
    bptt.MGU: COMMON | CLIPPED,
    bptt.LSTM: COMMON
    | {
        "kind": ({}, {"coupled": True}, {"forget_gate": False}),
        "peephole": (False, True),
        "proj_size": (0, 2),
        "cell_clip": (None, 1.5),
        "clip": ({}, {"gate_clip": 0.9}, {"gate_clip": 0.9, "clip_mode": "spec"}),
        "zoneout": (0.0, (0.2, 0.4)),
    },
}


def all_pairs(axes: dict[str, tuple[Any, ...]]) -> list[dict[str, Any]]:
    """Settings that hold every pair of values of two options."""
    rng = np.random.default_rng(0)
    sizes = [len(values) for values in axes.values()]

    def pairs(row: tuple[int, ...]) -> set[Any]:
        return set(itertools.combinations(enumerate(row), 2))

    missing = set().union(
        *(
            {((a, i), (b, j)) for i in range(sizes[a]) for j in range(sizes[b])}
            for a, b in itertools.combinations(range(len(sizes)), 2)
        )
    )
    rows = []
    while missing:
        (a, i), (b, j) = min(missing)
        tries = [tuple(int(rng.integers(size)) for size in sizes) for _ in range(30)]
        tries = [tuple(i if k == a else j if k == b else v for k, v in enumerate(row)) for row in tries]
        rows.append(max(tries, key=lambda row: len(pairs(row) & missing)))
        missing -= pairs(rows[-1])
    return [{name: axes[name][place] for name, place in zip(axes, row, strict=True)} for row in rows]


def float32_numbers(model: Any, seed: int, scale: float = 0.5) -> Any:
    """Give a float64 model parameters that are float32 numbers, none of them zero."""
    rng = np.random.default_rng(seed)
    for name, values in model.parameters.items():
        fan_in = values.shape[-1] if values.ndim > 1 else 4
        drawn = rng.normal(0, scale / np.sqrt(fan_in), values.shape)
        # A small gain of layer norm keeps cells from amplifying rounding errors over 200 steps.
        values[...] = (drawn + (0.5 if "weight_norm" in name else 0.0)).astype(np.float32)
    return model


def inputs(width: int, seed: int) -> Array:
    return np.random.default_rng(seed).standard_normal((T, width)).astype(np.float32).astype(np.float64)


def recurrent_case(layer: type[Any], row: dict[str, Any], number: int) -> Case:
    options = {name: value for name, value in row.items() if name not in ("sizes", "own", "kind", "clip")}
    options |= row.get("kind", {}) | row.get("clip", {})
    I, H = row["sizes"]
    if options.get("proj_size", 0) >= H:
        options["proj_size"] = 0
    if H == 1:
        options["bias"] = True  # layer norm of a single number is 0, and the layer would do nothing
    if row["own"]:
        own = ("hard_sigmoid", "softsign", "elu")
        count = 3 if layer is bptt.LSTM else 2
        options |= {"nonlinearity": own[1]} if layer is bptt.RNN else {"activations": own[:count]}
    if row["layer_norm"] and options.get("forget_gate") is False:
        # All c would reach the bound, and layer norm would amplify their differences.
        options["cell_clip"] = None
    return Case(float32_numbers(layer(I, H, dtype="float64", **options), number), inputs(I, number))


def cases_of(layer: type[Any]) -> list[Case]:
    return [recurrent_case(layer, row, number) for number, row in enumerate(all_pairs(OPTIONS[layer]))]


def test_recurrent_layers_agree_for_every_pair_of_options(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for layer in OPTIONS:
        with subtests.test(layer.__name__):
            check_cases(tmp_path, cases_of(layer))


def test_every_activation_agrees(tmp_path: Path) -> None:
    """In an LSTM each function is once that of the gates, of the candidate and of the output."""
    cases = []
    for number, function in enumerate(ACTIVATIONS):
        others = [ACTIVATIONS[(number + turn) % len(ACTIVATIONS)] for turn in (5, 9)]
        layers = [
            bptt.LSTM(2, 6, activations=(function, *others), cell_clip=2.0, dtype="float64"),
            bptt.RNN(2, 6, nonlinearity=function, dtype="float64"),
        ]
        cases += [Case(float32_numbers(layer, number, 0.4), inputs(2, number)) for layer in layers]
    check_cases(tmp_path, cases)


def test_last_is_the_output_of_the_last_step(tmp_path: Path) -> None:
    model = bptt.Sequential(bptt.GRU(2, 5), bptt.Last(), bptt.Dropout(0.5), bptt.Linear(5, 3), seed=0)
    x = inputs(2, 0)
    (y,) = run_cases(tmp_path, [Case(model, x)], outputs=3)
    np.testing.assert_allclose(y[-1:], model(x[:, np.newaxis])[0], rtol=0, atol=1e-6)


def chains() -> list[Case]:
    """Models of several layers, with every layer without a state."""
    f64: dict[str, Any] = {"dtype": "float64"}
    embedding = bptt.Embedding(11, 6, **f64)
    ids = np.random.default_rng(0).integers(0, 11, T)
    models: list[tuple[Any, Array]] = [
        (bptt.Sequential(bptt.LSTM(1, 16, **f64), bptt.Linear(16, 1, **f64)), inputs(1, 1)),
        (bptt.Sequential(embedding, bptt.GRU(6, 6, **f64), bptt.TiedLinear(embedding), bptt.Softmax()), ids),
        (bptt.Sequential(bptt.Embedding(11, 5, **f64), bptt.Linear(5, 9, bias=False, **f64)), ids),
        (
            bptt.Sequential(
                *(bptt.LayerNorm(4, **f64), bptt.Linear(4, 12, **f64), bptt.GELU(), bptt.Dropout(0.3)),
                bptt.Sequential(bptt.MGU(12, 7, **f64), bptt.LayerNorm(7, eps=1e-3, bias=False, **f64)),
                *(bptt.SiLU(), bptt.Linear(7, 3, **f64), bptt.Tanh()),
            ),
            inputs(4, 2),
        ),
        (
            bptt.Sequential(
                *(bptt.ReLU(dtype="float64"), bptt.Linear(40, 3, **f64), bptt.Sigmoid()),
                *(bptt.LayerNorm(3, elementwise_affine=False, **f64), bptt.RNN(3, 1, **f64)),
            ),
            inputs(40, 3),
        ),
        (bptt.LSTM(2, 3, cell_clip=1e50, gate_clip=1e39), inputs(2, 5)),  # limits beyond float32
    ]
    return [Case(float32_numbers(model, 7 + number), x) for number, (model, x) in enumerate(models)]


def test_chains_of_layers_agree(tmp_path: Path, subtests: pytest.Subtests) -> None:
    for math in ("inline", "libm"):
        with subtests.test(math):
            check_cases(tmp_path, chains(), math=math)


def test_extreme_inputs(tmp_path: Path) -> None:
    """Numbers whose squares and differences overflow or underflow in float32 give what float64 gives."""
    f64: dict[str, Any] = {"dtype": "float64"}
    size = np.array([0.0, 1e-45, 1e-38, 1e-20, 1.0, 1e19, 3e38])
    x = np.random.default_rng(0).choice(np.concatenate([size, -size]), (T, 5)).astype(np.float32)
    layers = [bptt.LayerNorm(5, **f64), bptt.Softmax(**f64), bptt.Tanh(**f64), bptt.Sigmoid(**f64)]
    # A Linear after the layer tells the header its width, and shows every output.
    models = [bptt.Sequential(layer, bptt.Linear(5, 5, bias=False, **f64)) for layer in layers]
    for model in models:
        model.parameters["1.weight"][...] = np.eye(5)
    cases = [Case(model, x.astype(np.float64)) for model in models]
    for case, y in zip(cases, run_cases(tmp_path, cases), strict=True):
        np.testing.assert_allclose(y, case.model(case.x)[0], rtol=1e-6, atol=1e-7)


def variety() -> list[Case]:
    """A few models with most of the options, for compilers and processors."""
    return [*chains(), *(case for layer in OPTIONS for case in cases_of(layer)[:1])]


COMPILERS = {
    "sanitizers": Compiler(
        ("gcc", "-std=c99", "-O0", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")
    ),
    "gcc, all optimizations": Compiler(("gcc", "-std=gnu17", "-O3", "-march=native", "-ffast-math")),
    "clang": Compiler(("clang-14", "-std=c99", "-O3")),
    "C++11": Compiler(("g++", "-std=c++11", "-O1")),
    "C++20": Compiler(("clang++-14", "-std=c++20", "-O1")),
    "aarch64": Compiler(("aarch64-linux-gnu-gcc", "-std=c99", "-O2", "-static"), ("qemu-aarch64",)),
    "Cortex-M4": CORTEX_M4,
}


@pytest.mark.parametrize("compiler", COMPILERS)
def test_compilers_and_processors_agree(compiler: str, tmp_path: Path) -> None:
    check_cases(tmp_path, variety(), COMPILERS[compiler])
