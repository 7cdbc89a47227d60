"""Correlation of blocks of any numeric dtype, under :mod:`fastconv.signal` and :mod:`fastconv.ndimage`.

A block is ``(N, G, *spatial)`` with one to three spatial axes: N images that share their kernels, G that each have
their own. Kernels are ``(G * K, 1, *kernel)``, K for each of the G; the result is ``(N, G * K, *spatial)``.

The compiled core takes float32 and float64. Complex numbers are two images or two kernels; integers are floating point
numbers as long as every sum is exact, and split into parts that are where it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import _core
from fastconv.functional import Array

Pads = Sequence[tuple[int, int]]
Modes = str | Sequence[str]

_F32_EXACT = 2**24
_F64_EXACT = 2**53
_F64_ROUNDED = 2**42  # up to here Fourier transforms and Winograd's algorithm are within 1/2 of an integer
_FEW_TAPS = 256  # up to here the direct algorithm is the one to choose


def correlate_blocks(
    x: Array, w: Array, pads: Pads, modes: Modes = "zeros", flip: bool = False, algorithm: str = "auto"
) -> Array:
    """The correlation (``flip``: the convolution) of a block with kernels of the same dtype.

    pads: ``(before, after)`` for every spatial axis, not negative; the result must have elements.
    Returns that dtype; int64 for integers of any size, modulo 2**64.
    """
    if x.dtype.kind == "f":
        return _correlate_floats(x, w, pads, modes, flip, algorithm)
    if x.dtype.kind == "c":
        return _correlate_complex(x, w, pads, modes, flip, algorithm)
    return _correlate_integers(x.astype(np.int64), w.astype(np.int64), pads, modes, flip, algorithm)


def _correlate_floats(x: Array, w: Array, pads: Pads, modes: Modes, flip: bool, algorithm: str) -> Array:
    return _core.conv_forward(len(pads), x, w, None, 1, pads, 1, x.shape[1], modes, flip, None, algorithm, None)


def crop_or_empty(x: Array, w: Array, pads: Pads) -> tuple[Array, Pads, bool]:
    """Negative amounts of padding taken off a block, the amounts that are left, and whether a result has elements."""
    kept = [slice(max(-before, 0), n - max(-after, 0)) for n, (before, after) in zip(x.shape[2:], pads, strict=True)]
    sizes = [n + before + after - k for n, k, (before, after) in zip(x.shape[2:], w.shape[2:], pads, strict=True)]
    empty = min(sizes) < 0 or x.size == 0 or w.size == 0
    return x[:, :, *kept], [(max(before, 0), max(after, 0)) for before, after in pads], empty


def _correlate_complex(x: Array, w: Array, pads: Pads, modes: Modes, flip: bool, algorithm: str) -> Array:
    """Four real correlations in one: two images under two kernels."""
    groups = x.shape[1]
    images = np.concatenate((x.real, x.imag))
    of_group = w.reshape(groups, -1, *w.shape[1:])
    kernels = np.concatenate((of_group.real, of_group.imag), axis=1).reshape(-1, *w.shape[1:])
    y = _correlate_floats(images, kernels, pads, modes, flip, algorithm)
    y = y.reshape(2, x.shape[0], groups, 2, -1, *y.shape[2:])
    result = np.empty((x.shape[0], groups, *y.shape[4:]), x.dtype)
    np.subtract(y[0, :, :, 0], y[1, :, :, 1], out=result.real)
    np.add(y[0, :, :, 1], y[1, :, :, 0], out=result.imag)
    return result.reshape(x.shape[0], w.shape[0], *y.shape[5:])


def _largest(a: Array) -> int:
    return max(-int(a.min()), int(a.max())) if a.size else 0


def _correlate_integers(x: Array, w: Array, pads: Pads, modes: Modes, flip: bool, algorithm: str) -> Array:
    largest_x, largest_w, taps = _largest(x), _largest(w), int(np.prod(w.shape[2:]))
    bound = largest_x * largest_w * max(taps, 1)
    if bound < _F32_EXACT and taps <= _FEW_TAPS:
        return _correlate_exactly(x, w, np.float32, pads, modes, flip, "direct")
    if bound < _F64_EXACT:
        exact = bound < _F64_ROUNDED and (taps > _FEW_TAPS or algorithm != "auto")
        return _correlate_exactly(x, w, np.float64, pads, modes, flip, algorithm if exact else "direct")
    rest = (pads, modes, flip, algorithm)  # too large for exact sums: split the larger numbers in two
    if largest_x >= largest_w:
        half = largest_x.bit_length() // 2
        high, low = (_correlate_integers(part, w, *rest) for part in (x >> half, x & ((1 << half) - 1)))
    else:
        half = largest_w.bit_length() // 2
        high, low = (_correlate_integers(x, part, *rest) for part in (w >> half, w & ((1 << half) - 1)))
    total: Array = (high << half) + low
    return total


def _correlate_exactly(x: Array, w: Array, dtype: Any, pads: Pads, modes: Modes, flip: bool, algorithm: str) -> Array:
    y = _correlate_floats(x.astype(dtype), w.astype(dtype), pads, modes, flip, algorithm)
    if algorithm != "direct":
        np.rint(y, out=y)
    return y.astype(np.int64)


def pad_constant(x: Array, pads: Pads, value: Any) -> Array:
    """The last axes of an array with ``value`` round them; any dtype."""
    if x.dtype.kind == "f" and x.ndim <= 8:
        flat = [amount for pair in reversed(pads) for amount in pair]
        return _core.pad(x, flat, "constant", float(value), None)
    width = [(0, 0)] * (x.ndim - len(pads)) + list(pads)
    return np.pad(x, width, constant_values=value)
