"""One function for each group of public callables: makes what it needs, and calls it with drawn arguments."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
from tests.fuzz.draw import Draw

import bptt
from bptt.optim import NoClip

CELLS = {"RNN": bptt.RNN, "LSTM": bptt.LSTM, "GRU": bptt.GRU, "MGU": bptt.MGU}
Target = Callable[[Draw, str], object]


def cell_options(draw: Draw, kind: str) -> dict[str, Any]:
    share = lambda: draw.choose(0.0, 0.3)  # noqa: E731
    options = draw.options(
        bias=draw.flag,
        batch_first=draw.flag,
        dropout=share,
        bidirectional=draw.flag,
        reverse=draw.flag,
        merge=lambda: draw.choose("concat", "concat", "sum", "mean", "mul"),
        layer_norm=draw.flag,
        recurrent_dropout=share,
        input_dropout=share,
        zoneout=share,
        init=lambda: draw.choose("default", *bptt.init.__all__[1:]),
        dtype=lambda: draw.choose("float32", "float64", np.float32),
        seed=lambda: draw.size(0, 9),
    )
    if kind == "LSTM":
        options |= draw.options(
            peephole=draw.flag,
            coupled=draw.flag,
            forget_gate=lambda: draw.choose(True, True, False),
            proj_size=lambda: draw.choose(0, 1, 2),
            forget_bias=lambda: draw.choose(None, 1.0, 3.0),
            input_bias=lambda: draw.choose(None, None, -1.0),
            output_bias=lambda: draw.choose(None, None, [0.5]),
            cell_clip=lambda: draw.choose(None, 0.5),
            gate_clip=lambda: draw.choose(None, 0.5),
        )
    if kind == "RNN":
        options |= draw.options(
            nonlinearity=lambda: draw.choose("tanh", "relu", "gelu", ("elu", 0.5)),
            gate_clip=lambda: draw.choose(None, 0.5),
        )
    if kind == "GRU":
        options |= draw.options(reset_after=draw.flag)
    if kind in ("GRU", "MGU"):
        options |= draw.options(
            activations=lambda: draw.choose(("sigmoid", "tanh"), ("hard_sigmoid", "silu")),
            gate_clip=lambda: draw.choose(None, 0.5),
        )
    return options


def a_layer(draw: Draw, **more: Any) -> Any:
    """A recurrent layer with valid options; None where they do not go together."""
    kind = draw.choose(*CELLS)
    calm = Draw(int(draw.rng.integers(2**32)), wildness=0.0)
    try:
        return CELLS[kind](calm.size(), calm.size(), calm.size(1, 2), **(cell_options(calm, kind) | more))
    except ValueError:
        return None


def an_input(draw: Draw, layer: Any, T: int, B: int) -> Any:
    shape = (B, T) if layer.batch_first else (T, B)
    return draw.numbers(*shape, layer.input_size)


def sequence_options(draw: Draw, T: int, B: int) -> dict[str, Any]:
    return draw.options(
        lengths=lambda: draw.choose(None, draw.rng.integers(0, T + 1, B)),
        reset=lambda: draw.choose(None, draw.bools(T, B)),
        skip=lambda: draw.choose(None, draw.bools(T, B)),
    )


def a_state(draw: Draw, layer: Any, B: int) -> Any:
    rows = layer.num_layers * (2 if layer.bidirectional else 1)
    h = draw.numbers(rows, B, getattr(layer, "proj_size", 0) or layer.hidden_size)
    return (h, draw.numbers(rows, B, layer.hidden_size)) if isinstance(layer, bptt.LSTM) else h


def make_cell(draw: Draw, name: str) -> object:
    home = bptt.reference if name.startswith("reference.") else bptt
    kind = name.removeprefix("reference.")
    sizes = [draw.arg(draw.size) for _ in range(draw.choose(2, 3))]
    return repr(getattr(home, kind)(*sizes, **cell_options(draw, kind)))


def use_cell(draw: Draw, name: str) -> object:
    layer = a_layer(draw)
    if layer is None:
        return None
    T, B = draw.size(0, 4), draw.size(0, 3)
    x = draw.arg(lambda: an_input(draw, layer, T, B))
    state = draw.arg(lambda: draw.choose(None, a_state(draw, layer, B)))
    options = sequence_options(draw, T, B)
    if name == "call":
        return layer(x, state, **options)
    if name == "reference.like":
        return bptt.reference.like(draw.arg(lambda: layer))(x, state, **options)
    if name == "freeze":
        return layer.freeze()(x, state, **options)
    if name == "stream":
        stream = layer.stream(draw.arg(lambda: B))
        stream.run(x)
        stream.step(draw.arg(lambda: draw.numbers(B, layer.input_size)))
        stream.state = draw.arg(lambda: a_state(draw, layer, B))
        return stream.state
    options |= draw.options(checkpoint=lambda: draw.choose(None, 1, 2, "auto"))
    y, end, tape = layer.forward(x, state, **options)
    dy = draw.arg(lambda: draw.choose(None, np.ones_like(y)))
    dstate = draw.arg(lambda: draw.choose(None, end))
    return layer.backward(
        draw.arg(lambda: tape),
        dy,
        dstate,
        **draw.options(
            clip_state=lambda: draw.choose(None, 0.1, bptt.ClipNorm(0.1), bptt.ClipValue(0.1)),
            steps=lambda: draw.choose(None, 1, 2),
            need_dx=draw.flag,
            keep_errors=draw.flag,
        ),
    )


def parameters(draw: Draw, name: str) -> object:
    layer = a_layer(draw)
    if layer is None:
        return None
    state = layer.state_dict()
    if name == "load_state_dict":
        if draw.chance(0.7) and state:
            key = draw.choose(*state)
            state[key] = draw.arg(lambda: draw.numbers(*state[key].shape[::-1]))
        if draw.chance(0.2):
            state.pop(draw.choose(*state))
        if draw.chance(0.2):
            state[draw.choose("weight", "a.b", 3)] = draw.wild()
        return layer.load_state_dict(draw.arg(lambda: state), **draw.options(strict=draw.flag))
    layer.flat_parameters = draw.arg(lambda: layer.flat_parameters * 2)
    layer.zero_grad()
    return type(layer).from_config(draw.arg(layer.config))


def make_stateless(draw: Draw, name: str) -> object:
    dtype = {"dtype": lambda: draw.choose("float32", "float64"), "seed": lambda: draw.size(0, 9)}
    sizes = (draw.arg(draw.size), draw.arg(draw.size))
    T, B = draw.size(0, 4), draw.size(0, 3)
    x: Any = draw.arg(lambda: draw.numbers(T, B, 3))
    if name == "Linear":
        layer: Any = bptt.Linear(draw.choose(3, sizes[0]), sizes[1], **draw.options(bias=draw.flag, **dtype))
    elif name == "Embedding":
        layer = bptt.Embedding(*sizes, **draw.options(**dtype))
        x = draw.arg(lambda: draw.ids(4, T, B))
    elif name == "Dropout":
        layer = bptt.Dropout(draw.arg(lambda: draw.choose(0.0, 0.5)), **draw.options(**dtype))
    else:
        kind = {"Last": bptt.Last, "Ends": bptt.Ends}[name]
        layer = kind(**draw.options(batch_first=draw.flag, dtype=dtype["dtype"]))
        x = draw.arg(lambda: draw.numbers(T, B, 4))
    rows = {"lengths": lambda: draw.rng.integers(0, T + 1, B), "skip": lambda: draw.bools(T, B)}
    options = draw.options(**rows) if name in ("Last", "Ends") else {}
    layer(x, **options)
    y, _, tape = layer.forward(x, **options)
    return layer.backward(draw.arg(lambda: tape), draw.arg(lambda: np.ones_like(y)))


def a_model(draw: Draw) -> Any:
    layer = a_layer(draw, batch_first=False)
    if layer is None:
        return None
    both = layer.reverse or (layer.bidirectional and layer.merge == "concat")
    pick = draw.choose((), (bptt.Ends() if both else bptt.Last(),))
    return bptt.Sequential(layer, *pick, bptt.Linear(layer.y_size, 2, seed=1, dtype=layer.dtype))


def sequential(draw: Draw, name: str) -> object:
    parts: list[Callable[[], Any]] = [
        lambda: bptt.LSTM(3, 4, seed=1),
        lambda: bptt.GRU(4, 4, seed=2, batch_first=draw.flag()),
        lambda: bptt.RNN(3, 2, bidirectional=True),
        lambda: bptt.Linear(4, 3),
        lambda: bptt.Embedding(5, 3),
        lambda: bptt.Dropout(0.2),
        lambda: bptt.Last(),
        lambda: bptt.Ends(),
        lambda: bptt.Sequential(bptt.Linear(3, 3)),
    ]
    model = bptt.Sequential(*[draw.arg(lambda: draw.choose(*parts)()) for _ in range(draw.size(0, 3))])
    T, B = draw.size(0, 3), draw.size(0, 3)
    x = draw.arg(lambda: draw.choose(draw.numbers(T, B, 3), draw.ids(5, T, B)))
    y, _, tape = model.forward(x, **sequence_options(draw, T, B))
    return model.backward(tape, draw.arg(lambda: np.ones_like(y)))


def losses_and_metrics(draw: Draw, name: str) -> object:
    T, B, C = draw.size(0, 4), draw.size(0, 3), draw.size(0, 3)
    rows = draw.choose((T, B), (B,))
    y = draw.arg(lambda: draw.numbers(*rows, C))
    target = draw.arg(
        lambda: draw.choose(draw.ids(C, *rows), draw.numbers(*rows, C), draw.rng.random((*rows, C)))
    )
    mask = draw.arg(lambda: draw.choose(None, draw.bools(*rows)))
    weight = draw.arg(lambda: draw.choose(None, draw.rng.random(rows), np.zeros(rows)))
    if hasattr(bptt.metrics, name):
        averages = {"average": lambda: draw.choose("binary", "macro", "weighted", "micro")}
        options = averages if name in ("AUC", "F1", "Precision", "Recall") else {}
        metric = getattr(bptt.metrics, name)(**draw.options(**options))
        metric.add(y, target, mask, weight)
        return metric.value if metric.count else None
    loss = getattr(bptt, name)(**loss_options(draw, name, C))
    loss.value(y, target, mask, weight)
    return loss(y, target, mask, weight)


def loss_options(draw: Draw, name: str, columns: int) -> dict[str, Any]:
    fraction, number = (lambda: draw.choose(0.0, 0.1, 0.9)), (lambda: draw.choose(0.1, 2.0))
    kinds: dict[str, dict[str, Callable[[], Any]]] = {
        "CrossEntropy": {
            "class_weight": lambda: draw.choose(None, draw.rng.random(columns)),
            "label_smoothing": fraction,
            "ignore_index": lambda: draw.choose(None, 0, -100),
        },
        "BinaryCrossEntropy": {"pos_weight": lambda: draw.choose(None, 2.0, draw.rng.random(columns))},
        "Huber": {"delta": number},
    }
    options = kinds.get(name, {}) | {"reduction": lambda: draw.choose("mean", "sum")}
    levels = {"levels": draw.arg(lambda: draw.choose(0.5, (0.1, 0.9)))} if name == "Quantile" else {}
    return levels | draw.options(**options)


def optimizer_options(draw: Draw, name: str) -> dict[str, Any]:
    options = {
        "lr": lambda: draw.choose(0.1, 1e-3, bptt.schedules.Constant(0.1)),
        "weight_decay": lambda: draw.choose(0.0, 0.1, {"*bias*": 0.0, "*": 0.1}, {"*weight*": 0.1}),
        "lr_factors": lambda: draw.choose(None, {"*bias*": 0.0}, {"*": 2.0}),
    }
    if name in ("SGD", "RMSProp"):
        options["momentum"] = lambda: draw.choose(0.0, 0.9)
    if name == "SGD":
        options["nesterov"] = draw.flag
    if name == "RMSProp":
        options |= {"eps": lambda: draw.choose(0.0, 1e-8), "centered": draw.flag}
        options["initial_accumulator"] = lambda: draw.choose(0.0, 1.0)
    if name in ("Adam", "AdamW"):
        options["amsgrad"] = draw.flag
        options["betas"] = lambda: draw.choose((0.9, 0.999), (0.0, 0.5))
    return draw.options(**options)


def optimizers(draw: Draw, name: str) -> object:
    optimizer = getattr(bptt, name)(**optimizer_options(draw, name))
    net = bptt.Linear(2, 3, seed=1)
    net.flat_gradients[...] = np.asarray(draw.numbers(net.parameter_count), "f4")
    for _ in range(2):
        optimizer.step(net)
    optimizer.load_state_dict(draw.arg(optimizer.state_dict))
    optimizer.lr = draw.arg(lambda: 0.1)
    return optimizer.lr


def clips(draw: Draw, name: str) -> object:
    nonfinite = {"nonfinite": lambda: draw.choose("raise", "skip", "zero", "shrink")}
    limit = draw.arg(lambda: draw.choose(0.1, 1.0, 1e-30))
    net = bptt.RNN(2, 3, seed=1)
    net.flat_gradients[...] = np.asarray(draw.numbers(net.parameter_count), "f4")
    if name in ("clip_by_norm", "clip_by_value"):
        gradients = draw.arg(lambda: draw.choose(net, dict(net.gradients), net.flat_gradients))
        norms = {"norm": lambda: draw.choose(2, "inf")} if name == "clip_by_norm" else {}
        return getattr(bptt, name)(gradients, limit, **draw.options(**norms))
    if name == "ClipGroups":
        groups = draw.arg(lambda: {"*weight*": draw.choose(None, bptt.ClipNorm(0.1)), "*": draw.arg(NoClip)})
        clip: Any = bptt.ClipGroups(groups, **draw.options(**nonfinite))
    elif name == "ClipNorm":
        more: dict[str, Callable[[], Any]] = {"norm": lambda: draw.choose(2, "inf", np.inf)}
        more |= {"quantile": lambda: draw.choose(0.1, 0.9), "window": lambda: draw.choose(1, 5)}
        clip = bptt.ClipNorm(draw.choose("auto", limit), **draw.options(**nonfinite, **more))
    else:
        clip = bptt.ClipValue(limit, **draw.options(**nonfinite))
    clip(net)
    return clip(net)


def schedules(draw: Draw, name: str) -> object:
    number, count = (lambda: draw.choose(0.0, 0.1, 0.9)), (lambda: draw.size(1, 5))
    kinds: dict[str, Callable[[], Any]] = {
        "Constant": lambda: bptt.schedules.Constant(draw.arg(number)),
        "Step": lambda: bptt.schedules.Step(draw.arg(number), draw.arg(count), **draw.options(factor=number)),
        "Cosine": lambda: bptt.schedules.Cosine(
            draw.arg(number), draw.arg(count), **draw.options(final=number, restart=draw.flag)
        ),
        "Exponential": lambda: bptt.schedules.Exponential(draw.arg(number), draw.arg(number)),
        "MultiStep": lambda: bptt.schedules.MultiStep(
            draw.arg(number),
            draw.arg(lambda: [draw.size(1, 3), draw.size(3, 5)]),
            **draw.options(factor=number),
        ),
        "OneCycle": lambda: bptt.schedules.OneCycle(
            draw.arg(number), draw.arg(count), **draw.options(pct_start=number, three_phase=draw.flag)
        ),
        "WarmUp": lambda: bptt.schedules.WarmUp(draw.arg(count), draw.arg(number)),
        "Plateau": lambda: bptt.schedules.Plateau(
            draw.arg(number),
            **draw.options(factor=number, patience=count, min_delta=number, min_lr=number),
        ),
    }
    schedule = kinds[name]()
    return [schedule(step) for step in (0, 1, 7, 10**6)]


def training(draw: Draw, name: str) -> object:
    """Trainer with drawn options and data: fit, evaluate, measure, predict."""
    model = a_model(draw)
    if model is None:
        return None
    T, B, per_step = (
        draw.size(0, 5),
        draw.size(0, 3),
        not any(type(part) is bptt.Last for part in model.layers),
    )
    per_step = per_step and not any(isinstance(part, bptt.Ends) for part in model.layers)
    rows = (T, B) if per_step else (B,)
    batches = []
    for _ in range(draw.size(0, 3)):
        batch = {
            "x": draw.arg(lambda: draw.numbers(T, B, model.layers[0].input_size)),
            "target": draw.arg(lambda: draw.ids(2, *rows)),
            **draw.options(
                lengths=lambda: draw.rng.integers(0, T + 1, B),
                mask=lambda: draw.bools(*rows),
                weight=lambda: draw.choose(draw.rng.random(rows), np.zeros(rows)),
                reset=lambda: draw.bools(T, B),
                skip=lambda: draw.bools(T, B),
            ),
        }
        batches.append(draw.arg(lambda b=batch: b))  # type: ignore[misc]
    options = draw.options(
        clip=lambda: draw.choose(None, bptt.ClipNorm(1.0), bptt.ClipNorm("auto", "skip"), NoClip("zero")),
        clip_state=lambda: draw.choose(None, 0.1),
        truncate=lambda: draw.choose(None, 2, (1, 3)),
        checkpoint=lambda: draw.choose(None, 2),
        accumulate=lambda: draw.choose(1, 2),
        metrics=lambda: draw.choose((), [bptt.metrics.Accuracy()]),
        callbacks=lambda: draw.choose((), [bptt.EarlyStopping(1)], [bptt.GradientMonitor(warn=False)]),
        seed=lambda: draw.size(0, 5),
    )
    loss = draw.arg(bptt.CrossEntropy)
    trainer = bptt.Trainer(model, loss, draw.arg(lambda: bptt.SGD(0.1)), progress=False, **options)
    data = draw.arg(lambda: batches)
    if name == "fit":
        validation = draw.options(validation=lambda: batches)
        epochs = draw.arg(lambda: draw.choose(1, 2))
        if isinstance(epochs, int) and 100 < epochs <= sys.maxsize:
            return None  # it would do as it was told, and train for years
        return trainer.fit(data, epochs, **validation)
    return getattr(trainer, name)(data)


def data(draw: Draw, name: str) -> object:
    count, small = draw.size(0, 12), (lambda: draw.size(1, 3))
    series = draw.arg(lambda: draw.choose(draw.numbers(count), draw.numbers(count, 2)))
    shuffle = {"shuffle": draw.flag, "seed": lambda: draw.size(0, 5)}
    made: Any
    if name == "Windows":
        made = bptt.data.Windows(
            series,
            steps=draw.arg(small),
            batch_size=draw.arg(small),
            **draw.options(ahead=small, stride=small, last=draw.flag, **shuffle),
        )
    elif name == "Horizons":
        several = draw.arg(lambda: draw.choose(series, [draw.numbers(draw.size(0, 9)) for _ in range(2)]))
        made = bptt.data.Horizons(
            several,
            window=draw.arg(small),
            horizon=draw.arg(small),
            batch_size=draw.arg(small),
            **draw.options(**shuffle),
        )
    elif name == "Stream":
        target = draw.options(target=lambda: draw.choose(None, draw.numbers(count)), ahead=small)
        made = bptt.data.Stream(series, steps=draw.arg(small), batch_size=draw.arg(small), **target)
    elif name == "Ragged":
        rows = [draw.arg(lambda: draw.numbers(draw.size(0, 4), 2)) for _ in range(draw.size(0, 3))]
        targets = draw.arg(lambda: [draw.arg(lambda: 1) for _ in rows])
        made = bptt.data.Ragged(
            draw.arg(lambda: rows),
            targets,
            batch_size=draw.arg(small),
            **draw.options(per_step=draw.flag, **shuffle),
        )
    elif name == "TextStream":
        text = draw.arg(lambda: draw.choose("abcabcabcabc", "a" * 30, "", "äöü" * 9))
        if isinstance(text, (str, bytes, os.PathLike)) and len(os.fspath(text)) < 10:
            return None  # a path: other tests are about files
        made = bptt.data.TextStream(text, batch_size=draw.arg(small), steps=draw.arg(small))
    elif name == "Vocabulary":
        vocabulary = bptt.data.Vocabulary(draw.arg(lambda: "abc"))
        return vocabulary.decode(draw.arg(lambda: vocabulary.encode(draw.arg(lambda: "cab"))))
    elif name == "Batches":
        made = bptt.data.Batches(
            draw.arg(lambda: draw.choose(lambda: [1], lambda epoch, rng: [epoch])),
            **draw.options(carries_state=draw.flag, length=small, seed=small),
        )
    elif name == "Prefetch":
        made = bptt.data.Prefetch(draw.arg(lambda: [1, 2]), **draw.options(count=small))
    elif name == "Shard":
        batch = (draw.numbers(2, 3, 4), draw.ids(2, 2, 3))
        made = bptt.data.Shard(
            draw.arg(lambda: [draw.arg(lambda: batch)]),
            draw.arg(lambda: None),
            **draw.options(batch_first=draw.flag),
        )
    elif name == "split":
        share = lambda: draw.choose(0.0, 0.1, 0.4)  # noqa: E731
        return bptt.data.split(series, **draw.options(validation=share, test=share, context=small))
    else:
        scaling = bptt.data.Standardize.fit(series)
        scaling.undo(draw.arg(lambda: scaling.apply(draw.arg(lambda: series))))
        return bptt.data.Standardize(
            **{name: draw.arg(lambda v=v: v) for name, v in scaling.to_dict().items()}
        )  # type: ignore[misc]
    return list(made)


def diagnosis(draw: Draw, name: str) -> object:
    layer = a_layer(draw)
    if layer is None:
        return None
    T, B = draw.size(0, 5), draw.size(0, 3)
    model = draw.arg(lambda: layer)
    if name == "spectral_radius":
        return bptt.spectral_radius(model)
    x = draw.arg(lambda: an_input(draw, layer, T, B))
    state = draw.options(state=lambda: draw.choose(None, a_state(draw, layer, B)))
    if name == "lyapunov_spectrum":
        return bptt.lyapunov_spectrum(model, x, **state, **draw.options(k=lambda: draw.choose(None, 1)))
    options = state | sequence_options(draw, T, B)
    if name in ("gradcheck", "crosscheck"):
        more = {"entries": 2} if name == "gradcheck" else {}
        return str(getattr(bptt, name)(model, x, raises=False, **options, **more))
    found = getattr(bptt, name)(model, x, **options)
    return str(found)


def initialisers(draw: Draw, name: str) -> object:
    arguments = {
        "chrono": ["longest"],
        "glorot": [],
        "identity": ["scale", "input_std"],
        "orthogonal": ["gain"],
        "sparse": ["connections", "spectral_radius"],
    }[name]
    options = {argument: draw.arg(lambda: draw.choose(1, 2, 0.5)) for argument in arguments if draw.flag()}
    kind = draw.choose(*CELLS.values())
    return kind(draw.size(), draw.size(), init=getattr(bptt.init, name)(**options), seed=1)


def callbacks(draw: Draw, name: str) -> object:
    number, count = (lambda: draw.choose(0.0, 0.5)), (lambda: draw.size(1, 4))
    options: dict[str, dict[str, Callable[[], Any]]] = {
        "EarlyStopping": {"patience": count, "min_delta": number, "metric": lambda: "accuracy"},
        "GradientMonitor": {
            "every_updates": count,
            "records": lambda: 9,
            "patience": count,
            "warn": draw.flag,
        },
        "Checkpoint": {"every_epochs": count, "every_updates": count, "keep": count, "best": draw.flag},
        "KeepBest": {},
        "PascanuRegularizer": {"weight": number},
    }
    path = [draw.arg(lambda: draw.choose("run", "run-{step}", "{}"))] if name == "Checkpoint" else []
    return getattr(bptt, name)(*path, **draw.options(**options[name]))


def run_time(draw: Draw, name: str) -> object:
    if name == "set_num_threads":
        return bptt.set_num_threads(draw.arg(lambda: draw.choose(1, 2)))
    if name == "use_isa":
        return bptt.use_isa(draw.arg(lambda: draw.choose(*bptt.available_isas())))
    return getattr(bptt, name)()


TARGETS: dict[str, Target] = {
    **dict.fromkeys((*CELLS, *(f"reference.{cell}" for cell in CELLS)), make_cell),
    **dict.fromkeys(("call", "forward", "freeze", "stream", "reference.like"), use_cell),
    **dict.fromkeys(("load_state_dict", "from_config"), parameters),
    **dict.fromkeys(("Linear", "Embedding", "Dropout", "Last", "Ends"), make_stateless),
    "Sequential": sequential,
    **dict.fromkeys(("CrossEntropy", "BinaryCrossEntropy"), losses_and_metrics),
    **dict.fromkeys(("MeanSquaredError", "MeanAbsoluteError", "Huber", "Quantile"), losses_and_metrics),
    **dict.fromkeys(
        ("Accuracy", "BinaryAccuracy", "Perplexity", "BitsPerCharacter", "RMSE", "MAE"), losses_and_metrics
    ),
    **dict.fromkeys(("F1", "Precision", "Recall", "AUC"), losses_and_metrics),
    **dict.fromkeys(("SGD", "RMSProp", "Adam", "AdamW"), optimizers),
    **dict.fromkeys(("ClipNorm", "ClipValue", "ClipGroups", "clip_by_norm", "clip_by_value"), clips),
    **dict.fromkeys(("Constant", "Step", "Cosine", "WarmUp", "Plateau"), schedules),
    **dict.fromkeys(("Exponential", "MultiStep", "OneCycle"), schedules),
    **dict.fromkeys(("fit", "evaluate", "measure", "predict"), training),
    **dict.fromkeys(
        (
            "Windows",
            "Horizons",
            "Stream",
            "Ragged",
            "TextStream",
            "Vocabulary",
            "Batches",
            "Prefetch",
            "Shard",
            "split",
            "Standardize",
        ),
        data,
    ),
    **dict.fromkeys(
        (
            "gradient_flow",
            "first_nonfinite",
            "spectral_radius",
            "lyapunov_spectrum",
            "gradcheck",
            "crosscheck",
        ),
        diagnosis,
    ),
    **dict.fromkeys(("chrono", "glorot", "identity", "orthogonal", "sparse"), initialisers),
    **dict.fromkeys(
        ("EarlyStopping", "GradientMonitor", "Checkpoint", "KeepBest", "PascanuRegularizer"), callbacks
    ),
    **dict.fromkeys(
        ("set_num_threads", "get_num_threads", "use_isa", "isa", "available_isas", "build_config"), run_time
    ),
}
