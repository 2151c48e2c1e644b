"""Initialisers: the classes and names that a layer's `init` accepts.

Recurrent and input weights are drawn gate by gate. Each block of H rows is a separate matrix: LSTM i, f, g, o
(coupled f, g, o), GRU r, z, n, MGU f, n. For every initialiser, the gains of layer norm start at 1, its
offsets start at 0, and peepholes have their default values. All draws come from the layer's generator, in the
order of its parameters.

The class names are lower-case, because they are used like functions: `init=orthogonal(gain=2)`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import finite, real, short, size, store, takes

Matrix: TypeAlias = npt.NDArray[np.float64]
Draw: TypeAlias = "Callable[[str, tuple[int, ...], np.random.Generator], npt.ArrayLike]"
Init: TypeAlias = (
    "Literal['default', 'orthogonal', 'identity', 'chrono', 'glorot', 'sparse'] | Initialiser | Draw"
)


class Drawable(Protocol):
    """The part of a layer that initialisers read."""

    @property
    def kind(self) -> str: ...
    @property
    def memory_gates(self) -> tuple[tuple[int, int], ...]: ...
    def default_init(self, name: str, shape: tuple[int, ...]) -> npt.NDArray[Any]: ...


class Initialiser:
    """Draw a layer's initial values.

    This class draws the defaults, and subclasses override some draws. `init` accepts your own subclass as
    well as the initialisers in `bptt.init`.
    """

    def check(self, layer: Drawable) -> None:
        """Raise ValueError if the initialiser does not suit the layer.

        Called once, before all draws.
        """

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        """Draw the initial values of one parameter.

        Parameters
        ----------
        layer : Module
            A layer whose sizes and options are set. Some parameters may not have values yet.
        name : str
        shape : tuple of int
            Name and shape of the parameter, as in `layer.parameters`.
        rng : numpy.random.Generator
            The generator of the layer.

        Returns
        -------
        array-like
            Real numbers in this shape. The layer converts them to its dtype.
        """
        return layer.default_init(name, shape)


class _Blocks(Initialiser, ABC):
    """Draw weights gate by gate, and set biases to 0."""

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        role = _role(name)
        if role in ("bias", "bias_ih", "bias_hh"):
            return np.zeros(shape)
        if role in ("weight_ih", "weight_hh"):
            rows, columns = shape
            H: int = layer.hidden_size  # type: ignore[attr-defined]  # layers with such names are recurrent
            block = self._input if role == "weight_ih" else self._recurrent
            return np.concatenate([block(H, columns, rng) for _ in range(rows // H)])
        if role in ("weight", "weight_hr"):
            rows, columns = shape
            weights = self._plain(rows, columns, rng)
            if weights is not None:
                return weights
        return super().draw(layer, name, shape, rng)

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """Draw a gate's block of `weight_ih`, (H, I)."""
        return _uniform(rows, columns, rng)

    @abstractmethod
    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """Draw a gate's block of `weight_hh`: (H, H), or (H, P) with a projection."""

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix | None:
        """Draw weights without gates: of `Linear` and `Embedding`, and `weight_hr`.

        None: use the default.
        """
        return None


@dataclass(frozen=True)
class glorot(_Blocks):
    """Draw weights uniformly in +-sqrt(6 / (rows + columns)), gate by gate.

    Biases are 0. For any layer.

    References
    ----------
    Glorot and Bengio (2010), Understanding the difficulty of training deep feedforward neural networks.
    """

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return _uniform(rows, columns, rng)

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return _uniform(rows, columns, rng)


@dataclass(frozen=True)
class orthogonal(_Blocks):
    """Draw orthogonal recurrent weights, gate by gate, times a gain.

    Input weights are drawn as by `glorot`, and biases are 0. For any layer: `weight_hr` and the weights of
    `Linear` and `Embedding` are drawn like recurrent weights. Every orthogonal matrix has the same
    probability. A matrix that is not square, such as (H, P) with a projection, has orthonormal columns if it
    is tall, and orthonormal rows if it is wide.

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
class identity(_Blocks):
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
    """

    scale: float = 1.0
    input_std: float = 0.001

    def __post_init__(self) -> None:
        store(self, scale=finite(self.scale, "scale"), input_std=real(self.input_std, "input_std", 0.0))

    def check(self, layer: Drawable) -> None:
        _need_time(layer, "identity", "sets recurrent weights")

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self.input_std * rng.standard_normal((rows, columns))

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        return self.scale * np.eye(rows, columns)


