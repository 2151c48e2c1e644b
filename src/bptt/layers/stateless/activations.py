"""Activations as layers."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from bptt import _core
from bptt.arrays import Floats, as_floats, as_real, read_only, to_floats
from bptt.layers.passes.tape import LayerTape
from bptt.layers.stateless.stateless import Stateless


class Elementwise(Stateless):
    """A function of each element of x.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.
    """

    _name: ClassVar[Literal["tanh", "relu", "sigmoid", "gelu", "silu"]]
    _slope_from_x: ClassVar[bool] = False
    """Whether the slope is a function of x. Otherwise, it is a function of y."""

    def __init__(self, *, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.allocate()

    @property
    def keeps_width(self) -> bool:
        return True

    def config(self) -> dict[str, Any]:
        return {"dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        return as_floats(x, "x", self.dtype)

    def _infer(self, x: Floats) -> Floats:
        return _core.activation(self._name, x)

    def _forward(self, x: Floats) -> tuple[Floats, Floats]:
        y = self._infer(x)
        return y, read_only(x) if self._slope_from_x else y

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        return _core.activation_backward(self._name, dy, tape.saved) if need_dx else None


class Tanh(Elementwise):
    """Hyperbolic tangent of each element: y = tanh(x).

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.Tanh()([-1.0, 0.0, 2.0])
    >>> y.round(3)
    array([-0.762,  0.   ,  0.964], dtype=float32)
    """

    _name = "tanh"


class ReLU(Elementwise):
    """Rectifier of each element: y = max(0, x). The slope at 0 is 0.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.ReLU()([-1.0, 0.0, 2.0])
    >>> y
    array([0., 0., 2.], dtype=float32)
    """

    _name = "relu"


class Sigmoid(Elementwise):
    """Logistic function of each element: y = 1 / (1 + e^-x).

    Do not put it before `BinaryCrossEntropy`, which reads x itself.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.Sigmoid()([-1.0, 0.0, 2.0])
    >>> y.round(3)
    array([0.269, 0.5  , 0.881], dtype=float32)
    """

    _name = "sigmoid"


class GELU(Elementwise):
    """Gaussian error linear unit of each element: y = x P(X < x) for a standard normal X.

    This is the exact form, as in PyTorch by default, not the approximation with tanh.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    References
    ----------
    Hendrycks and Gimpel (2016), Gaussian error linear units, arXiv:1606.08415.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.GELU()([-1.0, 0.0, 2.0])
    >>> y.round(3)
    array([-0.159,  0.   ,  1.954], dtype=float32)
    """

    _name = "gelu"
    _slope_from_x = True


class SiLU(Elementwise):
    """Sigmoid linear unit of each element: y = x / (1 + e^-x). Also called swish.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    References
    ----------
    Elfwing, Uchibe and Doya (2018), Sigmoid-weighted linear units for neural network function approximation
    in reinforcement learning, arXiv:1702.03118.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.SiLU()([-1.0, 0.0, 2.0])
    >>> y.round(3)
    array([-0.269,  0.   ,  1.762], dtype=float32)
    """

    _name = "silu"
    _slope_from_x = True


class Softmax(Stateless):
    """Softmax over the last axis: y = e^x / sum(e^x).

    Do not put it before `CrossEntropy`, which reads x itself.

    Parameters
    ----------
    dtype : {"float32", "float64"}
        Type of outputs and gradients. A `Sequential` replaces it by the type of the model.

    Raises
    ------
    ValueError
        When called: if x has no axis, or its last axis is empty.

    Examples
    --------
    >>> import bptt
    >>> y, state = bptt.Softmax()([-1.0, 0.0, 2.0])
    >>> y.round(3)
    array([0.042, 0.114, 0.844], dtype=float32)
    """

    def __init__(self, *, dtype: Any = "float32") -> None:
        super().__init__(dtype, None)
        self.allocate()

    @property
    def keeps_width(self) -> bool:
        return True

    def config(self) -> dict[str, Any]:
        return {"dtype": self.dtype.name}

    def _convert(self, x: Any) -> Floats:
        array = as_real(x, "x")
        if array.ndim == 0 or array.shape[-1] == 0:
            raise ValueError(
                f"x must have shape (..., F), with at least one value on its last axis; got {array.shape}. "
                "Fix: pass an array whose last axis holds the classes."
            )
        return to_floats(array, "x", self.dtype)

    def _infer(self, x: Floats) -> Floats:
        return _core.softmax_forward(x.reshape(-1, x.shape[-1])).reshape(x.shape)

    def _forward(self, x: Floats) -> tuple[Floats, Floats]:
        y = self._infer(x)
        return y, y

    def _backward(self, tape: LayerTape, dy: Floats, need_dx: bool) -> Floats | None:
        if not need_dx:
            return None
        rows = dy.reshape(-1, dy.shape[-1])
        return _core.softmax_backward(rows, tape.saved.reshape(rows.shape)).reshape(dy.shape)
