"""Print digests of results, to show that a change of the code changes no bit.

Run it before and after the change, on one machine, and compare::

    python benchmarks/bits.py before.json
    python benchmarks/bits.py after.json
    python benchmarks/bits.py --compare before.json after.json

Every name is a case: instruction set, threads, type, layer, size, call and result. Other machines and
compilers may round differently, so compare only files of one machine.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import bptt

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import ranks  # the communicator without MPI

THREADS = (1, 2)
DTYPES = ("float32", "float64")
Digests = dict[str, str]


@dataclass(frozen=True)
class Size:
    """T time steps, B rows, I inputs, H hidden units."""

    T: int
    B: int
    I: int
    H: int

    def __str__(self) -> str:
        return f"T{self.T}B{self.B}I{self.I}H{self.H}"


SMALL = Size(7, 3, 5, 11)
SIZES = (
    Size(1, 1, 1, 1),
    Size(0, 2, 3, 4),
    Size(5, 0, 3, 4),
    Size(9, 2, 1, 3),
    Size(6, 13, 17, 33),
    Size(40, 1, 3, 64),
    Size(12, 1, 40, 300),
    Size(6, 4, 300, 256),
    Size(20, 64, 32, 128),
    Size(30, 65, 9, 40),
)
"""Tiny and odd sizes, and one for each schedule: one thread, rows split, batch halved, units split."""

CELLS: dict[str, tuple[Any, dict[str, Any]]] = {
    "rnn_tanh": (bptt.RNN, {"nonlinearity": "tanh"}),
    "rnn_relu": (bptt.RNN, {"nonlinearity": "relu"}),
    "lstm": (bptt.LSTM, {}),
    "lstm_peephole": (bptt.LSTM, {"peephole": True}),
    "lstm_coupled": (bptt.LSTM, {"coupled": True}),
    "gru": (bptt.GRU, {}),
    "gru_reset_before": (bptt.GRU, {"reset_after": False}),
    "mgu": (bptt.MGU, {}),
}
OPTIONS: dict[str, dict[str, Any]] = {
    "no_bias": {"bias": False},
    "bidirectional": {"bidirectional": True},
    "two_layers": {"num_layers": 2},
    "dropout": {"num_layers": 2, "dropout": 0.4},
    "dropout_both_ways": {"num_layers": 2, "dropout": 0.4, "bidirectional": True},
    "layer_norm": {"layer_norm": True},
    "layer_norm_no_bias": {"layer_norm": True, "bias": False},
    "zoneout": {"zoneout": 0.3},
    "recurrent_dropout": {"recurrent_dropout": 0.3},
    "everything": {
        "num_layers": 2,
        "bidirectional": True,
        "dropout": 0.2,
        "layer_norm": True,
        "zoneout": 0.2,
        "recurrent_dropout": 0.3,
    },
}
LSTM_OPTIONS: dict[str, dict[str, Any]] = {
    "projection": {"proj_size": 5},
    "projection_layer_norm": {"proj_size": 5, "layer_norm": True, "num_layers": 2},
    "cell_clip": {"cell_clip": 0.4},
    "gate_clip_spec": {"gate_clip": 0.3, "clip_mode": "spec"},
    "activations": {"activations": ("hard_sigmoid", ("leaky_relu", 0.1), "softsign")},
    "zoneout_h": {"zoneout": (0.3, 0.0)},
    "zoneout_c": {"zoneout": (0.0, 0.4)},
    "peephole_coupled_both_ways": {"peephole": True, "coupled": True, "bidirectional": True},
    "everything_lstm": {
        "peephole": True,
        "proj_size": 6,
        "cell_clip": 0.5,
        "layer_norm": True,
        "zoneout": (0.2, 0.3),
        "recurrent_dropout": 0.3,
        "bidirectional": True,
        "num_layers": 2,
    },
}


def digest(value: Any) -> str:
    """Return half of the SHA-256 of nested tuples, lists and dicts of arrays, with types and shapes."""
    sha = hashlib.sha256()

    def add(item: Any) -> None:
        if item is None:
            sha.update(b"none")
        elif isinstance(item, dict):
            for key in sorted(item):
                sha.update(key.encode())
                add(item[key])
        elif isinstance(item, (tuple, list)):
            sha.update(str(len(item)).encode())
            for part in item:
                add(part)
        else:
            array = np.ascontiguousarray(item)
            sha.update(f"{array.dtype.str}{array.shape}".encode())
            sha.update(array.tobytes())

    add(value)
    return sha.hexdigest()[:32]


class Inputs:
    """Arguments of a layer, drawn with a fixed seed."""

    def __init__(self, layer: Any, size: Size) -> None:
        rng = np.random.default_rng(7)
        T, B = size.T, size.B
        count = layer.num_layers * layer.num_directions
        width = layer.output_size * layer.num_directions
        self.x = rng.standard_normal((T, B, size.I))
        self.state = self._state(layer, rng, count, B)
        self.dy = rng.standard_normal((T, B, width))
        self.dstate = self._state(layer, rng, count, B)
        self.lengths = rng.integers(0, T + 1, B)
        self.reset = rng.random((T, B)) < 0.2

    @staticmethod
    def _state(layer: Any, rng: np.random.Generator, count: int, B: int) -> Any:
        h = 0.5 * rng.standard_normal((count, B, layer.output_size))
        return (h, rng.standard_normal((count, B, layer.hidden_size))) if layer.has_cell_state else h


def training_pass(
    layer: Any, inputs: Inputs, forward: dict[str, Any] | None = None, backward: dict[str, Any] | None = None
) -> dict[str, Any]:
    """Run one forward and one backward pass."""
    layer.rng = np.random.default_rng(3)
    layer.zero_grad()
    y, state, tape = layer.forward(inputs.x, inputs.state, **forward or {})
    dx, dstate = layer.backward(tape, inputs.dy, inputs.dstate, **backward or {})
    results = {"outputs": (y, state), "inputs": (dx, dstate), "gradients": dict(layer.gradients)}
    kept = () if (forward or {}).get("checkpoint") else (tape.h, tape.c, tape.gates, tape.dh)
    return results | {"tape": (*kept, tape.dh_norm, tape.dc_norm)}


def inference(call: Any, inputs: Inputs, **options: Any) -> dict[str, Any]:
    y, state = call(inputs.x, inputs.state, **options)
    return {"outputs": (y, state)}


def stream(layer: Any, inputs: Inputs) -> dict[str, Any]:
    """Run single steps, then the rest of the sequence in one call."""
    current = layer.stream(inputs.x.shape[1])
    current.state = inputs.state
    x = inputs.x.astype(layer.dtype)
    steps = [current.step(x[t]).copy() for t in range(min(5, len(x)))]
    return {"outputs": (steps, current.run(x[5:]), current.state)}


Call = Callable[[Any, Inputs], dict[str, Any]]


def calls(size: Size, *, brief: bool, one_way: bool) -> Iterator[tuple[str, Call]]:
    """Return names and functions of the calls. `brief`: only the main calls."""
    yield "inference", lambda layer, i: inference(layer, i)
    yield "training", lambda layer, i: training_pass(layer, i)
    yield "ragged", lambda layer, i: training_pass(layer, i, {"lengths": i.lengths})
    if one_way and size.B:
        yield "stream", stream
    if brief:
        return
    both = {"value": bptt.ClipValue(0.3), "norm": bptt.ClipNorm(0.5)}
    yield "frozen", lambda layer, i: inference(layer.freeze(), i)
    yield "ragged_inference", lambda layer, i: inference(layer, i, lengths=i.lengths, reset=i.reset)
    yield "reset", lambda layer, i: training_pass(layer, i, {"reset": i.reset})
    yield "ragged_reset", lambda layer, i: training_pass(layer, i, {"lengths": i.lengths, "reset": i.reset})
    yield "no_dx", lambda layer, i: training_pass(layer, i, backward={"need_dx": False})
    yield "errors", lambda layer, i: training_pass(layer, i, backward={"keep_errors": True})
    for name, clip in both.items():
        yield f"clip_{name}", lambda layer, i, c=clip: training_pass(layer, i, backward={"clip_state": c})
        yield (
            f"ragged_clip_{name}",
            lambda layer, i, c=clip: training_pass(
                layer, i, {"lengths": i.lengths}, {"clip_state": c, "keep_errors": True}
            ),
        )
    if not one_way:
        return
    yield "steps", lambda layer, i: training_pass(layer, i, backward={"steps": size.T // 2})
    yield (
        "ragged_steps",
        lambda layer, i: training_pass(layer, i, {"lengths": i.lengths}, {"steps": size.T // 2}),
    )
    for every in (1, 3):
        yield f"checkpoint_{every}", lambda layer, i, k=every: training_pass(layer, i, {"checkpoint": k})
    yield (
        "checkpoint_ragged",
        lambda layer, i: training_pass(layer, i, {"checkpoint": 2, "lengths": i.lengths, "reset": i.reset}),
    )


def layers() -> Iterator[tuple[str, Any, dict[str, Any], Size, bool]]:
    """Yield name, class, options, size, and whether only the main calls are made."""
    for cell, (kind, own) in CELLS.items():
        yield cell, kind, own, SMALL, False
        for name, options in OPTIONS.items():
            yield f"{cell}+{name}", kind, own | options, SMALL, False
        for size in SIZES:
            yield cell, kind, own, size, True
            if size.B > 1 or size.H < 100:
                yield f"{cell}+bidirectional", kind, own | {"bidirectional": True}, size, True
        for size in (Size(20, 64, 16, 64), Size(9, 3, 40, 160)):
            yield f"{cell}+everything", kind, own | OPTIONS["everything"], size, True
            yield f"{cell}+layer_norm", kind, own | OPTIONS["layer_norm"], size, True
    for name, options in LSTM_OPTIONS.items():
        yield f"lstm+{name}", bptt.LSTM, options, SMALL, False
        yield f"lstm+{name}", bptt.LSTM, options, Size(20, 64, 16, 64), True


def passes(dtype: str, *, briefly: bool) -> Digests:
    """Return digests of single passes. `briefly`: only the main calls."""
    found: Digests = {}
    for name, kind, options, size, brief in layers():
        layer = kind(size.I, size.H, dtype=dtype, seed=0, **options)
        inputs = Inputs(layer, size)
        for call_name, call in calls(size, brief=brief or briefly, one_way=not layer.bidirectional):
            for result, value in call(layer, inputs).items():
                found[f"{dtype} {name} {size} {call_name} {result}"] = digest(value)
    return found


def batches(ragged: bool = False, count: int = 3) -> list[Any]:
    rng = np.random.default_rng(11)
    made: list[Any] = []
    for _ in range(count):
        x = rng.standard_normal((24, 6, 4))
        y = rng.standard_normal((24, 6, 2))
        made.append((x, y, rng.integers(1, 25, 6)) if ragged else (x, y))
    return made


def model(dtype: str, kind: Any = bptt.LSTM, **options: Any) -> Any:
    layer = kind(4, 12, seed=1, dtype=dtype, **options)
    width = layer.output_size * layer.num_directions
    return bptt.Sequential(layer, bptt.Linear(width, 2, seed=2, dtype=dtype))


def trained(net: Any, data: Any, optimizer: Any = None, **options: Any) -> dict[str, Any]:
    """Return parameters and losses after two epochs."""
    loss = bptt.MeanSquaredError()
    trainer = bptt.Trainer(net, loss, optimizer or bptt.Adam(1e-2), progress=False, **options)
    history = trainer.fit(data, epochs=2)
    return {"parameters": dict(net.parameters), "loss": history["loss"]}


def resumed(dtype: str) -> dict[str, Any]:
    """Train one epoch, save, resume, and train another epoch."""
    net = model(dtype, num_layers=2, dropout=0.3)
    trainer = bptt.Trainer(net, bptt.MeanSquaredError(), bptt.Adam(1e-2), truncate=8, progress=False)
    trainer.fit(batches(), epochs=1)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.safetensors"
        trainer.save(path)
        again = bptt.Trainer.resume(
            path, bptt.MeanSquaredError(), bptt.Adam(1e-2), truncate=8, progress=False
        )
    history = again.fit(batches(), epochs=2)
    return {"parameters": dict(again.model.parameters), "loss": history["loss"]}


def two_ranks(dtype: str) -> dict[str, Any]:
    def job(comm: Any) -> dict[str, Any]:
        own = [(x[:, comm.rank :: 2], y[:, comm.rank :: 2]) for x, y in batches()]
        return trained(model(dtype), own, clip=bptt.ClipNorm(0.5), comm=comm)

    return ranks.returned(ranks.run(2, job))[0]


def trainings(dtype: str) -> Digests:
    """Return digests of parameters and losses after training."""
    data, ragged = batches(), batches(ragged=True)
    groups = bptt.ClipGroups({"*weight_hh*": bptt.ClipNorm(0.2), "*bias*": None, "*": bptt.ClipValue(0.01)})
    runs: dict[str, Callable[[], dict[str, Any]]] = {
        "full": lambda: trained(model(dtype), data),
        "gru": lambda: trained(model(dtype, bptt.GRU), data),
        "rnn": lambda: trained(model(dtype, bptt.RNN), data),
        "truncated": lambda: trained(model(dtype), data, truncate=7),
        "k1_k2": lambda: trained(model(dtype), data, truncate=(4, 10)),
        "accumulated": lambda: trained(model(dtype), data, accumulate=2),
        "accumulated_windows": lambda: trained(model(dtype), data, truncate=8, accumulate=2),
        "ragged": lambda: trained(model(dtype), ragged),
        "ragged_windows": lambda: trained(model(dtype), ragged, truncate=6),
        "checkpoint": lambda: trained(model(dtype), data, checkpoint=5),
        "both_ways": lambda: trained(model(dtype, bidirectional=True), data),
        "dropout": lambda: trained(model(dtype, num_layers=2, dropout=0.4), data, seed=5),
        "zoneout": lambda: trained(model(dtype, zoneout=0.2, recurrent_dropout=0.2), data, seed=5),
        "clip_norm": lambda: trained(model(dtype), data, clip=bptt.ClipNorm(0.1)),
        "clip_auto": lambda: trained(model(dtype), data, clip=bptt.ClipNorm("auto")),
        "clip_value": lambda: trained(model(dtype), data, clip=bptt.ClipValue(0.01)),
        "clip_groups": lambda: trained(model(dtype), data, clip=groups),
        "clip_state": lambda: trained(model(dtype), data, clip_state=bptt.ClipNorm(0.01)),
        "sgd": lambda: trained(model(dtype), data, bptt.SGD(0.05)),
        "nesterov": lambda: trained(model(dtype), data, bptt.SGD(0.05, momentum=0.9, nesterov=True)),
        "rmsprop": lambda: trained(model(dtype), data, bptt.RMSProp(0.01, momentum=0.5)),
        "adamw": lambda: trained(model(dtype), data, bptt.AdamW(0.01)),
        "pascanu": lambda: trained(model(dtype, bptt.RNN), data, regularizer=bptt.PascanuRegularizer(2.0)),
        "resumed": lambda: resumed(dtype),
        "two_ranks": lambda: two_ranks(dtype),
    }
    return {f"{dtype} trained {name}": digest(run()) for name, run in runs.items()}


def everything() -> Digests:
    found: Digests = {}
    for isa in bptt.available_isas():
        bptt.use_isa(isa)
        for threads in THREADS:
            bptt.set_num_threads(threads)
            for dtype in DTYPES:
                # Layers of the small size run on one thread in any case.
                results = passes(dtype, briefly=threads > 1) | trainings(dtype)
                found |= {f"{isa} {threads} {name}": value for name, value in results.items()}
    return found


def compare(before: Path, after: Path) -> int:
    """Print the names that differ. Return the exit status."""
    try:
        one, other = (json.loads(path.read_text()) for path in (before, after))
    except (OSError, ValueError) as error:
        raise SystemExit(f"bits.py: {error}") from None
    differing = sorted(name for name in one.keys() | other.keys() if one.get(name) != other.get(name))
    for name in differing:
        missing = next((path for path, all_of in ((before, one), (after, other)) if name not in all_of), None)
        print(f"{name}: not in {missing}" if missing else name)
    print(f"{len(differing)} of {len(one.keys() | other.keys())} results differ.")
    return 1 if differing else 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("files", type=Path, nargs="+", help="the file to write, or with --compare two files")
    parser.add_argument(
        "--compare", action="store_true", help="compare two files; exit status 1 on a difference"
    )
    args = parser.parse_args()
    if len(args.files) != 1 + args.compare:
        parser.error("expected one file, or two with --compare")
    if args.compare:
        return compare(*args.files)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = everything()
    args.files[0].write_text(json.dumps(found, indent=0, sort_keys=True) + "\n")
    print(f"{len(found)} results in {args.files[0]}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
