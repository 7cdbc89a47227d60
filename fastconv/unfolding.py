"""Windows of an array as columns of a matrix, and back."""

from __future__ import annotations

from typing import Any

import numpy as np

from fastconv import _core
from fastconv.functional import Array, Axes, Modes, Padding


def _dimensions(*sizes: Any) -> int:
    """Number of spatial axes: that of the first argument given per axis, else 2."""
    for size in sizes:
        if isinstance(size, (tuple, list, np.ndarray)) and np.ndim(size) == 1 and len(size) in (1, 2, 3):
            return len(size)
    return 2


def unfold(
    input: Array,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Padding = 0,
    stride: Axes = 1,
    *,
    padding_mode: Modes = "zeros",
    out: Array | None = None,
) -> Array:
    """Windows of the input, one a column: what a convolution multiplies its weight with.

    ``out[n, c * taps + t, p] = input[n, c, map(p * stride + t * dilation - padding)]``

    input: ``(N, C, H, W)`` or ``(C, H, W)``, float32 or float64, any strides.
    kernel_size: an int for two axes, or one per axis: ``(kH, kW)``. One or three sizes make it 1-d or 3-d.
    dilation, stride: an int, or one per axis.
    padding: an int, one per axis, a ``(before, after)`` pair per axis, or ``"valid"``, ``"same"``, ``"same_lower"``,
        ``"full"``, ``"causal"`` (1-d), as in :func:`conv2d`.
    padding_mode: ``"zeros"``, ``"reflect"``, ``"replicate"``, ``"circular"``, ``"symmetric"``, or one per axis.
    out: array to write to, of the result's shape and dtype, any strides, sharing no memory with the input.

    Returns ``(N, C * kH * kW, L)`` or ``(C * kH * kW, L)``, ``L`` being the number of positions of the kernel. Raises
    ValueError or TypeError that names the argument and shows its value.
    """
    return _core.unfold(_dimensions(kernel_size), input, kernel_size, dilation, padding, stride, padding_mode, out)


def fold(
    input: Array,
    output_size: Axes,
    kernel_size: Axes,
    dilation: Axes = 1,
    padding: Padding = 0,
    stride: Axes = 1,
    *,
    padding_mode: Modes = "zeros",
    out: Array | None = None,
) -> Array:
    """Add columns back to where :func:`unfold` took them from: its exact adjoint, in every padding mode.

    input: ``(N, C * kH * kW, L)`` or ``(C * kH * kW, L)``; output_size: ``(H, W)`` of the array to add up.
    kernel_size, dilation, padding, stride, padding_mode: as in :func:`unfold`.
    out: array to write to, ``(N, C, H, W)`` or ``(C, H, W)``.

    Returns the sums, ``(N, C, H, W)`` or ``(C, H, W)``, added in one order for any number of threads. Raises ValueError
    or TypeError that names the argument and shows its value.
    """
    nd = _dimensions(output_size, kernel_size)
    return _core.fold(nd, input, output_size, kernel_size, dilation, padding, stride, padding_mode, out)
