"""A linear output layer that shares its weight with the embedding of the inputs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy.typing as npt

from bptt.arguments import Seed, flag, short, size
from bptt.arrays import Floats
from bptt.layers.module import Module
from bptt.layers.passes.precision import parse_precision
from bptt.layers.stateless.affine import Affine
from bptt.layers.stateless.embedding import Embedding

if TYPE_CHECKING:
    from typing_extensions import Self

_CONFIG = {"embedding", "num_embeddings", "embedding_dim", "bias", "precision", "dtype"}


class TiedLinear(Affine):
    """Compute y = x W^T + b with the weight W of an embedding, to score every word of its vocabulary.

    W is one parameter. Its name and its place in the flat vector are those of the embedding. Both layers add
    to its gradient. `parameters` of this layer hold only the bias, and its `trainable` concerns only the
    bias. A state dict of PyTorch names W twice: leave out the name of the linear layer.

    Parameters
    ----------
    embedding : Embedding
        A layer of the same model, with `weight` (num_embeddings, embedding_dim). x has embedding_dim values
        on its last axis, and y has num_embeddings.
    bias : bool
        False: no bias.
    precision : {"highest", "bfloat16"}
        "bfloat16": round the operands of products to bfloat16, for speed. See `LSTM`. Needs
        float32.
    seed : int, numpy.random.Generator or None
        Source of the initial bias, uniform in +-1/sqrt(embedding_dim) as in PyTorch.

    Raises
    ------
    TypeError
        If an argument has the wrong type.
    ValueError
        If the embedding has `sparse=True`, because the gradient of an output layer is not sparse. When a
        model is built: if the embedding is not a layer of this model.

    References
    ----------
    Press and Wolf (2017), Using the output embedding to improve language models, arXiv:1608.05859.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> words = bptt.Embedding(1000, 16)
    >>> model = bptt.Sequential(words, bptt.LSTM(16, 16), bptt.TiedLinear(words))
    >>> y, state = model(np.zeros((20, 4), int))
    >>> y.shape
    (20, 4, 1000)
    """

    built_with = frozenset({"num_embeddings", "embedding_dim", "bias", "precision"})
    embedding: Embedding | None

    def __init__(
        self, embedding: Embedding, *, bias: bool = True, precision: str = "highest", seed: Seed = None
    ) -> None:
        if not isinstance(embedding, Embedding):
            raise TypeError(
                f"embedding must be an Embedding; got {short(embedding)} of type {type(embedding).__name__}. "
                "Fix: pass the layer itself, embedding = bptt.Embedding(...); bptt.TiedLinear(embedding)."
            )
        if embedding.sparse:
            raise ValueError(
                "embedding must have sparse=False, because the output layer's gradient has no zero rows; got "
                "sparse=True. Fix: leave sparse out, or use Linear."
            )
        sizes = embedding.num_embeddings, embedding.embedding_dim
        self._set_up(*sizes, bias, precision, embedding.dtype, seed)
        self.embedding = embedding

    def _set_up(
        self, num_embeddings: int, embedding_dim: int, bias: bool, precision: str, dtype: Any, seed: Seed
    ) -> None:
        super().__init__(dtype, seed)
        self.num_embeddings = size(num_embeddings, "num_embeddings")
        self.embedding_dim = size(embedding_dim, "embedding_dim")
        self.bias = flag(bias, "bias")
        self.precision = parse_precision(precision, self.dtype, dtypes=self.rounding_dtypes)
        self.embedding = None
        self._place = ""  # of the embedding in the model, such as "model[0]"
        self.allocate("default")

    def tie(self, layers: Mapping[str, Module]) -> None:
        """Find the embedding among the layers of a model, which are given by their place in it.

        Raises
        ------
        ValueError
            If the embedding is not one of the layers.
        """
        if self.embedding is None:
            found = layers.get(self._place)
            if not isinstance(found, Embedding) or found.sparse or self._sizes(found) != self._sizes(self):
                sizes = f"({self.num_embeddings}, {self.embedding_dim})"
                raise ValueError(
                    f"embedding must be the place of an Embedding{sizes} in this model; "
                    f"got {self._place!r:.60}. Fix: pass the result of config()."
                )
            self.embedding = found
            return
        places = [place for place, layer in layers.items() if layer is self.embedding]
        if not places:
            raise ValueError(
                "embedding must be a layer of the model that TiedLinear belongs to; got an Embedding that is "
                "not in it. Fix: pass both to one model, "
                "Sequential(embedding, LSTM(...), TiedLinear(embedding))."
            )
        self._place = places[0]

    @staticmethod
    def _sizes(layer: Embedding | TiedLinear) -> tuple[int, int, Any]:
        return layer.num_embeddings, layer.embedding_dim, layer.dtype

    def config(self) -> dict[str, Any]:
        """Return the sizes, and the place of the embedding in the model, such as "model[0]"."""
        return {
            "embedding": self._place,
            "num_embeddings": self.num_embeddings,
            "embedding_dim": self.embedding_dim,
            "bias": self.bias,
            "precision": self.precision,
            "dtype": self.dtype.name,
        }

    @classmethod
    def _build(cls, config: Mapping[str, Any]) -> Self:
        """Build a layer that has no embedding before a model ties it."""
        if set(config) | {"precision"} != _CONFIG or not isinstance(config["embedding"], str):
            raise ValueError(
                f"config must hold {', '.join(sorted(_CONFIG))}; got {', '.join(map(repr, sorted(config)))}. "
                "Fix: pass what config() returned."
            )
        layer = cls.__new__(cls)
        sizes = config["num_embeddings"], config["embedding_dim"]
        layer._set_up(*sizes, config["bias"], config.get("precision", "highest"), config["dtype"], None)
        layer._place = config["embedding"]
        return layer

    def parameter_shapes(self) -> dict[str, tuple[int, ...]]:
        return {"bias": (self.num_embeddings,)} if self.bias else {}

    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]:
        bound = 1.0 / math.sqrt(self.embedding_dim)
        return self.rng.uniform(-bound, bound, shape)

    def multiply_adds(self, rows: int) -> int:
        return rows * self.num_embeddings * self.embedding_dim

    def _tied(self) -> Embedding:
        if self.embedding is None:
            raise ValueError(
                "TiedLinear must be in a model with its embedding; got a layer that was built from config() "
                "alone. Fix: build the model from the config of the model."
            )
        return self.embedding

    # Where the products find their arrays

    @property
    def widths(self) -> tuple[int, int]:
        return self.embedding_dim, self.num_embeddings

    @property
    def matrix(self) -> Floats:
        return self._tied().parameters["weight"]

    @property
    def matrix_gradient(self) -> Floats | None:
        embedding = self._tied()
        return embedding.gradients["weight"] if embedding.trainable else None

    def wrong_width(self, shape: tuple[int, ...]) -> str:
        return (
            f"x must have shape (..., {self.embedding_dim}), with embedding_dim on the last axis; got {shape}"
            f". Fix: make the layer before TiedLinear {self.embedding_dim} wide, as the embedding is, for "
            "example with Linear or proj_size."
        )

    def __repr__(self) -> str:
        options = "" if self.bias else ", bias=False"
        options += "" if self.precision == "highest" else f", precision={self.precision!r}"
        return f"TiedLinear(Embedding({self.num_embeddings}, {self.embedding_dim}){options})"
