"""Kernels about as large as their image: one Fourier transform of everything, by numpy.

The core's transforms are of tiles, which is less work until a kernel fills them.
"""

from __future__ import annotations

from math import prod

import numpy as np

from fastconv.functional import Array

_KERNEL_BYTES = 1 << 18  # measured: here the tiles of the core are full


def pays(x: Array, w: Array) -> bool:
    """Whether a block under kernels is one image under one kernel that is too large for tiles."""
    if x.dtype.kind != "f" or len(x) * x.shape[1] * len(w) != 1:
        return False
    depth = w.shape[2] if w.ndim == 5 else 1  # tiles are planes: the core adds up the third axis term by term
    return w.size * depth * w.itemsize > _KERNEL_BYTES


def _quick(least: int) -> int:
    """The smallest product of twos, threes and fives that is not less."""
    best = 1 << (least - 1).bit_length()
    for five in (5**i for i in range(best.bit_length() // 2)):
        for odd in (five * 3**i for i in range(best.bit_length())):
            if odd < best:
                best = min(best, odd << max(-(-least // odd) - 1, 0).bit_length())
    return best


def _spectrum(a: Array, sizes: list[int]) -> Array:
    """``np.fft.rfftn`` of the last axes, over the root of their sizes' product.

    Axes are brought to their sizes here and one by one, and there is a factor: numpy takes six times as long to add the
    zeros, and to multiply by its default factor, which is 1 but a whole number.
    """
    transform = np.fft.rfft
    for axis, size in zip(range(-1, -len(sizes) - 1, -1), reversed(sizes), strict=True):
        if a.shape[axis] < size:
            line = np.zeros((*a.shape[:axis], size, *a.shape[a.ndim + axis + 1 :]), a.dtype)
            line.swapaxes(axis, -1)[..., : a.shape[axis]] = a.swapaxes(axis, -1)
            a = line
        a = transform(a, axis=axis, norm="ortho")
        transform = np.fft.fft
    return a


def transformed(x: Array, w: Array, pads: list[tuple[int, int]], flip: bool) -> Array:
    """The correlation (``flip``: the convolution) of a block; amounts of padding with zeros may be negative."""
    if not flip:
        w = w[:, :, *(slice(None, None, -1) for _ in pads)]
    sizes, part = [], []
    for n, k, (before, after) in zip(x.shape[2:], w.shape[2:], pads, strict=True):
        first, length = k - 1 - before, n + before + after - k + 1
        # What lies beyond a transform comes round to its beginning: it must not meet the part that is wanted.
        sizes.append(_quick(max(n + k - 1 - first, first + length, n, k)))
        part.append(slice(first, first + length))
    axes = tuple(range(2, x.ndim))
    spectrum = _spectrum(x, sizes)
    spectrum *= _spectrum(w * x.dtype.type(prod(sizes)), sizes)
    full = np.fft.irfftn(spectrum, sizes, axes)
    return np.ascontiguousarray(full[:, :, *part], x.dtype)
