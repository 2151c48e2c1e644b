"""JAX: `jit` over `lax.scan`, with the input projection before the loop."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from bptt.bench.peers import NotApplicableError
from bptt.bench.problem import Array, Call, Problem

jax: Any = import_module("jax")
jnp: Any = import_module("jax.numpy")

# XLA uses as many threads as the process has cores. The worker limits the cores.


def inference(problem: Problem, threads: int) -> Call:
    """Run a whole sequence."""
    x, weights = _device(problem.x), _device(problem.weights)
    compiled = jax.jit(lambda weights, x: _stack(problem, weights, x))
    return Call(
        lambda: jax.block_until_ready(compiled(weights, x)),
        lambda result: {"y": np.asarray(result[0])},
    )


def training(problem: Problem, threads: int) -> Call:
    """Compute dx and all gradients with `jax.vjp`."""

    def step(weights: Any, x: Any, dy: Any) -> Any:
        y, back = jax.vjp(lambda weights, x: _stack(problem, weights, x)[0], weights, x)
        return y, back(dy)

    compiled = jax.jit(step)
    weights, x, dy = _device(problem.weights), _device(problem.x), _device(problem.dy)

    def read(result: Any) -> dict[str, Array]:
        y, (gradients, dx) = result
        return {"y": np.asarray(y), "dx": np.asarray(dx)} | {
            name: np.asarray(value) for name, value in gradients.items()
        }

    return Call(lambda: jax.block_until_ready(compiled(weights, x, dy)), read)


def streaming(problem: Problem, threads: int) -> Call:
    """Run one compiled step per call, with the weights as constants."""
    shape, cell = problem.case.shape, problem.case.cell
    if shape.layers > 1 or shape.bidirectional:
        raise NotApplicableError("this benchmark streams one layer, one direction")
    weights = _device(problem.weights)

    def step(state: Any, sample: Any) -> Any:
        projected = _project(cell, weights, "_l0", sample)
        return _STEPS[cell](state, projected, weights, "_l0")[0]

    compiled = jax.jit(step)
    samples = [_device(sample) for sample in problem.x]
    zeros = _zeros(cell, shape.B, shape.H)

    def run() -> Any:
        state = zeros
        for sample in samples:
            state = compiled(state, sample)
        return jax.block_until_ready(state)

    return Call(run, lambda state: {"y": np.asarray(state[0] if cell == "lstm" else state)})


def _device(value: Any) -> Any:
    return jax.tree.map(jnp.asarray, value)


def _stack(problem: Problem, weights: Any, x: Any) -> Any:
    """Run all layers and directions. Return y (T, B, D*H) and the list of final states."""
    shape, cell = problem.case.shape, problem.case.cell
    states = []
    for layer in range(shape.layers):
        outputs = []
        for suffix in ("", "_reverse")[: shape.directions]:
            name = f"_l{layer}{suffix}"
            state, y = jax.lax.scan(
                lambda state, projected, name=name: _STEPS[cell](state, projected, weights, name),
                _zeros(cell, shape.B, shape.H),
                _project(cell, weights, name, x),
                reverse=bool(suffix),
            )
            outputs.append(y)
            states.append(state)
        x = outputs[0] if len(outputs) == 1 else jnp.concatenate(outputs, -1)
    return x, states


def _zeros(cell: str, B: int, H: int) -> Any:
    zeros = jnp.zeros((B, H), jnp.float32)
    return (zeros, zeros) if cell == "lstm" else zeros


def _project(cell: str, weights: Any, name: str, x: Any) -> Any:
    """Return W x plus the biases. The GRU's b_hn is not added, because the reset gate multiplies it."""
    projected = x @ weights["weight_ih" + name].T + weights["bias_ih" + name]
    if cell == "gru":
        hidden = weights["bias_hh" + name]
        units = hidden.shape[0] // 3
        return projected + jnp.concatenate([hidden[: 2 * units], jnp.zeros(units, hidden.dtype)])
    return projected + weights["bias_hh" + name]


def _lstm(state: Any, projected: Any, weights: Any, name: str) -> Any:
    h, c = state
    i, f, g, o = jnp.split(projected + h @ weights["weight_hh" + name].T, 4, -1)
    c = jax.nn.sigmoid(f) * c + jax.nn.sigmoid(i) * jnp.tanh(g)
    h = jax.nn.sigmoid(o) * jnp.tanh(c)
    return (h, c), h


def _gru(h: Any, projected: Any, weights: Any, name: str) -> Any:
    r, z, n = jnp.split(projected, 3, -1)
    hr, hz, hn = jnp.split(h @ weights["weight_hh" + name].T, 3, -1)
    r, z = jax.nn.sigmoid(r + hr), jax.nn.sigmoid(z + hz)
    n = jnp.tanh(n + r * (hn + weights["bias_hh" + name][-hn.shape[-1] :]))
    h = n + z * (h - n)
    return h, h


def _rnn(h: Any, projected: Any, weights: Any, name: str) -> Any:
    h = jnp.tanh(projected + h @ weights["weight_hh" + name].T)
    return h, h


_STEPS = {"lstm": _lstm, "gru": _gru, "rnn": _rnn}
