"""Remedies for each finding, in words, with arguments that can be copied.

The constructor or the Trainer that a remedy names accepts the arguments. No remedy is already in use.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from bptt.init import chrono, identity, orthogonal, sparse
from bptt.layers.passes.directions import reads_from_end
from bptt.layers.passes.gates import cell_of

if TYPE_CHECKING:
    from bptt.diagnose.flow_norms import FlowNorms

CALMER = sparse(spectral_radius=0.95)


def against_explosion(flow: FlowNorms, k: int) -> list[str]:
    """Suggest clipping, truncation and weights that stretch the state less."""
    remedies = []
    if "clip" not in flow.in_use:
        remedies.append("clip=bptt.ClipNorm(1.0) in the Trainer")
    elif "clip_state" not in flow.in_use:
        remedies.append("clip_state=1.0 in the Trainer")
    forward_only = not any(reads_from_end(row.stack) for row in flow.rows)
    if forward_only and flow.per_step and "truncate" not in flow.in_use:
        turns = [flow.turn(row) for row, verdict in enumerate(flow.verdict) if verdict == "exploding"]
        remedies.append(f"truncate={max(min(turns), 1)} in the Trainer")
    stack = flow.rows[k].stack
    init = stack.initialiser
    if isinstance(init, orthogonal):
        remedies.append(f"init=bptt.init.orthogonal(gain={0.9 * init.gain:.3g})")
    else:
        remedies.append('init="orthogonal"')
    proj_size = getattr(stack, "proj_size", 0)
    if not proj_size and not (isinstance(init, sparse) and init.spectral_radius <= CALMER.spectral_radius):
        remedies.append(f"init=bptt.init.sparse(spectral_radius={CALMER.spectral_radius})")
    return remedies


def against_vanishing(flow: FlowNorms, k: int) -> list[str]:
    """Suggest cells, biases and weights that let errors flow back further."""
    stack = flow.rows[k].stack
    cell, init = cell_of(stack), stack.initialiser
    if cell == "RNN":
        unregularized = " without the regularizer in the Trainer" if "regularizer" in flow.in_use else ""
        remedies = [f"LSTM or GRU in its place{unregularized}"]
        relu = getattr(stack, "nonlinearity", "") == "relu"
        if not relu and init != orthogonal():
            remedies.append('init="orthogonal"')
        missing = [] if relu else ['nonlinearity="relu"']
        if init != identity():
            missing.append('init="identity"')
        if missing:
            remedies.append(" with ".join(missing))
        return remedies
    if cell == "MemoryBlocks":
        return ["LSTM in its place"]
    if cell == "no forget gate":  # c forgets nothing: the error vanishes on its way to c
        return ["" if init == orthogonal() else 'init="orthogonal"', "forget_gate=True"][
            init == orthogonal() :
        ]
    longest = max(len(flow.ways[k]), 2)
    expected = init.longest if isinstance(init, chrono) else 0.0
    remembers = expected >= longest
    biased = "" if getattr(stack, "bias", True) else "bias=True with "
    bias: float | tuple[float, ...] | None = getattr(stack, "forget_bias", None)
    if bias is not None:
        new_bias = max(1.0, (max(bias) if isinstance(bias, tuple) else bias) + 1.0)
    elif remembers:  # the largest bias of chrono is the logarithm of `longest`
        new_bias = math.ceil(math.log(expected)) + 1.0
    else:
        new_bias = 1.0
    remedies = []
    if cell == "LSTM":
        remedies.append(f"{biased}forget_bias={new_bias:g} or more")
    elif remembers and cell == "coupled":
        remedies.append(f"coupled=False with forget_bias={new_bias:g}")
    elif remembers:
        remedies.append(f"LSTM in its place with forget_bias={new_bias:g}")
    if not remembers:
        without = "" if bias is None else " without forget_bias"
        remedies.append(f"{biased}init=bptt.init.chrono(longest={longest}){without}")
    return remedies


def against_a_cut(flow: FlowNorms, k: int) -> list[str]:
    """Suggest remedies for an error that becomes exactly 0."""
    remedies = ["none if that is a reset"]
    if getattr(flow.rows[k].stack, "nonlinearity", "") == "relu":
        remedies.append(f"for relu units that are all off, {', or '.join(against_vanishing(flow, k)[::-1])}")
    else:
        remedies.append("for units that are all saturated, x on a smaller scale")
    remedies.append("for recurrent weights of 0, another init")
    return remedies


def against_no_flow(flow: FlowNorms, k: int) -> list[str]:
    """Suggest remedies for an error that arrives at the first step."""
    if flow.dh_norm.shape[1] == 1:
        return ["more steps"]
    if not flow.rows[k].reverse:
        return ["an error at a later step"]
    if flow.per_step:
        return ["an error at an earlier step"]
    layer = "bidirectional layer" if flow.rows[k].stack.bidirectional else "layer that reads in reverse"
    return [f"bptt.Ends() right after the {layer}, in place of bptt.Last()"]


def joined(alternatives: list[str]) -> str:
    """Return a list of alternatives as part of a sentence."""
    return "; or ".join(alternatives)
