"""Pooling written from its formulas: for every output the list of its input positions, and nothing clever.

Windows are lists of coordinates for each axis; everything else is a loop over their product.
Shapes are (N, C, *spatial).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32] | NDArray[np.float64]
Axis = list[list[int]]  # for every output the input coordinates under its window


def output_size(
    n: int, k: int, stride: int, before: int, after: int, dilation: int = 1, ceil_mode: bool = False
) -> int:
    room = n + before + after - dilation * (k - 1) - 1
    if not ceil_mode:
        return room // stride + 1
    size = -(-room // stride) + 1
    return size - 1 if (size - 1) * stride >= n + before else size


def regular_axis(
    n: int, k: int, stride: int, before: int, after: int, dilation: int = 1, ceil_mode: bool = False
) -> Axis:
    size = output_size(n, k, stride, before, after, dilation, ceil_mode)
    taps = [[o * stride - before + t * dilation for t in range(k)] for o in range(size)]
    return [[i for i in window if 0 <= i < n] for window in taps]


def padded_counts(n: int, k: int, stride: int, before: int, after: int, ceil_mode: bool = False) -> list[int]:
    """Elements of each window that lie in the input or its padding."""
    size = output_size(n, k, stride, before, after, 1, ceil_mode)
    return [sum(-before <= o * stride - before + t < n + after for t in range(k)) for o in range(size)]


def adaptive_axis(n: int, size: int) -> Axis:
    return [list(range(math.floor(o * n / size), math.ceil((o + 1) * n / size))) for o in range(size)]


def fractional_axis(n: int, k: int, size: int, u: float) -> Axis:
    a = (n - k) / (size - 1) if size > 1 else 0.0
    starts = [int((o + u) * a) - int(u * a) for o in range(size - 1)] + [n - k]
    return [list(range(s, s + k)) for s in starts]


def windows(axes: list[Axis]) -> Iterator[tuple[tuple[int, ...], list[tuple[int, ...]]]]:
    """Output position and the input positions under its window, both in row-major order."""
    for out in itertools.product(*(range(len(a)) for a in axes)):
        yield out, list(itertools.product(*(a[o] for a, o in zip(axes, out, strict=True))))


def _map(x: Array, axes: list[Axis], f: Callable[[Array], float]) -> Array:
    y = np.empty((*x.shape[:2], *map(len, axes)), x.dtype)
    for n, c in np.ndindex(*x.shape[:2]):
        for out, taps in windows(axes):
            y[(n, c, *out)] = f(np.array([x[(n, c, *tap)] for tap in taps], x.dtype))
    return y


def first_largest(values: Array) -> int:
    """A NaN is larger than any number, and the first of equals wins: what numpy's argmax does."""
    return int(np.argmax(values))


def max_pool(x: Array, axes: list[Axis]) -> tuple[Array, NDArray[np.int64]]:
    y = _map(x, axes, lambda v: v[first_largest(v)])
    indices = np.empty(y.shape, np.int64)
    for n, c in np.ndindex(*x.shape[:2]):
        for out, taps in windows(axes):
            winner = first_largest(np.array([x[(n, c, *tap)] for tap in taps]))
            indices[(n, c, *out)] = np.ravel_multi_index(taps[winner], x.shape[2:])
    return y, indices


def scatter(g: Array, indices: NDArray[np.int64], shape: tuple[int, ...]) -> Array:
    dx = np.zeros((*shape[:2], math.prod(shape[2:])), g.dtype)
    for place in np.ndindex(*g.shape):
        dx[(*place[:2], indices[place])] += g[place]
    return dx.reshape(shape)


def sum_pool(x: Array, axes: list[Axis]) -> Array:
    return _map(x, axes, lambda v: v.sum())


def sum_pool_backward(g: Array, axes: list[Axis], shape: tuple[int, ...]) -> Array:
    dx = np.zeros(shape, g.dtype)
    for n, c in np.ndindex(*shape[:2]):
        for out, taps in windows(axes):
            for tap in taps:
                dx[(n, c, *tap)] += g[(n, c, *out)]
    return dx


def counts(axes: list[Axis]) -> Array:
    """Elements inside the input under each window."""
    grid = np.ones(tuple(map(len, axes)))
    for out, taps in windows(axes):
        grid[out] = len(taps)
    return grid


def lp_pool(x: Array, axes: list[Axis], p: float, mean: bool = False) -> Array:
    def norm(v: Array) -> float:
        size = np.abs(v.astype(np.longdouble))
        if p == np.inf:
            return size.max()
        total = (size**p).sum()
        return (total / len(v) if mean else total) ** (1 / np.longdouble(p))

    return _map(x, axes, norm)
