"""Reductions over windows of any size in a few passes: each pass joins an array with itself, shifted."""

from __future__ import annotations

from collections.abc import Callable
from functools import reduce
from math import prod

import numpy as np

from fastconv.ndimage.arguments import Array

Join = Callable[[Array, Array], Array]

_BLOCK = 1 << 16  # elements at a time where lines can be taken apart: what a second-level cache holds, several times


def _maximum_like(join: Join, line: Array, size: int, step: int) -> Array:
    """Windows of ``size`` elements, ``step`` apart, where joining an element twice does no harm."""
    width = 1
    while width < size:
        shift = min(width, size - width)
        line = join(line[: len(line) - shift * step], line[shift * step :])
        width += shift
    return line


def _sum(line: Array, size: int, step: int) -> Array:
    """Sums of ``size`` elements, ``step`` apart, from sums of powers of two. Each is a balanced tree."""
    parts = []
    width, covered, length = 1, 0, len(line) - (size - 1) * step
    while True:  # `line` holds sums of `width` elements
        if size & width:
            parts.append(line[covered * step : covered * step + length])
            covered += width
        if covered == size:
            return reduce(np.add, parts)
        line = line[: len(line) - width * step] + line[width * step :]
        width *= 2


def running(join: Join, x: Array, size: int, axis: int) -> Array:
    """``join`` (numpy's ``add``, ``maximum`` or ``minimum``) over every window of ``size`` elements on an axis.

    Returns ``n - size + 1`` elements there. The work grows with the logarithm of the size.
    """
    if size == 1:
        return x
    x = np.ascontiguousarray(x)
    n, inner = x.shape[axis], prod(x.shape[axis + 1 :])
    outer = x.reshape(-1, n, inner)
    result = np.empty((len(outer), n - size + 1, inner), x.dtype)
    lines = max(1, _BLOCK // (n * inner))
    for first in range(0, len(outer), lines):
        block = outer[first : first + lines]
        # Windows that run from one line into the next are made too, and left out: one long line costs less than many.
        flat = block.reshape(-1)
        joined = _sum(flat, size, inner) if join is np.add else _maximum_like(join, flat, size, inner)
        fill = result[first : first + lines]
        whole, last = divmod(len(joined), n * inner)
        if whole:
            fill[:whole] = joined[: whole * n * inner].reshape(whole, n, inner)[:, : n - size + 1]
        if last:
            fill[whole:] = joined[whole * n * inner :].reshape(1, n - size + 1, inner)
    return result.reshape(*x.shape[:axis], n - size + 1, *x.shape[axis + 1 :])
