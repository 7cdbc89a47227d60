"""Edge detectors: Sobel, Prewitt, Laplace, and the derivatives of a Gaussian."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache, partial
from typing import Any

import numpy as np

from fastconv import _core
from fastconv.ndimage.arguments import (
    FLOATS,
    MODES,
    Array,
    Output,
    PerAxis,
    as_image,
    cast,
    core_mode,
    deliver,
    is_plain,
    one_axis,
    output_dtype,
    per_axis,
    require_number,
    some_axes,
    whole,
)
from fastconv.ndimage.linear import correlate, correlate1d
from fastconv.ndimage.smooth import gaussian_filter

_ACROSS = {"sobel": (1, 2, 1), "prewitt": (1, 1, 1)}
_CROSS = ((0, 1, 0), (1, -4, 1), (0, 1, 0))
_DENSE = 2  # up to so many axes one kernel for all costs less than one after the other


@lru_cache(maxsize=32)
def _kernel(name: str, axis: int, dtype: np.dtype[Any]) -> Array:
    """The kernel of a plane for its derivative along an axis; not to be written to."""
    if name == "laplace":
        return np.array(_CROSS, dtype)
    kernel = np.multiply.outer(_ACROSS[name], (-1, 0, 1)).astype(dtype)
    return kernel.T.copy() if axis % 2 == 0 else kernel


def _plain(name: str, input: Any, axis: Any, output: Any, mode: Any, cval: Any, axes: Any) -> Array | None:
    """The common case without detours: all of a plane. None where it is not that."""
    if output is not None or axes is not None or not is_plain(input) or input.ndim != 2:
        return None
    padding = MODES.get(mode) if type(mode) is str else None
    if padding is None or type(cval) not in (int, float) or cval != 0 or type(axis) is not int or not -2 <= axis < 2:
        return None
    if input.dtype in FLOATS:
        return _core.filter_taps(input, _kernel(name, axis, input.dtype), 1, 1, padding, padding, 0)
    x = input.astype(np.float64)
    return whole(_core.filter_taps(x, _kernel(name, axis, x.dtype), 1, 1, padding, padding, 0), input.dtype)


def _in_one(x: Array, dtype: np.dtype[Any], cval: Any) -> bool:
    """Whether it makes no difference that SciPy stores what comes between two steps in the result's dtype."""
    require_number(cval, "cval")
    return dtype.kind in "bfc" or (x.dtype.kind in "iu" and dtype.kind in "iu" and bool(cval == np.trunc(cval)))


def _separable(input: Any, lines: dict[int, tuple[int, int, int]], output: Output, mode: PerAxis, cval: Any) -> Array:
    """Three-element kernels by axis, one after the other or multiplied out."""
    x = as_image(input)
    modes = dict(zip(sorted(lines), per_axis(mode, len(lines), "mode"), strict=True))
    # One after the other, each result is continued by cval: not what the product of the kernels sees.
    dtype = output_dtype(output, x, x.dtype.kind == "c")
    in_one = _in_one(x, dtype, cval)
    constant = cval != 0 and any(core_mode(m) == "zeros" for m in modes.values())
    if len(lines) <= _DENSE and in_one and not constant:
        order = sorted(lines)
        kernel = np.asarray(lines[order[0]], np.float64)
        for a in order[1:]:
            kernel = np.multiply.outer(kernel, lines[a])
        whole = len(order) == x.ndim
        one_mode = modes[order[0]] if len(set(modes.values())) == 1 else list(modes.values())
        return correlate(x, kernel, output, one_mode, axes=None if whole else order)
    for a, line in lines.items():
        x = correlate1d(x, line, a, dtype, modes[a], cval)
    return deliver(x, output, dtype)


def _derivative(name: str, input: Any, axis: int, output: Output, mode: PerAxis, cval: Any, axes: Any) -> Array:
    plain = _plain(name, input, axis, output, mode, cval, axes)
    if plain is not None:
        return plain
    ndim = np.ndim(input)
    axis, chosen = one_axis(axis, ndim), some_axes(axes, ndim)
    if axis not in chosen:
        raise ValueError(f"axes must hold the axis {axis} of the derivative, got {axes!r}")
    lines = {axis: (-1, 0, 1), **{a: _ACROSS[name] for a in chosen if a != axis}}
    return _separable(input, lines, output, mode, cval)


def sobel(
    input: Any,
    axis: int = -1,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
) -> Array:
    """The derivative along an axis by Sobel's kernel, (-1, 0, 1) there and (1, 2, 1) across: ``scipy.ndimage.sobel``.

    axis: the axis of the derivative.
    axes: the axes it belongs to and is smoothed across; None is all. The others are a batch.
    output, mode, cval: as for :func:`correlate`.

    Returns the filtered array. Raises ValueError for values that do not fit, TypeError for a dtype that cannot be
    filtered.

    >>> from fastconv import ndimage
    >>> ndimage.sobel([[0.0, 1.0, 4.0]] * 2).tolist()
    [[4.0, 16.0, 12.0], [4.0, 16.0, 12.0]]
    """
    return _derivative("sobel", input, axis, output, mode, cval, axes)


