"""
Initialisers: the names that a layer's `init` accepts, and their classes.

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
    """
    Draw a layer's initial values. This class draws the default; subclasses override some draws.

    One of your own goes into `init` as those of `bptt.init` do.
    """

    def check(self, layer: Drawable) -> None:
        """Raise ValueError where the layer has no use for it. Called once, before anything is drawn."""

    def draw(
        self, layer: Drawable, name: str, shape: tuple[int, ...], rng: np.random.Generator
    ) -> npt.ArrayLike:
        """
        The initial values of one parameter.

        Parameters
        ----------
        layer : Module
            Its sizes and options are there, its parameters not yet all.
        name : str
        shape : tuple of int
            As in `layer.parameters`.
        rng : numpy.random.Generator
            The layer's own.

        Returns
        -------
        array-like
            Of that shape, real numbers; the layer converts them to its dtype.
        """
        return layer.default_init(name, shape)


class _Blocks(Initialiser, ABC):
    """Weights gate by gate; biases 0."""

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
            drawn = self._plain(rows, columns, rng)
            if drawn is not None:
                return drawn
        return super().draw(layer, name, shape, rng)

    def _input(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """A gate's block of `weight_ih`, (H, I)."""
        return _uniform(rows, columns, rng)

    @abstractmethod
    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        """A gate's block of `weight_hh`, (H, H), with a projection (H, P)."""

    def _plain(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix | None:
        """Weights without gates: of `Linear`, `Embedding`, and `weight_hr`. None: the layer's default."""
        return None


@dataclass(frozen=True)
class glorot(_Blocks):
    """
    Every weight matrix uniform in +-sqrt(6 / (rows + columns)), gate by gate; biases 0. For any layer.

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
    """
    Recurrent weights orthogonal, gate by gate, times a gain; input weights as `glorot`; biases 0.

    For any layer: `weight_hr` and the weights of `Linear` and `Embedding` are drawn like recurrent weights.
    Every orthogonal matrix has the same probability. A matrix that is not square, as (H, P) with a
    projection, has orthonormal columns if it is tall, and orthonormal rows if it is wide.

    Parameters
    ----------
    gain : float
        Value of all singular values, above 0.

    Raises
    ------
    TypeError, ValueError
        Not such a number.

    References
    ----------
    Saxe, McClelland and Ganguli (2014), Exact solutions to the nonlinear dynamics of learning in deep linear
    neural networks. The signs that make QR uniform: Mezzadri (2007), How to generate random matrices from the
    classical compact groups.
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
    """
    Recurrent weights the identity times a scale, gate by gate; input weights normal and small; biases 0.

    For recurrent layers. An `RNN` with `nonlinearity="relu"` is then the IRNN: without input, its state does
    not change. With a projection, blocks (H, P) have the scale on their diagonal, and `weight_hr` has its
    default values.

    Parameters
    ----------
    scale : float
        On the diagonal. Below 1, h fades.
    input_std : float
        Standard deviation of the input weights, at least 0; the paper's is 0.001.

    Raises
    ------
    TypeError, ValueError
        Not such numbers; when a layer is built with it: a layer that is not recurrent.

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
    """
    Recurrent weights with few connections into each unit and a given spectral radius, gate by gate; input
    weights as `glorot`; biases 0.

    For recurrent layers without projection. The way of echo state networks. The radius is exact, by the
    eigenvalues of each block, which take time of order H^3.

    Parameters
    ----------
    connections : int
        Weights into each unit that are not 0, normal before they are scaled; all H, if H is less.
    spectral_radius : float
        Largest absolute eigenvalue of each block, above 0.

    Raises
    ------
    TypeError, ValueError
        Not such numbers; when a layer is built with it: a layer that is not recurrent, or has a projection.

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
                f'init="sparse" needs square recurrent weights, which alone have eigenvalues; got '
                f'{layer.kind} with proj_size={width}. Fix: proj_size=0, or init="orthogonal".'
            )

    def _recurrent(self, rows: int, columns: int, rng: np.random.Generator) -> Matrix:
        count = min(self.connections, columns)
        chosen = np.argpartition(rng.random((rows, columns)), count - 1, axis=1)[:, :count]
        block = np.zeros((rows, columns))
        np.put_along_axis(block, chosen, rng.standard_normal((rows, count)), axis=1)
        # Above 0: with a weight into every unit there is a cycle, and an eigenvalue for it.
        radius = float(np.abs(np.linalg.eigvals(block)).max())
        return block * (self.spectral_radius / radius)


@dataclass(frozen=True)
class chrono(Initialiser):
    """
    Set gate biases such that units remember for 2 to `longest` steps; all else has its default value.

    For layers with gates and biases. Draw u uniformly from [1, longest - 1]. In an LSTM, the biases of the
    forget gate add up to log(u), and the biases of the input gate to -log(u). A coupled LSTM has only the
    former. `forget_bias`, if given, replaces the value of the forget gate. In a GRU, the biases of z, which
    keeps the old state here, add up to log(u). In an MGU, the biases of f, which replaces the old state, add
    up to -log(u). A gate that keeps sigmoid(log u) of the state forgets in 1 + u steps.

    Parameters
    ----------
    longest : float
        Longest dependency to expect, in steps, at least 2: for example the length of the sequences.

    Raises
    ------
    TypeError, ValueError
        `longest` is not such a number. When a layer is built: the layer has no gates or no biases.

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
        H: int = layer.hidden_size  # type: ignore[attr-defined]  # as `check` has seen
        # The two biases add up: one holds it all.
        bias = np.log(rng.uniform(1.0, self.longest - 1.0, H)) if role == "bias_ih" else np.zeros(H)
        for block, sign in layer.memory_gates:
            values[block * H : (block + 1) * H] = sign * bias
        return values


class _Function(Initialiser):
    """A plain init(name, shape, rng)."""

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
"""What `init` may name: each stands for the class without arguments."""


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
    """`weight_ih` of `weight_ih_l0_reverse`; a name without a layer's number as it is."""
    return name.partition("_l")[0]


def _need_time(layer: Drawable, name: str, does: str) -> None:
    if not hasattr(layer, "hidden_size"):
        raise ValueError(
            f'init="{name}" {does}; got {layer.kind}, which has none. Fix: init="glorot" or "orthogonal".'
        )


def _uniform(rows: int, columns: int, rng: np.random.Generator) -> Matrix:
    bound = math.sqrt(6.0 / (rows + columns))
    return rng.uniform(-bound, bound, (rows, columns))