@dataclass(frozen=True)
class sparse(_Blocks):
    """Draw sparse recurrent weights with an exact spectral radius, gate by gate.

    This initialiser comes from echo state networks. Each unit has few connections from other units. Input
    weights are drawn as by `glorot`, and biases are 0. For recurrent layers without projection. The radius is
    computed from the eigenvalues of each block, in time of order H^3.

    Parameters
    ----------
    connections : int
        Number of weights into each unit that are not 0, or H if H is less. The weights are normally
        distributed before they are scaled.
    spectral_radius : float
        Largest absolute eigenvalue of each block, above 0.

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
    """

    connections: int = 15
    spectral_radius: float = 1.1

    def __post_init__(self) -> None:
        store(self, connections=size(self.connections, "connections"))
        store(self, spectral_radius=real(self.spectral_radius, "spectral_radius", 0.0, above=True))

    def check(self, layer: Drawable) -> None:
        _need_time(layer, "sparse", "sets recurrent weights")
        width = getattr(layer, "proj_size", 0)
        if width:
            raise ValueError(
                f'init="sparse" needs square recurrent weights, because it computes eigenvalues; got '
                f'{layer.kind} with proj_size={width}. Fix: pass proj_size=0, or init="orthogonal".'
            )

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        count = min(self.connections, columns)
        chosen = np.argpartition(rng.random((rows, columns)), count - 1, axis=1)[:, :count]
        block = np.zeros((rows, columns))
        np.put_along_axis(block, chosen, rng.standard_normal((rows, count)), axis=1)
        # The radius is above 0: every unit has an incoming weight, so there is a cycle with an eigenvalue.
        radius = float(np.abs(np.linalg.eigvals(block)).max())
        return block * (self.spectral_radius / radius)


@dataclass(frozen=True)
class chrono(Initialiser):
    """Set gate biases so that units remember for 2 to `longest` steps.

    Other parameters have default values. For layers with gates and biases. u is drawn uniformly from [1,
    longest - 1]. In an LSTM, the biases of the forget gate add up to log(u), and the biases of the input gate
    to -log(u). A coupled LSTM has no input gate. `forget_bias` replaces the value of the forget gate. In a
    GRU, z keeps the old state, and its biases add up to log(u). In an MGU, f replaces the old state, and its
    biases add up to -log(u). A gate that keeps sigmoid(log u) of the state forgets in 1 + u steps.

    Parameters
    ----------
    longest : float
        Longest dependency to expect, in steps, at least 2: for example the length of the sequences.

    Raises
    ------
    TypeError, ValueError
        If `longest` is not such a number. When a layer is built: if the layer has no gates or no biases.

    References
    ----------
    Tallec and Ollivier (2018), Can recurrent neural networks warp time?
    """

    longest: float = 100.0

    def __post_init__(self) -> None:
        store(self, longest=real(self.longest, "longest", 2.0))

    def check(self, layer: Drawable) -> None:
        _need_time(layer, "chrono", "sets biases of gates")
        if not layer.memory_gates:
            raise ValueError(
                f'init="chrono" sets biases of gates; got {layer.kind}, which has none. '
                'Fix: use LSTM or GRU, or init="identity" or "orthogonal".'
            )
        if not getattr(layer, "bias", True):
            raise ValueError(
                f'init="chrono" sets biases; got {layer.kind} with bias=False. Fix: leave one of them out.'
            )

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        values = np.array(super().draw(layer, name, shape, rng))
        role = _role(name)
        if role not in ("bias_ih", "bias_hh"):
            return values
        H: int = layer.hidden_size  # type: ignore[attr-defined]  # `check` accepts only such layers
        # Only the sum of the two biases matters, so one of them has the whole value.
        bias = np.log(rng.uniform(1.0, self.longest - 1.0, H)) if role == "bias_ih" else np.zeros(H)
        for block, sign in layer.memory_gates:
            values[block * H : (block + 1) * H] = sign * bias
        return values


class _Function(Initialiser):
    """An initialiser that calls a function init(name, shape, rng)."""

    def __init__(self, function: Draw) -> None:
        self.function = function

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        return self.function(name, shape, rng)


NAMES: dict[str, type[Initialiser]] = {
    "default": Initialiser,
    "orthogonal": orthogonal,
    "identity": identity,
    "chrono": chrono,
    "glorot": glorot,
    "sparse": sparse,
}
"""The names that `init` accepts. Each stands for an object of the class with its default arguments."""


def parse_init(init: Any) -> Initialiser:
    """Return the initialiser for a layer's `init`."""
    if isinstance(init, Initialiser):
        return init
    if isinstance(init, str) and init in NAMES:
        return NAMES[init]()
    if isinstance(init, type) and issubclass(init, Initialiser):
        raise TypeError(
            f"init must be an initialiser; got the class {init.__name__}. "
            f"Fix: call it, init={init.__name__}()."
        )
    if callable(init) and not isinstance(init, type) and takes(init, 3):
        return _Function(init)
    raise (ValueError if isinstance(init, str) else TypeError)(
        f"init must be {', '.join(map(repr, NAMES))}, one of bptt.init or a callable(name, shape, rng); "
        f'got {short(init)}. Fix: pass init="default".'
    )


def _role(name: str) -> str:
    """Return `weight_ih` for `weight_ih_l0_reverse`.

    A name without a layer number is returned unchanged.
    """
    return name.partition("_l")[0]


def _need_time(layer: Drawable, name: str, does: str) -> None:
    if not hasattr(layer, "hidden_size"):
        raise ValueError(
            f'init="{name}" {does}; got {layer.kind}, which has none. '
            'Fix: pass init="glorot" or "orthogonal".'
        )


def _uniform(rows: int, columns: int, rng: np.random.Generator) -> Matrix:
    bound = math.sqrt(6.0 / (rows + columns))
    return rng.uniform(-bound, bound, (rows, columns))
