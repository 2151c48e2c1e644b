"""Axes of arrays that a model computes: which axis of the input, or of a layer, each of them is.

A dimension of an array is a tuple of axes: several axes after a Reshape that joins them, none for a
dimension of size 1. So transposing and reshaping arrays only moves axes, whatever their sizes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias


class Problem(Exception):
    """Why no layer computes what a node computes. The caller adds the node."""


@dataclass(eq=False)
class Axis:
    """An axis of an input or of a layer's output. `size` is None if the model leaves it open."""

    name: str
    size: int | None


Dim: TypeAlias = tuple[Axis, ...]
Dims: TypeAlias = tuple[Dim, ...]


@dataclass(frozen=True)
class Size:
    """A whole number times the sizes of axes that the model leaves open."""

    factor: int
    axes: tuple[Axis, ...]

    def __mul__(self, other: Any) -> int | Size:
        if isinstance(other, Size):
            return _size(self.factor * other.factor, (*self.axes, *other.axes))
        return _size(self.factor * int(other), self.axes)

    __rmul__ = __mul__

    def __floordiv__(self, other: Any) -> int | Size:
        divisor = other if isinstance(other, Size) else Size(int(other), ())
        axes = list(self.axes)
        if divisor.factor == 0 or self.factor % divisor.factor or not set(divisor.axes) <= set(axes):
            raise Problem("it divides sizes that are not known")
        for axis in divisor.axes:
            axes.remove(axis)
        return _size(self.factor // divisor.factor, tuple(axes))

    __truediv__ = __floordiv__

    def __add__(self, other: Any) -> Any:
        raise Problem("it computes with sizes that are not known")

    __radd__ = __sub__ = __rsub__ = __rfloordiv__ = __rtruediv__ = __add__


def _size(factor: int, axes: tuple[Axis, ...]) -> int | Size:
    return Size(factor, tuple(sorted(axes, key=id))) if axes and factor else factor


def size_of(dim: Dim) -> int | Size:
    """Return the size of a dimension."""
    factor, open_axes = 1, []
    for axis in dim:
        if axis.size is None:
            open_axes.append(axis)
        else:
            factor *= axis.size
    return _size(factor, tuple(open_axes))


def is_unit(dim: Dim) -> bool:
    return all(axis.size == 1 for axis in dim)


def wide(axes: Sequence[Axis]) -> list[Axis]:
    """Return the axes that may have other sizes than 1."""
    return [axis for axis in axes if axis.size != 1]


def same(first: Dim, second: Dim) -> bool:
    """Return whether two dimensions have the same axes in the same order, but for axes of size 1."""
    return wide(first) == wide(second)


def reshape(dims: Dims, target: Sequence[int | Size], zero_is_empty: bool) -> Dims:
    """Join and split dimensions at the borders of axes.

    Raises
    ------
    Problem
        If the result would split an axis, or the sizes do not fit.
    """
    sizes = [
        size_of(dims[k]) if size == 0 and not zero_is_empty and k < len(dims) else size
        for k, size in enumerate(target)
    ]
    axes = [axis for dim in dims for axis in dim]
    open_at = next((k for k, size in enumerate(sizes) if size == -1), len(sizes))
    left = [_take(axes, size) for size in sizes[:open_at]]
    if open_at == len(sizes):
        if wide(axes):
            raise Problem(_NO_FIT)
        return tuple(left)
    axes.reverse()
    right = [_take(axes, size)[::-1] for size in reversed(sizes[open_at + 1 :])]
    return (*left, tuple(axes[::-1]), *right[::-1])


_NO_FIT = "its shape does not fit the axes of its input"


def _take(axes: list[Axis], size: int | Size) -> Dim:
    """Remove axes of this size from the beginning of a list."""
    taken: list[Axis] = []
    if size == 1:
        return (axes.pop(0),) if axes and axes[0].size == 1 else ()
    while size_of(tuple(taken)) != size:
        if not axes:
            raise Problem(_NO_FIT)
        taken.append(axes.pop(0))
    return tuple(taken)
