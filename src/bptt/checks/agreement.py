"""Compare layers with the NumPy reference, or with an implementation of the user's choice."""

from __future__ import annotations

from typing import Any

import numpy.typing as npt

from bptt.arguments import flag, short
from bptt.arrays import as_real, to_floats
from bptt.checks import against as comparisons
from bptt.checks.layer_run import Problem
from bptt.checks.nested import State, map_state
from bptt.checks.report import Report, conclude
from bptt.checks.torch_module import is_torch_module
from bptt.checks.training_step import check_layer, kind_of, options_of
from bptt.layers.containers.container import Container
from bptt.layers.containers.inputs import InputsLike, parse_inputs
from bptt.layers.module import Module
from bptt.layers.passes.clip_state import ClipsState
from bptt.layers.recurrent_calls import RecurrentCalls


def crosscheck(
    layer: Module,
    x: InputsLike,
    state: State = None,
    *,
    against: Any = None,
    gradients: bool = False,
    lengths: npt.ArrayLike | None = None,
    reset: npt.ArrayLike | None = None,
    skip: npt.ArrayLike | None = None,
    steps: int | None = None,
    clip_state: float | ClipsState | None = None,
    seed: int = 0,
    raises: bool = True,
) -> Report:
    """Compare a layer with the NumPy reference, or with an implementation of your own.

    Outputs, states, all gradients and the norms through time are compared. Both sides get the same
    parameters, input, state and dropout masks, and the same dL/dy and dL/d(last state), drawn from N(0, 1).
    An entry may be off by ::

        tolerance = 4 * ceil(log2(K * N)) * eps         (twice that in a gradient)

    times the largest absolute entry of the tensor. K is the widest axis of a parameter, N is the number of
    rows (time steps times batch), and eps is that of the layer's dtype. For layers with
    `precision="bfloat16"`, the tolerance is 2^-8. Both sides round the operands of products to bfloat16, but
    not always to the same neighbour. Each rounding changes an operand by at most 2^-8.

    This bound is too small where larger terms cancel, or near the kink of a ReLU. An entry may then be off by
    the reference's response to perturbed data (twice that in a gradient). The response is the change of the
    tensor when all data are perturbed: parameters, input, state, tape and errors each change relatively by
    `tolerance` times a draw from N(0, 1). The tape changes by 2^-8 times such a draw if a layer has
    `tape_dtype="bfloat16"`, because the reference does not round its tape.

    Entries below the dtype's smallest normal number divided by eps always pass. Close to zero, underflow
    costs digits, and rounding errors decide on which side of a kink a number lies.

    If the forward pass fails, the report names the first difference: layer, time step, row, gate and unit.
    The gate is the first one, in the order of computation, whose values differ. A function and a PyTorch
    module do not show their gates. There, it is the gate without whose weights the two agree; or the report
    says in which order the function reads the gates.

    `Linear`, `Embedding`, `Dropout` and `Last` have no reference. Their results are compared with those of
    the same native layer in float64. Use `gradcheck` to find an error that both precisions share.

    Parameters
    ----------
    layer : Module
        Any layer or `Sequential`, in either dtype.
    x : array_like
        Input of the layer.
    state : optional
        Initial state of the layer. None: zeros.
    against : callable, torch.nn.Module or Module, optional
        The implementation to compare with. Default: the NumPy reference.

        A function `f(parameters, x, state) -> y, state`, for example your own NumPy code. It gets a dict of
        the layer's parameters and complete arrays, all in float64. It returns arrays in the layer's layout.

        A PyTorch module with its own parameters: a `torch.nn.LSTM`, or a model whose parameters have the
        layer's shapes in the same order. A copy in float64 and evaluation mode computes outputs and
        gradients. The parameters are compared, too. The last state is compared if the module returns one.

        A layer of bptt with its own parameters.
    gradients : bool
        True: compare the layer's gradients with central differences of the function `against`, with the
        tolerances of `gradcheck`. Other comparisons always include gradients.
    lengths : array_like of int, optional
        Valid steps of each row, for layers that accept lengths.
    reset : array_like of bool, optional
        True where a row starts a new sequence, for layers that accept resets.
    skip : array_like of bool, optional
        True where a row has no step, for layers that accept skips.
    steps : int, optional
        For an RNN, LSTM or GRU: passed to `backward`, which goes back at most `steps` steps.
    clip_state : float, ClipValue or ClipNorm, optional
        Passed to `backward`: clipping inside the recursion. Then every dL/dh_t is compared, too.
    seed : int
        Random seed of dL/dy, dL/d(last state) and the perturbations.
    raises : bool
        Raise when the check fails; otherwise look at the report's `passed`.

    Returns
    -------
    Report
        One row per tensor: "y", "state", "dx", "dstate", "gradients[weight_ih_l0]", "dh_norm" and so on.

    Raises
    ------
    TypeError, ValueError
        If `layer` is not a layer, or the layer refuses the input or the state. If `against` has other
        parameters or another layout, or returns other arrays. With a function or a PyTorch module: if the
        layer draws dropout masks, or an option of the passes is set.
    CheckError
        If an entry is off by more than its bound. The message names tensor, entry and both values.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> layer = bptt.LSTM(3, 8, seed=0)
    >>> report = bptt.crosscheck(layer, np.random.default_rng(0).standard_normal((20, 4, 3)))
    >>> report.passed, [row.name for row in report.rows][:2]
    (True, ['y', 'state[0]'])
    """
    check_layer(layer)
    if steps is not None and not isinstance(layer, RecurrentCalls):
        raise TypeError(
            f"steps must be None unless the layer is an RNN, LSTM or GRU; got {steps} for a {layer.kind}. "
            "Fix: leave it out."
        )
    backward_options: dict[str, Any] = {} if steps is None else {"steps": steps}
    if clip_state is not None:
        if not isinstance(layer, (RecurrentCalls, Container)):
            raise TypeError(
                f"clip_state must be None unless the layer is recurrent or a model; got a {layer.kind}. "
                "Fix: leave it out."
            )
        backward_options |= {"clip_state": clip_state, "keep_errors": True}
    options = options_of(layer, lengths=lengths, reset=reset, skip=skip)
    # Both sides must read the numbers that the layer reads after rounding.
    values = map_state(
        lambda array: to_floats(array, "x", layer.dtype) if array.dtype.kind == "f" else array,
        parse_inputs(x, "x"),
    )
    state = map_state(lambda s: to_floats(as_real(s, "state"), "state", layer.dtype), state)
    problem = Problem(values, state, options, backward_options, seed)
    gradients = flag(gradients, "gradients")
    if against is None:
        rows, first = comparisons.with_reference(layer, problem)
    elif isinstance(against, Module):
        rows, first = comparisons.with_layer(layer, against, problem)
    else:
        for name, value in (options | backward_options).items():
            raise ValueError(
                f"{name} must be None with against, which takes only x and state; got {short(value)}. "
                "Fix: leave one of them out."
            )
        if is_torch_module(against):
            rows, first = comparisons.with_torch(layer, against, problem)
        elif callable(against) and not isinstance(against, type):
            rows, first = comparisons.with_function(layer, against, problem, gradients=gradients)
        else:
            raise TypeError(
                "against must be None, a function f(parameters, x, state), a torch.nn module or a layer of "
                f"bptt; got {kind_of(against)}. Fix: pass the function or the module itself."
            )
    return conclude(f"crosscheck {layer!r}", rows, raises, first)
