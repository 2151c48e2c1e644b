"""The public names of bptt, by topic. `api_pages.py` makes the API pages from this list.

`tests/test_site.py` checks that no public name is missing. A name is relative to `bptt`.
"""

from __future__ import annotations

from importlib import import_module
from typing import NamedTuple


class Topic(NamedTuple):
    """A page of the API reference."""

    title: str
    introduction: str
    names: dict[str, list[str]]
    """Headings, and the names under each of them."""


TOPICS = {
    "layers": Topic(
        "Layers and models",
        "A layer maps sequences to sequences, and a model is a chain of layers. `forward` keeps a tape, which"
        " `backward` reads.",
        {
            "Recurrent layers": ["RNN", "LSTM", "GRU", "MGU", "MemoryBlocks"],
            "Models": ["Sequential", "Parallel", "EncoderDecoder"],
            "Layers without state": [
                *("Linear", "Embedding", "TiedLinear", "Dropout", "LayerNorm"),
                *("Last", "Ends", "MeanPool", "MaxPool", "Repeat"),
                *("Tanh", "ReLU", "Sigmoid", "GELU", "SiLU", "Softmax"),
            ],
            "Layers of your own": ["Module", "LayerTape", "register"],
        },
    ),
    "init": Topic(
        "Initial weights",
        "Pass one of these as `init=` to a recurrent layer.",
        {
            "Initialisers": [
                *("init.uniform", "init.normal", "init.glorot", "init.orthogonal", "init.identity"),
                *("init.sparse", "init.chrono", "init.Initialiser"),
            ]
        },
    ),
    "training": Topic(
        "Training",
        "`Trainer` runs a model on data and updates its weights. Many runs side by side are a sweep.",
        {
            "Training loop": ["Trainer", "History", "plot_histories"],
            "Many runs": ["sweep", "train.Sweep", "train.Trial"],
            "Learning-rate range test": ["learning_rate_range", "train.RateCurve"],
            "Many machines": ["ranks.Ranks", "ranks.RankError"],
        },
    ),
    "losses": Topic(
        "Losses and metrics",
        "A loss returns its value and its gradient. A metric is a figure for people.",
        {
            "Losses": [
                *("CrossEntropy", "BinaryCrossEntropy", "MeanSquaredError", "MeanAbsoluteError", "Huber"),
                *("Quantile", "Loss", "losses.FunctionLoss"),
            ],
            "Metrics": [
                *("metrics.Accuracy", "metrics.BinaryAccuracy", "metrics.Precision", "metrics.Recall"),
                *("metrics.F1", "metrics.AUC", "metrics.RMSE", "metrics.MAE"),
                *("metrics.Perplexity", "metrics.BitsPerCharacter", "Metric"),
            ],
        },
    ),
    "optim": Topic(
        "Optimizers, clipping, schedules",
        "An optimizer changes the weights by their gradients. A clip limits the gradient before the update.",
        {
            "Optimizers": ["SGD", "RMSProp", "Adam", "AdamW", "Optimizer", "optim.Update"],
            "Clipping": [
                *("ClipNorm", "ClipValue", "ClipGroups", "clip_by_norm", "clip_by_value", "NonFiniteError"),
                *("optim.Clip", "optim.NoClip", "optim.Clipped"),
            ],
            "Regularizers": ["PascanuRegularizer"],
            "Learning-rate schedules": [
                *("schedules.Constant", "schedules.Step", "schedules.MultiStep", "schedules.Exponential"),
                *("schedules.Cosine", "schedules.OneCycle", "schedules.WarmUp", "schedules.Plateau"),
                "Schedule",
            ],
        },
    ),
    "callbacks": Topic(
        "Callbacks",
        "`Trainer` calls each of its callbacks after every update and epoch.",
        {
            "Callbacks": [
                *("Checkpoint", "EarlyStopping", "KeepBest", "Until", "GradientMonitor", "CSVLog"),
                *("TensorBoard", "callbacks.ProgressBar"),
            ],
            "Callbacks of your own": ["Callback", "callbacks.TrainerView", "callbacks.GradientWarning"],
        },
    ),
    "data": Topic(
        "Data",
        "Classes that make batches of series, sequences and text. Any iterable of batches is data, too.",
        {
            "Batches": [
                *("data.Arrays", "data.Ragged", "data.Windows", "data.Horizons", "data.Stream"),
                *("data.TextStream", "data.Batches"),
            ],
            "Preparation": [
                *("data.Standardize", "data.Vocabulary", "data.split", "data.Split", "data.pad"),
                *("data.unpad", "load_preprocessing"),
            ],
            "Loading": ["data.Prefetch", "data.Shard"],
        },
    ),
    "diagnose": Topic(
        "Diagnosis and checks",
        "Measure how gradients flow through time, and check that they are right.",
        {
            "Gradient through time": [
                *("gradient_flow", "diagnose.GradientFlow", "diagnose.plot_flows", "diagnose.plot_gates"),
                *("lyapunov_spectrum", "spectral_radius", "diagnose.plot_singular_values"),
            ],
            "Values that are not finite": ["first_nonfinite", "diagnose.NonFinite"],
            "Checks": [
                *("gradcheck", "crosscheck", "testing.Report", "testing.Comparison", "testing.CheckError"),
            ],
        },
    ),
    "files": Topic(
        "Files and other libraries",
        "Save and load models, and exchange them with PyTorch, ONNX, Keras, Flax, Equinox and C.",
        {
            "Model files": ["save", "load", "CheckpointError", "files.read_checkpoint", "files.Saved"],
            "PyTorch modules": [
                *("interop.torch.replace", "interop.torch.RNN", "interop.torch.LSTM", "interop.torch.GRU"),
                *("interop.torch.RNNCell", "interop.torch.LSTMCell", "interop.torch.GRUCell"),
                *("interop.torch.frozen", "interop.torch.FallbackWarning"),
            ],
            "Weights of other libraries": [
                *("interop.from_torch", "interop.to_torch", "interop.from_state_dict"),
                *("interop.to_state_dict", "interop.from_keras", "interop.to_keras"),
                *("interop.keras_arrays", "interop.KerasArrays", "interop.from_flax", "interop.to_flax"),
                *("interop.from_equinox", "interop.to_equinox"),
            ],
            "ONNX": [
                *("interop.onnx.save", "interop.onnx.load", "interop.onnx.to_proto"),
                *("interop.onnx.OnnxError", "interop.onnx.UnsupportedOnnxError"),
            ],
            "C": ["export_c"],
        },
    ),
    "estimators": Topic(
        "scikit-learn estimators",
        "The same networks with the conventions of scikit-learn, for pipelines and searches.",
        {
            "Estimators": [
                *("estimators.SequenceClassifier", "estimators.SequenceRegressor", "estimators.Forecaster"),
            ]
        },
    ),
    "reference": Topic(
        "Reference in NumPy",
        "The same layers in plain NumPy, close to the equations. They are slow on purpose.",
        {
            "Layers": [
                *("reference.RNN", "reference.LSTM", "reference.GRU", "reference.MGU"),
                *("reference.MemoryBlocks", "reference.like"),
            ]
        },
    ),
    "runtime": Topic(
        "Threads and instruction sets",
        "Results have the same bits for any number of threads. `bptt.__version__` is the version.",
        {
            "Threads": ["set_num_threads", "get_num_threads"],
            "Instruction sets": ["available_isas", "isa", "use_isa", "build_config"],
        },
    ),
}


def all_names() -> list[str]:
    """Return every name of the API reference, with `bptt.` in front."""
    return [f"bptt.{name}" for topic in TOPICS.values() for names in topic.names.values() for name in names]


def importable(name: str) -> bool:
    """Return whether the module of a name can be imported. Where PyTorch is missing, some have no page."""
    try:
        import_module(name.rpartition(".")[0])
    except ImportError:
        return False
    return True
