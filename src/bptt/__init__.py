"""Fast, exact and readable recurrent networks with backpropagation through time, on the CPU.

Layers (`RNN`, `LSTM`, `GRU`, ...) store parameters and gradients as NumPy views into flat vectors. `forward`
returns a tape, and `backward` reads it. `Trainer` combines layers with losses, optimizers and clipping.

`bptt.reference` implements the same layers in plain NumPy. `crosscheck` compares a fast layer with this
reference, and `gradcheck` compares any layer with finite differences.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from bptt import leaving as _leaving
from bptt._version import __version__
from bptt.layers import (
    GELU,
    GRU,
    LSTM,
    MGU,
    RNN,
    Dropout,
    Embedding,
    EncoderDecoder,
    Ends,
    Last,
    LayerNorm,
    LayerTape,
    Linear,
    MaxPool,
    MeanPool,
    MemoryBlocks,
    Module,
    Parallel,
    ReLU,
    Repeat,
    Sequential,
    Sigmoid,
    SiLU,
    Softmax,
    Tanh,
    TiedLinear,
    register,
)
from bptt.runtime import (
    available_isas,
    build_config,
    get_num_threads,
    isa,
    set_num_threads,
    use_isa,
)

_leaving.install()

if TYPE_CHECKING:
    from bptt import (
        callbacks,
        data,
        diagnose,
        estimators,
        files,
        init,
        interop,
        losses,
        metrics,
        optim,
        ranks,
        reference,
        schedules,
        testing,
        train,
    )
    from bptt.c_export import export_c
    from bptt.callbacks import (
        Callback,
        Checkpoint,
        CSVLog,
        EarlyStopping,
        GradientMonitor,
        KeepBest,
        TensorBoard,
        Until,
    )
    from bptt.data import load_preprocessing
    from bptt.diagnose import (
        first_nonfinite,
        gradient_flow,
        lyapunov_spectrum,
        plot_histories,
        spectral_radius,
    )
    from bptt.files import CheckpointError, load, save
    from bptt.losses import (
        BinaryCrossEntropy,
        CrossEntropy,
        Huber,
        Loss,
        MeanAbsoluteError,
        MeanSquaredError,
        Quantile,
    )
    from bptt.metrics import Metric
    from bptt.optim import (
        SGD,
        Adam,
        AdamW,
        ClipGroups,
        ClipNorm,
        ClipValue,
        NonFiniteError,
        Optimizer,
        PascanuRegularizer,
        RMSProp,
        clip_by_norm,
        clip_by_value,
    )
    from bptt.schedules import Schedule
    from bptt.testing import crosscheck, gradcheck
    from bptt.train import History, Trainer, learning_rate_range, sweep

__all__ = [
    "GELU",
    "GRU",
    "LSTM",
    "MGU",
    "RNN",
    "SGD",
    "Adam",
    "AdamW",
    "BinaryCrossEntropy",
    "CSVLog",
    "Callback",
    "Checkpoint",
    "CheckpointError",
    "ClipGroups",
    "ClipNorm",
    "ClipValue",
    "CrossEntropy",
    "Dropout",
    "EarlyStopping",
    "Embedding",
    "EncoderDecoder",
    "Ends",
    "GradientMonitor",
    "History",
    "Huber",
    "KeepBest",
    "Last",
    "LayerNorm",
    "LayerTape",
    "Linear",
    "Loss",
    "MaxPool",
    "MeanAbsoluteError",
    "MeanPool",
    "MeanSquaredError",
    "MemoryBlocks",
    "Metric",
    "Module",
    "NonFiniteError",
    "Optimizer",
    "Parallel",
    "PascanuRegularizer",
    "Quantile",
    "RMSProp",
    "ReLU",
    "Repeat",
    "Schedule",
    "Sequential",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
    "TensorBoard",
    "TiedLinear",
    "Trainer",
    "Until",
    "__version__",
    "available_isas",
    "build_config",
    "callbacks",
    "clip_by_norm",
    "clip_by_value",
    "crosscheck",
    "data",
    "diagnose",
    "estimators",
    "export_c",
    "files",
    "first_nonfinite",
    "get_num_threads",
    "gradcheck",
    "gradient_flow",
    "init",
    "interop",
    "isa",
    "learning_rate_range",
    "load",
    "load_preprocessing",
    "losses",
    "lyapunov_spectrum",
    "metrics",
    "optim",
    "plot_histories",
    "ranks",
    "reference",
    "register",
    "save",
    "schedules",
    "set_num_threads",
    "spectral_radius",
    "sweep",
    "testing",
    "train",
    "use_isa",
]

# These are imported at first use. Otherwise `import bptt` would load safetensors and the whole training code.
_SUBMODULES = (
    "callbacks",
    "data",
    "diagnose",
    "estimators",
    "files",
    "init",
    "interop",
    "losses",
    "metrics",
    "optim",
    "ranks",
    "reference",
    "schedules",
    "testing",
    "train",
)
_TESTING = ("crosscheck", "gradcheck")
_DIAGNOSE = ("first_nonfinite", "gradient_flow", "lyapunov_spectrum", "plot_histories", "spectral_radius")
_HOMES = {
    **dict.fromkeys(_TESTING, "bptt.testing"),
    **dict.fromkeys(_DIAGNOSE, "bptt.diagnose"),
    **dict.fromkeys(
        (
            "CSVLog",
            "Callback",
            "Checkpoint",
            "EarlyStopping",
            "GradientMonitor",
            "KeepBest",
            "TensorBoard",
            "Until",
        ),
        "bptt.callbacks",
    ),
    "export_c": "bptt.c_export",
    "load_preprocessing": "bptt.data",
    **dict.fromkeys(("CheckpointError", "load", "save"), "bptt.files"),
    **dict.fromkeys(
        (
            "BinaryCrossEntropy",
            "CrossEntropy",
            "Huber",
            "Loss",
            "MeanAbsoluteError",
            "MeanSquaredError",
            "Quantile",
        ),
        "bptt.losses",
    ),
    "Metric": "bptt.metrics",
    **dict.fromkeys(
        (
            "SGD",
            "Adam",
            "AdamW",
            "ClipGroups",
            "ClipNorm",
            "ClipValue",
            "NonFiniteError",
            "Optimizer",
            "PascanuRegularizer",
            "RMSProp",
            "clip_by_norm",
            "clip_by_value",
        ),
        "bptt.optim",
    ),
    "Schedule": "bptt.schedules",
    **dict.fromkeys(("History", "Trainer", "learning_rate_range", "sweep"), "bptt.train"),
}


def __getattr__(name: str) -> Any:
    if name in _SUBMODULES:
        return import_module(f"bptt.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module 'bptt' has no attribute {name!r}")
    value = getattr(import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