def prewitt(
    input: Any,
    axis: int = -1,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
) -> Array:
    """The derivative along an axis by Prewitt's kernel, (-1, 0, 1) and (1, 1, 1) across: ``scipy.ndimage.prewitt``.

    Arguments, result and errors are those of :func:`sobel`.

    >>> from fastconv import ndimage
    >>> ndimage.prewitt([[0.0, 1.0, 4.0]] * 2).tolist()
    [[3.0, 12.0, 9.0], [3.0, 12.0, 9.0]]
    """
    return _derivative("prewitt", input, axis, output, mode, cval, axes)


def _combined(
    x: Array, parts: Sequence[Callable[..., Array]], square: bool, output: Output, dtype: np.dtype[Any]
) -> Array:
    """The sum of the parts, or of their squares, in the result's dtype; its square root then."""
    total = None
    for part in parts:
        y = part(x, output=dtype)
        if square:
            np.multiply(y, y, out=y)
        total = y if total is None else np.add(total, y, out=total)
    if total is None:
        total = cast(x.copy(), dtype)
    elif square:
        np.sqrt(total, out=total, casting="unsafe")
    return deliver(total, output, dtype)


def laplace(
    input: Any, output: Output = None, mode: PerAxis = "reflect", cval: Any = 0.0, *, axes: Any = None
) -> Array:
    """The sum of the second differences (1, -2, 1) along the axes: ``scipy.ndimage.laplace``.

    output, mode, cval, axes: as for :func:`correlate`.

    Returns the filtered array. Raises ValueError for values that do not fit, TypeError for a dtype that cannot be
    filtered.

    >>> from fastconv import ndimage
    >>> ndimage.laplace([0.0, 0.0, 1.0, 0.0, 0.0])
    array([ 0.,  1., -2.,  1.,  0.])
    """
    plain = _plain("laplace", input, 0, output, mode, cval, axes)
    if plain is not None:
        return plain
    x = as_image(input)
    chosen = some_axes(axes, x.ndim)
    modes = per_axis(mode, len(chosen), "mode")
    dtype = output_dtype(output, x, x.dtype.kind == "c")
    if len(chosen) == 2 and _in_one(x, dtype, cval):
        cross = np.array(_CROSS, np.float64)
        one_mode = modes[0] if modes[0] == modes[1] else modes
        return correlate(x, cross, output, one_mode, cval, axes=None if x.ndim == 2 else chosen)
    parts = [
        partial(correlate1d, weights=(1, -2, 1), axis=a, mode=m, cval=cval) for a, m in zip(chosen, modes, strict=True)
    ]
    return _combined(x, parts, False, output, dtype)


def _of_gaussian(
    input: Any, sigma: PerAxis, derivative: int, output: Output, mode: PerAxis, cval: Any, axes: Any, options: Any
) -> Array:
    """The n-th derivatives of a Gaussian along each of the axes, put together."""
    x = as_image(input)
    chosen = some_axes(axes, x.ndim)
    count = len(chosen)
    sigmas, modes = per_axis(sigma, count, "sigma"), per_axis(mode, count, "mode")
    parts: list[Callable[..., Array]] = []
    for i in range(count):
        order = [derivative if i == j else 0 for j in range(count)]
        parts.append(partial(gaussian_filter, sigma=sigmas, order=order, mode=modes, cval=cval, axes=chosen, **options))
    dtype = output_dtype(output, x, x.dtype.kind == "c")
    return _combined(x, parts, derivative == 1, output, dtype)


def gaussian_laplace(
    input: Any,
    sigma: PerAxis,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """The sum of the second derivatives of a Gaussian: ``scipy.ndimage.gaussian_laplace``.

    sigma, and ``truncate`` or ``radius`` in kwargs: as for :func:`gaussian_filter`; the others as for :func:`laplace`.
    """
    return _of_gaussian(input, sigma, 2, output, mode, cval, axes, kwargs)


def gaussian_gradient_magnitude(
    input: Any,
    sigma: PerAxis,
    output: Output = None,
    mode: PerAxis = "reflect",
    cval: Any = 0.0,
    *,
    axes: Any = None,
    **kwargs: Any,
) -> Array:
    """The length of the gradient by derivatives of a Gaussian: ``scipy.ndimage.gaussian_gradient_magnitude``.

    Arguments, result and errors are those of :func:`gaussian_laplace`; other axes than ``axes`` are not smoothed.
    """
    return _of_gaussian(input, sigma, 1, output, mode, cval, axes, kwargs)
