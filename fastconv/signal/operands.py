"""The two operands of a convolution as one block of images and one of kernels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from fastconv.checks import as_array, members
from fastconv.functional import Array

Axes = int | Sequence[int] | None

_INEXACT = ("f4", "f8", "c8", "c16")


def as_numbers(value: Any, name: str, half: bool = False) -> Array:
    """``value`` as an array of a dtype that can be convolved; ``half``: float16 as well, as float32."""
    a = as_array(name, value)
    if half and a.dtype == np.float16:
        return a.astype(np.float32)
    if a.dtype.kind in "biu" or a.dtype.str[1:] in _INEXACT:
        return a if a.dtype.isnative else a.astype(a.dtype.newbyteorder("="))
    raise TypeError(f"{name} has dtype {a.dtype}; bool, integers, float32, float64, complex64 or complex128 are needed")


def normalized_axes(axes: Axes, ndim: int) -> tuple[int, ...]:
    """``axes`` counted from 0; None is all of them."""
    if axes is None:
        return tuple(range(ndim))
    given = (axes,) if isinstance(axes, (int, np.integer)) else tuple(members("axes", axes, "axes"))
    result = tuple(a + ndim if isinstance(a, (int, np.integer)) and a < 0 else a for a in given)
    if any(a not in range(ndim) for a in result) or len(set(result)) != len(result):
        raise ValueError(f"axes must be different axes of an array with {ndim} axes, got {axes!r}")
    return tuple(map(int, result))


@dataclass(frozen=True)
class Blocks:
    """Two arrays of one number of axes as an ``(N, G, *spatial)`` block of images and ``(G * K, 1, *kernel)`` kernels.

    G are the axes on which both have several elements, N those of the images alone, K those of the kernels alone.
    """

    images: Array
    kernels: Array
    order: tuple[int, ...]  # the axes of the arrays, as N, G, K and spatial axes
    shape: tuple[int, ...]  # of the axes in front of the spatial ones, in that order

    def unblock(self, y: Array) -> Array:
        """The result ``(N, G * K, *spatial)`` with the axes of the arrays."""
        if not self.shape:
            return y.reshape(y.shape[2:])
        y = y.reshape(self.shape + y.shape[2:])
        return np.ascontiguousarray(y.transpose(np.argsort(self.order)))


def make_blocks(images: Array, kernels: Array, axes: tuple[int, ...]) -> Blocks:
    """Blocks of two arrays; raises ValueError where the axes that are not convolved do not broadcast."""
    if len(axes) == images.ndim:
        return Blocks(images[None, None], kernels[None, None], (), ())
    n: list[int] = []
    g: list[int] = []
    k: list[int] = []
    for a in (a for a in range(images.ndim) if a not in axes):
        i, j = images.shape[a], kernels.shape[a]
        if i != j and 1 not in (i, j):
            raise ValueError(f"in1 and in2 have shapes {images.shape} and {kernels.shape}: axis {a} does not broadcast")
        (n if j == 1 else k if i == 1 else g).append(a)
    spatial = sorted(axes)

    def sizes(array: Array, axes: Sequence[int]) -> list[int]:
        return [array.shape[a] for a in axes]

    x = images.transpose(*n, *g, *k, *spatial)
    w = kernels.transpose(*n, *g, *k, *spatial)
    groups = prod(sizes(images, g))
    return Blocks(
        x.reshape(prod(sizes(images, n)), groups, *sizes(images, spatial)),
        w.reshape(groups * prod(sizes(kernels, k)), 1, *sizes(kernels, spatial)),
        (*n, *g, *k, *spatial),
        (*sizes(images, n), *sizes(images, g), *sizes(kernels, k)),
    )
