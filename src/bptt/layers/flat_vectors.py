"""Parameters and gradients of a layer or a model: two flat vectors, with named views into them."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from bptt.arguments import flag
from bptt.layers.sparse import SparseBlock, zero_touched
from bptt.layers.tensors import IncompatibleKeys, Tensors, check_state_dict, write_flat

Table: TypeAlias = list[tuple[str, tuple[int, ...]]]


class FlatVectors:
    """Base class of `Module`: the flat vectors of parameters and gradients."""

    parameters: Tensors
    gradients: Tensors
    sparse_blocks: tuple[SparseBlock, ...] = ()
    """The sparse parameters, in the order of the flat vectors: those of `Embedding(..., sparse=True)`."""
    no_gradient: Mapping[str, slice] = MappingProxyType({})
    """Rows of parameters that get no gradient by design, by name of the parameter, for `gradcheck`."""
    _trainable: bool = True

    def refer_to(
        self, flat_parameters: npt.NDArray[Any], flat_gradients: npt.NDArray[Any], table: Table
    ) -> None:
        """Make the named views refer to these two vectors."""
        self._flat_parameters = flat_parameters
        self._flat_gradients = flat_gradients
        self.parameters = Tensors(flat_parameters, table, "parameter")
        self.gradients = Tensors(flat_gradients, table, "gradient of")

    @property
    def flat_parameters(self) -> npt.NDArray[Any]:
        """All parameters in one vector. An assignment writes into the vector."""
        return self._flat_parameters

    @flat_parameters.setter
    def flat_parameters(self, value: object) -> None:
        write_flat(self._flat_parameters, value, "flat_parameters")

    @property
    def flat_gradients(self) -> npt.NDArray[Any]:
        """All gradients in one vector, in the order of `flat_parameters`.

        An assignment writes into it.
        """
        return self._flat_gradients

    @flat_gradients.setter
    def flat_gradients(self, value: object) -> None:
        write_flat(self._flat_gradients, value, "flat_gradients")
        for block in self.sparse_blocks:
            block.touched.add(np.arange(block.height))

    @property
    def parameter_count(self) -> int:
        """Total number of elements of all parameters."""
        return int(self._flat_parameters.size)

    @property
    def trainable(self) -> bool:
        """Whether training changes the parameters. Can be assigned. Default: True.

        False: `backward` computes no gradient of the parameters, optimizers, clips and regularizers leave
        them out, and `dx` is computed as before. The value is copied, pickled and saved with the layer. An
        assignment to a model changes all its layers. A model is trainable if one of its layers is.
        """
        return self._trainable

    @trainable.setter
    def trainable(self, value: bool) -> None:
        self._trainable = flag(value, "trainable")

    @property
    def fixed_parameters(self) -> frozenset[str]:
        """Names of the parameters that training does not change, because `trainable` is False."""
        return frozenset() if self.trainable else frozenset(self.parameters)

    def zero_grad(self) -> None:
        """Set all gradients to zero.

        Call this before `backward`, which only adds to the gradients.
        """
        if self.sparse_blocks:
            zero_touched(self._flat_gradients, self.sparse_blocks)
        else:
            self._flat_gradients.fill(0)

    def state_dict(self) -> dict[str, npt.NDArray[Any]]:
        """Return copies of all parameters by name."""
        return {name: view.copy() for name, view in self.parameters.items()}

    def load_state_dict(self, mapping: Mapping[str, Any], strict: bool = True) -> IncompatibleKeys:
        """Set the parameters from a mapping of names to arrays, PyTorch tensors included.

        All arrays are checked before the first parameter changes.

        Parameters
        ----------
        mapping : Mapping[str, array-like]
            Arrays in the shapes of the parameters. They are converted to the layer's dtype. Parameters of
            PyTorch are detached.
        strict : bool
            False: load the names that match, and return names that do not match.

        Returns
        -------
        IncompatibleKeys
            Two lists of names, `missing_keys` and `unexpected_keys`, as in PyTorch. Both are empty with
            `strict`.

        Raises
        ------
        TypeError
            If `mapping` is not a mapping, or a value is not an array of real numbers.
        ValueError
            If names are missing or unexpected, shapes are wrong, or values are too large for the dtype. With
            `strict=False`, if no name matches a parameter of this model.

        Examples
        --------
        >>> import bptt
        >>> layer, other = bptt.GRU(3, 8), bptt.GRU(3, 8)
        >>> layer.load_state_dict(other.state_dict())
        IncompatibleKeys(missing_keys=[], unexpected_keys=[])
        >>> bool((layer.flat_parameters == other.flat_parameters).all())
        True
        """
        values, unused = check_state_dict(self.parameters, mapping, flag(strict, "strict"))
        for name, value in values.items():
            self.parameters[name][...] = value
        return unused
