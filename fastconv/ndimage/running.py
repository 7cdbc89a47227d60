"""Reductions over windows of any size in a few passes: each pass joins an array with itself, shifted."""

from __future__ import annotations

from math import prod
from typing import Any

import numpy as np

from fastconv.ndimage.arguments import Array, Side

_BLOCK = 1 << 18  # bytes at a time: three such buffers stay in a second-level cache

Join = Any  # numpy's add, maximum or minimum


def continuation(n: int, before: int, after: int, mode: str) -> Array:
    """Which element stands at each position of an axis of n that is continued on both sides."""
    q = np.arange(-before, n + after)
    if mode == "replicate":
        return q.clip(0, n - 1)
    if mode == "circular":
        return q % n
    period = 2 * n if mode == "symmetric" else max(2 * n - 2, 1)
    q %= period
    return np.minimum(q, 2 * n - 1 - q if mode == "symmetric" else 2 * n - 2 - q) if n > 1 else q * 0


def continue_lines(x: Array, before: int, ends: Array | None, cval: Any, to: Array) -> None:
    """Lines ``(N, n, inner)`` into the middle of longer ones; beyond their ends what :func:`continuation` says, or
    ``cval``."""
    n = x.shape[1]
    to[:, before : before + n] = x
    to[:, :before] = cval if ends is None else x[:, ends[:before]]
    to[:, before + n :] = cval if ends is None else x[:, ends[before + n :]]


def _extreme(join: Join, buffers: list[Array], count: int, size: int, step: int) -> Array:
    """Windows of ``size`` elements, ``step`` apart; joining an element twice does no harm."""
    line, spare = buffers[0][:count], buffers[1]
    width = 1
    while width < size:
        shift = min(width, size - width)
        left = len(line) - shift * step
        line, spare = join(line[:left], line[shift * step :], out=spare[:left]), line
        width += shift
    return line


def _sum(join: Join, buffers: list[Array], count: int, size: int, step: int) -> Array:
    """Sums of ``size`` elements, ``step`` apart, put together from sums of powers of two."""
    line, spare, total = buffers[0][:count], buffers[1], buffers[2][: count - (size - 1) * step]
    width, covered = 1, 0
    while True:  # `line` holds sums of `width` elements, `total` of `covered`
        if size & width:
            part = line[covered * step : covered * step + len(total)]
            if width == size:
                return part
            np.add(total, part, out=total) if covered else np.copyto(total, part)
            covered += width
        if covered == size:
            return total
        left = len(line) - width * step
        line, spare = join(line[:left], line[width * step :], out=spare[:left]), line
        width *= 2


def running(join: Join, x: Array, side: Side, cval: Any = 0, out: Array | None = None) -> Array:
    """``join`` over the window of ``side`` round every element of an axis.

    out: an array to write to, of the shape and dtype of ``x``, in order; it may be ``x``.

    The work grows with the logarithm of the size. Sums are sums of their own windows: errors do not run along.
    """
    size, (before, after) = side.size, side.pads
    n, inner = x.shape[side.axis], prod(x.shape[side.axis + 1 :])
    source = x.reshape(-1, n, inner)
    result = np.empty_like(source, order="C") if out is None else out.reshape(source.shape)
    length = n + size - 1
    wide = min(inner, max(64, _BLOCK // (x.itemsize * length)))
    lines = min(len(source), max(1, _BLOCK // (x.itemsize * length * wide)))
    buffers = [np.empty(lines * length * wide, x.dtype) for _ in range(3)]
    ends = None if side.mode == "zeros" else continuation(n, before, after, side.mode)
    reduce = _sum if join is np.add else _extreme
    for first in range(0, len(source), lines):
        for left in range(0, inner, wide):
            block = source[first : first + lines, :, left : left + wide]
            count, _, width = block.shape
            flat = buffers[0][: count * length * width]
            line = flat.reshape(count, length, width)
            continue_lines(block, before, ends, cval, line)
            # Windows that run from one line into the next are made too, and left out: one long line costs less.
            joined = reduce(join, buffers, flat.size, size, width)
            _unfold(joined, length * width, result[first : first + lines, :, left : left + wide])
    return result.reshape(x.shape)


def _unfold(joined: Array, pitch: int, to: Array) -> None:
    """Lines that begin every ``pitch`` elements, the last one cut short, to where they belong."""
    whole = len(to) - 1
    if whole:
        lines = joined[: whole * pitch].reshape(whole, -1, to.shape[2])
        to[:whole] = lines[:, : to.shape[1]]
    to[whole:] = joined[whole * pitch :].reshape(1, *to.shape[1:])
