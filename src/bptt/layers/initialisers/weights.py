"""Initialisers that draw weights."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bptt.arguments import finite, real, size, store
from bptt.layers.initialisers.base import Alike, Blocks, Drawable, Matrix, need_time, uniform_matrix


@dataclass(frozen=True)
class glorot(Alike):
    """Draw weights uniformly in +-sqrt(6 / (rows + columns)), gate by gate.

    Biases are 0. For any layer.

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.GRU(3, 8, init=bptt.init.glorot(), seed=0)
    >>> bool(abs(layer.parameters["weight_ih_l0"]).max() < (6 / (3 + 8)) ** 0.5)
    True
    """

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return uniform_matrix(rows, columns, rng)


@dataclass(frozen=True)
class normal(Alike):
    """Draw all weights from a normal distribution with mean 0.

    Biases are 0. For any layer.

    Parameters
    ----------
    scale : float
        Standard deviation, above 0. The default is that of Keras' RandomNormal.

    Raises
    ------
    TypeError, ValueError
        If `scale` is not such a number.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.GRU(3, 200, init=bptt.init.normal(0.05), seed=0)
    >>> round(float(layer.parameters["weight_hh_l0"].std()), 3)
    0.05
    """

    scale: float = 0.05

    def __post_init__(self) -> None:
        store(self, scale=real(self.scale, "scale", 0.0, above=True))

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self.scale * rng.standard_normal((rows, columns))


@dataclass(frozen=True)
class uniform(Alike):
    """Draw all weights uniformly in +-scale.

    Biases are 0. For any layer. The bound does not depend on the sizes of the layer: "default" and `glorot`
    have bounds that do.

    Parameters
    ----------
    scale : float
        The bound, above 0. The default is that of Keras' RandomUniform.

    Raises
    ------
    TypeError, ValueError
        If `scale` is not such a number.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.GRU(3, 8, init=bptt.init.uniform(0.05), seed=0)
    >>> bool(abs(layer.flat_parameters).max() < 0.05)
    True
    """

    scale: float = 0.05

    def __post_init__(self) -> None:
        store(self, scale=real(self.scale, "scale", 0.0, above=True))

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self.scale * rng.uniform(-1.0, 1.0, (rows, columns))


@dataclass(frozen=True)
class orthogonal(Blocks):
    """Draw orthogonal recurrent weights, gate by gate, times a gain.

    Input weights are drawn as by `glorot`, and biases are 0. For any layer: `weight_hr` and the weights of
    `Linear` and `Embedding` are drawn like recurrent weights. Every orthogonal matrix has the same
    probability. A matrix that is not square, such as (H, P) with a projection, has orthonormal columns or
    rows, whichever are fewer.

    Parameters
    ----------
    gain : float
        The value of all singular values, above 0.

    Raises
    ------
    TypeError, ValueError
        If `gain` is not such a number.

    References
    ----------
    Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks. The signs that make the QR decomposition uniform: Mezzadri (2007), How to generate random
    matrices from the classical compact groups.

    Examples
    --------
    >>> import numpy as np
    >>> import bptt
    >>> W = bptt.RNN(3, 8, init=bptt.init.orthogonal(), seed=0).parameters["weight_hh_l0"]
    >>> np.allclose(W @ W.T, np.eye(8), atol=1e-6)
    True
    """

    gain: float = 1.0

    def __post_init__(self) -> None:
        store(self, gain=real(self.gain, "gain", 0.0, above=True))

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self._plain(rows, columns, rng)

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        q, r = np.linalg.qr(rng.standard_normal((max(rows, columns), min(rows, columns))))
        signed: Matrix = q * np.copysign(self.gain, np.diagonal(r))
        return signed if rows >= columns else signed.T


@dataclass(frozen=True)
class identity(Blocks):
    """Set recurrent weights to the identity times a scale, gate by gate.

    Input weights are small and normally distributed, and biases are 0. For recurrent layers. With this
    initialiser, an `RNN` with `nonlinearity="relu"` is the IRNN: without input, its state does not change.
    With a projection, blocks (H, P) have the scale on their diagonal, and `weight_hr` has its default values.

    Parameters
    ----------
    scale : float
        The value on the diagonal. If it is below 1, h shrinks over time.
    input_std : float
        Standard deviation of the input weights, at least 0. The paper uses 0.001.

    Raises
    ------
    TypeError, ValueError
        If an argument is not such a number. When a layer is built: if the layer is not recurrent.

    References
    ----------
    Le, Jaitly and Hinton (2015), A simple way to initialize recurrent networks of rectified linear units.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.RNN(3, 2, nonlinearity="relu", init=bptt.init.identity())
    >>> layer.parameters["weight_hh_l0"]
    array([[1., 0.],
           [0., 1.]], dtype=float32)
    """

    scale: float = 1.0
    input_std: float = 0.001

    def __post_init__(self) -> None:
        store(self, scale=finite(self.scale, "scale"), input_std=real(self.input_std, "input_std", 0.0))

    def check(self, layer: Drawable) -> None:
        need_time(layer, "identity", "sets recurrent weights")

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self.input_std * rng.standard_normal((rows, columns))

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self.scale * np.eye(rows, columns)


@dataclass(frozen=True)
class sparse(Blocks):
    """Draw sparse recurrent weights with an exact spectral radius, gate by gate.

    This initialiser comes from echo state networks. Each unit has few connections from other units. Biases
    are 0. For recurrent layers without projection. The radius is computed from the eigenvalues of each block,
    in time of order H^3.

    Parameters
    ----------
    connections : int
        Number of weights into each unit that are not 0, or H if H is less. The weights are normally
        distributed before they are scaled.
    spectral_radius : float
        Largest absolute eigenvalue of each block, above 0.
    input_std : float, optional
        Standard deviation of the input weights, at least 0, which are then normally distributed. Default:
        draw them as `glorot` does.

    Raises
    ------
    TypeError, ValueError
        If an argument is not such a number. When a layer is built: if the layer is not recurrent, or has a
        projection.

    References
    ----------
    Jaeger and Haas (2004), Harnessing nonlinearity. Martens and Sutskever (2011), Learning recurrent neural
    networks with Hessian-free optimization: 15 connections. Sutskever et al. (2013), On the importance of
    initialization and momentum in deep learning: a radius of 1.1.

    Examples
    --------
    >>> import bptt
    >>> layer = bptt.RNN(3, 100, init=bptt.init.sparse(connections=15, spectral_radius=1.1), seed=0)
    >>> bptt.spectral_radius(layer).round(3)
    array([1.1])
    """

    connections: int = 15
    spectral_radius: float = 1.1
    input_std: float | None = None

    def __post_init__(self) -> None:
        store(self, connections=size(self.connections, "connections"))
        store(self, spectral_radius=real(self.spectral_radius, "spectral_radius", 0.0, above=True))
        if self.input_std is not None:
            store(self, input_std=real(self.input_std, "input_std", 0.0))

    def check(self, layer: Drawable) -> None:
        need_time(layer, "sparse", "sets recurrent weights")
        width = getattr(layer, "proj_size", 0)
        if width:
            raise ValueError(
                f'init="sparse" needs square recurrent weights, because it computes eigenvalues; got '
                f'{layer.kind} with proj_size={width}. Fix: pass proj_size=0, or init="orthogonal".'
            )

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        if self.input_std is None:
            return super()._input(rows, columns, rng)
        return self.input_std * rng.standard_normal((rows, columns))

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        count = min(self.connections, columns)
        chosen = np.argpartition(rng.random((rows, columns)), count - 1, axis=1)[:, :count]
        block = np.zeros((rows, columns))
        np.put_along_axis(block, chosen, rng.standard_normal((rows, count)), axis=1)
        # The radius is above 0: every unit has an incoming weight, so there is a cycle with an eigenvalue.
        radius = float(np.abs(np.linalg.eigvals(block)).max())
        return block * (self.spectral_radius / radius)
